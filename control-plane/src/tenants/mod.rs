//! Perclouds as the provider knows them: what is wanted, and what is.
//!
//! Functions here write wishes (one transaction, nothing else touched) and read rows. Making a wish true is [`reconcile`]'s work.

pub mod reconcile;
pub mod sql;
mod token;
mod wishes;

use std::path::PathBuf;

use bundle::{Domain, TenantId, TenantSpec, spec::Provider};
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Row;

use crate::{accounts::AccountId, db, names};

pub use token::{Again, NotAToken, Token};
pub use wishes::{
    Created, New, confirm, create, create_again, delete, find_by_token, may_create_again, resume, suspend,
};

/// Why something asked of a percloud is not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of that id or name.
    #[error("there is no such percloud")]
    NotFound,
    /// The name may not be had.
    #[error("the name {0}")]
    Name(#[from] names::Refusal),
    /// It is being deleted; that is not taken back here.
    #[error("it is being deleted")]
    BeingDeleted,
    /// A reason for the owner to read is missing or longer than 2,000 bytes.
    #[error("a reason of 1 to 2,000 bytes is needed")]
    Reason,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// It shall answer.
    Running,
    /// It shall show its owner sign-in and export, and others why it is closed.
    Suspended,
    /// It shall be gone.
    Deleted,
}

/// What was last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Observed {
    /// The host has it not (or was not looked at yet).
    Absent,
    /// It answers.
    Running,
    /// It is suspended.
    Suspended,
    /// It does not start.
    Failing,
}

crate::column_words!(Wanted, "tenants.wanted", Running = "running", Suspended = "suspended", Deleted = "deleted");
crate::column_words!(
    Observed,
    "tenants.observed",
    Absent = "absent",
    Running = "running",
    Suspended = "suspended",
    Failing = "failing"
);

/// A percloud's row.
#[derive(Clone, Debug, Serialize)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Whose contract it is.
    #[serde(skip)]
    pub account_id: AccountId,
    /// The address of its account; for operators only.
    pub email: String,
    /// The label below the base domain, in ASCII.
    pub name: String,
    /// Its host name at the provider.
    pub domain: Domain,
    /// The own domain that it answers at instead; the other one leads there.
    pub own_domain: Option<Domain>,
    /// The own domain that it answered at before that one.
    #[serde(skip)]
    pub former_domain: Option<Domain>,
    /// What was asked for.
    pub wanted: Wanted,
    /// Why it is suspended.
    pub suspended_reason: Option<String>,
    /// What was last seen.
    pub observed: Observed,
    /// The spec's hash as last seen.
    pub spec_hash: Option<String>,
    /// Where the edge reaches it.
    pub socket: Option<PathBuf>,
    /// Hex SHA-256 that the set-up link's token is checked with.
    #[serde(skip)]
    pub setup_sha256: Option<String>,
    /// When the mailed link was used.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// When it was seen to be set up.
    pub set_up_at: Option<DateTime<Utc>>,
    /// Bytes in use.
    pub used_bytes: i64,
    /// Bytes that it may hold.
    pub quota_bytes: i64,
    /// The language of its first pages.
    pub language: String,
    /// When its owner's wish to delete it is fulfilled.
    pub delete_after: Option<DateTime<Utc>>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it is looked at next; none when it waits for a person.
    pub due_at: Option<DateTime<Utc>>,
    /// Failures in a row.
    pub tries: i32,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Its host shall try it at once, should it fail.
    #[serde(skip)]
    pub retry: bool,
    /// Counts wishes.
    #[serde(skip)]
    pub wish: i64,
    /// The trace of the last wish.
    #[serde(skip)]
    pub trace_parent: Option<String>,
}

