//! What visitors see: public files and folders at `/files/…`, and what a link opens at `/s/…`.
//!
//! Every address names a thing by its id; whether it may be seen is asked anew each time, from the thing upwards.

use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use rusqlite::Connection;

use super::{
    fields::Fields,
    list::{self, id, path_segment},
    raw, zip,
};
use crate::{
    runtime::Runtime,
    services::files::{
        PublicFile,
        node::{Id, Node},
        pages::{Crumb, Ended, Pager, Unlock, Visit},
        preview, shares,
        store::read::{self, Slice, Sort},
        types,
    },
    web::{self, Error, Request, page, page_with_status},
};

/// Where visitors find things: below `/files` or below a link.
#[derive(Clone, Debug)]
struct Door {
    /// `/files` or `/s/<token>`.
    base: String,
    /// What is at the door; none: all that is public.
    root: Option<Id>,
}

impl Door {
    fn page(&self, node: &Node) -> String {
        match &self.root {
            Some(root) if *root == node.id => self.base.clone(),
            _ => format!("{}/{}", self.base, node.id),
        }
    }

    fn raw(&self, node: &Node) -> String {
        format!("{}/{}/{}", self.base, node.id, path_segment(&node.name))
    }

    fn zip(&self, node: &Node) -> String {
        format!("{}/{}/zip", self.base, node.id)
    }

    fn rows(&self, db: &Connection, nodes: &[Node]) -> anyhow::Result<Vec<crate::services::files::pages::Row>> {
        let row = |node: &Node| {
            let download = if node.is_folder() { self.zip(node) } else { format!("{}?download", self.raw(node)) };
            let mut row = list::row(db, node, self.page(node), download, self.raw(node))?;
            row.public = false; // nothing that a visitor needs to be told
            Ok(row)
        };
        nodes.iter().map(row).collect()
    }

    /// The folders from the door to the thing, as far as the visitor may see them.
    fn crumbs(&self, db: &Connection, node: &Node, home: &str) -> anyhow::Result<Vec<Crumb>> {
        let mut above = read::ancestors(db, &node.id)?;
        above.push(node.clone());
        let first = match &self.root {
            Some(root) => above.iter().position(|a| a.id == *root),
            None => above.iter().position(|a| a.public_at.is_some()),
        };
        let seen = &above[first.unwrap_or(above.len() - 1)..];
        let mut crumbs: Vec<Crumb> = seen.iter().map(|a| Crumb::to(a.name.clone(), self.page(a))).collect();
        if self.root.is_none() {
            crumbs.insert(0, Crumb::to(home, self.base.clone()));
        }
        if let Some(last) = crumbs.last_mut() {
            last.href = None;
        }
        Ok(if crumbs.len() < 2 { Vec::new() } else { crumbs })
    }

    fn show(&self, db: &Connection, node: &Node, number: u32, home: &str) -> anyhow::Result<Visit> {
        let slice = Slice { sort: Sort::Name, reversed: false, skip: (number - 1) * list::PART, limit: list::PART };
        let (mut rows, mut pager, mut file) = (Vec::new(), Pager { page: 1, pages: 1, ..Pager::default() }, None);
        if node.is_folder() {
            rows = self.rows(db, &read::list(db, &node.id, slice)?)?;
            pager = list::pager(&self.page(node), "", number, read::count(db, &node.id)?);
        } else {
            file = Some(preview::of(node, self.raw(node)));
        }
        Ok(Visit {
            name: node.name.clone(),
            crumbs: self.crumbs(db, node, home)?,
            download_all: (node.is_folder() && !rows.is_empty()).then(|| self.zip(node)),
            rows,
            pager,
            file,
            link: self.root.is_some(),
            expires_at: None,
        })
    }
}

fn public_door() -> Door {
    Door { base: "/files".to_owned(), root: None }
}

fn number(fields: &Fields) -> u32 {
    fields.one("page").and_then(|text| text.parse().ok()).unwrap_or(1).clamp(1, 1_000_000)
}

fn home_name(rt: &Runtime, asked: &Request) -> String {
    rt.pages().message(asked.lang, "files.title", &std::collections::BTreeMap::new())
}

pub(super) async fn public_list(State(rt): State<Runtime>, asked: Request) -> web::Result<Response> {
    let visit = rt.store().read(|db| {
        let rows = public_door().rows(db, &read::public_roots(db, 2_000)?)?;
        let pager = Pager { page: 1, pages: 1, ..Pager::default() };
        Ok(Visit {
            name: String::new(),
            crumbs: Vec::new(),
            rows,
            pager,
            file: None,
            download_all: None,
            link: false,
            expires_at: None,
        })
    });
    page(&rt, &asked, &visit.await?)
}

