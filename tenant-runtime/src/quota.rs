//! How much room there is, and what uses it.

use bundle::TenantSpec;
use rusqlite::Connection;

use crate::{blobs::Hash, services, web};

/// What the disk must keep free for the database to go on working.
const RESERVE: u64 = 32 << 20;

/// Bytes in use: all blobs and the database.
///
/// # Errors
/// When the store does not answer.
pub fn used(db: &Connection) -> anyhow::Result<u64> {
    let sql = "select blob_bytes() + page_count * page_size from pragma_page_count(), pragma_page_size()";
    let bytes: i64 = db.query_row(sql, [], |row| row.get(0))?;
    Ok(u64::try_from(bytes)?)
}

/// Makes sure that `more` bytes fit into what the owner may use and onto the disk.
///
/// # Errors
/// [`web::Error::NoRoom`] when they do not.
pub fn ensure_room(db: &Connection, spec: &TenantSpec, more: u64) -> web::Result<()> {
    let wanted = used(db)?.saturating_add(more);
    if wanted > spec.quota_bytes {
        return Err(web::Error::NoRoom);
    }
    let disk = db.path().and_then(|path| rustix::fs::statvfs(path).ok());
    match disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)) {
        Some(free) if free < more.saturating_add(RESERVE) => Err(web::Error::NoRoom),
        _ => Ok(()),
    }
}

/// Every blob that a row names, sorted.
///
/// # Errors
/// When the store does not answer.
pub fn named(db: &Connection) -> anyhow::Result<Vec<Hash>> {
    let mut all = Vec::new();
    for service in services::ALL {
        all.extend(service.blobs(db)?);
    }
    all.extend(crate::uploads::blobs(db)?);
    all.extend(crate::exports::blobs(db)?);
    all.extend(crate::imports::blobs(db)?);
    all.extend(crate::settings::get(db)?.avatar.map(|picture| picture.blob.sha256));
    all.sort_unstable();
    all.dedup();
    Ok(all)
}
