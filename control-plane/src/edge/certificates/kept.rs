//! Certificates that are at hand without being loaded: some hundred bytes each, their keys sealed.
//!
//! What is asked for often is in memory as rustls wants it, which takes 4 KiB. All others are here, so that a visitor of a quiet name waits for
//! no database. They are put here when they are loaded, and by [`Certificates::fill`] once the edge knows what there is.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context;
use rustls::sign::CertifiedKey;
use tls::{CompactName, Compactor};
use tokio::time::{Duration, sleep};

use super::load::{opened, version};
use super::{AGAIN, Certificates, Entry, Id};
use crate::edge::sql;

/// Read at once while filling.
const BATCH: i64 = 200;
/// Between two batches, so that visitors come in between.
const BREATH: Duration = Duration::from_millis(10);
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
    all: HashMap<Id, Box<[u8]>>,
    bytes: usize,
}

impl Inner {
    fn remove(&mut self, id: Id) {
        self.bytes -= self.all.remove(&id).map_or(0, |one| one.len() + BESIDE);
    }
}

/// One sealing of one certificate's key has one name.
fn name(id: Id, version: u64) -> CompactName {
    let mut name = [0; 24];
    name[..10].copy_from_slice(&id.0);
    name[10..18].copy_from_slice(&version.to_be_bytes());
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
        let Some(packed) = packed.filter(|one| inner.bytes + one.len() + BESIDE <= self.most) else { return };
        inner.bytes += packed.len() + BESIDE;
        inner.all.insert(id, packed);
    }

    /// The certificate as it is meant by `entry`; none when it is not here, or an older one is.
    pub(super) fn find(&self, entry: &Entry) -> Option<Arc<CertifiedKey>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.compactor.unpack(&name(entry.id, entry.version), inner.all.get(&entry.id)?)
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
            *bytes -= if stays { 0 } else { one.len() + BESIDE };
            stays
        });
    }

    /// How many are here.
    pub(super) fn len(&self) -> usize {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).all.len()
    }

    /// About as many bytes as it may be.
    fn is_full(&self) -> bool {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).bytes + 1024 >= self.most
    }
}

impl Certificates {
    /// Puts all there are within reach, slowly, until there is no more room. A database that is away is waited for.
    pub(in crate::edge) async fn fill(&self) {
        let mut last = String::new();
        while !self.kept.is_full() {
            match self.fill_on(&mut last).await {
                Ok(true) => sleep(BREATH).await,
                Ok(false) => break,
                // Whoever watches the database says why.
                Err(_) => sleep(AGAIN).await,
            }
        }
        self.measure();
        tracing::debug!(certificates = self.kept.len(), "certificates are at hand");
    }

    /// The next of them behind the id `last`; whether there were any.
    async fn fill_on(&self, last: &mut String) -> anyhow::Result<bool> {
        let source = self.source.get().context("nobody said where certificates are")?;
        let rows = source.db.get().await?.query(sql::CERTIFICATES_AFTER, &[last, &BATCH]).await?;
        let Some(row) = rows.last() else { return Ok(false) };
        *last = row.try_get("id")?;
        let (seal, kept) = (source.seal.clone(), self.kept.clone());
        let put = move || -> anyhow::Result<()> {
            for row in rows {
                let (id, sealed): (&str, &[u8]) = (row.try_get("id")?, row.try_get("key_sealed")?);
                // One that cannot be opened is said so when somebody asks for it.
                if let (Some(parsed), Ok(key)) = (Id::parse(id), opened(&seal, id, sealed)) {
                    kept.put(parsed, version(sealed), row.try_get("chain_pem")?, &key);
                }
            }
            Ok(())
        };
        tokio::task::spawn_blocking(put).await??;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tls::LocalCa;

    fn id(number: u8) -> Id {
        Id([number; 10])
    }

    fn entry(number: u8, version: u64) -> Entry {
        Entry { id: id(number), version, not_after: 0, public: false }
    }

    /// A store of this size, with a function that puts a certificate into it.
    fn store(most: usize) -> (Kept, impl Fn(&Kept, u8, u64)) {
        let folder = tempfile::tempdir().unwrap();
        let now = bundle::Clock::system().now();
        let ca = LocalCa::open_or_create(&folder.path().join("ca"), "test", &[], now).unwrap();
        let put = move |kept: &Kept, number, version| {
            let issued = ca.issue(&[&format!("n{number}.example")], 30, now).unwrap();
            kept.put(id(number), version, &issued.chain_pem, issued.key_der.secret_pkcs8_der());
        };
        (Kept::new(most), put)
    }

    #[test]
    fn there_is_room_for_so_many_bytes_and_not_for_one_more() {
        let (kept, put) = store(4096);
        (0..100).for_each(|number| put(&kept, number, 1));
        let held = kept.len();
        assert!((5..20).contains(&held), "{held}");
        assert!(kept.inner.read().unwrap().bytes <= 4096);
        assert!(kept.find(&entry(0, 1)).is_some() && kept.find(&entry(99, 1)).is_none());
        kept.forget(&[id(0), id(1), id(99)]);
        put(&kept, 99, 1);
        assert!(kept.find(&entry(99, 1)).is_some(), "what goes makes room");
        kept.retain(&HashSet::new());
        assert_eq!((kept.len(), kept.inner.read().unwrap().bytes), (0, 0));
        let (none, put) = store(0);
        put(&none, 1, 1);
        assert_eq!(none.len(), 0);
    }

    #[test]
    fn an_older_one_is_not_shown() {
        let (kept, put) = store(1 << 20);
        put(&kept, 1, 7);
        assert!(kept.find(&entry(1, 7)).is_some() && kept.find(&entry(1, 8)).is_none());
        put(&kept, 1, 8);
        assert!(kept.find(&entry(1, 7)).is_none() && kept.find(&entry(1, 8)).is_some());
        assert_eq!(kept.len(), 1);
    }
}
