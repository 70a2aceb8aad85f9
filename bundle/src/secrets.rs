//! Secrets in a bundle, sealed with age.
//!
//! A random X25519 identity belongs to the bundle. The identity itself is sealed under the owner's passphrase (age does not
//! mix a passphrase with other recipients); every other file is sealed to the identity.

use std::io::{Read, Write};

use age::secrecy::{ExposeSecret, SecretString};
use anyhow::Context;

/// The folder of secrets, below the base.
pub const FOLDER: &str = "data/secrets";
/// The file that the passphrase opens.
pub const IDENTITY: &str = "data/secrets/bundle-identity.age";
/// How every age file begins.
pub const MAGIC: &[u8] = b"age-encryption.org/v1\n";

/// scrypt's N = 2^15: 32 MiB, about a tenth of a second. The passphrase is six words, not a password.
const WORK_FACTOR: u8 = 15;
/// The most work that a stranger's file may ask of us: 128 MiB.
const MAX_WORK_FACTOR: u8 = 17;
/// Secrets are small; a file that opens to more is not ours.
const MAX_OPENED: u64 = 64 << 20;

/// Why a passphrase did not open the secrets.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is another one.
    #[error("the passphrase is not the one that was given when the bundle was made")]
    Passphrase,
    /// The file is not what it should be.
    #[error("a secret cannot be opened")]
    Damaged(#[source] anyhow::Error),
}

/// Seals files of secrets; gives the sealed files with their paths below the base, the identity first.
///
/// # Errors
/// When sealing fails.
pub fn seal(passphrase: &str, files: &[(String, Vec<u8>)]) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let identity = age::x25519::Identity::generate();
    let mut by_passphrase = age::scrypt::Recipient::new(normal(passphrase));
    by_passphrase.set_work_factor(WORK_FACTOR);
    let text = format!("{}\n", identity.to_string().expose_secret());
    let mut sealed = vec![(IDENTITY.to_owned(), encrypt(&by_passphrase, text.as_bytes())?)];
    for (name, content) in files {
        sealed.push((format!("{FOLDER}/{name}.age"), encrypt(&identity.to_public(), content)?));
    }
    Ok(sealed)
}

/// A bundle's secrets, once the passphrase has opened its identity.
pub struct Opened(age::x25519::Identity);

/// Opens the bundle's identity.
///
/// # Errors
/// When the passphrase is another, or the file is damaged.
pub fn open(passphrase: &str, identity_file: &[u8]) -> Result<Opened, OpenError> {
    let mut by_passphrase = age::scrypt::Identity::new(normal(passphrase));
    by_passphrase.set_max_work_factor(MAX_WORK_FACTOR);
    let text = decrypt(&by_passphrase, identity_file).map_err(|error| match error {
        Decrypt::Key => OpenError::Passphrase,
        Decrypt::Other(error) => OpenError::Damaged(error),
    })?;
    let text = std::str::from_utf8(&text).map_err(|e| OpenError::Damaged(e.into()))?;
    let line = text.lines().find(|l| l.starts_with("AGE-SECRET-KEY-")).unwrap_or_default();
    line.parse().map(Opened).map_err(|e: &str| OpenError::Damaged(anyhow::anyhow!(e)))
}

impl Opened {
    /// Opens one file.
    ///
    /// # Errors
    /// When it is damaged or for somebody else.
    pub fn read(&self, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        decrypt(&self.0, sealed).map_err(|error| match error {
            Decrypt::Key => OpenError::Damaged(anyhow::anyhow!("it is sealed for another identity")),
            Decrypt::Other(error) => OpenError::Damaged(error),
        })
    }
}

/// People type a passphrase with more or fewer spaces, and their keyboards compose letters in two ways.
fn normal(passphrase: &str) -> SecretString {
    use unicode_normalization::UnicodeNormalization;
    let words: Vec<_> = passphrase.split_whitespace().collect();
    SecretString::from(words.join(" ").nfc().collect::<String>())
}

fn encrypt(to: &dyn age::Recipient, content: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut sealed = Vec::new();
    let encryptor = age::Encryptor::with_recipients(std::iter::once(to)).context("cannot seal")?;
    let mut writer = encryptor.wrap_output(&mut sealed)?;
    writer.write_all(content)?;
    writer.finish()?;
    Ok(sealed)
}

enum Decrypt {
    Key,
    Other(anyhow::Error),
}

fn decrypt(by: &dyn age::Identity, sealed: &[u8]) -> Result<Vec<u8>, Decrypt> {
    use age::DecryptError;
    let decryptor = age::Decryptor::new_buffered(sealed).map_err(|e| Decrypt::Other(e.into()))?;
    let reader = decryptor.decrypt(std::iter::once(by)).map_err(|e| match e {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed | DecryptError::NoMatchingKeys => {
            Decrypt::Key
        }
        other => Decrypt::Other(other.into()),
    })?;
    let mut opened = Vec::new();
    reader.take(MAX_OPENED).read_to_end(&mut opened).map_err(|e| Decrypt::Other(e.into()))?;
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_open_with_the_passphrase_and_with_no_other() {
        let files =
            [("account".to_owned(), b"{\"password\":\"$argon2id$\"}\n".to_vec()), ("tokens".to_owned(), vec![])];
        let sealed = seal("six words that nobody else knows", &files).unwrap();
        let paths: Vec<_> = sealed.iter().map(|(p, _)| p.as_str()).collect();
        assert_eq!(paths, [IDENTITY, "data/secrets/account.age", "data/secrets/tokens.age"]);
        assert!(sealed.iter().all(|(_, c)| c.starts_with(MAGIC)));

        let opened = open("  six words  that nobody else\tknows ", &sealed[0].1).unwrap();
        assert_eq!(opened.read(&sealed[1].1).unwrap(), files[0].1);
        assert_eq!(opened.read(&sealed[2].1).unwrap(), files[1].1);
        assert!(matches!(open("six words that somebody else knows", &sealed[0].1), Err(OpenError::Passphrase)));
        assert!(matches!(opened.read(&sealed[0].1), Err(OpenError::Damaged(_))));
        let mut bad = sealed[1].1.clone();
        *bad.last_mut().unwrap() ^= 1;
        assert!(matches!(opened.read(&bad), Err(OpenError::Damaged(_))));
    }
}
