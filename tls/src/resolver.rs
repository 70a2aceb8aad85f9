//! Which certificate answers for which name.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::Certified;

/// Finds the certificate for the name that a browser asks for (SNI); in memory, replaced as a whole, never locked.
///
/// An exact name wins over a wildcard. A name that nobody has a certificate for gets a TLS alert and nothing else; who
/// asks for no name at all (an old program, a health check by address) gets the fallback when there is one.
#[derive(Debug, Default)]
pub struct Resolver {
    table: ArcSwap<Table>,
}

#[derive(Clone, Debug, Default)]
struct Table {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    fallback: Option<Arc<CertifiedKey>>,
}

impl Resolver {
    /// A resolver that knows no certificate yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Knows exactly these from now on. Where two stand for the same name, the one that lasts longer wins; `fallback` is a
    /// name whose certificate answers when no name is asked for.
    pub fn replace<'a>(&self, all: impl IntoIterator<Item = &'a Certified>, fallback: Option<&str>) {
        let mut sorted: Vec<&Certified> = all.into_iter().collect();
        sorted.sort_by_key(|c| c.not_after());
        let mut by_name = HashMap::new();
        for certified in sorted {
            for name in certified.names() {
                by_name.insert(name.clone(), certified.key());
            }
        }
        let fallback = fallback.and_then(|name| look_up(&by_name, name));
        self.table.store(Arc::new(Table { by_name, fallback }));
    }

    /// The certificate for a name, if there is one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        look_up(&self.table.load().by_name, name)
    }

    /// The certificate for those who ask for no name.
    #[must_use]
    pub fn fallback(&self) -> Option<Arc<CertifiedKey>> {
        self.table.load().fallback.clone()
    }

    /// True while it knows no certificate.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.load().by_name.is_empty()
    }
}

fn look_up(by_name: &HashMap<String, Arc<CertifiedKey>>, name: &str) -> Option<Arc<CertifiedKey>> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let wildcard = || name.split_once('.').and_then(|(_, above)| by_name.get(&format!("*.{above}")));
    by_name.get(&name).or_else(wildcard).cloned()
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match hello.server_name() {
            Some(name) => self.find(name),
            None => self.table.load().fallback.clone(),
        }
    }
}
