//! Stories against real parts: Postgres, sockets, SMTP. What must be played is played by one named fake (`hosts::simulated` plays the
//! host). One binary, so that it links once.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop where it stands")]

mod api;
mod ca;
mod certificates;
mod certificates_acme;
mod certificates_asked;
mod certificates_budgets;
mod certificates_guard;
mod certificates_operator;
mod certificates_thousand;
mod certificates_trouble;
mod certificates_wildcard;
mod chaos_proxy;
mod cloud;
mod crashes;
mod domains;
mod durability;
mod edge;
mod edge_certificates;
mod edge_restart;
mod egress;
mod isolation;
mod isolation_disk;
mod isolation_hostile;
mod isolation_limits;
mod isolation_socket;
mod layers;
mod ledger;
mod machine;
mod mails;
mod operator;
mod outages;
mod own_domain_pages;
mod owners;
mod played;
mod portal;
mod postgres;
mod provision;
mod scanner;
mod seals;
mod sign_up;
mod sleep;
mod sql;
mod usage;
