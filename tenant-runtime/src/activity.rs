//! The activity log: what was done with this percloud, for its owner to read.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, Transaction};

/// How long an entry is kept.
const KEPT: TimeDelta = TimeDelta::days(365);

/// One thing that was done.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Entry {
    /// When.
    pub at: DateTime<Utc>,
    /// The message that says what.
    pub key: String,
    /// What fills the message's places.
    pub args: BTreeMap<String, String>,
}

/// Writes down that something was done; in the same transaction as the thing itself.
///
/// # Errors
/// When the store does not answer.
pub fn note(tx: &Transaction<'_>, now: DateTime<Utc>, key: &str, args: &[(&str, &str)]) -> anyhow::Result<()> {
    let args: BTreeMap<_, _> = args.iter().copied().collect();
    let sql = "insert into activity (at, key, args) values (?1, ?2, ?3)";
    tx.execute(sql, (now, key, serde_json::to_string(&args)?))?;
    Ok(())
}

/// The latest entries, newest first.
///
/// # Errors
/// When the store does not answer.
pub fn list(db: &Connection, limit: u32, skip: u32) -> anyhow::Result<Vec<Entry>> {
    let mut query = db.prepare_cached("select at, key, args from activity order by id desc limit ?1 offset ?2")?;
    let rows = query.query_map((limit, skip), |row| {
        let args: String = row.get(2)?;
        Ok(Entry { at: row.get(0)?, key: row.get(1)?, args: serde_json::from_str(&args).unwrap_or_default() })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Forgets what is older than a year.
///
/// # Errors
/// When the store does not answer.
pub fn tidy(tx: &Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
    tx.execute("delete from activity where at < ?1", [now - KEPT])?;
    Ok(())
}

/// When [`tidy`] will next find something to do.
///
/// # Errors
/// When the tables cannot be read.
pub fn due(db: &Connection) -> anyhow::Result<Option<DateTime<Utc>>> {
    crate::due::first(db, "select min(at) from activity", KEPT)
}
