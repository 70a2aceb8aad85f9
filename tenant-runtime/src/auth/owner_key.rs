//! The key with which this percloud vouches for its owner at the provider's portal ([`bundle::ticket`]).
//!
//! Every percloud makes its own and keeps it: it is in no bundle, so that a percloud that moved has another one.

use bundle::ticket::OwnerKey;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Transaction};

/// The key, if there is one yet.
///
/// # Errors
/// When the store does not answer or holds something else.
pub fn find(db: &Connection) -> anyhow::Result<Option<OwnerKey>> {
    let pkcs8: Option<Vec<u8>> =
        db.query_row("select pkcs8 from owner_key where id = 1", [], |row| row.get(0)).optional()?;
    pkcs8.as_deref().map(OwnerKey::read).transpose()
}

/// The key, made when there is none.
///
/// # Errors
/// When the store does not answer.
pub fn ensure(tx: &Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<OwnerKey> {
    if let Some(key) = find(tx)? {
        return Ok(key);
    }
    let pkcs8 = OwnerKey::random()?;
    tx.execute("insert into owner_key (id, pkcs8, made_at) values (1, ?1, ?2)", (&pkcs8, now))?;
    OwnerKey::read(&pkcs8)
}
