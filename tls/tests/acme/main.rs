//! ACME against real programs: Pebble as the authority, Knot as the name server.
#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod answers;
mod ari;
mod between;
mod dns;
mod orders;
mod parts;
