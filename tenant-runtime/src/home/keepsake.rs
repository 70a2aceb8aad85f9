//! Home as it was when the percloud fell asleep: whoever wakes it by asking for Home is answered before the database is opened
//! and a template read.
//!
//! A copy must never outlive what it is a copy of:
//!
//! - it is made last, when nobody is served any more, for a visitor without cookies, and put down once the database is closed;
//! - it names the program and the identity that it was made by, and the database's file as it was left, by number, size and times; where
//!   one of them is another, or a log lies beside the file, there is no keepsake;
//! - whoever opens the database to write removes it first ([`crate::store`]), and stops showing it.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Write},
    os::unix::fs::MetadataExt,
    path::Path,
};

use anyhow::Context;
use axum::{extract::Request, response::Response};
use bundle::TenantSpec;
use http::{Method, StatusCode, header};
use serde::{Deserialize, Serialize};
use ui::Lang;

use crate::{auth, imports, runtime::Runtime, store, web};

/// Where it lies in the data folder.
const FILE: &str = "home.kept";

/// What was kept of Home, and whether anything may be. By default there is none, and none is ever made.
#[derive(Debug, Default)]
pub struct Keepsake {
    /// Program and identity; none where nobody says which program this is, and nothing is kept.
    maker: Option<String>,
    pages: Pages,
}

/// Home by language.
pub(crate) type Pages = BTreeMap<String, String>;

/// The file's first line. The pages follow as they are, one behind the other: they are most of it, and need not be taken apart.
#[derive(Serialize, Deserialize)]
struct Head {
    maker: String,
    database: Seen,
    /// By language.
    bytes: BTreeMap<String, usize>,
}

/// A file as it was seen: what is written to it changes one of these.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds.
    written: (i64, i64),
    changed: (i64, i64),
}

impl Seen {
    /// The database, when all of it is in its file.
    fn database(folder: &Path) -> anyhow::Result<Option<Self>> {
        let file = folder.join(store::FILE);
        if store::log_of(&file).try_exists()? {
            return Ok(None);
        }
        let meta = match std::fs::metadata(&file) {
            Ok(meta) => meta,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(Some(Self {
            inode: meta.ino(),
            bytes: meta.size(),
            written: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }))
    }
}

impl Keepsake {
    /// Looks for one that this program (`program` is another for each build) made for this identity. What is not as it must be is no keepsake.
    ///
    /// # Errors
    /// When the identity cannot be written down.
    pub fn find(folder: &Path, spec: &TenantSpec, program: &str) -> anyhow::Result<Self> {
        let maker = format!("{program} {}", serde_json::to_string(spec)?);
        let pages = pages(folder, &maker).unwrap_or_default();
        Ok(Self { maker: Some(maker), pages })
    }

    /// There is one: the database is as it was left by this very program.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !self.pages.is_empty()
    }
}

fn pages(folder: &Path, maker: &str) -> Option<Pages> {
    let kept = std::fs::read_to_string(folder.join(FILE)).ok()?;
    let (head, mut rest) = kept.split_once('\n')?;
    let head: Head = serde_json::from_str(head).ok()?;
    if head.maker != maker || Seen::database(folder).ok()? != Some(head.database) {
        return None;
    }
    let mut pages = Pages::new();
    for (lang, bytes) in head.bytes {
        let (page, others) = rest.split_at_checked(bytes)?;
        pages.insert(lang, page.to_owned());
        rest = others;
    }
    rest.is_empty().then_some(pages)
}

/// Removes it, since the database is about to become another.
///
/// # Errors
/// When the file cannot be removed: then nothing must be written.
pub(crate) fn remove(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(folder.join(FILE)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        removed => removed.context("what is kept of Home cannot be removed")?,
    }
    // A power cut must not bring it back beside what is written next.
    Ok(std::fs::File::open(folder)?.sync_all()?)
}

/// The kept Home, if that is what is asked for, by a visitor without cookies, and nothing was written since.
pub(crate) fn answer(rt: &Runtime, request: &Request) -> Option<Response> {
    let plain = request.method() == Method::GET && !request.headers().contains_key(header::COOKIE);
    if !plain || !rt.keepsake().is_there() || rt.store().was_written() {
        return None;
    }
    let asked: &web::Request = request.extensions().get()?;
    let page = rt.keepsake().pages.get(asked.lang.code()).filter(|_| asked.target == "/")?;
    web::note_as(request, "/");
    let mut response = web::html(StatusCode::OK, page.clone(), false);
    // As the router does for what it answers.
    response.headers_mut().insert(header::CONTENT_LENGTH, page.len().into());
    Some(response)
}

/// What is to be kept: call it when nobody is served any more. Nothing, where nothing may be kept or what lies there is still true.
///
/// # Errors
/// When the store does not answer or a page cannot be rendered.
pub(crate) async fn gather(rt: &Runtime) -> anyhow::Result<Option<Pages>> {
    let keepsake = rt.keepsake();
    if keepsake.maker.is_none() || rt.spec().suspended.is_some() {
        return Ok(None);
    }
    if keepsake.is_there() && !rt.store().was_written() {
        // To open the database may have touched its file.
        return Ok((!rt.store().is_untouched()).then(|| keepsake.pages.clone()));
    }
    let quiet = |db: &rusqlite::Connection| {
        let closing = auth::owner(db)?.is_some_and(|owner| owner.delete_after.is_some());
        Ok(!closing && !imports::is_any_at_work(db)?)
    };
    if !rt.store().read(quiet).await? {
        return Ok(None);
    }
    let mut pages = Pages::new();
    for lang in Lang::ALL {
        pages.insert(lang.code().to_owned(), super::for_visitors(rt, lang).await?);
    }
    Ok(Some(pages))
}

/// Puts it down; call it when the store is closed. All or nothing; a keepsake that is lost to a power cut is made again.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn put(rt: &Runtime, pages: Option<Pages>) -> anyhow::Result<()> {
    let folder = rt.folder();
    let (Some(pages), Some(maker)) = (pages, &rt.keepsake().maker) else { return Ok(()) };
    let Some(database) = Seen::database(folder)? else { return Ok(()) };
    let bytes = pages.iter().map(|(lang, page)| (lang.clone(), page.len())).collect();
    let mut kept = serde_json::to_string(&Head { maker: maker.clone(), database, bytes })?;
    kept.push('\n');
    kept.extend(pages.into_values());
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(kept.as_bytes())?;
    file.persist(folder.join(FILE))?;
    Ok(())
}

#[cfg(test)]
mod tests;
