//! Own domains: names that owners bring along, claimed for their perclouds, proved in DNS, and then served.
//!
//! A claim is a row. Its owner sets records: a TXT record with this claim's challenge, and records that lead here. The reconciler asks
//! the domain's own name servers ([`crate::dns`]) and writes a [`Report`], record by record; once all is right, the name is *verified*,
//! a certificate is wanted for it, and when that is there the percloud's `own_domain` is set: the name serves, the old one leads to it.
//!
//! Anybody may claim any name; what counts is DNS. One claim at most is proved at a time (an index holds that), and it is displaced only
//! when its own challenge has gone from DNS and the other's stands there. Claims that nobody proves keep nobody out: the oldest makes room.
//! Targets of CNAMEs are random and never used again.

mod check;
pub mod connect;
mod name;
mod options;
pub mod reconcile;
mod report;
mod schedule;
pub mod sql;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod why;
mod wishes;

use bundle::TenantId;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use crate::db::{self, GenericClient};

pub use check::{Health, Verdict, Wished, judge};
pub use name::{Kind, Name, Refusal, parse};
pub use options::Options;
pub use report::{DnsHost, KEYS, Record, RecordKind, RecordState, Report, Words};
pub use wishes::{Choice, ask_check, choose, claim, forget, pause, release, remove, resume, resumed};

/// Why something asked of a domain is not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of that name, or the percloud has none.
    #[error("there is no such domain")]
    NotFound,
    /// The name may not be claimed.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// A name that is neither with nor without `www.` has no twin to choose.
    #[error("this name has no twin")]
    NoTwin,
    /// It is paused.
    #[error("this domain is paused; resume it first")]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// The percloud shall answer at it.
    Active,
    /// It shall go.
    Gone,
}
crate::column_words!(Wanted, "domains.wanted", Active = "active", Gone = "gone");

/// What was last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Observed {
    /// Not proved yet.
    Pending,
    /// Proved, and leads here; its certificate is awaited.
    Verified,
    /// The percloud answers at it.
    Active,
    /// Proved once; now three daily looks in a row found it wrong, or somebody else has proved it.
    Lost,
}
crate::column_words!(
    Observed,
    "domains.observed",
    Pending = "pending",
    Verified = "verified",
    Active = "active",
    Lost = "lost"
);

/// A claim's row, with what it needs to know of its percloud.
#[derive(Clone, Debug, Serialize)]
pub struct DomainRow {
    /// Its id.
    pub id: String,
    /// For which percloud.
    pub tenant_id: TenantId,
    /// The name, in ASCII.
    pub name: String,
    /// The same with or without `www.`, leading to the name; none when not wanted.
    pub twin: Option<String>,
    /// The name without `www.`.
    pub base: String,
    /// The label below `edge.BASE` that a CNAME leads to.
    pub target: String,
    /// What the TXT record must say after [`PREFIX`].
    pub challenge: String,
    /// When another challenge is made, unless this one was found in DNS.
    pub challenge_expires_at: DateTime<Utc>,
    /// What was asked for.
    pub wanted: Wanted,
    /// What was last seen.
    pub observed: Observed,
    /// Left alone by an operator.
    pub paused: bool,
    /// When its last pause ended.
    pub resumed_at: Option<DateTime<Utc>>,
    /// What the last look found; none before the first.
    pub report: Option<Report>,
    /// When it was claimed.
    pub claimed_at: DateTime<Utc>,
    /// When its owner last did something about it.
    pub asked_at: DateTime<Utc>,
    /// When DNS is to be looked at next.
    pub check_at: DateTime<Utc>,
    /// When DNS was last looked at.
    pub checked_at: Option<DateTime<Utc>>,
    /// When it was proved.
    pub verified_at: Option<DateTime<Utc>>,
    /// When DNS was last right.
    pub good_at: Option<DateTime<Utc>>,
    /// Daily looks in a row that found it wrong.
    pub misses: i32,
    /// When the last of them was.
    pub missed_at: Option<DateTime<Utc>>,
    /// When the reconciler looks at it next.
    pub due_at: Option<DateTime<Utc>>,
    /// Failures in a row.
    pub tries: i32,
    /// What went wrong last, for the operator.
    pub last_error: Option<String>,
    /// Counts wishes.
    #[serde(skip)]
    pub wish: i64,
    /// The trace of the last wish.
    #[serde(skip)]
    pub trace_parent: Option<String>,
    /// The percloud's name at the provider.
    pub domain: String,
    /// The own domain that the percloud answers at now.
    pub own_domain: Option<String>,
    /// The language of its owner's mails.
    #[serde(skip)]
    pub language: String,
    /// Whether the percloud itself is being deleted.
    #[serde(skip)]
    pub tenant_goes: bool,
    /// Whether the percloud itself is suspended.
    #[serde(skip)]
    pub suspended: bool,
    /// Its owner's address.
    #[serde(skip)]
    pub email: String,
}

/// What stands before the challenge in the TXT record.
pub const PREFIX: &str = "percloud-verification=";

