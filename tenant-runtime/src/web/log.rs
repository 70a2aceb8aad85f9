//! One line for each request: what was asked for and how it went, never who asked or what for.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::HeaderMap;

use crate::runtime::{Place, Runtime};

/// The route that a request took, to be filled in by [`note_route`].
#[derive(Clone, Default)]
struct Route(Arc<OnceLock<Arc<str>>>);

/// Tells [`log`], which stands before the routes, which of them was taken.
pub async fn note_route(request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    if let (Some(Route(taken)), Some(path)) = (extensions.get(), extensions.get::<MatchedPath>()) {
        let _first = taken.set(path.as_str().into());
    }
    next.run(request).await
}

/// The same, for what is answered before the routes.
pub(crate) fn note_as(request: &Request, route: &'static str) {
    if let Some(Route(taken)) = request.extensions().get() {
        let _first = taken.set(route.into());
    }
}

/// Logs a request by its route (not its path, which holds names of files), status and time.
pub async fn log(State(rt): State<Runtime>, mut request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = request.method().clone();
    let route = Route::default();
    request.extensions_mut().insert(route.clone());
    // Whoever stands before us at home is anybody; only the edge's word goes into the log.
    let told =
        (rt.place() == Place::Hosted).then(|| (word(request.headers(), "x-request-id"), trace(request.headers())));
    let (id, trace) = told.unwrap_or_default();
    let response = next.run(request).await;
    let route = route.0.get().map_or("-", |route| &**route);
    let (status, ms) = (response.status().as_u16(), start.elapsed().as_secs_f64() * 1000.0);
    if route != "/assets/{*path}" && route != "/healthz" {
        tracing::info!(%method, route, status, ms, request.id = id, trace.id = trace, "request");
    }
    response
}

fn word(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    let plain = value.len() <= 64 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    plain.then(|| value.to_owned())
}

/// The trace's id in W3C's `traceparent` (version-trace-span-flags).
fn trace(headers: &HeaderMap) -> Option<String> {
    let parts: Vec<_> = headers.get("traceparent")?.to_str().ok()?.split('-').collect();
    let id = *parts.get(1)?;
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_owned())
}
