//! Certificates that are at hand without being loaded: some hundred bytes each, their keys sealed.
//!
//! What is asked for often is in memory as rustls wants it, which takes 4 KiB. All others are here, so that a visitor of a quiet name waits for
//! no database. They are put here when they are loaded, and by [`super::fill`] once the edge knows what there is.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tls::{CompactName, Compactor};

use super::{Entry, Id, Index};

/// What the table and the allocator take for each, beside the bytes that are kept: about that much.
const BESIDE: usize = 64;

/// The small ones.
pub(super) struct Kept {
    most: usize,
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    compactor: Compactor,
    all: HashMap<Id, One>,
    bytes: usize,
}

/// Its version, then what is packed: in the table no more than a place in memory, so that two fit into a line of the processor's cache.
struct One(Box<[u8]>);

impl One {
    fn new(version: u64, packed: &[u8]) -> Self {
        Self([&version.to_be_bytes(), packed].concat().into_boxed_slice())
    }

    fn parts(&self) -> (u64, &[u8]) {
        let (version, packed) = self.0.split_first_chunk().expect("made with both");
        (u64::from_be_bytes(*version), packed)
    }

    fn bytes(&self) -> usize {
        self.0.len() + BESIDE
    }
}

impl Inner {
    fn remove(&mut self, id: Id) {
        self.bytes -= self.all.remove(&id).map_or(0, |one| one.bytes());
    }
}

/// One sealing of one certificate's key has one name: ids are random, and so are the versions of one id.
fn name(id: Id, version: u64) -> CompactName {
    let mut name = CompactName::default();
    name[..10].copy_from_slice(&id.0);
    name[4..].iter_mut().zip(version.to_be_bytes()).for_each(|(byte, version)| *byte ^= version);
    name
}

impl Kept {
    /// Keeps this many bytes at most; none when that is 0.
    pub(super) fn new(most: usize) -> Self {
        Self { most, inner: RwLock::default() }
    }

    /// Keeps a certificate in the place of an older one with the same id, if there is room. What comes when it is full is not kept.
    pub(super) fn put(&self, id: Id, version: u64, chain_pem: &str, pkcs8: &[u8]) {
        if self.most == 0 {
            return;
        }
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.remove(id);
        let packed = inner.compactor.pack(&name(id, version), chain_pem, pkcs8);
        let Some(one) = packed.map(|packed| One::new(version, &packed)) else { return };
        if inner.bytes + one.bytes() <= self.most {
            inner.bytes += one.bytes();
            inner.all.insert(id, one);
        }
    }

    /// Whether the certificate is here as it is meant by `entry`, and not an older one.
    pub(super) fn has(&self, entry: &Entry) -> bool {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.all.get(&entry.id).is_some_and(|one| one.parts().0 == entry.version)
    }

    /// The certificate made whole, as it is meant by `entry`; none when it is not here, or another one is.
    pub(super) fn find(&self, entry: &Entry) -> Option<Arc<CertifiedKey>> {
        self.whole(entry.id, |version| version == entry.version).map(|(_, key)| key)
    }

    /// The certificate made whole, whichever is here, and its version.
    pub(super) fn find_any(&self, id: Id) -> Option<(u64, Arc<CertifiedKey>)> {
        self.whole(id, |_| true)
    }

    /// Whether it can take in what is meant now: there is room, or an older one makes some.
    pub(super) fn has_room_for(&self, id: Id) -> bool {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        // About as many bytes as one takes.
        inner.bytes + 1024 < self.most || inner.all.contains_key(&id)
    }

    fn whole(&self, id: Id, meant: impl FnOnce(u64) -> bool) -> Option<(u64, Arc<CertifiedKey>)> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let (version, packed) = inner.all.get(&id)?.parts();
        let key = meant(version).then(|| inner.compactor.unpack(&name(id, version), packed))??;
        Some((version, key))
    }

    /// Keeps these no more.
    pub(super) fn forget<'a>(&self, ids: impl IntoIterator<Item = &'a Id>) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        ids.into_iter().for_each(|id| inner.remove(*id));
    }

    /// Keeps none but these.
    pub(super) fn retain(&self, ids: &HashSet<Id>) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let Inner { all, bytes, .. } = &mut *inner;
        all.retain(|id, one| {
            let stays = ids.contains(id);
            *bytes -= if stays { 0 } else { one.bytes() };
            stays
        });
    }

    /// How many are here.
    pub(super) fn len(&self) -> usize {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).all.len()
    }
}

/// Shows a certificate that is kept: it is made whole in the handshake that needs it, and gone afterwards. One configuration for all such,
/// instead of one for each time.
pub(super) struct AtHand {
    pub(super) base_domain: String,
    pub(super) index: Arc<RwLock<Index>>,
    pub(super) kept: Arc<Kept>,
}

