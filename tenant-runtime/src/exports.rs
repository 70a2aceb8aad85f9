//! Export: every service names its entries, the bundle is laid out, then streamed, with ranges.

use crate::blobs::Blob;

/// What a service puts its entries into; paths are relative to the bundle's `data/`.
#[derive(Default)]
pub struct Folder {
    /// The percloud's address, `https://ada.example`, for whole links in derived files (feeds); set before services are asked.
    pub origin: String,
    /// Generated text and its path.
    pub texts: Vec<(String, Vec<u8>)>,
    /// Blobs and their paths.
    pub blobs: Vec<(String, Blob)>,
    /// Public addresses (`path`, status 200, 301 or 410, where it leads) for `data/urls/urls.jsonl`.
    pub urls: Vec<(String, u16, String)>,
    /// Secrets by file (`tokens`), JSON lines; sealed with age, or left out when the owner gives no passphrase.
    pub secrets: Vec<(String, serde_json::Value)>,
}

impl Folder {
    /// Adds generated text.
    pub fn text(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.texts.push((path.into(), content.into()));
    }

    /// Adds a blob.
    pub fn blob(&mut self, path: impl Into<String>, blob: Blob) {
        self.blobs.push((path.into(), blob));
    }
}

/// The owner's pages and downloads of export, nested at `/control` (so `/export` here is `/control/export`).
pub fn routes() -> axum::Router<crate::runtime::Runtime> {
    axum::Router::new()
}
