//! Files in a bundle: `files/tree/…` as folders and files that any computer opens, `files/meta.jsonl` with what a file system
//! cannot keep (ids, real names, dates, links, trash). Ids and revisions make a second import change nothing.

mod export;
mod import;
#[cfg(test)]
mod tests;

pub(super) use export::export;
pub(super) use import::import;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::node::Id;

/// Where the lines are.
const META: &str = "files/meta.jsonl";
/// Where live files are.
const TREE: &str = "files/tree";
/// Where thrown-away files are, each in a folder of its id.
const TRASH: &str = "files/trash";
/// The folder in the tree for files whose path would be too long; each in a folder of its id.
const DEEP: &str = "_deep";
/// The secrets' file.
const TOKENS: &str = "tokens";
/// What a secret of ours says it is.
const SECRET: &str = "files.link";

/// A file or folder, one line each, folders before what is in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    id: Id,
    /// The folder it is in; none: the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<Id>,
    kind: Kind,
    /// The name as the owner wrote it.
    name: String,
    /// Where the content is in the bundle, from `data/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    mime: String,
    modified: DateTime<Utc>,
    created: DateTime<Utc>,
    /// Since when anybody may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public: Option<DateTime<Utc>>,
    /// The id of what it was thrown away with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trash: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trashed_at: Option<DateTime<Utc>>,
    revision: i64,
    /// Its links; their secrets are among the secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    shares: Vec<ShareLine>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Folder,
    File,
}

/// A link, without what opens it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ShareLine {
    id: Id,
    created: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<DateTime<Utc>>,
    password: bool,
    opened: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opened_at: Option<DateTime<Utc>>,
}

/// What opens a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Secret {
    kind: String,
    id: Id,
    token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}
