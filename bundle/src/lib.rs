//! What a percloud is, on the wire and on disk: who it is ([`spec`]) and the form in which it leaves ([`write`], [`read`]).
//!
//! This crate knows no other crate of ours. It does no network I/O and holds no clock of its own.

pub mod clock;
pub mod spec;

pub use clock::Clock;
pub use spec::{Domain, TenantId, TenantSpec};
