//! Coming in by a mailed link, for owners whose percloud cannot vouch for them: the password is lost, or an own domain leads nowhere.
//!
//! It opens the portal for the percloud's address and nothing else: whoever reads the owner's mail gets no file and no password by it.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{
    Secret,
    session::{self, Via},
    sql,
};
use crate::{
    audit::{self, Actor},
    db::{self, GenericClient, Transaction},
    mails::{self, Message},
    tenants::{Tenant, Wanted},
};

/// How long a link works.
pub const LIFE: TimeDelta = TimeDelta::minutes(30);

/// Whether a percloud's owner may have a link: it is not on its way out, and somebody answered a mail to its address before.
#[must_use]
pub fn may(tenant: &Tenant) -> bool {
    tenant.wanted != Wanted::Deleted && tenant.confirmed_at.is_some()
}

/// Mails a link to the address of a percloud's account. `url` is where it leads, without the token: `https://portal/manage/link/`.
///
/// # Errors
/// When the database refuses.
pub async fn mail(tx: &Transaction<'_>, tenant: &Tenant, url: &str, now: DateTime<Utc>) -> Result<(), db::Error> {
    tx.execute(sql::FORGET_LINKS, &[&now]).await?;
    let secret = Secret::random();
    tx.execute(sql::MAKE_LINK, &[&secret.sha256("link"), &tenant.id.as_str(), &now, &(now + LIFE)]).await?;
    let message = Message::ManageLink { domain: tenant.domain.to_string(), link: format!("{url}{}", secret.secret()) };
    mails::queue(tx, Some(&tenant.id), &tenant.email, &tenant.language, &message, now).await?;
    audit::note(tx, now, &Actor::Visitor, "owner.link-mailed", &tenant.id, &json!({})).await
}

/// The percloud of a link that still works; looking at it does not use it up.
///
/// # Errors
/// When the database does not answer.
pub async fn find(db: &impl GenericClient, secret: &Secret, now: DateTime<Utc>) -> Result<Option<Tenant>, db::Error> {
    let row = db.query_opt(sql::BY_LINK, &[&secret.sha256("link"), &now]).await?;
    row.as_ref().map(Tenant::from_row).transpose()
}

/// Uses a link up and begins a session; none when it does not work any more.
///
/// # Errors
/// When the database refuses.
pub async fn enter(tx: &Transaction<'_>, secret: &Secret, now: DateTime<Utc>) -> Result<Option<Secret>, db::Error> {
    let Some(tenant) = find(tx, secret, now).await? else { return Ok(None) };
    if tx.query_opt(sql::USE_LINK, &[&secret.sha256("link"), &now]).await?.is_none() {
        return Ok(None); // somebody was faster
    }
    Ok(Some(session::begin(tx, &tenant.id, Via::Mail, now).await?))
}