impl Tenant {
    pub(crate) fn from_row(row: &Row) -> Result<Self, db::Error> {
        let text = |column: &'static str| row.try_get::<_, String>(column);
        let own = |column: &'static str, named: &'static str| -> Result<Option<Domain>, db::Error> {
            let name: Option<String> = row.try_get(column)?;
            name.map(|name| name.parse().map_err(|_| db::Error::Column(named))).transpose()
        };
        Ok(Self {
            id: text("id")?.parse().map_err(|_| db::Error::Column("tenants.id"))?,
            account_id: AccountId(text("account_id")?),
            email: text("email")?,
            name: text("name")?,
            domain: text("domain")?.parse().map_err(|_| db::Error::Column("tenants.domain"))?,
            own_domain: own("own_domain", "tenants.own_domain")?,
            former_domain: own("former_domain", "tenants.former_domain")?,
            wanted: text("wanted")?.parse()?,
            suspended_reason: row.try_get("suspended_reason")?,
            observed: text("observed")?.parse()?,
            spec_hash: row.try_get("spec_hash")?,
            socket: row.try_get::<_, Option<String>>("socket")?.map(PathBuf::from),
            setup_sha256: row.try_get("setup_sha256")?,
            confirmed_at: row.try_get("confirmed_at")?,
            set_up_at: row.try_get("set_up_at")?,
            used_bytes: row.try_get("used_bytes")?,
            quota_bytes: row.try_get("quota_bytes")?,
            language: row.try_get("language")?,
            delete_after: row.try_get("delete_after")?,
            created_at: row.try_get("created_at")?,
            due_at: row.try_get("due_at")?,
            tries: row.try_get("tries")?,
            last_error: row.try_get("last_error")?,
            retry: row.try_get("retry")?,
            wish: row.try_get("wish")?,
            trace_parent: row.try_get("trace_parent")?,
        })
    }

    /// The host name that it answers at.
    #[must_use]
    pub fn address(&self) -> &Domain {
        self.own_domain.as_ref().unwrap_or(&self.domain)
    }

    /// Where it may be asked for until the edge knows that its runtime knows [`Tenant::address`].
    fn also(&self) -> Vec<Domain> {
        let before = self.own_domain.iter().flat_map(|_| std::iter::once(&self.domain).chain(&self.former_domain));
        before.cloned().collect()
    }

    /// What the host and the runtime are told. It depends on the row alone. The set-up hash stays in after use, since another spec would
    /// restart the runtime under its owner's hands for nothing.
    #[must_use]
    pub fn spec(&self, provider: &Provider, port: u16) -> TenantSpec {
        TenantSpec {
            id: self.id.clone(),
            domain: self.address().clone(),
            also: self.also(),
            port,
            quota_bytes: u64::try_from(self.quota_bytes).unwrap_or_default(),
            language: self.language.clone(),
            setup_sha256: self.setup_sha256.clone(),
            suspended: self.suspended_reason.clone(),
            provider: Some(provider.clone()),
        }
    }

    /// Whether it has failed so often that a person should look.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.tries >= 3
    }
}

/// Which perclouds to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those after this host name (the page before ended with it).
    pub after: Option<String>,
    /// Only those whose host name begins so.
    pub prefix: Option<String>,
    /// Only those last seen so.
    pub observed: Option<Observed>,
    /// Only those whose last turn failed.
    pub failing: bool,
    /// How many at most; 0 means 100.
    pub limit: u16,
}

/// Perclouds by host name, a page at a time. Its cost grows with the page, not with the fleet.
///
/// # Errors
/// When the database does not answer.
pub async fn list(db: &impl db::GenericClient, filter: &Filter) -> Result<Vec<Tenant>, Error> {
    let limit = i64::from(if filter.limit == 0 { 100 } else { filter.limit.min(1000) });
    let statement = db.prepare_cached(sql::LIST).await?;
    let observed = filter.observed.map(Observed::as_str);
    let rows = db.query(&statement, &[&filter.after, &filter.prefix, &observed, &filter.failing, &limit]).await?;
    Ok(rows.iter().map(Tenant::from_row).collect::<Result<_, _>>()?)
}

/// A percloud by id, by name or by host name: what an operator types.
///
/// # Errors
/// `NotFound` when there is none.
pub async fn get(db: &impl db::GenericClient, which: &str) -> Result<Tenant, Error> {
    find(db, which).await?.ok_or(Error::NotFound)
}

/// The same, where none is no mistake.
///
/// # Errors
/// When the database does not answer.
pub async fn find(db: &impl db::GenericClient, which: &str) -> Result<Option<Tenant>, Error> {
    let which = which.trim().to_lowercase();
    let label = names::check(&which).map_or_else(|_| which.clone(), |name| name.label().to_owned());
    let statement = db.prepare_cached(sql::FIND).await?;
    Ok(db.query_opt(&statement, &[&which, &label]).await?.as_ref().map(Tenant::from_row).transpose()?)
}

/// How many perclouds there are by what is wanted and seen, for `doctor` and dashboards.
///
/// # Errors
/// When the database does not answer.
pub async fn counts(db: &impl db::GenericClient) -> Result<Vec<(Wanted, Observed, i64)>, Error> {
    let rows = db.query(sql::COUNTS, &[]).await?;
    let read = |row: &Row| -> Result<_, db::Error> {
        Ok((row.try_get::<_, &str>(0)?.parse()?, row.try_get::<_, &str>(1)?.parse()?, row.try_get(2)?))
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}
