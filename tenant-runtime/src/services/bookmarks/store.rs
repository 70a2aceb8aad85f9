//! The bookmarks' tables.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::{Bookmark, Entry, TRASH_DAYS, Visibility, urls};
use crate::text;

/// Which bookmarks a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In the trash instead of those that are not.
    pub trash: bool,
    /// Public ones only.
    pub public_only: bool,
    /// With this tag (its address part).
    pub tag: Option<String>,
    /// Every word of this is somewhere in it.
    pub words: String,
}

const COLUMNS: &str = "id, revision, url, title, note, visibility, created_at, updated_at, deleted_at";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Bookmark> {
    Ok(Bookmark {
        id: row.get(0)?,
        revision: row.get(1)?,
        entry: Entry {
            url: row.get(2)?,
            title: row.get(3)?,
            note: row.get(4)?,
            tags: Vec::new(),
            visibility: row.get(5)?,
        },
        created_at: row.get(6)?,
        updated_at: row.get(7)?,
        deleted_at: row.get(8)?,
    })
}

fn with_tags(db: &Connection, mut bookmark: Bookmark) -> rusqlite::Result<Bookmark> {
    let mut labels = db.prepare_cached("select label from bookmark_tags where bookmark_id = ?1 order by place")?;
    bookmark.entry.tags = labels.query_map([&bookmark.id], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(bookmark)
}

/// A bookmark by id, in the trash too.
///
/// # Errors
/// When the store does not answer.
pub fn find(db: &Connection, id: &str) -> anyhow::Result<Option<Bookmark>> {
    let sql = format!("select {COLUMNS} from bookmarks where id = ?1");
    let found = db.prepare_cached(&sql)?.query_row([id], from_row).optional()?;
    Ok(found.map(|bookmark| with_tags(db, bookmark)).transpose()?)
}

/// The bookmark of the same page, if there is one outside the trash.
///
/// # Errors
/// When the store does not answer.
pub fn of_page(db: &Connection, url: &str) -> anyhow::Result<Option<Bookmark>> {
    let sql = format!("select {COLUMNS} from bookmarks where url_key = ?1 and deleted_at is null");
    let found = db.prepare_cached(&sql)?.query_row([urls::key(url)], from_row).optional()?;
    Ok(found.map(|bookmark| with_tags(db, bookmark)).transpose()?)
}

/// Everything, by id, in the trash too; for a bundle.
///
/// # Errors
/// When the store does not answer.
pub fn all(db: &Connection) -> anyhow::Result<Vec<Bookmark>> {
    let sql = format!("select {COLUMNS} from bookmarks order by id");
    let mut all = db.prepare(&sql)?;
    let all = all.query_map([], from_row)?;
    Ok(all.map(|bookmark| with_tags(db, bookmark?)).collect::<Result<_, _>>()?)
}

/// A part of a list, latest first, and how many there are in all.
///
/// # Errors
/// When the store does not answer.
pub fn list(db: &Connection, filter: &Filter, skip: usize, most: usize) -> anyhow::Result<(Vec<Bookmark>, usize)> {
    let words: Vec<String> = filter.words.split_whitespace().map(text::search_form).take(12).collect();
    // ?1 trash, ?2 public only, ?3 tag, ?4 and ?5 the page; from ?6 on the words.
    let mut condition = String::from(
        "(deleted_at is not null) = ?1 and (not ?2 or visibility = 'public')
         and (?3 is null or id in (select bookmark_id from bookmark_tags where slug = ?3))",
    );
    for number in 0..words.len() {
        condition.push_str(&format!(" and instr(haystack, ?{}) > 0", number + 6));
    }
    let (skip, most) = (i64::try_from(skip)?, i64::try_from(most)?);
    let mut arguments: Vec<&dyn rusqlite::ToSql> = vec![&filter.trash, &filter.public_only, &filter.tag, &most, &skip];
    arguments.extend(words.iter().map(|word| word as &dyn rusqlite::ToSql));
    let count = format!("select count(*) from bookmarks where {condition} and (?4 is not null or ?5 is not null)");
    let total: i64 = db.prepare_cached(&count)?.query_row(&*arguments, |row| row.get(0))?;
    let page =
        format!("select {COLUMNS} from bookmarks where {condition} order by created_at desc, id limit ?4 offset ?5");
    let mut page = db.prepare_cached(&page)?;
    let found = page.query_map(&*arguments, from_row)?;
    let found = found.map(|bookmark| with_tags(db, bookmark?)).collect::<Result<_, _>>()?;
    Ok((found, usize::try_from(total)?))
}

/// A tag: its address part, how the latest bookmark writes it, how many have it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TagCount {
    /// The address part.
    pub slug: String,
    /// The word.
    pub label: String,
    /// Bookmarks.
    pub count: i64,
}

