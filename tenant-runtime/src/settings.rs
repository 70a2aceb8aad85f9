//! What the owner chose: name, picture, colours, language, and what Home shows.

use bundle::TenantSpec;
use rusqlite::{Connection, OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};
use ui::{Lang, Theme};

use crate::blobs::Blob;

/// The owner's choices.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Settings {
    /// The name on Home; empty until chosen (see [`Settings::title`]).
    pub name: String,
    /// A short text on Home, plain.
    pub about: String,
    /// The picture on Home.
    pub avatar: Option<Picture>,
    /// The accent colour: the name of one of [`ui::ACCENTS`]; none for the usual one.
    pub accent: Option<String>,
    /// The language of the owner's pages and of Home; none: as the browser wishes.
    pub language: Option<Lang>,
    /// Light, dark, or as the device is set.
    pub theme: Theme,
    /// Which sections Home shows.
    pub home: HomeSections,
}

/// A picture: content and what kind it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The content.
    pub blob: Blob,
    /// Its media type (`image/jpeg`).
    pub media_type: String,
}

/// Which sections Home shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeSections {
    /// Posts.
    pub posts: bool,
    /// Public files.
    pub files: bool,
    /// Public bookmarks.
    pub bookmarks: bool,
}

impl Default for HomeSections {
    fn default() -> Self {
        Self { posts: true, files: true, bookmarks: true }
    }
}

impl Settings {
    /// The name to show: the chosen one, or the first part of the address.
    #[must_use]
    pub fn title(&self, spec: &TenantSpec) -> String {
        if self.name.is_empty() {
            return spec.domain.as_str().split('.').next().unwrap_or_default().to_owned();
        }
        self.name.clone()
    }

    /// Where the picture is served.
    #[must_use]
    pub fn avatar_url(&self) -> Option<String> {
        self.avatar.as_ref().map(|picture| format!("/avatar/{}", picture.blob.sha256))
    }
}

const GET: &str = "select name, about, avatar_sha256, avatar_crc32, avatar_size, avatar_type, accent, language, theme,
    show_posts, show_files, show_bookmarks from settings where id = 1";

/// The owner's choices, or the usual ones.
///
/// # Errors
/// When the store does not answer.
pub fn get(db: &Connection) -> anyhow::Result<Settings> {
    let settings = db.prepare_cached(GET)?.query_row([], from_row).optional()?;
    Ok(settings.unwrap_or_default())
}

fn from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Settings> {
    let avatar = match row.get::<_, Option<crate::blobs::Hash>>(2)? {
        None => None,
        Some(sha256) => {
            let blob = Blob { sha256, crc32: row.get(3)?, size: row.get::<_, i64>(4)?.unsigned_abs() };
            Some(Picture { blob, media_type: row.get(5)? })
        }
    };
    Ok(Settings {
        name: row.get(0)?,
        about: row.get(1)?,
        avatar,
        accent: row.get(6)?,
        language: row.get::<_, Option<String>>(7)?.as_deref().and_then(Lang::from_code),
        theme: Theme::from_code(&row.get::<_, String>(8)?).unwrap_or_default(),
        home: HomeSections { posts: row.get(9)?, files: row.get(10)?, bookmarks: row.get(11)? },
    })
}

const PUT: &str =
    "insert into settings (id, name, about, avatar_sha256, avatar_crc32, avatar_size, avatar_type, accent,
        language, theme, show_posts, show_files, show_bookmarks)
    values (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
    on conflict (id) do update set name = excluded.name, about = excluded.about,
        avatar_sha256 = excluded.avatar_sha256, avatar_crc32 = excluded.avatar_crc32,
        avatar_size = excluded.avatar_size, avatar_type = excluded.avatar_type, accent = excluded.accent,
        language = excluded.language, theme = excluded.theme, show_posts = excluded.show_posts,
        show_files = excluded.show_files, show_bookmarks = excluded.show_bookmarks";

/// Keeps the owner's choices.
///
/// # Errors
/// When the store does not answer.
pub fn put(tx: &Transaction<'_>, settings: &Settings) -> anyhow::Result<()> {
    let picture = settings.avatar.as_ref();
    let values = rusqlite::params![
        settings.name,
        settings.about,
        picture.map(|p| p.blob.sha256),
        picture.map(|p| p.blob.crc32),
        picture.map(|p| i64::try_from(p.blob.size)).transpose()?,
        picture.map(|p| &p.media_type),
        settings.accent,
        settings.language.map(Lang::code),
        settings.theme.code(),
        settings.home.posts,
        settings.home.files,
        settings.home.bookmarks,
    ];
    tx.execute(PUT, values)?;
    Ok(())
}
