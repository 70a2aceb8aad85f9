//! What readers see: a post, a year, a tag, the archive.

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::{
    Address, Post, Status, Visibility,
    feeds::Site,
    markdown,
    store::{self, Found, Which},
};
use crate::{
    home::parts::{Meta, Paged, Pager, Tag, Teaser},
    runtime::Runtime,
    settings, text,
    web::{self, Error, Request, Result},
};

/// Posts on one page of a list.
const POSTS: usize = 20;

/// A post.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PostPage {
    /// What it says to programs.
    pub meta: Meta,
    /// Its id, for the owner's link to the editor.
    pub id: String,
    /// Its path.
    pub path: String,
    /// Its title.
    pub title: String,
    /// Its text, clean.
    pub html: String,
    /// When it was published.
    pub published: Option<DateTime<Utc>>,
    /// When it was changed, where that is another day.
    pub updated: Option<DateTime<Utc>>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Who may read it.
    pub visibility: Visibility,
    /// Who wrote it.
    pub author: String,
    /// The next newer and older posts: path and title.
    pub newer: Option<(String, String)>,
    /// The older one.
    pub older: Option<(String, String)>,
    /// The owner looks at it.
    pub owner: bool,
}

impl ui::Page for PostPage {
    const TEMPLATE: &'static str = "posts/post.html";
    fn samples() -> Vec<Self> {
        let meta = Meta {
            url: "https://ada.example/posts/2026/hello".into(),
            kind: "article",
            title: "Hello".into(),
            description: "How it begins.".into(),
            image: Some("https://ada.example/media/x.png".into()),
            image_alt: "A cat".into(),
            large: true,
            published: Some(DateTime::UNIX_EPOCH),
            updated: Some(DateTime::UNIX_EPOCH),
            hidden: false,
        };
        let link = || Some(("/posts/2026/other".to_owned(), "Other".to_owned()));
        let full = Self {
            meta,
            id: "x".into(),
            path: "/posts/2026/hello".into(),
            title: "Hello".into(),
            html: "<p>Words.</p><h2>More</h2>".into(),
            published: Some(DateTime::UNIX_EPOCH),
            updated: Some(DateTime::UNIX_EPOCH),
            tags: vec![Tag::new("open web", 0)],
            visibility: Visibility::Public,
            author: "Ada".into(),
            newer: link(),
            older: link(),
            owner: false,
        };
        let bare = |visibility| Self {
            visibility,
            owner: true,
            updated: None,
            tags: Vec::new(),
            newer: None,
            older: None,
            ..full.clone()
        };
        vec![full.clone(), bare(Visibility::Unlisted), bare(Visibility::Private)]
    }
}

impl PostPage {
    pub(super) fn of(site: &Site, post: &Post) -> Self {
        let path = post.path().unwrap_or_default();
        Self {
            meta: Meta::post(site, post),
            id: post.id.clone(),
            title: post.text.title.clone(),
            html: markdown::html(&post.text.body),
            published: post.published_at,
            updated: Some(post.updated_at)
                .filter(|at| post.published_at.is_some_and(|published| published.date_naive() != at.date_naive())),
            tags: post.text.tags.iter().map(|tag| Tag::new(tag, 0)).collect(),
            visibility: post.text.visibility,
            author: site.title.clone(),
            newer: None,
            older: None,
            owner: false,
            path,
        }
    }
}

/// A list of posts.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ListPage {
    /// What it says to programs.
    pub meta: Meta,
    /// The year that it shows.
    pub year: Option<i32>,
    /// The tag that it shows.
    pub tag: Option<String>,
    /// The posts.
    pub posts: Vec<Teaser>,
    /// Ways to more.
    pub pager: Pager,
    /// All years, with the number of posts.
    pub years: Vec<(i32, i64)>,
    /// All tags.
    pub tags: Vec<Tag>,
}

impl ui::Page for ListPage {
    const TEMPLATE: &'static str = "posts/archive.html";
    fn samples() -> Vec<Self> {
        let post = Teaser {
            path: "/posts/2026/hello".into(),
            title: "Hello".into(),
            at: Some(DateTime::UNIX_EPOCH),
            excerpt: "How it begins.".into(),
            image: None,
            tags: Vec::new(),
        };
        let all = Self {
            posts: vec![post],
            pager: Pager { newer: None, older: Some("/posts?page=2".into()), page: 1, pages: 2 },
            years: vec![(2026, 2), (2025, 1)],
            tags: vec![Tag::new("open web", 2)],
            ..Self::default()
        };
        let year = Self { year: Some(2026), ..all.clone() };
        let tag = Self { tag: Some("open web".into()), ..all.clone() };
        vec![all, year, tag, Self { pager: Pager::new("/posts", &[], 1, 0, POSTS), ..Self::default() }]
    }
}

