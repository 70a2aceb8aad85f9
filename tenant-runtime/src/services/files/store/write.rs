//! Changing the tree. Every function belongs into the caller's transaction.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rusqlite::Transaction;

use super::{read, undo::Step};
use crate::{
    blobs::Blob,
    services::files::{
        names::{self, Name},
        node::{Id, Node},
    },
    store::Count,
    web,
};

/// How deep folders may be nested.
pub const DEEPEST: usize = 64;

/// A name that is free in the folder: the wished one, or with the first free number.
///
/// # Errors
/// When the tables cannot be read.
pub fn free_name(tx: &Transaction<'_>, parent: &Id, wished: &Name) -> anyhow::Result<Name> {
    if read::by_name(tx, parent, wished.as_str())?.is_none() {
        return Ok(wished.clone());
    }
    for number in 2.. {
        let name = wished.numbered(number);
        if read::by_name(tx, parent, name.as_str())?.is_none() {
            return Ok(name);
        }
    }
    anyhow::bail!("every number is taken")
}

/// Writes a whole row, as it is.
///
/// # Errors
/// When the name is taken or the store does not answer.
pub fn insert(tx: &Transaction<'_>, node: &Node) -> anyhow::Result<()> {
    let sql = "insert into files_nodes (id, parent, kind, name, folded, plain, sort_key, mime, sha256, crc32, size, modified_at,
                                        created_at, public_at, trash, trashed_at, revision)
               values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    let kind = if node.is_folder() { "folder" } else { "file" };
    tx.prepare_cached(sql)?.execute(rusqlite::params![
        node.id,
        node.parent,
        kind,
        node.name,
        names::folded(&node.name),
        names::plain(&node.name),
        names::sort_key(&node.name),
        node.mime,
        node.blob.map(|b| b.sha256),
        node.blob.map(|b| b.crc32),
        Count(node.size()),
        node.modified_at,
        node.created_at,
        node.public_at,
        node.trash,
        node.trashed_at,
        node.revision,
    ])?;
    Ok(())
}

fn new_node(parent: &Id, name: &Name, now: DateTime<Utc>) -> Node {
    Node {
        id: Id::random(),
        parent: Some(parent.clone()),
        name: name.as_str().to_owned(),
        mime: String::new(),
        blob: None,
        modified_at: now,
        created_at: now,
        public_at: None,
        trash: None,
        trashed_at: None,
        revision: 1,
    }
}

/// Makes a folder; a taken name is refused.
///
/// # Errors
/// [`web::Error::Conflict`] when the name is taken.
pub fn make_folder(tx: &Transaction<'_>, parent: &Id, name: &Name, now: DateTime<Utc>) -> web::Result<Node> {
    read::get_folder(tx, parent)?;
    if read::by_name(tx, parent, name.as_str())?.is_some() {
        return Err(web::Error::Conflict("files.name.taken"));
    }
    refuse_too_deep(tx, parent, 1)?;
    let node = new_node(parent, name, now);
    insert(tx, &node)?;
    Ok(node)
}

/// The folder at this path below `parent`, made where it is missing.
///
/// # Errors
/// When a name on the way is a file's.
pub fn ensure_folders(tx: &Transaction<'_>, parent: &Id, path: &[Name], now: DateTime<Utc>) -> web::Result<Id> {
    let mut folder = parent.clone();
    for name in path {
        folder = match read::by_name(tx, &folder, name.as_str())? {
            Some(node) if node.is_folder() => node.id,
            Some(_) => {
                let name = free_name(tx, &folder, name)?;
                make_folder(tx, &folder, &name, now)?.id
            }
            None => make_folder(tx, &folder, name, now)?.id,
        };
    }
    Ok(folder)
}

