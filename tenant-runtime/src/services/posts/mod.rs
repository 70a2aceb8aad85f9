//! Posts: what the owner writes. Markdown in, clean HTML out, addresses that stay.
//!
//! [`store`] holds the SQL, [`markdown`] makes HTML, [`images`] decides what a picture is, [`feeds`] and [`bundle`]
//! write posts for others, [`pages`] and [`public`] are what people see.

pub mod bundle;
pub mod feeds;
mod form;
pub mod front_matter;
pub mod images;
pub mod lists;
pub mod markdown;
pub mod media;
mod owner;
pub mod pages;
pub mod pictures;
pub mod public;
pub mod store;
pub mod wxr;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use chrono::{DateTime, Utc};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Transaction};
use serde::{Deserialize, Serialize};

use crate::{
    blobs::Hash,
    exports::Folder,
    imports::{Counts, Section},
    runtime::Runtime,
    settings,
};

/// Days that a deleted post can be brought back.
pub const TRASH_DAYS: i64 = 30;
/// Largest form of the editor: a text and a few pictures.
const FORM_BYTES: usize = 3 * images::MOST_BYTES;
/// Longest title, in characters.
pub const TITLE_CHARS: usize = 200;

/// What posts bring to the pages.
pub const PAGES: crate::pages::Part = crate::pages::Part {
    templates: &[
        ("posts/list.html", include_str!("templates/list.html")),
        ("posts/editor.html", include_str!("templates/editor.html")),
        ("posts/preview.html", include_str!("templates/preview.html")),
        ("posts/post.html", include_str!("templates/post.html")),
        ("posts/archive.html", include_str!("templates/archive.html")),
    ],
    locales: &[(ui::Lang::En, include_str!("locales/en.json")), (ui::Lang::It, include_str!("locales/it.json"))],
    assets: &[
        ("posts/posts.css", include_bytes!("static/posts.css")),
        ("posts/editor.js", include_bytes!("static/editor.js")),
    ],
};

/// Who may read a published post.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Everybody; it is on Home and in the feeds.
    #[default]
    Public,
    /// Whoever has the address; it is listed nowhere.
    Unlisted,
    /// The owner only.
    Private,
}

/// How far a post has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Only the owner sees it, in the editor.
    #[default]
    Draft,
    /// It has an address.
    Published,
}

macro_rules! text_enum {
    ($name:ident { $($variant:ident = $text:literal),+ }) => {
        impl $name {
            /// The word for it in tables, forms and files.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
        impl std::str::FromStr for $name {
            type Err = anyhow::Error;
            fn from_str(text: &str) -> anyhow::Result<Self> {
                match text { $($text => Ok(Self::$variant),)+ _ => anyhow::bail!("not one of the known words") }
            }
        }
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }
        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_str()?.parse().map_err(|_| FromSqlError::InvalidType)
            }
        }
    };
}
text_enum!(Visibility { Public = "public", Unlisted = "unlisted", Private = "private" });
text_enum!(Status { Draft = "draft", Published = "published" });

/// What the editor holds: the part of a post that a person types.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The title, one line.
    pub title: String,
    /// The text, Markdown.
    pub body: String,
    /// Tags as the owner writes them.
    pub tags: Vec<String>,
    /// Who shall read it.
    pub visibility: Visibility,
}

/// A post as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Post {
    /// Kept over edits and moves.
    pub id: String,
    /// Counts changes.
    pub revision: i64,
    /// What is published (or, of a draft, what was saved last).
    pub text: Draft,
    /// How far it has come.
    pub status: Status,
    /// Its present address, once published.
    pub address: Option<Address>,
    /// First saved.
    pub created_at: DateTime<Utc>,
    /// Last change that readers see.
    pub updated_at: DateTime<Utc>,
    /// First published.
    pub published_at: Option<DateTime<Utc>>,
    /// In the trash since.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// A permanent address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The year of first publishing.
    pub year: i32,
    /// The words.
    pub slug: String,
}

