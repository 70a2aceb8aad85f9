//! The rows of exports, and of what an import left for the next export.

use bundle::{Sum, manifest::Section, sign::Key};
use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use crate::{
    blobs::{Blob, Hash},
    store::Count,
};

/// How long an export can be downloaded, and go on after it broke off.
pub(super) const OPEN: TimeDelta = TimeDelta::days(7);
/// How long the list shows that it was made.
const KEPT: TimeDelta = TimeDelta::days(365);

/// An export as its row has it.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) id: String,
    pub(super) bundle: String,
    pub(super) created_at: DateTime<Utc>,
    pub(super) etag: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) signed: Option<Vec<u8>>,
    pub(super) signature: Option<String>,
    pub(super) downloaded_at: Option<DateTime<Utc>>,
    pub(super) has_secrets: bool,
}

impl Wanted {
    pub(super) fn is_open(&self, now: DateTime<Utc>) -> bool {
        now - self.created_at < OPEN
    }
}

const COLUMNS: &str = "id, bundle, created_at, etag, size, signed, signature, downloaded_at,
    exists (select 1 from exports_secrets where export = exports.id) as has_secrets";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Wanted> {
    Ok(Wanted {
        id: row.get("id")?,
        bundle: row.get("bundle")?,
        created_at: row.get("created_at")?,
        etag: row.get("etag")?,
        size: row.get::<_, Option<Count>>("size")?.map(|Count(size)| size),
        signed: row.get("signed")?,
        signature: row.get("signature")?,
        downloaded_at: row.get("downloaded_at")?,
        has_secrets: row.get("has_secrets")?,
    })
}

pub(super) fn find(db: &Connection, id: &str) -> anyhow::Result<Option<Wanted>> {
    let sql = format!("select {COLUMNS} from exports where id = ?1");
    Ok(db.prepare_cached(&sql)?.query_row([id], from_row).optional()?)
}

pub(super) fn list(db: &Connection) -> anyhow::Result<Vec<Wanted>> {
    let sql = format!("select {COLUMNS} from exports order by created_at desc limit 10");
    Ok(db.prepare_cached(&sql)?.query_map([], from_row)?.collect::<Result<_, _>>()?)
}

pub(super) fn insert(
    tx: &Transaction<'_>,
    now: DateTime<Utc>,
    secrets: &[(String, Vec<u8>)],
) -> anyhow::Result<Wanted> {
    let id = data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 16]>()).to_lowercase();
    tx.execute(
        "insert into exports (id, bundle, created_at) values (?1, ?2, ?3)",
        (&id, bundle::manifest::uuid(), now),
    )?;
    for (path, content) in secrets {
        tx.execute("insert into exports_secrets (export, path, content) values (?1, ?2, ?3)", (&id, path, content))?;
    }
    find(tx, &id)?.ok_or_else(|| anyhow::anyhow!("the export that was just written is not there"))
}

pub(super) fn secrets(db: &Connection, id: &str) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut query = db.prepare_cached("select path, content from exports_secrets where export = ?1 order by path")?;
    Ok(query.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
}

/// Keeps what the layout turned out to be, and how it was signed.
pub(super) fn set_layout(tx: &Transaction<'_>, wanted: &Wanted) -> anyhow::Result<()> {
    let sql = "update exports set bundle = ?2, created_at = ?3, etag = ?4, size = ?5, signed = ?6, signature = ?7 where id = ?1";
    let size = wanted.size.map(Count);
    tx.execute(
        sql,
        (&wanted.id, &wanted.bundle, wanted.created_at, &wanted.etag, size, &wanted.signed, &wanted.signature),
    )?;
    Ok(())
}

/// Notes that the last byte was handed out. Answers true the first time.
pub(super) fn set_downloaded(tx: &Transaction<'_>, id: &str, now: DateTime<Utc>) -> anyhow::Result<bool> {
    let sql = "update exports set downloaded_at = ?2 where id = ?1 and downloaded_at is null";
    Ok(tx.execute(sql, (id, now))? == 1)
}

pub(super) fn delete_old(tx: &Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
    tx.execute(
        "delete from exports_secrets where export in (select id from exports where created_at < ?1)",
        [now - OPEN],
    )?;
    tx.execute("delete from exports where created_at < ?1", [now - KEPT])?;
    Ok(())
}

