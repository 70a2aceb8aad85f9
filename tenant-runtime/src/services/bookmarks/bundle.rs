//! Bookmarks in a bundle: `bookmarks.json` is the source, `bookmarks.html` is for browsers (and read when it stands alone).

use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::{Connection, Transaction};
use serde::{Deserialize, Serialize, Serializer};

use super::{Bookmark, Entry, Visibility, netscape, store, urls};
use crate::{
    exports::Folder,
    imports::{Counts, Section, plain},
    text,
};

const JSON: &str = "bookmarks/bookmarks.json";
const HTML: &str = "bookmarks/bookmarks.html";

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    bookmarks: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    id: String,
    revision: i64,
    #[serde(flatten)]
    entry: Entry,
    #[serde(serialize_with = "seconds")]
    created: DateTime<Utc>,
    #[serde(serialize_with = "seconds")]
    updated: DateTime<Utc>,
    #[serde(default, serialize_with = "maybe_seconds", skip_serializing_if = "Option::is_none")]
    deleted: Option<DateTime<Utc>>,
}

fn seconds<S: Serializer>(at: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn maybe_seconds<S: Serializer>(at: &Option<DateTime<Utc>>, to: S) -> Result<S::Ok, S::Error> {
    seconds(&at.unwrap_or_default(), to)
}

/// Names everything.
///
/// # Errors
/// When the store does not answer.
pub fn export(db: &Connection, out: &mut Folder) -> anyhow::Result<()> {
    let all = store::all(db)?;
    if all.is_empty() {
        return Ok(());
    }
    let lines = all.iter().map(|bookmark| Line {
        id: bookmark.id.clone(),
        revision: bookmark.revision,
        entry: bookmark.entry.clone(),
        created: bookmark.created_at,
        updated: bookmark.updated_at,
        deleted: bookmark.deleted_at,
    });
    let mut json = serde_json::to_vec_pretty(&File { version: 1, bookmarks: lines.collect() })?;
    json.push(b'\n');
    out.text(JSON, json);
    let mut shown: Vec<&Bookmark> = all.iter().filter(|bookmark| bookmark.deleted_at.is_none()).collect();
    shown.sort_by(|a, b| (b.created_at, &a.id).cmp(&(a.created_at, &b.id)));
    if shown.iter().any(|bookmark| bookmark.entry.visibility == Visibility::Public) {
        out.urls.push(("/bookmarks".into(), 200, HTML.into()));
    }
    out.text(HTML, netscape::write("Bookmarks", shown));
    Ok(())
}

/// Takes everything in that is not here already, or here in an older revision.
///
/// # Errors
/// When the store does not answer.
pub fn import(tx: &Transaction<'_>, from: &Section<'_>) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    if let Some(json) = from.read(JSON)? {
        match serde_json::from_slice::<File>(&json) {
            Ok(file) => file.bookmarks.into_iter().try_for_each(|line| take(tx, line, from.now, &mut counts))?,
            Err(_) => {
                counts.counted += 1;
                counts.refused.push((JSON.to_owned(), "bookmarks.import.unreadable".to_owned()));
            }
        }
    } else if let Some(html) = from.read(HTML)? {
        take_file(tx, &String::from_utf8_lossy(&html), Visibility::Private, from.now, &mut counts)?;
    }
    Ok(counts)
}

fn take(tx: &Transaction<'_>, line: Line, now: DateTime<Utc>, counts: &mut Counts) -> anyhow::Result<()> {
    counts.counted += 1;
    let Some(url) = urls::link(&line.entry.url).filter(|_| text::is_id(&line.id)) else {
        counts.refused.push((text::line(&line.entry.url, 200), "bookmarks.import.no-link".to_owned()));
        return Ok(());
    };
    let entry = Entry { url, ..line.entry }.tidied();
    let revision = line.revision.clamp(1, i64::from(i32::MAX));
    if store::find(tx, &line.id)?.is_some_and(|known| known.revision >= revision) {
        counts.preserved += 1;
        return Ok(());
    }
    let same_page = store::of_page(tx, &entry.url)?.is_some_and(|other| other.id != line.id);
    if same_page && line.deleted.is_none() {
        store::add(tx, entry, plain(line.created), now)?;
        counts.transformed += 1;
        return Ok(());
    }
    let (created_at, updated_at, deleted_at) = (plain(line.created), plain(line.updated), line.deleted.map(plain));
    store::put(tx, &Bookmark { id: line.id, revision, entry, created_at, updated_at, deleted_at })?;
    counts.imported += 1;
    Ok(())
}

/// Takes a Netscape file in; pages that are bookmarked already are merged.
///
/// # Errors
/// When the store does not answer.
pub fn take_file(
    tx: &Transaction<'_>,
    html: &str,
    visibility: Visibility,
    now: DateTime<Utc>,
    counts: &mut Counts,
) -> anyhow::Result<()> {
    let file = netscape::read(html, visibility);
    for (url, title) in file.refused {
        counts.counted += 1;
        let name = if title.is_empty() { url } else { title };
        counts.refused.push((name, "bookmarks.import.no-link".to_owned()));
    }
    for item in file.items {
        counts.counted += 1;
        let created_at = item.created_at.filter(|at| *at <= now).unwrap_or(now);
        match store::add(tx, item.entry, created_at, now)?.1 {
            store::Added::New => counts.imported += 1,
            store::Added::Merged => counts.transformed += 1,
            store::Added::Known => counts.preserved += 1,
        }
    }
    Ok(())
}
