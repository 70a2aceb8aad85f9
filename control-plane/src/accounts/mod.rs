//! Accounts at this provider: who asked for perclouds, by e-mail address.
//!
//! An address is confirmed percloud by percloud: whoever signs up with somebody else's address gets nothing from it.

pub mod sql;

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};

use crate::db;

/// An account's id: `a-` and 16 characters of lower-case base 32.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountId(pub(crate) String);

impl AccountId {
    fn random() -> Self {
        Self(db::random_id('a'))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An e-mail address that mail can be sent to: ASCII domain with a dot (IDN as A-labels), 254 bytes at most.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

/// Not an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address")]
pub struct NotAnAddress;

impl Email {
    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which two addresses are compared.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

/// Never shown: addresses do not belong in logs.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

impl FromStr for Email {
    type Err = NotAnAddress;
    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@').ok_or(NotAnAddress)?;
        let domain = idna::domain_to_ascii_strict(domain).map_err(|_| NotAnAddress)?;
        let whole = format!("{local}@{domain}");
        let plain = domain.contains('.')
            && !domain.contains(['[', ']'])
            && !local.contains(|c: char| c.is_whitespace() || c.is_control());
        if !plain || whole.len() > 254 || local.len() > 64 || whole.parse::<lettre::Address>().is_err() {
            return Err(NotAnAddress);
        }
        Ok(Self(whole))
    }
}

/// The account of an address; made when there is none.
///
/// # Errors
/// When the database refuses.
pub async fn ensure(
    db: &impl db::GenericClient,
    email: &Email,
    language: &str,
    now: DateTime<Utc>,
) -> Result<AccountId, db::Error> {
    let statement = db.prepare_cached(sql::ENSURE).await?;
    let row = db.query_one(&statement, &[&AccountId::random().as_str(), &email.as_str(), &language, &now]).await?;
    Ok(AccountId(row.try_get(0)?))
}

/// A link mailed to the address was used.
///
/// # Errors
/// When the database refuses.
pub async fn confirmed(db: &impl db::GenericClient, id: &AccountId, now: DateTime<Utc>) -> Result<(), db::Error> {
    db.execute(sql::CONFIRMED, &[&id.as_str(), &now]).await?;
    Ok(())
}

/// Forgets an account that has no percloud any more.
///
/// # Errors
/// When the database refuses.
pub async fn forget_if_empty(db: &impl db::GenericClient, id: &AccountId) -> Result<(), db::Error> {
    db.execute(sql::FORGET, &[&id.as_str()]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Email;

    #[test]
    fn addresses_are_told_from_other_text() {
        for good in [
            "ada@example.org",
            " ada+percloud@mail.example ",
            "a.b@xn--bcher-kva.example",
            "ada@bücher.example",
            "o'neil@example.org",
            "ada@percloud.localhost",
        ] {
            assert!(good.parse::<Email>().is_ok(), "{good}");
        }
        let long = format!("{}@example.org", "a".repeat(65));
        for bad in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@example",
            "a b@example.org",
            "ada@[127.0.0.1]",
            "ada@exa mple.org",
            "ada@example.org\r\nBcc: x@y.z",
            "a@b@c.example",
            long.as_str(),
        ] {
            assert!(bad.parse::<Email>().is_err(), "{bad}");
        }
    }
}
