//! Private keys at rest: encrypted, bound to their place, with keys that can be changed.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

use crate::files;

const VERSION: u8 = 1;
const ID: usize = 8;
const NONCE: usize = 24;
const HEADER: &str =
    "# percloud sealing keys, newest first; the first seals, all open. Lose this file and every sealed key is lost.\n";

/// Seals small secrets with XChaCha20-Poly1305.
///
/// A sealed value is `1 | key id (8) | nonce (24) | cipher text`. The key id finds the key again after a rotation; the
/// context (which row, which column) is authenticated, so that a sealed value cannot be moved to another row.
pub struct Seal {
    keys: Vec<OneKey>,
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
        let text = String::from_utf8(files::read_secret(path)?).context("the sealing keys are not text")?;
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        let keys = lines.map(|l| OneKey::new(&STANDARD.decode(l)?)).collect::<Result<Vec<_>>>();
        let keys = keys.with_context(|| format!("{} holds a line that is not a key", path.display()))?;
        ensure!(!keys.is_empty(), "{} holds no key", path.display());
        Ok(Self { keys })
    }

    /// Puts a new key in front: from now on it seals; the older ones still open.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn rotate(path: &Path) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let old = String::from_utf8(files::read_secret(path)?).context("the sealing keys are not text")?;
        let keys: String = old.lines().filter(|l| !l.starts_with('#')).flat_map(|l| [l, "\n"]).collect();
        let mode = std::fs::metadata(path)?.permissions().mode() & 0o777;
        files::write(path, format!("{HEADER}{}\n{keys}", fresh()).as_bytes(), mode)?;
        Self::open(path)
    }

    /// Seals `secret` for the place `context`.
    ///
    /// # Errors
    /// Never for secrets of less than 256 GB.
    pub fn seal(&self, context: &str, secret: &[u8]) -> Result<Vec<u8>> {
        let key = self.keys.first().context("no sealing key")?;
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
        let key = self.keys.iter().find(|k| k.id == id).context("sealed with a key that is not in the key file")?;
        let nonce = XNonce::try_from(nonce).ok().context("a sealed value is cut off")?;
        let payload = Payload { msg: text, aad: context.as_bytes() };
        key.cipher.decrypt(&nonce, payload).ok().context("a sealed value was changed or belongs elsewhere")
    }

    /// True when the value was sealed with an older key than the first.
    #[must_use]
    pub fn is_stale(&self, sealed: &[u8]) -> bool {
        self.keys.first().is_none_or(|k| sealed.get(1..=ID) != Some(&k.id[..]))
    }
}

fn fresh() -> String {
    STANDARD.encode(rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn after_a_rotation_old_values_open_and_are_stale() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        let first = Seal::open_or_create(&path).unwrap();
        let old = first.seal("x", b"secret").unwrap();
        let second = Seal::rotate(&path).unwrap();
        assert_eq!(second.open_sealed("x", &old).unwrap(), b"secret");
        assert!(second.is_stale(&old) && !first.is_stale(&old));
        let new = second.seal("x", b"secret").unwrap();
        assert!(!second.is_stale(&new));
        assert!(first.open_sealed("x", &new).is_err(), "the old process does not know the new key");
    }
}
