//! What stands before the handlers: the right host, a suspended or closed percloud, the owner's door.

use axum::{extract::State, middleware::Next, response::Response};
use http::{StatusCode, header};
use serde::Serialize;

use super::{Error, Request, Result, page_with_status};
use crate::{auth, runtime::Runtime};

/// Lets the owner in; everybody else signs in first.
///
/// # Errors
/// [`Error::SignedOut`].
pub async fn signed_in(asked: Request, request: axum::extract::Request, next: Next) -> Result<Response> {
    if asked.session.is_none() {
        return Err(Error::SignedOut);
    }
    Ok(next.run(request).await)
}

/// Answers 421 to requests for another name than ours, the one before included: no page of ours under a name that somebody else chose.
pub async fn right_host(State(rt): State<Runtime>, request: axum::extract::Request, next: Next) -> Response {
    use axum::response::IntoResponse;
    let header = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let host = request.uri().authority().map(http::uri::Authority::as_str).or(header);
    let ours = host.is_some_and(|host| is_ours(&rt, host)) || request.uri().path() == "/healthz";
    if ours { next.run(request).await } else { StatusCode::MISDIRECTED_REQUEST.into_response() }
}

fn is_ours(rt: &Runtime, host: &str) -> bool {
    let (name, port) = host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let port = match port {
        None => true,
        Some(port) => port.parse() == Ok(rt.spec().port),
    };
    let (name, spec) = (name.trim_end_matches('.'), rt.spec());
    port && std::iter::once(&spec.domain).chain(&spec.also).any(|ours| name.eq_ignore_ascii_case(ours.as_str()))
}

/// The page of a percloud that its provider suspended.
#[derive(Clone, Debug, Serialize)]
pub struct Suspended {
    /// The provider's reason; shown to the owner only.
    pub reason: Option<String>,
    /// The provider's name.
    pub provider: Option<String>,
}

impl ui::Page for Suspended {
    const TEMPLATE: &'static str = "core/suspended.html";
    fn samples() -> Vec<Self> {
        vec![
            Self { reason: None, provider: None },
            Self { reason: Some("The contract ended.".into()), provider: None },
            Self { reason: Some("The contract ended on 1 October.".into()), provider: Some("Example Cloud".into()) },
        ]
    }
}

/// The page of a percloud whose owner asked for its deletion.
#[derive(Clone, Debug, Serialize)]
pub struct Closed {}

impl ui::Page for Closed {
    const TEMPLATE: &'static str = "core/closed.html";
    fn samples() -> Vec<Self> {
        vec![Self {}]
    }
}

/// While the provider has suspended the percloud, its owner may sign in and take everything along; nothing else answers.
///
/// # Errors
/// When the page cannot be rendered.
pub async fn suspended(
    State(rt): State<Runtime>,
    asked: Request,
    request: axum::extract::Request,
    next: Next,
) -> Result<Response> {
    let Some(reason) = &rt.spec().suspended else { return Ok(next.run(request).await) };
    let path = request.uri().path();
    let open = ["/control/export", "/exports", "/assets/"].iter().any(|start| path.starts_with(start));
    if open || ["/sign-in", "/sign-out", "/recover", "/healthz"].contains(&path) {
        return Ok(next.run(request).await);
    }
    let page = Suspended {
        reason: asked.signed_in().then(|| reason.clone()),
        provider: rt.spec().provider.as_ref().map(|provider| provider.name.clone()),
    };
    page_with_status(&rt, &asked, &page, StatusCode::SERVICE_UNAVAILABLE)
}

/// Once the owner has asked for deletion, visitors find the percloud closed; the owner can still take it back.
///
/// # Errors
/// When the store does not answer.
pub async fn closed(
    State(rt): State<Runtime>,
    asked: Request,
    request: axum::extract::Request,
    next: Next,
) -> Result<Response> {
    let closing = rt.store().read_now(|db| Ok(auth::owner(db)?.is_some_and(|owner| owner.delete_after.is_some())))?;
    if closing && !asked.signed_in() {
        return page_with_status(&rt, &asked, &Closed {}, StatusCode::GONE);
    }
    Ok(next.run(request).await)
}
