//! The rows of imports.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, Transaction};

use super::{Counts, report::Summary};
use crate::{
    blobs::{Blob, Hash},
    store::Count,
};

/// How long a bundle waits for its owner.
const KEPT: TimeDelta = TimeDelta::days(7);

/// Where the bundle is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// It was uploaded.
    Blob(Blob),
    /// It lies on the disk of whoever runs the command line; so many bytes.
    Disk(u64),
}

/// How far an import came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Checking,
    Ready,
    Refused,
    Importing,
    Done,
    Failed,
}

const STATES: [(State, &str); 6] = [
    (State::Checking, "checking"),
    (State::Ready, "ready"),
    (State::Refused, "refused"),
    (State::Importing, "importing"),
    (State::Done, "done"),
    (State::Failed, "failed"),
];

impl State {
    fn as_str(self) -> &'static str {
        STATES.iter().find(|(state, _)| *state == self).map_or("failed", |(_, text)| text)
    }
}

/// Why a bundle was refused: the message's key, and the entry it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Refusal {
    pub(super) key: String,
    pub(super) at: Option<String>,
}

/// An import as its row has it.
#[derive(Clone, Debug)]
pub(super) struct Import {
    pub(super) id: String,
    pub(super) file_name: String,
    pub(super) source: Source,
    pub(super) state: State,
    pub(super) summary: Option<Summary>,
    pub(super) refusal: Option<Refusal>,
    pub(super) secrets: Vec<(String, serde_json::Value)>,
    pub(super) take_password: bool,
    pub(super) report: Option<String>,
    pub(super) created_at: DateTime<Utc>,
}

impl Import {
    pub(super) fn size(&self) -> u64 {
        match self.source {
            Source::Blob(blob) => blob.size,
            Source::Disk(size) => size,
        }
    }
}

const COLUMNS: &str =
    "id, file_name, sha256, crc32, size, state, summary, refusal, secrets, take_password, report, created_at";

fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Import> {
    let Count(size) = row.get("size")?;
    let state: String = row.get("state")?;
    let crc32 = row.get("crc32")?;
    let source = match row.get::<_, Option<Hash>>("sha256")? {
        Some(sha256) => Source::Blob(Blob { sha256, crc32, size }),
        None => Source::Disk(size),
    };
    Ok(Import {
        id: row.get("id")?,
        file_name: row.get("file_name")?,
        source,
        state: STATES.iter().find(|(_, text)| *text == state).map_or(State::Failed, |(state, _)| *state),
        summary: json(row, "summary")?,
        refusal: json(row, "refusal")?,
        secrets: json(row, "secrets")?.unwrap_or_default(),
        take_password: row.get("take_password")?,
        report: row.get("report")?,
        created_at: row.get("created_at")?,
    })
}

fn json<T: serde::de::DeserializeOwned>(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<Option<T>> {
    let text: Option<String> = row.get(column)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

pub(super) fn find(db: &Connection, id: &str) -> anyhow::Result<Option<Import>> {
    let sql = format!("select {COLUMNS} from imports where id = ?1");
    Ok(db.prepare_cached(&sql)?.query_row([id], from_row).optional()?)
}

pub(super) fn list(db: &Connection) -> anyhow::Result<Vec<Import>> {
    let sql = format!(
        "select {COLUMNS} from imports where sha256 is not null or state = 'done' order by created_at desc limit 10"
    );
    Ok(db.prepare_cached(&sql)?.query_map([], from_row)?.collect::<Result<_, _>>()?)
}

/// Counts a try, before it begins; answers how many there were in this state.
pub(super) fn count_try(tx: &Transaction<'_>, id: &str) -> anyhow::Result<u32> {
    let sql = "update imports set tries = tries + 1 where id = ?1 returning tries";
    Ok(tx.query_row(sql, [id], |row| row.get(0))?)
}

/// Takes one try back: it ended in an error, and not the process.
pub(super) fn take_try_back(tx: &Transaction<'_>, id: &str) -> anyhow::Result<()> {
    tx.execute("update imports set tries = max(tries - 1, 0) where id = ?1", [id])?;
    Ok(())
}

/// Takes the tries of those that are at work back.
pub(super) fn take_tries_back(tx: &Transaction<'_>) -> anyhow::Result<()> {
    tx.execute("update imports set tries = max(tries - 1, 0) where state in ('checking', 'importing')", [])?;
    Ok(())
}

/// Uploaded bundles that a worker should be busy with.
pub(super) fn at_work(db: &Connection) -> anyhow::Result<Vec<Import>> {
    let sql = format!("select {COLUMNS} from imports where sha256 is not null and state in ('checking', 'importing')");
    Ok(db.prepare_cached(&sql)?.query_map([], from_row)?.collect::<Result<_, _>>()?)
}

/// The unfinished import of a file on the disk, of this bundle.
pub(super) fn of_disk(db: &Connection, tagmanifest: &str) -> anyhow::Result<Option<Import>> {
    let sql = format!(
        "select {COLUMNS} from imports where sha256 is null and state = 'importing'
            and json_extract(summary, '$.tagmanifest_sha256') = ?1"
    );
    Ok(db.prepare_cached(&sql)?.query_row([tagmanifest], from_row).optional()?)
}

pub(super) fn insert(
    tx: &Transaction<'_>,
    file_name: &str,
    source: &Source,
    now: DateTime<Utc>,
) -> anyhow::Result<String> {
    let id = data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 16]>()).to_lowercase();
    let name: String = file_name.chars().take(200).collect();
    let (sha256, crc32, size) = match source {
        Source::Blob(blob) => (Some(blob.sha256), blob.crc32, blob.size),
        Source::Disk(size) => (None, 0, *size),
    };
    let sql = "insert into imports (id, file_name, sha256, crc32, size, state, created_at) values (?1, ?2, ?3, ?4, ?5, 'checking', ?6)";
    tx.execute(sql, (&id, name, sha256, crc32, Count(size), now))?;
    Ok(id)
}

