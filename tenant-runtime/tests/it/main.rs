//! The runtime from outside: its pages in-process, and the program itself with real sockets.
#![expect(clippy::unwrap_used, reason = "what is not as it should be fails the test")]

mod activated;
mod bundles;
mod control;
mod gates;
mod home;
mod home_acme;
mod process;
mod set_up;
mod sign_in;
mod sleep;
