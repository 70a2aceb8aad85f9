//! What a file or folder is.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use rusqlite::{
    Row,
    types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef},
};
use serde::{Deserialize, Serialize};

use crate::{
    blobs::{Blob, Hash},
    store::Count,
};

/// The id of a file or folder: `top`, or 16 characters of lower-case base 32; never reused, kept by every move of the percloud.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

impl Id {
    /// A new id: 80 random bits.
    #[must_use]
    pub fn random() -> Self {
        Self(data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 10]>()).to_lowercase())
    }

    /// The folder that holds everything.
    #[must_use]
    pub fn top() -> Self {
        Self("top".to_owned())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for the folder that holds everything.
    #[must_use]
    pub fn is_top(&self) -> bool {
        self.0 == "top"
    }
}

/// Not an id.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not the id of a file or folder")]
pub struct NotAnId;

impl FromStr for Id {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let good = text.len() == 16 && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
        if good || text == "top" { Ok(Self(text.to_owned())) } else { Err(NotAnId) }
    }
}

impl TryFrom<String> for Id {
    type Error = NotAnId;
    fn try_from(text: String) -> Result<Self, NotAnId> {
        text.parse()
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(FromSqlError::other)
    }
}

/// A file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: Id,
    /// The folder it is in; none for the top.
    pub parent: Option<Id>,
    /// Its name.
    pub name: String,
    /// Its media type; empty for folders.
    pub mime: String,
    /// Its content; none for folders.
    pub blob: Option<Blob>,
    /// When the content was last changed, as the owner's device knew it.
    pub modified_at: DateTime<Utc>,
    /// When it came here.
    pub created_at: DateTime<Utc>,
    /// Since when anybody may see it.
    pub public_at: Option<DateTime<Utc>>,
    /// What it was thrown away with.
    pub trash: Option<Id>,
    /// When it was thrown away itself.
    pub trashed_at: Option<DateTime<Utc>>,
    /// Counts its changes.
    pub revision: i64,
}

impl Node {
    /// The columns that [`Node::from_row`] reads.
    pub const COLUMNS: &'static str = "n.id, n.parent, n.name, n.mime, n.sha256, n.crc32, n.size, n.modified_at, n.created_at, n.public_at, n.trash, n.trashed_at, n.revision";

    /// Reads a row of [`Node::COLUMNS`].
    ///
    /// # Errors
    /// When a column is not what it should be.
    pub fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let sha256: Option<Hash> = row.get(4)?;
        let blob = match sha256 {
            Some(sha256) => Some(Blob { sha256, crc32: row.get(5)?, size: row.get::<_, Count>(6)?.0 }),
            None => None,
        };
        Ok(Self {
            id: row.get(0)?,
            parent: row.get(1)?,
            name: row.get(2)?,
            mime: row.get(3)?,
            blob,
            modified_at: row.get(7)?,
            created_at: row.get(8)?,
            public_at: row.get(9)?,
            trash: row.get(10)?,
            trashed_at: row.get(11)?,
            revision: row.get(12)?,
        })
    }

    /// True for folders.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.blob.is_none()
    }

    /// Bytes of content; 0 for folders.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.blob.map_or(0, |blob| blob.size)
    }
}
