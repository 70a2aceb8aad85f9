//! Undo: every change that a toast offers to take back leaves the steps for it, for a day.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};

use super::{trash, write};
use crate::services::files::{names::Name, node::Id, store::read};

/// One step back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Puts something where it was.
    Place {
        /// What.
        id: Id,
        /// The folder it was in.
        parent: Id,
        /// The name it had.
        name: String,
    },
    /// Brings something back from the trash.
    Restore {
        /// What.
        id: Id,
    },
    /// Throws away what was not there before.
    Trash {
        /// What.
        id: Id,
    },
}

/// Keeps steps and answers their id; none when there is nothing to take back.
///
/// # Errors
/// When the store does not answer.
pub fn keep(tx: &Transaction<'_>, steps: &[Step], now: DateTime<Utc>) -> anyhow::Result<Option<Id>> {
    if steps.is_empty() {
        return Ok(None);
    }
    let id = Id::random();
    let sql = "insert into files_undo (id, created_at, steps) values (?1, ?2, ?3)";
    tx.execute(sql, (&id, now, serde_json::to_string(steps)?))?;
    Ok(Some(id))
}

/// Takes a change back; doing it twice is doing it once. Answers how many things were put back.
///
/// # Errors
/// When the store does not answer.
pub fn run(tx: &Transaction<'_>, id: &Id, now: DateTime<Utc>) -> anyhow::Result<usize> {
    let sql = "delete from files_undo where id = ?1 returning steps";
    let steps: Option<String> = tx.query_row(sql, [id], |row| row.get(0)).optional()?;
    let Some(steps) = steps else { return Ok(0) };
    let steps: Vec<Step> = serde_json::from_str(&steps)?;
    for step in &steps {
        match step {
            Step::Place { id, parent, name } => put_back(tx, id, parent, name)?,
            Step::Restore { id } => drop(trash::restore(tx, std::slice::from_ref(id))?),
            Step::Trash { id } => drop(trash::throw(tx, std::slice::from_ref(id), now)?),
        }
    }
    Ok(steps.len())
}

/// Where it was, if that is still possible: things may have changed since.
fn put_back(tx: &Transaction<'_>, id: &Id, parent: &Id, name: &str) -> anyhow::Result<()> {
    let node = read::find(tx, id)?.filter(|node| node.trash.is_none());
    let folder = read::find(tx, parent)?.filter(|folder| folder.trash.is_none());
    let (Some(_), Some(folder)) = (node, folder) else { return Ok(()) };
    if read::is_inside(tx, &folder.id, id)? {
        return Ok(());
    }
    let wished = Name::parse(name).map_err(anyhow::Error::from)?;
    let taken = read::by_name(tx, &folder.id, name)?.is_some_and(|other| other.id != *id);
    let name = if taken { write::free_name(tx, &folder.id, &wished)? } else { wished };
    write::place(tx, id, &folder.id, &name)
}

/// Forgets what nobody took back within a day.
///
/// # Errors
/// When the store does not answer.
pub fn tidy(tx: &Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
    tx.execute("delete from files_undo where created_at < ?1", [now - TimeDelta::days(1)])?;
    Ok(())
}

/// When [`tidy`] will next find something to do.
///
/// # Errors
/// When the tables cannot be read.
pub fn due(db: &Connection) -> anyhow::Result<Option<DateTime<Utc>>> {
    crate::due::first(db, "select min(created_at) from files_undo", TimeDelta::days(1))
}

/// Forgets all steps: after something was removed for good, they would promise too much.
///
/// # Errors
/// When the store does not answer.
pub fn forget(tx: &Transaction<'_>) -> anyhow::Result<()> {
    tx.execute("delete from files_undo", [])?;
    Ok(())
}
