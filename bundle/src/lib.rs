//! What a percloud is, on the wire and on disk: who it is ([`spec`]) and the form in which it leaves ([`mod@write`], [`read`]).
//!
//! This crate knows no other crate of ours. It does no network I/O and holds no clock of its own.
//! The format is specified in `docs/bundle-format.md`; what is written here follows that page.

pub mod address;
pub mod clock;
pub mod manifest;
pub mod paths;
pub mod read;
pub mod refusal;
pub mod secrets;
pub mod sign;
pub mod spec;
pub mod sum;
pub mod ticket;
pub mod write;
pub mod zip;

pub use address::{Link, either_way, is_public, links};
pub use clock::Clock;
pub use refusal::{Error, Refusal, Why};
pub use spec::{Domain, TenantId, TenantSpec};
pub use sum::Sum;
