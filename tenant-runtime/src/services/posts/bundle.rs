//! Posts in a bundle (`data/blog/`). The source is `posts/*.md` and `uploads/`, besides `drafts/` (changes not published
//! yet), `trash/` and `gone.txt`; feeds, `index.html` and `site.wxr.xml` are derived from them for other programs and never read.

use std::{collections::BTreeSet, fmt::Write};

use anyhow::Context;
use rusqlite::{Connection, Transaction};

use super::{
    Address, Post, Status,
    feeds::{self, Site},
    front_matter,
    images::{self, Kind},
    markdown,
    pictures::{self, Picture},
    store::{self, Which},
    wxr,
};
use crate::{
    exports::Folder,
    imports::{Counts, Section},
    text,
};

const POSTS: &str = "blog/posts/";
const TRASH: &str = "blog/trash/";
const DRAFTS: &str = "blog/drafts/";
const UPLOADS: &str = "blog/uploads/";
const GONE: &str = "blog/gone.txt";

/// Names everything.
///
/// # Errors
/// When the store does not answer.
pub fn export(db: &Connection, site: &Site, out: &mut Folder) -> anyhow::Result<()> {
    let (mut posts, _) = store::list(db, &Which::All, "", 0, usize::MAX >> 1)?;
    let (mut trash, _) = store::list(db, &Which::Trash, "", 0, usize::MAX >> 1)?;
    let pictures = pictures::used(db)?;
    let gone = store::gone_addresses(db)?;
    if posts.is_empty() && trash.is_empty() && gone.is_empty() {
        return Ok(());
    }
    posts.sort_by(|a, b| (b.published_at, &b.id).cmp(&(a.published_at, &a.id)));
    trash.sort_by(|a, b| a.id.cmp(&b.id));
    for post in posts.iter().chain(&trash) {
        let old = store::old_addresses(db, post)?;
        out.text(file_name(post), front_matter::write(post, &old)?);
        if let Some((draft, saved_at)) = store::pending(db, &post.id)? {
            let draft = Post { text: draft, updated_at: saved_at, status: Status::Draft, ..post.clone() };
            out.text(format!("{DRAFTS}{}.md", post.id), front_matter::write(&draft, &[])?);
        }
        urls_of(post, &old, out);
    }
    for picture in &pictures {
        out.blob(format!("{UPLOADS}{}", picture.file_name()), picture.blob);
        if pictures::is_public(db, &picture.blob.sha256)? {
            out.urls.push((picture.path(), 200, format!("{UPLOADS}{}", picture.file_name())));
        }
    }
    if !gone.is_empty() {
        out.text(GONE, gone.iter().fold(String::new(), |all, address| all + &address.path() + "\n"));
        out.urls.extend(gone.iter().map(|address| (address.path(), 410, String::new())));
    }
    derived(db, site, &posts, &pictures, out)
}

/// Where a post lies in a bundle.
fn file_name(post: &Post) -> String {
    match (&post.address, post.deleted_at) {
        (_, Some(_)) => format!("{TRASH}{}.md", post.id),
        (Some(address), None) => {
            let day = post.published_at.map(|at| at.format("%Y-%m-%d").to_string()).unwrap_or_default();
            format!("{POSTS}{day}-{}.md", address.slug)
        }
        (None, None) => format!("{POSTS}draft-{}.md", post.id),
    }
}

fn urls_of(post: &Post, old: &[Address], out: &mut Folder) {
    let Some(path) = post.path().filter(|_| post.is_open()) else { return };
    out.urls.extend(old.iter().map(|address| (address.path(), 301, path.clone())));
    out.urls.push((path, 200, file_name(post)));
}

/// What other programs read.
fn derived(db: &Connection, site: &Site, posts: &[Post], pictures: &[Picture], out: &mut Folder) -> anyhow::Result<()> {
    let listed: Vec<Post> = posts.iter().filter(|post| post.is_listed()).cloned().collect();
    out.text("blog/feed.json", feeds::json(site, &listed));
    out.text("blog/feed.atom", feeds::atom(site, &listed));
    out.text("blog/site.wxr.xml", wxr::write(site, posts, pictures)?);
    out.text("blog/index.html", index(site, posts)?);
    let mut page = |path: String| out.urls.push((path, 200, "blog/index.html".to_owned()));
    page("/".into());
    page("/posts".into());
    store::years(db)?.into_iter().for_each(|(year, _)| page(format!("/posts/{year}")));
    store::tags(db, false)?.into_iter().for_each(|tag| page(format!("/tags/{}", text::escape(&tag.slug))));
    out.urls.push(("/feed.atom".into(), 200, "blog/feed.atom".into()));
    out.urls.push(("/feed.json".into(), 200, "blog/feed.json".into()));
    Ok(())
}

