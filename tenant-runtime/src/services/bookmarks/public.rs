//! Public bookmarks: `/bookmarks`.

use axum::{
    extract::{Query, State},
    response::Response,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Bookmark,
    store::{self, Filter},
    urls,
};
use crate::{
    home::{
        Link,
        parts::{Meta, Pager, Tag},
    },
    runtime::Runtime,
    services::posts::feeds::Site,
    settings, text,
    web::{self, Error, Request, Result},
};

/// Bookmarks on one page.
const LINKS: usize = 50;

/// Public bookmarks.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PublicPage {
    /// What it says to programs.
    pub meta: Meta,
    /// The tag that it shows: address part and word.
    pub tag: Option<Tag>,
    /// What was searched for.
    pub query: String,
    /// The bookmarks.
    pub links: Vec<Shown>,
    /// How many there are in all.
    pub total: usize,
    /// Ways to more.
    pub pager: Pager,
    /// All tags.
    pub tags: Vec<Tag>,
}

/// A public bookmark in the list.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Where it leads, what it is called, the owner's words.
    #[serde(flatten)]
    pub link: Link,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// Its tags.
    pub tags: Vec<Tag>,
}

impl ui::Page for PublicPage {
    const TEMPLATE: &'static str = "bookmarks/public.html";
    fn samples() -> Vec<Self> {
        let link = Link {
            url: "https://example.org/".into(),
            title: "Example".into(),
            host: "example.org".into(),
            note: "Why it is good.\nTwo lines.".into(),
        };
        let shown = Shown { at: DateTime::UNIX_EPOCH, tags: vec![Tag::new("open web", 0)], link };
        let full = Self {
            links: vec![shown],
            total: 70,
            pager: Pager { newer: None, older: Some("/bookmarks?page=2".into()), page: 1, pages: 2 },
            tags: vec![Tag::new("open web", 3)],
            ..Self::default()
        };
        let tagged = Self { tag: Some(Tag::new("open web", 3)), query: "x".into(), ..full.clone() };
        let none = Self { pager: Pager::new("/bookmarks", &[], 1, 0, LINKS), ..Self::default() };
        vec![full, tagged, Self { query: "needle".into(), ..none.clone() }, none]
    }
}

/// A bookmark as visitors see it.
#[must_use]
pub fn link(bookmark: &Bookmark) -> Link {
    let host = urls::host(&bookmark.entry.url);
    Link {
        url: bookmark.entry.url.clone(),
        title: if bookmark.entry.title.is_empty() {
            urls::readable(&bookmark.entry.url)
        } else {
            bookmark.entry.title.clone()
        },
        note: bookmark.entry.note.clone(),
        host,
    }
}

/// What the list shall show.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Show {
    #[serde(default)]
    tag: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: Option<usize>,
}

/// `/bookmarks`.
pub(super) async fn list(State(rt): State<Runtime>, asked: Request, Query(show): Query<Show>) -> Result<Response> {
    let (spec, page) = (rt.spec().clone(), show.page.unwrap_or(1).clamp(1, 100_000));
    let shown = rt
        .store()
        .read(move |db| {
            let settings = settings::get(db)?;
            let site = Site { title: settings.title(&spec), ..Site::of(&settings, &spec.origin()) };
            let query = text::line(&show.q, 200);
            let slug = Some(text::slug(&show.tag)).filter(|_| !show.tag.is_empty());
            let filter = Filter { public_only: true, tag: slug.clone(), words: query.clone(), ..Filter::default() };
            let (found, total) = store::list(db, &filter, Pager::skip(page, LINKS), LINKS)?;
            let tags: Vec<Tag> =
                store::tags(db, true)?.into_iter().map(|tag| Tag::new(&tag.label, tag.count)).collect();
            let slug = slug.unwrap_or_default();
            Ok(PublicPage {
                tag: tags.iter().find(|tag| !slug.is_empty() && tag.slug == text::escape(&slug)).cloned(),
                pager: Pager::new("/bookmarks", &[("tag", &slug), ("q", &query)], page, total, LINKS),
                links: found.iter().map(shown).collect(),
                total,
                meta: Meta {
                    hidden: page > 1 || !query.is_empty(),
                    ..Meta::list(&site, "/bookmarks", site.title.clone())
                },
                tags,
                query,
            })
        })
        .await?;
    // A search that finds nothing says so on the page; an address that never was is not there.
    if shown.links.is_empty() && shown.pager.page > 1 {
        return Err(Error::NotFound);
    }
    web::page(&rt, &asked, &shown)
}

fn shown(bookmark: &Bookmark) -> Shown {
    Shown {
        link: link(bookmark),
        at: bookmark.created_at,
        tags: bookmark.entry.tags.iter().map(|tag| Tag::new(tag, 0)).collect(),
    }
}
