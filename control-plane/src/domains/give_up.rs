//! How a domain goes: given up, or only not wanted as the one in use after all. Each in one transaction of the caller's, with
//! its line in the audit log.
//!
//! What is done is what was read: a row that has become something else between the reading and the writing is left alone ([`Error::Changed`]),
//! so that nobody ends by a click what the page before it did not show.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{DomainRow, Error, Part, Wanted, sql};
use crate::{
    audit::{self, Actor},
    db::Transaction,
    telemetry,
};

/// One that led to the percloud and is not wanted back after all does so for so long at least, whenever its day would have been.
const LEADS_AT_LEAST: TimeDelta = TimeDelta::days(7);

impl DomainRow {
    /// Until when it leads to the percloud again if it is cancelled now; none where that is its end.
    #[must_use]
    pub fn would_lead_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.leads_until.filter(|_| self.returns()).map(|until| until.max(now + LEADS_AT_LEAST))
    }
}

/// Wants a domain gone. With the one in use go those that lead there, and the old name serves again; what was to take its place goes on by
/// itself. Without one that is not in use nothing else changes.
///
/// # Errors
/// `NotFound` when it goes already; `Changed`.
pub async fn remove(tx: &Transaction<'_>, row: &DomainRow, actor: &Actor, now: DateTime<Utc>) -> Result<(), Error> {
    if row.wanted == Wanted::Gone {
        return Err(Error::NotFound);
    }
    give_up(tx, row, now).await?;
    let details = json!({ "name": row.name, "part": row.part });
    Ok(audit::note(tx, now, actor, "domain.removed", &row.tenant_id, &details).await?)
}

/// What an owner has done who gives one up: it goes, but one that is on its way back leads to the percloud again, as before.
///
/// # Errors
/// As [`remove`].
pub async fn cancel(tx: &Transaction<'_>, row: &DomainRow, actor: &Actor, now: DateTime<Utc>) -> Result<(), Error> {
    let Some(until) = row.would_lead_until(now) else { return remove(tx, row, actor, now).await };
    let (trace, part, observed) = (telemetry::trace_parent(), row.part.as_str(), row.observed.as_str());
    once(tx.execute(sql::LEAD_ON, &[&row.id, &until, &now, &trace, &part, &observed]).await?)?;
    first(tx, row, now).await?;
    let details = json!({ "name": row.name, "until": until });
    Ok(audit::note(tx, now, actor, "domain.leads-on", &row.tenant_id, &details).await?)
}

pub(super) async fn give_up(tx: &Transaction<'_>, row: &DomainRow, now: DateTime<Utc>) -> Result<(), Error> {
    let (tenant, trace) = (row.tenant_id.as_str(), telemetry::trace_parent());
    let (part, observed) = (row.part.as_str(), row.observed.as_str());
    once(tx.execute(sql::REMOVE, &[&row.id, &now, &trace, &part, &observed]).await?)?;
    if row.part == Part::Main && row.in_use().is_some() {
        // They lead to it. Where it is not in use they lead to the old name, as everybody does, and go on doing so.
        tx.execute(sql::REMOVE_FORMER, &[&tenant, &now, &trace]).await?;
    }
    first(tx, row, now).await
}

/// What was to take its place stands for itself.
async fn first(tx: &Transaction<'_>, row: &DomainRow, now: DateTime<Utc>) -> Result<(), Error> {
    if row.part == Part::Main {
        tx.execute(sql::FIRST, &[&row.tenant_id.as_str(), &now]).await?;
    }
    Ok(())
}

/// That it was still what was read.
pub(super) fn once(affected: u64) -> Result<(), Error> {
    if affected == 1 { Ok(()) } else { Err(Error::Changed) }
}
