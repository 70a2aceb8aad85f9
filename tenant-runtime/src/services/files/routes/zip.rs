//! Several files and folders as one ZIP: laid out before the first byte, so that its length is known and it can be resumed.

use std::{collections::HashMap, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bundle::{
    Sum, paths,
    zip::{Entry, Layout},
};
use http::{HeaderMap, Method, StatusCode, header};
use rusqlite::Connection;

use super::fields::Fields;
use crate::{
    blobs::Blobs,
    runtime::Runtime,
    services::files::{
        content::{self, Part},
        node::{Id, Node},
        store::read,
    },
    web,
};

pub(super) async fn get(
    State(rt): State<Runtime>,
    method: Method,
    headers: HeaderMap,
    fields: Fields,
) -> web::Result<Response> {
    let ids = fields.ids()?;
    let nodes =
        rt.store().read(move |db| Ok(ids.iter().map(|id: &Id| read::get(db, id)).collect::<web::Result<Vec<_>>>()?));
    send(&rt, &method, &headers, nodes.await?).await
}

/// Sends things as one ZIP, called as the only one of them, or "Files".
pub(super) async fn send(rt: &Runtime, method: &Method, asked: &HeaderMap, nodes: Vec<Node>) -> web::Result<Response> {
    let name = match nodes.as_slice() {
        [only] if !only.id.is_top() => only.name.clone(),
        _ => "Files".to_owned(),
    };
    let (base, blobs) = (paths::safe_name(&name), rt.blobs().clone());
    let layout = rt.store().read(move |db| layout(db, &base, &nodes, blobs)).await?;
    let etag = format!("\"{}\"", &layout.etag()[..32]);
    let part = content::part(method, asked, &etag, layout.size());
    let mut response = match part {
        Part::Unchanged => StatusCode::NOT_MODIFIED.into_response(),
        Part::Beyond => StatusCode::RANGE_NOT_SATISFIABLE.into_response(),
        Part::Whole => answer(&layout, method, StatusCode::OK, 0, layout.size()),
        Part::Range(from, to) => answer(&layout, method, StatusCode::PARTIAL_CONTENT, from, to + 1),
    };
    let headers = response.headers_mut();
    match part {
        Part::Range(from, to) => {
            headers.insert(header::CONTENT_RANGE, format!("bytes {from}-{to}/{}", layout.size()).try_into()?);
        }
        Part::Beyond => drop(headers.insert(header::CONTENT_RANGE, format!("bytes */{}", layout.size()).try_into()?)),
        Part::Whole | Part::Unchanged => {}
    }
    headers.insert(header::ETAG, etag.try_into()?);
    headers.insert(header::ACCEPT_RANGES, "bytes".try_into()?);
    headers.insert(header::CONTENT_TYPE, "application/zip".try_into()?);
    headers.insert(header::CACHE_CONTROL, "private, no-cache".try_into()?);
    headers.insert(header::CONTENT_DISPOSITION, content::disposition(&format!("{name}.zip"), false)?);
    Ok(response)
}

fn layout(db: &Connection, base: &str, nodes: &[Node], blobs: Blobs) -> anyhow::Result<Arc<Layout>> {
    let mut names = Tree::default();
    let mut entries = Vec::new();
    for node in nodes {
        // The only folder is the ZIP's own; several things lie beside each other in it.
        let root = if nodes.len() == 1 && node.is_folder() { String::new() } else { names.give("", &node.name) };
        let mut folders = HashMap::from([(node.id.clone(), root.clone())]);
        for (_, inner) in read::tree(db, node)? {
            let path = match (&inner.parent, inner.id == node.id) {
                (Some(parent), false) => names.give(folders.get(parent).map_or("", String::as_str), &inner.name),
                _ => root.clone(),
            };
            match inner.blob {
                Some(b) => entries.push(Entry::blob(path, Sum { sha256: b.sha256.0, crc32: b.crc32, size: b.size })),
                None => drop(folders.insert(inner.id, path)),
            }
        }
    }
    let open = move |sha256: &[u8; 32]| -> std::io::Result<Box<dyn bundle::zip::Content>> {
        Ok(Box::new(blobs.read(&crate::blobs::Hash(*sha256))?))
    };
    let layout =
        Layout::download(base, entries, Arc::new(open)).map_err(|why| anyhow::anyhow!("cannot lay out: {why:?}"))?;
    Ok(Arc::new(layout))
}

/// Safe names, each unique in its folder.
#[derive(Default)]
struct Tree(HashMap<String, paths::Names>);

impl Tree {
    fn give(&mut self, folder: &str, name: &str) -> String {
        let name = self.0.entry(folder.to_owned()).or_default().give(name);
        if folder.is_empty() { name } else { format!("{folder}/{name}") }
    }
}

fn answer(layout: &Arc<Layout>, method: &Method, status: StatusCode, from: u64, to: u64) -> Response {
    let body = if *method == Method::HEAD { Body::empty() } else { stream(layout, from, to) };
    (status, [(header::CONTENT_LENGTH, to - from)], body).into_response()
}

/// Reads on a thread of its own, a little ahead of the network.
fn stream(layout: &Arc<Layout>, from: u64, to: u64) -> Body {
    let pieces = layout.read(from..to);
    let (send, receive) = tokio::sync::mpsc::channel(8);
    tokio::task::spawn_blocking(move || {
        for piece in pieces {
            if send.blocking_send(piece).is_err() {
                return; // the visitor has left
            }
        }
    });
    Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(receive))
}
