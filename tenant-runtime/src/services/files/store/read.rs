//! Looking into the tree.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, ToSql};

use crate::{
    services::files::{
        names,
        node::{Id, Node},
    },
    store::Count,
    web,
};

/// What a list is sorted by; folders always come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// By name.
    #[default]
    Name,
    /// Latest change first.
    Date,
    /// Largest first.
    Size,
}

/// A part of a list.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// The order.
    pub sort: Sort,
    /// True to turn it round.
    pub reversed: bool,
    /// Entries before the first one.
    pub skip: u32,
    /// At most so many.
    pub limit: u32,
}

impl Slice {
    fn order(self) -> &'static str {
        match (self.sort, self.reversed) {
            (Sort::Name, false) => "n.kind desc, n.sort_key, n.id",
            (Sort::Name, true) => "n.kind desc, n.sort_key desc, n.id desc",
            (Sort::Date, false) => "n.kind desc, n.modified_at desc, n.sort_key, n.id",
            (Sort::Date, true) => "n.kind desc, n.modified_at, n.sort_key, n.id",
            (Sort::Size, false) => "n.kind desc, n.size desc, n.sort_key, n.id",
            (Sort::Size, true) => "n.kind desc, n.size, n.sort_key, n.id",
        }
    }
}

fn many(db: &Connection, rest: &str, params: &[&dyn ToSql]) -> anyhow::Result<Vec<Node>> {
    let sql = format!("select {} from files_nodes n {rest}", Node::COLUMNS);
    let mut query = db.prepare_cached(&sql)?;
    let rows = query.query_map(params, Node::from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn number(db: &Connection, sql: &str, params: &[&dyn ToSql]) -> anyhow::Result<u64> {
    Ok(db.prepare_cached(sql)?.query_row(params, |row| row.get::<_, Count>(0))?.0)
}

/// A file or folder, in the trash or not.
///
/// # Errors
/// When the tables cannot be read; so with all of these.
pub fn find(db: &Connection, id: &Id) -> anyhow::Result<Option<Node>> {
    let sql = format!("select {} from files_nodes n where n.id = ?1", Node::COLUMNS);
    Ok(db.prepare_cached(&sql)?.query_row([id], Node::from_row).optional()?)
}

/// A file or folder that is not in the trash.
///
/// # Errors
/// [`web::Error::NotFound`] when there is none.
pub fn get(db: &Connection, id: &Id) -> web::Result<Node> {
    find(db, id)?.filter(|node| node.trash.is_none()).ok_or(web::Error::NotFound)
}

/// A folder that is not in the trash.
///
/// # Errors
/// [`web::Error::NotFound`] when there is none.
pub fn get_folder(db: &Connection, id: &Id) -> web::Result<Node> {
    get(db, id).and_then(|node| if node.is_folder() { Ok(node) } else { Err(web::Error::NotFound) })
}

/// The live entry of this name in a folder, whatever its case.
///
/// # Errors
/// When the tables cannot be read.
pub fn by_name(db: &Connection, parent: &Id, name: &str) -> anyhow::Result<Option<Node>> {
    let rest = "where n.parent = ?1 and n.folded = ?2 and n.trash is null";
    Ok(many(db, rest, &[parent, &names::folded(name)])?.into_iter().next())
}

/// A folder's live entries.
///
/// # Errors
/// When the tables cannot be read.
pub fn list(db: &Connection, folder: &Id, slice: Slice) -> anyhow::Result<Vec<Node>> {
    let rest = format!("where n.parent = ?1 and n.trash is null order by {} limit ?2 offset ?3", slice.order());
    many(db, &rest, &[folder, &slice.limit, &slice.skip])
}

/// How many live entries a folder has.
///
/// # Errors
/// When the tables cannot be read.
pub fn count(db: &Connection, folder: &Id) -> anyhow::Result<u64> {
    number(db, "select count(*) from files_nodes where parent = ?1 and trash is null", &[folder])
}

/// Everything live whose name holds all these words, whatever their case and accents.
///
/// # Errors
/// When the tables cannot be read.
pub fn search(db: &Connection, text: &str, slice: Slice) -> anyhow::Result<(Vec<Node>, u64)> {
    let escape = |word: &str| word.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    let words: Vec<String> =
        names::plain(text).split_whitespace().take(8).map(|w| format!("%{}%", escape(w))).collect();
    let tests: String = (1..=words.len()).map(|n| format!(" and n.plain like ?{n} escape '\\'")).collect();
    let rest = format!("where n.trash is null and n.parent is not null{tests}");
    let mut params: Vec<&dyn ToSql> = words.iter().map(|w| w as &dyn ToSql).collect();
    let total = number(db, &format!("select count(*) from files_nodes n {rest}"), &params)?;
    let (limit, skip) = (words.len() + 1, words.len() + 2);
    params.extend([&slice.limit as &dyn ToSql, &slice.skip]);
    let found = many(db, &format!("{rest} order by {} limit ?{limit} offset ?{skip}", slice.order()), &params)?;
    Ok((found, total))
}

/// The folders from the top down to (not including) this one.
///
/// # Errors
/// When the tables cannot be read.
pub fn ancestors(db: &Connection, id: &Id) -> anyhow::Result<Vec<Node>> {
    let sql = format!(
        "with recursive up (id, parent, depth) as (
             select id, parent, 0 from files_nodes where id = ?1
             union all select p.id, p.parent, up.depth + 1 from files_nodes p join up on p.id = up.parent)
         select {} from files_nodes n join up on up.id = n.id where up.depth > 0 order by up.depth desc",
        Node::COLUMNS
    );
    let mut query = db.prepare_cached(&sql)?;
    let rows = query.query_map([id], Node::from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// True when `id` is `root` or somewhere in it.
///
/// # Errors
/// When the tables cannot be read.
pub fn is_inside(db: &Connection, id: &Id, root: &Id) -> anyhow::Result<bool> {
    Ok(id == root || ancestors(db, id)?.iter().any(|a| a.id == *root))
}

/// True when it, or a folder it is in, is public.
///
/// # Errors
/// When the tables cannot be read.
pub fn is_public(db: &Connection, node: &Node) -> anyhow::Result<bool> {
    let live = node.trash.is_none();
    Ok(live && (node.public_at.is_some() || ancestors(db, &node.id)?.iter().any(|a| a.public_at.is_some())))
}

/// What was made public itself, latest first.
///
/// # Errors
/// When the tables cannot be read.
pub fn public_roots(db: &Connection, limit: u32) -> anyhow::Result<Vec<Node>> {
    many(db, "where n.public_at is not null and n.trash is null order by n.public_at desc, n.id limit ?1", &[&limit])
}

/// The files that came in last.
///
/// # Errors
/// When the tables cannot be read.
pub fn recent(db: &Connection, limit: u32) -> anyhow::Result<Vec<Node>> {
    many(db, "where n.kind = 'file' and n.trash is null order by n.created_at desc, n.id limit ?1", &[&limit])
}

/// What was thrown away, latest first.
///
/// # Errors
/// When the tables cannot be read.
pub fn trashed(db: &Connection, slice: Slice) -> anyhow::Result<(Vec<Node>, u64)> {
    let total = number(db, "select count(*) from files_nodes where trashed_at is not null", &[])?;
    let rest = "where n.trashed_at is not null order by n.trashed_at desc, n.sort_key, n.id limit ?1 offset ?2";
    Ok((many(db, rest, &[&slice.limit, &slice.skip])?, total))
}

/// What was thrown away before this moment.
///
/// # Errors
/// When the tables cannot be read.
pub fn trashed_before(db: &Connection, before: DateTime<Utc>) -> anyhow::Result<Vec<Node>> {
    many(db, "where n.trashed_at < ?1 order by n.trashed_at", &[&before])
}

/// Everything in a folder, however deep, that shares its fate (live, or thrown away with it), parents before children, with the
/// path below it. The folder itself comes first with its own name.
///
/// # Errors
/// When the tables cannot be read.
pub fn tree(db: &Connection, root: &Node) -> anyhow::Result<Vec<(String, Node)>> {
    let sql = format!(
        "with recursive down (id, path) as (
             select id, name from files_nodes where id = ?1
             union all select c.id, down.path || '/' || c.name from files_nodes c join down on c.parent = down.id where c.trash is ?2)
         select {}, down.path from files_nodes n join down on down.id = n.id order by down.path",
        Node::COLUMNS
    );
    let mut query = db.prepare_cached(&sql)?;
    let rows = query.query_map((&root.id, &root.trash), |row| Ok((row.get(13)?, Node::from_row(row)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many files, and bytes in them, are in a folder, however deep.
///
/// # Errors
/// When the tables cannot be read.
pub fn total(db: &Connection, root: &Node) -> anyhow::Result<(u64, u64)> {
    let sql = "with recursive down (id) as (
                   select ?1
                   union all select c.id from files_nodes c join down on c.parent = down.id where c.trash is ?2)
               select count(*), coalesce(sum(n.size), 0) from files_nodes n join down on down.id = n.id where n.kind = 'file'";
    let mut query = db.prepare_cached(sql)?;
    Ok(query.query_row((&root.id, &root.trash), |row| Ok((row.get::<_, Count>(0)?.0, row.get::<_, Count>(1)?.0)))?)
}

/// The file before or after this one in its folder, by name.
///
/// # Errors
/// When the tables cannot be read.
pub fn beside(db: &Connection, node: &Node, after: bool) -> anyhow::Result<Option<Node>> {
    let (way, order) = if after { (">", "asc") } else { ("<", "desc") };
    let rest = format!(
        "where n.parent = ?1 and n.kind = 'file' and n.trash is null
         and (n.sort_key, n.id) {way} (select sort_key, id from files_nodes where id = ?2)
         order by n.sort_key {order}, n.id {order} limit 1"
    );
    Ok(many(db, &rest, &[&node.parent, &node.id])?.into_iter().next())
}

/// Everything but the top, thrown-away things too, folders before what is in them; in the same order for the same tree.
///
/// # Errors
/// When the tables cannot be read.
pub fn everything(db: &Connection) -> anyhow::Result<Vec<Node>> {
    let sql = format!(
        "with recursive down (id, depth) as (
             select 'top', 0 union all select c.id, down.depth + 1 from files_nodes c join down on c.parent = down.id)
         select {} from files_nodes n join down on down.id = n.id where n.id <> 'top' order by down.depth, n.folded, n.id",
        Node::COLUMNS
    );
    let mut query = db.prepare_cached(&sql)?;
    let rows = query.query_map([], Node::from_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
