//! The one secret of a sign-up: 256 random bits in the mailed link and in the set-up link. The database holds two hashes of it.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

/// A one-time token; only ever in a link.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Not a token.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not a token")]
pub struct NotAToken;

impl Token {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 32]>()).to_lowercase())
    }

    /// The token itself, for a link.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// What the portal knows the mailed link by.
    #[must_use]
    pub fn confirm_sha256(&self) -> String {
        hex::encode(Sha256::digest(format!("confirm:{}", self.0)))
    }

    /// What the runtime knows the set-up link by.
    #[must_use]
    pub fn setup_sha256(&self) -> String {
        hex::encode(Sha256::digest(format!("setup:{}", self.0)))
    }
}

/// The secret in the cookie of the browser that signed up: while nobody has confirmed, it may give another address.
/// Worth less than a [`Token`]: it opens nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Again(Token);

impl Again {
    pub(super) fn random() -> Self {
        Self(Token::random())
    }

    /// The secret itself, for the cookie.
    #[must_use]
    pub fn secret(&self) -> &str {
        self.0.secret()
    }

    pub(super) fn sha256(&self) -> String {
        hex::encode(Sha256::digest(format!("again:{}", self.0.0)))
    }
}

impl FromStr for Again {
    type Err = NotAToken;
    fn from_str(text: &str) -> Result<Self, NotAToken> {
        text.parse().map(Self)
    }
}

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Again(…)")
    }
}

impl FromStr for Token {
    type Err = NotAToken;
    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let good = text.len() == 52 && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
        if good { Ok(Self(text.to_owned())) } else { Err(NotAToken) }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
