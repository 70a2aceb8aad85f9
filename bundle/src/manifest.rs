//! `percloud.json`: what a bundle says about itself.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The format's name.
pub const FORMAT: &str = "percloud-bundle";
/// The version that is written: major and minor.
pub const VERSION: &str = "1.0";
/// The major version that is read.
pub const MAJOR: u64 = 1;
/// Where the specification is published; identifiers begin with it.
pub const SPEC_URL: &str = "https://percloud.example/bundle/1";

/// `percloud.json`. Unknown members are kept and written again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Percloud {
    /// Always [`FORMAT`].
    pub format: String,
    /// `major.minor`; a reader of another major version stops.
    pub version: String,
    /// The bundle's own id, a UUID.
    pub id: String,
    /// Whole or changes only.
    pub kind: Kind,
    /// The bundle that a delta builds on.
    #[serde(default)]
    pub base: Option<Value>,
    /// 0 for a full bundle; counts deltas up.
    #[serde(default)]
    pub sequence: u64,
    /// The last of its row.
    #[serde(default, rename = "final")]
    pub last: bool,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// What wrote it.
    pub exporter: Exporter,
    /// Whose it is.
    pub subject: Subject,
    /// What is in it.
    pub sections: Vec<Section>,
    /// Limits that the exporter kept.
    #[serde(default)]
    pub limits: Value,
    /// Members of newer minor versions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What kind of bundle it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Everything.
    Full,
    /// Changes since another bundle.
    Delta,
}

/// The program that wrote a bundle, and the key it signed with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exporter {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where to read about it.
    pub url: String,
    /// The minisign public key (one line of base 64); none when unsigned.
    #[serde(default)]
    pub key: Option<String>,
    /// Members of newer minor versions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Whose percloud it is. A claim: no name or domain is granted by a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// What the owner is called.
    pub handle: String,
    /// The names it answered at, the main one first.
    pub domains: Vec<String>,
    /// Members of newer minor versions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// One section: a folder below `data/`, or one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Its id: `files`, `blog`, `x/com.example.game`.
    pub id: String,
    /// The address of its specification.
    pub spec: String,
    /// The version of that.
    pub version: String,
    /// Where it is, from the bundle's base: `data/files`.
    pub path: String,
    /// How many files it has.
    pub count: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// Whether an importer that does not know it must stop.
    #[serde(default)]
    pub required: bool,
    /// `derivedFrom`, `highWater` and members of newer minor versions.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Section {
    /// Whether an entry belongs to it.
    #[must_use]
    pub fn holds(&self, path: &str) -> bool {
        path.strip_prefix(&self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The sections that this version writes and reads, in the order in which they are written: id and path below `data/`.
pub const KNOWN: &[(&str, &str)] = &[
    ("archive", "archive.json"),
    ("files", "files"),
    ("blog", "blog"),
    ("bookmarks", "bookmarks"),
    ("urls", "urls"),
    ("settings", "settings"),
    ("provenance", "provenance.jsonl"),
    ("secrets", "secrets"),
];

/// Whether this version knows a section.
#[must_use]
pub fn is_known(id: &str) -> bool {
    KNOWN.iter().any(|(known, _)| *known == id)
}

/// A new random UUID (version 4).
#[must_use]
pub fn uuid() -> String {
    let mut b = rand::random::<[u8; 16]>();
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let h = hex::encode(b);
    format!("{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
}

/// Whether a text is a UUID in its lower-case form.
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(i, c)| match i {
            8 | 13 | 18 | 23 => c == '-',
            _ => matches!(c, '0'..='9' | 'a'..='f'),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_id_is_a_uuid() {
        let id = uuid();
        assert!(is_uuid(&id), "{id}");
        assert_eq!(&id[14..15], "4");
        assert!(!is_uuid(&id.to_uppercase()) || !id.contains(char::is_alphabetic));
    }

    #[test]
    fn a_section_holds_its_folder_and_nothing_beside_it() {
        let files = Section { path: "data/files".to_owned(), ..Section::default() };
        assert!(files.holds("data/files/tree/a"));
        assert!(!files.holds("data/files2/a"));
        let archive = Section { path: "data/archive.json".to_owned(), ..Section::default() };
        assert!(archive.holds("data/archive.json"));
    }
}
