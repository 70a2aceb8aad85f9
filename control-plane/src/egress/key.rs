//! How a percloud proves which one it is: `<id>.<mac>`, made by the host for each start, checked by this role.
//!
//! The mac is over the id and the user that the percloud runs as, so that a word that was overheard is worth nothing to
//! another user of the machine.

use std::path::Path;

use anyhow::Context;
use aws_lc_rs::hmac;
use bundle::TenantId;

/// The variable in which `percloud up` hands the key to the role, which cannot read root's files.
pub const KEY: &str = "PERCLOUD_EGRESS_KEY";

/// The key that host and egress share.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// From 32 bytes in hexadecimal.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let bytes = hex::decode(text.trim()).context("the egress key is not hexadecimal")?;
        anyhow::ensure!(bytes.len() == 32, "the egress key has {} bytes instead of 32", bytes.len());
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// From its file; none when there is none.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no key.
    pub fn open(path: &Path) -> anyhow::Result<Option<Self>> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).with_context(|| path.display().to_string()).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Makes the file when there is none, and gives what is in it.
    ///
    /// # Errors
    /// When it can be neither read nor made.
    pub fn ensure(path: &Path) -> anyhow::Result<String> {
        if !path.exists() {
            tls::files::write(path, hex::encode(rand::random::<[u8; 32]>()).as_bytes(), 0o600)?;
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string()).map(|_| text.trim().to_owned())
    }

    /// What the percloud `id`, running as `uid`, shows.
    #[must_use]
    pub fn token(&self, id: &TenantId, uid: u32) -> String {
        let mac = hmac::sign(&self.0, message(id, uid).as_bytes());
        format!("{id}.{}", hex::encode(mac))
    }

    /// Who shows it, when it is theirs. The comparison takes the same time wherever the difference is.
    pub(super) fn check(&self, token: &str, uid: u32) -> Option<TenantId> {
        let (id, mac) = token.split_once('.')?;
        let (id, mac): (TenantId, _) = (id.parse().ok()?, hex::decode(mac).ok()?);
        hmac::verify(&self.0, message(&id, uid).as_bytes(), &mac).ok().map(|()| id)
    }
}

fn message(id: &TenantId, uid: u32) -> String {
    format!("percloud egress {id} {uid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_percloud_and_its_user_only() {
        let (key, other) = (Key::parse(&"ab".repeat(32)).unwrap(), Key::parse(&"ac".repeat(32)).unwrap());
        let (ada, bob) = (TenantId::random(), TenantId::random());
        let token = key.token(&ada, 200_000);
        assert_eq!(key.check(&token, 200_000), Some(ada.clone()));
        assert_eq!(key.check(&token, 200_001), None, "another user");
        assert_eq!(other.check(&token, 200_000), None, "another key");
        let mac = token.split_once('.').unwrap().1;
        let cut = &token[..token.len() - 2];
        for wrong in [format!("{bob}.{mac}"), cut.to_owned(), format!("{ada}."), format!("{ada}"), String::new()] {
            assert_eq!(key.check(&wrong, 200_000), None, "{wrong}");
        }
        assert!(Key::parse("abcd").is_err() && Key::parse("no").is_err());
    }
}
