//! Export: every service names its entries, the bundle is laid out, then streamed, with ranges.
//!
//! Nothing is written for it but a row. The layout is computed from the rows of the services (sizes and checksums are
//! known since each blob came in), so the first byte leaves at once and the length is exact.

mod core;
mod download;
mod file;
pub mod passphrase;
mod plan;
mod rows;
#[cfg(test)]
pub(crate) mod tests;

mod web;

use axum::{Extension, Router, routing::get};
use rusqlite::{Connection, Transaction};
use ui::Lang;

pub use file::to_file;
pub use web::{Export, Part, Past};

use crate::{
    blobs::{Blob, Hash},
    pages,
    runtime::Runtime,
};

/// The tables, oldest step first.
pub const SCHEMA: &[&str] = &[include_str!("schema.sql")];

/// What the pages of export and import are made of.
pub const PAGES: pages::Part = pages::Part {
    templates: &[("exports/export.html", include_str!("templates/export.html"))],
    locales: &[(Lang::En, include_str!("locales/en.json")), (Lang::It, include_str!("locales/it.json"))],
    assets: &[],
};

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

    /// Everything that all services name.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn of_services(db: &Connection, origin: String) -> anyhow::Result<Self> {
        let mut folder = Self { origin, ..Self::default() };
        for service in crate::services::ALL {
            service.export(db, &mut folder)?;
        }
        Ok(folder)
    }
}

/// The owner's pages, nested at `/control`.
pub fn routes() -> Router<Runtime> {
    Router::new()
        .route("/export", get(web::show).post(web::start))
        .route("/export/{id}/{name}", get(download::get))
        .layer(Extension(download::Latest::default()))
}

/// Every blob that only the next export names.
///
/// # Errors
/// When the tables cannot be read.
pub fn blobs(db: &Connection) -> anyhow::Result<Vec<Hash>> {
    rows::kept_blobs(db)
}

/// Forgets exports that can no longer be downloaded.
///
/// # Errors
/// When the store does not answer.
pub fn tidy(tx: &Transaction<'_>, now: chrono::DateTime<chrono::Utc>) -> anyhow::Result<()> {
    rows::delete_old(tx, now)
}

/// When [`tidy`] will next find something to do.
///
/// # Errors
/// When the tables cannot be read.
pub fn due(db: &Connection) -> anyhow::Result<Option<chrono::DateTime<chrono::Utc>>> {
    rows::due(db)
}

pub(crate) use rows::{forget_section, keep_file, keep_line, keep_section, kept_files, kept_sections, set_key};
