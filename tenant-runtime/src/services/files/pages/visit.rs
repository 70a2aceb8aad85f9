//! What visitors see: public files and folders, and what a link opens.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Crumb, Pager, Row, Shown, sample_time};

/// A public or shared file or folder.
#[derive(Clone, Debug, Serialize)]
pub struct Visit {
    /// Its name; empty for the list of all that is public.
    pub name: String,
    /// The way here; empty at the door.
    pub crumbs: Vec<Crumb>,
    /// A folder's entries.
    pub rows: Vec<Row>,
    /// Which part this is.
    pub pager: Pager,
    /// A file.
    pub file: Option<Shown>,
    /// Where all of it is downloaded.
    pub download_all: Option<String>,
    /// Opened by a link, not by everybody.
    pub link: bool,
    /// When the link ends.
    pub expires_at: Option<DateTime<Utc>>,
}

impl ui::Page for Visit {
    const TEMPLATE: &'static str = "files/visit.html";

    fn samples() -> Vec<Self> {
        let list = Self {
            name: String::new(),
            crumbs: Vec::new(),
            rows: vec![Row::sample("Photos", "folder"), Row::sample("a.pdf", "file-text")],
            pager: Pager { page: 1, pages: 1, ..Pager::default() },
            file: None,
            download_all: None,
            link: false,
            expires_at: None,
        };
        let folder = Self {
            name: "Photos".into(),
            crumbs: vec![Crumb::to("Files", "/files"), Crumb::here("Photos")],
            pager: Pager { page: 1, pages: 3, before: None, after: Some("?page=2".into()) },
            download_all: Some("/s/x/zip".into()),
            link: true,
            expires_at: Some(sample_time()),
            ..list.clone()
        };
        let empty = Self { rows: Vec::new(), link: true, ..list.clone() };
        let file =
            |shown: Shown| Self { name: shown.name.clone(), rows: Vec::new(), file: Some(shown), ..list.clone() };
        let nothing = Self { rows: Vec::new(), ..list.clone() };
        [vec![list.clone(), folder, empty, nothing], Shown::samples().into_iter().map(file).collect()].concat()
    }
}

/// A link that asks for its password.
#[derive(Clone, Debug, Serialize)]
pub struct Unlock {
    /// Where the form goes.
    pub action: String,
    /// The message that says what is wrong.
    pub error: Option<&'static str>,
}

impl ui::Page for Unlock {
    const TEMPLATE: &'static str = "files/unlock.html";

    fn samples() -> Vec<Self> {
        [None, Some("files.unlock.wrong")].map(|error| Self { action: "/s/x".into(), error }).into()
    }
}

/// A link that opens nothing any more, or never did.
#[derive(Clone, Debug, Serialize)]
pub struct Ended {
    /// It was there and its time is over.
    pub expired: bool,
}

impl ui::Page for Ended {
    const TEMPLATE: &'static str = "files/ended.html";

    fn samples() -> Vec<Self> {
        [false, true].map(|expired| Self { expired }).into()
    }
}
