//! Import: the bundle is checked whole, then each service takes its section in one transaction.

use crate::blobs::Blob;

/// A service's view of a checked bundle. All content is in the blob store already, hashes proven.
pub struct Section<'a> {
    /// Every entry of the bundle below `data/`, by path, sorted.
    pub entries: &'a std::collections::BTreeMap<String, Blob>,
    /// Where the content is.
    pub blobs: &'a crate::blobs::Blobs,
    /// Opened secrets by file; empty without the passphrase.
    pub secrets: &'a [(String, serde_json::Value)],
    /// The moment of the import.
    pub now: chrono::DateTime<chrono::Utc>,
}

impl Section<'_> {
    /// An entry's content, whole; for text of at most 64 MiB.
    ///
    /// # Errors
    /// When it is larger or cannot be read.
    pub fn read(&self, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(blob) = self.entries.get(path) else { return Ok(None) };
        anyhow::ensure!(blob.size <= 64 << 20, "{path} is larger than 64 MiB");
        Ok(Some(std::fs::read(self.blobs.path(&blob.sha256))?))
    }
}

/// What became of a section's items; the sum must balance.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Items found.
    pub counted: u64,
    /// Taken in as they were.
    pub imported: u64,
    /// Taken in, changed (a new name, say).
    pub transformed: u64,
    /// Already here, or kept aside unread.
    pub preserved: u64,
    /// Not taken in, each with its reason.
    pub refused: Vec<(String, String)>,
}

/// The owner's pages and downloads of import, nested at `/control` (so `/import` here is `/control/import`).
pub fn routes() -> axum::Router<crate::runtime::Runtime> {
    axum::Router::new()
}
