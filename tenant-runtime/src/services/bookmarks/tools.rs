//! Bringing bookmarks in and taking them out: a file, a pasted list, a button for the browser.

use axum::{
    Form,
    extract::{Multipart, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::Deserialize;

use super::{
    Entry, Visibility, bundle, netscape,
    pages::{ResultPage, ToolsPage},
    store::{self, Added, Filter},
    urls,
};
use crate::{
    imports::Counts,
    runtime::Runtime,
    text,
    web::{self, Error, Request, Result},
};

/// Largest file of bookmarks: browsers put icons into it.
pub(super) const FILE_BYTES: usize = 64 << 20;

/// Bringing in and taking out.
pub(super) async fn tools(State(rt): State<Runtime>, asked: Request) -> Result<Response> {
    tools_with(&rt, &asked, StatusCode::OK, |_| {}).await
}

async fn tools_with(
    rt: &Runtime,
    asked: &Request,
    status: StatusCode,
    change: impl FnOnce(&mut ToolsPage),
) -> Result<Response> {
    let total = rt.store().read(|db| Ok(store::list(db, &Filter::default(), 0, 1)?.1)).await?;
    let mut page = ToolsPage { bookmarklet: bookmarklet(&rt.spec().origin()), total, ..ToolsPage::default() };
    change(&mut page);
    web::page_with_status(rt, asked, &page, status)
}

/// A link that opens the form with the page that somebody is on. It runs on other sites, never on our pages: our content
/// security policy refuses it here, dragging it into the browser's bar is what it is for.
fn bookmarklet(origin: &str) -> String {
    format!(
        "javascript:(function(){{var e=encodeURIComponent,s=String(getSelection()).slice(0,2000);\
         window.open('{origin}/app/bookmarks/add?url='+e(location.href)+'&title='+e(document.title)+'&text='+e(s),'_blank','noopener');}})()"
    )
}

/// A pasted list.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Pasted {
    #[serde(default)]
    text: String,
    #[serde(default)]
    tags: String,
    #[serde(default)]
    public: Option<String>,
}

/// Takes a pasted list in.
pub(super) async fn paste(State(rt): State<Runtime>, asked: Request, Form(pasted): Form<Pasted>) -> Result<Response> {
    let found = urls::in_text(&pasted.text);
    if found.is_empty() {
        let change = |page: &mut ToolsPage| {
            (page.pasted, page.paste_error) = (pasted.text, Some("bookmarks.error.nothing-found"))
        };
        return tools_with(&rt, &asked, StatusCode::UNPROCESSABLE_ENTITY, change).await;
    }
    let (now, tags) = (rt.clock().now(), text::tags(&pasted.tags));
    let visibility = if pasted.public.is_some() { Visibility::Public } else { Visibility::Private };
    let counts = rt.store().write(move |tx| {
        let mut counts = Counts::default();
        for (url, title) in found {
            counts.counted += 1;
            let entry = Entry { url, title, tags: tags.clone(), visibility, ..Entry::default() };
            match store::add(tx, entry, now, now)?.1 {
                Added::New => counts.imported += 1,
                Added::Merged => counts.transformed += 1,
                Added::Known => counts.preserved += 1,
            }
        }
        Ok(counts)
    });
    web::page(&rt, &asked, &ResultPage::of(&counts.await?))
}

/// Takes a file of bookmarks in.
pub(super) async fn import(State(rt): State<Runtime>, asked: Request, mut parts: Multipart) -> Result<Response> {
    let (mut content, mut visibility) = (Vec::new(), Visibility::Private);
    while let Some(part) = parts.next_field().await.map_err(|error| refused(&error))? {
        match part.name() {
            Some("file") => content = part.bytes().await.map_err(|error| refused(&error))?.to_vec(),
            Some("public") => visibility = Visibility::Public,
            _ => {}
        }
    }
    let html = String::from_utf8_lossy(&content).into_owned();
    if !netscape::is_netscape(&html) {
        return tools_with(&rt, &asked, StatusCode::UNPROCESSABLE_ENTITY, |page| {
            page.file_error = Some("bookmarks.error.no-file")
        })
        .await;
    }
    let now = rt.clock().now();
    let counts = rt.store().write(move |tx| {
        let mut counts = Counts::default();
        bundle::take_file(tx, &html, visibility, now, &mut counts)?;
        Ok(counts)
    });
    web::page(&rt, &asked, &ResultPage::of(&counts.await?))
}

fn refused(error: &axum::extract::multipart::MultipartError) -> Error {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge,
        _ => Error::Invalid("error.bad-request"),
    }
}

/// All bookmarks as a file for browsers.
pub(super) async fn export(State(rt): State<Runtime>) -> Result<Response> {
    let html = rt
        .store()
        .read(|db| Ok(netscape::write("Bookmarks", &store::list(db, &Filter::default(), 0, usize::MAX >> 1)?.0)))
        .await?;
    let about = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"bookmarks.html\""),
        (header::CACHE_CONTROL, "private, no-store"),
    ];
    Ok((about, html).into_response())
}
