//! The trash: 30 days in which everything can come back to where it was.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, Transaction};

use super::{
    read,
    undo::Step,
    write::{free_name, outermost, place},
};
use crate::{
    blobs::Hash,
    services::files::{
        names::Name,
        node::{Id, Node},
    },
};

/// How long thrown-away things are kept.
pub const KEPT: TimeDelta = TimeDelta::days(30);

const MARK: &str = "with recursive down (id) as (
        select ?1
        union all select c.id from files_nodes c join down on c.parent = down.id where c.trash is null)
    update files_nodes set trash = ?1 where id in (select id from down)";

/// Throws things away, with all that is in them; what is gone already is left alone. Answers how to take it back.
///
/// # Errors
/// When the store does not answer.
pub fn throw(tx: &Transaction<'_>, ids: &[Id], now: DateTime<Utc>) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    for id in outermost(tx, ids)? {
        let live = read::find(tx, &id)?.is_some_and(|node| node.trash.is_none());
        if !live || id.is_top() {
            continue;
        }
        tx.prepare_cached(MARK)?.execute([&id])?;
        tx.execute("update files_nodes set trashed_at = ?2, revision = revision + 1 where id = ?1", (&id, now))?;
        steps.push(Step::Restore { id });
    }
    Ok(steps)
}

/// Brings things back to where they were: the folder when it is still there, else the nearest one above it that is.
///
/// # Errors
/// When the store does not answer.
pub fn restore(tx: &Transaction<'_>, ids: &[Id]) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    for id in ids {
        let Some(node) = read::find(tx, id)?.filter(|node| node.trashed_at.is_some()) else { continue };
        let home =
            read::ancestors(tx, id)?.into_iter().rev().find(|a| a.trash.is_none()).map_or_else(Id::top, |a| a.id);
        let name = free_name(tx, &home, &Name::parse(&node.name).map_err(anyhow::Error::from)?)?;
        tx.execute("update files_nodes set trashed_at = null where id = ?1", [id])?;
        place(tx, id, &home, &name)?;
        tx.execute("update files_nodes set trash = null where trash = ?1", [id])?;
        steps.push(Step::Trash { id: id.clone() });
    }
    Ok(steps)
}

/// Removes thrown-away things for good; answers how many.
///
/// # Errors
/// When the store does not answer.
pub fn purge(tx: &Transaction<'_>, ids: &[Id]) -> anyhow::Result<usize> {
    // What was thrown away earlier, by itself, out of a folder that goes now, outlives it.
    let rescue = "with recursive down (id) as (
            select ?1 union all select c.id from files_nodes c join down on c.parent = down.id)
        update files_nodes set parent = 'top' where trashed_at is not null and id <> ?1 and id in (select id from down)";
    let mut purged = 0;
    for id in ids {
        let node: Option<Node> = read::find(tx, id)?.filter(|node| node.trashed_at.is_some());
        if node.is_none() {
            continue;
        }
        tx.prepare_cached(rescue)?.execute([id])?;
        purged += tx.prepare_cached("delete from files_nodes where id = ?1")?.execute([id])?;
    }
    Ok(purged)
}

/// Removes everything in the trash for good; answers how many things that were.
///
/// # Errors
/// When the store does not answer.
pub fn empty(tx: &Transaction<'_>) -> anyhow::Result<usize> {
    let sql = "select count(*) from files_nodes where trashed_at is not null";
    let count: i64 = tx.query_row(sql, [], |row| row.get(0))?;
    tx.execute("delete from files_nodes where trashed_at is not null", [])?;
    Ok(usize::try_from(count)?)
}

/// Removes what was thrown away more than 30 days ago.
///
/// # Errors
/// When the store does not answer.
pub fn tidy(tx: &Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
    let old: Vec<Id> = read::trashed_before(tx, now - KEPT)?.into_iter().map(|node| node.id).collect();
    purge(tx, &old)?;
    Ok(())
}

/// When [`tidy`] will next find something to do.
///
/// # Errors
/// When the tables cannot be read.
pub fn due(db: &Connection) -> anyhow::Result<Option<DateTime<Utc>>> {
    crate::due::first(db, "select min(trashed_at) from files_nodes", KEPT)
}

/// The content of things and of all that is in them, each with the earliest moment at which one of them named it.
///
/// # Errors
/// When the tables cannot be read.
pub fn content(tx: &Transaction<'_>, ids: &[Id]) -> anyhow::Result<Vec<(Hash, DateTime<Utc>)>> {
    let sql = "with recursive down (id) as (
            select ?1 union all select c.id from files_nodes c join down on c.parent = down.id)
        select n.sha256, min(n.created_at) from files_nodes n join down on down.id = n.id
        where n.sha256 is not null group by n.sha256";
    let mut query = tx.prepare_cached(sql)?;
    let mut all = Vec::new();
    for id in ids {
        let rows = query.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        all.extend(rows.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(all)
}
