//! Out.

use std::collections::HashMap;

use bundle::paths::{self, Names};
use rusqlite::Connection;

use super::{DEEP, Kind, Line, META, SECRET, Secret, ShareLine, TOKENS, TRASH, TREE};
use crate::{
    exports::Folder,
    services::files::{
        node::{Id, Node},
        shares,
        store::read,
    },
};

/// Names everything that there is, thrown-away things too.
///
/// # Errors
/// When the tables cannot be read.
pub(crate) fn export(db: &Connection, out: &mut Folder) -> anyhow::Result<()> {
    let mut paths = Paths::default();
    let mut lines = Vec::new();
    for node in read::everything(db)? {
        let path = paths.give(&node);
        if let (Some(blob), Some(path)) = (node.blob, &path) {
            out.blob(path.clone(), blob);
        }
        name_public(db, &node, path.as_deref(), out)?;
        serde_json::to_writer(&mut lines, &line(db, node, path, out)?)?;
        lines.push(b'\n');
    }
    if !lines.is_empty() {
        out.text(META, lines);
    }
    Ok(())
}

fn line(db: &Connection, node: Node, path: Option<String>, out: &mut Folder) -> anyhow::Result<Line> {
    let mut links = Vec::new();
    for share in shares::of_node(db, &node.id)? {
        links.push(ShareLine {
            id: share.id.clone(),
            created: share.created_at,
            expires: share.expires_at,
            password: share.password.is_some(),
            opened: share.opened,
            opened_at: share.opened_at,
        });
        let secret = Secret { kind: SECRET.to_owned(), id: share.id, token: share.token, password: share.password };
        out.secrets.push((TOKENS.to_owned(), serde_json::to_value(secret)?));
    }
    Ok(Line {
        kind: if node.is_folder() { Kind::Folder } else { Kind::File },
        path: path.filter(|_| !node.is_folder()),
        parent: node.parent.filter(|parent| !parent.is_top()),
        id: node.id,
        name: node.name,
        mime: node.mime,
        modified: node.modified_at,
        created: node.created_at,
        public: node.public_at,
        trash: node.trash,
        trashed_at: node.trashed_at,
        revision: node.revision,
        shares: links,
    })
}

/// Public addresses, for whoever must answer them later. A link's address is its secret and goes with the secrets.
fn name_public(db: &Connection, node: &Node, path: Option<&str>, out: &mut Folder) -> anyhow::Result<()> {
    if !read::is_public(db, node)? {
        return Ok(());
    }
    let target = path.map_or_else(|| META.to_owned(), str::to_owned);
    out.urls.push((format!("/files/{}", node.id), 200, target));
    Ok(())
}

/// Paths in the bundle: safe on every computer, unique whatever the case, the same for the same tree.
struct Paths {
    names: HashMap<Id, Names>,
    folders: HashMap<Id, String>,
}

impl Default for Paths {
    fn default() -> Self {
        let mut top = Names::default();
        top.give(DEEP); // ours, whatever the owner's folders are called
        Self { names: HashMap::from([(Id::top(), top)]), folders: HashMap::from([(Id::top(), TREE.to_owned())]) }
    }
}

impl Paths {
    /// The path of a file or folder whose folder was asked for before.
    fn give(&mut self, node: &Node) -> Option<String> {
        let safe = paths::safe_name(&node.name);
        if node.trash.is_some() {
            return (!node.is_folder()).then(|| format!("{TRASH}/{}/{safe}", node.id));
        }
        let parent = node.parent.clone().unwrap_or_else(Id::top);
        let name = self.names.entry(parent.clone()).or_default().give(&node.name);
        // What lies in a folder that is too deep is too deep as well.
        let path = self.folders.get(&parent).map(|folder| format!("{folder}/{name}"));
        let path = path.filter(|path| paths::check(&format!("data/{path}")).is_ok());
        if node.is_folder() {
            if let Some(path) = &path {
                self.folders.insert(node.id.clone(), path.clone());
            }
            return path;
        }
        Some(path.unwrap_or_else(|| format!("{TREE}/{DEEP}/{}/{safe}", node.id)))
    }
}
