//! Forged requests: a page elsewhere must not be able to act for the owner. Browsers say where a request comes from,
//! so forms need no tokens.
//!
//! Perclouds of one provider are *same-site* to each other, which is why only *same-origin* is good enough.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode, Uri, header};

/// Put into the extensions of the 403, so that an outer layer can show a page of its own.
#[derive(Clone, Copy, Debug)]
pub struct Forged;

/// Refuses unsafe requests from other origins with 403; use it with [`axum::middleware::from_fn`].
///
/// Requests with `Authorization: Bearer` pass: a page elsewhere cannot make a browser send one.
pub async fn same_origin(request: Request, next: Next) -> Response {
    if trusted(request.method(), request.uri(), request.headers()) {
        return next.run(request).await;
    }
    let mut refused = (StatusCode::FORBIDDEN, "This came from another site, so nothing was done.\n").into_response();
    refused.extensions_mut().insert(Forged);
    refused
}

fn trusted(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    if method.is_safe() {
        return true;
    }
    let text = |name| headers.get(name).and_then(|v: &http::HeaderValue| v.to_str().ok());
    if text(header::AUTHORIZATION).is_some_and(|a| a.get(..7).is_some_and(|s| s.eq_ignore_ascii_case("bearer "))) {
        return true;
    }
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin" || site == "none";
    }
    let own = uri.authority().map(http::uri::Authority::as_str).or_else(|| text(header::HOST));
    let origin = text(header::ORIGIN).and_then(|o| o.strip_prefix("https://").or_else(|| o.strip_prefix("http://")));
    matches!((origin, own), (Some(origin), Some(own)) if origin.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_origin_may_act() {
        let ask = |method: &str, pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            headers.insert("host", "ada.example:8443".parse().unwrap());
            headers.extend(pairs.iter().map(|(k, v)| (k.parse::<http::HeaderName>().unwrap(), v.parse().unwrap())));
            trusted(&method.parse().unwrap(), &Uri::from_static("/x"), &headers)
        };
        assert!(ask("GET", &[("sec-fetch-site", "cross-site")]));
        assert!(ask("POST", &[("sec-fetch-site", "same-origin")]));
        assert!(ask("POST", &[("sec-fetch-site", "none")]));
        assert!(!ask("POST", &[("sec-fetch-site", "same-site"), ("origin", "https://ada.example:8443")]));
        assert!(!ask("POST", &[("sec-fetch-site", "cross-site")]));
        assert!(ask("DELETE", &[("origin", "https://ada.example:8443")]));
        for origin in ["https://ada.example", "https://bob.example:8443", "null", "https://ada.example:8443.evil"] {
            assert!(!ask("POST", &[("origin", origin)]), "{origin}");
        }
        assert!(!ask("PUT", &[]));
        assert!(ask("POST", &[("authorization", "Bearer x")]));
        assert!(!ask("POST", &[("authorization", "Basic x")]));
    }
}
