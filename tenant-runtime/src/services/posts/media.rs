//! Pictures over HTTP: `/media/<sha256>.<ext>`.

use axum::{
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};

use super::{markdown, pictures};
use crate::{
    runtime::Runtime,
    web::{Error, Request, Result},
};

/// A picture, for whoever may read a text that shows it.
///
/// # Errors
/// [`Error::NotFound`] for all others.
pub async fn get(
    State(rt): State<Runtime>,
    asked: Request,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let (hash, kind) = markdown::own_image(&format!("/media/{name}")).ok_or(Error::NotFound)?;
    let found = rt.store().read(move |db| Ok((pictures::find(db, &hash)?, pictures::is_public(db, &hash)?))).await?;
    let (picture, is_public) = (found.0.filter(|picture| picture.kind == kind).ok_or(Error::NotFound)?, found.1);
    if !is_public && !asked.signed_in() {
        return Err(Error::NotFound);
    }
    let tag = format!("\"{}\"", picture.blob.sha256);
    // The content under an address never changes, but who may see it does: a day, and only here when it is not for all.
    let cache = if is_public { "public, max-age=86400" } else { "private, no-cache" };
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .any(|value| value.to_str().is_ok_and(|value| value.contains(&tag)));
    let shared = [(header::ETAG, tag), (header::CACHE_CONTROL, cache.to_owned())];
    if known {
        return Ok((StatusCode::NOT_MODIFIED, shared).into_response());
    }
    let file = tokio::fs::File::open(rt.blobs().path(&hash)).await?;
    let body = Body::from_stream(tokio_util::io::ReaderStream::new(file));
    let about = [
        (header::CONTENT_TYPE, picture.kind.media_type().to_owned()),
        (header::CONTENT_LENGTH, picture.blob.size.to_string()),
    ];
    let mut response = (shared, about, body).into_response();
    if is_public {
        // Feed readers in a browser show it on their own pages.
        response.headers_mut().insert("cross-origin-resource-policy", http::HeaderValue::from_static("cross-origin"));
    }
    Ok(response)
}
