//! Home: the public page of the percloud, its feeds, and what public pages share.

pub mod feeds;
pub mod keepsake;
pub mod parts;

use axum::{
    Router,
    extract::{Query, State},
    response::Response,
    routing::get,
};
use serde::Serialize;

use crate::{
    pages,
    runtime::Runtime,
    services::{
        bookmarks,
        posts::{
            feeds::Site,
            store::{self, Which},
        },
    },
    settings,
    web::{self, Request},
};
use parts::{Meta, Paged, Pager, Tag, Teaser};

/// Posts on one page.
const POSTS: usize = 10;
/// Public files and bookmarks that Home shows.
const OTHERS: usize = 8;

/// What Home brings to the pages.
pub const PAGES: pages::Part = pages::Part {
    templates: &[
        ("home/components.html", include_str!("templates/components.html")),
        ("home/home.html", include_str!("templates/home.html")),
    ],
    locales: &[(ui::Lang::En, include_str!("locales/en.json")), (ui::Lang::It, include_str!("locales/it.json"))],
    assets: &[("home/home.css", include_bytes!("static/home.css")), ("home/tags.js", include_bytes!("static/tags.js"))],
};

/// `/`, the feeds and what crawlers ask for.
pub fn routes() -> Router<Runtime> {
    Router::new()
        .route("/", get(home))
        .route("/feed.atom", get(feeds::atom))
        .route("/feed.json", get(feeds::json))
        .route("/robots.txt", get(robots))
}

/// Home.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Home {
    /// What it says to programs.
    pub meta: Meta,
    /// The owner's name.
    pub name: String,
    /// The owner's short text, by paragraph.
    pub about: Vec<String>,
    /// The owner's picture.
    pub avatar: Option<String>,
    /// Posts, latest first.
    pub posts: Vec<Teaser>,
    /// Ways to more posts.
    pub pager: Pager,
    /// The most used tags.
    pub tags: Vec<Tag>,
    /// Public files.
    pub files: Vec<PublicFile>,
    /// Latest public bookmarks.
    pub bookmarks: Vec<Link>,
    /// There are more bookmarks than these.
    pub more_bookmarks: bool,
    /// The owner looks at it.
    pub owner: bool,
}

/// A public file or folder.
#[derive(Clone, Debug, Serialize)]
pub struct PublicFile {
    /// Its address.
    pub path: String,
    /// Its name.
    pub name: String,
    /// A folder.
    pub folder: bool,
    /// Bytes, of a file.
    pub size: Option<u64>,
}

/// A public bookmark.
#[derive(Clone, Debug, Serialize)]
pub struct Link {
    /// Where it leads.
    pub url: String,
    /// Its title, or its host.
    pub title: String,
    /// Its host.
    pub host: String,
    /// The owner's words.
    pub note: String,
}

impl ui::Page for Home {
    const TEMPLATE: &'static str = "home/home.html";
    fn samples() -> Vec<Self> {
        let meta = Meta { url: "https://ada.example/".into(), kind: "profile", title: "Ada".into(), ..Meta::default() };
        let teaser = |title: &str| Teaser {
            path: "/posts/2026/hello".into(),
            title: title.to_owned(),
            at: chrono::DateTime::from_timestamp(1_770_000_000, 0),
            excerpt: "How it begins, in a sentence or two.".into(),
            image: Some("/media/x.png".into()),
            tags: vec![Tag::new("open web", 3)],
        };
        let full = Self {
            name: "Ada".into(),
            about: vec!["I write about engines.".into(), "And poetry.".into()],
            avatar: Some("/avatar/x".into()),
            posts: vec![
                teaser("Hello"),
                Teaser { image: None, tags: Vec::new(), ..teaser(&"A very long title ".repeat(8)) },
            ],
            pager: Pager { newer: Some("/".into()), older: Some("/?page=3".into()), page: 2, pages: 3 },
            tags: vec![Tag::new("open web", 3), Tag::new("gatti", 1)],
            files: vec![
                PublicFile { path: "/files/a".into(), name: "Recipes".into(), folder: true, size: None },
                PublicFile { path: "/files/b".into(), name: "map.pdf".into(), folder: false, size: Some(70_000) },
            ],
            bookmarks: vec![Link {
                url: "https://example.org/".into(),
                title: "Example".into(),
                host: "example.org".into(),
                note: "Why it is good.".into(),
            }],
            more_bookmarks: true,
            owner: false,
            meta: meta.clone(),
        };
        let empty = Self { meta, name: "Ada".into(), pager: Pager::new("/", &[], 1, 0, POSTS), ..Self::default() };
        let first =
            Self { pager: Pager { newer: None, older: Some("/?page=2".into()), page: 1, pages: 3 }, ..full.clone() };
        vec![first, full, Self { owner: true, ..empty.clone() }, empty]
    }
}

