//! Certificates by name: what is wanted, and what there is.
//!
//! A certificate is a row: somebody wants one for some names ([`want`]), the reconciler gets it from an [`issuer::Issuer`] and seals its key,
//! the edge loads it. Renewal is the same step with an earlier date ([`renewal`]): the old one serves until the new one is there. The
//! provider's own is a wildcard, so that a new percloud needs none of its own; a percloud's own domain has one, and wanting it is the only
//! way to get one: a visitor who asks for a name never starts an order.
//!
//! - [`issuer`]: who issues. The local CA, and public ones ([`acme`]) in the order in which the operator named them.
//! - [`acme::budgets`]: what one name, one registered domain and one account may order; all reconcilers count together.
//! - [`retry`]: 1, 10 and 100 minutes after a failure, then daily. A failure is the name's own: no other waits for it.
//! - [`Trouble`]: whose it is to mend a failure. Owners hear at once of their own, of others only when the end is near.
//! - [`reconcile`]: the noun. [`upkeep`]: metrics, and what is swept.

pub mod acme;
pub mod issuer;
mod known;
mod options;
pub mod reconcile;
pub mod renewal;
pub mod retry;
pub mod sql;
mod trouble;
mod upkeep;
mod wishes;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use serde::Serialize;
use tokio_postgres::Row;

use crate::db;

pub use known::{Known, Met, for_own_domains, known, met};
pub use options::{Options, Settings};
pub use renewal::Validity;
pub use tls::acme::caa;
pub use trouble::{Trouble, mend};
pub use wishes::{look, pause, renew, resume, retry_now, unwant, want};

/// Why something asked of a certificate is not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of that id or name.
    #[error("there is no such certificate")]
    NotFound,
    /// It is on its way out.
    #[error("it is not wanted any more")]
    Going,
    /// It is paused; trying it makes no sense before that ends.
    #[error("it is paused: resume it first")]
    Paused,
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// There shall be a valid one.
    Issued,
    /// It shall go.
    Gone,
}

crate::column_words!(Wanted, "certificates.wanted", Issued = "issued", Gone = "gone");

/// How a certificate is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There is one, and all is well.
    Issued,
    /// The first order has not ended yet.
    Pending,
    /// A budget is used up, or its CA is away; it comes by itself.
    Waiting,
    /// The last try failed.
    Failing,
    /// An operator said to leave it alone.
    Paused,
    /// It is on its way out.
    Going,
}

impl State {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Pending => "pending",
            Self::Waiting => "waiting",
            Self::Failing => "failing",
            Self::Paused => "paused",
            Self::Going => "going",
        }
    }
}

/// A certificate's row, without its key.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Certificate {
    /// Its id.
    pub id: String,
    /// The names it stands for; `*.` in front of one stands for all directly below it.
    pub names: Vec<String>,
    /// Whose names these are; none for the provider's own.
    pub tenant_id: Option<String>,
    /// What was asked for.
    pub wanted: Wanted,
    /// How it is, in one word.
    pub state: State,
    /// Who issued it: `local`, or the host of a public CA's directory.
    pub issuer: Option<String>,
    /// From when to when; none while there is none.
    pub validity: Option<Validity>,
    /// When a new one is ordered.
    pub renew_at: Option<DateTime<Utc>>,
    /// A page on which its CA says why it wants it renewed then; none when it says nothing.
    pub renewal_because: Option<String>,
    /// When it was first wanted.
    pub created_at: DateTime<Utc>,
    /// When the reconciler looks at it next.
    pub due_at: Option<DateTime<Utc>>,
    /// Failures in a row.
    pub tries: i32,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Whose it is to mend what went wrong; none while nobody knows.
    #[serde(skip)]
    pub trouble: Option<Trouble>,
    /// Since when it fails.
    pub failing_since: Option<DateTime<Utc>>,
    /// Why it waits although nothing is wrong with it.
    pub waits: Option<String>,
}

impl Certificate {
    fn from_row(row: &Row) -> Result<Self, db::Error> {
        let there = row.try_get::<_, &str>("observed")? == "issued";
        let (from, to): (Option<DateTime<Utc>>, Option<DateTime<Utc>>) =
            (row.try_get("not_before")?, row.try_get("not_after")?);
        let validity = from.zip(to).map(|(not_before, not_after)| Validity { not_before, not_after });
        let mut one = Self {
            id: row.try_get("id")?,
            names: row.try_get("names")?,
            tenant_id: row.try_get("tenant_id")?,
            wanted: row.try_get::<_, &str>("wanted")?.parse()?,
            state: State::Pending,
            issuer: row.try_get("issuer")?,
            validity: validity.filter(|_| there),
            renew_at: row.try_get("renew_at")?,
            created_at: row.try_get("created_at")?,
            due_at: row.try_get("due_at")?,
            tries: row.try_get("tries")?,
            last_error: row.try_get("last_error")?,
            trouble: row.try_get::<_, Option<&str>>("trouble")?.map(str::parse).transpose()?,
            failing_since: row.try_get("failing_since")?,
            waits: row.try_get("waits")?,
            renewal_because: row.try_get("ari_explanation")?,
        };
        one.state = one.state(row.try_get("paused")?);
        Ok(one)
    }

