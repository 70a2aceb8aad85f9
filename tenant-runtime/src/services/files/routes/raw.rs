//! A file's content for the owner.

use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};
use http::{HeaderMap, Method};

use super::list::id;
use crate::{
    runtime::Runtime,
    services::files::{
        content::{self, Sending},
        node::Node,
        store::read,
    },
    web,
};

pub(super) async fn get(
    State(rt): State<Runtime>,
    method: Method,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    Path((text, _name)): Path<(String, String)>,
) -> web::Result<Response> {
    let id = id(&text)?;
    // What lies in the trash can still be looked at.
    let node = rt.store().read(move |db| read::find(db, &id)).await?.ok_or(web::Error::NotFound)?;
    send(&rt, &method, &headers, query.as_deref(), &node).await
}

/// Sends a file's content; `?download` asks to save it.
pub(super) async fn send(
    rt: &Runtime,
    method: &Method,
    headers: &HeaderMap,
    query: Option<&str>,
    node: &Node,
) -> web::Result<Response> {
    let blob = node.blob.as_ref().ok_or(web::Error::NotFound)?;
    let download = query.is_some_and(|query| query.starts_with("download"));
    content::send(rt, method, headers, Sending { blob, name: &node.name, mime: &node.mime, download }).await
}
