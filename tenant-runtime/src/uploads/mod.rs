//! Uploads: large content on its way in, resumable over cut lines, closed pages and restarts (tus 1.0.0).
//!
//! Bytes go to `blobs/uploads/<id>`; the row says how many of them are durable. When the last one is, the file becomes a
//! blob and its [`Purpose`] takes it, in one transaction: an upload is either not there yet or there whole.

mod active;
pub mod multipart;
mod receive;
mod rows;
#[cfg(test)]
mod tests;
mod tus;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, Transaction};

use crate::{
    blobs::{Blob, Blobs, Hash},
    runtime::Runtime,
    web,
};

/// The tables, oldest step first.
pub const SCHEMA: &[&str] = &[include_str!("schema.sql")];

/// How long a form's partial file may rest before it counts as left over.
const FORM: std::time::Duration = std::time::Duration::from_secs(3600);

/// How long an upload that nothing happens to is kept.
const KEPT: TimeDelta = TimeDelta::days(7);

/// What uploads are for; one line each.
pub static PURPOSES: &[&dyn Purpose] = &[&crate::services::files::Arriving, &crate::imports::Arriving];

/// Something that takes finished uploads.
pub trait Purpose: Send + Sync {
    /// The name that clients give in `Upload-Metadata`.
    fn name(&self) -> &'static str;
    /// Whether work begins with it that is to be gone on with though nobody asks for it.
    fn goes_on(&self) -> bool {
        false
    }
    /// Refuses, before a byte is sent, what could not be taken.
    ///
    /// # Errors
    /// With the reason, for the person to read.
    fn check(&self, _db: &Connection, _wanted: &Metadata) -> web::Result<()> {
        Ok(())
    }
    /// Takes the content and says at which address it is from now on; `None` leaves it for [`take`].
    ///
    /// # Errors
    /// When it cannot be taken; it is tried again when the client asks again.
    fn finish(&self, _tx: &Transaction<'_>, _done: &Finished<'_>) -> anyhow::Result<Option<String>> {
        Ok(None)
    }
}

/// What the client says of an upload: `filename`, `filetype`, `modified` and what its purpose asks for.
pub type Metadata = BTreeMap<String, String>;

/// An upload that is whole.
pub struct Finished<'a> {
    /// The content, durable.
    pub blob: Blob,
    /// What the client said of it.
    pub metadata: &'a Metadata,
    /// The moment.
    pub now: DateTime<Utc>,
}

/// An upload as its row has it.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Its id: 26 characters of lower-case base 32.
    pub id: String,
    /// The [`Purpose`]'s name.
    pub purpose: String,
    /// What the client said of it.
    pub metadata: Metadata,
    /// Bytes that will come.
    pub length: u64,
    /// Bytes that came and are durable.
    pub received: u64,
    /// The content, once whole.
    pub blob: Option<Blob>,
    /// The address of what it became.
    pub result: Option<String>,
    /// When it is given up, unless something happens.
    pub expires_at: DateTime<Utc>,
    hashing: Hashing,
}

/// The running hashes after [`Upload::received`] bytes.
#[derive(Clone, Debug, Default)]
struct Hashing {
    sha256_state: Option<Vec<u8>>,
    crc32: u32,
}

/// The routes of tus 1.0.0, at `/app/uploads/`, to be merged behind the sign-in.
pub fn routes() -> axum::Router<Runtime> {
    tus::routes()
}

/// An upload, for whoever follows it.
///
/// # Errors
/// When the tables cannot be read.
pub fn find(db: &Connection, id: &str) -> anyhow::Result<Option<Upload>> {
    rows::find(db, id)
}

/// Takes a whole upload out of the list: the caller names its blob in this same transaction.
///
/// # Errors
/// When there is no such upload, or bytes are missing.
pub fn take(tx: &Transaction<'_>, id: &str) -> anyhow::Result<(Blob, Metadata)> {
    let upload = rows::find(tx, id)?.ok_or_else(|| anyhow::anyhow!("there is no such upload"))?;
    let blob = upload.blob.ok_or_else(|| anyhow::anyhow!("the upload is not whole"))?;
    rows::delete(tx, id)?;
    Ok((blob, upload.metadata))
}

/// Bytes promised to uploads that are not whole yet; room must be kept for them.
///
/// # Errors
/// When the tables cannot be read.
pub fn reserved(db: &Connection) -> anyhow::Result<u64> {
    rows::reserved(db)
}

/// Blobs of whole uploads that nobody took yet.
///
/// # Errors
/// When the tables cannot be read.
pub fn blobs(db: &Connection) -> anyhow::Result<Vec<Hash>> {
    rows::blobs(db)
}

/// Forgets expired uploads; called at start and once an hour, before [`sweep`].
///
/// # Errors
/// When the store does not answer.
pub fn tidy(tx: &Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
    rows::delete_expired(tx, now)
}

/// When [`tidy`] will next find something to do.
///
/// # Errors
/// When the tables cannot be read.
pub fn due(db: &Connection) -> anyhow::Result<Option<DateTime<Utc>>> {
    crate::due::first(db, "select min(expires_at) from uploads", TimeDelta::zero())
}

/// Removes partial files that no row knows.
///
/// # Errors
/// When the folder cannot be read.
pub fn sweep(db: &Connection, blobs: &Blobs) -> anyhow::Result<()> {
    let folder = blobs.partial_folder();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let known = match entry.file_name().to_str() {
            Some(id) => rows::find(db, id)?.is_some_and(|upload| needs_partial(&upload, blobs)),
            None => false,
        };
        // A plain form's file has no row; it is left alone while it may still grow.
        let growing = entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age < FORM);
        let form = entry.file_name().to_string_lossy().starts_with("form-");
        if !(known || form && growing) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whole is not yet a blob: between the two we may be killed, or the disk may fail.
fn needs_partial(upload: &Upload, blobs: &Blobs) -> bool {
    upload.result.is_none() && upload.blob.is_none_or(|blob| !blobs.path(&blob.sha256).exists())
}

fn purpose(name: &str) -> web::Result<&'static dyn Purpose> {
    PURPOSES.iter().copied().find(|p| p.name() == name).ok_or(web::Error::Invalid("uploads.purpose"))
}
