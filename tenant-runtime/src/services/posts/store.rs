//! The posts' tables: one post, its addresses, drafts and trash. Lists are in [`super::lists`].

use std::collections::BTreeSet;

use anyhow::Context;
use chrono::{DateTime, Datelike, SubsecRound, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

pub use super::lists::{Neighbour, TagCount, Which, changed_at, list, neighbours, tags, years};
use super::{Address, Draft, Post, Status, TRASH_DAYS, markdown};
use crate::{blobs::Hash, text};

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such post.
    #[error("no such post")]
    Missing,
    /// Somebody (another window) saved since the editor was opened; the revision now stored.
    #[error("saved elsewhere meanwhile")]
    Stale(i64),
    /// The address that the owner chose belongs to another post.
    #[error("address taken")]
    AddressTaken,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] anyhow::Error),
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

pub(super) const COLUMNS: &str =
    "id, revision, title, body, status, visibility, year, slug, created_at, updated_at, published_at, deleted_at";

pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Post> {
    let (year, slug): (Option<i32>, Option<String>) = (row.get(6)?, row.get(7)?);
    Ok(Post {
        id: row.get(0)?,
        revision: row.get(1)?,
        text: Draft { title: row.get(2)?, body: row.get(3)?, tags: Vec::new(), visibility: row.get(5)? },
        status: row.get(4)?,
        address: year.zip(slug).map(|(year, slug)| Address { year, slug }),
        created_at: row.get(8)?,
        updated_at: row.get(9)?,
        published_at: row.get(10)?,
        deleted_at: row.get(11)?,
    })
}

pub(super) fn with_tags(db: &Connection, mut post: Post) -> rusqlite::Result<Post> {
    let mut labels = db.prepare_cached("select label from post_tags where post_id = ?1 order by place")?;
    post.text.tags = labels.query_map([&post.id], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(post)
}

/// A post by id, in the trash too.
///
/// # Errors
/// When the store does not answer.
pub fn find(db: &Connection, id: &str) -> anyhow::Result<Option<Post>> {
    let post = db
        .prepare_cached(&format!("select {COLUMNS} from posts where id = ?1"))?
        .query_row([id], from_row)
        .optional()?;
    Ok(post.map(|post| with_tags(db, post)).transpose()?)
}

/// What is at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The post whose present address this is.
    Here(Box<Post>),
    /// A post that has moved.
    Moved(Box<Post>),
    /// A post that was deleted for good.
    Gone,
}

/// What is, or was, at an address; the caller decides who may see it.
///
/// # Errors
/// When the store does not answer.
pub fn at(db: &Connection, address: &Address) -> anyhow::Result<Option<Found>> {
    let mut lookup = db.prepare_cached("select post_id from post_addresses where year = ?1 and slug = ?2")?;
    let owner: Option<Option<String>> =
        lookup.query_row(params![address.year, address.slug], |row| row.get(0)).optional()?;
    let Some(owner) = owner else { return Ok(None) };
    let Some(id) = owner else { return Ok(Some(Found::Gone)) };
    let post = Box::new(find(db, &id)?.context("an address belongs to a post")?);
    let here = post.address.as_ref() == Some(address);
    Ok(Some(if here { Found::Here(post) } else { Found::Moved(post) }))
}

/// Earlier addresses of a post.
///
/// # Errors
/// When the store does not answer.
pub fn old_addresses(db: &Connection, post: &Post) -> anyhow::Result<Vec<Address>> {
    let mut all = db.prepare_cached("select year, slug from post_addresses where post_id = ?1 order by year, slug")?;
    let all = all.query_map([&post.id], |row| Ok(Address { year: row.get(0)?, slug: row.get(1)? }))?;
    let all: Vec<Address> = all.collect::<Result<_, _>>()?;
    Ok(all.into_iter().filter(|address| Some(address) != post.address.as_ref()).collect())
}

/// Addresses of posts that were deleted for good.
///
/// # Errors
/// When the store does not answer.
pub fn gone_addresses(db: &Connection) -> anyhow::Result<Vec<Address>> {
    let mut all = db.prepare("select year, slug from post_addresses where post_id is null order by year, slug")?;
    let all = all.query_map([], |row| Ok(Address { year: row.get(0)?, slug: row.get(1)? }))?;
    Ok(all.collect::<Result<_, _>>()?)
}

/// Unpublished changes to a published post.
///
/// # Errors
/// When the store does not answer.
pub fn pending(db: &Connection, id: &str) -> anyhow::Result<Option<(Draft, DateTime<Utc>)>> {
    let mut row =
        db.prepare_cached("select title, body, tags, visibility, saved_at from post_drafts where post_id = ?1")?;
    let row = row.query_row([id], |row| {
        let tags: String = row.get(2)?;
        let tags = serde_json::from_str(&tags).unwrap_or_default();
        Ok((Draft { title: row.get(0)?, body: row.get(1)?, tags, visibility: row.get(3)? }, row.get(4)?))
    });
    Ok(row.optional()?)
}

