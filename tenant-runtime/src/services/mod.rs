//! A service is a folder here and one line in [`ALL`].

pub mod bookmarks;
pub mod files;
pub mod posts;

use axum::Router;
use rusqlite::{Connection, Transaction};

use crate::runtime::Runtime;

/// One thing that a percloud does for its owner: files, posts, bookmarks.
///
/// Law, tested for each: export → import → export gives the same bytes.
pub trait Service: Send + Sync {
    /// The prefix of its addresses (`/app/<name>` for the owner, `/<name>` for visitors) and of its tables.
    fn name(&self) -> &'static str;
    /// SQL steps, oldest first; a shipped one is never edited.
    fn schema(&self) -> &'static [&'static str];
    /// Pages for the owner, nested at `/app/<name>`; whoever is not signed in never reaches them.
    fn owner_routes(&self) -> Router<Runtime>;
    /// Pages for anybody, with their full paths (the router is merged at `/`).
    fn public_routes(&self) -> Router<Runtime> {
        Router::new()
    }
    /// Names its entries in the bundle: generated text and blobs.
    ///
    /// # Errors
    /// When its tables cannot be read.
    fn export(&self, db: &Connection, out: &mut crate::exports::Folder) -> anyhow::Result<()>;
    /// Takes its section of a checked bundle in; what is there already (by id and revision) is left alone.
    ///
    /// # Errors
    /// When the section cannot be read or stored; the transaction is then dropped whole.
    fn import(
        &self,
        tx: &Transaction<'_>,
        from: &crate::imports::Section<'_>,
    ) -> anyhow::Result<crate::imports::Counts>;
    /// Removes what is past its time (trash, expired links, abandoned uploads); called at start and once an hour.
    ///
    /// # Errors
    /// When the store does not answer.
    fn tidy(&self, _tx: &Transaction<'_>, _now: chrono::DateTime<chrono::Utc>) -> anyhow::Result<()> {
        Ok(())
    }
    /// When its `tidy` will next find something to do; the host wakes the percloud then.
    ///
    /// # Errors
    /// When its tables cannot be read.
    fn due(&self, _db: &Connection) -> anyhow::Result<Option<chrono::DateTime<chrono::Utc>>> {
        Ok(None)
    }
    /// Every blob that its rows name, so that unnamed ones can be swept.
    ///
    /// # Errors
    /// When its tables cannot be read.
    fn blobs(&self, db: &Connection) -> anyhow::Result<Vec<crate::blobs::Hash>>;
    /// What changed last, the newest first, for the page Today.
    ///
    /// # Errors
    /// When its tables cannot be read.
    fn recent(&self, _db: &Connection, _limit: u32) -> anyhow::Result<Vec<Recent>> {
        Ok(Vec::new())
    }
}

/// A thing that changed lately, as the page Today shows it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Recent {
    /// What it is called.
    pub title: String,
    /// Its page for the owner.
    pub href: String,
    /// The icon beside it.
    pub icon: String,
    /// When it changed.
    pub at: chrono::DateTime<chrono::Utc>,
}

/// Every service, in the order in which a bundle is written and read.
pub static ALL: &[&dyn Service] = &[&files::Files, &posts::Posts, &bookmarks::Bookmarks];
