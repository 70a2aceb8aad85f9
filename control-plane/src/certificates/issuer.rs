//! Who issues certificates: the trait, the local CA, and in which order they are asked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use tls::{Issued, LocalCa};

use super::{Validity, known::Known};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody was asked: a budget is used up, or the CA is known to be away. No failure of the certificate's own.
    #[error("{words}")]
    NotNow {
        /// When it may go on.
        until: DateTime<Utc>,
        /// Why it waits.
        words: String,
        /// Something is wrong (with the CA), as opposed to a budget that is used up.
        trouble: bool,
    },
    /// The CA does not answer as one should: another may do it.
    #[error("{issuer} is away")]
    Away {
        /// Whom it was asked.
        issuer: String,
        /// When to ask again, if it said.
        after: Option<Duration>,
        /// What it said.
        source: anyhow::Error,
    },
    /// The CA gives these names none for a while, since they have had many or failed often. It serves everybody else, and another may do it.
    #[error("{issuer} limits these names")]
    Limited {
        /// Whom it was asked.
        issuer: String,
        /// When to ask again, if it said.
        after: Option<Duration>,
        /// What it said.
        source: anyhow::Error,
    },
    /// The CA saw that a name does not lead here, or hangs where it leads to: this name's own failure.
    #[error("{issuer} could not validate {name}")]
    NotValidated {
        /// Whom it was asked.
        issuer: String,
        /// Which name.
        name: String,
        /// What it said.
        source: anyhow::Error,
    },
    /// It will not work at this CA before a person has done something.
    #[error("{issuer} refuses")]
    Refused {
        /// Whom it was asked.
        issuer: String,
        /// What it said.
        source: anyhow::Error,
    },
}

/// What is ordered.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The certificate's id.
    pub id: &'a str,
    /// Whose it is; none for the provider's own.
    pub tenant: Option<&'a str>,
    /// Its names.
    pub names: &'a [String],
    /// The chain that it replaces, when the same issuer issued that and suggests when to renew (ARI).
    pub replaces: Option<&'a str>,
    /// Now is inside the window in which that issuer suggests to renew.
    pub in_window: bool,
    /// From when to when the one is good that serves; none while there is none.
    pub serving: Option<Validity>,
    /// Failures in a row so far.
    pub tries: i32,
    /// What time it is.
    pub now: DateTime<Utc>,
}

/// When a CA suggests to renew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its beginning.
    pub start: DateTime<Utc>,
    /// Its end.
    pub end: DateTime<Utc>,
    /// When to ask again.
    pub after: Duration,
    /// A page that says why, where there is one.
    pub explanation: Option<String>,
}

/// Issues certificates.
pub trait Issuer: Send + Sync {
    /// Its name in the database and in logs.
    fn name(&self) -> &str;
    /// Whether people trust it without having been told to.
    fn is_public(&self) -> bool {
        false
    }
    /// Whether it is reached with a root of the operator's own.
    fn has_own_root(&self) -> bool {
        false
    }
    /// Whether it can issue for all of these names.
    fn can(&self, names: &[String]) -> bool;
    /// A certificate with a fresh key. Asking twice gives two certificates and does no harm.
    fn issue<'a>(&'a self, order: &'a Order<'a>) -> BoxFuture<'a, Result<Issued, Error>>;
    /// When it suggests to renew one of its certificates; none when it does not say.
    fn suggests<'a>(&'a self, chain_pem: &'a str) -> BoxFuture<'a, Result<Option<Window>, Error>> {
        let _ = chain_pem;
        Box::pin(async { Ok(None) })
    }
    /// Takes away what orders have left behind that were cut off.
    fn tidy(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
    /// How it is met in the CAA records of names that owners bring along; none when nobody knows.
    fn identity(&self) -> BoxFuture<'_, Result<Option<Identity>, Error>> {
        Box::pin(std::future::ready(Ok(None)))
    }
    /// Whether a certificate that it issued once still serves those who trust it now.
    fn stands_by(&self, chain_pem: &str, now: DateTime<Utc>) -> bool {
        let _ = (chain_pem, now);
        true
    }
}

/// All issuers, in the order in which they are asked.
#[derive(Clone)]
pub struct Issuers(Vec<Arc<dyn Issuer>>);

/// A name that stands for all that owners bring along.
pub(super) const ANYBODYS: &str = "www.any.example";

/// How a CA is met in CAA records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The domains by which it knows itself.
    pub names: Vec<String>,
    /// Our account there, once there is one.
    pub account: Option<String>,
    /// The ways in which such names are proved to it.
    pub methods: Vec<String>,
}

impl Issuers {
    /// The first is asked first.
    #[must_use]
    pub fn new(issuers: Vec<Arc<dyn Issuer>>) -> Self {
        Self(issuers)
    }

    /// Who may be asked for these names, in order: public ones, and only where none can do it the local one. After repeated failures
    /// another public one comes first.
    #[must_use]
    pub fn candidates(&self, names: &[String], tries: i32) -> Vec<&Arc<dyn Issuer>> {
        let can = |public: bool| {
            self.0.iter().filter(|issuer| issuer.is_public() == public && issuer.can(names)).collect::<Vec<_>>()
        };
        let mut public = can(true);
        if public.is_empty() {
            return can(false);
        }
        let turn = usize::try_from(tries.saturating_sub(1)).unwrap_or(0) % public.len();
        public.rotate_left(turn);
        public
    }

