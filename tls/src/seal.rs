//! Private keys at rest: encrypted, bound to their place, with keys that can be changed.

mod source;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

pub use source::Source;

use crate::files;

const VERSION: u8 = 1;
const ID: usize = 8;
const NONCE: usize = 24;
const HEADER: &str =
    "# percloud sealing keys, newest first; the first seals, all open. Lose this file and every sealed key is lost.\n";
/// How long what a program printed is believed before something new is sealed with it.
const BELIEVED: Duration = Duration::from_secs(60);
/// A program is not asked more often than this, however many values do not open.
const ASKED: Duration = Duration::from_secs(10);

/// Seals small secrets with XChaCha20-Poly1305.
///
/// A sealed value is `1 | key id (8) | nonce (24) | cipher text`. The key id finds the key again after a rotation; the
/// context (which row, which column) is authenticated, so that a sealed value cannot be moved to another row.
///
/// Keys are rotated while we run: they are read again before something is sealed, and when a value names a key that is not known.
pub struct Seal {
    source: Source,
    held: Mutex<Held>,
}

/// The keys as they were read last.
struct Held {
    keys: Arc<[OneKey]>,
    read: Instant,
}

struct OneKey {
    id: [u8; ID],
    cipher: XChaCha20Poly1305,
}

impl OneKey {
    fn new(bytes: &[u8]) -> Result<Self> {
        let key = Key::try_from(bytes).ok().context("a sealing key has 32 bytes")?;
        let digest = Sha256::new().chain_update(b"percloud seal key id").chain_update(bytes).finalize();
        let mut id = [0; ID];
        id.copy_from_slice(&digest[..ID]);
        Ok(Self { id, cipher: XChaCha20Poly1305::new(&key) })
    }
}

impl Seal {
    /// The keys in the file `path`; a first one is made when there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read or made, or everybody on the machine may read it.
    pub fn open_or_create(path: &Path) -> Result<Self> {
        if !path.exists() {
            files::write_new(path, format!("{HEADER}{}\n", fresh()).as_bytes(), 0o600)?;
        }
        Self::open(path)
    }

