//! Content-addressed, immutable content: SHA-256, CRC-32 and size are known before a row may name it.

use std::{
    fmt,
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use anyhow::Context;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use sha2::Digest;

/// A blob's SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = anyhow::Error;
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

impl ToSql for Hash {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(&self.0[..]))
    }
}

impl FromSql for Hash {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let bytes = value.as_blob()?;
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| FromSqlError::InvalidBlobSize { expected_size: 32, blob_size: bytes.len() })
    }
}

/// What is known of a blob; rows keep all three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// SHA-256 of the content; its name.
    pub sha256: Hash,
    /// CRC-32 (IEEE) of the content, as ZIP wants it.
    pub crc32: u32,
    /// Bytes.
    pub size: u64,
}

/// The folder of blobs; clones share it.
#[derive(Clone, Debug)]
pub struct Blobs {
    folder: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes of all blobs; counted when first asked for, then kept up to date.
    used: Mutex<Option<u64>>,
    /// Read while a blob comes in, written while blobs are counted or removed: a blob that somebody is about to name
    /// is never swept away under them.
    sweep: RwLock<()>,
}

/// How long a blob may lie without a row that names it, in case its row is still being made.
const GRACE: Duration = Duration::from_secs(24 * 3600);
/// How long nothing may have been written to a file that comes in before it counts as left over.
const WRITTEN: Duration = Duration::from_secs(3600);

impl Blobs {
    /// Opens (and makes) `folder/blobs`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.join("blobs");
        for inner in ["incoming", "uploads"] {
            std::fs::create_dir_all(folder.join(inner)).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(Self { folder, shared: Arc::default() })
    }

    /// Bytes of all blobs together; the first call walks the folder, later ones answer from memory.
    #[must_use]
    pub fn used(&self) -> u64 {
        if let Some(used) = *self.counter() {
            return used;
        }
        let _all = self.shared.sweep.write().unwrap_or_else(PoisonError::into_inner);
        let used = self.walk().map(|(_, meta)| meta.len()).sum();
        *self.counter() = Some(used);
        used
    }

    /// Bytes of these blobs together; a missing one counts nothing.
    #[must_use]
    pub fn size_of(&self, hashes: &[Hash]) -> u64 {
        hashes.iter().filter_map(|hash| std::fs::metadata(self.path(hash)).ok()).map(|meta| meta.len()).sum()
    }

    /// Removes the blobs that nothing names (`named` must be sorted), save those that came in during the last day.
    /// Answers how many bytes were freed.
    #[must_use]
    pub fn sweep(&self, named: &[Hash]) -> u64 {
        let mut freed = 0;
        for (path, _) in self.walk() {
            let Some(hash) = hash_of(&path) else { continue };
            if named.binary_search(&hash).is_ok() {
                continue;
            }
            let _alone = self.shared.sweep.write().unwrap_or_else(PoisonError::into_inner);
            let Ok(meta) = std::fs::metadata(&path) else { continue };
            if is_older(&meta, GRACE) && std::fs::remove_file(&path).is_ok() {
                freed += meta.len();
                if let Some(used) = self.counter().as_mut() {
                    *used = used.saturating_sub(meta.len());
                }
            }
        }
        freed
    }

    /// Removes what came in only in part: its process was ended, and nobody writes to it any more. Answers how many bytes were freed.
    #[must_use]
    pub fn sweep_incoming(&self) -> u64 {
        let files = std::fs::read_dir(self.folder.join("incoming")).into_iter().flatten().flatten();
        let files = files.filter_map(|file| Some((file.path(), file.metadata().ok()?)));
        let left = files.filter(|(_, meta)| is_older(meta, WRITTEN));
        left.filter(|(path, _)| std::fs::remove_file(path).is_ok()).map(|(_, meta)| meta.len()).sum()
    }

    /// Removes a blob that nothing names any more, unless somebody brought the same content in again since `since`.
    pub fn forget(&self, hash: &Hash, since: chrono::DateTime<chrono::Utc>) {
        let path = self.path(hash);
        let _alone = self.shared.sweep.write().unwrap_or_else(PoisonError::into_inner);
        let Ok(meta) = std::fs::metadata(&path) else { return };
        let untouched = meta.modified().is_ok_and(|at| chrono::DateTime::<chrono::Utc>::from(at) <= since);
        if untouched
            && std::fs::remove_file(&path).is_ok()
            && let Some(used) = self.counter().as_mut()
        {
            *used = used.saturating_sub(meta.len());
        }
    }

    fn counter(&self) -> std::sync::MutexGuard<'_, Option<u64>> {
        self.shared.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn walk(&self) -> impl Iterator<Item = (PathBuf, std::fs::Metadata)> + use<> {
        let folders = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let folders = folders.filter(|folder| folder.file_name().len() == 2).map(|folder| folder.path());
        let files = folders.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
        files.filter_map(|file| Some((file.path(), file.metadata().ok()?)))
    }

