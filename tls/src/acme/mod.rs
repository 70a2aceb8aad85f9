//! Certificates from a public authority by ACME (RFC 8555), with `instant-acme`.
//!
//! * An [`Account`] at a [`Directory`] sees one order to its end: [`Account::issue`]. Whoever calls keeps the account's
//!   credentials, chooses when, and counts what the authority's limits allow; nothing here remembers or repeats.
//! * A [`Solver`] makes a challenge's answer visible, by whichever way it has: a route on port 80, a certificate for
//!   ALPN `acme-tls/1`, a TXT record ([`dns`]). What was presented is withdrawn when the order ends, well or not. It stays where that
//!   fails or takes too long, and where the order itself is cut off: whoever presents in places that outlast the process writes
//!   down what, and takes it away later.
//! * An [`Error`] says who has to do something: nobody (ask another authority, or later), the name's holder, or the operator.
//!
//! Everything has a time-out, and no secret is logged.

mod account;
mod alpn;
pub mod caa;
pub mod dns;
mod error;
mod http;
mod limits;
mod order;

use std::fmt;

use chrono::{DateTime, Utc};
use data_encoding::BASE64URL_NOPAD;
use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};

pub use account::Account;
pub use alpn::{ALPN, alpn_certificate};
pub use error::Error;

/// Let's Encrypt's directory.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Where an ACME authority is and how we are known there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// The URL of its directory.
    pub url: String,
    /// Which of its profiles we want, e.g. `shortlived`; its default when none.
    pub profile: Option<String>,
    /// How it knows us from elsewhere, if it asks.
    pub eab: Option<Eab>,
    /// PEM of a private root for the authority's own HTTPS (tests, closed networks); public roots when none.
    pub root_pem: Option<String>,
}

/// External account binding: what an authority gave its customer to register with.
#[derive(Clone, PartialEq, Eq)]
pub struct Eab {
    /// The key's name.
    pub kid: String,
    /// The key, as authorities hand it out.
    pub hmac_base64url: String,
}

impl fmt::Debug for Eab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Eab").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// A way to show that a name is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file at port 80.
    Http01,
    /// A certificate for ALPN `acme-tls/1` at port 443.
    TlsAlpn01,
    /// A TXT record; the only way for wildcards.
    Dns01,
}

impl Kind {
    /// As RFC 8555 and RFC 8737 call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the authority wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// How it looks.
    pub kind: Kind,
    /// The name in question, without `*.`.
    pub name: String,
    /// The last part of the path for HTTP-01.
    pub token: String,
    /// What HTTP-01 answers; the others answer a digest of it.
    pub key_authorization: String,
}

impl Challenge {
    /// The record's name for DNS-01.
    #[must_use]
    pub fn dns_name(&self) -> String {
        format!("_acme-challenge.{}", self.name)
    }

    /// The TXT record's value for DNS-01.
    #[must_use]
    pub fn dns_value(&self) -> String {
        BASE64URL_NOPAD.encode(&self.alpn_digest())
    }

    /// What [`alpn_certificate`] has to carry for TLS-ALPN-01.
    #[must_use]
    pub fn alpn_digest(&self) -> [u8; 32] {
        Sha256::digest(self.key_authorization.as_bytes()).into()
    }
}

/// Makes a challenge's answer visible and takes it away again. Both ensure: twice is once.
pub trait Solver: Send + Sync {
    /// Which kinds can be answered for this name, the best first; `wildcard` names need [`Kind::Dns01`]. An order tries the first that the
    /// authority offers, and no other.
    fn kinds(&self, name: &str, wildcard: bool) -> Vec<Kind>;

    /// Makes the answer visible. When this is done, the authority may look. All answers of an order are presented at once.
    fn present<'a>(&'a self, challenge: &'a Challenge) -> BoxFuture<'a, anyhow::Result<()>>;

    /// Takes it away again, also when it was never presented.
    fn withdraw<'a>(&'a self, challenge: &'a Challenge) -> BoxFuture<'a, anyhow::Result<()>>;
}

/// When the authority suggests to renew (RFC 9773): some moment from `start` to `end`, chosen by chance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalInfo {
    /// The first moment; in the past: now.
    pub start: DateTime<Utc>,
    /// The last moment.
    pub end: DateTime<Utc>,
    /// When to ask again.
    pub retry_after: std::time::Duration,
    /// A page for people that says why (section 4.2), where there is one.
    pub explanation: Option<String>,
}