/// When [`delete_old`] will next find something to do.
pub(super) fn due(db: &Connection) -> anyhow::Result<Option<DateTime<Utc>>> {
    let sealed = "select min(created_at) from exports where id in (select export from exports_secrets)";
    let sealed = crate::due::first(db, sealed, OPEN)?;
    let all = crate::due::first(db, "select min(created_at) from exports", KEPT)?;
    Ok(crate::due::soonest([sealed, all]))
}

/// The key that signs, if there is one yet.
pub(crate) fn key(db: &Connection) -> anyhow::Result<Option<Key>> {
    let text: Option<String> =
        db.query_row("select secret from exports_key where id = 1", [], |row| row.get(0)).optional()?;
    text.map(|text| Key::from_text(&text)).transpose()
}

/// Keeps a key, instead of the one that may be there.
pub(crate) fn set_key(tx: &Transaction<'_>, key: &Key) -> anyhow::Result<()> {
    let sql =
        "insert into exports_key (id, secret) values (1, ?1) on conflict (id) do update set secret = excluded.secret";
    tx.execute(sql, [key.to_text()])?;
    Ok(())
}

/// The key that signs; made the first time.
pub(super) fn ensure_key(tx: &Transaction<'_>) -> anyhow::Result<()> {
    if key(tx)?.is_none() {
        set_key(tx, &Key::random()?)?;
    }
    Ok(())
}

/// Keeps what an unknown section is.
pub(crate) fn keep_section(tx: &Transaction<'_>, section: &Section) -> anyhow::Result<()> {
    let sql = "insert into kept_sections (id, description) values (?1, ?2)
        on conflict (id) do update set description = excluded.description";
    tx.execute(sql, (&section.id, serde_json::to_string(section)?))?;
    Ok(())
}

/// Forgets an unknown section and its files.
pub(crate) fn forget_section(tx: &Transaction<'_>, id: &str) -> anyhow::Result<()> {
    let sql = "delete from kept_sections where id = ?1 returning json_extract(description, '$.path')";
    let path: Option<String> = tx.query_row(sql, [id], |row| row.get(0)).optional()?;
    if let Some(path) = path {
        let sql = "delete from kept_files where path = ?1 or substr(path, 1, length(?1) + 1) = ?1 || '/'";
        tx.execute(sql, [path])?;
    }
    Ok(())
}

/// Keeps a file of an unknown section.
pub(crate) fn keep_file(tx: &Transaction<'_>, path: &str, blob: &Blob) -> anyhow::Result<()> {
    let sql = "insert into kept_files (path, sha256, crc32, size) values (?1, ?2, ?3, ?4)
        on conflict (path) do update set sha256 = excluded.sha256, crc32 = excluded.crc32, size = excluded.size";
    tx.execute(sql, (path, blob.sha256, blob.crc32, Count(blob.size)))?;
    Ok(())
}

/// What is kept of unknown sections.
pub(crate) fn kept_sections(db: &Connection) -> anyhow::Result<Vec<Section>> {
    let mut query = db.prepare("select description from kept_sections order by id")?;
    let texts = query.query_map([], |row| row.get::<_, String>(0))?;
    texts.map(|text| Ok(serde_json::from_str(&text?)?)).collect()
}

/// The files that are kept of them.
pub(crate) fn kept_files(db: &Connection) -> anyhow::Result<Vec<(String, Sum)>> {
    let mut query = db.prepare("select path, sha256, crc32, size from kept_files order by path")?;
    let rows = query.query_map([], |row| {
        let Count(size) = row.get(3)?;
        Ok((row.get(0)?, Sum { sha256: row.get::<_, Hash>(1)?.0, crc32: row.get(2)?, size }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn kept_blobs(db: &Connection) -> anyhow::Result<Vec<Hash>> {
    let mut query = db.prepare("select distinct sha256 from kept_files")?;
    Ok(query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Keeps a line, once.
pub(crate) fn keep_line(tx: &Transaction<'_>, kind: &str, line: &str) -> anyhow::Result<bool> {
    let sql = "insert into kept_lines (kind, line) select ?1, ?2 where not exists
        (select 1 from kept_lines where kind = ?1 and line = ?2)";
    Ok(tx.execute(sql, (kind, line))? == 1)
}

/// The lines of a kind, oldest first.
pub(crate) fn kept_lines(db: &Connection, kind: &str) -> anyhow::Result<Vec<String>> {
    let mut query = db.prepare("select line from kept_lines where kind = ?1 order by id")?;
    Ok(query.query_map([kind], |row| row.get(0))?.collect::<Result<_, _>>()?)
}
