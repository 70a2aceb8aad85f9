//! Certificates for a hundred thousand names: an index of all of them in memory, and those that are asked for.
//!
//! The index ([`Index`], kept true by [`super::watch`]) says which certificate stands for a name. What was asked for last is in memory as rustls
//! wants it, the provider's own always. The others are made whole from what is kept of them ([`kept`]); for what is not there, chain and key are
//! read from the database and unsealed, once however many ask. What is kept is kept up in the background ([`fill`]). While Postgres is
//! away, what is in memory or kept serves, though a newer one be meant, and a handshake that needs more waits as long as a handshake may.

mod fill;
mod index;
mod kept;
mod lately;
mod load;

use std::collections::HashSet;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, UnitWeighter};
use rustls::ServerConfig;
use rustls::sign::CertifiedKey;
use tokio::sync::{Mutex, SetOnce};
use tokio::time::{Duration, Instant, timeout};

use fill::Behind;
pub(super) use index::{Entry, Id, Index};
use kept::{AtHand, Kept};
use lately::Lately;
pub(super) use load::{Source, entry};

/// After a certificate could not be loaded, how long until it is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// How long a handshake waits for a newer one while an older one could serve: far more than it takes, far less than a handshake may.
const NEWER: Duration = Duration::from_secs(2);

/// What a handshake goes on with.
pub(super) struct Shown {
    pub(super) config: Arc<ServerConfig>,
    /// An authority that browsers know vouches for it.
    pub(super) public: bool,
}

/// A certificate in memory.
struct Held {
    version: u64,
    /// None when it cannot be used.
    config: Option<Arc<ServerConfig>>,
    pinned: bool,
    /// Before when it is not tried again, after it failed; held by the one handshake that tries.
    again: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Pin;

impl Lifecycle<Id, Arc<Held>> for Pin {
    type RequestState = ();
    fn is_pinned(&self, _: &Id, held: &Arc<Held>) -> bool {
        held.pinned
    }
}

/// All certificates of the provider's.
pub(super) struct Certificates {
    base_domain: String,
    index: Arc<RwLock<Index>>,
    /// Set when everything was read for the first time; a handshake waits for that.
    known: SetOnce<()>,
    held: Cache<Id, Arc<Held>, UnitWeighter, DefaultHashBuilder, Pin>,
    kept: Arc<Kept>,
    behind: Behind,
    lately: Lately,
    /// Has no certificate: what all others are made from, and what answers for names that nobody has.
    nobody: Arc<ServerConfig>,
    /// Shows whatever is kept.
    at_hand: Arc<ServerConfig>,
    source: OnceLock<Source>,
}

impl Certificates {
    /// Knows nothing yet. Keeps `in_memory` certificates loaded, and the provider's own; of others, `kept_bytes` of what it takes to show them.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub(super) fn new(base_domain: &str, in_memory: usize, kept_bytes: usize) -> anyhow::Result<Self> {
        let nobody = tls::server_config(Arc::new(tls::Resolver::new()), &["h2", "http/1.1"])?;
        let held =
            Cache::with(in_memory.max(1), in_memory.max(1) as u64, UnitWeighter, DefaultHashBuilder::default(), Pin);
        let (index, kept) = (Arc::<RwLock<Index>>::default(), Arc::new(Kept::new(kept_bytes)));
        let mut at_hand = nobody.clone();
        let base_domain = base_domain.to_owned();
        at_hand.cert_resolver =
            Arc::new(AtHand { base_domain: base_domain.clone(), index: index.clone(), kept: kept.clone() });
        Ok(Self {
            base_domain,
            index,
            known: SetOnce::new(),
            held,
            kept,
            behind: Behind::default(),
            lately: Lately::default(),
            nobody: Arc::new(nobody),
            at_hand: Arc::new(at_hand),
            source: OnceLock::new(),
        })
    }

    /// Says where they are.
    pub(super) fn open(&self, source: Source) {
        drop(self.source.set(source));
    }

    /// Where they are, once somebody said so.
    pub(super) fn source(&self) -> Option<&Source> {
        self.source.get()
    }

    /// What a handshake without any certificate goes on with: to an alert.
    pub(super) fn nobody(&self) -> Arc<ServerConfig> {
        self.nobody.clone()
    }

