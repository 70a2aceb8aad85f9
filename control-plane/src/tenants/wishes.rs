//! What may be wished of perclouds: each in one transaction of the caller's, with its line in the audit log and its mail.

use bundle::{Domain, TenantId};
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{Again, Error, Tenant, Token, Wanted, get, sql};
use crate::{
    accounts::{self, Email},
    audit::{self, Actor},
    db::{self, GenericClient, Transaction, ensure_affected},
    domains,
    mails::{self, Message},
    names::{self, Name, Refusal},
    telemetry,
};

/// What is needed for a new percloud.
#[derive(Clone, Debug)]
pub struct New<'a> {
    /// Its name.
    pub name: &'a Name,
    /// The name below which it gets its own.
    pub base_domain: &'a Domain,
    /// Whose it is.
    pub email: &'a Email,
    /// The language of the mail and of its first pages.
    pub language: &'a str,
    /// Bytes that it may hold.
    pub quota_bytes: i64,
    /// Who asks. A visitor must confirm by mail; an operator hands the set-up link over.
    pub actor: &'a Actor,
    /// Where the mailed link leads, without the token: `https://portal/confirm/`. Only a visitor gets one.
    pub confirm_url: Option<&'a str>,
    /// The owner brings an older percloud along.
    pub moving: bool,
}

/// A percloud that is wanted now.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its id.
    pub id: TenantId,
    /// Its host name.
    pub domain: Domain,
    /// The secret of its links; kept nowhere but in the queued mail.
    pub token: Token,
    /// With this its browser may give another address, until somebody has confirmed.
    pub again: Again,
}

/// Wants a new percloud: takes the name, writes the row, and queues the mail to the visitor. Provisioning starts at once.
///
/// # Errors
/// `Name` when somebody has the name or one that looks the same; the transaction is then to be dropped.
pub async fn create(tx: &Transaction<'_>, new: &New<'_>, now: DateTime<Utc>) -> Result<Created, Error> {
    let (id, token, again) = (TenantId::random(), Token::random(), Again::random());
    let domain = new.name.domain(new.base_domain)?;
    take_name(tx, new.name, &id, now).await?;
    let account = accounts::ensure(tx, new.email, new.language, now).await?;
    let visitor = *new.actor == Actor::Visitor;
    let (confirm, confirmed_at) = if visitor { (Some(token.confirm_sha256()), None) } else { (None, Some(now)) };
    let statement = tx.prepare_cached(sql::CREATE).await?;
    tx.execute(
        &statement,
        &[
            &id.as_str(),
            &account.as_str(),
            &new.name.label(),
            &domain.as_str(),
            &token.setup_sha256(),
            &confirm,
            &confirmed_at,
            &new.quota_bytes,
            &new.language,
            &now,
            &telemetry::trace_parent(),
            &visitor.then(|| again.sha256()),
        ],
    )
    .await?;
    queue_link(tx, new, &id, &domain, &token, now).await?;
    audit::note(tx, now, new.actor, "tenant.created", &id, &json!({ "domain": domain.as_str() })).await?;
    Ok(Created { id, domain, token, again })
}

/// Whether a browser that signed up before may do so again with the same name.
///
/// # Errors
/// When the database does not answer.
pub async fn may_create_again(db: &impl GenericClient, domain: &Domain, again: &Again) -> Result<bool, Error> {
    Ok(db.query_one(sql::MAY_AGAIN, &[&domain.as_str(), &again.sha256()]).await?.try_get(0)?)
}

/// The browser that signed up does so again with the same name, most likely because the address was mistyped: the links that were mailed
/// end, new ones go to the new address. `None` when somebody has confirmed meanwhile, or it is another browser.
///
/// # Errors
/// When the database refuses.
pub async fn create_again(
    tx: &Transaction<'_>,
    new: &New<'_>,
    before: &Again,
    now: DateTime<Utc>,
) -> Result<Option<Created>, Error> {
    let (token, again, domain) = (Token::random(), Again::random(), new.name.domain(new.base_domain)?);
    let account = accounts::ensure(tx, new.email, new.language, now).await?;
    let row = tx
        .query_one(
            sql::AGAIN,
            &[
                &domain.as_str(),
                &before.sha256(),
                &account.as_str(),
                &token.setup_sha256(),
                &token.confirm_sha256(),
                &new.language,
                &again.sha256(),
                &now,
            ],
        )
        .await?;
    let Some(id) = row.try_get::<_, Option<String>>(0)? else { return Ok(None) };
    let id: TenantId = id.parse().map_err(|_| db::Error::Column("tenants.id"))?;
    queue_link(tx, new, &id, &domain, &token, now).await?;
    audit::note(tx, now, new.actor, "tenant.created-again", &id, &json!({})).await?;
    Ok(Some(Created { id, domain, token, again }))
}

/// The mail with the link, for a visitor.
async fn queue_link(
    tx: &Transaction<'_>,
    new: &New<'_>,
    id: &TenantId,
    domain: &Domain,
    token: &Token,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let visitor = *new.actor == Actor::Visitor;
    if let Some(url) = new.confirm_url.filter(|_| visitor) {
        let moving = if new.moving { "?moving=true" } else { "" };
        let message = Message::Confirm { domain: domain.to_string(), link: format!("{url}{}{moving}", token.secret()) };
        mails::queue(tx, Some(id), new.email.as_str(), new.language, &message, now).await?;
    }
    Ok(())
}

