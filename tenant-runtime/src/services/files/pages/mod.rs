//! The pages of Files: what each template may use, and samples of every state.

mod file;
mod folder;
mod form;
mod share;
mod trash;
mod visit;

pub use file::{File, Shown};
pub use folder::{Folder, Listing, Pager, Row, SortLink, Storage};
pub use form::{Choose, EmptyTrash, NameIt, Put};
pub use share::{Link, LinkedNode, Links, Share};
pub use trash::{Trash, TrashRow};
pub use visit::{Ended, Unlock, Visit};

use chrono::{DateTime, TimeZone, Utc};
use serde::Serialize;

/// One step of the path at the top of a page; the last has no address.
#[derive(Clone, Debug, Serialize)]
pub struct Crumb {
    /// What it says.
    pub label: String,
    /// Where it leads.
    pub href: Option<String>,
}

impl Crumb {
    /// A step that leads somewhere.
    pub fn to(label: impl Into<String>, href: impl Into<String>) -> Self {
        Self { label: label.into(), href: Some(href.into()) }
    }

    /// The place where one is.
    pub fn here(label: impl Into<String>) -> Self {
        Self { label: label.into(), href: None }
    }
}

/// A moment for samples.
fn sample_time() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 14, 9, 26, 53).single().unwrap_or_default()
}

/// A name that must not push anything out of the way.
const LONG: &str = "Antrag auf Verlängerung der Aufenthaltsgenehmigung (unterschrieben, endgültige Fassung) 2026-03-14 – Kopie von Kopie.pdf";