impl Address {
    /// The path, percent-encoded: `/posts/2026/hello`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/posts/{}/{}", self.year, crate::text::escape(&self.slug))
    }

    /// Reads what [`Address::path`] wrote.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        let (year, slug) = path.strip_prefix("/posts/")?.split_once('/')?;
        let slug = percent_encoding::percent_decode_str(slug).decode_utf8().ok()?.into_owned();
        let year = year.parse().ok().filter(|year| (1..=9999).contains(year))?;
        (slug == crate::text::slug(&slug)).then_some(Self { year, slug })
    }
}

impl Post {
    /// True when anybody with the address may read it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.status == Status::Published && self.text.visibility != Visibility::Private && self.deleted_at.is_none()
    }

    /// True when it is on Home and in the feeds.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        self.is_open() && self.text.visibility == Visibility::Public
    }

    /// Its path, once it has an address.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        self.address.as_ref().map(Address::path)
    }
}

/// The service.
pub struct Posts;

impl super::Service for Posts {
    fn name(&self) -> &'static str {
        "posts"
    }

    fn schema(&self) -> &'static [&'static str] {
        &[include_str!("schema.sql")]
    }

    fn owner_routes(&self) -> Router<Runtime> {
        Router::new()
            .route("/", get(owner::list))
            .route("/new", get(owner::new))
            .route("/pictures", post(owner::pictures))
            .route("/sketch", post(owner::sketch))
            .route("/{id}", get(owner::edit).post(owner::submit))
            .route("/{id}/autosave", post(owner::autosave))
            .route("/{id}/preview", get(owner::preview))
            .route("/{id}/publish", post(owner::publish))
            .route("/{id}/discard", post(owner::discard))
            .route("/{id}/delete", post(owner::delete))
            .route("/{id}/restore", post(owner::restore))
            .route("/{id}/purge", post(owner::purge))
            .layer(DefaultBodyLimit::max(FORM_BYTES))
    }

    fn public_routes(&self) -> Router<Runtime> {
        Router::new()
            .route("/posts", get(public::archive))
            .route("/posts/{year}", get(public::year))
            .route("/posts/{year}/{slug}", get(public::post))
            .route("/tags/{tag}", get(public::tag))
            .route("/media/{name}", get(media::get))
    }

    fn export(&self, db: &Connection, out: &mut Folder) -> anyhow::Result<()> {
        let site = feeds::Site::of(&settings::get(db)?, &out.origin);
        bundle::export(db, &site, out)
    }

    fn import(&self, tx: &Transaction<'_>, from: &Section<'_>) -> anyhow::Result<Counts> {
        bundle::import(tx, from)
    }

    fn tidy(&self, tx: &Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
        store::tidy(tx, now)?;
        pictures::tidy(tx, now)
    }

    fn due(&self, db: &Connection) -> anyhow::Result<Option<DateTime<Utc>>> {
        Ok(crate::due::soonest([store::due(db)?, pictures::due(db)?]))
    }

    fn blobs(&self, db: &Connection) -> anyhow::Result<Vec<Hash>> {
        pictures::all(db)
    }

    fn recent(&self, db: &Connection, limit: u32) -> anyhow::Result<Vec<super::Recent>> {
        let (posts, _) = store::list(db, &store::Which::All, "", 0, usize::try_from(limit)?)?;
        let title = |post: &Post| {
            if post.text.title.is_empty() {
                markdown::excerpt(&post.text.body).chars().take(60).collect()
            } else {
                post.text.title.clone()
            }
        };
        let icon = |post: &Post| if post.status == Status::Draft { "file-pen" } else { "feather" };
        let recent = |post: &Post| super::Recent {
            title: title(post),
            href: format!("/app/posts/{}", post.id),
            icon: icon(post).to_owned(),
            at: post.updated_at,
        };
        Ok(posts.iter().map(recent).collect())
    }
}

#[cfg(test)]
mod tests;
