//! Who a percloud is and what it may use: said by the control plane, read by hosts and by the runtime.

use std::{
    fmt::{self, Display},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// Why a text is not an id or a domain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not `t-` and 16 characters of lower-case base 32.
    #[error("a percloud's id is \"t-\" and 16 characters of a-z and 2-7")]
    TenantId,
    /// Not a host name that a percloud may have.
    #[error("a domain is lower-case ASCII labels with a dot between them, 253 bytes at most")]
    Domain,
}

/// A percloud's id: `t-` and 16 characters of lower-case base 32 (80 random bits); never reused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(String);

impl TenantId {
    /// A new id.
    #[must_use]
    pub fn random() -> Self {
        let text = data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 10]>());
        Self(format!("t-{}", text.to_lowercase()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let rest = text.strip_prefix("t-").ok_or(Error::TenantId)?;
        let good = rest.len() == 16 && rest.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
        if good { Ok(Self(text.to_owned())) } else { Err(Error::TenantId) }
    }
}

/// A host name that a percloud may have: lower-case ASCII (A-labels for IDN), a dot inside, 253 bytes at most,
/// labels of 1 to 63 letters, digits and inner hyphens (RFC 1123 §2.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(String);

impl Domain {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && l.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        let good = text.len() <= 253 && text.contains('.') && text.split('.').all(label);
        if good { Ok(Self(text.to_owned())) } else { Err(Error::Domain) }
    }
}

macro_rules! text_type {
    ($($name:ident),+) => {$(
        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> { text.parse() }
        }
        impl From<$name> for String {
            fn from(value: $name) -> Self { value.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    )+};
}
text_type!(TenantId, Domain);

/// Everything that a host and a runtime must know of one percloud. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantSpec {
    /// Its id.
    pub id: TenantId,
    /// The name it answers at.
    pub domain: Domain,
    /// Names at which it answered just before: asked for under one of them it answers all the same, since nobody who leads visitors
    /// here can learn of its new name in the very moment in which it does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Domain>,
    /// The port that browsers use, where it is not 443.
    pub port: u16,
    /// Bytes of files, posts and database that it may hold.
    pub quota_bytes: u64,
    /// The language its first pages speak until the owner chooses (BCP 47: `en`, `it`).
    pub language: String,
    /// Hex SHA-256 of `"setup:" + token`, token being the one in the one-time set-up link; none once used up.
    pub setup_sha256: Option<String>,
    /// Why the provider suspended it, for the owner to read; while it is, only sign-in and export answer.
    pub suspended: Option<String>,
    /// The provider, as its pages call it; none at home.
    pub provider: Option<Provider>,
}

/// Who runs the machine that a percloud is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Its name for people.
    pub name: String,
    /// The address of its portal.
    pub url: String,
}

/// The origin (RFC 6454) of what answers over TLS at this name and port, without a slash at the end.
#[must_use]
pub fn origin(host: impl Display, port: u16) -> String {
    match port {
        443 => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    }
}

impl TenantSpec {
    /// The address of the percloud's Home, without a slash at the end.
    #[must_use]
    pub fn origin(&self) -> String {
        origin(&self.domain, self.port)
    }

    /// A hash over all fields: two specs with the same hash ask for the same thing.
    #[must_use]
    pub fn hash(&self) -> String {
        use sha2::Digest;
        let json = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(sha2::Sha256::digest(json))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_a_host_name_with_a_dot() {
        for good in ["ada.example", "xn--bcher-kva.example", "a.b.c", "4.example"] {
            assert!(good.parse::<Domain>().is_ok(), "{good}");
        }
        for bad in ["", "ada", "Ada.example", "-a.example", "a-.example", "a..b", ".a", "a.", "a_b.c", "ä.example"] {
            assert!(bad.parse::<Domain>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_new_id_reads_back_and_anything_else_does_not() {
        let id = TenantId::random();
        assert_eq!(id.as_str().parse::<TenantId>(), Ok(id));
        for bad in ["", "t-", "t-ABCDEFGHIJKLMNOP", "../t-aaaaaaaaaaaaaaaa", "t-aaaaaaaaaaaaaaa1"] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
    }
}