pub(super) fn set_ready(tx: &Transaction<'_>, id: &str, summary: &Summary) -> anyhow::Result<()> {
    let sql = "update imports set state = 'ready', tries = 0, summary = ?2 where id = ?1 and state = 'checking'";
    tx.execute(sql, (id, serde_json::to_string(summary)?))?;
    Ok(())
}

pub(super) fn set_refused(tx: &Transaction<'_>, id: &str, refusal: &Refusal) -> anyhow::Result<()> {
    let sql = "update imports set state = 'refused', refusal = ?2 where id = ?1 and state = 'checking'";
    tx.execute(sql, (id, serde_json::to_string(refusal)?))?;
    Ok(())
}

/// Begins. Answers false when it has begun already.
pub(super) fn set_importing(
    tx: &Transaction<'_>,
    id: &str,
    secrets: &[(String, serde_json::Value)],
    take_password: bool,
) -> anyhow::Result<bool> {
    let sql = "update imports set state = 'importing', tries = 0, secrets = ?2, take_password = ?3
        where id = ?1 and state in ('ready', 'failed')";
    Ok(tx.execute(sql, (id, serde_json::to_string(secrets)?, take_password))? == 1)
}

/// Ends, either way; secrets are forgotten.
pub(super) fn set_end(
    tx: &Transaction<'_>,
    id: &str,
    state: State,
    report: Option<&str>,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let keep = state == State::Failed; // so that trying again asks for no passphrase
    let sql = "update imports set state = ?2, report = ?3, finished_at = ?4,
        secrets = case when ?5 then secrets end where id = ?1";
    tx.execute(sql, (id, state.as_str(), report, now, keep))?;
    Ok(())
}

pub(super) fn delete(tx: &Transaction<'_>, id: &str) -> anyhow::Result<bool> {
    Ok(tx.execute("delete from imports where id = ?1 and state <> 'importing'", [id])? == 1)
}

pub(super) fn delete_old(tx: &Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
    tx.execute(
        "delete from imports where created_at < ?1 and state in ('checking', 'ready', 'refused', 'failed')",
        [now - KEPT],
    )?;
    Ok(())
}

/// When [`delete_old`] will next find something to do.
pub(super) fn due(db: &Connection) -> anyhow::Result<Option<DateTime<Utc>>> {
    let sql = "select min(created_at) from imports where state in ('checking', 'ready', 'refused', 'failed')";
    crate::due::first(db, sql, KEPT)
}

pub(super) fn blobs(db: &Connection) -> anyhow::Result<Vec<Hash>> {
    let sql = "select sha256 from imports where sha256 is not null and state <> 'done' and state <> 'refused'";
    Ok(db.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// What became of the sections that are in.
pub(super) fn sections(db: &Connection, id: &str) -> anyhow::Result<Vec<(String, Counts)>> {
    let mut query = db.prepare_cached("select section, counts from imports_sections where import = ?1")?;
    let rows = query.query_map([id], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    rows.map(|row| {
        let (section, counts) = row?;
        Ok((section, serde_json::from_str(&counts)?))
    })
    .collect()
}

/// Notes that a section is in; in the transaction that brought it in.
pub(super) fn set_section(tx: &Transaction<'_>, id: &str, section: &str, counts: &Counts) -> anyhow::Result<()> {
    anyhow::ensure!(counts.balances(), "the items of {section} are not all accounted for");
    let sql = "insert into imports_sections (import, section, counts) values (?1, ?2, ?3)
        on conflict (import, section) do update set counts = excluded.counts";
    tx.execute(sql, (id, section, serde_json::to_string(counts)?))?;
    Ok(())
}
