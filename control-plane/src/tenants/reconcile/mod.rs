//! Makes what is wanted of a percloud true: placed with the right spec, or gone.

mod plan;
pub mod sql;

use std::sync::Arc;

use bundle::{Clock, TenantId, spec::Provider};
use chrono::{DateTime, TimeDelta, Utc};
use tokio_postgres::Row;

use super::{Tenant, wishes};
use crate::{
    accounts,
    audit::Actor,
    db::{self, GenericClient, Pool, ensure_affected},
    domains,
    hosts::{self, Host, Unit},
    mails::{self, Message},
    names,
    reconcile::{After, Claimed, Id, Noun, StepError},
};

pub use plan::{Step, plan};

/// A sign-up that nobody confirmed lapses after this long.
pub const LAPSES_AFTER: TimeDelta = TimeDelta::hours(48);
/// How often a percloud that is as it should be is looked at: its use of space, its owner's wish to leave.
const LOOK_EVERY: TimeDelta = TimeDelta::minutes(15);
/// Whose percloud goes on filling the disk hears of it again after so long.
const TELL_FULL_AGAIN: TimeDelta = TimeDelta::days(7);
/// How often one that does not start is looked at.
const LOOK_AT_FAILING: TimeDelta = TimeDelta::seconds(30);

/// The noun.
pub struct Tenants {
    /// Where rows are.
    pub db: Pool,
    /// What runs them.
    pub host: Arc<dyn Host>,
    /// What time it is.
    pub clock: Clock,
    /// Who we are, for the owner.
    pub provider: Provider,
    /// The HTTPS port.
    pub port: u16,
}

/// What was seen of a percloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// As the host has it.
    pub unit: Option<Unit>,
    /// The hash of the spec that it should have.
    pub spec_hash: String,
    /// Somebody wants it tried at once, and its host has not been told.
    pub retry: bool,
    /// Nobody confirmed the sign-up in time.
    pub lapsed: bool,
    /// Its owner wanted it gone, and the grace is over.
    pub delete_due: bool,
}

impl Noun for Tenants {
    const NAME: &'static str = "tenants";
    const CLAIM: &'static str = sql::CLAIM;
    const FAIL: &'static str = sql::FAIL;
    const NEXT: &'static str = sql::NEXT;
    const SET_RIGHT: &'static str = sql::SET_RIGHT;
    type Row = Tenant;
    type Seen = Seen;
    type Step = Step;

    fn read(row: &Row) -> Result<Claimed<Tenant>, db::Error> {
        let tenant = Tenant::from_row(row)?;
        Ok(Claimed {
            id: Id::Text(tenant.id.to_string()),
            claim: row.try_get("claim")?,
            wish: tenant.wish,
            tries: tenant.tries,
            trace_parent: tenant.trace_parent.clone(),
            row: tenant,
        })
    }

    async fn look(&self, tenant: &Tenant) -> Result<Seen, StepError> {
        let unit = self.host.look(&tenant.id).await?;
        let now = self.clock.now();
        let unused = tenant.confirmed_at.is_none() && tenant.set_up_at.is_none();
        let lapsed =
            unused && now >= tenant.created_at + LAPSES_AFTER && !unit.as_ref().is_some_and(|unit| unit.status.set_up);
        let delete_due = unit.as_ref().and_then(|unit| unit.status.delete_after).is_some_and(|after| after <= now);
        let believed = (lapsed || delete_due) && self.is_steady(now).await?;
        Ok(Seen {
            spec_hash: tenant.spec(&self.provider, self.port).hash(),
            retry: tenant.retry,
            lapsed: lapsed && believed,
            delete_due: delete_due && believed,
            unit,
        })
    }

    fn plan(tenant: &Tenant, seen: &Seen) -> Option<Step> {
        plan(tenant.wanted, seen)
    }

    async fn perform(&self, claimed: &Claimed<Tenant>, seen: Seen, step: Step) -> Result<After<Seen>, StepError> {
        let tenant = &claimed.row;
        match step {
            Step::Place => {
                let unit = self.host.place(&tenant.spec(&self.provider, self.port)).await?;
                Ok(After::Seen(Seen { unit: Some(unit), ..seen }))
            }
            Step::Retry => {
                let unit = self.host.retry(&tenant.id).await?;
                Ok(After::Seen(Seen { unit, retry: false, ..seen }))
            }
            Step::Remove => {
                self.host.remove(&tenant.id).await?;
                Ok(After::Seen(Seen { unit: None, ..seen }))
            }
            Step::Forget => Ok(self.forget(claimed).await.map(|()| After::Written)?),
            Step::WantDeletion(actor) => Ok(self.want_deletion(claimed, &actor).await.map(|()| After::Written)?),
        }
    }