fn get_public(db: &Connection, id: &Id) -> web::Result<Node> {
    let node = read::get(db, id)?;
    if read::is_public(db, &node)? { Ok(node) } else { Err(Error::NotFound) }
}

pub(super) async fn public(
    State(rt): State<Runtime>,
    asked: Request,
    Path(text): Path<String>,
    fields: Fields,
) -> web::Result<Response> {
    let (id, number, home) = (id(&text)?, number(&fields), home_name(&rt, &asked));
    let found = rt.store().read(move |db| {
        let node = get_public(db, &id)?;
        let visit = public_door().show(db, &node, number, &home)?;
        Ok((node, visit))
    });
    let (node, visit) = found.await?;
    answer(&rt, &asked, &node, visit).await
}

async fn answer(rt: &Runtime, asked: &Request, node: &Node, mut visit: Visit) -> web::Result<Response> {
    if let Some(file) = &mut visit.file {
        preview::fill(rt, node, file).await?;
    }
    let mut response = page(rt, asked, &visit)?;
    if let Some(file) = &visit.file {
        preview::allow(&mut response, file);
    }
    Ok(response)
}

pub(super) async fn public_raw(
    State(rt): State<Runtime>,
    method: Method,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    Path((text, _name)): Path<(String, String)>,
) -> web::Result<Response> {
    let id = id(&text)?;
    let node = rt.store().read(move |db| Ok(get_public(db, &id)?)).await?;
    raw::send(&rt, &method, &headers, query.as_deref(), &node).await
}

pub(super) async fn public_zip(
    State(rt): State<Runtime>,
    method: Method,
    headers: HeaderMap,
    Path(text): Path<String>,
) -> web::Result<Response> {
    let id = id(&text)?;
    let node = rt.store().read(move |db| Ok(get_public(db, &id)?)).await?;
    zip::send(&rt, &method, &headers, vec![node]).await
}

/// How a link answers.
enum Knock {
    /// There is none, or it was revoked, or what it opened is gone.
    Nothing,
    /// Its time is over.
    Over,
    /// It asks for its password.
    Locked(Box<shares::Share>),
    /// Come in.
    Open(Box<(shares::Share, Node)>),
}

fn knock(
    db: &Connection,
    token: &str,
    headers: &HeaderMap,
    now: chrono::DateTime<chrono::Utc>,
) -> anyhow::Result<Knock> {
    let Some(share) = shares::by_token(db, token)? else { return Ok(Knock::Nothing) };
    if share.is_over(now) {
        return Ok(Knock::Over);
    }
    let Some(node) = read::find(db, &share.node)?.filter(|node| node.trash.is_none()) else {
        return Ok(Knock::Nothing);
    };
    let pass = web::cookie(headers, &cookie_name(&share.id)).unwrap_or_default();
    if share.password.is_some() && !shares::is_let_in(db, &share.id, &pass, now)? {
        return Ok(Knock::Locked(Box::new(share)));
    }
    Ok(Knock::Open(Box::new((share, node))))
}

fn cookie_name(id: &Id) -> String {
    format!("__Host-link-{id}")
}

/// The thing that an address below a link names, when the link opens it.
async fn enter(
    rt: &Runtime,
    headers: &HeaderMap,
    token: &str,
    inner: Option<&str>,
) -> web::Result<Result<(shares::Share, Node), Knock>> {
    let (now, headers, token) = (rt.clock().now(), headers.clone(), token.to_owned());
    let inner = inner.map(id).transpose()?;
    let entered = rt.store().read(move |db| {
        let (share, root) = match knock(db, &token, &headers, now)? {
            Knock::Open(entered) => *entered,
            other => return Ok(Err(other)),
        };
        let node = match inner {
            Some(id) if id != root.id => {
                let node = read::get(db, &id)?;
                if !read::is_inside(db, &id, &root.id)? {
                    return Err(Error::NotFound.into());
                }
                node
            }
            _ => root,
        };
        Ok(Ok((share, node)))
    });
    Ok(entered.await?)
}

/// The page for a link that does not open.
fn closed(rt: &Runtime, asked: &Request, knock: &Knock) -> web::Result<Response> {
    let response = match knock {
        Knock::Over => page_with_status(rt, asked, &Ended { expired: true }, StatusCode::GONE)?,
        Knock::Locked(share) => page(rt, asked, &Unlock { action: format!("/s/{}", share.token), error: None })?,
        Knock::Nothing | Knock::Open(_) => {
            page_with_status(rt, asked, &Ended { expired: false }, StatusCode::NOT_FOUND)?
        }
    };
    Ok(unlisted(response))
}

/// A link is for those who have it, not for search engines.
fn unlisted(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex, nofollow"));
    response
}

pub(super) async fn link(
    rt: State<Runtime>,
    asked: Request,
    method: Method,
    headers: HeaderMap,
    Path(token): Path<String>,
    fields: Fields,
) -> web::Result<Response> {
    show_link(&rt, &asked, &method, &headers, &token, None, &fields).await
}

