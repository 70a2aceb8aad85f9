//! The owner's pages of bookmarks.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Bookmark, Visibility, public::link, store::TagCount};
use crate::{
    home::parts::{Pager, Tag},
    imports::Counts,
};

/// The list.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ListPage {
    /// The trash instead of what is kept.
    pub trash: bool,
    /// What was searched for.
    pub query: String,
    /// The tag that it shows.
    pub tag: Option<Tag>,
    /// The bookmarks.
    pub rows: Vec<Row>,
    /// How many there are in all.
    pub total: usize,
    /// Ways to more.
    pub pager: Pager,
    /// All tags, most used first.
    pub tags: Vec<Tag>,
    /// Nothing was ever kept.
    pub first_visit: bool,
}

/// A bookmark in the list.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Where it leads.
    pub url: String,
    /// Its title, or its host.
    pub title: String,
    /// Its host.
    pub host: String,
    /// The owner's words.
    pub note: String,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Everybody may see it.
    pub public: bool,
    /// Made, or deleted.
    pub at: DateTime<Utc>,
}

impl Row {
    /// Of a bookmark.
    #[must_use]
    pub fn of(bookmark: &Bookmark) -> Self {
        let shown = link(bookmark);
        Self {
            id: bookmark.id.clone(),
            url: shown.url,
            title: shown.title,
            host: shown.host,
            note: shown.note,
            tags: bookmark.entry.tags.iter().map(|tag| Tag::new(tag, 0)).collect(),
            public: bookmark.entry.visibility == Visibility::Public,
            at: bookmark.deleted_at.unwrap_or(bookmark.created_at),
        }
    }
}

impl ui::Page for ListPage {
    const TEMPLATE: &'static str = "bookmarks/list.html";
    fn samples() -> Vec<Self> {
        let row = |title: &str, public| Row {
            id: "x".into(),
            url: "https://example.org/".into(),
            title: title.into(),
            host: "example.org".into(),
            note: "Why it is good.".into(),
            tags: vec![Tag::new("open web", 0)],
            public,
            at: DateTime::UNIX_EPOCH,
        };
        let full = Self {
            rows: vec![
                row("Example", true),
                Row { note: String::new(), tags: Vec::new(), ..row(&"Long title ".repeat(20), false) },
            ],
            total: 120,
            pager: Pager { newer: None, older: Some("/app/bookmarks?page=2".into()), page: 1, pages: 3 },
            tags: vec![Tag::new("open web", 2), Tag::new("gatti", 1)],
            ..Self::default()
        };
        let empty = Self { pager: Pager::new("/app/bookmarks", &[], 1, 0, 1), ..Self::default() };
        vec![
            full.clone(),
            Self { trash: true, ..full.clone() },
            Self { tag: Some(Tag::new("open web", 2)), query: "x".into(), ..full },
            Self { first_visit: true, ..empty.clone() },
            Self { trash: true, ..empty.clone() },
            Self { query: "needle".into(), ..empty.clone() },
            empty,
        ]
    }
}

/// The form for a bookmark: a new one, or one that is known.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FormPage {
    /// Its id; none: a new one.
    pub id: Option<String>,
    /// Where it leads.
    pub url: String,
    /// Its title.
    pub title: String,
    /// The owner's words.
    pub note: String,
    /// Its tags, with commas.
    pub tags: String,
    /// Everybody may see it.
    pub public: bool,
    /// Tags used before.
    pub suggestions: Vec<String>,
    /// What is wrong with the address.
    pub url_error: Option<&'static str>,
    /// The page was bookmarked already: then this is that bookmark.
    pub known: bool,
    /// Another bookmark has this address.
    pub duplicate: Option<String>,
}

impl ui::Page for FormPage {
    const TEMPLATE: &'static str = "bookmarks/form.html";
    fn samples() -> Vec<Self> {
        let new = Self { suggestions: vec!["open web".into()], ..Self::default() };
        let known = Self {
            id: Some("x".into()),
            url: "https://example.org/".into(),
            title: "Example \"x\"".into(),
            note: "<b>".into(),
            tags: "a, b".into(),
            public: true,
            known: true,
            ..Self::default()
        };
        let edit = Self { known: false, ..known.clone() };
        let wrong = Self { url_error: Some("bookmarks.error.no-link"), ..new.clone() };
        let twice = Self { url_error: Some("bookmarks.error.duplicate"), duplicate: Some("y".into()), ..edit.clone() };
        vec![new, known, edit, wrong, twice]
    }
}

/// Bringing bookmarks in and taking them out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ToolsPage {
    /// The bookmarklet's address.
    pub bookmarklet: String,
    /// How many bookmarks there are.
    pub total: usize,
    /// What was pasted, when something is wrong with it.
    pub pasted: String,
    /// What is wrong with what was pasted.
    pub paste_error: Option<&'static str>,
    /// What is wrong with the file.
    pub file_error: Option<&'static str>,
}

impl ui::Page for ToolsPage {
    const TEMPLATE: &'static str = "bookmarks/tools.html";
    fn samples() -> Vec<Self> {
        let usual = Self { bookmarklet: "javascript:void(0)".into(), total: 3, ..Self::default() };
        let wrong = Self {
            pasted: "no link".into(),
            paste_error: Some("bookmarks.error.nothing-found"),
            file_error: Some("bookmarks.error.no-file"),
            ..usual.clone()
        };
        vec![usual, wrong, Self { total: 0, bookmarklet: "javascript:void(0)".into(), ..Self::default() }]
    }
}

/// What became of a file or a pasted list.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ResultPage {
    /// New bookmarks.
    pub imported: u64,
    /// Bookmarks that were there and got something new.
    pub merged: u64,
    /// Bookmarks that were there.
    pub known: u64,
    /// What was not taken: its name.
    pub refused: Vec<String>,
    /// More was not taken than is named here.
    pub more_refused: usize,
}

impl ResultPage {
    /// From counts.
    #[must_use]
    pub fn of(counts: &Counts) -> Self {
        const NAMED: usize = 20;
        Self {
            imported: counts.imported,
            merged: counts.transformed,
            known: counts.preserved,
            refused: counts.refused.iter().take(NAMED).map(|(name, _)| name.clone()).collect(),
            more_refused: counts.refused.len().saturating_sub(NAMED),
        }
    }
}

impl ui::Page for ResultPage {
    const TEMPLATE: &'static str = "bookmarks/result.html";
    fn samples() -> Vec<Self> {
        vec![
            Self { imported: 1, ..Self::default() },
            Self { imported: 0, merged: 2, known: 1, refused: vec!["A bookmarklet".into()], more_refused: 3 },
            Self { imported: 5, merged: 1, known: 7, refused: vec!["A bookmarklet".into()], more_refused: 0 },
        ]
    }
}

/// The words of tags, for suggestions.
#[must_use]
pub fn labels(tags: Vec<TagCount>) -> Vec<String> {
    tags.into_iter().take(200).map(|tag| tag.label).collect()
}
