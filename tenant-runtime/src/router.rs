//! Every address on one page.

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
    routing::get,
};

use crate::{
    exports, imports,
    runtime::Runtime,
    services, uploads,
    web::{self, gates},
};

/// All pages of the percloud.
pub fn router(rt: &Runtime) -> Router {
    let mut owner = Router::new().nest("/control", exports::routes().merge(imports::routes()));
    for service in services::ALL {
        owner = owner.nest(&format!("/app/{}", service.name()), service.owner_routes());
    }
    owner = owner.merge(uploads::routes());
    let mut public = Router::new();
    for service in services::ALL {
        public = public.merge(service.public_routes());
    }
    Router::new()
        .merge(owner.route_layer(from_fn(gates::signed_in)))
        .merge(public.route_layer(from_fn_with_state(rt.clone(), gates::closed)))
        .route("/healthz", get(healthz))
        .layer(from_fn_with_state(rt.clone(), gates::suspended))
        .layer(from_fn_with_state(rt.clone(), gates::right_host))
        .layer(from_fn_with_state(rt.clone(), web::explain))
        .layer(from_fn_with_state(rt.clone(), web::attach))
        .with_state(rt.clone())
}

/// Alive, and the database answers.
async fn healthz(axum::extract::State(rt): axum::extract::State<Runtime>) -> web::Result<&'static str> {
    rt.store().read(|db| Ok(db.query_row("select 1", [], |_| Ok(()))?)).await?;
    Ok("ok\n")
}
