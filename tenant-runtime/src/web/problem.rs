//! Every refusal becomes a page for people or problem+json for programs.

use std::sync::Arc;

use axum::{
    extract::State,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header};
use serde::Serialize;

use super::{Error, Request, page_with_status, redirect};
use crate::runtime::Runtime;

/// What [`Error`] leaves for [`explain`].
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) key: &'static str,
    pub(super) wait: Option<u64>,
    pub(super) source: Option<Arc<str>>,
}

/// The page that says what happened, that nothing is lost, and what to do now.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorPage {
    /// The HTTP status.
    pub status: u16,
    /// The message that says it in three words.
    pub title: &'static str,
    /// The drawing above.
    pub drawing: &'static str,
    /// The message that says what happened.
    pub key: String,
    /// Minutes to wait, rounded up.
    pub wait_minutes: Option<u64>,
    /// The id under which the log knows more.
    pub id: Option<String>,
}

impl ui::Page for ErrorPage {
    const TEMPLATE: &'static str = "core/error.html";
    fn samples() -> Vec<Self> {
        let keys = [
            (404, "error.not-found"),
            (410, "error.gone"),
            (403, "error.cross-site"),
            (405, "error.method"),
            (408, "error.slow"),
            (413, "error.too-large"),
            (421, "error.wrong-host"),
            (422, "error.bad-request"),
            (401, "error.signed-out"),
            (507, "error.no-room"),
        ];
        let mut all: Vec<_> = keys.into_iter().map(|(status, key)| Self::new(status, key, None, None)).collect();
        all.push(Self::new(429, "error.too-many", Some(5), None));
        all.push(Self::new(500, "error.internal", None, Some("7f3a9c21".into())));
        all
    }
}

impl ErrorPage {
    fn new(status: u16, key: &str, wait_minutes: Option<u64>, id: Option<String>) -> Self {
        let (title, drawing) = match status {
            404 => ("error.title.lost", "lost"),
            410 => ("error.title.gone", "lost"),
            429 => ("error.title.slow", "moon"),
            507 => ("error.title.full", "parcel"),
            500.. => ("error.title.ours", "other"),
            _ => ("error.title.no", "other"),
        };
        Self { status, title, drawing, key: key.to_owned(), wait_minutes, id }
    }
}

/// Turns what handlers (and axum itself) refuse into a page or problem+json, and logs what is our own fault, once.
pub async fn explain(
    State(rt): State<Runtime>,
    asked: Request,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    let response = next.run(request).await;
    let Some(problem) = problem_of(&response) else { return response };
    let id = problem.source.as_ref().map(|source| {
        let id = format!("{:08x}", rand::random::<u32>());
        tracing::error!(error.id = id, error = &**source, "a request failed");
        id
    });
    if problem.status == StatusCode::UNAUTHORIZED && !asked.wants_json && method == Method::GET {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("next", &asked.target).finish();
        return redirect(&format!("/sign-in?{query}"));
    }
    let headers = response.headers();
    let kept: Vec<_> = [header::ALLOW, header::RETRY_AFTER, header::CONTENT_RANGE, header::SET_COOKIE]
        .into_iter()
        .filter_map(|name| headers.get(&name).cloned().map(|value| (name, value)))
        .collect();
    let mut answer = answer(&rt, &asked, &problem, id);
    answer.headers_mut().extend(kept);
    if let Some(wait) = problem.wait {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
    }
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// What a response refuses. A body with a type of its own was meant for the reader and is left alone.
fn problem_of(response: &Response) -> Option<Problem> {
    if let Some(problem) = response.extensions().get::<Problem>() {
        return Some(problem.clone());
    }
    let status = response.status();
    let plain =
        response.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !(status.is_client_error() || status.is_server_error()) || !plain || status == StatusCode::RANGE_NOT_SATISFIABLE
    {
        return None;
    }
    let key = match status {
        StatusCode::NOT_FOUND => "error.not-found",
        StatusCode::GONE => "error.gone",
        StatusCode::METHOD_NOT_ALLOWED => "error.method",
        StatusCode::REQUEST_TIMEOUT => "error.slow",
        StatusCode::PAYLOAD_TOO_LARGE => "error.too-large",
        StatusCode::MISDIRECTED_REQUEST => "error.wrong-host",
        StatusCode::FORBIDDEN => "error.cross-site",
        StatusCode::INTERNAL_SERVER_ERROR => "error.internal",
        _ if status.is_client_error() => "error.bad-request",
        _ => return None,
    };
    Some(Problem { status, key, wait: None, source: None })
}

fn answer(rt: &Runtime, asked: &Request, problem: &Problem, id: Option<String>) -> Response {
    let minutes = problem.wait.map(|seconds| seconds.div_ceil(60));
    let page = ErrorPage::new(problem.status.as_u16(), problem.key, minutes, id);
    if asked.wants_json {
        return json(rt, asked, problem, &page);
    }
    match page_with_status(rt, asked, &page, problem.status) {
        Ok(response) => response,
        Err(Error::Internal(error)) => {
            tracing::error!(error = format!("{error:#}"), "the error page cannot be rendered");
            problem.status.into_response()
        }
        Err(_) => problem.status.into_response(),
    }
}

fn json(rt: &Runtime, asked: &Request, problem: &Problem, page: &ErrorPage) -> Response {
    let args = page.wait_minutes.map(|n| ("count".to_owned(), n.to_string())).into_iter().collect();
    let body = serde_json::json!({
        "type": "about:blank",
        "title": problem.status.canonical_reason(),
        "status": page.status,
        "detail": rt.pages().message(asked.lang, &page.key, &args),
        "key": page.key,
        "id": page.id,
    });
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    (problem.status, kind, body.to_string()).into_response()
}
