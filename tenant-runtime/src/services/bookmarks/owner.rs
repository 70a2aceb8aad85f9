//! Keeping bookmarks: the list and the form.

use axum::{
    Form,
    extract::{Path, Query, State, rejection::FormRejection},
    response::Response,
};
use http::StatusCode;
use rusqlite::Connection;
use serde::Deserialize;

use super::{
    Bookmark, Entry, Visibility, about,
    pages::{FormPage, ListPage, Row, labels},
    store::{self, Added, Edited, Filter},
    urls,
};
use crate::{
    home::parts::{Pager, Tag},
    runtime::Runtime,
    text,
    web::{self, Error, Request, Result, redirect, redirect_with_toast},
};

/// Bookmarks on one page.
const ROWS: usize = 50;
const LIST: &str = "/app/bookmarks";

/// What the list shall show.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Show {
    #[serde(default)]
    show: String,
    #[serde(default)]
    tag: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: Option<usize>,
}

/// The list.
pub(super) async fn list(State(rt): State<Runtime>, asked: Request, Query(show): Query<Show>) -> Result<Response> {
    let page = rt.store().read(move |db| listed(db, &show)).await?;
    web::page(&rt, &asked, &page)
}

fn listed(db: &Connection, show: &Show) -> anyhow::Result<ListPage> {
    let (trash, page, query) =
        (show.show == "trash", show.page.unwrap_or(1).clamp(1, 100_000), text::line(&show.q, 200));
    let slug = Some(text::slug(&show.tag)).filter(|_| !show.tag.is_empty());
    let filter = Filter { trash, tag: slug.clone(), words: query.clone(), ..Filter::default() };
    let (found, total) = store::list(db, &filter, Pager::skip(page, ROWS), ROWS)?;
    let tags: Vec<Tag> = store::tags(db, false)?.into_iter().map(|tag| Tag::new(&tag.label, tag.count)).collect();
    let count = |trash| Ok::<_, anyhow::Error>(store::list(db, &Filter { trash, ..Filter::default() }, 0, 1)?.1);
    let slug = slug.unwrap_or_default();
    Ok(ListPage {
        trash,
        tag: (!slug.is_empty()).then(|| {
            let known = tags.iter().find(|tag| tag.slug == text::escape(&slug)).cloned();
            known.unwrap_or_else(|| Tag::new(&slug, 0))
        }),
        rows: found.iter().map(Row::of).collect(),
        total,
        pager: Pager::new(
            LIST,
            &[("show", if trash { "trash" } else { "" }), ("tag", &slug), ("q", &query)],
            page,
            total,
            ROWS,
        ),
        tags,
        first_visit: count(false)? + count(true)? == 0,
        query,
    })
}

/// What the bookmarklet, a phone's share sheet or a link brings.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Brought {
    #[serde(default)]
    url: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    text: String,
}

impl Brought {
    /// Phones put the address into the text.
    fn put_right(mut self) -> Self {
        if self.url.trim().is_empty()
            && let Some((link, _)) = urls::in_text(&self.text).into_iter().next()
        {
            self.text = text::lines(&self.text.replace(link.trim_end_matches('/'), ""));
            self.url = link;
        }
        self
    }
}

/// The form for a new bookmark; of a page that is bookmarked, the form of that bookmark.
pub(super) async fn add_form(
    State(rt): State<Runtime>,
    asked: Request,
    Query(brought): Query<Brought>,
) -> Result<Response> {
    let brought = brought.put_right();
    let link = urls::link(&brought.url);
    let page = rt.store().read(move |db| {
        let suggestions = labels(store::tags(db, false)?);
        let known = match &link {
            Some(link) => store::of_page(db, link)?,
            None => None,
        };
        Ok(match known {
            Some(known) => {
                let page = filled(known, suggestions);
                let note = if page.note.contains(brought.text.trim()) {
                    page.note
                } else {
                    format!("{}\n\n{}", page.note, brought.text.trim())
                };
                FormPage { known: true, note: text::lines(&note), ..page }
            }
            None => FormPage {
                url: link.unwrap_or(brought.url),
                title: text::line(&brought.title, 500),
                note: text::lines(&brought.text),
                suggestions,
                ..FormPage::default()
            },
        })
    });
    web::page(&rt, &asked, &page.await?)
}

fn filled(bookmark: Bookmark, suggestions: Vec<String>) -> FormPage {
    FormPage {
        id: Some(bookmark.id),
        url: bookmark.entry.url,
        title: bookmark.entry.title,
        note: bookmark.entry.note,
        tags: bookmark.entry.tags.join(", "),
        public: bookmark.entry.visibility == Visibility::Public,
        suggestions,
        ..FormPage::default()
    }
}

/// The form as it comes back.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Filled {
    #[serde(default)]
    url: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    tags: String,
    #[serde(default)]
    public: Option<String>,
}

impl Filled {
    fn entry(&self) -> Option<Entry> {
        let entry = Entry {
            url: urls::link(&self.url)?,
            title: self.title.clone(),
            note: self.note.clone(),
            tags: text::tags(&self.tags),
            visibility: if self.public.is_some() { Visibility::Public } else { Visibility::Private },
        };
        Some(entry.tidied())
    }