impl std::fmt::Debug for AtHand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AtHand").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for AtHand {
    /// Since it was found, its handshake may have waited, and a newer one may be meant: what is kept is good until that is here.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or(&self.base_domain);
        let entry = self.index.read().unwrap_or_else(PoisonError::into_inner).find(name)?;
        self.kept.find_any(entry.id).map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{ClientConnection, ServerConfig, ServerConnection};
    use rustls_pki_types::CertificateDer;
    use tls::LocalCa;

    fn id(number: u8) -> Id {
        Id([number; 10])
    }

    fn has(kept: &Kept, number: u8, version: u64) -> bool {
        let entry = Entry { id: id(number), version, not_after: 0, public: false };
        assert_eq!(kept.has(&entry), kept.find(&entry).is_some());
        kept.has(&entry)
    }

    fn ca() -> LocalCa {
        let folder = tempfile::tempdir().unwrap();
        LocalCa::open_or_create(&folder.path().join("ca"), "test", &[], bundle::Clock::system().now()).unwrap()
    }

    fn put(ca: &LocalCa, kept: &Kept, number: u8, version: u64) {
        let issued = ca.issue(&[&format!("n{number}.example")], 30, bundle::Clock::system().now()).unwrap();
        kept.put(id(number), version, &issued.chain_pem, issued.key_der.secret_pkcs8_der());
    }

    /// The certificate that a visitor of this name is shown; none when the handshake fails.
    fn shown(at_hand: &ServerConfig, ca: &LocalCa, name: &str) -> Option<CertificateDer<'static>> {
        let mut server = ServerConnection::new(Arc::new(at_hand.clone())).unwrap();
        let config = tls::client_config(ca.root_pem(), &["h2"]).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap();
        let (mut said, mut answered) = (Vec::new(), Vec::new());
        client.write_tls(&mut said).unwrap();
        server.read_tls(&mut said.as_slice()).unwrap();
        server.process_new_packets().ok()?;
        server.write_tls(&mut answered).unwrap();
        client.read_tls(&mut answered.as_slice()).unwrap();
        client.process_new_packets().ok()?;
        client.peer_certificates()?.first().cloned()
    }

    #[test]
    fn there_is_room_for_so_many_bytes_and_not_for_one_more() {
        let (ca, kept) = (ca(), Kept::new(4096));
        (0..100).for_each(|number| put(&ca, &kept, number, 1));
        let held = kept.len();
        assert!((5..20).contains(&held), "{held}");
        assert!(kept.inner.read().unwrap().bytes <= 4096);
        assert!(kept.find_any(id(0)).is_some() && kept.find_any(id(99)).is_none());
        kept.forget(&[id(0), id(1), id(99)]);
        put(&ca, &kept, 99, 1);
        assert!(kept.find_any(id(99)).is_some(), "what goes makes room");
        kept.retain(&HashSet::new());
        assert_eq!((kept.len(), kept.inner.read().unwrap().bytes), (0, 0));
        let none = Kept::new(0);
        put(&ca, &none, 1, 1);
        assert_eq!(none.len(), 0);
    }

    #[test]
    fn an_older_one_is_not_taken_for_a_newer_one() {
        let (ca, kept) = (ca(), Kept::new(1 << 20));
        put(&ca, &kept, 1, 7);
        assert!(has(&kept, 1, 7) && !has(&kept, 1, 8));
        let (version, older) = kept.find_any(id(1)).unwrap();
        assert_eq!(version, 7);
        put(&ca, &kept, 1, 8);
        assert!(!has(&kept, 1, 7) && has(&kept, 1, 8));
        assert_ne!(kept.find_any(id(1)).unwrap().1.cert, older.cert);
        assert_eq!(kept.len(), 1);
    }

    #[test]
    fn a_handshake_is_shown_what_is_kept_until_something_newer_is() {
        let (ca, kept, index) = (ca(), Arc::new(Kept::new(1 << 20)), Arc::<RwLock<Index>>::default());
        let mut at_hand = tls::server_config(Arc::new(tls::Resolver::new()), &["h2"]).unwrap();
        let base_domain = "n1.example".to_owned();
        at_hand.cert_resolver = Arc::new(AtHand { base_domain, index: index.clone(), kept: kept.clone() });
        put(&ca, &kept, 1, 7);
        assert_eq!(shown(&at_hand, &ca, "n1.example"), None, "nobody said that it stands for that name");
        // A newer one is meant already, but not here yet.
        let meant = Entry { id: id(1), version: 8, not_after: 0, public: false };
        index.write().unwrap().put(meant, ["n1.example"]);
        let older = shown(&at_hand, &ca, "n1.example").unwrap();
        assert_eq!(shown(&at_hand, &ca, "n2.example"), None);
        put(&ca, &kept, 1, 8);
        let newer = shown(&at_hand, &ca, "n1.example").unwrap();
        assert!(newer != older && kept.find(&meant).unwrap().cert[0] == newer);
        kept.forget(&[id(1)]);
        assert_eq!(shown(&at_hand, &ca, "n1.example"), None);
    }
}