async fn take_name(tx: &Transaction<'_>, name: &Name, id: &TenantId, now: DateTime<Utc>) -> Result<(), Error> {
    let statement = tx.prepare_cached(names::sql::TAKE).await?;
    match tx.execute(&statement, &[&name.label(), &name.skeleton(), &id.as_str(), &now]).await.map_err(db::Error::from)
    {
        Ok(_) => Ok(()),
        Err(db::Error::Unique(constraint)) if constraint == "names_skeleton_key" => Err(Refusal::TooAlike.into()),
        Err(db::Error::Unique(_)) => Err(Refusal::Taken.into()),
        Err(error) => Err(error.into()),
    }
}

/// The percloud that a mailed link is for, whether confirmed already or not.
///
/// # Errors
/// When the database does not answer.
pub async fn find_by_token(db: &impl GenericClient, token: &Token) -> Result<Option<Tenant>, Error> {
    let statement = db.prepare_cached(sql::BY_CONFIRM).await?;
    let row = db.query_opt(&statement, &[&token.confirm_sha256()]).await?;
    let tenant = row.as_ref().map(Tenant::from_row).transpose()?;
    Ok(tenant.filter(|tenant| tenant.wanted != Wanted::Deleted))
}

/// The mailed link was used: the address is its owner's. Doing it twice is doing it once.
///
/// # Errors
/// `NotFound` when there is none or it is being deleted.
pub async fn confirm(tx: &Transaction<'_>, token: &Token, now: DateTime<Utc>) -> Result<Tenant, Error> {
    let tenant = find_by_token(tx, token).await?.ok_or(Error::NotFound)?;
    if tenant.confirmed_at.is_none() {
        let affected = tx.execute(sql::CONFIRM, &[&tenant.id.as_str(), &now]).await?;
        if affected == 0 {
            return Err(Error::NotFound); // lapsed between the two statements
        }
        accounts::confirmed(tx, &tenant.account_id, now).await?;
        audit::note(tx, now, &Actor::Visitor, "tenant.confirmed", &tenant.id, &json!({})).await?;
    }
    Ok(tenant)
}

/// Wants it suspended, and tells its owner why. Suspended already: the reason is replaced.
///
/// # Errors
/// `NotFound`, `BeingDeleted`, or `Reason` when there is none.
pub async fn suspend(
    tx: &Transaction<'_>,
    which: &str,
    reason: &str,
    actor: &Actor,
    now: DateTime<Utc>,
) -> Result<Tenant, Error> {
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > 2000 {
        return Err(Error::Reason);
    }
    let before = living(tx, which).await?;
    if before.suspended_reason.as_deref() == Some(reason) {
        return Ok(before);
    }
    want(tx, &before.id, Wanted::Suspended, Some(reason), now).await?;
    audit::note(tx, now, actor, "tenant.suspended", &before.id, &json!({ "reason": reason })).await?;
    let message = Message::Suspended { domain: before.domain.to_string(), reason: reason.to_owned() };
    mails::queue(tx, Some(&before.id), &before.email, &before.language, &message, now).await?;
    get(tx, before.id.as_str()).await
}

/// Wants it running again; and tried at once, should it fail, whatever its host has made of that.
///
/// # Errors
/// `NotFound` or `BeingDeleted`.
pub async fn resume(tx: &Transaction<'_>, which: &str, actor: &Actor, now: DateTime<Utc>) -> Result<Tenant, Error> {
    let before = living(tx, which).await?;
    // Claims are written before perclouds, as their reconciler does it, so that two transactions never wait for each other.
    if before.wanted != Wanted::Running {
        domains::resumed(tx, &before.id, now).await?;
    }
    // Also where nothing is known to be wrong: its host may know more than was last seen of it.
    want(tx, &before.id, Wanted::Running, None, now).await?;
    if before.wanted != Wanted::Running {
        audit::note(tx, now, actor, "tenant.resumed", &before.id, &json!({})).await?;
        let message = Message::Resumed { domain: before.domain.to_string() };
        mails::queue(tx, Some(&before.id), &before.email, &before.language, &message, now).await?;
    }
    get(tx, before.id.as_str()).await
}

/// Wants it gone, for good and at once; its owner is told. Doing it twice is doing it once.
///
/// # Errors
/// `NotFound`.
pub async fn delete(tx: &Transaction<'_>, which: &str, actor: &Actor, now: DateTime<Utc>) -> Result<Tenant, Error> {
    let before = get(tx, which).await?;
    if before.wanted == Wanted::Deleted {
        return Ok(before);
    }
    want(tx, &before.id, Wanted::Deleted, None, now).await?;
    audit::note(tx, now, actor, "tenant.deleted", &before.id, &json!({})).await?;
    if before.confirmed_at.is_some() {
        let message = Message::Deleted { domain: before.domain.to_string() };
        mails::queue(tx, Some(&before.id), &before.email, &before.language, &message, now).await?;
    }
    get(tx, before.id.as_str()).await
}

async fn living(tx: &Transaction<'_>, which: &str) -> Result<Tenant, Error> {
    let tenant = get(tx, which).await?;
    if tenant.wanted == Wanted::Deleted { Err(Error::BeingDeleted) } else { Ok(tenant) }
}

async fn want(
    tx: &Transaction<'_>,
    id: &TenantId,
    wanted: Wanted,
    reason: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let affected =
        tx.execute(sql::WANT, &[&id.as_str(), &wanted.as_str(), &reason, &now, &telemetry::trace_parent()]).await?;
    Ok(ensure_affected(affected, 1)?)
}
