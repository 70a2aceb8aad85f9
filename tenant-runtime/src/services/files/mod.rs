//! Files: folders, uploads, previews, links, trash. One tree in the database, content in the blob store.

mod arrive;
mod bundle;
pub mod content;
pub mod names;
pub mod node;
pub mod pages;
mod preview;
mod routes;
pub mod shares;
pub mod store;
#[cfg(test)]
mod tests;
pub mod types;

use axum::Router;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, Transaction};
use serde::Serialize;
use ui::Lang;

pub use arrive::Arriving;

use crate::{
    blobs::Hash,
    exports, imports,
    pages::Part,
    runtime::Runtime,
    services::{Recent, Service},
};

/// Templates, messages, styles and scripts.
pub const PAGES: Part = Part {
    templates: &[
        ("files/choose.html", include_str!("templates/choose.html")),
        ("files/empty-trash.html", include_str!("templates/empty-trash.html")),
        ("files/ended.html", include_str!("templates/ended.html")),
        ("files/file.html", include_str!("templates/file.html")),
        ("files/folder.html", include_str!("templates/folder.html")),
        ("files/links.html", include_str!("templates/links.html")),
        ("files/name.html", include_str!("templates/name.html")),
        ("files/parts.html", include_str!("templates/parts.html")),
        ("files/share.html", include_str!("templates/share.html")),
        ("files/trash.html", include_str!("templates/trash.html")),
        ("files/unlock.html", include_str!("templates/unlock.html")),
        ("files/upload.html", include_str!("templates/upload.html")),
        ("files/visit.html", include_str!("templates/visit.html")),
    ],
    locales: &[(Lang::En, include_str!("locales/en.json")), (Lang::It, include_str!("locales/it.json"))],
    assets: &[
        ("files/files.css", include_bytes!("static/files.css")),
        ("files/files.js", include_bytes!("static/files.js")),
        ("files/queue.js", include_bytes!("static/queue.js")),
    ],
};

/// The service.
pub struct Files;

impl Service for Files {
    fn name(&self) -> &'static str {
        "files"
    }

    fn schema(&self) -> &'static [&'static str] {
        &[include_str!("schema.sql")]
    }

    fn owner_routes(&self) -> Router<Runtime> {
        routes::owner()
    }

    fn public_routes(&self) -> Router<Runtime> {
        routes::public()
    }

    fn export(&self, db: &Connection, out: &mut exports::Folder) -> anyhow::Result<()> {
        bundle::export(db, out)
    }

    fn import(&self, tx: &Transaction<'_>, from: &imports::Section<'_>) -> anyhow::Result<imports::Counts> {
        bundle::import(tx, from)
    }

    fn recent(&self, db: &Connection, limit: u32) -> anyhow::Result<Vec<Recent>> {
        let newest = store::read::recent(db, limit)?;
        let shown = |node: node::Node| Recent {
            href: format!("/app/files/file/{}", node.id),
            icon: types::look(&node.mime).0.to_owned(),
            at: node.created_at,
            title: node.name,
        };
        Ok(newest.into_iter().map(shown).collect())
    }

    fn tidy(&self, tx: &Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
        store::trash::tidy(tx, now)?;
        store::undo::tidy(tx, now)?;
        shares::tidy(tx, now)
    }

    fn due(&self, db: &Connection) -> anyhow::Result<Option<DateTime<Utc>>> {
        Ok(crate::due::soonest([store::trash::due(db)?, store::undo::due(db)?, shares::due(db)?]))
    }

    fn blobs(&self, db: &Connection) -> anyhow::Result<Vec<Hash>> {
        let mut query = db.prepare("select distinct sha256 from files_nodes where sha256 is not null")?;
        let rows = query.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// A public file or folder, as Home shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicFile {
    /// Its name.
    pub name: String,
    /// Its page.
    pub href: String,
    /// Its icon.
    pub icon: &'static str,
    /// The message that says what it is.
    pub kind: &'static str,
    /// True for folders.
    pub folder: bool,
    /// Bytes; 0 for folders.
    pub size: u64,
    /// Entries in it; 0 for files.
    pub count: u64,
    /// Since when it is public.
    pub public_at: DateTime<Utc>,
}

/// The public files and folders, latest first; all of them are at `/files`.
///
/// # Errors
/// When the tables cannot be read.
pub fn on_home(db: &Connection, limit: u32) -> anyhow::Result<Vec<PublicFile>> {
    routes::on_home(db, limit)
}
