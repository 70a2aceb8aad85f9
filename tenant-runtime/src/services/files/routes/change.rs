//! Making folders, naming, moving, copying; and taking all of that back.

use std::collections::BTreeSet;

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;
use rusqlite::Transaction;

use super::{
    browse::{crumbs, top_name},
    fields::{Fields, encoded},
    list::{self, id, page_of},
};
use crate::{
    runtime::Runtime,
    services::files::{
        names::Name,
        node::Id,
        pages::{Choose, Crumb, NameIt},
        store::{
            read::{self, Slice, Sort},
            undo::{self, Step},
            write,
        },
    },
    web::{self, Error, Request, page, page_with_status, redirect, redirect_with_toast},
};

/// Keeps what Undo needs and answers where Undo posts to, and how many things were changed.
pub(super) fn keep(tx: &Transaction<'_>, steps: &[Step], now: chrono::DateTime<chrono::Utc>) -> anyhow::Result<Done> {
    let undo = undo::keep(tx, steps, now)?.map(|id| format!("/app/files/undo/{id}"));
    Ok(Done { count: steps.len(), undo })
}

/// What a change did.
pub(super) struct Done {
    pub(super) count: usize,
    pub(super) undo: Option<String>,
}

impl Done {
    /// Goes back with a message, and with Undo when there is something to take back.
    pub(super) fn answer(&self, here: &str, key: &str) -> Response {
        redirect_with_toast(here, key, &[("count", &self.count.to_string())], self.undo.as_deref())
    }
}

/// What is wrong with a form goes beside its field, whatever else goes on.
fn wrong(error: Error) -> web::Result<&'static str> {
    match error {
        Error::Invalid(key) | Error::Conflict(key) => Ok(key),
        other => Err(other),
    }
}

pub(super) async fn new_folder_page(
    State(rt): State<Runtime>,
    asked: Request,
    fields: Fields,
) -> web::Result<Response> {
    page(&rt, &asked, &new_folder_form(&fields, None))
}

fn new_folder_form(fields: &Fields, error: Option<&'static str>) -> NameIt {
    let folder = fields.one("folder").unwrap_or("top");
    NameIt {
        rename: false,
        action: format!("/app/files/new-folder?folder={}", encoded(folder)),
        value: fields.one("name").unwrap_or_default().to_owned(),
        error,
        here: fields.here().to_owned(),
    }
}

pub(super) async fn new_folder(State(rt): State<Runtime>, asked: Request, fields: Fields) -> web::Result<Response> {
    let (parent, now) = (fields.id("folder")?, rt.clock().now());
    let name = Name::parse(fields.one("name").unwrap_or_default());
    let made = match name {
        Ok(name) => {
            let made = rt.store().write(move |tx| Ok(write::make_folder(tx, &parent, &name, now)?));
            made.await.map_err(Error::from)
        }
        Err(error) => Err(error),
    };
    match made {
        Ok(node) => Ok(redirect_with_toast(&page_of(&node), "files.toast.folder", &[("name", &node.name)], None)),
        Err(error) => {
            let form = new_folder_form(&fields, Some(wrong(error)?));
            page_with_status(&rt, &asked, &form, StatusCode::UNPROCESSABLE_ENTITY)
        }
    }
}

pub(super) async fn rename_page(
    State(rt): State<Runtime>,
    asked: Request,
    Path(text): Path<String>,
    fields: Fields,
) -> web::Result<Response> {
    let id = id(&text)?;
    let node = rt.store().read(move |db| Ok(read::get(db, &id)?)).await?;
    page(&rt, &asked, &rename_form(&text, node.name, &fields, None))
}

fn rename_form(id: &str, value: String, fields: &Fields, error: Option<&'static str>) -> NameIt {
    NameIt { rename: true, action: format!("/app/files/rename/{id}"), value, error, here: fields.here().to_owned() }
}

pub(super) async fn rename(
    State(rt): State<Runtime>,
    asked: Request,
    Path(text): Path<String>,
    fields: Fields,
) -> web::Result<Response> {
    let (id, now) = (id(&text)?, rt.clock().now());
    let typed = fields.one("name").unwrap_or_default().to_owned();
    let done = match Name::parse(&typed) {
        Ok(name) => {
            let done = rt.store().write(move |tx| {
                let steps = write::rename(tx, &id, &name)?;
                keep(tx, &steps, now)
            });
            done.await.map_err(Error::from)
        }
        Err(error) => Err(error),
    };
    match done {
        Ok(done) => {
            Ok(redirect_with_toast(fields.here(), "files.toast.renamed", &[("name", &typed)], done.undo.as_deref()))
        }
        Err(error) => {
            let form = rename_form(&text, typed, &fields, Some(wrong(error)?));
            page_with_status(&rt, &asked, &form, StatusCode::UNPROCESSABLE_ENTITY)
        }
    }
}

