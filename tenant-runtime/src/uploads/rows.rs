//! The rows of uploads.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::{Hashing, Metadata, Upload};
use crate::{
    blobs::{Blob, Hash},
    store::Count,
};

const COLUMNS: &str = "id, purpose, metadata, length, received, sha256_state, crc32, sha256, result, expires_at";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Upload> {
    let Count(length) = row.get("length")?;
    let crc32: u32 = row.get("crc32")?;
    let sha256: Option<Hash> = row.get("sha256")?;
    let metadata: String = row.get("metadata")?;
    Ok(Upload {
        id: row.get("id")?,
        purpose: row.get("purpose")?,
        metadata: serde_json::from_str(&metadata).unwrap_or_default(),
        length,
        received: row.get::<_, Count>("received")?.0,
        blob: sha256.map(|sha256| Blob { sha256, crc32, size: length }),
        result: row.get("result")?,
        expires_at: row.get("expires_at")?,
        hashing: Hashing { sha256_state: row.get("sha256_state")?, crc32 },
    })
}

pub(super) fn find(db: &Connection, id: &str) -> anyhow::Result<Option<Upload>> {
    let sql = format!("select {COLUMNS} from uploads where id = ?1");
    Ok(db.prepare_cached(&sql)?.query_row([id], from_row).optional()?)
}

pub(super) fn unfinished(db: &Connection) -> anyhow::Result<Vec<Upload>> {
    let sql = format!("select {COLUMNS} from uploads where sha256 is null order by created_at desc limit 100");
    Ok(db.prepare_cached(&sql)?.query_map([], from_row)?.collect::<Result<_, _>>()?)
}

pub(super) fn insert(
    tx: &Transaction<'_>,
    id: &str,
    purpose: &str,
    metadata: &Metadata,
    length: u64,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let sql =
        "insert into uploads (id, purpose, metadata, length, created_at, expires_at) values (?1, ?2, ?3, ?4, ?5, ?6)";
    tx.execute(sql, (id, purpose, serde_json::to_string(metadata)?, Count(length), now, now + super::KEPT))?;
    Ok(())
}

/// Notes that so many bytes are durable; never fewer than before.
pub(super) fn checkpoint(tx: &Transaction<'_>, upload: &Upload, now: DateTime<Utc>) -> anyhow::Result<()> {
    let sql = "update uploads set received = ?2, sha256_state = ?3, crc32 = ?4, sha256 = ?5, expires_at = ?6
               where id = ?1 and received <= ?2";
    let sha256 = upload.blob.map(|b| b.sha256);
    let hashing = &upload.hashing;
    let n = tx.execute(
        sql,
        (&upload.id, Count(upload.received), &hashing.sha256_state, hashing.crc32, sha256, now + super::KEPT),
    )?;
    anyhow::ensure!(n == 1, "the upload is gone");
    Ok(())
}

pub(super) fn set_result(tx: &Transaction<'_>, id: &str, result: &str) -> anyhow::Result<()> {
    tx.execute("update uploads set result = ?2 where id = ?1", (id, result))?;
    Ok(())
}

pub(super) fn delete(tx: &Transaction<'_>, id: &str) -> anyhow::Result<bool> {
    Ok(tx.execute("delete from uploads where id = ?1", [id])? == 1)
}

pub(super) fn delete_expired(tx: &Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
    tx.execute("delete from uploads where expires_at < ?1", [now])?;
    Ok(())
}

pub(super) fn reserved(db: &Connection) -> anyhow::Result<u64> {
    let sql = "select coalesce(sum(length), 0) from uploads where sha256 is null";
    Ok(db.prepare_cached(sql)?.query_row([], |row| row.get::<_, Count>(0))?.0)
}

pub(super) fn blobs(db: &Connection) -> anyhow::Result<Vec<Hash>> {
    let sql = "select sha256 from uploads where sha256 is not null and result is null";
    Ok(db.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}