/// Checks that the editor started from what is stored; returns the post, if there is one yet.
fn current(tx: &Transaction<'_>, id: &str, base: i64) -> Result<Option<Post>, Error> {
    let post = find(tx, id)?;
    match &post {
        Some(post) if post.revision != base => Err(Error::Stale(post.revision)),
        None if base != 0 => Err(Error::Missing),
        _ => Ok(post),
    }
}

/// Keeps what the editor holds without showing it to anybody. `base`: the revision that the editor started from (0: none).
///
/// # Errors
/// [`Error::Stale`] when it was saved elsewhere meanwhile.
pub fn save_draft(tx: &Transaction<'_>, id: &str, base: i64, draft: &Draft, now: DateTime<Utc>) -> Result<Post, Error> {
    let now = now.trunc_subsecs(0);
    let post = match current(tx, id, base)? {
        Some(post) if post.status == Status::Published => {
            put_pending(tx, id, draft, now)?;
            tx.execute("update posts set revision = revision + 1 where id = ?1", [id])?;
            Post { revision: post.revision + 1, ..post }
        }
        Some(post) => Post { revision: post.revision + 1, text: draft.clone(), updated_at: now, ..post },
        None => Post {
            id: id.to_owned(),
            revision: 1,
            text: draft.clone(),
            created_at: now,
            updated_at: now,
            ..Post::default()
        },
    };
    put(tx, &post)?;
    Ok(post)
}