/// The tags in use, most used first.
///
/// # Errors
/// When the store does not answer.
pub fn tags(db: &Connection, public_only: bool) -> anyhow::Result<Vec<TagCount>> {
    let mut tags = db.prepare_cached(
        "select t.slug, t.label, count(*), max(b.created_at) from bookmark_tags t join bookmarks b on b.id = t.bookmark_id
         where b.deleted_at is null and (not ?1 or b.visibility = 'public') group by t.slug order by count(*) desc, t.slug",
    )?;
    let tags = tags
        .query_map([public_only], |row| Ok(TagCount { slug: row.get(0)?, label: row.get(1)?, count: row.get(2)? }))?;
    Ok(tags.collect::<Result<_, _>>()?)
}

/// What became of an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is new.
    New,
    /// The page was bookmarked; what is new was added to it.
    Merged,
    /// The page was bookmarked with all of that.
    Known,
}

/// Adds a bookmark, or adds what is new (tags, note, title) to the one of the same page. Adding never makes a private one public.
///
/// # Errors
/// When the store does not answer.
pub fn add(
    tx: &Transaction<'_>,
    entry: Entry,
    created_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> anyhow::Result<(Bookmark, Added)> {
    let entry = entry.tidied();
    let now = now.trunc_subsecs(0);
    let Some(known) = of_page(tx, &entry.url)? else {
        let created_at = created_at.trunc_subsecs(0);
        let new = Bookmark { id: text::new_id(), revision: 1, entry, created_at, updated_at: now, deleted_at: None };
        put(tx, &new)?;
        return Ok((new, Added::New));
    };
    let merged = merge(&known.entry, &entry);
    if merged == known.entry {
        return Ok((known, Added::Known));
    }
    let merged = Bookmark { revision: known.revision + 1, entry: merged, updated_at: now, ..known };
    put(tx, &merged)?;
    Ok((merged, Added::Merged))
}

fn merge(known: &Entry, new: &Entry) -> Entry {
    let tags = known.tags.iter().chain(&new.tags).map(String::as_str);
    let note = match (known.note.as_str(), new.note.as_str()) {
        (known, new) if known.contains(new) => known.to_owned(),
        ("", new) => new.to_owned(),
        (known, new) => format!("{known}\n\n{new}"),
    };
    let title = if known.title.is_empty() { &new.title } else { &known.title };
    Entry {
        url: known.url.clone(),
        title: title.clone(),
        note,
        tags: tags.map(str::to_owned).collect(),
        visibility: known.visibility,
    }
    .tidied()
}

/// Why an edit was not made.
#[derive(Debug, PartialEq, Eq)]
pub enum Edited {
    /// It was.
    Done,
    /// There is no such bookmark.
    Missing,
    /// Another bookmark has this page.
    Duplicate(String),
}

/// Replaces what a bookmark says.
///
/// # Errors
/// When the store does not answer.
pub fn edit(tx: &Transaction<'_>, id: &str, entry: Entry, now: DateTime<Utc>) -> anyhow::Result<Edited> {
    let Some(known) = find(tx, id)? else { return Ok(Edited::Missing) };
    if let Some(other) = of_page(tx, &entry.url)?.filter(|other| other.id != id) {
        return Ok(Edited::Duplicate(other.id));
    }
    put(
        tx,
        &Bookmark { revision: known.revision + 1, entry: entry.tidied(), updated_at: now.trunc_subsecs(0), ..known },
    )?;
    Ok(Edited::Done)
}

/// Writes a bookmark whole, with its tags.
///
/// # Errors
/// When the store does not answer, or another bookmark outside the trash has the same page.
pub fn put(tx: &Transaction<'_>, bookmark: &Bookmark) -> anyhow::Result<()> {
    let Bookmark { id, revision, entry, created_at, updated_at, deleted_at } = bookmark;
    let haystack =
        [&entry.title, &entry.url, &entry.note, &entry.tags.join(" ")].map(|part| text::search_form(part)).join("\n");
    tx.prepare_cached(
        "insert into bookmarks (id, revision, url, url_key, title, note, visibility, haystack, created_at, updated_at, deleted_at)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         on conflict (id) do update set revision = ?2, url = ?3, url_key = ?4, title = ?5, note = ?6, visibility = ?7,
         haystack = ?8, created_at = ?9, updated_at = ?10, deleted_at = ?11",
    )?
    .execute(params![
        id, revision, entry.url, urls::key(&entry.url), entry.title, entry.note, entry.visibility, haystack,
        created_at, updated_at, deleted_at
    ])?;
    tx.execute("delete from bookmark_tags where bookmark_id = ?1", [id])?;
    let mut tag =
        tx.prepare_cached("insert into bookmark_tags (bookmark_id, slug, label, place) values (?1, ?2, ?3, ?4)")?;
    for (place, label) in (0_i64..).zip(&entry.tags) {
        tag.execute(params![id, text::slug(label), label, place])?;
    }
    Ok(())
}

/// Puts a bookmark into the trash.
///
/// # Errors
/// When the store does not answer.
pub fn delete(tx: &Transaction<'_>, id: &str, now: DateTime<Utc>) -> anyhow::Result<bool> {
    let sql = "update bookmarks set deleted_at = ?2, revision = revision + 1 where id = ?1 and deleted_at is null";
    Ok(tx.execute(sql, params![id, now.trunc_subsecs(0)])? == 1)
}

/// Takes a bookmark out of the trash; when its page was bookmarked again meanwhile, the two become one.
///
/// # Errors
/// When the store does not answer.
pub fn restore(tx: &Transaction<'_>, id: &str, now: DateTime<Utc>) -> anyhow::Result<bool> {
    let Some(deleted) = find(tx, id)?.filter(|bookmark| bookmark.deleted_at.is_some()) else { return Ok(false) };
    if of_page(tx, &deleted.entry.url)?.is_some() {
        add(tx, deleted.entry, deleted.created_at, now)?;
        tx.execute("delete from bookmarks where id = ?1", [id])?;
        return Ok(true);
    }
    put(tx, &Bookmark { revision: deleted.revision + 1, deleted_at: None, ..deleted })?;
    Ok(true)
}

/// Shows or hides a bookmark.
///
/// # Errors
/// When the store does not answer.
pub fn set_visibility(
    tx: &Transaction<'_>,
    id: &str,
    visibility: Visibility,
    now: DateTime<Utc>,
) -> anyhow::Result<bool> {
    let sql = "update bookmarks set visibility = ?2, updated_at = ?3, revision = revision + 1 where id = ?1 and deleted_at is null";
    Ok(tx.execute(sql, params![id, visibility, now.trunc_subsecs(0)])? == 1)
}

/// Removes what was in the trash long enough.
///
/// # Errors
/// When the store does not answer.
pub fn tidy(tx: &Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
    tx.execute("delete from bookmarks where deleted_at < ?1", [now - TimeDelta::days(TRASH_DAYS)])?;
    Ok(())
}

/// When [`tidy`] will next find something to do.
///
/// # Errors
/// When the tables cannot be read.
pub fn due(db: &Connection) -> anyhow::Result<Option<DateTime<Utc>>> {
    crate::due::first(db, "select min(deleted_at) from bookmarks", TimeDelta::days(TRASH_DAYS))
}

/// Removes a bookmark that is in the trash for good.
///
/// # Errors
/// When the store does not answer.
pub fn purge(tx: &Transaction<'_>, id: &str) -> anyhow::Result<()> {
    tx.execute("delete from bookmarks where id = ?1 and deleted_at is not null", [id])?;
    Ok(())
}
