//! Own domains: names that owners bring along, claimed for their perclouds, proved in DNS, and then served.
//!
//! A claim is a row. Its owner sets records: a TXT record with this claim's challenge, and records that lead here. The reconciler asks
//! the domain's own name servers ([`crate::dns`]) and writes a [`Report`], record by record; once all is right, the name is *verified*,
//! a certificate is wanted for it, and when that is there the percloud's `own_domain` is set: the name serves, the old one leads to it.
//!
//! Who has one in use and wants another claims that beside it: the *next* one takes the place of the *main* one when its certificate is
//! there, and that leads to it as a *former* one for a while. So a change leaves no gap.
//!
//! Anybody may claim any name; what counts is DNS. One claim at most is proved at a time (an index holds that), and it is displaced only
//! when its own challenge has gone from DNS and the other's stands there. Claims that nobody proves keep nobody out: the oldest makes room.
//! Targets of CNAMEs are random and never used again.

/// So many daily looks in a row that fail are too many: nothing is renewed after them. A macro, so that statements can say it, too.
macro_rules! misses {
    () => {
        3
    };
}

mod check;
pub mod connect;
mod give_up;
mod leads;
mod list;
mod name;
mod options;
pub mod reconcile;
mod report;
mod row;
mod schedule;
pub mod sql;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod why;
mod wishes;

use bundle::TenantId;
use serde::{Deserialize, Serialize};

use crate::db::{self, GenericClient};

pub use check::{Health, Verdict, Wished, judge};
pub use give_up::{cancel, remove};
pub use list::{Counts, Filter, counts, list};
pub(crate) use misses;
pub use name::{Kind, Name, Refusal, parse};
pub use options::Options;
pub use report::{DnsHost, KEYS, Record, RecordKind, RecordState, Report, Words};
pub use row::{DomainRow, PREFIX};
pub(crate) use schedule::HEARD_LATELY;
pub use wishes::{Choice, ask_check, change, choose, claim, forget, look, pause, release, resume, resumed};

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
    /// It is not any more what it was when the wish was made: nothing is done.
    #[error("this domain has changed meanwhile; look at it again")]
    Changed,
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
    /// Proved once; now three daily looks in a row found it wrong (and its certificate, where it leads here still, is at its end), or somebody
    /// else has proved it.
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

/// Which of a percloud's domains one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The one that it answers at, or shall, when it has no other.
    Main,
    /// It shall take the place of the main one, which serves until then.
    Next,
    /// It gave way to the main one, and leads there.
    Former,
}
crate::column_words!(Part, "domains.part", Main = "main", Next = "next", Former = "former");

/// The name below which all routing targets are.
#[must_use]
pub fn edge_of(base_domain: &str) -> String {
    format!("edge.{base_domain}")
}

/// So many may lead to a percloud at once, since each has certificates that are renewed; one more ends the oldest.
const FORMER: i64 = 3;

/// The domains of one percloud.
#[derive(Clone, Debug, Default)]
pub struct Owned {
    /// The one that it answers at, or shall.
    pub main: Option<DomainRow>,
    /// The one that is to take its place.
    pub next: Option<DomainRow>,
    /// Those that gave way to it, and lead there; the one that does so longest comes first.
    pub former: Vec<DomainRow>,
}

impl Owned {
    /// The former one that leads here no longer as soon as the one in use gives way to another: as many do so as may.
    #[must_use]
    pub fn ends_next(&self) -> Option<&DomainRow> {
        let serves = self.main.as_ref().is_some_and(|main| main.in_use().is_some());
        // One that is on its way back leads on if that is given up for another.
        let lead = || self.former.iter().chain(self.next.iter().filter(|next| next.returns()));
        let full = serves && lead().count() as i64 >= FORMER;
        lead().filter(|_| full).min_by_key(|row| row.leads_until)
    }
}

/// The domains of a percloud.
///
/// # Errors
/// When the database does not answer.
pub async fn owned(db: &impl GenericClient, tenant: &TenantId) -> Result<Owned, db::Error> {
    let statement = db.prepare_cached(sql::OF_TENANT).await?;
    let mut owned = Owned::default();
    for row in db.query(&statement, &[&tenant.as_str()]).await? {
        let row = DomainRow::from_row(&row)?;
        match row.part {
            Part::Main => owned.main = Some(row),
            Part::Next => owned.next = Some(row),
            Part::Former => owned.former.push(row),
        }
    }
    Ok(owned)
}

/// The one that a percloud answers at, or shall.
///
/// # Errors
/// When the database does not answer.
pub async fn of_tenant(db: &impl GenericClient, tenant: &TenantId) -> Result<Option<DomainRow>, db::Error> {
    Ok(owned(db, tenant).await?.main)
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
