//! A folder, and what a search found.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Crumb, LONG, sample_time};

/// One entry of a list.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its page.
    pub href: String,
    /// Where it is downloaded.
    pub download: String,
    /// True for folders.
    pub folder: bool,
    /// Its icon.
    pub icon: &'static str,
    /// The message that says what it is.
    pub kind: &'static str,
    /// Bytes; 0 for folders.
    pub size: u64,
    /// Entries in it; 0 for files.
    pub count: u64,
    /// When it was changed.
    pub at: DateTime<Utc>,
    /// Anybody may see it.
    pub public: bool,
    /// There is a link to it.
    pub shared: bool,
    /// A small picture of it.
    pub thumb: Option<String>,
    /// The folder it is in, where that is not clear.
    pub place: Option<Crumb>,
}

impl Row {
    pub(super) fn sample(name: &str, icon: &'static str) -> Self {
        let folder = icon == "folder";
        Self {
            id: format!("sample{}", name.len()),
            name: name.into(),
            href: "/app/files/file/x".into(),
            download: "/app/files/raw/x/x".into(),
            folder,
            icon,
            kind: if folder { "files.type.folder" } else { "files.type.document" },
            size: if folder { 0 } else { 1_234_567 },
            count: if folder { 12 } else { 0 },
            at: sample_time(),
            public: name.starts_with('P'),
            shared: name.starts_with('S'),
            thumb: None,
            place: None,
        }
    }
}

/// Which part of a long list this is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Pager {
    /// From 1.
    pub page: u32,
    /// How many there are.
    pub pages: u32,
    /// The one before.
    pub before: Option<String>,
    /// The one after.
    pub after: Option<String>,
}

/// A way to sort.
#[derive(Clone, Debug, Serialize)]
pub struct SortLink {
    /// The message that names it.
    pub key: &'static str,
    /// Where it is chosen (or turned round).
    pub href: String,
    /// It is the present one.
    pub current: bool,
    /// It is turned round.
    pub turned: bool,
}

/// How a list is shown.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Listing {
    /// The ways to sort.
    pub sorts: Vec<SortLink>,
    /// Tiles instead of rows.
    pub grid: bool,
    /// Where the other view is chosen.
    pub other_view: String,
    /// Which part this is.
    pub pager: Pager,
    /// Entries on all parts.
    pub total: u64,
}

/// What is used of what there is.
#[derive(Clone, Debug, Serialize)]
pub struct Storage {
    /// Bytes.
    pub used: u64,
    /// Bytes.
    pub quota: u64,
}

/// A folder's page; a search's too.
#[derive(Clone, Debug, Serialize)]
pub struct Folder {
    /// The folder's id; uploads go there.
    pub id: String,
    /// Its name; empty for the top.
    pub name: String,
    /// It is the top.
    pub top: bool,
    /// What was searched for; empty in a folder.
    pub query: String,
    /// The way here.
    pub crumbs: Vec<Crumb>,
    /// The entries.
    pub rows: Vec<Row>,
    /// How they are shown.
    pub listing: Listing,
    /// Anybody may see it.
    pub public: bool,
    /// What is used; shown at the top only.
    pub storage: Storage,
    /// This page's address, to come back to.
    pub here: String,
    /// The same for a query.
    pub from: String,
}

impl ui::Page for Folder {
    const TEMPLATE: &'static str = "files/folder.html";

    fn samples() -> Vec<Self> {
        let sort = |key, current| SortLink { key, href: "?sort=name".into(), current, turned: current };
        let listing = Listing {
            sorts: vec![sort("files.sort.name", true), sort("files.sort.date", false), sort("files.sort.size", false)],
            grid: false,
            other_view: "?view=grid".into(),
            pager: Pager { page: 1, pages: 1, before: None, after: None },
            total: 3,
        };
        let top = Self {
            id: "top".into(),
            name: String::new(),
            top: true,
            query: String::new(),
            crumbs: Vec::new(),
            rows: Vec::new(),
            listing: listing.clone(),
            public: false,
            storage: Storage { used: 3_200_000_000, quota: 10_000_000_000 },
            here: "/app/files".into(),
            from: "%2Fapp%2Ffiles".into(),
        };
        let photo = Row { thumb: Some("/app/files/raw/x/x".into()), ..Row::sample("Seaside.jpg", "image") };
        let rows = vec![Row::sample("Photos", "folder"), Row::sample(LONG, "file-text"), photo];
        let pager = Pager { page: 2, pages: 50, before: Some("?page=1".into()), after: Some("?page=3".into()) };
        let grid = Listing { grid: true, pager, total: 10_000, ..listing.clone() };
        let crumbs = vec![Crumb::to("Files", "/app/files"), Crumb::here("Photos")];
        let inner = Self { top: false, name: "Photos".into(), crumbs: crumbs.clone(), public: true, ..top.clone() };
        let found =
            Row { place: Some(Crumb::to("Photos", "/app/files/folder/x")), ..Row::sample("a.txt", "file-text") };
        vec![
            top.clone(),
            Self { rows: rows.clone(), ..top.clone() },
            Self { rows, listing: grid, ..inner.clone() },
            inner,
            Self { query: "<b>".into(), crumbs: crumbs.clone(), ..top.clone() },
            Self { query: "a".into(), rows: vec![found], crumbs, ..top },
        ]
    }
}
