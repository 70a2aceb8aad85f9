//! Bookmarks: addresses worth finding again, with tags and notes; private unless the owner shows them.
//!
//! [`urls`] decides what is a link and which two are the same, [`netscape`] reads and writes the file that every browser
//! speaks, [`store`] holds the SQL.

pub mod bundle;
pub mod netscape;
mod owner;
pub mod pages;
pub mod public;
pub mod store;
mod tools;
pub mod urls;

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
};

/// Days that a deleted bookmark can be brought back.
pub const TRASH_DAYS: i64 = 30;

/// What bookmarks bring to the pages.
pub const PAGES: crate::pages::Part = crate::pages::Part {
    templates: &[
        ("bookmarks/list.html", include_str!("templates/list.html")),
        ("bookmarks/form.html", include_str!("templates/form.html")),
        ("bookmarks/tools.html", include_str!("templates/tools.html")),
        ("bookmarks/result.html", include_str!("templates/result.html")),
        ("bookmarks/public.html", include_str!("templates/public.html")),
    ],
    locales: &[(ui::Lang::En, include_str!("locales/en.json")), (ui::Lang::It, include_str!("locales/it.json"))],
    assets: &[("bookmarks/bookmarks.css", include_bytes!("static/bookmarks.css"))],
};

/// Who may see a bookmark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Everybody, at `/bookmarks`.
    Public,
    /// The owner only.
    #[default]
    Private,
}

impl Visibility {
    /// The word for it in tables, forms and files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}

impl ToSql for Visibility {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for Visibility {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_str()? {
            "public" => Ok(Self::Public),
            "private" => Ok(Self::Private),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

/// What a person (or a file of bookmarks) says about an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The address as given; [`urls::link`] has accepted it.
    pub url: String,
    /// Its title; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// The owner's words about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Tags as the owner writes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Who may see it.
    #[serde(default)]
    pub visibility: Visibility,
}

impl Entry {
    /// The entry with everything in its proper form: one-line title, tags once each, no control characters.
    #[must_use]
    pub fn tidied(self) -> Self {
        Self {
            url: self.url,
            title: crate::text::line(&self.title, 500),
            note: crate::text::lines(&self.note).chars().take(10_000).collect(),
            tags: crate::text::unique_tags(self.tags.iter().map(String::as_str)),
            visibility: self.visibility,
        }
    }
}

/// A bookmark as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bookmark {
    /// Kept over edits and moves.
    pub id: String,
    /// Counts changes.
    pub revision: i64,
    /// What it says.
    pub entry: Entry,
    /// When it was made, here or in the program it came from.
    pub created_at: DateTime<Utc>,
    /// Last change.
    pub updated_at: DateTime<Utc>,
    /// In the trash since.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// The service.
pub struct Bookmarks;

impl super::Service for Bookmarks {
    fn name(&self) -> &'static str {
        "bookmarks"
    }

    fn schema(&self) -> &'static [&'static str] {
        &[include_str!("schema.sql")]
    }

    fn owner_routes(&self) -> Router<Runtime> {
        Router::new()
            .route("/", get(owner::list))
            .route("/add", get(owner::add_form).post(owner::add))
            .route("/tools", get(tools::tools))
            .route("/paste", post(tools::paste))
            .route("/import", post(tools::import))
            .route("/export", get(tools::export))
            .route("/{id}", get(owner::edit_form).post(owner::edit))
            .route("/{id}/show", post(owner::show))
            .route("/{id}/delete", post(owner::delete))
            .route("/{id}/restore", post(owner::restore))
            .route("/{id}/purge", post(owner::purge))
            .layer(DefaultBodyLimit::max(tools::FILE_BYTES))
    }

    fn public_routes(&self) -> Router<Runtime> {
        Router::new().route("/bookmarks", get(public::list))
    }

    fn export(&self, db: &Connection, out: &mut Folder) -> anyhow::Result<()> {
        bundle::export(db, out)
    }

    fn import(&self, tx: &Transaction<'_>, from: &Section<'_>) -> anyhow::Result<Counts> {
        bundle::import(tx, from)
    }

    fn tidy(&self, tx: &Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
        store::tidy(tx, now)
    }

    fn due(&self, db: &Connection) -> anyhow::Result<Option<DateTime<Utc>>> {
        store::due(db)
    }

    fn blobs(&self, _db: &Connection) -> anyhow::Result<Vec<Hash>> {
        Ok(Vec::new())
    }

    fn recent(&self, db: &Connection, limit: u32) -> anyhow::Result<Vec<super::Recent>> {
        let (found, _) = store::list(db, &store::Filter::default(), 0, usize::try_from(limit)?)?;
        let recent = |bookmark: &Bookmark| super::Recent {
            title: public::link(bookmark).title,
            href: format!("/app/bookmarks/{}", bookmark.id),
            icon: "bookmark".to_owned(),
            at: bookmark.created_at,
        };
        Ok(found.iter().map(recent).collect())
    }
}

#[cfg(test)]
mod tests;
