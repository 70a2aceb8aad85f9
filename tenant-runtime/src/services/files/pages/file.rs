//! One file: what it looks like and what is known of it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Crumb, LONG, sample_time};
use crate::services::files::types::Preview;

/// A file as a page shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// What a browser may do with it.
    pub preview: Preview,
    /// Where its content is.
    pub raw: String,
    /// Where it is saved from.
    pub download: String,
    /// The beginning of a text.
    pub text: Option<String>,
    /// The text goes on.
    pub cut: bool,
    /// Its icon.
    pub icon: &'static str,
    /// The message that says what it is.
    pub kind: &'static str,
    /// Its media type.
    pub mime: String,
    /// Bytes.
    pub size: u64,
    /// When the content was changed.
    pub modified_at: DateTime<Utc>,
    /// When it came here.
    pub created_at: DateTime<Utc>,
}

impl Shown {
    pub(super) fn sample(preview: Preview) -> Self {
        let text = (preview == Preview::Text).then(|| "Dear <b>Ada</b>,\n".to_owned());
        Self {
            name: if preview == Preview::None { LONG.into() } else { "letter.txt".into() },
            preview,
            raw: "/app/files/raw/x/letter.txt".into(),
            download: "/app/files/raw/x/letter.txt?download".into(),
            cut: text.is_some(),
            text,
            icon: "file-text",
            kind: "files.type.text",
            mime: "text/plain".into(),
            size: 1_234,
            modified_at: sample_time(),
            created_at: sample_time(),
        }
    }

    pub(super) fn samples() -> Vec<Self> {
        use Preview::{Audio, Image, None, Pdf, Text, Video};
        [Image, Text, Pdf, Audio, Video, None].map(Self::sample).into()
    }
}

/// A file's page.
#[derive(Clone, Debug, Serialize)]
pub struct File {
    /// Its id.
    pub id: String,
    /// The way here.
    pub crumbs: Vec<Crumb>,
    /// The file.
    pub file: Shown,
    /// Anybody may see it.
    pub public: bool,
    /// How many links there are to it.
    pub links: usize,
    /// The file before it in its folder.
    pub before: Option<Crumb>,
    /// The file after it in its folder.
    pub after: Option<Crumb>,
    /// The folder's page, to go back to.
    pub back: String,
    /// This page's address, to come back to.
    pub here: String,
    /// The same for a query.
    pub from: String,
}

impl ui::Page for File {
    const TEMPLATE: &'static str = "files/file.html";

    fn samples() -> Vec<Self> {
        let page = |(n, file): (usize, Shown)| Self {
            id: "x".into(),
            crumbs: vec![Crumb::to("Files", "/app/files"), Crumb::here(file.name.clone())],
            file,
            public: n == 0,
            links: n % 3,
            before: (n > 0).then(|| Crumb::to("a.jpg", "/app/files/file/y")),
            after: (n < 2).then(|| Crumb::to("c.jpg", "/app/files/file/z")),
            back: "/app/files".into(),
            here: "/app/files/file/x".into(),
            from: "%2Fapp%2Ffiles%2Ffile%2Fx".into(),
        };
        Shown::samples().into_iter().enumerate().map(page).collect()
    }
}
