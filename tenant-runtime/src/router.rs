//! Every address on one page.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::Request,
    middleware::{from_fn, from_fn_with_state},
    response::Response,
    routing::get,
};
use tower::ServiceExt;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::{
    auth, control, exports, home, imports,
    runtime::Runtime,
    services, today, uploads,
    web::{self, gates},
};

/// How long a request's body may stand still.
const STALLED: std::time::Duration = std::time::Duration::from_secs(60);

/// All pages of the percloud. The layers below the routes run from the last to the first.
pub fn router(rt: &Runtime) -> Router {
    let state = || rt.clone();
    Router::new()
        .merge(owner().route_layer(from_fn(gates::signed_in)))
        .merge(public().route_layer(from_fn_with_state(state(), gates::closed)))
        .merge(auth::web::routes())
        .merge(ui::http::preferences())
        .route("/assets/{*path}", get(asset))
        .route("/manifest.webmanifest", get(today::manifest))
        .route("/healthz", get(healthz))
        .fallback(lost)
        .layer(from_fn(ui::http::same_origin))
        .layer(from_fn_with_state(state(), gates::suspended))
        .layer(from_fn_with_state(state(), gates::right_host))
        .layer(from_fn_with_state(state(), web::explain))
        .layer(from_fn_with_state(state(), web::attach))
        .layer(RequestBodyTimeoutLayer::new(STALLED))
        .layer(ui::http::security_headers(ui::http::Csp::default()))
        .layer(from_fn_with_state(state(), web::log))
        .with_state(state())
}

/// The owner's pages.
fn owner() -> Router<Runtime> {
    let control = control::routes().merge(exports::routes()).merge(imports::routes());
    let mut owner = Router::new().route("/app", get(today::show)).nest("/control", control).merge(uploads::routes());
    for service in services::ALL {
        owner = owner.nest(&format!("/app/{}", service.name()), service.owner_routes());
    }
    owner
}

/// Everybody's pages.
fn public() -> Router<Runtime> {
    let mut public = home::routes().route("/avatar/{sha256}", get(control::profile::avatar));
    for service in services::ALL {
        public = public.merge(service.public_routes());
    }
    public
}

/// Alive, and the database answers.
async fn healthz(axum::extract::State(rt): axum::extract::State<Runtime>) -> web::Result<&'static str> {
    rt.store().read(|db| Ok(db.query_row("select 1", [], |_| Ok(()))?)).await?;
    Ok("ok\n")
}

/// Nothing is here; but with one slash too many at the end it may be meant.
async fn lost(method: http::Method, uri: http::Uri) -> web::Result<Response> {
    let path = uri.path();
    let meant = auth::web::next_or(path.strip_suffix('/'), "");
    if method == http::Method::GET && meant.len() > 1 {
        return Ok(web::redirect(meant));
    }
    Err(web::Error::NotFound)
}

/// Styles, scripts and icons. Made ready when the first is asked for: a process that starts has more urgent things to do.
async fn asset(mut request: Request) -> Response {
    // What the outer router found in the path is not for the inner one.
    request.extensions_mut().clear();
    static ASSETS: LazyLock<Router> = LazyLock::new(|| ui::http::assets(crate::pages::pages()));
    ASSETS.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
}