async fn home(State(rt): State<Runtime>, asked: Request, Query(paged): Query<Paged>) -> web::Result<Response> {
    let (spec, page) = (rt.spec().clone(), paged.number());
    let filled = rt.store().read(move |db| fill(db, &spec, page)).await?;
    let home = Home { owner: asked.signed_in(), ..filled };
    if page > 1 && home.posts.is_empty() {
        return Err(web::Error::NotFound);
    }
    web::page(&rt, &asked, &home)
}

/// Home as any visitor without cookies sees it in this language.
async fn for_visitors(rt: &Runtime, lang: ui::Lang) -> anyhow::Result<String> {
    let spec = rt.spec().clone();
    let home = rt.store().read(move |db| fill(db, &spec, 1)).await?;
    let asked = Request { lang, path: "/".into(), target: "/".into(), ..Request::default() };
    web::render(rt, &asked, &home)
}

fn fill(db: &rusqlite::Connection, spec: &bundle::TenantSpec, page: usize) -> anyhow::Result<Home> {
    let settings = settings::get(db)?;
    let site = Site { title: settings.title(spec), ..Site::of(&settings, &spec.origin()) };
    let show = settings.home;
    let (posts, total) = match show.posts {
        true => store::list(db, &Which::Listed, "", Pager::skip(page, POSTS), POSTS)?,
        false => (Vec::new(), 0),
    };
    let tags = if show.posts { store::tags(db, false)? } else { Vec::new() };
    let filter = bookmarks::store::Filter { public_only: true, ..Default::default() };
    let (links, all_links) = match show.bookmarks && page == 1 {
        true => bookmarks::store::list(db, &filter, 0, OTHERS)?,
        false => (Vec::new(), 0),
    };
    let path = if page > 1 { format!("/?page={page}") } else { "/".to_owned() };
    Ok(Home {
        meta: Meta { kind: "profile", hidden: page > 1, ..Meta::list(&site, &path, site.title.clone()) },
        name: site.title.clone(),
        about: settings.about.split("\n\n").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect(),
        avatar: settings.avatar_url(),
        posts: posts.iter().map(Teaser::of).collect(),
        pager: Pager::new("/", &[], page, total, POSTS),
        tags: tags.into_iter().take(12).map(|tag| Tag::new(&tag.label, tag.count)).collect(),
        files: if show.files && page == 1 { public_files(db)? } else { Vec::new() },
        more_bookmarks: all_links > links.len(),
        bookmarks: links.iter().map(bookmarks::public::link).collect(),
        owner: false,
    })
}

/// What the owner shows of the files.
fn public_files(db: &rusqlite::Connection) -> anyhow::Result<Vec<PublicFile>> {
    let shown = |file: crate::services::files::PublicFile| PublicFile {
        path: file.href,
        name: file.name,
        folder: file.folder,
        size: (!file.folder).then_some(file.size),
    };
    Ok(crate::services::files::on_home(db, u32::try_from(OTHERS)?)?.into_iter().map(shown).collect())
}

/// Crawlers may read what anybody may; the owner's side has nothing for them.
async fn robots() -> &'static str {
    "User-agent: *\nDisallow: /app\nDisallow: /control\nDisallow: /s/\n"
}

#[cfg(test)]
mod tests;