/// `/posts/<year>/<slug>`: the post, the way to where it is now, or "gone"; what is not for this reader is not there.
pub(super) async fn post(
    State(rt): State<Runtime>,
    asked: Request,
    Path((year, slug)): Path<(String, String)>,
) -> Result<Response> {
    let address = year.parse().ok().map(|year| Address { year, slug }).ok_or(Error::NotFound)?;
    let (spec, owner) = (rt.spec().clone(), asked.signed_in());
    let wanted = address.clone();
    let found = rt
        .store()
        .read(move |db| {
            let Some(found) = store::at(db, &wanted)? else { return Ok(None) };
            let Found::Here(post) = &found else { return Ok(Some((found, None))) };
            let settings = settings::get(db)?;
            let site = Site { title: settings.title(&spec), ..Site::of(&settings, &spec.origin()) };
            let (newer, older) = if post.is_listed() { store::neighbours(db, post)? } else { (None, None) };
            let page = PostPage { newer, older, owner, ..PostPage::of(&site, post) };
            Ok(Some((found, Some(page))))
        })
        .await?;
    let may_read =
        |post: &Post| post.is_open() || owner && post.status == Status::Published && post.deleted_at.is_none();
    match found {
        Some((Found::Gone, _)) => Err(Error::Gone),
        Some((Found::Here(post), Some(page))) if may_read(&post) => answer(&rt, &asked, &page),
        Some((Found::Moved(post), _)) if may_read(&post) => Ok(moved(&post.path().ok_or(Error::NotFound)?)),
        _ => Err(Error::NotFound),
    }
}

fn answer(rt: &Runtime, asked: &Request, page: &PostPage) -> Result<Response> {
    let mut response = web::page(rt, asked, page)?;
    if page.meta.hidden {
        response.headers_mut().insert("x-robots-tag", HeaderValue::from_static("noindex"));
    }
    Ok(response)
}

fn moved(path: &str) -> Response {
    let location = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, location)]).into_response()
}

/// `/posts`.
pub(super) async fn archive(State(rt): State<Runtime>, asked: Request, Query(paged): Query<Paged>) -> Result<Response> {
    list(&rt, &asked, Which::Listed, "/posts".into(), paged.number()).await
}

/// `/posts/<year>`.
pub(super) async fn year(
    State(rt): State<Runtime>,
    asked: Request,
    Path(year): Path<String>,
    Query(paged): Query<Paged>,
) -> Result<Response> {
    let year: i32 = year.parse().map_err(|_| Error::NotFound)?;
    list(&rt, &asked, Which::Year(year), format!("/posts/{year}"), paged.number()).await
}

/// `/tags/<tag>`; other spellings of a tag lead to the one address.
pub(super) async fn tag(
    State(rt): State<Runtime>,
    asked: Request,
    Path(tag): Path<String>,
    Query(paged): Query<Paged>,
) -> Result<Response> {
    let slug = text::slug(&tag);
    let path = format!("/tags/{}", text::escape(&slug));
    if slug != tag {
        return Ok(moved(&path));
    }
    list(&rt, &asked, Which::Tag(slug), path, paged.number()).await
}

async fn list(rt: &Runtime, asked: &Request, which: Which, path: String, page: usize) -> Result<Response> {
    let spec = rt.spec().clone();
    let is_all = which == Which::Listed;
    let shown = rt
        .store()
        .read(move |db| {
            let settings = settings::get(db)?;
            let site = Site { title: settings.title(&spec), ..Site::of(&settings, &spec.origin()) };
            let (posts, total) = store::list(db, &which, "", Pager::skip(page, POSTS), POSTS)?;
            let tags = store::tags(db, false)?;
            let label = |slug: &String| tags.iter().find(|tag| tag.slug == *slug).map(|tag| tag.label.clone());
            Ok(ListPage {
                year: if let Which::Year(year) = which { Some(year) } else { None },
                tag: if let Which::Tag(slug) = &which { label(slug) } else { None },
                pager: Pager::new(&path, &[], page, total, POSTS),
                posts: posts.iter().map(Teaser::of).collect(),
                years: store::years(db)?,
                meta: Meta { hidden: page > 1, ..Meta::list(&site, &path, site.title.clone()) },
                tags: tags.into_iter().map(|tag| Tag::new(&tag.label, tag.count)).collect(),
            })
        })
        .await?;
    if shown.posts.is_empty() && !(is_all && page == 1) {
        return Err(Error::NotFound);
    }
    web::page(rt, asked, &shown)
}
