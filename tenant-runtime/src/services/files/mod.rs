//! Files: folders, uploads, previews, links, trash. One tree in the database, content in the blob store.

mod arrive;
pub mod names;
pub mod node;
pub mod store;
pub mod types;

use axum::Router;
use rusqlite::{Connection, Transaction};

pub use arrive::Arriving;

use crate::{blobs::Hash, exports, imports, runtime::Runtime, services::Service};

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
        Router::new()
    }

    fn public_routes(&self) -> Router<Runtime> {
        Router::new().route("/files", axum::routing::get(async || crate::web::Error::NotFound))
    }

    fn export(&self, _db: &Connection, _out: &mut exports::Folder) -> anyhow::Result<()> {
        Ok(())
    }

    fn import(&self, _tx: &Transaction<'_>, _from: &imports::Section<'_>) -> anyhow::Result<imports::Counts> {
        Ok(imports::Counts::default())
    }

    fn tidy(&self, tx: &Transaction<'_>, now: chrono::DateTime<chrono::Utc>) -> anyhow::Result<()> {
        store::trash::tidy(tx, now)?;
        store::undo::tidy(tx, now)
    }

    fn blobs(&self, db: &Connection) -> anyhow::Result<Vec<Hash>> {
        let mut query = db.prepare("select distinct sha256 from files_nodes where sha256 is not null")?;
        let rows = query.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
