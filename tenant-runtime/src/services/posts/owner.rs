//! Writing: the list, the editor, the trash.

use axum::{
    Json,
    extract::{Multipart, Path, Query, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use rusqlite::{Connection, Transaction};
use serde::Deserialize;
use serde_json::json;

use super::{
    Draft, Post, Status, Visibility,
    feeds::Site,
    form::Form,
    markdown,
    pages::{EditorPage, ListPage, PreviewPage, Row},
    public::PostPage,
    store::{self, Which},
};
use crate::{
    activity,
    home::parts::Pager,
    runtime::Runtime,
    settings, text,
    web::{self, Error, Request, Result, redirect, redirect_with_toast},
};

/// Posts on one page of the list.
const POSTS: usize = 30;

/// What the list shall show.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Show {
    #[serde(default)]
    show: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: Option<usize>,
}

impl Show {
    fn which(&self) -> (Which, &'static str) {
        match self.show.as_str() {
            "drafts" => (Which::Drafts, "drafts"),
            "published" => (Which::Published, "published"),
            "trash" => (Which::Trash, "trash"),
            _ => (Which::All, "all"),
        }
    }
}

/// The list.
pub(super) async fn list(State(rt): State<Runtime>, asked: Request, Query(show): Query<Show>) -> Result<Response> {
    let page = rt.store().read(move |db| listed(db, &show)).await?;
    web::page(&rt, &asked, &page)
}

fn listed(db: &Connection, show: &Show) -> anyhow::Result<ListPage> {
    let (which, name) = show.which();
    let (query, page) = (text::line(&show.q, 200), show.page.unwrap_or(1).clamp(1, 100_000));
    let (posts, total) = store::list(db, &which, &query, Pager::skip(page, POSTS), POSTS)?;
    let rows = posts.iter().map(|post| Ok(Row::of(post, store::pending(db, &post.id)?.is_some())));
    let rows = rows.collect::<anyhow::Result<Vec<_>>>()?;
    let anything = store::list(db, &Which::All, "", 0, 1)?.1 + store::list(db, &Which::Trash, "", 0, 1)?.1;
    let kept = if name == "all" { "" } else { name };
    let pager = Pager::new("/app/posts", &[("show", kept), ("q", &query)], page, total, POSTS);
    Ok(ListPage { which: name, pager, rows, total, first_visit: anything == 0, query })
}

/// The editor for a new post. Nothing is stored before the first word: the id is only handed out.
pub(super) async fn new(State(rt): State<Runtime>, asked: Request) -> Result<Response> {
    let suggestions = rt.store().read(suggestions).await?;
    web::page(&rt, &asked, &EditorPage { id: text::new_id(), suggestions, ..EditorPage::default() })
}

fn suggestions(db: &Connection) -> anyhow::Result<Vec<String>> {
    Ok(store::tags(db, true)?.into_iter().take(200).map(|tag| tag.label).collect())
}

/// The editor for a post: with changes that are not published, where there are some.
pub(super) async fn edit(State(rt): State<Runtime>, asked: Request, Path(id): Path<String>) -> Result<Response> {
    let page = rt.store().read(move |db| editor(db, &id)).await?;
    web::page(&rt, &asked, &page.ok_or(Error::NotFound)?)
}

fn editor(db: &Connection, id: &str) -> anyhow::Result<Option<EditorPage>> {
    let Some(post) = store::find(db, id)?.filter(|post| post.deleted_at.is_none()) else { return Ok(None) };
    let pending = store::pending(db, id)?;
    let page = EditorPage {
        suggestions: suggestions(db)?,
        pending: pending.as_ref().map(|(_, at)| *at),
        ..EditorPage::default()
    };
    let draft = pending.map_or_else(|| post.text.clone(), |(draft, _)| draft);
    Ok(Some(filled(page, Some(&post), &draft)))
}

/// The editor with a text in it.
fn filled(page: EditorPage, post: Option<&Post>, draft: &Draft) -> EditorPage {
    let post = post.cloned().unwrap_or_else(|| Post { id: page.id.clone(), ..Post::default() });
    EditorPage {
        path: post.path().filter(|_| post.status == Status::Published),
        id: post.id,
        revision: post.revision,
        title: draft.title.clone(),
        body: draft.body.clone(),
        tags: draft.tags.join(", "),
        visibility: draft.visibility,
        status: post.status,
        address: post.address.map(|address| (format!("/posts/{}/", address.year), address.slug)),
        ..page
    }
}

/// The editor's form: one of its buttons was pressed.
pub(super) async fn submit(
    State(rt): State<Runtime>,
    asked: Request,
    Path(id): Path<String>,
    parts: Multipart,
) -> Result<Response> {
    if !text::is_id(&id) {
        return Err(Error::NotFound);
    }
    let form = Form::read(&rt, parts).await?;
    let draft = form.draft()?;
    let wants_publish = form.get("action") == "publish";
    if wants_publish && draft.title.is_empty() {
        return again(&rt, &asked, &id, &form, draft, |page| page.title_error = Some("posts.error.no-title")).await;
    }
    let (to_store, slug, base, now) =
        (draft.clone(), form.slug().map(str::to_owned), form.revision(), rt.clock().now());
    let post_id = id.clone();
    let stored = rt.store().write(move |tx| {
        let stored = match wants_publish {
            true => store::publish(tx, &post_id, base, &to_store, slug.as_deref(), now),
            false => store::save_draft(tx, &post_id, base, &to_store, now),
        };
        if let Ok(post) = &stored {
            note(tx, post)?;
        }
        // A store error rolls back, the others have changed nothing.
        match stored {
            Err(store::Error::Store(error)) => Err(error),
            other => Ok(other),
        }
    });
    match stored.await? {
        Ok(post) => Ok(done(&form, &post)),
        Err(store::Error::Stale(now_at)) => {
            again(&rt, &asked, &id, &form, draft, |page| (page.stale, page.revision) = (true, now_at)).await
        }
        Err(store::Error::AddressTaken) => {
            again(&rt, &asked, &id, &form, draft, |page| page.slug_error = Some("posts.error.slug-taken")).await
        }
        Err(_) => Err(Error::NotFound),
    }
}

/// Writes down that a post was published; later changes to it are not worth an entry.
fn note(tx: &Transaction<'_>, post: &Post) -> anyhow::Result<()> {
    match post.published_at.filter(|at| post.status == Status::Published && *at == post.updated_at) {
        Some(at) => activity::note(tx, at, "activity.post-published", &[("title", &post.text.title)]),
        None => Ok(()),
    }
}

/// Where to go after saving.
fn done(form: &Form, post: &Post) -> Response {
    let editor = format!("/app/posts/{}", post.id);
    match form.get("action") {
        _ if form.other_files => redirect_with_toast(&editor, "posts.toast.no-picture", &[], None),
        "publish" => {
            let key = match post.text.visibility {
                Visibility::Public => "posts.toast.published",
                Visibility::Unlisted => "posts.toast.published-unlisted",
                Visibility::Private => "posts.toast.published-private",
            };
            redirect_with_toast(&post.path().unwrap_or(editor), key, &[], None)
        }
        "preview" => redirect(&format!("{editor}/preview")),
        "picture" if form.pictures.is_empty() => redirect_with_toast(&editor, "posts.toast.choose-picture", &[], None),
        "picture" => redirect_with_toast(&editor, "posts.toast.picture-added", &[], None),
        _ => redirect_with_toast(&editor, "posts.toast.saved", &[], None),
    }
}

/// The editor again, with everything that was typed and what is wrong with it.
async fn again(
    rt: &Runtime,
    asked: &Request,
    id: &str,
    form: &Form,
    draft: Draft,
    wrong: impl FnOnce(&mut EditorPage),
) -> Result<Response> {
    let (wanted, base, slug) = (id.to_owned(), form.revision(), form.slug().map(str::to_owned));
    let (post, suggestions) = rt.store().read(move |db| Ok((store::find(db, &wanted)?, suggestions(db)?))).await?;
    let page = EditorPage { id: id.to_owned(), suggestions, ..EditorPage::default() };
    let mut page = EditorPage { revision: base, ..filled(page, post.as_ref(), &draft) };
    if let (Some((_, words)), Some(slug)) = (&mut page.address, slug) {
        *words = slug;
    }
    wrong(&mut page);
    web::page_with_status(rt, asked, &page, StatusCode::UNPROCESSABLE_ENTITY)
}

/// What the editor's script sends every few moments, and when the page is closed.
pub(super) async fn autosave(State(rt): State<Runtime>, Path(id): Path<String>, parts: Multipart) -> Result<Response> {
    if !text::is_id(&id) {
        return Err(Error::NotFound);
    }
    let form = Form::read(&rt, parts).await?;
    let (draft, base, now) = (form.draft()?, form.revision(), rt.clock().now());
    let saved = rt.store().write(move |tx| match store::save_draft(tx, &id, base, &draft, now) {
        Err(store::Error::Store(error)) => Err(error),
        other => Ok(other),
    });
    match saved.await? {
        Ok(post) => Ok(Json(json!({ "id": post.id, "revision": post.revision })).into_response()),
        Err(store::Error::Stale(revision)) => {
            Ok((StatusCode::CONFLICT, Json(json!({ "revision": revision }))).into_response())
        }
        Err(_) => Err(Error::NotFound),
    }
}

/// Pictures that the editor's script sends: their addresses.
pub(super) async fn pictures(State(rt): State<Runtime>, parts: Multipart) -> Result<Response> {
    let form = Form::read(&rt, parts).await?;
    if form.pictures.is_empty() {
        return Err(Error::Invalid("posts.error.no-picture"));
    }
    let stored = form.pictures.iter().map(|arrived| json!({ "path": arrived.picture.path(), "name": arrived.name }));
    Ok(Json(stored.collect::<Vec<_>>()).into_response())
}

/// A text to look at while it is written.
#[derive(Debug, Deserialize)]
pub(super) struct Sketch {
    #[serde(default)]
    body: String,
}

/// The HTML of a text that is not saved yet, for the editor's script.
pub(super) async fn sketch(axum::Form(sketch): axum::Form<Sketch>) -> Json<serde_json::Value> {
    Json(json!({ "html": markdown::html(&text::lines(&sketch.body)) }))
}

/// The post as readers will see it.
pub(super) async fn preview(State(rt): State<Runtime>, asked: Request, Path(id): Path<String>) -> Result<Response> {
    let spec = rt.spec().clone();
    let page = rt.store().read(move |db| {
        let Some(post) = store::find(db, &id)?.filter(|post| post.deleted_at.is_none()) else { return Ok(None) };
        let settings = settings::get(db)?;
        let site = Site { title: settings.title(&spec), ..Site::of(&settings, &spec.origin()) };
        let text = store::pending(db, &id)?.map_or_else(|| post.text.clone(), |(draft, _)| draft);
        let shown = Post { published_at: post.published_at.or(Some(post.updated_at)), text, ..post };
        let untitled = shown.text.title.is_empty();
        Ok(Some(PreviewPage { id, revision: shown.revision, untitled, post: PostPage::of(&site, &shown) }))
    });
    web::page(&rt, &asked, &page.await?.ok_or(Error::NotFound)?)
}

/// Publishes what was saved last; from the preview.
pub(super) async fn publish(State(rt): State<Runtime>, Path(id): Path<String>) -> Result<Response> {
    let now = rt.clock().now();
    let published = rt.store().write(move |tx| {
        let Some(post) = store::find(tx, &id)?.filter(|post| post.deleted_at.is_none()) else { return Ok(None) };
        let draft = store::pending(tx, &id)?.map_or(post.text, |(draft, _)| draft);
        if draft.title.is_empty() {
            return Ok(None);
        }
        let post = store::publish(tx, &id, post.revision, &draft, None, now).map_err(anyhow::Error::from)?;
        note(tx, &post)?;
        Ok(Some(post))
    });
    let post = published.await?.ok_or(Error::NotFound)?;
    Ok(redirect_with_toast(&post.path().unwrap_or_default(), "posts.toast.published", &[], None))
}

/// Drops changes that are not published.
pub(super) async fn discard(State(rt): State<Runtime>, Path(id): Path<String>) -> Result<Response> {
    let editor = format!("/app/posts/{id}");
    let known = rt.store().write(move |tx| {
        let known = store::find(tx, &id)?.is_some();
        if known {
            store::discard_pending(tx, &id)?;
        }
        Ok(known)
    });
    if known.await? {
        Ok(redirect_with_toast(&editor, "posts.toast.discarded", &[], None))
    } else {
        Err(Error::NotFound)
    }
}

/// Into the trash.
pub(super) async fn delete(State(rt): State<Runtime>, Path(id): Path<String>) -> Result<Response> {
    let undo = format!("/app/posts/{id}/restore");
    let now = rt.clock().now();
    let title = rt.store().write(move |tx| {
        let Some(post) = store::find(tx, &id)? else { return Ok(None) };
        store::set_deleted(tx, &id, Some(now))?;
        activity::note(tx, now, "activity.post-deleted", &[("title", &post.text.title)])?;
        Ok(Some(post.text.title))
    });
    let title = title.await?.ok_or(Error::NotFound)?;
    let (key, args) = if title.is_empty() {
        ("posts.toast.deleted-untitled", vec![])
    } else {
        ("posts.toast.deleted", vec![("title", title.as_str())])
    };
    Ok(redirect_with_toast("/app/posts", key, &args, Some(&undo)))
}

/// Out of the trash.
pub(super) async fn restore(State(rt): State<Runtime>, Path(id): Path<String>) -> Result<Response> {
    let known = rt.store().write(move |tx| match store::set_deleted(tx, &id, None) {
        Ok(()) => Ok(true),
        Err(store::Error::Missing) => Ok(false),
        Err(error) => Err(error.into()),
    });
    if known.await? {
        Ok(redirect_with_toast("/app/posts", "posts.toast.restored", &[], None))
    } else {
        Err(Error::NotFound)
    }
}

/// Out of the trash for good.
pub(super) async fn purge(State(rt): State<Runtime>, Path(id): Path<String>) -> Result<Response> {
    rt.store().write(move |tx| Ok(store::purge(tx, &id)?)).await?;
    rt.sweep_soon();
    Ok(redirect_with_toast("/app/posts?show=trash", "posts.toast.purged", &[], None))
}