impl DomainRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, db::Error> {
        let text = |column: &'static str| row.try_get::<_, String>(column);
        let report: Option<serde_json::Value> = row.try_get("report")?;
        Ok(Self {
            id: text("id")?,
            tenant_id: text("tenant_id")?.parse().map_err(|_| db::Error::Column("domains.tenant_id"))?,
            name: text("name")?,
            twin: row.try_get("twin")?,
            base: text("base")?,
            target: text("target")?,
            challenge: text("challenge")?,
            challenge_expires_at: row.try_get("challenge_expires_at")?,
            wanted: text("wanted")?.parse()?,
            observed: text("observed")?.parse()?,
            paused: row.try_get("paused")?,
            resumed_at: row.try_get("resumed_at")?,
            // One that an older version wrote and we cannot read is no report: the next look writes another.
            report: report.and_then(|json| serde_json::from_value(json).ok()),
            claimed_at: row.try_get("claimed_at")?,
            asked_at: row.try_get("asked_at")?,
            check_at: row.try_get("check_at")?,
            checked_at: row.try_get("checked_at")?,
            verified_at: row.try_get("verified_at")?,
            good_at: row.try_get("good_at")?,
            misses: row.try_get("misses")?,
            missed_at: row.try_get("missed_at")?,
            due_at: row.try_get("due_at")?,
            tries: row.try_get("tries")?,
            last_error: row.try_get("last_error")?,
            wish: row.try_get("wish")?,
            trace_parent: row.try_get("trace_parent")?,
            domain: text("domain")?,
            own_domain: row.try_get("own_domain")?,
            language: text("language")?,
            tenant_goes: text("tenant_wanted")? == "deleted",
            suspended: text("tenant_wanted")? == "suspended",
            email: text("email")?,
        })
    }

    /// The name as people read it.
    #[must_use]
    pub fn shown(&self) -> String {
        crate::names::shown(&self.name)
    }

    /// The full name of the TXT record.
    #[must_use]
    pub fn challenge_host(&self) -> String {
        format!("_percloud-challenge.{}", self.base)
    }

    /// What the TXT record must say.
    #[must_use]
    pub fn challenge_value(&self) -> String {
        format!("{PREFIX}{}", self.challenge)
    }

    /// Where a CNAME must lead.
    #[must_use]
    pub fn target_host(&self, base_domain: &str) -> String {
        self.target_host_below(&edge_of(base_domain))
    }

    /// The same, below the name that [`edge_of`] gives.
    pub(crate) fn target_host_below(&self, edge: &str) -> String {
        format!("{}.{edge}", self.target)
    }

    /// The names that it stands for: the main one, and its twin.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.twin.as_deref())
    }

    /// Whether the percloud answers at its name now.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.observed == Observed::Active && self.own_domain.as_deref() == Some(&self.name)
    }

    /// Where it stands in the list, for [`Filter::after`].
    #[must_use]
    pub fn place(&self) -> String {
        format!("{} {}", self.name, self.id)
    }

    /// When DNS is looked at next; never while it is paused, or goes.
    #[must_use]
    pub fn next_look(&self) -> Option<DateTime<Utc>> {
        let due = self.due_at.map_or(self.check_at, |due| due.max(self.check_at));
        (!self.paused && self.wanted == Wanted::Active).then_some(due)
    }
}

/// The name below which all routing targets are.
#[must_use]
pub fn edge_of(base_domain: &str) -> String {
    format!("edge.{base_domain}")
}

/// The claim of a percloud, if it has one.
///
/// # Errors
/// When the database does not answer.
pub async fn of_tenant(db: &impl GenericClient, tenant: &TenantId) -> Result<Option<DomainRow>, db::Error> {
    let statement = db.prepare_cached(sql::OF_TENANT).await?;
    db.query_opt(&statement, &[&tenant.as_str()]).await?.as_ref().map(DomainRow::from_row).transpose()
}

/// A claim by its id, by its name or twin, or by its percloud's id, name or host name: what an operator types.
///
/// # Errors
/// `NotFound`.
pub async fn get(db: &impl GenericClient, which: &str) -> Result<DomainRow, Error> {
    let which = which.trim().trim_end_matches('.').to_lowercase();
    let ascii = idna::domain_to_ascii(&which).unwrap_or(which);
    let row = db.query_opt(sql::FIND, &[&ascii]).await?.ok_or(Error::NotFound)?;
    Ok(DomainRow::from_row(&row)?)
}

/// Which claims to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those after this name …
    pub after: Option<String>,
    /// … and this id; see [`Filter::after`].
    pub after_id: Option<String>,
    /// Only those last seen so.
    pub observed: Option<Observed>,
    /// Only paused ones.
    pub paused: bool,
    /// Only those in trouble: lost, missed, failing, waiting for a certificate that does not come, or leading to a former address.
    pub troubled: bool,
    /// How many at most; 0 means 100.
    pub limit: u16,
}

impl Filter {
    /// Those after one: its name, or its place as the page before ended with it.
    #[must_use]
    pub fn after(place: Option<&str>) -> Self {
        // A name alone stands for all of its claims.
        let split = place.map(|place| place.split_once(' ').unwrap_or((place, "e")));
        let (after, after_id) = split.map(|(name, id)| (name.to_owned(), id.to_owned())).unzip();
        Self { after, after_id, ..Self::default() }
    }
}

/// Claims by name, a page at a time.
///
/// # Errors
/// When the database does not answer.
pub async fn list(db: &impl GenericClient, filter: &Filter) -> Result<Vec<DomainRow>, db::Error> {
    let limit = i64::from(if filter.limit == 0 { 100 } else { filter.limit.min(1000) });
    let observed = filter.observed.map(Observed::as_str);
    let Filter { after, after_id, paused, troubled, .. } = filter;
    let rows = db.query(sql::LIST, &[after, after_id, &observed, troubled, &limit, paused]).await?;
    rows.iter().map(DomainRow::from_row).collect()
}

/// How many claims there are by state.
///
/// # Errors
/// When the database does not answer.
pub async fn counts(db: &impl GenericClient) -> Result<Vec<(Observed, i64)>, db::Error> {
    let rows = db.query(sql::COUNTS, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get::<_, &str>(0)?.parse()?, row.try_get(1)?))).collect()
}