    async fn write(&self, claimed: &Claimed<Tenant>, after: After<Seen>) -> Result<(), db::Error> {
        let After::Seen(seen) = after else { return Ok(()) };
        let (tenant, now) = (&claimed.row, self.clock.now());
        let status = seen.unit.as_ref().map(|unit| unit.status.clone()).unwrap_or_default();
        let observed = plan::observed(tenant.wanted, seen.unit.as_ref());
        let set_up_at = tenant.set_up_at.or(status.set_up.then_some(now));
        let used = i64::try_from(status.used_bytes).unwrap_or(i64::MAX);
        let failing = match seen.unit.as_ref().map(|unit| &unit.state) {
            Some(hosts::State::Failing(why)) => Some(format!("does not start: {why}")),
            _ => None,
        };
        // Which name its runtime knows: visitors are not sent to another one before that.
        let placed = seen.unit.as_ref().is_some_and(|unit| unit.spec_hash == seen.spec_hash);
        let served = placed.then(|| tenant.address().as_str());
        // Who does not fail need not be tried; who has only just been placed is looked at once more.
        let retry = seen.retry && plan(tenant.wanted, &seen).is_some();
        let mut db = self.db.get().await?;
        let tx = db.transaction().await?;
        let statement = tx.prepare_cached(sql::OBSERVED).await?;
        let affected = tx
            .execute(
                &statement,
                &[
                    &tenant.id.as_str(),
                    &claimed.claim,
                    &claimed.wish,
                    &now,
                    &next_look(tenant, &seen, &status, now),
                    &observed.as_str(),
                    &seen.unit.as_ref().map(|unit| unit.spec_hash.as_str()),
                    &seen.unit.as_ref().map(|unit| unit.socket.to_string_lossy().into_owned()),
                    &set_up_at,
                    &used,
                    &status.delete_after,
                    &failing,
                    &served,
                    &status.owner_key.as_deref().filter(|key| bundle::ticket::is_public_key(key)),
                    &retry,
                ],
            )
            .await?;
        ensure_affected(affected, 1)?;
        if seen.unit.is_some_and(|unit| unit.filled) {
            tell_full(&tx, &tenant.id, now).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// The owner hears in a mail, once in a while, that the percloud was put to sleep for filling the disk: only they can make room.
async fn tell_full(tx: &impl GenericClient, id: &TenantId, now: DateTime<Utc>) -> Result<(), db::Error> {
    let told = tx.query_opt(sql::TELL_FULL, &[&id.as_str(), &now, &(now - TELL_FULL_AGAIN)]).await?;
    let Some(owner) = told else { return Ok(()) };
    let (email, language): (String, String) = (owner.try_get(0)?, owner.try_get(1)?);
    let message = Message::DiskFull { domain: owner.try_get(2)? };
    mails::queue(tx, Some(id), &email, &language, &message, now).await
}

/// At once while there is more to do; else with the clock, and in time for what has a date.
fn next_look(tenant: &Tenant, seen: &Seen, status: &hosts::Status, now: DateTime<Utc>) -> DateTime<Utc> {
    if plan(tenant.wanted, seen).is_some() {
        return now;
    }
    let failing = matches!(seen.unit.as_ref().map(|unit| &unit.state), Some(hosts::State::Failing(_)));
    // Of one that somebody wants tried, its operator wants to hear soon how it went.
    let every = if failing || tenant.retry { LOOK_AT_FAILING } else { LOOK_EVERY };
    // Spread out, so that many perclouds made at once are not looked at together for ever.
    let look = now + every.checked_mul(80 + rand::random_range(0..40)).map_or(every, |t| t / 100);
    let lapse = (tenant.confirmed_at.is_none() && tenant.set_up_at.is_none() && !status.set_up)
        .then_some(tenant.created_at + LAPSES_AFTER);
    // What is over already and waits for a clock that is believed is looked at like all else.
    [Some(look), lapse, status.delete_after].into_iter().flatten().filter(|at| *at > now).min().unwrap_or(look)
}

impl Tenants {
    /// Whether what is over by the clock is over: what is deleted stays so when a clock that leapt ahead is set right again.
    async fn is_steady(&self, now: DateTime<Utc>) -> Result<bool, db::Error> {
        let db = self.db.get().await?;
        Ok(db.query_one(&db.prepare_cached(sql::STEADY).await?, &[&now]).await?.try_get(0)?)
    }

    /// The last step: its name is kept out of use (or set free, if nobody ever used it), and the row and an empty account go.
    async fn forget(&self, claimed: &Claimed<Tenant>) -> Result<(), db::Error> {
        let (tenant, now) = (&claimed.row, self.clock.now());
        let mut db = self.db.get().await?;
        let tx = db.transaction().await?;
        domains::forget(&tx, &tenant.id, now).await?;
        // The name refers to nothing, but the row refers to the name.
        ensure_affected(tx.execute(sql::FORGET, &[&tenant.id.as_str(), &claimed.claim]).await?, 1)?;
        if tenant.confirmed_at.is_none() && tenant.set_up_at.is_none() {
            tx.execute(names::sql::FREE, &[&tenant.id.as_str()]).await?;
        } else {
            tx.execute(names::sql::QUARANTINE, &[&tenant.id.as_str(), &now]).await?;
        }
        accounts::forget_if_empty(&tx, &tenant.account_id).await?;
        tx.commit().await?;
        Ok(())
    }

    /// A grace is over: the wish is written as anybody would write it.
    async fn want_deletion(&self, claimed: &Claimed<Tenant>, actor: &Actor) -> Result<(), StepError> {
        let mut db = self.db.get().await.map_err(db::Error::from)?;
        let tx = db.transaction().await.map_err(db::Error::from)?;
        let released =
            tx.execute(sql::RELEASE, &[&claimed.row.id.as_str(), &claimed.claim]).await.map_err(db::Error::from)?;
        ensure_affected(released, 1)?;
        wishes::delete(&tx, claimed.row.id.as_str(), actor, self.clock.now()).await.map_err(|error| match error {
            super::Error::Db(error) => error.into(),
            other => StepError::later(other),
        })?;
        tx.commit().await.map_err(db::Error::from)?;
        Ok(())
    }
}
