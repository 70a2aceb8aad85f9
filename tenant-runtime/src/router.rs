//! Every address on one page.

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock, OnceLock},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{from_fn, from_fn_with_state},
    response::Response,
    routing::get,
};
use tower::{ServiceBuilder, ServiceExt, service_fn, util::MapRequestLayer};
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutBody};

use crate::{
    auth, control, exports, home, imports,
    runtime::Runtime,
    services, today, uploads,
    web::{self, gates},
};

/// How long a request's body may stand still.
const STALLED: std::time::Duration = std::time::Duration::from_secs(60);

/// Where the owner's pages are, and nobody else's.
const OWNERS: [&str; 2] = ["/app", "/control"];

/// All pages of the percloud.
///
/// What stands before the pages is built once, not once around each of them; and of the pages only that half which is asked
/// for: a percloud that was woken by a visitor need not know its owner's.
pub fn router(rt: &Runtime) -> Router {
    let state = || rt.clone();
    let halves = Arc::new(Halves { rt: rt.clone(), owner: OnceLock::new(), public: OnceLock::new() });
    // The outermost first.
    let before = ServiceBuilder::new()
        .layer(from_fn_with_state(state(), web::log))
        .layer(ui::http::security_headers(ui::http::Csp::default()))
        .layer(RequestBodyTimeoutLayer::new(STALLED))
        .layer(MapRequestLayer::new(|request: Request<TimeoutBody<Body>>| request.map(Body::new)))
        .layer(from_fn_with_state(state(), web::attach))
        .layer(from_fn_with_state(state(), web::explain))
        .layer(from_fn_with_state(state(), gates::right_host))
        .layer(from_fn_with_state(state(), gates::suspended))
        .layer(from_fn(ui::http::same_origin));
    Router::new().fallback_service(before.service(service_fn(move |request| halves.clone().answer(request))))
}

/// The pages, each half built when the first of it is asked for.
struct Halves {
    rt: Runtime,
    owner: OnceLock<Router>,
    public: OnceLock<Router>,
}

impl Halves {
    async fn answer(self: Arc<Self>, request: Request) -> Result<Response, Infallible> {
        if let Some(kept) = home::keepsake::answer(&self.rt, &request) {
            return Ok(kept);
        }
        let path = request.uri().path();
        let is_below =
            |place: &str| path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let half = if OWNERS.into_iter().any(is_below) {
            self.owner.get_or_init(|| self.whole(owner().route_layer(from_fn(gates::signed_in))))
        } else {
            self.public.get_or_init(|| self.whole(everybody(&self.rt)))
        };
        half.clone().oneshot(request).await
    }

    fn whole(&self, pages: Router<Runtime>) -> Router {
        pages.fallback(lost).layer(from_fn(web::note_route)).with_state(self.rt.clone())
    }
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

/// Everybody's pages, and the ways in.
fn everybody(rt: &Runtime) -> Router<Runtime> {
    public()
        .route_layer(from_fn_with_state(rt.clone(), gates::closed))
        .merge(auth::web::routes())
        .merge(ui::http::preferences())
        .route("/assets/{*path}", get(asset))
        .route("/manifest.webmanifest", get(today::manifest))
        .route("/healthz", get(healthz))
}

/// What a visitor may see.
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
