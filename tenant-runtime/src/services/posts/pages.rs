//! The owner's pages of posts.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Post, Status, Visibility, markdown, public::PostPage};
use crate::home::parts::Pager;

/// The list of posts.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ListPage {
    /// `all`, `drafts`, `published` or `trash`.
    pub which: &'static str,
    /// What was searched for.
    pub query: String,
    /// The posts.
    pub rows: Vec<Row>,
    /// How many there are in all.
    pub total: usize,
    /// Ways to more.
    pub pager: Pager,
    /// Nothing was ever written.
    pub first_visit: bool,
}

/// A post in the list.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Its title; may be empty for a draft.
    pub title: String,
    /// How it begins.
    pub excerpt: String,
    /// How far it has come.
    pub status: Status,
    /// Who may read it.
    pub visibility: Visibility,
    /// There are changes that are not published.
    pub pending: bool,
    /// Published, changed or deleted, whichever the list is about.
    pub at: DateTime<Utc>,
    /// Where readers find it.
    pub path: Option<String>,
}

impl Row {
    /// A post in a list; `pending`: there are changes that are not published.
    #[must_use]
    pub fn of(post: &Post, pending: bool) -> Self {
        Self {
            id: post.id.clone(),
            title: post.text.title.clone(),
            excerpt: markdown::excerpt(&post.text.body).chars().take(120).collect(),
            status: post.status,
            visibility: post.text.visibility,
            pending,
            at: post.deleted_at.or(post.published_at).unwrap_or(post.updated_at),
            path: post.path().filter(|_| post.status == Status::Published && post.deleted_at.is_none()),
        }
    }
}

impl ui::Page for ListPage {
    const TEMPLATE: &'static str = "posts/list.html";
    fn samples() -> Vec<Self> {
        let row = |title: &str, status, visibility, pending| Row {
            id: "x".into(),
            title: title.into(),
            excerpt: "How it begins".into(),
            status,
            visibility,
            pending,
            at: DateTime::UNIX_EPOCH,
            path: (status == Status::Published).then(|| "/posts/2026/x".into()),
        };
        let rows = vec![
            row("Hello", Status::Published, Visibility::Public, true),
            row("", Status::Draft, Visibility::Public, false),
            row(&"A very long title ".repeat(9), Status::Published, Visibility::Unlisted, false),
            row("Mine", Status::Published, Visibility::Private, false),
        ];
        let pager = Pager { newer: None, older: Some("/app/posts?page=2".into()), page: 1, pages: 2 };
        let full = Self { which: "all", query: String::new(), rows, total: 4, pager, first_visit: false };
        let none = |which, query: &str, first_visit| Self {
            which,
            query: query.into(),
            first_visit,
            pager: Pager::new("/app/posts", &[], 1, 0, 1),
            ..Self::default()
        };
        let trash = Self { which: "trash", ..full.clone() };
        vec![
            full,
            trash,
            none("all", "", true),
            none("drafts", "", false),
            none("published", "", false),
            none("trash", "", false),
            none("all", "needle", false),
        ]
    }
}

/// The editor.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EditorPage {
    /// The post's id; of a new post too.
    pub id: String,
    /// The revision that the text starts from; 0: never saved.
    pub revision: i64,
    /// The title.
    pub title: String,
    /// The text.
    pub body: String,
    /// The tags, with commas.
    pub tags: String,
    /// Who shall read it.
    pub visibility: Visibility,
    /// How far it has come.
    pub status: Status,
    /// Its address: the part before the words, and the words.
    pub address: Option<(String, String)>,
    /// Where readers find it.
    pub path: Option<String>,
    /// The text is newer than what readers see: saved then.
    pub pending: Option<DateTime<Utc>>,
    /// Tags used before.
    pub suggestions: Vec<String>,
    /// What is wrong with the title.
    pub title_error: Option<&'static str>,
    /// What is wrong with the address.
    pub slug_error: Option<&'static str>,
    /// It was saved in another window meanwhile.
    pub stale: bool,
}

impl ui::Page for EditorPage {
    const TEMPLATE: &'static str = "posts/editor.html";
    fn samples() -> Vec<Self> {
        let new = Self { id: "x".into(), ..Self::default() };
        let published = Self {
            id: "x".into(),
            revision: 3,
            title: "Hello".into(),
            body: "<textarea> & *you*".into(),
            tags: "a, b".into(),
            visibility: Visibility::Unlisted,
            status: Status::Published,
            address: Some(("/posts/2026/".into(), "hello".into())),
            path: Some("/posts/2026/hello".into()),
            pending: Some(DateTime::UNIX_EPOCH),
            suggestions: vec!["open web".into()],
            ..Self::default()
        };
        let wrong = Self {
            title_error: Some("posts.error.no-title"),
            slug_error: Some("posts.error.slug-taken"),
            stale: true,
            ..published.clone()
        };
        vec![new, published, wrong]
    }
}

/// A post before it is published, as readers will see it.
#[derive(Clone, Debug, Serialize)]
pub struct PreviewPage {
    /// Its id.
    pub id: String,
    /// Its revision.
    pub revision: i64,
    /// It has no title yet, so it cannot be published.
    pub untitled: bool,
    /// The post.
    pub post: PostPage,
}

impl ui::Page for PreviewPage {
    const TEMPLATE: &'static str = "posts/preview.html";
    fn samples() -> Vec<Self> {
        let of = |post, untitled| Self { id: "x".into(), revision: 1, untitled, post };
        let empty = PostPage { author: "Ada".into(), ..PostPage::default() };
        PostPage::samples().into_iter().take(1).map(|post| of(post, false)).chain([of(empty, true)]).collect()
    }
}