    /// The form again, with what is wrong.
    async fn again(
        self,
        rt: &Runtime,
        asked: &Request,
        id: Option<String>,
        error: &'static str,
        duplicate: Option<String>,
    ) -> Result<Response> {
        let suggestions = rt.store().read(|db| Ok(labels(store::tags(db, false)?))).await?;
        let page = FormPage {
            id,
            url: self.url,
            title: self.title,
            note: self.note,
            tags: self.tags,
            public: self.public.is_some(),
            suggestions,
            url_error: Some(error),
            known: false,
            duplicate,
        };
        web::page_with_status(rt, asked, &page, StatusCode::UNPROCESSABLE_ENTITY)
    }
}

/// A new bookmark.
pub(super) async fn add(State(rt): State<Runtime>, asked: Request, Form(filled): Form<Filled>) -> Result<Response> {
    let Some(entry) = filled.entry() else {
        return filled.again(&rt, &asked, None, "bookmarks.error.no-link", None).await;
    };
    let now = rt.clock().now();
    let (bookmark, added) = rt.store().write(move |tx| store::add(tx, entry, now, now)).await?;
    if bookmark.entry.title.is_empty() {
        about::fill_in(&rt, &bookmark.id, &bookmark.entry.url).await;
    }
    let undo = format!("{LIST}/{}/delete", bookmark.id);
    Ok(match added {
        Added::New => redirect_with_toast(LIST, "bookmarks.toast.added", &[], Some(&undo)),
        Added::Merged => redirect_with_toast(LIST, "bookmarks.toast.merged", &[], None),
        Added::Known => redirect_with_toast(LIST, "bookmarks.toast.known", &[], None),
    })
}

/// The form of a bookmark.
pub(super) async fn edit_form(State(rt): State<Runtime>, asked: Request, Path(id): Path<String>) -> Result<Response> {
    let page = rt.store().read(move |db| {
        let suggestions = labels(store::tags(db, false)?);
        Ok(store::find(db, &id)?
            .filter(|bookmark| bookmark.deleted_at.is_none())
            .map(|bookmark| filled(bookmark, suggestions)))
    });
    web::page(&rt, &asked, &page.await?.ok_or(Error::NotFound)?)
}

/// A changed bookmark.
pub(super) async fn edit(
    State(rt): State<Runtime>,
    asked: Request,
    Path(id): Path<String>,
    Form(filled): Form<Filled>,
) -> Result<Response> {
    let Some(entry) = filled.entry() else {
        return filled.again(&rt, &asked, Some(id), "bookmarks.error.no-link", None).await;
    };
    let (now, wanted) = (rt.clock().now(), id.clone());
    match rt.store().write(move |tx| store::edit(tx, &wanted, entry, now)).await? {
        Edited::Done => Ok(redirect_with_toast(LIST, "bookmarks.toast.saved", &[], None)),
        Edited::Missing => Err(Error::NotFound),
        Edited::Duplicate(other) => filled.again(&rt, &asked, Some(id), "bookmarks.error.duplicate", Some(other)).await,
    }
}

/// Where a small form in the list came from.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Back {
    #[serde(default)]
    back: String,
    #[serde(default)]
    public: String,
}

impl Back {
    /// The same list again; never another site.
    fn to(&self) -> &str {
        let query = self.back.strip_prefix(LIST);
        if query.is_some_and(|rest| rest.is_empty() || rest.starts_with('?')) { &self.back } else { LIST }
    }
}

/// Into the trash.
pub(super) async fn delete(
    State(rt): State<Runtime>,
    Path(id): Path<String>,
    back: std::result::Result<Form<Back>, FormRejection>,
) -> Result<Response> {
    let undo = format!("{LIST}/{id}/restore");
    let now = rt.clock().now();
    let known = rt.store().write(move |tx| store::delete(tx, &id, now)).await?;
    let back = back.map(|Form(back)| back).unwrap_or_default();
    if known {
        Ok(redirect_with_toast(back.to(), "bookmarks.toast.deleted", &[], Some(&undo)))
    } else {
        Err(Error::NotFound)
    }
}

/// Out of the trash.
pub(super) async fn restore(State(rt): State<Runtime>, Path(id): Path<String>) -> Result<Response> {
    let now = rt.clock().now();
    let known = rt.store().write(move |tx| store::restore(tx, &id, now)).await?;
    if known { Ok(redirect_with_toast(LIST, "bookmarks.toast.restored", &[], None)) } else { Err(Error::NotFound) }
}

/// Shows or hides a bookmark.
pub(super) async fn show(
    State(rt): State<Runtime>,
    Path(id): Path<String>,
    Form(back): Form<Back>,
) -> Result<Response> {
    let (visibility, key) = match back.public.as_str() {
        "yes" => (Visibility::Public, "bookmarks.toast.shown"),
        _ => (Visibility::Private, "bookmarks.toast.hidden"),
    };
    let now = rt.clock().now();
    let known = rt.store().write(move |tx| store::set_visibility(tx, &id, visibility, now)).await?;
    if known { Ok(redirect_with_toast(back.to(), key, &[], None)) } else { Err(Error::NotFound) }
}

/// Removes one bookmark of the trash for good.
pub(super) async fn purge(State(rt): State<Runtime>, Path(id): Path<String>) -> Result<Response> {
    rt.store().write(move |tx| store::purge(tx, &id)).await?;
    Ok(redirect(&format!("{LIST}?show=trash")))
}
