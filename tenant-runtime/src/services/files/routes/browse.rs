//! Looking: folders, searches, one file.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, header};

use super::{
    fields::{Fields, encoded},
    list::{self, Wish, id, page_of, raw_of},
};
use crate::{
    quota,
    runtime::Runtime,
    services::files::{
        node::{Id, Node},
        pages::{self, Crumb, Folder, Storage},
        preview, shares,
        store::read,
    },
    web::{self, Request, page},
};

/// The name of the top in the visitor's language.
pub(super) fn top_name(rt: &Runtime, asked: &Request) -> String {
    rt.pages().message(asked.lang, "files.title", &std::collections::BTreeMap::new())
}

/// The way from the top to something.
pub(super) fn crumbs(top: &str, ancestors: &[Node], last: &str) -> Vec<Crumb> {
    let label = |node: &Node| if node.id.is_top() { top.to_owned() } else { node.name.clone() };
    let steps = ancestors.iter().map(|node| Crumb::to(label(node), page_of(node)));
    steps.chain([Crumb::here(last)]).collect()
}

pub(super) async fn top(
    rt: State<Runtime>,
    asked: Request,
    headers: HeaderMap,
    fields: Fields,
) -> web::Result<Response> {
    show(rt.0, asked, &headers, fields, Id::top()).await
}

pub(super) async fn folder(
    rt: State<Runtime>,
    asked: Request,
    headers: HeaderMap,
    Path(text): Path<String>,
    fields: Fields,
) -> web::Result<Response> {
    show(rt.0, asked, &headers, fields, id(&text)?).await
}

async fn show(rt: Runtime, asked: Request, headers: &HeaderMap, fields: Fields, id: Id) -> web::Result<Response> {
    let wish = Wish::read(&fields, headers);
    let (top, here, quota) = (top_name(&rt, &asked), asked.target.clone(), rt.spec().quota_bytes);
    let folder = rt.store().read(move |db| {
        let node = read::get_folder(db, &id)?;
        let nodes = read::list(db, &id, wish.slice())?;
        let ancestors = read::ancestors(db, &id)?;
        Ok(Folder {
            top: id.is_top(),
            query: String::new(),
            crumbs: if id.is_top() { Vec::new() } else { crumbs(&top, &ancestors, &node.name) },
            rows: list::rows(db, &nodes)?,
            listing: wish.listing(&page_of(&node), "", read::count(db, &id)?),
            public: read::is_public(db, &node)?,
            storage: Storage { used: quota::used(db)?, quota },
            from: encoded(&here),
            here,
            id: node.id.to_string(),
            name: node.name,
        })
    });
    remember(page(&rt, &asked, &folder.await?)?, wish)
}

pub(super) async fn search(
    rt: State<Runtime>,
    asked: Request,
    headers: HeaderMap,
    fields: Fields,
) -> web::Result<Response> {
    let rt = rt.0;
    let Some(query) = fields.one("q").map(|q| q.trim().chars().take(200).collect::<String>()).filter(|q| !q.is_empty())
    else {
        return Ok(web::redirect("/app/files"));
    };
    let wish = Wish::read(&fields, &headers);
    let (top, quota) = (top_name(&rt, &asked), rt.spec().quota_bytes);
    let folder = rt.store().read(move |db| {
        let (nodes, total) = read::search(db, &query, wish.slice())?;
        let mut rows = list::rows(db, &nodes)?;
        for (row, node) in rows.iter_mut().zip(&nodes) {
            let parent = read::ancestors(db, &node.id)?.pop();
            row.place =
                parent.map(|p| Crumb::to(if p.id.is_top() { top.clone() } else { p.name.clone() }, page_of(&p)));
        }
        Ok(Folder {
            id: Id::top().to_string(),
            name: String::new(),
            top: false,
            crumbs: vec![Crumb::to(top, "/app/files"), Crumb::here(query.clone())],
            rows,
            listing: wish.listing("/app/files/search", &query, total),
            public: false,
            storage: Storage { used: quota::used(db)?, quota },
            from: encoded(&format!("/app/files/search?q={}", encoded(&query))),
            here: format!("/app/files/search?q={}", encoded(&query)),
            query,
        })
    });
    remember(page(&rt, &asked, &folder.await?)?, wish)
}

fn remember(mut response: Response, wish: Wish) -> web::Result<Response> {
    response.headers_mut().append(header::SET_COOKIE, HeaderValue::from_str(&wish.cookie())?);
    Ok(response)
}

pub(super) async fn file(State(rt): State<Runtime>, asked: Request, Path(text): Path<String>) -> web::Result<Response> {
    let id = id(&text)?;
    let (top, here) = (top_name(&rt, &asked), asked.target.clone());
    let found = rt.store().read(move |db| {
        let node = read::get(db, &id)?;
        if node.is_folder() {
            return Ok((node, None));
        }
        let ancestors = read::ancestors(db, &id)?;
        let beside = |after| -> anyhow::Result<_> {
            Ok(read::beside(db, &node, after)?.map(|n| Crumb::to(n.name.clone(), page_of(&n))))
        };
        let known = pages::File {
            id: id.to_string(),
            crumbs: crumbs(&top, &ancestors, &node.name),
            file: preview::of(&node, raw_of(&node)),
            public: read::is_public(db, &node)?,
            links: shares::of_node(db, &id)?.len(),
            before: beside(false)?,
            after: beside(true)?,
            back: ancestors.last().map(page_of).unwrap_or_default(),
            from: encoded(&here),
            here,
        };
        Ok((node, Some(known)))
    });
    let (node, known) = found.await?;
    let Some(mut known) = known else { return Ok(web::redirect(&page_of(&node))) };
    preview::fill(&rt, &node, &mut known.file).await?;
    let mut response = page(&rt, &asked, &known)?;
    preview::allow(&mut response, &known.file);
    Ok(response)
}