    /// Who can do it at once, until a public one has: so that the portal answers from its first second on.
    #[must_use]
    pub fn stopgap(&self, names: &[String]) -> Option<&Arc<dyn Issuer>> {
        let public = self.0.iter().any(|issuer| issuer.is_public() && issuer.can(names));
        self.0.iter().find(|issuer| public && !issuer.is_public() && issuer.can(names))
    }

    /// Has each of them take away what orders have left behind.
    pub async fn tidy(&self) {
        for issuer in &self.0 {
            issuer.tidy().await;
        }
    }

    /// By its name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<dyn Issuer>> {
        self.0.iter().find(|issuer| issuer.name() == name)
    }

    /// Those that can issue for names that owners bring along.
    pub(super) fn for_own_domains(&self) -> impl Iterator<Item = &Arc<dyn Issuer>> {
        let anybodys = [ANYBODYS.to_owned()];
        self.0.iter().filter(move |issuer| issuer.can(&anybodys))
    }

    /// What others are told of them.
    #[must_use]
    pub fn known(&self) -> Known {
        let public = self.0.iter().filter(|issuer| issuer.is_public()).map(|issuer| issuer.name().to_owned()).collect();
        let mut asked = self.for_own_domains().peekable();
        let own_domains = asked.peek().is_some();
        Known { public, own_domains, own_root: own_domains && asked.all(|issuer| issuer.has_own_root()) }
    }
}

/// The provider's own CA in its data folder: for development and for closed networks.
#[derive(Clone, Debug)]
pub struct Local {
    keys: PathBuf,
    name: String,
    base_domain: String,
}

/// The local CA's name in the database.
pub const LOCAL: &str = "local";

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

/// Whether a name (with or without `*.`) is a domain or below it.
pub(super) fn is_below(name: &str, domain: &str) -> bool {
    crate::dns::is_below(name.strip_prefix("*.").unwrap_or(name), domain)
}

impl Issuer for Local {
    fn name(&self) -> &str {
        LOCAL
    }

    /// Its root is constrained to the base domain: people are asked to trust it.
    fn can(&self, names: &[String]) -> bool {
        names.iter().all(|name| is_below(name, &self.base_domain))
    }

    /// Not after its root was replaced, by hand or because it lapsed: people trust the new one.
    fn stands_by(&self, chain_pem: &str, _: DateTime<Utc>) -> bool {
        LocalCa::open(&self.keys).ok().flatten().is_some_and(|ca| ca.issued(chain_pem))
    }

    fn issue<'a>(&'a self, order: &'a Order<'a>) -> BoxFuture<'a, Result<Issued, Error>> {
        Box::pin(async move {
            let issuer = self.clone();
            let (names, now) = (order.names.to_vec(), order.now);
            let work = move || -> anyhow::Result<Issued> {
                let ca = LocalCa::open_or_create(&issuer.keys, &issuer.name, &[&issuer.base_domain], now)?;
                ca.issue(&names.iter().map(String::as_str).collect::<Vec<_>>(), DAYS, now)
            };
            let issued =
                tokio::task::spawn_blocking(work).await.context("the local CA's task ended").and_then(|issued| issued);
            issued.map_err(|source| Error::Refused { issuer: "the local CA".into(), source })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Played(&'static str, bool, &'static str);

    impl Issuer for Played {
        fn name(&self) -> &str {
            self.0
        }
        fn is_public(&self) -> bool {
            self.1
        }
        fn can(&self, names: &[String]) -> bool {
            names.iter().all(|name| name.ends_with(self.2))
        }
        fn issue<'a>(&'a self, _: &'a Order<'a>) -> BoxFuture<'a, Result<Issued, Error>> {
            Box::pin(async { unreachable!("nobody orders here") })
        }
    }

    #[test]
    fn public_issuers_come_first_and_change_places_when_one_fails_again_and_again() {
        let issuers = Issuers::new(vec![
            Arc::new(Played("first", true, ".example")),
            Arc::new(Played("second", true, ".example")),
            Arc::new(Played("local", false, ".localhost")),
        ]);
        let order = |name: &str, tries| -> Vec<String> {
            issuers.candidates(&[name.to_owned()], tries).iter().map(|one| one.name().to_owned()).collect()
        };
        for (name, tries, expected) in [
            ("a.example", 0, &["first", "second"][..]),
            ("a.example", 1, &["first", "second"]),
            ("a.example", 2, &["second", "first"]),
            ("a.example", 3, &["first", "second"]),
            ("a.example", i32::MAX, &["first", "second"]),
            ("a.localhost", 0, &["local"]),
            ("a.test", 0, &[]),
        ] {
            assert_eq!(order(name, tries), expected, "{name} {tries}");
        }
        let public = vec!["first".to_owned(), "second".to_owned()];
        assert_eq!(issuers.known(), Known { public, own_domains: true, own_root: false });
        let local = Issuers::new(vec![Arc::new(Played("local", false, ".localhost"))]);
        assert_eq!(local.known(), Known { public: vec![], own_domains: false, own_root: false });
        assert!(issuers.stopgap(&["a.example".into()]).is_none(), "no other can do it");
        assert!(issuers.stopgap(&["a.localhost".into()]).is_none(), "no public one will do it better");
    }
}
