//! Who the owner is and how they prove it. The provider has no part in this once the set-up link was used.

pub mod codes;
pub mod limits;
pub mod owner_key;
pub mod passwords;
pub mod sessions;
pub mod web;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, Transaction};
use sha2::Digest;
use subtle::ConstantTimeEq;

use bundle::TenantSpec;

/// How long after asking for it the percloud is deleted.
pub const DELETION_GRACE: TimeDelta = TimeDelta::days(30);

/// The one who owns this percloud.
#[derive(Clone, Debug)]
pub struct Owner {
    /// The password, hashed (PHC string).
    pub password: String,
    /// When it was last changed.
    pub password_at: DateTime<Utc>,
    /// When the set-up link was used.
    pub set_up_at: DateTime<Utc>,
    /// When the percloud is deleted, if that was asked for.
    pub delete_after: Option<DateTime<Utc>>,
}

/// The owner, or none as long as the set-up link was not used.
///
/// # Errors
/// When the store does not answer.
pub fn owner(db: &Connection) -> anyhow::Result<Option<Owner>> {
    let sql = "select password, password_at, set_up_at, delete_after from owner where id = 1";
    let row = db.prepare_cached(sql)?.query_row([], |row| {
        Ok(Owner { password: row.get(0)?, password_at: row.get(1)?, set_up_at: row.get(2)?, delete_after: row.get(3)? })
    });
    Ok(row.optional()?)
}

/// Makes the owner. Answers false when there is one already: a set-up link works once.
///
/// # Errors
/// When the store does not answer.
pub fn set_up(tx: &Transaction<'_>, password: &str, now: DateTime<Utc>) -> anyhow::Result<bool> {
    let sql = "insert into owner (id, password, password_at, set_up_at) values (1, ?1, ?2, ?2) on conflict do nothing";
    Ok(tx.execute(sql, (password, now))? == 1)
}

/// Changes the password (given hashed).
///
/// # Errors
/// When the store does not answer.
pub fn change_password(tx: &Transaction<'_>, password: &str, now: DateTime<Utc>) -> anyhow::Result<()> {
    tx.execute("update owner set password = ?1, password_at = ?2 where id = 1", (password, now))?;
    Ok(())
}

/// Asks for deletion at a moment, or takes that back.
///
/// # Errors
/// When the store does not answer.
pub fn want_deletion(tx: &Transaction<'_>, after: Option<DateTime<Utc>>) -> anyhow::Result<()> {
    tx.execute("update owner set delete_after = ?1 where id = 1", [after])?;
    Ok(())
}

/// The hash of a set-up link's token, as a spec keeps it.
#[must_use]
pub fn setup_hash(token: &str) -> String {
    hex::encode(sha2::Sha256::digest(format!("setup:{token}")))
}

/// Whether this is the token of the percloud's set-up link.
#[must_use]
pub fn is_setup_token(spec: &TenantSpec, token: &str) -> bool {
    let given = setup_hash(token);
    spec.setup_sha256.as_ref().is_some_and(|wanted| wanted.as_bytes().ct_eq(given.as_bytes()).into())
}
