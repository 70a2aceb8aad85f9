//! What went wrong, for people (a page) and for programs (RFC 9457), by `Accept`. The log knows more, under the id that is shown.

use std::collections::BTreeMap;

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use portal::pages::{ErrorPage, manage::WayInGone};
use serde::Serialize;
use ui::{Page, View};
use utoipa::openapi::{self, ContentBuilder, Ref, RefOr, ResponseBuilder};

use super::extract::{self, Asker};
use crate::{app::App, certificates, db, domains, names::Refusal, tenants, usage};

/// What a handler gives up with.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug)]
pub enum Error {
    /// There is no such thing, or it is not yours.
    NotFound,
    /// No token, or one that opens nothing.
    SignedOut,
    /// No owner is signed in, or is any more.
    Outside {
        /// One of [`WayInGone::KINDS`].
        kind: &'static str,
        /// The page in the Control panel that leads here, where the percloud is known.
        address: Option<String>,
    },
    /// A token that may not do this.
    Forbidden,
    /// What was sent makes no sense; the field and what is wrong with it, for programs.
    Invalid {
        /// Which field.
        field: &'static str,
        /// What is wrong with it: a stable word and its explanation.
        code: &'static str,
        /// In words.
        detail: String,
    },
    /// It cannot be now: taken, or being deleted.
    Conflict {
        /// A stable word.
        code: &'static str,
        /// In words.
        detail: String,
    },
    /// Too often; after so many seconds again.
    TooMany(u64),
    /// The database is away.
    Unavailable,
    /// Our mistake.
    Internal(anyhow::Error),
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        match error {
            db::Error::Unavailable(_) => Self::Unavailable,
            other => Self::Internal(other.into()),
        }
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        db::Error::from(error).into()
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        db::Error::from(error).into()
    }
}

impl From<tenants::Error> for Error {
    fn from(error: tenants::Error) -> Self {
        let detail = error.to_string();
        match error {
            tenants::Error::NotFound => Self::NotFound,
            tenants::Error::Name(why @ (Refusal::Taken | Refusal::TooAlike)) => {
                Self::Conflict { code: why.key(), detail }
            }
            tenants::Error::Name(why) => Self::Invalid { field: "name", code: why.key(), detail },
            tenants::Error::BeingDeleted => Self::Conflict { code: "being-deleted", detail },
            tenants::Error::Reason => Self::Invalid { field: "reason", code: "reason", detail },
            tenants::Error::Db(error) => error.into(),
        }
    }
}

impl From<domains::Error> for Error {
    fn from(error: domains::Error) -> Self {
        let detail = error.to_string();
        match error {
            domains::Error::NotFound => Self::NotFound,
            domains::Error::Refused(why @ (domains::Refusal::Already | domains::Refusal::Held)) => {
                Self::Conflict { code: why.key(), detail }
            }
            domains::Error::Refused(why) => Self::Invalid { field: "domain", code: why.key(), detail },
            domains::Error::Paused => Self::Conflict { code: "paused", detail },
            domains::Error::Changed => Self::Conflict { code: "changed", detail },
            domains::Error::NoTwin => Self::Invalid { field: "choice", code: "domain.error.no-twin", detail },
            domains::Error::Db(error) => error.into(),
        }
    }
}

impl From<certificates::Error> for Error {
    fn from(error: certificates::Error) -> Self {
        let detail = error.to_string();
        match error {
            certificates::Error::NotFound => Self::NotFound,
            certificates::Error::Going => Self::Conflict { code: "going", detail },
            certificates::Error::Paused => Self::Conflict { code: "paused", detail },
            certificates::Error::Db(error) => error.into(),
        }
    }
}

impl From<usage::prices::Error> for Error {
    fn from(error: usage::prices::Error) -> Self {
        let detail = error.to_string();
        match error {
            usage::prices::Error::NoPrices => Self::Conflict { code: "no-prices", detail },
            usage::prices::Error::NotBegun(_) => Self::Invalid { field: "month", code: "not-begun", detail },
            usage::prices::Error::Db(error) => error.into(),
        }
    }
}

