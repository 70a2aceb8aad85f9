//! The signature: minisign (Ed25519, prehashed) over the tag manifest, by a key of the percloud's own.

use std::io::Cursor;

use anyhow::Context;

/// A percloud's signing key.
pub struct Key(minisign::SecretKey);

impl Key {
    /// A new key.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn random() -> anyhow::Result<Self> {
        let pair = minisign::KeyPair::generate_unencrypted_keypair().context("cannot make a signing key")?;
        Ok(Self(pair.sk))
    }

    /// The key as text, to be stored where secrets are.
    #[must_use]
    pub fn to_text(&self) -> String {
        data_encoding::BASE64.encode(&self.0.to_bytes())
    }

    /// Reads what [`Key::to_text`] gave.
    ///
    /// # Errors
    /// When the text is not a key.
    pub fn from_text(text: &str) -> anyhow::Result<Self> {
        let bytes = data_encoding::BASE64.decode(text.as_bytes()).context("not a signing key")?;
        Ok(Self(minisign::SecretKey::from_bytes(&bytes).context("not a signing key")?))
    }

    /// The public key, one line of base 64, as `minisign -P` takes it.
    ///
    /// # Errors
    /// When the key is damaged.
    pub fn public(&self) -> anyhow::Result<String> {
        Ok(minisign::PublicKey::from_secret_key(&self.0).context("a damaged signing key")?.to_base64())
    }

    /// A signature over `bytes`, as the content of a `.minisig` file.
    ///
    /// # Errors
    /// When the key is damaged.
    pub fn sign(&self, bytes: &[u8], comment: &str) -> anyhow::Result<String> {
        let signature = minisign::sign(None, &self.0, Cursor::new(bytes), Some(comment), Some("percloud bundle"));
        Ok(signature.context("cannot sign")?.into_string())
    }
}

/// Checks a `.minisig` file; gives its trusted comment when it fits key and bytes.
#[must_use]
pub fn verify(public: &str, bytes: &[u8], minisig: &str) -> Option<String> {
    let key = minisign::PublicKey::from_base64(public.trim()).ok()?;
    let signature = minisign::SignatureBox::from_string(minisig).ok()?;
    minisign::verify(&key, &signature, Cursor::new(bytes), true, false, false).ok()?;
    signature.trusted_comment().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_fits_its_key_and_its_bytes_only() {
        let key = Key::from_text(&Key::random().unwrap().to_text()).unwrap();
        let public = key.public().unwrap();
        let signature = key.sign(b"a tag manifest", "urn:uuid:1 full").unwrap();
        assert_eq!(verify(&public, b"a tag manifest", &signature).as_deref(), Some("urn:uuid:1 full"));
        assert_eq!(verify(&public, b"another", &signature), None);
        assert_eq!(verify(&Key::random().unwrap().public().unwrap(), b"a tag manifest", &signature), None);
        assert_eq!(verify(&public, b"a tag manifest", &signature.replace("full", "delta")), None);
        assert_eq!(verify("", b"", ""), None);
    }
}