    fn entry(&self, name: Option<&str>) -> Option<Entry> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).find(name.unwrap_or(&self.base_domain))
    }

    /// Whether the certificate that was shown for `name` stands for `host` too.
    pub(super) fn same(&self, name: Option<&str>, host: &str) -> bool {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let shown = index.find(name.unwrap_or(&self.base_domain));
        shown.is_some_and(|shown| index.find(host).is_some_and(|meant| meant.id == shown.id))
    }

    /// The certificate for a name, loaded if it has to be; who names none is shown the provider's. None when there is none, or none to be had.
    pub(super) async fn shown(&self, name: Option<&str>) -> Option<Shown> {
        self.until_known().await;
        let entry = self.entry(name)?;
        let held = match self.held.get(&entry.id) {
            Some(held) if held.version == entry.version && held.config.is_some() => held,
            Some(held) => self.renew(entry, held).await,
            None if self.kept.has(&entry) => {
                // It becomes ready if it is wanted often: to make it again is less work than to have it take another's place for nothing.
                let often = name.is_none() || self.lately.again(entry.id);
                match often.then(|| self.kept.find(&entry)).flatten() {
                    Some(key) => self.whole(entry, key),
                    None => return Some(Shown { config: self.at_hand.clone(), public: entry.public }),
                }
            }
            None => match self.older(entry) {
                Some(older) => self.renew(entry, older).await,
                None => self.held.get_or_insert_async(&entry.id, self.load(entry, true)).await.ok()?,
            },
        };
        Some(Shown { config: held.config.clone()?, public: entry.public })
    }

    /// Whether it is the provider's own.
    fn is_own(&self, id: Id) -> bool {
        self.entry(None).is_some_and(|own| own.id == id)
    }

    /// Of what was kept; ready from now on.
    fn whole(&self, entry: Entry, key: Arc<CertifiedKey>) -> Arc<Held> {
        let held = self.ready(entry, key);
        self.held.insert(entry.id, held.clone());
        held
    }

    fn ready(&self, entry: Entry, key: Arc<CertifiedKey>) -> Arc<Held> {
        let (config, pinned) = (Some(Arc::new(tls::serving(&self.nobody, key))), self.is_own(entry.id));
        Arc::new(Held { version: entry.version, config, pinned, again: Mutex::default() })
    }

    /// What is kept in the place of the one that is meant; ready from now on, so that all who come meanwhile have the same.
    fn older(&self, entry: Entry) -> Option<Arc<Held>> {
        let (version, key) = self.kept.find_any(entry.id)?;
        let ready = || Ok::<_, std::convert::Infallible>(self.ready(Entry { version, ..entry }, key));
        self.held.get_or_insert_with(&entry.id, ready).ok()
    }

    /// Replaces one that is old or cannot be used. Meanwhile, and when that fails, the old one serves.
    async fn renew(&self, entry: Entry, held: Arc<Held>) -> Arc<Held> {
        if let Some(key) = self.kept.find(&entry) {
            return self.whole(entry, key);
        }
        let Ok(mut again) = held.again.try_lock() else { return held.clone() };
        if again.is_some_and(|at| Instant::now() < at) {
            return held.clone();
        }
        match timeout(NEWER, self.load(entry, false)).await {
            Ok(Ok(fresh)) if fresh.config.is_some() || held.config.is_none() => {
                self.held.insert(entry.id, fresh.clone());
                fresh
            }
            _ => {
                *again = Some(Instant::now() + AGAIN);
                held.clone()
            }
        }
    }

    /// Loads the provider's own, so that it is there when Postgres is not.
    pub(super) async fn warm(&self) {
        if self.entry(None).is_some() {
            let _ = self.shown(None).await;
        }
    }

    /// An index for [`Certificates::replace`].
    pub(super) fn anew(&self) -> Index {
        self.index.read().unwrap_or_else(PoisonError::into_inner).like()
    }

    /// Knows exactly these from now on.
    pub(super) fn replace(&self, fresh: Index) {
        if self.kept.len() > fresh.certificates() {
            self.kept.retain(&fresh.ids());
        }
        // Before it is shared: to look at all of them takes longer than others may wait.
        self.behind.add(fresh.entries().filter(|entry| !self.kept.has(entry)).map(|entry| entry.id));
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        self.measure();
    }

    /// Of the certificates with these ids, knows what is in `rows` and nothing else.
    pub(super) fn change<'a>(&self, ids: &HashSet<Id>, rows: impl IntoIterator<Item = (Entry, Vec<&'a str>)>) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.forget(ids);
        let mut gone = ids.clone();
        let mut behind = Vec::new();
        for (entry, names) in rows {
            gone.remove(&entry.id);
            index.put(entry, names);
            if !self.kept.has(&entry) {
                behind.push(entry.id);
            }
        }
        drop(index);
        self.kept.forget(&gone);
        self.behind.add(behind);
        // What could not be used may have been mended just now.
        let useless = |id: &&Id| gone.contains(id) || self.held.peek(*id).is_some_and(|held| held.config.is_none());
        ids.iter().filter(useless).for_each(|id| drop(self.held.remove(id)));
        self.measure();
    }

    /// Everything was read once: handshakes need not wait any more.
    pub(super) fn known(&self) {
        let _ = self.known.set(());
    }

    /// Whether it was.
    pub(super) fn are_known(&self) -> bool {
        self.known.initialized()
    }

    /// Waits for that: routes are known then, too.
    pub(super) async fn until_known(&self) {
        if !self.are_known() {
            self.known.wait().await;
        }
    }

    fn measure(&self) {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        metrics::gauge!("percloud_edge_certificates").set(index.certificates() as f64);
        metrics::gauge!("percloud_edge_certificates_in_memory").set(self.held.len() as f64);
        metrics::gauge!("percloud_edge_certificates_kept").set(self.kept.len() as f64);
        if let Some(first) = index.first_end() {
            metrics::gauge!("percloud_edge_certificate_ends_seconds").set(f64::from(first));
        }
    }

    /// Exactly these, as if an authority that browsers know had issued them, without a database.
    #[cfg(test)]
    pub(super) fn keep(&self, all: &[tls::Certified]) {
        let mut fresh = self.anew();
        for (number, certified) in (0_u64..).zip(all) {
            let id = data_encoding::BASE32_NOPAD.encode(&[&[0; 2][..], &number.to_be_bytes()].concat()).to_lowercase();
            let id = Id::parse(&format!("c-{id}")).unwrap();
            let entry = Entry { id, version: 0, not_after: load::seconds(certified.not_after()), public: true };
            fresh.put(entry, certified.names().iter().map(String::as_str));
            let config = Some(Arc::new(tls::serving(&self.nobody, certified.key())));
            self.held.insert(id, Arc::new(Held { version: 0, config, pinned: true, again: Mutex::default() }));
        }
        self.replace(fresh);
        self.known();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn so_many_are_in_memory_and_the_providers_own_always() {
        const MOST: usize = 16;
        let certificates = Certificates::new("cloud.example", MOST, 0).unwrap();
        let entry = |number: u8| Entry {
            id: Id::parse(&format!("c-{}", data_encoding::BASE32_NOPAD.encode(&[number; 10]).to_lowercase())).unwrap(),
            version: 1,
            not_after: 0,
            public: false,
        };
        let held = |pinned| {
            let config = Some(certificates.nobody());
            Arc::new(Held { version: 1, config, pinned, again: Mutex::default() })
        };
        certificates.held.insert(entry(0).id, held(true));
        for number in 1..=200 {
            let id = entry(number).id;
            certificates.held.get_or_insert_async(&id, async { anyhow::Ok(held(false)) }).await.unwrap();
            assert!(certificates.held.len() <= MOST + 1, "{} after {number}", certificates.held.len());
        }
        assert!(certificates.held.get(&entry(0).id).is_some(), "the provider's own stays");
    }

    #[tokio::test]
    async fn what_is_kept_serves_until_the_newer_one_can_be_had() {
        let folder = tempfile::tempdir().unwrap();
        let now = bundle::Clock::system().now();
        let ca = tls::LocalCa::open_or_create(&folder.path().join("ca"), "test", &[], now).unwrap();
        // Nobody says where certificates are: a database that is away for good.
        let certificates = Certificates::new("cloud.example", 16, 1 << 20).unwrap();
        let entry = |version| Entry { id: Id([7; 10]), version, not_after: 0, public: true };
        let put = |version| {
            let issued = ca.issue(&["quiet.example"], 30, now).unwrap();
            certificates.kept.put(entry(version).id, version, &issued.chain_pem, issued.key_der.secret_pkcs8_der());
        };
        let shown = async || {
            assert!(certificates.shown(Some("quiet.example")).await.is_some());
            certificates.held.get(&entry(0).id).map(|held| held.version)
        };
        certificates.known();
        put(1);
        certificates.change(&HashSet::from([entry(1).id]), [(entry(1), vec!["quiet.example"])]);
        assert_eq!(shown().await, None, "it is at hand, and takes no other's place");
        certificates.change(&HashSet::from([entry(2).id]), [(entry(2), vec!["quiet.example"])]);
        assert_eq!(certificates.behind.all().await, [entry(2).id], "it is fetched without anybody asking");
        assert_eq!((shown().await, shown().await), (Some(1), Some(1)), "the older one serves");
        put(2);
        assert_eq!(shown().await, Some(2), "it is there, and needs no database");
    }
}
