//! One span and one figure per request. The path is never noted, only the route: there are tokens in paths.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use tracing::Instrument;

use super::extract;
use crate::telemetry;

pub(super) async fn observe(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route =
        request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let id = extract::request_id(request.headers());
    let span = tracing::info_span!("request", method = %request.method(), route, id, status = tracing::field::Empty);
    let parent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    telemetry::join_trace(&span, parent);
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    span.record("status", status);
    metrics::histogram!("percloud_web_seconds", "route" => route.clone()).record(began.elapsed().as_secs_f64());
    metrics::counter!("percloud_web_requests_total", "route" => route, "status" => status.to_string()).increment(1);
    response
}
