//! Which posts a list shows, and what else is known of all posts: years, tags, neighbours.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    Address, Post,
    store::{COLUMNS, from_row, with_tags},
};

/// Which posts a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// All that are not in the trash; for the owner.
    #[default]
    All,
    /// Not published yet; for the owner.
    Drafts,
    /// Published, whoever may read them; for the owner.
    Published,
    /// In the trash; for the owner.
    Trash,
    /// On Home.
    Listed,
    /// On Home, of one year.
    Year(i32),
    /// On Home, with one tag.
    Tag(String),
}

impl Which {
    fn condition(&self) -> &'static str {
        match self {
            Self::All => "deleted_at is null and ?1 is null",
            Self::Drafts => "deleted_at is null and status = 'draft' and ?1 is null",
            Self::Published => "deleted_at is null and status = 'published' and ?1 is null",
            Self::Trash => "deleted_at is not null and ?1 is null",
            Self::Listed => "deleted_at is null and status = 'published' and visibility = 'public' and ?1 is null",
            Self::Year(_) => "deleted_at is null and status = 'published' and visibility = 'public' and year = ?1",
            Self::Tag(_) => {
                "deleted_at is null and status = 'published' and visibility = 'public'
                 and id in (select post_id from post_tags where slug = ?1)"
            }
        }
    }

    fn order(&self) -> &'static str {
        match self {
            Self::All | Self::Drafts => "updated_at desc, id",
            Self::Trash => "deleted_at desc, id",
            Self::Published | Self::Listed | Self::Year(_) | Self::Tag(_) => "published_at desc, id",
        }
    }

    fn argument(&self) -> Option<rusqlite::types::Value> {
        match self {
            Self::Year(year) => Some(i64::from(*year).into()),
            Self::Tag(slug) => Some(slug.clone().into()),
            _ => None,
        }
    }
}

/// A part of a list: posts whose title or text holds every one of `words`, and how many there are in all.
///
/// # Errors
/// When the store does not answer.
pub fn list(
    db: &Connection,
    which: &Which,
    words: &str,
    skip: usize,
    most: usize,
) -> anyhow::Result<(Vec<Post>, usize)> {
    let matching = "(?2 = '' or instr(lower(title || char(10) || body), lower(?2)) > 0)";
    let condition = which.condition();
    let count = format!("select count(*) from posts where {condition} and {matching}");
    let total: i64 = db.prepare_cached(&count)?.query_row(params![which.argument(), words], |row| row.get(0))?;
    let page = format!(
        "select {COLUMNS} from posts where {condition} and {matching} order by {} limit ?3 offset ?4",
        which.order()
    );
    let mut page = db.prepare_cached(&page)?;
    let limits = (i64::try_from(most)?, i64::try_from(skip)?);
    let posts = page.query_map(params![which.argument(), words, limits.0, limits.1], from_row)?;
    let posts = posts.map(|post| with_tags(db, post?)).collect::<Result<_, _>>()?;
    Ok((posts, usize::try_from(total)?))
}

/// Years with posts on Home, latest first, with their number.
///
/// # Errors
/// When the store does not answer.
pub fn years(db: &Connection) -> anyhow::Result<Vec<(i32, i64)>> {
    let mut all = db.prepare_cached(
        "select year, count(*) from posts
         where deleted_at is null and status = 'published' and visibility = 'public' group by year order by year desc",
    )?;
    Ok(all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?)
}

/// A tag: its address part, how the latest post writes it, how many posts have it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TagCount {
    /// The address part.
    pub slug: String,
    /// The word.
    pub label: String,
    /// Posts.
    pub count: i64,
}

/// Tags: of posts on Home, or (`all`, for the owner's suggestions) of every post.
///
/// # Errors
/// When the store does not answer.
pub fn tags(db: &Connection, all: bool) -> anyhow::Result<Vec<TagCount>> {
    let mut tags = db.prepare_cached(
        "select t.slug, t.label, count(*), max(p.created_at) from post_tags t join posts p on p.id = t.post_id
         where p.deleted_at is null and (?1 or (p.status = 'published' and p.visibility = 'public'))
         group by t.slug order by count(*) desc, t.slug",
    )?;
    let tags =
        tags.query_map([all], |row| Ok(TagCount { slug: row.get(0)?, label: row.get(1)?, count: row.get(2)? }))?;
    Ok(tags.collect::<Result<_, _>>()?)
}

/// When anything that readers may have seen changed last; deletions count.
///
/// # Errors
/// When the store does not answer.
pub fn changed_at(db: &Connection) -> anyhow::Result<DateTime<Utc>> {
    let sql = "select max(updated_at), max(deleted_at) from posts";
    let at: (Option<DateTime<Utc>>, Option<DateTime<Utc>>) =
        db.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(at.0.max(at.1).unwrap_or_default())
}

/// A post on Home as a link: path and title.
pub type Neighbour = Option<(String, String)>;

/// The posts on Home right after and right before one.
///
/// # Errors
/// When the store does not answer.
pub fn neighbours(db: &Connection, post: &Post) -> anyhow::Result<(Neighbour, Neighbour)> {
    let listed = "select year, slug, title from posts where deleted_at is null and status = 'published' and visibility = 'public'";
    let one = |condition: &str| -> anyhow::Result<Neighbour> {
        let mut query = db.prepare_cached(&format!("{listed} and {condition} limit 1"))?;
        let found = query.query_row(params![post.published_at, post.id], |row| {
            Ok((Address { year: row.get(0)?, slug: row.get(1)? }.path(), row.get(2)?))
        });
        Ok(found.optional()?)
    };
    let newer = one("(published_at > ?1 or published_at = ?1 and id < ?2) order by published_at, id desc")?;
    let older = one("(published_at < ?1 or published_at = ?1 and id > ?2) order by published_at desc, id")?;
    Ok((newer, older))
}