    /// Where the blob of this hash is kept.
    #[must_use]
    pub fn path(&self, hash: &Hash) -> PathBuf {
        let name = hash.to_string();
        self.folder.join(&name[..2]).join(&name[2..])
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// When there is none.
    pub fn read(&self, hash: &Hash) -> std::io::Result<File> {
        File::open(self.path(hash))
    }

    /// Starts a new blob.
    ///
    /// # Errors
    /// When no temporary file can be made.
    pub fn incoming(&self) -> anyhow::Result<Incoming> {
        let file = tempfile::NamedTempFile::new_in(self.folder.join("incoming"))?;
        Ok(Incoming {
            blobs: self.clone(),
            file,
            sha256: sha2::Sha256::new(),
            crc32: crc32fast::Hasher::new(),
            size: 0,
        })
    }

    /// Stores bytes that are at hand.
    ///
    /// # Errors
    /// When the disk is full or fails; nothing is left behind.
    pub fn put(&self, bytes: &[u8]) -> anyhow::Result<Blob> {
        let mut incoming = self.incoming()?;
        incoming.write_all(bytes)?;
        incoming.finish()
    }

    /// Stores all that a reader gives.
    ///
    /// # Errors
    /// Those of the reader, and when the disk is full or fails; nothing is left behind.
    pub fn put_reader(&self, from: &mut impl Read) -> anyhow::Result<Blob> {
        let mut incoming = self.incoming()?;
        std::io::copy(from, &mut incoming)?;
        incoming.finish()
    }
}

fn is_older(meta: &std::fs::Metadata, than: Duration) -> bool {
    meta.modified().ok().and_then(|at| at.elapsed().ok()).is_some_and(|age| age > than)
}

/// The sweep leaves young blobs until their rows are there.
fn make_young(path: &Path) -> anyhow::Result<()> {
    let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty())?;
    Ok(())
}

fn hash_of(path: &Path) -> Option<Hash> {
    let rest = path.file_name()?.to_str()?;
    let first = path.parent()?.file_name()?.to_str()?;
    format!("{first}{rest}").parse().ok()
}

/// Partial files: uploads that grow over many requests and restarts.
impl Blobs {
    /// The folder of partial files.
    #[must_use]
    pub fn partial_folder(&self) -> PathBuf {
        self.folder.join("uploads")
    }

    /// Where the partial file of this name grows.
    #[must_use]
    pub fn partial(&self, name: &str) -> PathBuf {
        self.partial_folder().join(name)
    }

    /// Makes a whole partial file the blob that it is; doing it twice is doing it once.
    ///
    /// # Errors
    /// When the disk fails, and when neither the file nor the blob is there.
    pub fn adopt(&self, partial: &Path, blob: &Blob) -> anyhow::Result<()> {
        if !self.path(&blob.sha256).exists() {
            File::open(partial)?.sync_all()?;
        }
        self.shelve(partial, blob)?;
        let _ = std::fs::remove_file(partial);
        Ok(())
    }

    /// Makes a blob young again, so that the sweep leaves it until its new row is there.
    ///
    /// # Errors
    /// When there is no such blob.
    pub fn touch(&self, hash: &Hash) -> anyhow::Result<()> {
        let _no_sweep = self.shared.sweep.read().unwrap_or_else(PoisonError::into_inner);
        make_young(&self.path(hash))
    }

    /// Removes a blob at once; the caller has made sure, in a transaction, that no row names it.
    pub fn remove(&self, hash: &Hash) {
        let path = self.path(hash);
        let _alone = self.shared.sweep.write().unwrap_or_else(PoisonError::into_inner);
        let Ok(meta) = std::fs::metadata(&path) else { return };
        if std::fs::remove_file(&path).is_ok()
            && let Some(used) = self.counter().as_mut()
        {
            *used = used.saturating_sub(meta.len());
        }
    }

    /// Moves a durable file to where its hash belongs, unless the same content is there already.
    fn shelve(&self, file: &Path, blob: &Blob) -> anyhow::Result<()> {
        let target = self.path(&blob.sha256);
        let _no_sweep = self.shared.sweep.read().unwrap_or_else(PoisonError::into_inner);
        if target.exists() {
            return make_young(&target);
        }
        let folder = target.parent().context("a blob has a folder")?;
        if !folder.exists() {
            std::fs::create_dir_all(folder)?;
            File::open(&self.folder)?.sync_all()?;
        }
        std::fs::rename(file, &target)?;
        File::open(folder)?.sync_all()?;
        if let Some(used) = self.counter().as_mut() {
            *used += blob.size;
        }
        Ok(())
    }
}

/// A blob on its way in: hashed as it is written; gone when dropped.
pub struct Incoming {
    blobs: Blobs,
    file: tempfile::NamedTempFile,
    sha256: sha2::Sha256,
    crc32: crc32fast::Hasher,
    size: u64,
}

impl Incoming {
    /// Makes the content durable (fsync of file and folder) and gives its name. Only then may a row name it.
    ///
    /// # Errors
    /// When the disk is full or fails; nothing is left behind.
    pub fn finish(self) -> anyhow::Result<Blob> {
        let blob = Blob { sha256: Hash(self.sha256.finalize().into()), crc32: self.crc32.finalize(), size: self.size };
        if !self.blobs.path(&blob.sha256).exists() {
            self.file.as_file().sync_all()?;
        }
        self.blobs.shelve(&self.file.into_temp_path(), &blob)?;
        Ok(blob)
    }
}

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.sha256.update(&bytes[..n]);
        self.crc32.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