/// All posts on one page to read without any program of ours: the IndieWeb blog archive.
fn index(site: &Site, posts: &[Post]) -> anyhow::Result<String> {
    let title = escape(&site.title);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"{}\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src 'self' file:\">\n\
         <title>{title}</title>\n<main class=\"h-feed\">\n<h1 class=\"p-name\">{title}</h1>\n",
        site.language.unwrap_or("en")
    );
    for post in posts {
        let at = post.published_at.unwrap_or(post.updated_at).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let state = if post.status == Status::Draft { "draft" } else { post.text.visibility.as_str() };
        let body = markdown::html(&post.text.body);
        let body = front_matter::replace_before_hash(&body, "/media/", "uploads/");
        writeln!(
            out,
            "<article class=\"h-entry\">\n<h2 class=\"p-name\">{}</h2>\n<p><time class=\"dt-published\" datetime=\"{at}\">{}</time> · {state}</p>\n\
             <div class=\"e-content\">\n{body}</div>\n</article>",
            escape(&post.text.title),
            &at[..10],
        )?;
    }
    out.push_str("</main>\n</html>\n");
    Ok(out)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Takes everything in that is not here already, or here in an older revision.
///
/// # Errors
/// When the store does not answer.
pub fn import(tx: &Transaction<'_>, from: &Section<'_>) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    let paths: Vec<&String> = from.entries.keys().filter(|path| path.starts_with("blog/")).collect();
    for path in paths.iter().filter(|path| path.starts_with(UPLOADS)) {
        picture(tx, from, path, &mut counts)?;
    }
    let mut taken = BTreeSet::new();
    for path in paths
        .iter()
        .filter(|path| [POSTS, TRASH].iter().any(|folder| path.starts_with(folder)) && path.ends_with(".md"))
    {
        counts.counted += 1;
        match post(tx, from, path)? {
            Taken::New(id) => {
                counts.imported += 1;
                taken.insert(id);
            }
            Taken::Moved(id) => {
                counts.transformed += 1;
                taken.insert(id);
            }
            Taken::Known => counts.preserved += 1,
            Taken::Refused(why) => counts.refused.push(((*path).clone(), why)),
        }
    }
    for path in paths.iter().filter(|path| path.starts_with(DRAFTS)) {
        counts.counted += 1;
        match draft(tx, from, path, &taken)? {
            true => counts.imported += 1,
            false => counts.preserved += 1,
        }
    }
    if let Some(gone) = from.read(GONE)? {
        for address in String::from_utf8_lossy(&gone).lines().filter_map(Address::from_path) {
            store::put_address(tx, &address, None)?;
        }
    }
    Ok(counts)
}

fn picture(tx: &Transaction<'_>, from: &Section<'_>, path: &str, counts: &mut Counts) -> anyhow::Result<()> {
    counts.counted += 1;
    let Some(blob) = from.entries.get(path) else { return Ok(()) };
    let name = path.strip_prefix(UPLOADS).unwrap_or_default();
    let named = markdown::own_image(&format!("/media/{name}")).filter(|(hash, _)| *hash == blob.sha256);
    let small = usize::try_from(blob.size).is_ok_and(|size| size <= images::MOST_BYTES);
    let content = match named {
        Some(_) if small => from.read(path)?.unwrap_or_default(),
        _ => Vec::new(),
    };
    match named.filter(|(_, kind)| Kind::of(&content) == Some(*kind)) {
        None => counts.refused.push((path.to_owned(), "posts.import.no-picture".to_owned())),
        Some((hash, _)) if pictures::find(tx, &hash)?.is_some() => counts.preserved += 1,
        Some((_, kind)) => {
            let size = images::size(kind, &content);
            pictures::put(tx, &Picture { blob: *blob, kind, size }, from.now)?;
            counts.imported += 1;
        }
    }
    Ok(())
}

enum Taken {
    New(String),
    /// Its address belongs to another post here; it got a new one.
    Moved(String),
    Known,
    Refused(String),
}

fn stem(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default().trim_end_matches(".md")
}

fn post(tx: &Transaction<'_>, from: &Section<'_>, path: &str) -> anyhow::Result<Taken> {
    let content = from.read(path)?.context("an entry has content")?;
    let Ok((mut post, old)) = front_matter::read(stem(path), &content, from.now) else {
        return Ok(Taken::Refused("posts.import.no-post".to_owned()));
    };
    let known = store::find(tx, &post.id)?;
    if known.as_ref().is_some_and(|known| known.revision >= post.revision) {
        return Ok(Taken::Known);
    }
    let wanted = post.address.clone();
    if let Some(address) = &wanted {
        post.address = Some(store::free_address_for(tx, &post.id, address)?);
    }
    store::put(tx, &post)?;
    for address in &old {
        store::put_address(tx, address, Some(&post.id))?;
    }
    Ok(if post.address == wanted { Taken::New(post.id) } else { Taken::Moved(post.id) })
}

/// Unpublished changes come with the post that they belong to, or not at all.
fn draft(tx: &Transaction<'_>, from: &Section<'_>, path: &str, taken: &BTreeSet<String>) -> anyhow::Result<bool> {
    let content = from.read(path)?.unwrap_or_default();
    let Ok((draft, _)) = front_matter::read(stem(path), &content, from.now) else { return Ok(false) };
    if !taken.contains(&draft.id) {
        return Ok(false);
    }
    store::put_pending(tx, &draft.id, &draft.text, draft.updated_at)?;
    Ok(true)
}
