//! Certificates by name for edge and home: SNI resolver, local CA, sealing of keys.
//!
//! * [`LocalCa`] issues certificates in development, at home, and wherever no public CA can be asked.
//! * [`Certified`] is a certificate with its key, ready to serve; [`Resolver`] finds it by the name a browser asks for.
//! * [`server_config`] is the one TLS configuration of ours: TLS 1.2 and 1.3, aws-lc-rs, no client certificates. The edge, which
//!   loads certificates when they are asked for, makes one of it for each certificate ([`serving`]).
//! * [`Compactor`] keeps a hundred thousand of them in memory, in a few hundred bytes each, their keys sealed.
//! * [`Seal`] keeps private keys encrypted where they are stored.
//! * [`schedule`] says when to renew and when to try again; [`acme`] has certificates made by a public authority, whom [`dns`] is asked
//!   about beforehand.
//!
//! Nothing here reads a clock: whoever calls hands the time in.

pub mod acme;
mod ca;
mod certified;
mod compact;
mod config;
pub mod dns;
pub mod files;
mod resolver;
pub mod schedule;
mod seal;
#[cfg(feature = "testing")]
pub mod testing;

pub use ca::{Issued, LocalCa};
pub use certified::Certified;
pub use compact::{Compactor, Name as CompactName};
pub use config::{answering, client_config, provider, server_config, serving};
pub use resolver::Resolver;
pub use seal::{Seal, Source as SealSource};
