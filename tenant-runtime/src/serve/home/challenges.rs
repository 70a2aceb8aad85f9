//! The answers to an authority's questions, while it has some.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::{FutureExt, future::BoxFuture};
use rustls::sign::CertifiedKey;
use tls::acme::{Challenge, Kind, Solver};

/// What is shown now: files on the plain port, certificates on the HTTPS one.
#[derive(Debug, Default)]
pub(super) struct Challenges {
    /// Whether there is a plain port.
    plain: bool,
    /// How often in a row it has failed: the next way comes first each time.
    failures: AtomicUsize,
    files: Mutex<HashMap<String, String>>,
    certificates: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl Challenges {
    pub(super) fn new(plain: bool) -> Self {
        Self { plain, ..Self::default() }
    }

    /// So many orders in a row have failed. Each tries one way, since authorities count: five failures an hour are what they bear.
    pub(super) fn failed(&self, failures: u32) {
        self.failures.store(usize::try_from(failures).unwrap_or_default(), Ordering::Relaxed);
    }

    /// What to answer to HTTP-01.
    pub(super) fn file(&self, token: &str) -> Option<String> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    /// With what to answer TLS-ALPN-01.
    pub(super) fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

impl Solver for Challenges {
    fn kinds(&self, _name: &str, wildcard: bool) -> Vec<Kind> {
        let mut kinds = match (wildcard, self.plain) {
            (true, _) => return vec![],
            (false, true) => vec![Kind::Http01, Kind::TlsAlpn01],
            (false, false) => vec![Kind::TlsAlpn01],
        };
        let turn = self.failures.load(Ordering::Relaxed) % kinds.len();
        kinds.rotate_left(turn);
        kinds
    }

    fn present<'a>(&'a self, challenge: &'a Challenge) -> BoxFuture<'a, anyhow::Result<()>> {
        let shown = || {
            match challenge.kind {
                Kind::Http01 => {
                    let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
                    files.insert(challenge.token.clone(), challenge.key_authorization.clone());
                }
                Kind::TlsAlpn01 => {
                    let key = tls::acme::alpn_certificate(&challenge.name, challenge.alpn_digest())?;
                    let mut certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
                    certificates.insert(challenge.name.clone(), key);
                }
                Kind::Dns01 => anyhow::bail!("nobody here can change DNS"),
            }
            Ok(())
        };
        std::future::ready(shown()).boxed()
    }

    fn withdraw<'a>(&'a self, challenge: &'a Challenge) -> BoxFuture<'a, anyhow::Result<()>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(&challenge.token);
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).remove(&challenge.name);
        std::future::ready(Ok(())).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_the_other_way_comes_first() {
        use Kind::{Http01, TlsAlpn01};
        for (plain, failures, kinds) in [
            (true, 0, &[Http01, TlsAlpn01][..]),
            (true, 1, &[TlsAlpn01, Http01]),
            (true, 2, &[Http01, TlsAlpn01]),
            (false, 1, &[TlsAlpn01]),
        ] {
            let challenges = Challenges::new(plain);
            challenges.failed(failures);
            assert_eq!(challenges.kinds("me.example", false), kinds, "{plain} {failures}");
        }
    }
}
