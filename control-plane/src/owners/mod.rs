//! Owners at the portal. The provider has no password of theirs: a percloud vouches for its owner with a [`ticket`], and who cannot get into
//! it gets a [`link`] by mail. Either begins a [`session`] of an hour, for that one percloud and for its address only.

pub mod link;
pub mod session;
pub mod sql;
pub mod ticket;

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use crate::tenants::{NotAToken, Token};

/// 256 random bits in a cookie or a link; the database has a hash of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Token);

impl Secret {
    fn random() -> Self {
        Self(Token::random())
    }

    /// The secret itself.
    #[must_use]
    pub fn secret(&self) -> &str {
        self.0.secret()
    }

    /// What it is known by; `kind` keeps a link from being a session.
    fn sha256(&self, kind: &str) -> String {
        sha256(kind, self.secret())
    }
}

fn sha256(kind: &str, text: &str) -> String {
    hex::encode(Sha256::digest(format!("owner-{kind}:{text}")))
}

impl FromStr for Secret {
    type Err = NotAToken;
    fn from_str(text: &str) -> Result<Self, NotAToken> {
        text.parse().map(Self)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