/// Publishes what the editor holds. `slug`: the address part that the owner chose; none keeps it or makes it from the title.
///
/// # Errors
/// [`Error::Stale`] when it was saved elsewhere meanwhile; [`Error::AddressTaken`].
pub fn publish(
    tx: &Transaction<'_>,
    id: &str,
    base: i64,
    draft: &Draft,
    slug: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Post, Error> {
    let now = now.trunc_subsecs(0);
    let before = current(tx, id, base)?;
    let mut post = before.unwrap_or_else(|| Post { id: id.to_owned(), created_at: now, ..Post::default() });
    let year = post.address.as_ref().map_or(now.year(), |address| address.year);
    let address = match (slug.map(text::slug), post.address.take()) {
        (Some(slug), _) => {
            let address = Address { year, slug };
            if is_taken(tx, &address, id)? {
                return Err(Error::AddressTaken);
            }
            address
        }
        (None, Some(address)) => address,
        (None, None) => free_address_for(tx, id, &Address { year, slug: text::slug(&draft.title) })?,
    };
    post = Post {
        revision: post.revision + 1,
        text: draft.clone(),
        status: Status::Published,
        address: Some(address),
        updated_at: now,
        published_at: post.published_at.or(Some(now)),
        ..post
    };
    tx.execute("delete from post_drafts where post_id = ?1", [id])?;
    put(tx, &post)?;
    Ok(post)
}

fn is_taken(tx: &Transaction<'_>, address: &Address, id: &str) -> Result<bool, Error> {
    let sql = "select count(*) from post_addresses where year = ?1 and slug = ?2 and post_id is not ?3";
    let taken: i64 = tx.prepare_cached(sql)?.query_row(params![address.year, address.slug, id], |row| row.get(0))?;
    Ok(taken > 0)
}

/// The first of `slug`, `slug-2`, `slug-3`… that no other post has or had.
///
/// # Errors
/// When the store does not answer.
pub fn free_address_for(tx: &Transaction<'_>, id: &str, wanted: &Address) -> Result<Address, Error> {
    for n in 1..10_000 {
        let slug = if n == 1 { wanted.slug.clone() } else { format!("{}-{n}", wanted.slug) };
        let address = Address { slug, year: wanted.year };
        if !is_taken(tx, &address, id)? {
            return Ok(address);
        }
    }
    Err(Error::AddressTaken)
}

/// Writes a post whole, with its tags, address and pictures.
///
/// # Errors
/// When the store does not answer or a rule of the tables is broken.
pub fn put(tx: &Transaction<'_>, post: &Post) -> Result<(), Error> {
    let (year, slug) = post.address.as_ref().map(|a| (a.year, a.slug.as_str())).unzip();
    tx.prepare_cached(
        "insert into posts (id, revision, title, body, status, visibility, year, slug, created_at, updated_at, published_at, deleted_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         on conflict (id) do update set revision = ?2, title = ?3, body = ?4, status = ?5, visibility = ?6,
         year = ?7, slug = ?8, created_at = ?9, updated_at = ?10, published_at = ?11, deleted_at = ?12",
    )?
    .execute(params![
        post.id, post.revision, post.text.title, post.text.body, post.status, post.text.visibility,
        year, slug, post.created_at, post.updated_at, post.published_at, post.deleted_at,
    ])?;
    if let Some(address) = &post.address {
        put_address(tx, address, Some(&post.id))?;
    }
    tx.execute("delete from post_tags where post_id = ?1", [&post.id])?;
    let mut tag = tx.prepare_cached("insert into post_tags (post_id, slug, label, place) values (?1, ?2, ?3, ?4)")?;
    for (place, label) in (0_i64..).zip(&post.text.tags) {
        tag.execute(params![post.id, text::slug(label), label, place])?;
    }
    refresh_uses(tx, &post.id)
}

/// Remembers an address; one that is known keeps its post.
///
/// # Errors
/// When the store does not answer.
pub fn put_address(tx: &Transaction<'_>, address: &Address, post: Option<&str>) -> Result<(), Error> {
    let sql = "insert into post_addresses (year, slug, post_id) values (?1, ?2, ?3) on conflict do nothing";
    tx.prepare_cached(sql)?.execute(params![address.year, address.slug, post])?;
    Ok(())
}

/// Writes unpublished changes to a published post.
///
/// # Errors
/// When the store does not answer.
pub fn put_pending(tx: &Transaction<'_>, id: &str, draft: &Draft, now: DateTime<Utc>) -> Result<(), Error> {
    let tags = serde_json::to_string(&draft.tags).context("tags as JSON")?;
    tx.prepare_cached(
        "insert into post_drafts (post_id, title, body, tags, visibility, saved_at) values (?1, ?2, ?3, ?4, ?5, ?6)
         on conflict (post_id) do update set title = ?2, body = ?3, tags = ?4, visibility = ?5, saved_at = ?6",
    )?
    .execute(params![id, draft.title, draft.body, tags, draft.visibility, now])?;
    refresh_uses(tx, id)
}

fn refresh_uses(tx: &Transaction<'_>, id: &str) -> Result<(), Error> {
    let body: String = tx.query_row("select body from posts where id = ?1", [id], |row| row.get(0))?;
    let draft: Option<String> =
        tx.query_row("select body from post_drafts where post_id = ?1", [id], |row| row.get(0)).optional()?;
    let shown = markdown::images(&body);
    let all: BTreeSet<Hash> =
        shown.iter().copied().chain(draft.iter().flat_map(|body| markdown::images(body))).collect();
    tx.execute("delete from post_uses where post_id = ?1", [id])?;
    let mut insert = tx.prepare_cached("insert into post_uses (post_id, sha256, shown) values (?1, ?2, ?3)")?;
    for hash in all {
        insert.execute(params![id, hash, shown.contains(&hash)])?;
    }
    Ok(())
}

/// Drops unpublished changes; the published text stays.
///
/// # Errors
/// When the store does not answer.
pub fn discard_pending(tx: &Transaction<'_>, id: &str) -> Result<(), Error> {
    tx.execute("delete from post_drafts where post_id = ?1", [id])?;
    tx.execute("update posts set revision = revision + 1 where id = ?1", [id])?;
    refresh_uses(tx, id)
}

/// Puts a post into the trash (`Some`) or takes it out (`None`).
///
/// # Errors
/// [`Error::Missing`] when there is no such post.
pub fn set_deleted(tx: &Transaction<'_>, id: &str, at: Option<DateTime<Utc>>) -> Result<(), Error> {
    let at = at.map(|at| at.trunc_subsecs(0));
    let sql = "update posts set deleted_at = ?2, revision = revision + 1 where id = ?1 and (deleted_at is null) != (?2 is null)";
    if tx.execute(sql, params![id, at])? == 0 && find(tx, id)?.is_none() {
        return Err(Error::Missing);
    }
    Ok(())
}

/// Removes a post that is in the trash for good; its public addresses then answer "gone".
///
/// # Errors
/// When the store does not answer.
pub fn purge(tx: &Transaction<'_>, id: &str) -> Result<(), Error> {
    let Some(post) = find(tx, id)?.filter(|post| post.deleted_at.is_some()) else { return Ok(()) };
    let was_open = Post { deleted_at: None, ..post }.is_open();
    let sql = match was_open {
        true => "update post_addresses set post_id = null where post_id = ?1",
        false => "delete from post_addresses where post_id = ?1",
    };
    tx.execute(sql, [id])?;
    tx.execute("delete from posts where id = ?1", [id])?;
    Ok(())
}

/// Removes posts that were in the trash long enough.
///
/// # Errors
/// When the store does not answer.
pub fn tidy(tx: &Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
    let mut old = tx.prepare("select id from posts where deleted_at < ?1")?;
    let old = old.query_map([now - TimeDelta::days(TRASH_DAYS)], |row| row.get(0))?;
    for id in old.collect::<Result<Vec<String>, _>>()? {
        purge(tx, &id)?;
    }
    Ok(())
}

/// When [`tidy`] will next find something to do.
///
/// # Errors
/// When the tables cannot be read.
pub fn due(db: &Connection) -> anyhow::Result<Option<DateTime<Utc>>> {
    crate::due::first(db, "select min(deleted_at) from posts", TimeDelta::days(TRASH_DAYS))
}
