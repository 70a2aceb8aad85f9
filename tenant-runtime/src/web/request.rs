//! Who asks, and how they want to be answered.

use std::{convert::Infallible, net::IpAddr};

use axum::{
    extract::{FromRequestParts, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use ui::{Lang, Theme, Toast};

use super::respond;
use crate::{
    auth::sessions::{self, Session},
    runtime::{Place, Runtime},
    settings,
};

/// The address of the browser, put into a request's extensions by whoever accepted the connection.
#[derive(Clone, Copy, Debug)]
pub struct Client(pub IpAddr);

/// Who asks and how; an extractor.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The language to answer in.
    pub lang: Lang,
    /// The path asked for.
    pub path: String,
    /// Path and query asked for.
    pub target: String,
    /// The owner's session; none: a visitor.
    pub session: Option<Session>,
    /// A program asks, not a person: answer with JSON.
    pub wants_json: bool,
    /// The browser's address. Never to be logged.
    pub client: Option<IpAddr>,
    /// What was done just before, to be said once.
    pub toast: Option<Toast>,
    /// Browser and system in a few words.
    pub device: String,
    /// Light or dark, as this browser chose; none: as the owner chose.
    pub theme: Option<Theme>,
}

impl<S: Sync> FromRequestParts<S> for Request {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

impl Request {
    /// Whether the owner is signed in.
    #[must_use]
    pub fn signed_in(&self) -> bool {
        self.session.is_some()
    }
}

/// Finds out who asks, for all that comes after; keeps a session that is in use alive.
pub async fn attach(State(rt): State<Runtime>, mut request: axum::extract::Request, next: Next) -> Response {
    let asked = look(&rt, request.headers(), request.uri(), request.extensions().get().copied());
    let stale = asked.session.as_ref().filter(|session| session.is_stale(rt.clock().now())).map(|s| s.id.clone());
    let token = stale.as_ref().and_then(|_| cookie(request.headers(), sessions::COOKIE));
    request.extensions_mut().insert(asked);
    let mut response = next.run(request).await;
    if let (Some(id), Some(token)) = (stale, token) {
        let now = rt.clock().now();
        let touched = rt.store().write(move |tx| sessions::touch(tx, &id, now)).await;
        // A handler that set this cookie itself (sign-out) has the last word.
        if touched.is_ok() && !sets_session(response.headers()) {
            response.headers_mut().append(header::SET_COOKIE, respond::session_cookie(&token));
        }
    }
    response
}

fn sets_session(headers: &HeaderMap) -> bool {
    headers.get_all(header::SET_COOKIE).iter().any(|value| value.as_bytes().starts_with(sessions::COOKIE.as_bytes()))
}

fn look(rt: &Runtime, headers: &HeaderMap, uri: &http::Uri, client: Option<Client>) -> Request {
    let path = uri.path().to_owned();
    let (session, chosen) = match cookie(headers, sessions::COOKIE) {
        Some(token) if !path.starts_with("/assets/") => known(rt, &token),
        _ => (None, None),
    };
    let client = match rt.place() {
        Place::Hosted => forwarded_for(headers),
        Place::Home => client.map(|client| client.0),
    };
    Request {
        lang: language(rt, headers, chosen),
        target: uri.path_and_query().map_or_else(|| path.clone(), ToString::to_string),
        path,
        session,
        wants_json: wants_json(headers),
        client,
        toast: cookie(headers, respond::TOAST).and_then(|value| respond::read_toast(&value)),
        theme: cookie(headers, "theme").and_then(|code| Theme::from_code(&code)),
        device: sessions::device(text(headers, &header::USER_AGENT).unwrap_or_default()),
    }
}

/// The cookie's language, else the owner's choice, else what the browser says, else what the owner signed up in.
fn language(rt: &Runtime, headers: &HeaderMap, chosen: Option<Lang>) -> Lang {
    let cookie = cookie(headers, "lang").and_then(|code| Lang::from_code(&code));
    let asked = || headers.contains_key(header::ACCEPT_LANGUAGE).then(|| ui::http::language(headers));
    cookie.or(chosen).or_else(asked).or_else(|| Lang::from_code(&rt.spec().language)).unwrap_or_default()
}

/// The session of a cookie, and the language that its owner chose.
fn known(rt: &Runtime, token: &str) -> (Option<Session>, Option<Lang>) {
    let now = rt.clock().now();
    let found = rt.store().read_now(|db| {
        let session = sessions::find(db, token, now)?;
        let language = if session.is_some() { settings::get(db)?.language } else { None };
        Ok((session, language))
    });
    found.unwrap_or_else(|error| {
        tracing::error!(error = format!("{error:#}"), "a session cannot be looked up");
        (None, None)
    })
}

/// The last address in `X-Forwarded-For`: the one that the edge wrote.
fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    last.rsplit(',').next()?.trim().parse().ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok())
}

/// The value of a cookie.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// A program says so; a browser's page load does not.
fn wants_json(headers: &HeaderMap) -> bool {
    let accept = text(headers, &header::ACCEPT).unwrap_or_default();
    accept.contains("json") && !accept.contains("text/html")
}