pub(super) async fn link_inner(
    rt: State<Runtime>,
    asked: Request,
    method: Method,
    headers: HeaderMap,
    Path((token, inner)): Path<(String, String)>,
    fields: Fields,
) -> web::Result<Response> {
    show_link(&rt, &asked, &method, &headers, &token, Some(&inner), &fields).await
}

async fn show_link(
    rt: &Runtime,
    asked: &Request,
    method: &Method,
    headers: &HeaderMap,
    token: &str,
    inner: Option<&str>,
    fields: &Fields,
) -> web::Result<Response> {
    let (share, node) = match enter(rt, headers, token, inner).await? {
        Ok(entered) => entered,
        Err(knock) => return closed(rt, asked, &knock),
    };
    // The owner looking after the own link is no visitor.
    if inner.is_none() && *method == Method::GET && !asked.signed_in() {
        let (id, now) = (share.id.clone(), rt.clock().now());
        rt.store().write(move |tx| shares::count(tx, &id, now)).await?;
    }
    let door = Door { base: format!("/s/{token}"), root: Some(share.node.clone()) };
    let (number, shown) = (number(fields), node.clone());
    let mut visit = rt.store().read(move |db| door.show(db, &shown, number, "")).await?;
    visit.expires_at = share.expires_at;
    Ok(unlisted(answer(rt, asked, &node, visit).await?))
}

pub(super) async fn link_raw(
    State(rt): State<Runtime>,
    asked: Request,
    method: Method,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    Path((token, inner, _name)): Path<(String, String, String)>,
) -> web::Result<Response> {
    match enter(&rt, &headers, &token, Some(&inner)).await? {
        Ok((_, node)) => Ok(unlisted(raw::send(&rt, &method, &headers, query.as_deref(), &node).await?)),
        Err(knock) => closed(&rt, &asked, &knock),
    }
}

pub(super) async fn link_zip(
    State(rt): State<Runtime>,
    asked: Request,
    method: Method,
    headers: HeaderMap,
    Path((token, inner)): Path<(String, String)>,
) -> web::Result<Response> {
    match enter(&rt, &headers, &token, Some(&inner)).await? {
        Ok((_, node)) => Ok(unlisted(zip::send(&rt, &method, &headers, vec![node]).await?)),
        Err(knock) => closed(&rt, &asked, &knock),
    }
}

/// Takes a link's password.
pub(super) async fn unlock(
    State(rt): State<Runtime>,
    asked: Request,
    Path(token): Path<String>,
    headers: HeaderMap,
    fields: Fields,
) -> web::Result<Response> {
    let (now, looked) = (rt.clock().now(), token.clone());
    let share = match rt.store().read(move |db| knock(db, &looked, &headers, now)).await? {
        Knock::Locked(share) => share,
        Knock::Open(_) => return Ok(web::redirect(&format!("/s/{token}"))),
        other => return closed(&rt, &asked, &other),
    };
    let id = share.id.clone();
    rt.store().write(move |tx| Ok(shares::try_password(tx, &id, now)?)).await?;
    let typed = fields.one("password").unwrap_or_default().to_owned();
    if !rt.hasher().verify(typed, share.password).await? {
        let wrong = Unlock { action: format!("/s/{}", share.token), error: Some("files.unlock.wrong") };
        return Ok(unlisted(page_with_status(&rt, &asked, &wrong, StatusCode::UNPROCESSABLE_ENTITY)?));
    }
    let id = share.id.clone();
    let pass = rt.store().write(move |tx| shares::let_in(tx, &id, now)).await?;
    let (name, age) = (cookie_name(&share.id), shares::PASS.num_seconds());
    let cookie = format!("{name}={pass}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age}");
    let mut response = web::redirect(&format!("/s/{token}"));
    response.headers_mut().append(header::SET_COOKIE, HeaderValue::from_str(&cookie)?);
    Ok(response)
}

/// What Home shows of the public files: the newest first.
///
/// # Errors
/// When the tables cannot be read.
pub(in crate::services::files) fn on_home(db: &Connection, limit: u32) -> anyhow::Result<Vec<PublicFile>> {
    let door = public_door();
    let nodes = read::public_roots(db, limit)?;
    nodes
        .into_iter()
        .map(|node| {
            let (icon, kind) = if node.is_folder() { ("folder", "files.type.folder") } else { types::look(&node.mime) };
            Ok(PublicFile {
                href: door.page(&node),
                icon,
                kind,
                folder: node.is_folder(),
                size: node.size(),
                count: if node.is_folder() { read::count(db, &node.id)? } else { 0 },
                public_at: node.public_at.unwrap_or(node.created_at),
                name: node.name,
            })
        })
        .collect()
}
