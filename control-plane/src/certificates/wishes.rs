//! What may be wished of certificates: in the caller's transaction, nothing else touched.

use bundle::TenantId;
use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use serde_json::json;

use super::{Certificate, Error, State, get, sql};
use crate::{
    audit::{self, Actor},
    db::{self, ensure_affected},
    telemetry,
};

/// Wants a certificate for these names of a percloud (none: of the provider's own). Wanting it twice is wanting it once; names that
/// go over to another percloud are wanted anew.
///
/// Whoever calls stands for it that the names were verified; this is the only way in. Before each order the reconciler looks for itself
/// whether they still are.
///
/// # Errors
/// When the database does not answer.
pub async fn want(
    db: &impl GenericClient,
    tenant: Option<&TenantId>,
    names: &[String],
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let id = db::random_id('c');
    let statement = db.prepare_cached(sql::WANT).await?;
    let tenant = tenant.map(TenantId::as_str);
    db.execute(&statement, &[&id, &names, &tenant, &now, &telemetry::trace_parent()]).await?;
    Ok(())
}

/// Wants no certificate for these names of a percloud (none: of the provider's own) any more. What another has for them is not touched.
///
/// # Errors
/// When the database does not answer.
pub async fn unwant(
    db: &impl GenericClient,
    tenant: Option<&TenantId>,
    names: &[String],
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let statement = db.prepare_cached(sql::UNWANT).await?;
    db.execute(&statement, &[&names, &now, &tenant.map(TenantId::as_str)]).await?;
    Ok(())
}

/// A percloud runs again: what waited for that is looked at now. Part of the transaction that wants it to run.
///
/// # Errors
/// When the database does not answer.
pub async fn look(db: &impl GenericClient, tenant: &TenantId, now: DateTime<Utc>) -> Result<(), db::Error> {
    let statement = db.prepare_cached(sql::LOOK).await?;
    db.execute(&statement, &[&tenant.as_str(), &now]).await?;
    Ok(())
}

/// Tries it at once, with the first pauses again if that fails. Budgets still hold.
///
/// # Errors
/// `NotFound`, `Going`, or `Paused`.
pub async fn retry_now(
    db: &impl GenericClient,
    which: &str,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<Certificate, Error> {
    let one = unpaused(db, which).await?;
    change(db, sql::RETRY, one, Some(now), actor, "certificate.retried", now).await
}

/// Orders a new one at once although the one there is would do. Budgets still hold.
///
/// # Errors
/// `NotFound`, `Going`, or `Paused`.
pub async fn renew(
    db: &impl GenericClient,
    which: &str,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<Certificate, Error> {
    let one = unpaused(db, which).await?;
    change(db, sql::RENEW, one, Some(now), actor, "certificate.renewed", now).await
}

/// Leaves it alone from now on: what there is goes on serving until it ends. A turn that runs is not cut off.
///
/// # Errors
/// `NotFound` or `Going`.
pub async fn pause(
    db: &impl GenericClient,
    which: &str,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<Certificate, Error> {
    let one = wanted(db, which).await?;
    if one.state == State::Paused {
        return Ok(one);
    }
    change(db, sql::PAUSE, one, None, actor, "certificate.paused", now).await
}

/// Ends a pause; it is looked at at once.
///
/// # Errors
/// `NotFound` or `Going`.
pub async fn resume(
    db: &impl GenericClient,
    which: &str,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<Certificate, Error> {
    let one = wanted(db, which).await?;
    if one.state != State::Paused {
        return Ok(one);
    }
    change(db, sql::RESUME, one, Some(now), actor, "certificate.resumed", now).await
}

async fn wanted(db: &impl GenericClient, which: &str) -> Result<Certificate, Error> {
    let one = get(db, which).await?;
    if one.state == State::Going { Err(Error::Going) } else { Ok(one) }
}

async fn unpaused(db: &impl GenericClient, which: &str) -> Result<Certificate, Error> {
    let one = wanted(db, which).await?;
    if one.state == State::Paused { Err(Error::Paused) } else { Ok(one) }
}

async fn change(
    db: &impl GenericClient,
    statement: &str,
    one: Certificate,
    due: Option<DateTime<Utc>>,
    actor: &Actor,
    action: &str,
    now: DateTime<Utc>,
) -> Result<Certificate, Error> {
    let affected = match due {
        Some(due) => db.execute(statement, &[&one.id, &telemetry::trace_parent(), &due]).await?,
        None => db.execute(statement, &[&one.id, &telemetry::trace_parent()]).await?,
    };
    ensure_affected(affected, 1)?;
    let tenant = one.tenant_id.as_deref().and_then(|id| id.parse::<TenantId>().ok());
    audit::note(db, now, actor, action, tenant.as_ref(), &json!({ "certificate": one.id, "names": one.names })).await?;
    get(db, &one.id).await
}
