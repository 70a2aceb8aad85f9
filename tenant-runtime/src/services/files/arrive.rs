//! Where uploads arrive: the folder that was open, and the folders inside an uploaded folder.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Transaction};

use super::{
    names::Name,
    node::{Id, Node},
    store::{read, write},
    types,
};
use crate::{
    blobs::Blob,
    uploads::{Finished, Metadata, Purpose},
    web,
};

/// Takes finished uploads into the tree.
///
/// Metadata: `folder` (an id; the top without it), `filename`, `relativePath` (of a file in an uploaded folder, with its name),
/// `modified` (milliseconds since 1970).
pub struct Arriving;

impl Purpose for Arriving {
    fn name(&self) -> &'static str {
        "files"
    }

    fn check(&self, db: &Connection, wanted: &Metadata) -> web::Result<()> {
        let place = Place::parse(wanted)?;
        read::get_folder(db, &place.folder).map(drop)
    }

    fn finish(&self, tx: &Transaction<'_>, done: &Finished<'_>) -> anyhow::Result<Option<String>> {
        let place = Place::parse(done.metadata)?;
        let node = place.add(tx, done.blob, done.now)?;
        Ok(Some(format!("/app/files/file/{}", node.id)))
    }
}

/// Where a new file goes.
#[derive(Debug)]
pub(super) struct Place {
    /// The folder that was open.
    pub(super) folder: Id,
    /// Folders below it, made when missing.
    pub(super) path: Vec<Name>,
    /// The file's name.
    pub(super) name: Name,
    /// When the content was last changed, where the device says so.
    pub(super) modified_at: Option<DateTime<Utc>>,
}

impl Place {
    /// Reads what a client says of an upload.
    ///
    /// # Errors
    /// [`web::Error::Invalid`] with the reason.
    pub(super) fn parse(wanted: &Metadata) -> web::Result<Self> {
        let text = |key: &str| wanted.get(key).map(String::as_str).filter(|text| !text.is_empty());
        let folder = match text("folder") {
            Some(id) => id.parse().map_err(|_| web::Error::NotFound)?,
            None => Id::top(),
        };
        let path = text("relativePath").or_else(|| text("filename")).ok_or(web::Error::Invalid("files.name.empty"))?;
        let mut names = match text("relativePath") {
            Some(path) => path.split('/').map(Name::parse).collect::<web::Result<Vec<_>>>()?,
            None => vec![Name::parse(path)?],
        };
        if names.len() > write::DEEPEST {
            return Err(web::Error::Invalid("files.too-deep"));
        }
        let name = names.pop().ok_or(web::Error::Invalid("files.name.empty"))?;
        let modified_at = text("modified").and_then(|ms| ms.parse().ok()).and_then(DateTime::from_timestamp_millis);
        Ok(Self { folder, path: names, name, modified_at })
    }

    /// Adds the file there; into the top when the folder was thrown away meanwhile, so that nothing is lost.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) fn add(&self, tx: &Transaction<'_>, blob: Blob, now: DateTime<Utc>) -> anyhow::Result<Node> {
        let home = if read::get_folder(tx, &self.folder).is_ok() { self.folder.clone() } else { Id::top() };
        let folder = write::ensure_folders(tx, &home, &self.path, now)?;
        let mime = types::of_name(self.name.as_str());
        // A clock that runs ahead would keep the file on top of every list.
        let modified_at = self.modified_at.filter(|at| *at <= now).unwrap_or(now);
        Ok(write::add_file(tx, &folder, &self.name, &mime, blob, modified_at, now)?)
    }
}
