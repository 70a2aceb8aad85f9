//! The table of pictures: what is stored, who uses it, who may see it.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::images::Kind;
use crate::blobs::{Blob, Hash};

/// Days that a picture stays which no text names: a deleted line may come back.
const UNUSED_DAYS: i64 = 30;

/// A stored picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Its content.
    pub blob: Blob,
    /// What it is.
    pub kind: Kind,
    /// Width and height in pixels, where known.
    pub size: Option<(u32, u32)>,
}

impl Picture {
    /// Its address: `/media/<sha256>.<ext>`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/media/{}", self.file_name())
    }

    /// Its name in a bundle.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.blob.sha256, self.kind.extension())
    }
}

const COLUMNS: &str = "sha256, crc32, size, extension, width, height";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Picture> {
    let extension: String = row.get(3)?;
    let (width, height): (Option<u32>, Option<u32>) = (row.get(4)?, row.get(5)?);
    Ok(Picture {
        blob: Blob { sha256: row.get(0)?, crc32: row.get(1)?, size: row.get::<_, i64>(2)?.unsigned_abs() },
        kind: extension.parse().map_err(|_| rusqlite::Error::InvalidQuery)?,
        size: width.zip(height),
    })
}

/// A picture by its content.
///
/// # Errors
/// When the store does not answer.
pub fn find(db: &Connection, hash: &Hash) -> anyhow::Result<Option<Picture>> {
    let mut one = db.prepare_cached(&format!("select {COLUMNS} from post_images where sha256 = ?1"))?;
    Ok(one.query_row([hash], from_row).optional()?)
}

/// All pictures that some text names (of deleted posts too), by hash.
///
/// # Errors
/// When the store does not answer.
pub fn used(db: &Connection) -> anyhow::Result<Vec<Picture>> {
    let sql =
        format!("select {COLUMNS} from post_images where sha256 in (select sha256 from post_uses) order by sha256");
    Ok(db.prepare(&sql)?.query_map([], from_row)?.collect::<Result<_, _>>()?)
}

/// Every stored picture's hash.
///
/// # Errors
/// When the store does not answer.
pub fn all(db: &Connection) -> anyhow::Result<Vec<Hash>> {
    Ok(db.prepare("select sha256 from post_images")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Remembers a picture; one that is known stays as it is.
///
/// # Errors
/// When the store does not answer.
pub fn put(tx: &Transaction<'_>, picture: &Picture, now: DateTime<Utc>) -> anyhow::Result<()> {
    let (width, height) = picture.size.unzip();
    tx.prepare_cached(
        "insert into post_images (sha256, crc32, size, extension, width, height, added_at) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         on conflict (sha256) do update set added_at = ?7",
    )?
    .execute(params![
        picture.blob.sha256,
        picture.blob.crc32,
        i64::try_from(picture.blob.size)?,
        picture.kind.extension(),
        width,
        height,
        now.trunc_subsecs(0)
    ])?;
    Ok(())
}

/// True when a post that anybody may read shows the picture.
///
/// # Errors
/// When the store does not answer.
pub fn is_public(db: &Connection, hash: &Hash) -> anyhow::Result<bool> {
    let mut shown = db.prepare_cached(
        "select exists (select 1 from post_uses u join posts p on p.id = u.post_id where u.sha256 = ?1 and u.shown
         and p.status = 'published' and p.visibility != 'private' and p.deleted_at is null)",
    )?;
    Ok(shown.query_row([hash], |row| row.get(0))?)
}

/// Forgets pictures that no text names any more.
///
/// # Errors
/// When the store does not answer.
pub fn tidy(tx: &Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
    let sql = "delete from post_images where added_at < ?1 and sha256 not in (select sha256 from post_uses)";
    tx.execute(sql, [now - TimeDelta::days(UNUSED_DAYS)])?;
    Ok(())
}

/// When [`tidy`] will next find something to do.
///
/// # Errors
/// When the tables cannot be read.
pub fn due(db: &Connection) -> anyhow::Result<Option<DateTime<Utc>>> {
    let sql = "select min(added_at) from post_images where sha256 not in (select sha256 from post_uses)";
    crate::due::first(db, sql, TimeDelta::days(UNUSED_DAYS))
}
