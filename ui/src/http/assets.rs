//! `/assets/<hash>/<path>`: kept for ever by browsers, because a changed file has another address.

use std::sync::Arc;

use axum::{
    Router,
    extract::Path,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};

use crate::{Pages, assets::Assets};

/// The router that serves the program's assets at `/assets/`, to be merged.
pub fn assets<S: Clone + Send + Sync + 'static>(pages: &Pages) -> Router<S> {
    let assets = Arc::clone(pages.asset_files());
    Router::new().route(
        "/assets/{hash}/{*path}",
        get(move |Path((hash, path)): Path<(String, String)>| {
            let answer = answer(&assets, &hash, &path);
            async move { answer }
        }),
    )
}

fn answer(assets: &Assets, hash: &str, path: &str) -> Response {
    let Some((bytes, present)) = assets.get(hash, path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // A page that is older or newer than this program still gets the file, but must not keep it under that address.
    let keep = if present { "public, max-age=31536000, immutable" } else { "no-cache" };
    ([(header::CONTENT_TYPE, content_type(path)), (header::CACHE_CONTROL, keep)], bytes).into_response()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webp" => "image/webp",
        "json" | "webmanifest" => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn an_asset_is_kept_for_ever_only_under_its_present_address() {
        let pages = Pages::builder().build().unwrap();
        let get = async |uri: &str| {
            let request = http::Request::get(uri).body(Body::empty()).unwrap();
            assets::<()>(&pages).oneshot(request).await.unwrap()
        };
        let address = pages.asset("css/ui.css").unwrap();
        let kept = get(&address).await;
        assert_eq!(kept.status(), 200);
        assert_eq!(kept.headers()["content-type"], "text/css; charset=utf-8");
        assert!(kept.headers()["cache-control"].to_str().unwrap().contains("immutable"));
        let old = get("/assets/000000000000/css/ui.css").await;
        assert_eq!((old.status().as_u16(), old.headers()["cache-control"].to_str().unwrap()), (200, "no-cache"));
        assert_eq!(get("/assets/0/../../etc/passwd").await.status(), 404);
    }
}
