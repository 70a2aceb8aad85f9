//! Links: one file or folder for whoever has the link, with a password and an end if the owner wishes.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, Row, Transaction};
use sha2::Digest;

use super::node::Id;
use crate::{store::Count, web};

/// After so many wrong passwords in a row each further try waits for [`PAUSE`].
const FREE_TRIES: i64 = 5;
const PAUSE: TimeDelta = TimeDelta::seconds(20);
/// How long a visitor who gave the password is let in.
pub const PASS: TimeDelta = TimeDelta::hours(12);
/// How long an expired link is kept, so that its page can say so.
const REMEMBERED: TimeDelta = TimeDelta::days(90);

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Names it on the owner's pages.
    pub id: Id,
    /// What it opens.
    pub node: Id,
    /// The secret in its address.
    pub token: String,
    /// PHC string of its password.
    pub password: Option<String>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
    /// How often it was opened.
    pub opened: u64,
    /// When last.
    pub opened_at: Option<DateTime<Utc>>,
}

const COLUMNS: &str = "id, node, token, password, expires_at, created_at, opened, opened_at";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Share> {
    Ok(Share {
        id: row.get(0)?,
        node: row.get(1)?,
        token: row.get(2)?,
        password: row.get(3)?,
        expires_at: row.get(4)?,
        created_at: row.get(5)?,
        opened: row.get::<_, Count>(6)?.0,
        opened_at: row.get(7)?,
    })
}

fn hash(token: &str) -> [u8; 32] {
    sha2::Sha256::digest(token).into()
}

/// A new secret for an address: 160 random bits.
#[must_use]
pub fn new_token() -> String {
    data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 20]>()).to_lowercase()
}

impl Share {
    /// True once it has ended.
    #[must_use]
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// Writes a link as it is; one with the same id is left alone.
///
/// # Errors
/// When the store does not answer.
pub fn insert(tx: &Transaction<'_>, share: &Share) -> anyhow::Result<()> {
    let sql =
        "insert into files_shares (id, node, token, token_sha256, password, expires_at, created_at, opened, opened_at)
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) on conflict do nothing";
    tx.execute(
        sql,
        rusqlite::params![
            share.id,
            share.node,
            share.token,
            hash(&share.token),
            share.password,
            share.expires_at,
            share.created_at,
            Count(share.opened),
            share.opened_at
        ],
    )?;
    Ok(())
}

/// The links of one thing, latest first.
///
/// # Errors
/// When the tables cannot be read.
pub fn of_node(db: &Connection, node: &Id) -> anyhow::Result<Vec<Share>> {
    let sql = format!("select {COLUMNS} from files_shares where node = ?1 order by created_at desc, id");
    Ok(db.prepare_cached(&sql)?.query_map([node], from_row)?.collect::<Result<_, _>>()?)
}

/// All links, latest first.
///
/// # Errors
/// When the tables cannot be read.
pub fn all(db: &Connection) -> anyhow::Result<Vec<Share>> {
    let sql = format!("select {COLUMNS} from files_shares order by created_at desc, id");
    Ok(db.prepare_cached(&sql)?.query_map([], from_row)?.collect::<Result<_, _>>()?)
}

/// The link of this id.
///
/// # Errors
/// When the tables cannot be read.
pub fn find(db: &Connection, id: &Id) -> anyhow::Result<Option<Share>> {
    let sql = format!("select {COLUMNS} from files_shares where id = ?1");
    Ok(db.prepare_cached(&sql)?.query_row([id], from_row).optional()?)
}

/// The link of this address.
///
/// # Errors
/// When the tables cannot be read.
pub fn by_token(db: &Connection, token: &str) -> anyhow::Result<Option<Share>> {
    let sql = format!("select {COLUMNS} from files_shares where token_sha256 = ?1");
    Ok(db.prepare_cached(&sql)?.query_row([hash(token)], from_row).optional()?)
}

/// Ends a link for good; answers what it opened.
///
/// # Errors
/// When the store does not answer.
pub fn revoke(tx: &Transaction<'_>, id: &Id) -> anyhow::Result<Option<Id>> {
    let sql = "delete from files_shares where id = ?1 returning node";
    Ok(tx.query_row(sql, [id], |row| row.get(0)).optional()?)
}

/// Counts a visit.
///
/// # Errors
/// When the store does not answer.
pub fn count(tx: &Transaction<'_>, id: &Id, now: DateTime<Utc>) -> anyhow::Result<()> {
    tx.execute("update files_shares set opened = opened + 1, opened_at = ?2 where id = ?1", (id, now))?;
    Ok(())
}

/// Counts a try at the password before it is looked at, so that tries at the same time count too.
///
/// # Errors
/// [`web::Error::TooMany`] when it must wait.
pub fn try_password(tx: &Transaction<'_>, id: &Id, now: DateTime<Utc>) -> web::Result<()> {
    let sql = "select failures, failed_at from files_shares where id = ?1";
    let (failures, failed_at): (i64, Option<DateTime<Utc>>) =
        tx.query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // When the clock was ahead and is set right, nobody waits until it is as late again.
    let last = failed_at.filter(|at| *at <= now);
    let wait = last.map(|at| at + PAUSE - now).filter(|wait| *wait > TimeDelta::zero());
    if let (true, Some(wait)) = (failures >= FREE_TRIES, wait) {
        return Err(web::Error::TooMany(wait.num_seconds().unsigned_abs().max(1)));
    }
    tx.execute("update files_shares set failures = failures + 1, failed_at = ?2 where id = ?1", (id, now))?;
    Ok(())
}

/// Lets a visitor in who gave the right password; answers the secret for the cookie.
///
/// # Errors
/// When the store does not answer.
pub fn let_in(tx: &Transaction<'_>, id: &Id, now: DateTime<Utc>) -> anyhow::Result<String> {
    let token = new_token();
    tx.execute("update files_shares set failures = 0, failed_at = null where id = ?1", [id])?;
    tx.execute(
        "insert into files_passes (sha256, share, expires_at) values (?1, ?2, ?3)",
        (hash(&token), id, now + PASS),
    )?;
    Ok(token)
}

/// Whether a cookie's secret opens the link.
///
/// # Errors
/// When the tables cannot be read.
pub fn is_let_in(db: &Connection, id: &Id, token: &str, now: DateTime<Utc>) -> anyhow::Result<bool> {
    let sql = "select 1 from files_passes where sha256 = ?1 and share = ?2 and expires_at > ?3";
    Ok(db.prepare_cached(sql)?.exists((hash(token), id, now))?)
}

/// Forgets passes that are over, and links that ended long ago.
///
/// # Errors
/// When the store does not answer.
pub fn tidy(tx: &Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
    tx.execute("delete from files_passes where expires_at <= ?1", [now])?;
    tx.execute("delete from files_shares where expires_at <= ?1", [now - REMEMBERED])?;
    Ok(())
}

/// When [`tidy`] will next find something to do.
///
/// # Errors
/// When the tables cannot be read.
pub fn due(db: &Connection) -> anyhow::Result<Option<DateTime<Utc>>> {
    let passes = crate::due::first(db, "select min(expires_at) from files_passes", TimeDelta::zero())?;
    let links = crate::due::first(db, "select min(expires_at) from files_shares", REMEMBERED)?;
    Ok(crate::due::soonest([passes, links]))
}
