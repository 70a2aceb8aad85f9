//! Stories against real parts: Postgres, sockets, SMTP. What must be played is played by one named fake (`hosts::simulated` plays the
//! host). One binary, so that it links once.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop where it stands")]

mod api;
mod certificates;
mod chaos_proxy;
mod cloud;
mod crashes;
mod edge;
mod edge_restart;
mod isolation;
mod machine;
mod mails;
mod operator;
mod outages;
mod portal;
mod postgres;
mod provision;
mod sign_up;
mod sql;