/// An error on its way to [`speak`], which knows who asks.
#[derive(Clone, Debug, Default)]
struct Fault {
    code: Option<&'static str>,
    field: Option<&'static str>,
    detail: Option<String>,
    cause: Option<String>,
    outside: Option<(&'static str, Option<String>)>,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        let mut fault = Fault::default();
        let status = match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::SignedOut => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"percloud\""));
                StatusCode::UNAUTHORIZED
            }
            Self::Outside { kind, address } => {
                fault.outside = Some((kind, address));
                StatusCode::FORBIDDEN
            }
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Invalid { field, code, detail } => {
                fault = Fault { code: Some(code), field: Some(field), detail: Some(detail), ..fault };
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::Conflict { code, detail } => {
                fault = Fault { code: Some(code), detail: Some(detail), ..fault };
                StatusCode::CONFLICT
            }
            Self::TooMany(seconds) => {
                headers.insert(header::RETRY_AFTER, seconds.max(1).into());
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(error) => {
                fault.cause = Some(format!("{error:#}"));
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        let mut response = (status, headers).into_response();
        response.extensions_mut().insert(fault);
        response
    }
}

/// RFC 9457.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// A stable name of this kind of problem, or `about:blank` when the status says it all.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Which field of what was sent is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Under which id the provider's log knows more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

/// What every operation of the API answers to a token that does not open it, for its description.
pub(super) struct Refused;

impl utoipa::IntoResponses for Refused {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let one = |status: &str, description: &str| {
            let problem = Ref::from_schema_name(<Problem as utoipa::ToSchema>::name());
            let content = ContentBuilder::new().schema(Some(problem)).build();
            let answer = ResponseBuilder::new().description(description).content("application/json", content);
            (status.to_owned(), answer.build().into())
        };
        [one("401", "No token, or one that opens nothing."), one("403", "The token lacks the scope.")].into()
    }
}

/// Gives every error its words: those of handlers, and axum's own (405, 413, a body that is no form).
pub(super) async fn speak(State(app): State<App>, request: Request, next: Next) -> Response {
    let (wants_json, lang) =
        (extract::wants_json(request.uri().path(), request.headers()), ui::http::language(request.headers()));
    let asker = Asker::view(&app, request.headers(), request.uri().path());
    let id = extract::request_id(request.headers());
    let response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || response.extensions().get::<Said>().is_some() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let mut fault = parts.extensions.get::<Fault>().cloned().unwrap_or_default();
    if status.is_server_error() {
        let cause = fault.cause.take().unwrap_or_else(|| "no cause".into());
        tracing::error!(id, status = status.as_u16(), cause, "a request failed");
    } else if fault.detail.is_none() && parts.extensions.get::<Fault>().is_none() && wants_json {
        // axum says plainly what it could not read; programs may know.
        fault.detail =
            axum::body::to_bytes(body, 1024).await.ok().and_then(|text| String::from_utf8(text.to_vec()).ok());
    }
    let id = status.is_server_error().then_some(id);
    let view = View { lang, ..asker };
    let mut answer = match fault.outside.take() {
        _ if wants_json => problem(status, fault, id),
        Some((kind, address)) => page(status, &WayInGone { kind, address }, &view),
        None => page(status, &ErrorPage::new(status.as_u16(), id), &view),
    };
    for name in [header::ALLOW, header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
        if let Some(value) = parts.headers.get(&name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().entry(header::RETRY_AFTER).or_insert(HeaderValue::from_static("5"));
    }
    answer
}

fn problem(status: StatusCode, fault: Fault, id: Option<String>) -> Response {
    let problem = Problem {
        kind: fault.code.map_or_else(|| "about:blank".into(), |code| format!("urn:percloud:problem:{code}")),
        title: status.canonical_reason().unwrap_or("Error").to_owned(),
        status: status.as_u16(),
        detail: fault.detail.filter(|detail| !detail.is_empty()),
        field: fault.field.map(ToOwned::to_owned),
        instance: id.map(|id| format!("urn:percloud:request:{id}")),
    };
    let mut response = (status, Json(problem)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn page<P: Page>(status: StatusCode, page: &P, view: &View) -> Response {
    let html = portal::pages().render(page, view);
    let html = html.unwrap_or_else(|error| {
        tracing::error!(error = format!("{error:#}"), "the page for errors does not render");
        String::new()
    });
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, html).into_response()
}

/// An answer with a failing status that says itself what is wrong (a form with its errors).
#[derive(Clone, Copy, Debug)]
pub(super) struct Said;

/// A panic is our mistake like any other.
pub(super) fn panicked(panic: Box<dyn std::any::Any + Send>) -> http::Response<Body> {
    let words =
        panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
    Error::Internal(anyhow::anyhow!("panicked: {}", words.unwrap_or_default())).into_response()
}