pub(super) async fn choose_move(rt: State<Runtime>, asked: Request, fields: Fields) -> web::Result<Response> {
    choose(&rt.0, &asked, &fields, false, None).await
}

pub(super) async fn choose_copy(rt: State<Runtime>, asked: Request, fields: Fields) -> web::Result<Response> {
    choose(&rt.0, &asked, &fields, true, None).await
}

/// The page on which a folder is chosen: the folders of the one that is open, those that are moved left out.
async fn choose(
    rt: &Runtime,
    asked: &Request,
    fields: &Fields,
    copy: bool,
    error: Option<&'static str>,
) -> web::Result<Response> {
    let (ids, here, top) = (fields.ids()?, fields.here().to_owned(), top_name(rt, asked));
    let open = fields.one("in").or_else(|| fields.one("to")).map(id).transpose()?;
    let action = if copy { "/app/files/copy" } else { "/app/files/move" };
    let link = {
        let chosen: String = ids.iter().map(|id| format!("&id={id}")).collect();
        let rest = format!("{chosen}&here={}", encoded(&here));
        move |id: &Id| format!("{action}?in={id}{rest}")
    };
    let form = rt.store().read(move |db| {
        let first = ids.first().map(|id| read::get(db, id)).transpose()?.ok_or(Error::NotFound)?;
        let open = open.or(first.parent.clone()).unwrap_or_else(Id::top);
        let folder = read::get_folder(db, &open)?;
        let moved: BTreeSet<&Id> = ids.iter().collect();
        let mut inner = read::list(db, &open, Slice { sort: Sort::Name, reversed: false, skip: 0, limit: 2_000 })?;
        inner.retain(|node| node.is_folder() && !moved.contains(&node.id));
        let mut rows = list::rows(db, &inner)?;
        rows.iter_mut().zip(&inner).for_each(|(row, node)| row.href = link(&node.id));
        let ancestors = read::ancestors(db, &open)?;
        let last = if open.is_top() { top.clone() } else { folder.name.clone() };
        let mut crumbs = crumbs(&top, &ancestors, &last);
        crumbs.iter_mut().zip(&ancestors).for_each(|(crumb, node): (&mut Crumb, _)| crumb.href = Some(link(&node.id)));
        Ok(Choose {
            copy,
            action: action.to_owned(),
            name: (ids.len() == 1).then_some(first.name),
            ids: ids.iter().map(ToString::to_string).collect(),
            folder: open.to_string(),
            folder_name: folder.name,
            crumbs,
            folders: rows,
            error,
            here,
        })
    });
    let status = if error.is_some() { StatusCode::CONFLICT } else { StatusCode::OK };
    page_with_status(rt, asked, &form.await?, status)
}

pub(super) async fn relocate(State(rt): State<Runtime>, asked: Request, fields: Fields) -> web::Result<Response> {
    let (ids, to, now) = (fields.ids()?, fields.id("to")?, rt.clock().now());
    let done = rt.store().write(move |tx| {
        let steps = write::relocate(tx, &ids, &to)?;
        keep(tx, &steps, now)
    });
    match done.await.map_err(Error::from) {
        Ok(done) => Ok(done.answer(fields.here(), "files.toast.moved")),
        Err(error) => choose(&rt, &asked, &fields, false, Some(wrong(error)?)).await,
    }
}

pub(super) async fn copy(State(rt): State<Runtime>, asked: Request, fields: Fields) -> web::Result<Response> {
    let (ids, to, now) = (fields.ids()?, fields.id("to")?, rt.clock().now());
    let done = rt.store().write(move |tx| {
        let steps = write::copy(tx, &ids, &to, now)?;
        keep(tx, &steps, now)
    });
    match done.await.map_err(Error::from) {
        Ok(done) => Ok(done.answer(fields.here(), "files.toast.copied")),
        Err(error) => choose(&rt, &asked, &fields, true, Some(wrong(error)?)).await,
    }
}

/// Takes a change back and returns to the page that offered it.
pub(super) async fn undo(
    State(rt): State<Runtime>,
    headers: http::HeaderMap,
    Path(text): Path<String>,
) -> web::Result<Response> {
    let (id, now) = (id(&text)?, rt.clock().now());
    let count = rt.store().write(move |tx| undo::run(tx, &id, now)).await?;
    let back = headers.get(http::header::REFERER).and_then(|value| value.to_str().ok());
    let back = back.and_then(|address| address.strip_prefix(&rt.spec().origin()));
    // The thing that a page showed may be gone with the undo; its folder is safe.
    let back =
        back.filter(|path| path.starts_with("/app") && !path.starts_with("/app/files/file/")).unwrap_or("/app/files");
    Ok(match count {
        0 => redirect(back),
        _ => redirect_with_toast(back, "files.toast.undone", &[], None),
    })
}