/// Adds a file; when its name is taken it gets a number.
///
/// # Errors
/// When the folder is gone.
pub fn add_file(
    tx: &Transaction<'_>,
    parent: &Id,
    name: &Name,
    mime: &str,
    blob: Blob,
    modified_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> web::Result<Node> {
    read::get_folder(tx, parent)?;
    let name = free_name(tx, parent, name)?;
    let node = Node { mime: mime.to_owned(), blob: Some(blob), modified_at, ..new_node(parent, &name, now) };
    insert(tx, &node)?;
    Ok(node)
}

/// Gives something a new name; answers how to take it back.
///
/// # Errors
/// [`web::Error::Conflict`] when the name is taken.
pub fn rename(tx: &Transaction<'_>, id: &Id, name: &Name) -> web::Result<Vec<Step>> {
    let node = changeable(tx, id)?;
    let parent = node.parent.clone().ok_or(web::Error::NotFound)?;
    if read::by_name(tx, &parent, name.as_str())?.is_some_and(|other| other.id != *id) {
        return Err(web::Error::Conflict("files.name.taken"));
    }
    place(tx, id, &parent, name)?;
    Ok(vec![Step::Place { id: node.id, parent, name: node.name }])
}

/// Moves things into a folder; a taken name gets a number. Answers how to take it back.
///
/// # Errors
/// [`web::Error::Conflict`] when a folder would go into itself.
pub fn relocate(tx: &Transaction<'_>, ids: &[Id], to: &Id) -> web::Result<Vec<Step>> {
    read::get_folder(tx, to)?;
    let mut steps = Vec::new();
    for id in outermost(tx, ids)? {
        let node = changeable(tx, &id)?;
        let parent = node.parent.clone().ok_or(web::Error::NotFound)?;
        if parent == *to {
            continue;
        }
        refuse_into_itself(tx, &node, to)?;
        let name = free_name(tx, to, &Name::parse(&node.name)?)?;
        place(tx, &id, to, &name)?;
        steps.push(Step::Place { id, parent, name: node.name });
    }
    Ok(steps)
}

/// Copies things into a folder, with all that is in them; nothing public or shared about a copy. Answers how to take it back.
///
/// # Errors
/// [`web::Error::Conflict`] when a folder would go into itself.
pub fn copy(tx: &Transaction<'_>, ids: &[Id], to: &Id, now: DateTime<Utc>) -> web::Result<Vec<Step>> {
    read::get_folder(tx, to)?;
    let mut steps = Vec::new();
    for id in outermost(tx, ids)? {
        let node = changeable(tx, &id)?;
        refuse_into_itself(tx, &node, to)?;
        let name = free_name(tx, to, &Name::parse(&node.name)?)?;
        let mut copies = std::collections::BTreeMap::from([(node.parent.clone(), to.clone())]);
        for (_, original) in read::tree(tx, &node)? {
            let name = if original.id == id { name.as_str().to_owned() } else { original.name.clone() };
            let parent = copies.get(&original.parent).cloned();
            let copy = Node {
                id: Id::random(),
                parent,
                name,
                created_at: now,
                public_at: None,
                revision: 1,
                ..original.clone()
            };
            insert(tx, &copy)?;
            if original.id == id {
                steps.push(Step::Trash { id: copy.id.clone() });
            }
            copies.insert(Some(original.id), copy.id);
        }
    }
    Ok(steps)
}

/// Shows something to anybody, or to nobody but the owner.
///
/// # Errors
/// When there is no such thing.
pub fn set_public(tx: &Transaction<'_>, id: &Id, public: Option<DateTime<Utc>>) -> web::Result<Node> {
    let node = changeable(tx, id)?;
    if node.public_at.is_some() != public.is_some() {
        let sql = "update files_nodes set public_at = ?2, revision = revision + 1 where id = ?1";
        tx.execute(sql, (id, public)).map_err(anyhow::Error::from)?;
    }
    Ok(node)
}

/// Puts something into a folder under a name that is free there.
pub(super) fn place(tx: &Transaction<'_>, id: &Id, parent: &Id, name: &Name) -> anyhow::Result<()> {
    let sql =
        "update files_nodes set parent = ?2, name = ?3, folded = ?4, plain = ?5, sort_key = ?6, revision = revision + 1
               where id = ?1";
    let text = name.as_str();
    tx.execute(sql, (id, parent, text, names::folded(text), names::plain(text), names::sort_key(text)))?;
    Ok(())
}

fn changeable(tx: &Transaction<'_>, id: &Id) -> web::Result<Node> {
    read::get(tx, id).and_then(|node| if id.is_top() { Err(web::Error::NotFound) } else { Ok(node) })
}

/// Leaves out what is inside something else of the selection.
pub(super) fn outermost(tx: &Transaction<'_>, ids: &[Id]) -> anyhow::Result<Vec<Id>> {
    let all: BTreeSet<&Id> = ids.iter().collect();
    let mut outer = Vec::new();
    for id in &all {
        if !read::ancestors(tx, id)?.iter().any(|a| all.contains(&a.id)) {
            outer.push((*id).clone());
        }
    }
    Ok(outer)
}

fn refuse_into_itself(tx: &Transaction<'_>, node: &Node, to: &Id) -> web::Result<()> {
    if !node.is_folder() {
        return Ok(());
    }
    if read::is_inside(tx, to, &node.id)? {
        return Err(web::Error::Conflict("files.into-itself"));
    }
    let height = read::tree(tx, node)?.iter().map(|(path, _)| path.matches('/').count() + 1).max();
    refuse_too_deep(tx, to, height.unwrap_or(1))
}

fn refuse_too_deep(tx: &Transaction<'_>, parent: &Id, more: usize) -> web::Result<()> {
    if read::ancestors(tx, parent)?.len() + more > DEEPEST {
        return Err(web::Error::Invalid("files.too-deep"));
    }
    Ok(())
}

/// Writes a whole row over the one of the same id.
///
/// # Errors
/// When the store does not answer.
pub fn overwrite(tx: &Transaction<'_>, node: &Node) -> anyhow::Result<()> {
    let sql = "update files_nodes set parent = ?2, name = ?3, folded = ?4, plain = ?5, sort_key = ?6, mime = ?7, sha256 = ?8,
                   crc32 = ?9, size = ?10, modified_at = ?11, public_at = ?12, trash = ?13, trashed_at = ?14, revision = ?15
               where id = ?1 and kind = ?16";
    let kind = if node.is_folder() { "folder" } else { "file" };
    let changed = tx.prepare_cached(sql)?.execute(rusqlite::params![
        node.id,
        node.parent,
        node.name,
        names::folded(&node.name),
        names::plain(&node.name),
        names::sort_key(&node.name),
        node.mime,
        node.blob.map(|b| b.sha256),
        node.blob.map(|b| b.crc32),
        Count(node.size()),
        node.modified_at,
        node.public_at,
        node.trash,
        node.trashed_at,
        node.revision,
        kind,
    ])?;
    anyhow::ensure!(changed == 1, "a file cannot become a folder");
    Ok(())
}