    fn state(&self, paused: bool) -> State {
        match () {
            () if self.wanted == Wanted::Gone => State::Going,
            () if paused => State::Paused,
            () if self.waits.is_some() => State::Waiting,
            () if self.last_error.is_some() => State::Failing,
            () if self.validity.is_none() => State::Pending,
            () => State::Issued,
        }
    }

    /// When a new one is due.
    #[must_use]
    pub fn renewal(&self) -> Option<DateTime<Utc>> {
        self.renew_at.or_else(|| self.validity.map(|validity| validity.renew_at(0.0)))
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

/// Which certificates to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those after this id (the page before ended with it).
    pub after: Option<String>,
    /// Only those that stand for this name.
    pub name: Option<String>,
    /// Only this percloud's, by its id.
    pub tenant_id: Option<String>,
    /// Only those whose last try failed.
    pub failing: bool,
    /// Only paused ones.
    pub paused: bool,
    /// How many at most; 0 means 100.
    pub limit: u16,
}

/// Certificates by id, a page at a time. Its cost grows with the page, not with the fleet.
///
/// # Errors
/// When the database does not answer.
pub async fn list(db: &impl GenericClient, filter: &Filter) -> Result<Vec<Certificate>, db::Error> {
    let limit = i64::from(if filter.limit == 0 { 100 } else { filter.limit.min(1000) });
    let statement = db.prepare_cached(sql::LIST).await?;
    let Filter { after, name, tenant_id, failing, paused, .. } = filter;
    let rows = db.query(&statement, &[after, name, tenant_id, failing, paused, &limit]).await?;
    rows.iter().map(Certificate::from_row).collect()
}

/// Perclouds' certificates that end soon and are not renewed although no try of theirs failed, the first to end first: those that failed
/// are found by [`Filter::failing`].
///
/// # Errors
/// When the database does not answer.
pub async fn ending(db: &impl GenericClient, now: DateTime<Utc>, limit: u16) -> Result<Vec<Certificate>, db::Error> {
    let rows = db.query(sql::ENDING, &[&now, &i64::from(limit)]).await?;
    rows.iter().map(Certificate::from_row).collect()
}

/// A certificate by id or by one of its names: what an operator types.
///
/// # Errors
/// `NotFound` when there is none.
pub async fn get(db: &impl GenericClient, which: &str) -> Result<Certificate, Error> {
    find(db, which).await?.ok_or(Error::NotFound)
}

/// The same, where none is no mistake.
///
/// # Errors
/// When the database does not answer.
pub async fn find(db: &impl GenericClient, which: &str) -> Result<Option<Certificate>, db::Error> {
    let statement = db.prepare_cached(sql::FIND).await?;
    let which = which.trim().trim_end_matches('.').to_lowercase();
    db.query_opt(&statement, &[&which]).await?.as_ref().map(Certificate::from_row).transpose()
}

/// How many there are, by state, and which ends first: for `doctor`, metrics and dashboards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Valid, and all is well.
    pub issued: i64,
    /// Not issued yet.
    pub pending: i64,
    /// A budget is used up, or the CA is away.
    pub waiting: i64,
    /// The last try failed.
    pub failing: i64,
    /// Of those that serve and are due, the last try failed; paused ones and those of suspended perclouds or paused domains are not renewed
    /// on purpose.
    pub renewals_failing: i64,
    /// Left alone by an operator.
    pub paused: i64,
    /// Past their end, whatever else they are.
    pub ended: i64,
    /// The end that comes first, of those that are wanted, are renewed and have not ended.
    pub earliest_end: Option<DateTime<Utc>>,
}

/// Counts them.
///
/// # Errors
/// When the database does not answer.
pub async fn counts(db: &impl GenericClient, now: DateTime<Utc>) -> Result<Counts, db::Error> {
    let row = db.query_one(sql::COUNTS, &[&now]).await?;
    Ok(Counts {
        issued: row.try_get("issued")?,
        pending: row.try_get("pending")?,
        waiting: row.try_get("waiting")?,
        failing: row.try_get("failing")?,
        renewals_failing: row.try_get("renewals_failing")?,
        paused: row.try_get("paused")?,
        ended: row.try_get("ended")?,
        earliest_end: row.try_get("earliest_end")?,
    })
}
