//! How a handler answers: a page, or a way to go on.

use std::collections::BTreeMap;

use axum::response::{Html, IntoResponse, Response};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use ui::{Page, Toast, View};

use super::{Request, Result};
use crate::{auth::sessions, runtime::Runtime, settings};

/// The cookie that carries a toast over a redirect.
pub(super) const TOAST: &str = "__Host-toast";

/// Renders a page for whoever asks.
///
/// # Errors
/// When the template fails (a programmer's mistake) or the store does not answer.
pub fn page<P: Page>(rt: &Runtime, req: &Request, page: &P) -> Result<Response> {
    page_with_status(rt, req, page, StatusCode::OK)
}

/// Renders a page with a status of its own: a form with errors is a 422.
///
/// # Errors
/// When the template fails (a programmer's mistake) or the store does not answer.
pub fn page_with_status<P: Page>(rt: &Runtime, req: &Request, page: &P, status: StatusCode) -> Result<Response> {
    let mut response = html(status, render(rt, req, page)?, req.signed_in());
    if req.toast.is_some() {
        response.headers_mut().append(
            header::SET_COOKIE,
            HeaderValue::from_static("__Host-toast=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"),
        );
    }
    Ok(response)
}

/// The text of a page for whoever asks.
///
/// # Errors
/// As [`page`].
pub(crate) fn render<P: Page>(rt: &Runtime, req: &Request, page: &P) -> anyhow::Result<String> {
    let settings = rt.store().read_now(settings::get)?;
    let view = View {
        lang: req.lang,
        path: req.path.clone(),
        site: settings.title(rt.spec()),
        signed_in: req.signed_in(),
        avatar: settings.avatar_url(),
        accent: settings.accent,
        toast: req.toast.clone(),
        theme: req.theme.unwrap_or(settings.theme),
        now: Some(rt.clock().now()),
    };
    rt.pages().render(page, &view)
}

/// The answer that a page is, for its owner or a visitor.
pub(crate) fn html(status: StatusCode, page: String, signed_in: bool) -> Response {
    let mut response = (status, Html(page)).into_response();
    let headers = response.headers_mut();
    // Shared caches never keep a page: it differs by language, cookie and moment.
    let cache = if signed_in { "private, no-store" } else { "private, no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("cookie, accept-language, accept"));
    response
}

/// Sends the browser on (303), to a path of ours.
#[must_use]
pub fn redirect(to: &str) -> Response {
    let location = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// Sends the browser on (303) with a message that the next page shows once; `undo` is where a POST takes it back.
#[must_use]
pub fn redirect_with_toast(to: &str, key: &str, args: &[(&str, &str)], undo: Option<&str>) -> Response {
    let mut response = redirect(to);
    if let Some(cookie) = toast_cookie(key, args, undo) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

#[derive(Serialize, Deserialize)]
struct Kept {
    k: String,
    a: BTreeMap<String, String>,
    u: Option<String>,
}

/// The cookie that makes the next page show a message; none when it would be too long.
#[must_use]
pub fn toast_cookie(key: &str, args: &[(&str, &str)], undo: Option<&str>) -> Option<HeaderValue> {
    let short = |text: &str| text.chars().take(120).collect::<String>();
    let args = args.iter().map(|(name, value)| ((*name).to_owned(), short(value))).collect();
    let kept = Kept { k: key.to_owned(), a: args, u: undo.map(str::to_owned) };
    let value = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&kept).ok()?);
    let cookie = format!("{TOAST}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60");
    (cookie.len() < 3800).then(|| HeaderValue::from_str(&cookie).ok())?
}

/// Reads a toast's cookie; whatever is not as we write it is no toast.
pub(super) fn read_toast(value: &str) -> Option<Toast> {
    let kept: Kept = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(value).ok()?).ok()?;
    let undo = kept.u.filter(|path| path.starts_with('/') && !path.starts_with("//"));
    Some(Toast { key: kept.k, args: kept.a, undo })
}

/// The session's cookie, for as long as a session lives without use.
pub(crate) fn session_cookie(token: &str) -> HeaderValue {
    let (name, age) = (sessions::COOKIE, sessions::LIFE.num_seconds());
    let cookie = format!("{name}={token}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age}");
    HeaderValue::from_str(&cookie).unwrap_or(HeaderValue::from_static("__Host-session="))
}

/// The cookie that ends a session in the browser.
pub(crate) fn no_session_cookie() -> HeaderValue {
    HeaderValue::from_static("__Host-session=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}
