//! Import: the bundle is checked whole, then each service takes its section in one transaction.
//!
//! checking → ready (or refused) → importing → done (or failed). The row says how far it came; a worker goes on from there
//! after a kill at any moment: contents are stored by their hash, and a section that is in has a row of its own.

mod core;
mod file;
mod kept;
mod pages;
mod progress;
mod report;
mod rows;
#[cfg(test)]
mod tests;

mod web;
mod work;

use axum::{Router, routing::get};
use chrono::{DateTime, Utc};
use rusqlite::{Connection, Transaction};

pub use file::{Imported, check_file, from_file};
pub use pages::{Choose, Done, Ready, Refused, Running};
pub use report::{Report, Row as ReportRow, Summary};

use crate::{
    blobs::{Blob, Hash},
    runtime::Runtime,
    uploads,
};

/// The tables, oldest step first.
pub const SCHEMA: &[&str] = &[include_str!("schema.sql"), include_str!("tries.sql")];

/// What the pages are made of; their messages are with [`crate::exports::PAGES`].
pub const PAGES: crate::pages::Part = crate::pages::Part {
    templates: &[
        ("imports/choose.html", include_str!("templates/choose.html")),
        ("imports/done.html", include_str!("templates/done.html")),
        ("imports/ready.html", include_str!("templates/ready.html")),
        ("imports/refused.html", include_str!("templates/refused.html")),
        ("imports/running.html", include_str!("templates/running.html")),
    ],
    locales: &[],
    assets: &[("imports/import.js", include_bytes!("static/import.js"))],
};

/// A service's view of a checked bundle. All content is in the blob store already, hashes proven.
pub struct Section<'a> {
    /// Every entry of the bundle below `data/`, by path, sorted.
    pub entries: &'a std::collections::BTreeMap<String, Blob>,
    /// Where the content is.
    pub blobs: &'a crate::blobs::Blobs,
    /// Opened secrets by file; empty without the passphrase.
    pub secrets: &'a [(String, serde_json::Value)],
    /// The moment of the import.
    pub now: DateTime<Utc>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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

impl Counts {
    /// Whether every item is accounted for.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.counted == self.imported + self.transformed + self.preserved + self.refused.len() as u64
    }
}

/// A moment that every program can write: one before the year 0 or after 9999 becomes the nearest of those years.
#[must_use]
pub fn plain(at: DateTime<Utc>) -> DateTime<Utc> {
    const YEARS: std::ops::RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;
    if YEARS.contains(&at.timestamp()) {
        return at;
    }
    DateTime::from_timestamp(at.timestamp().clamp(*YEARS.start(), *YEARS.end()), 0).unwrap_or_default()
}

/// What an upload of purpose `import` becomes.
pub struct Arriving;

impl uploads::Purpose for Arriving {
    fn name(&self) -> &'static str {
        "import"
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn finish(&self, tx: &Transaction<'_>, done: &uploads::Finished<'_>) -> anyhow::Result<Option<String>> {
        let name = done.metadata.get("filename").map_or("", String::as_str);
        let id = rows::insert(tx, name, &rows::Source::Blob(done.blob), done.now)?;
        Ok(Some(web::address(&id)))
    }
}

/// The owner's pages, nested at `/control`.
pub fn routes() -> Router<Runtime> {
    use axum::{extract::DefaultBodyLimit, routing::post};
    Router::new()
        .route("/import", get(web::choose).post(web::upload).layer(DefaultBodyLimit::disable()))
        .route("/import/{id}", get(web::show))
        .route("/import/{id}/start", post(web::start))
        .route("/import/{id}/discard", post(web::discard))
        .route("/import/{id}/import-report.json", get(web::report))
}

/// Every blob that only an import names: bundles that wait or are being taken in.
///
/// # Errors
/// When the tables cannot be read.
pub fn blobs(db: &Connection) -> anyhow::Result<Vec<Hash>> {
    rows::blobs(db)
}

/// Forgets bundles that nobody did anything with for a week.
///
/// # Errors
/// When the store does not answer.
pub fn tidy(tx: &Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
    rows::delete_old(tx, now)
}

/// When [`tidy`] will next find something to do.
///
/// # Errors
/// When the tables cannot be read.
pub fn due(db: &Connection) -> anyhow::Result<Option<DateTime<Utc>>> {
    rows::due(db)
}

/// When [`resume`] should have a try, if something was broken off: at once, but daily when it has been going on for so long
/// that trying does not seem to help.
///
/// # Errors
/// When the tables cannot be read.
pub fn unfinished(db: &Connection, now: DateTime<Utc>) -> anyhow::Result<Option<DateTime<Utc>>> {
    let day = chrono::TimeDelta::days(1);
    let last = rows::at_work(db)?.into_iter().map(|import| import.created_at).max();
    Ok(last.map(|began| if now - began < day { now } else { now + day }))
}

/// Goes on with what a stop of the process broke off; called at start.
///
/// # Errors
/// When the tables cannot be read.
pub fn resume(rt: &Runtime) -> anyhow::Result<()> {
    // Whoever kept Home has seen that there is none.
    if rt.keepsake().is_there() {
        return Ok(());
    }
    for row in rt.store().read_now(rows::at_work)? {
        work::ensure(rt, &row.id);
    }
    Ok(())
}

/// We were told to stop: what was at work has not ended us, and its try does not count.
///
/// # Errors
/// When the store does not answer.
pub(crate) async fn told_to_stop(rt: &Runtime) -> anyhow::Result<()> {
    if !rt.store().is_untouched() && rt.store().read(is_any_at_work).await? {
        rt.store().write(rows::take_tries_back).await?;
    }
    Ok(())
}

/// Whether a worker is, or should be, busy with an import.
pub(crate) fn is_any_at_work(db: &Connection) -> anyhow::Result<bool> {
    Ok(!rows::at_work(db)?.is_empty())
}
