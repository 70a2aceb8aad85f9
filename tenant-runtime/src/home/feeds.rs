//! The feeds over HTTP: cheap to ask for again (ETag, Last-Modified).

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::Digest;

use crate::{
    runtime::Runtime,
    services::posts::{
        Post,
        feeds::{self, Site},
        store::{self, Which},
    },
    web::Result,
};

/// Posts in a feed.
const ENTRIES: usize = 30;

/// `/feed.atom`.
///
/// # Errors
/// When the store does not answer.
pub async fn atom(State(rt): State<Runtime>, headers: HeaderMap) -> Result<Response> {
    answer(&rt, &headers, "application/atom+xml; charset=utf-8", |site, posts| feeds::atom(site, posts).into_bytes())
        .await
}

/// `/feed.json`.
///
/// # Errors
/// When the store does not answer.
pub async fn json(State(rt): State<Runtime>, headers: HeaderMap) -> Result<Response> {
    answer(&rt, &headers, "application/feed+json; charset=utf-8", feeds::json).await
}

async fn answer(
    rt: &Runtime,
    asked: &HeaderMap,
    kind: &'static str,
    write: fn(&Site, &[Post]) -> Vec<u8>,
) -> Result<Response> {
    let origin = rt.spec().origin();
    let (body, changed) = rt
        .store()
        .read(move |db| {
            let site = Site::of(&crate::settings::get(db)?, &origin);
            let (posts, _) = store::list(db, &Which::Listed, "", 0, ENTRIES)?;
            Ok((write(&site, &posts), store::changed_at(db)?))
        })
        .await?;
    let tag = format!("\"{}\"", &hex::encode(sha2::Sha256::digest(&body))[..32]);
    let mut response = match is_known(asked, &tag, changed) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, kind)], body).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::from_str(&tag).map_err(http::Error::from)?);
    headers.insert(header::LAST_MODIFIED, HeaderValue::from_str(&http_date(changed)).map_err(http::Error::from)?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    // A feed is for other sites to read.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    Ok(response)
}

/// Whether whoever asks has it already. The tag decides; the date only where there is no tag (RFC 9110 §13.1.3).
fn is_known(asked: &HeaderMap, tag: &str, changed: DateTime<Utc>) -> bool {
    let text = |name| asked.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(tags) = text(header::IF_NONE_MATCH) {
        return tags
            .split(',')
            .any(|one| matches!(one.trim().trim_start_matches("W/"), one if one == tag || one == "*"));
    }
    let since = text(header::IF_MODIFIED_SINCE).and_then(|text| DateTime::parse_from_rfc2822(text).ok());
    since.is_some_and(|since| changed <= since)
}

fn http_date(at: DateTime<Utc>) -> String {
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
