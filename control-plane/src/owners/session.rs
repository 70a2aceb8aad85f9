//! Sessions: a random value in a cookie, its hash in the database, for one percloud and one hour.

use bundle::TenantId;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{Secret, sql};
use crate::{
    audit::{self, Actor},
    db::{self, GenericClient, Transaction},
    tenants::Tenant,
};

/// How long one lasts; use does not prolong it, since the page looks again by itself for as long as it is open.
pub const LIFE: TimeDelta = TimeDelta::hours(1);

/// How long after its end a browser is still told where to come in again.
pub const REMEMBERED: TimeDelta = TimeDelta::days(1);

/// How an owner came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// With a ticket of the percloud.
    Ticket,
    /// By a mailed link.
    Mail,
}

impl Via {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Mail => "mail",
        }
    }
}

/// Begins one; the audit log says that an owner came.
///
/// # Errors
/// When the database refuses.
pub(super) async fn begin(
    tx: &Transaction<'_>,
    tenant: &TenantId,
    via: Via,
    now: DateTime<Utc>,
) -> Result<Secret, db::Error> {
    tx.execute(sql::FORGET_SESSIONS, &[&(now - REMEMBERED)]).await?;
    let secret = Secret::random();
    let (sha256, ends) = (secret.sha256("session"), now + LIFE);
    tx.execute(sql::BEGIN, &[&sha256, &tenant.as_str(), &via.as_str(), &now, &ends]).await?;
    audit::note(tx, now, &Actor::Owner, "owner.entered", tenant, &json!({ "via": via.as_str() })).await?;
    Ok(secret)
}

/// A browser that an owner is, or was, signed in with.
#[derive(Clone, Debug)]
pub struct Session {
    /// The percloud, as it is now.
    pub tenant: Tenant,
    /// The owner signed out.
    pub left: bool,
    /// The hour is over.
    pub over: bool,
}

impl Session {
    /// Whether it opens anything.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.left && !self.over
    }
}

/// The session of a cookie, over or not.
///
/// # Errors
/// When the database does not answer.
pub async fn find(db: &impl GenericClient, secret: &Secret, now: DateTime<Utc>) -> Result<Option<Session>, db::Error> {
    let statement = db.prepare_cached(sql::BY_SESSION).await?;
    let row = db.query_opt(&statement, &[&secret.sha256("session"), &now]).await?;
    row.map(|row| {
        Ok(Session { tenant: Tenant::from_row(&row)?, left: row.try_get("gone")?, over: row.try_get("over")? })
    })
    .transpose()
}

/// Signs out.
///
/// # Errors
/// When the database refuses.
pub async fn end(db: &impl GenericClient, secret: &Secret, now: DateTime<Utc>) -> Result<(), db::Error> {
    db.execute(sql::END, &[&secret.sha256("session"), &now]).await?;
    Ok(())
}
