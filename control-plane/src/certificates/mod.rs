//! Certificates by name: what is wanted, and what there is.
//!
//! A certificate is a row: somebody wants one for some names ([`want`]), the reconciler gets it from an [`issuer::Issuer`] and seals its key,
//! the edge loads it. Renewal is the same step with an earlier date: when a third of its life is left, it is wanted anew, and the
//! old one serves until the new one is there. The provider's own is a wildcard, so that a new percloud needs none of its own.

pub mod issuer;
pub mod reconcile;
pub mod sql;

use std::str::FromStr;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use serde::Serialize;
use tokio_postgres::Row;

use crate::db;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// There shall be a valid one.
    Issued,
    /// It shall go.
    Gone,
}

impl FromStr for Wanted {
    type Err = db::Error;
    fn from_str(text: &str) -> Result<Self, db::Error> {
        match text {
            "issued" => Ok(Self::Issued),
            "gone" => Ok(Self::Gone),
            _ => Err(db::Error::Column("certificates.wanted")),
        }
    }
}

/// From when to when it is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Validity {
    /// When it begins.
    pub not_before: DateTime<Utc>,
    /// When it ends.
    pub not_after: DateTime<Utc>,
}

impl Validity {
    /// When a new one is due: with a third of the life left, which suits 90 days (30 left) as well as 6 days (2 left).
    #[must_use]
    pub fn renew_at(&self) -> DateTime<Utc> {
        self.not_after - (self.not_after - self.not_before) / 3
    }
}

/// A certificate's row, without its key.
#[derive(Clone, Debug, Serialize)]
pub struct Certificate {
    /// Its id.
    pub id: String,
    /// The names it stands for.
    pub names: Vec<String>,
    /// What was asked for.
    pub wanted: Wanted,
    /// Who issued it.
    pub issuer: Option<String>,
    /// From when to when; none while there is none.
    pub validity: Option<Validity>,
    /// When it was first wanted.
    pub created_at: DateTime<Utc>,
    /// When the reconciler looks at it next; none when it waits for a person.
    pub due_at: Option<DateTime<Utc>>,
    /// Failures in a row.
    pub tries: i32,
    /// What went wrong last.
    pub last_error: Option<String>,
}

impl Certificate {
    fn from_row(row: &Row) -> Result<Self, db::Error> {
        let issued = row.try_get::<_, &str>("observed")? == "issued";
        let (from, to): (Option<DateTime<Utc>>, Option<DateTime<Utc>>) =
            (row.try_get("not_before")?, row.try_get("not_after")?);
        let validity = from.zip(to).map(|(not_before, not_after)| Validity { not_before, not_after });
        Ok(Self {
            id: row.try_get("id")?,
            names: row.try_get("names")?,
            wanted: row.try_get::<_, &str>("wanted")?.parse()?,
            issuer: row.try_get("issuer")?,
            validity: validity.filter(|_| issued),
            created_at: row.try_get("created_at")?,
            due_at: row.try_get("due_at")?,
            tries: row.try_get("tries")?,
            last_error: row.try_get("last_error")?,
        })
    }
}

/// What a certificate's key is sealed for.
#[must_use]
pub fn sealed_for(id: &str) -> String {
    format!("certificates/{id}")
}

/// The names of the provider's own certificate: the portal's, and all directly below it.
#[must_use]
pub fn provider_names(base_domain: &str) -> Vec<String> {
    vec![base_domain.to_owned(), format!("*.{base_domain}")]
}

/// Wants a certificate for these names. Wanting it twice is wanting it once.
///
/// # Errors
/// When the database does not answer.
pub async fn want(db: &impl GenericClient, names: &[String], now: DateTime<Utc>) -> Result<(), db::Error> {
    let id = format!("c-{}", data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 10]>()).to_lowercase());
    db.execute(sql::WANT, &[&id, &names, &now]).await?;
    Ok(())
}

/// Wants no certificate for these names any more.
///
/// # Errors
/// When the database does not answer.
pub async fn unwant(db: &impl GenericClient, names: &[String], now: DateTime<Utc>) -> Result<(), db::Error> {
    db.execute(sql::UNWANT, &[&names, &now]).await?;
    Ok(())
}

/// All certificates, the one that ends first in front.
///
/// # Errors
/// When the database does not answer.
pub async fn list(db: &impl GenericClient) -> Result<Vec<Certificate>, db::Error> {
    db.query(sql::LIST, &[]).await?.iter().map(Certificate::from_row).collect()
}

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Get one from the issuer; the one there is, if any, serves until then.
    Issue,
    /// Take the row away.
    Remove,
}

/// The next thing to do; nothing, once the certificate is as it should be.
#[must_use]
pub fn plan(wanted: Wanted, there: Option<&Validity>, now: DateTime<Utc>) -> Option<Step> {
    match (wanted, there) {
        (Wanted::Gone, _) => Some(Step::Remove),
        (Wanted::Issued, None) => Some(Step::Issue),
        (Wanted::Issued, Some(validity)) if validity.renew_at() <= now => Some(Step::Issue),
        (Wanted::Issued, Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_life_is_left() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let validity = Validity { not_before: start, not_after: start + TimeDelta::days(90) };
        assert_eq!(validity.renew_at(), start + TimeDelta::days(60));
        let day = |n| start + TimeDelta::days(n);
        for (wanted, there, now, step) in [
            (Wanted::Issued, None, day(0), Some(Step::Issue)),
            (Wanted::Issued, Some(&validity), day(0), None),
            (Wanted::Issued, Some(&validity), day(59), None),
            (Wanted::Issued, Some(&validity), day(60), Some(Step::Issue)),
            (Wanted::Issued, Some(&validity), day(100), Some(Step::Issue)),
            (Wanted::Gone, Some(&validity), day(0), Some(Step::Remove)),
            (Wanted::Gone, None, day(0), Some(Step::Remove)),
        ] {
            assert_eq!(plan(wanted, there, now), step, "{wanted:?} {now}");
        }
    }
}
