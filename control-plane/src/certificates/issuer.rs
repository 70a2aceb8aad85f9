//! Who issues certificates. There is the local CA; public CAs (ACME) come with the issue on own domains, behind the same trait.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use tls::{Issued, LocalCa};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It may work later: the CA is away, a limit is reached, a name does not lead here yet.
    #[error("the issuer may do it later")]
    Later {
        /// When to ask again, if the issuer said.
        after: Option<Duration>,
        /// What it said.
        source: anyhow::Error,
    },
    /// It will not work before a person has done something.
    #[error("the issuer refuses")]
    Refused(#[source] anyhow::Error),
}

/// Issues certificates.
pub trait Issuer: Send + Sync {
    /// Its name in the database and in logs.
    fn name(&self) -> &'static str;
    /// A certificate with a fresh key for these names. Asking twice gives two certificates and does no harm.
    fn issue<'a>(&'a self, names: &'a [String], now: DateTime<Utc>) -> BoxFuture<'a, Result<Issued, Error>>;
    /// Whether a certificate that it issued once still serves those who trust it now.
    fn stands_by(&self, chain_pem: &str, now: DateTime<Utc>) -> bool {
        let _ = (chain_pem, now);
        true
    }
}

/// The provider's own CA in its data folder: for development and for closed networks.
#[derive(Clone, Debug)]
pub struct Local {
    keys: PathBuf,
    name: String,
    base_domain: String,
}

/// How long its certificates last. Browsers take at most 825 days from a CA of one's own; short lives keep renewal honest.
const DAYS: u16 = 90;

impl Local {
    /// The CA in the folder `keys`, made when it is not there.
    #[must_use]
    pub fn new(common: &crate::config::Common) -> Self {
        Self { keys: common.paths().keys(), name: ca_name(common), base_domain: common.base_domain.to_string() }
    }
}

/// What people see in their browser's list of authorities.
#[must_use]
pub fn ca_name(common: &crate::config::Common) -> String {
    format!("{} ({})", common.provider_name, common.base_domain)
}

impl Issuer for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    /// Not after its root was replaced, by hand or because it lapsed: people trust the new one.
    fn stands_by(&self, chain_pem: &str, _: DateTime<Utc>) -> bool {
        LocalCa::open(&self.keys).ok().flatten().is_some_and(|ca| ca.issued(chain_pem))
    }

    fn issue<'a>(&'a self, names: &'a [String], now: DateTime<Utc>) -> BoxFuture<'a, Result<Issued, Error>> {
        Box::pin(async move {
            let issuer = self.clone();
            let names = names.to_vec();
            let work = move || -> anyhow::Result<Issued> {
                let ca = LocalCa::open_or_create(&issuer.keys, &issuer.name, &[&issuer.base_domain], now)?;
                ca.issue(&names.iter().map(String::as_str).collect::<Vec<_>>(), DAYS, now)
            };
            let issued =
                tokio::task::spawn_blocking(work).await.context("the local CA's task ended").and_then(|issued| issued);
            issued.map_err(Error::Refused)
        })
    }
}