    /// The keys in the file `path`.
    ///
    /// # Errors
    /// When the file is not there, cannot be read, or everybody on the machine may read it.
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(Source::File(path.to_owned()))
    }

    /// The keys that `source` gives.
    ///
    /// # Errors
    /// When it gives none.
    pub fn of(source: Source) -> Result<Self> {
        let held = Mutex::new(Held { keys: read(&source)?, read: Instant::now() });
        Ok(Self { source, held })
    }

    /// Puts a new key in front: from now on it seals; the older ones still open.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn rotate(path: &Path) -> Result<Self> {
        let old = Source::File(path.to_owned()).read()?;
        let keys: String = lines(&old).flat_map(|line| [line, "\n"]).collect();
        files::replace(path, format!("{HEADER}{}\n{keys}", fresh()).as_bytes())?;
        Self::open(path)
    }

    /// Leaves nothing but the first key; what an older one sealed is lost. Says how many went.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn prune(path: &Path) -> Result<usize> {
        let old = Source::File(path.to_owned()).read()?;
        let first = lines(&old).next().context("no sealing key")?;
        files::replace(path, format!("{HEADER}{first}\n").as_bytes())?;
        Ok(lines(&old).count() - 1)
    }

    fn keys(&self) -> Arc<[OneKey]> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).keys.clone()
    }

    /// The keys, read again when that is due: a file always (it is small), a program only when its last words are older than `age`.
    fn keys_anew(&self, age: Duration) -> Result<Arc<[OneKey]>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(self.source, Source::File(_)) || held.read.elapsed() >= age {
            let keys = read(&self.source);
            held.read = Instant::now();
            held.keys = keys?;
        }
        Ok(held.keys.clone())
    }

    /// The id of the key that seals; it stands in every value that it sealed, after the first byte.
    ///
    /// # Errors
    /// When the keys cannot be read again.
    pub fn current(&self) -> Result<[u8; ID]> {
        Ok(self.keys_anew(BELIEVED)?.first().context("no sealing key")?.id)
    }

    /// How many keys there are, the one that seals included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys().len()
    }

    /// Never true.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Seals `secret` for the place `context`.
    ///
    /// # Errors
    /// When the keys cannot be read again: sealing with one that was taken away would lose the secret.
    pub fn seal(&self, context: &str, secret: &[u8]) -> Result<Vec<u8>> {
        let keys = self.keys_anew(BELIEVED)?;
        let key = keys.first().context("no sealing key")?;
        let nonce = rand::random::<[u8; NONCE]>();
        let payload = Payload { msg: secret, aad: context.as_bytes() };
        let text = key.cipher.encrypt(&XNonce::from(nonce), payload).ok().context("cannot seal")?;
        Ok([&[VERSION], &key.id[..], &nonce[..], &text[..]].concat())
    }

    /// Opens what [`Seal::seal`] made for the same place.
    ///
    /// # Errors
    /// When the key is not here any more, or the value was changed or belongs elsewhere.
    pub fn open_sealed(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let Some((&VERSION, rest)) = sealed.split_first() else { bail!("not a sealed value") };
        let (id, rest) = rest.split_at_checked(ID).context("a sealed value is cut off")?;
        let (nonce, text) = rest.split_at_checked(NONCE).context("a sealed value is cut off")?;
        let mut keys = self.keys();
        let find = |keys: &[OneKey]| keys.iter().position(|k| k.id == id);
        let at = match find(&keys) {
            Some(at) => at,
            // Rotated since, perhaps.
            None => {
                keys = self.keys_anew(ASKED)?;
                find(&keys).with_context(|| format!("sealed with a key that is not in {}", self.source))?
            }
        };
        let nonce = XNonce::try_from(nonce).ok().context("a sealed value is cut off")?;
        let payload = Payload { msg: text, aad: context.as_bytes() };
        keys[at].cipher.decrypt(&nonce, payload).ok().context("a sealed value was changed or belongs elsewhere")
    }

    /// True when the value was sealed with an older key than the first.
    #[must_use]
    pub fn is_stale(&self, sealed: &[u8]) -> bool {
        self.keys().first().is_none_or(|k| sealed.get(1..=ID) != Some(&k.id[..]))
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn read(source: &Source) -> Result<Arc<[OneKey]>> {
    let text = source.read()?;
    let keys = lines(&text).map(|line| OneKey::new(&STANDARD.decode(line)?)).collect::<Result<Arc<[_]>>>();
    let keys = keys.with_context(|| format!("{source} holds a line that is not a key"))?;
    ensure!(!keys.is_empty(), "{source} holds no key");
    Ok(keys)
}

fn fresh() -> String {
    STANDARD.encode(rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_sealed_opens_at_its_place_only() {
        let folder = tempfile::tempdir().unwrap();
        let seal = Seal::open_or_create(&folder.path().join("seal.key")).unwrap();
        let sealed = seal.seal("certificates/1", b"secret").unwrap();
        assert_eq!(seal.open_sealed("certificates/1", &sealed).unwrap(), b"secret");
        assert!(seal.open_sealed("certificates/2", &sealed).is_err());
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
        for at in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[at] ^= 1;
            assert!(seal.open_sealed("certificates/1", &broken).is_err(), "byte {at}");
            assert!(seal.open_sealed("certificates/1", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_rotated_key_is_noticed_while_we_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        let (sealing, opening) = (Seal::open_or_create(&path).unwrap(), Seal::open(&path).unwrap());
        let old = sealing.seal("x", b"secret").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let rotated = Seal::rotate(&path).unwrap();
        assert_eq!(rotated.open_sealed("x", &old).unwrap(), b"secret");
        assert!(rotated.is_stale(&old));
        let new = sealing.seal("x", b"secret").unwrap();
        assert!(!rotated.is_stale(&new), "who seals uses the new key at once");
        assert_eq!(new[1..=ID], rotated.current().unwrap());
        assert_eq!(opening.open_sealed("x", &new).unwrap(), b"secret", "who opens finds it");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn pruning_leaves_the_key_that_seals() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        let old = Seal::open_or_create(&path).unwrap().seal("x", b"secret").unwrap();
        Seal::rotate(&path).unwrap();
        let new = Seal::rotate(&path).unwrap().seal("x", b"secret").unwrap();
        assert_eq!(Seal::prune(&path).unwrap(), 2);
        assert_eq!(Seal::prune(&path).unwrap(), 0);
        let seal = Seal::open(&path).unwrap();
        assert_eq!(seal.len(), 1);
        assert_eq!(seal.open_sealed("x", &new).unwrap(), b"secret");
        assert!(seal.open_sealed("x", &old).is_err());
    }

    #[test]
    fn keys_may_come_from_a_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("elsewhere");
        let file = Seal::open_or_create(&path).unwrap();
        let source = serde_json::to_string(&["/bin/cat", path.to_str().unwrap()]).unwrap();
        let printed = Seal::of(source.parse().unwrap()).unwrap();
        let sealed = printed.seal("x", b"secret").unwrap();
        assert_eq!(file.open_sealed("x", &sealed).unwrap(), b"secret");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(printed.open_sealed("x", &sealed).unwrap(), b"secret", "it is not asked each time");
        assert!(Seal::of(source.parse().unwrap()).is_err());
    }
}
