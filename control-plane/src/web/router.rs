//! Every route on one page.

use std::{sync::LazyLock, time::Duration};

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post},
};
use http::StatusCode;
use tower::ServiceBuilder;
use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Error, api, confirm, dev_mails, domains, error, observe, owners, pages, sign_up};
use crate::app::App;

/// The whole web role.
pub fn router(app: App) -> Router {
    let mut router = Router::new()
        // What people see.
        .route("/", get(pages::start))
        .route("/about", get(pages::about))
        .route("/sign-up", get(sign_up::form).post(sign_up::post))
        .route("/check-mail", get(sign_up::check_mail))
        .route("/confirm/{token}", get(confirm::show).post(confirm::post))
        // What owners do.
        .route("/manage", get(owners::way_in).post(owners::ask))
        .route("/manage/sent", get(owners::sent))
        .route("/manage/enter", get(owners::enter))
        .route("/manage/link/{token}", get(owners::link).post(owners::use_link))
        .route("/manage/sign-out", post(owners::sign_out))
        .route("/manage/domain", get(domains::show).post(domains::claim))
        .route("/manage/domain/check", post(domains::look_now))
        .route("/manage/domain/check/{name}", get(domains::check))
        .route("/manage/domain/choose", post(domains::choose))
        .route("/manage/domain/change", get(domains::ask_change).post(domains::change))
        .route("/manage/domain/remove", get(domains::ask_remove).post(domains::remove))
        // What programs see; everything in `api()` describes itself.
        .route("/api/openapi.json", get(async || Json(openapi())))
        .merge(api().split_for_parts().0);
    if app.settings.shows_mails {
        router = router.route("/dev/mails", get(dev_mails::list)).route("/dev/mails/{id}", get(dev_mails::show));
    }
    router
        .merge(ui::http::assets(portal::pages()))
        .merge(ui::http::preferences())
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || StatusCode::METHOD_NOT_ALLOWED)
        // The outermost first.
        .layer(
            ServiceBuilder::new()
                .layer(from_fn(observe::observe))
                .layer(ui::http::security_headers(ui::http::Csp::default()))
                .layer(from_fn_with_state(app.clone(), error::speak))
                .layer(CatchPanicLayer::custom(error::panicked))
                .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(20)))
                .layer(from_fn(ui::http::same_origin))
                .layer(DefaultBodyLimit::max(64 * 1024)),
        )
        .with_state(app)
}

/// The routes that describe themselves; a handler without `#[utoipa::path]` does not get in.
fn api() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(pages::health))
        .routes(routes!(sign_up::name))
        .routes(routes!(api::tenants::list, api::tenants::create))
        .routes(routes!(api::tenants::show, api::tenants::delete))
        .routes(routes!(api::tenants::suspend))
        .routes(routes!(api::tenants::resume))
        .routes(routes!(api::mails::list))
        .routes(routes!(api::domains::list))
        .routes(routes!(api::domains::show, api::domains::remove))
        .routes(routes!(api::domains::check))
        .routes(routes!(api::domains::pause))
        .routes(routes!(api::domains::resume))
        .routes(routes!(api::domains::release))
        .routes(routes!(api::certificates::list))
        .routes(routes!(api::certificates::show))
        .routes(routes!(api::certificates::retry))
        .routes(routes!(api::certificates::renew))
        .routes(routes!(api::certificates::pause))
        .routes(routes!(api::certificates::resume))
        .routes(routes!(api::usage::all))
        .routes(routes!(api::usage::of_tenant))
        .routes(routes!(api::usage::costs))
}

/// The description at `/api/openapi.json`.
pub fn openapi() -> &'static utoipa::openapi::OpenApi {
    static DESCRIPTION: LazyLock<utoipa::openapi::OpenApi> = LazyLock::new(|| api().into_openapi());
    &DESCRIPTION
}

#[derive(OpenApi)]
#[openapi(
    info(title = "percloud", description = "Perclouds at this provider, for programs of its operator. Errors are RFC 9457."),
    components(schemas(error::Problem)),
    modifiers(&Bearer)
)]
struct Api;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token of `percloud admin token create`, with the scope that the operation names."))
            .build();
        openapi.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}
