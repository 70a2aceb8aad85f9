//! tus 1.0.0: creation, creation-with-upload, expiration, termination. <https://tus.io/protocols/resumable-upload>

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{Path, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::{get, head},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::{Metadata, Upload, active::Active, receive, rows};
use crate::{quota, runtime::Runtime, web};

const RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const LENGTH: HeaderName = HeaderName::from_static("upload-length");
const METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
/// Ours: the address of what a finished upload became.
const RESULT: HeaderName = HeaderName::from_static("upload-result");
const VERSION: &str = "1.0.0";
const BYTES: &str = "application/offset+octet-stream";
/// What one `Upload-Metadata` may be.
const METADATA_LIMIT: usize = 16 << 10;

pub(super) fn routes() -> Router<Runtime> {
    Router::new()
        .route("/app/uploads/", get(unfinished).post(create).options(options))
        .route("/app/uploads/{id}", head(look).patch(append).delete(terminate).post(overridden).options(options))
        .layer(axum::middleware::from_fn(speaks_tus))
        .layer(Extension(Active::default()))
}

/// A new upload's id: 128 random bits.
pub(super) fn new_id() -> String {
    data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 16]>()).to_lowercase()
}

/// Every request but OPTIONS and GET names the version; every answer does.
async fn speaks_tus(request: Request, next: Next) -> Response {
    let exempt = matches!(*request.method(), Method::OPTIONS | Method::GET);
    let fits = request.headers().get(RESUMABLE).is_some_and(|v| v == VERSION);
    let mut response = match exempt || fits {
        true => next.run(request).await,
        false => StatusCode::PRECONDITION_FAILED.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(RESUMABLE, HeaderValue::from_static(VERSION));
    headers.insert(HeaderName::from_static("tus-version"), HeaderValue::from_static(VERSION));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn options() -> impl IntoResponse {
    let extensions = "creation,creation-with-upload,expiration,termination";
    (StatusCode::NO_CONTENT, [(HeaderName::from_static("tus-extension"), extensions)])
}

#[derive(serde::Serialize)]
struct Unfinished {
    url: String,
    purpose: String,
    metadata: Metadata,
    length: u64,
    received: u64,
    expires_at: chrono::DateTime<chrono::Utc>,
}

/// What was begun and can go on; ours, not of tus.
async fn unfinished(State(rt): State<Runtime>) -> web::Result<Json<Vec<Unfinished>>> {
    let list = rt.store().read(rows::unfinished).await?;
    let entry = |u: Upload| Unfinished {
        url: address(&u.id),
        purpose: u.purpose,
        metadata: u.metadata,
        length: u.length,
        received: u.received,
        expires_at: u.expires_at,
    };
    Ok(Json(list.into_iter().map(entry).collect()))
}

async fn create(
    State(rt): State<Runtime>,
    Extension(active): Extension<Active>,
    headers: HeaderMap,
    body: Body,
) -> web::Result<Response> {
    let length: u64 = number(&headers, &LENGTH).ok_or(web::Error::Invalid("uploads.length"))?;
    let metadata = metadata(&headers)?;
    let purpose = super::purpose(metadata.get("purpose").map_or("files", String::as_str))?;
    let id = new_id();
    let (row_id, now, spec) = (id.clone(), rt.clock().now(), rt.spec().clone());
    rt.store()
        .write(move |tx| {
            quota::ensure_room(tx, &spec, length.saturating_add(super::reserved(tx)?))?;
            purpose.check(tx, &metadata)?;
            rows::insert(tx, &row_id, purpose.name(), &metadata, length, now)
        })
        .await?;
    let turn = active.enter(&id).await;
    let mut upload = get_upload(&rt, &id).await?;
    if headers.get(header::CONTENT_TYPE).is_some_and(|v| v == BYTES) || length == 0 {
        let (appended, end) = receive::append(&rt, upload, body.into_data_stream(), &turn.over).await?;
        refuse_surplus(end)?;
        upload = receive::finish(&rt, appended).await?;
    }
    let mut response = (StatusCode::CREATED, describe(&upload)).into_response();
    response.headers_mut().insert(header::LOCATION, value(&address(&id)));
    Ok(response)
}

async fn look(
    State(rt): State<Runtime>,
    Extension(active): Extension<Active>,
    Path(id): Path<String>,
) -> web::Result<Response> {
    let _turn = active.enter(&id).await;
    let upload = receive::finish(&rt, get_upload(&rt, &id).await?).await?;
    let mut headers = describe(&upload);
    headers.insert(LENGTH, upload.length.into());
    let pairs = upload.metadata.iter().map(|(k, v)| format!("{k} {}", BASE64_STANDARD.encode(v)));
    headers.insert(METADATA, value(&pairs.collect::<Vec<_>>().join(",")));
    Ok((StatusCode::OK, headers).into_response())
}

async fn append(
    State(rt): State<Runtime>,
    Extension(active): Extension<Active>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> web::Result<Response> {
    if headers.get(header::CONTENT_TYPE).is_none_or(|v| v != BYTES) {
        return Ok(StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response());
    }
    let offset: u64 = number(&headers, &OFFSET).ok_or(web::Error::Invalid("uploads.offset"))?;
    let turn = active.enter(&id).await;
    let upload = get_upload(&rt, &id).await?;
    if upload.received != offset {
        return Err(web::Error::Conflict("uploads.offset"));
    }
    let (upload, end) = match upload.blob {
        Some(_) => (upload, receive::End::Whole),
        None => receive::append(&rt, upload, body.into_data_stream(), &turn.over).await?,
    };
    refuse_surplus(end)?;
    let upload = receive::finish(&rt, upload).await?;
    Ok((StatusCode::NO_CONTENT, describe(&upload)).into_response())
}

async fn terminate(
    State(rt): State<Runtime>,
    Extension(active): Extension<Active>,
    Path(id): Path<String>,
) -> web::Result<Response> {
    let _turn = active.enter(&id).await;
    get_upload(&rt, &id).await?;
    let row_id = id.clone();
    rt.store().write(move |tx| rows::delete(tx, &row_id)).await?;
    // Gone already when it was whole; a file left over by a crash here is swept.
    let _ = std::fs::remove_file(rt.blobs().partial(&id));
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// For clients that can only POST.
async fn overridden(
    state: State<Runtime>,
    active: Extension<Active>,
    path: Path<String>,
    headers: HeaderMap,
    body: Body,
) -> web::Result<Response> {
    match headers.get("x-http-method-override").map(HeaderValue::as_bytes) {
        Some(b"PATCH") => append(state, active, path, headers, body).await,
        Some(b"DELETE") => terminate(state, active, path).await,
        _ => Ok(StatusCode::METHOD_NOT_ALLOWED.into_response()),
    }
}

fn refuse_surplus(end: receive::End) -> web::Result<()> {
    match end {
        receive::End::TooLong => Err(web::Error::TooLarge),
        _ => Ok(()),
    }
}

async fn get_upload(rt: &Runtime, id: &str) -> web::Result<Upload> {
    let (id, now) = (id.to_owned(), rt.clock().now());
    let upload = rt.store().read(move |db| rows::find(db, &id)).await?;
    upload.filter(|u| u.expires_at > now).ok_or(web::Error::NotFound)
}

fn address(id: &str) -> String {
    format!("/app/uploads/{id}")
}

fn describe(upload: &Upload) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(OFFSET, upload.received.into());
    headers.insert(EXPIRES, value(&upload.expires_at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()));
    if let Some(result) = &upload.result {
        headers.insert(RESULT, value(result));
    }
    headers
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    // SQLite counts up to 2^63 - 1.
    headers.get(name)?.to_str().ok()?.parse().ok().filter(|n| i64::try_from(*n).is_ok())
}

/// Reads `Upload-Metadata`: pairs of a key and a base64 text.
pub(super) fn metadata(headers: &HeaderMap) -> web::Result<Metadata> {
    let bad = || web::Error::Invalid("uploads.metadata");
    let Some(text) = headers.get(METADATA) else { return Ok(Metadata::new()) };
    let text = text.to_str().ok().filter(|t| t.len() <= METADATA_LIMIT).ok_or_else(bad)?;
    let mut pairs = Metadata::new();
    for pair in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (key, encoded) = pair.split_once(' ').unwrap_or((pair, ""));
        let bytes = BASE64_STANDARD.decode(encoded.trim()).map_err(|_| bad())?;
        let text = String::from_utf8(bytes).map_err(|_| bad())?;
        pairs.insert(key.to_owned(), text);
    }
    Ok(pairs)
}
