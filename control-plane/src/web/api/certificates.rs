//! `/api/v1/certificates`: how certificates are, for programs of the operator, and what an operator may do about them.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    audit::Actor,
    certificates::{self, Certificate, Filter},
    db,
    web::{
        Result,
        error::{Problem, Refused},
        extract::{CertificatesRead, CertificatesWrite},
    },
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct Asked {
    /// Only those after this id (the page before ended with it).
    after: Option<String>,
    /// Only those that stand for this name.
    name: Option<String>,
    /// Only this percloud's, by its id.
    tenant_id: Option<String>,
    /// `true`: only those whose last try failed.
    #[serde(default)]
    failing: bool,
    /// `true`: only paused ones.
    #[serde(default)]
    paused: bool,
    /// How many at most (100, up to 1,000).
    limit: Option<u16>,
}

/// A page of certificates.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::web) struct Certificates {
    /// By id.
    certificates: Vec<Certificate>,
    /// What to ask for as `after` to go on; none at the end.
    next: Option<String>,
}

/// Certificates, a page at a time; never their keys. Needs `certificates:read`.
#[utoipa::path(get, path = "/api/v1/certificates", tag = "certificates", params(Asked),
    security(("token" = ["certificates:read"])), responses(
    (status = 200, description = "A page of them.", body = Certificates),
    Refused,
))]
pub(in crate::web) async fn list(
    State(app): State<App>,
    _: CertificatesRead,
    Query(asked): Query<Asked>,
) -> Result<Json<Certificates>> {
    let limit = asked.limit.unwrap_or(100).clamp(1, 1000);
    let Asked { after, name, tenant_id, failing, paused, .. } = asked;
    let filter = Filter { after, name, tenant_id, failing, paused, limit };
    let certificates = certificates::list(&app.db.get().await?, &filter).await?;
    let next = certificates.last().filter(|_| certificates.len() == usize::from(limit)).map(|one| one.id.clone());
    Ok(Json(Certificates { certificates, next }))
}

/// One certificate, by id or by one of its names. Needs `certificates:read`.
#[utoipa::path(get, path = "/api/v1/certificates/{which}", tag = "certificates", security(("token" = ["certificates:read"])),
    params(("which" = String, Path, description = "Id, or one of its names.")),
    responses(
        (status = 200, description = "It.", body = Certificate),
        Refused,
        (status = 404, description = "There is none.", body = Problem),
    ))]
pub(in crate::web) async fn show(
    State(app): State<App>,
    _: CertificatesRead,
    Path(which): Path<String>,
) -> Result<Json<Certificate>> {
    Ok(Json(certificates::get(&app.db.get().await?, &which).await?))
}

/// Tries it at once instead of at its next time; budgets still hold. Needs `certificates:write`.
#[utoipa::path(post, path = "/api/v1/certificates/{which}/retry", tag = "certificates",
    security(("token" = ["certificates:write"])), params(("which" = String, Path, description = "Id, or one of its names.")),
    responses(
        (status = 202, description = "It is due.", body = Certificate),
        Refused,
        (status = 404, description = "There is none.", body = Problem),
        (status = 409, description = "It is paused, or not wanted any more.", body = Problem),
    ))]
pub(in crate::web) async fn retry(
    State(app): State<App>,
    token: CertificatesWrite,
    Path(which): Path<String>,
) -> Result<(StatusCode, Json<Certificate>)> {
    let (actor, now) = (Actor::from(token), app.clock.now());
    wish(&app, async |tx| certificates::retry_now(tx, &which, &actor, now).await).await
}

/// Orders a new one although the one there is would do; budgets still hold. Needs `certificates:write`.
#[utoipa::path(post, path = "/api/v1/certificates/{which}/renew", tag = "certificates",
    security(("token" = ["certificates:write"])), params(("which" = String, Path, description = "Id, or one of its names.")),
    responses(
        (status = 202, description = "A new one is due.", body = Certificate),
        Refused,
        (status = 404, description = "There is none.", body = Problem),
        (status = 409, description = "It is paused, or not wanted any more.", body = Problem),
    ))]
pub(in crate::web) async fn renew(
    State(app): State<App>,
    token: CertificatesWrite,
    Path(which): Path<String>,
) -> Result<(StatusCode, Json<Certificate>)> {
    let (actor, now) = (Actor::from(token), app.clock.now());
    wish(&app, async |tx| certificates::renew(tx, &which, &actor, now).await).await
}

/// Leaves it alone: neither issued nor renewed until it is resumed; the one there is goes on serving. Needs `certificates:write`.
#[utoipa::path(post, path = "/api/v1/certificates/{which}/pause", tag = "certificates",
    security(("token" = ["certificates:write"])), params(("which" = String, Path, description = "Id, or one of its names.")),
    responses(
        (status = 202, description = "It is paused.", body = Certificate),
        Refused,
        (status = 404, description = "There is none.", body = Problem),
        (status = 409, description = "It is not wanted any more.", body = Problem),
    ))]
pub(in crate::web) async fn pause(
    State(app): State<App>,
    token: CertificatesWrite,
    Path(which): Path<String>,
) -> Result<(StatusCode, Json<Certificate>)> {
    let (actor, now) = (Actor::from(token), app.clock.now());
    wish(&app, async |tx| certificates::pause(tx, &which, &actor, now).await).await
}

/// Ends a pause; it is looked at at once. Needs `certificates:write`.
#[utoipa::path(post, path = "/api/v1/certificates/{which}/resume", tag = "certificates",
    security(("token" = ["certificates:write"])), params(("which" = String, Path, description = "Id, or one of its names.")),
    responses(
        (status = 202, description = "It is due.", body = Certificate),
        Refused,
        (status = 404, description = "There is none.", body = Problem),
        (status = 409, description = "It is not wanted any more.", body = Problem),
    ))]
pub(in crate::web) async fn resume(
    State(app): State<App>,
    token: CertificatesWrite,
    Path(which): Path<String>,
) -> Result<(StatusCode, Json<Certificate>)> {
    let (actor, now) = (Actor::from(token), app.clock.now());
    wish(&app, async |tx| certificates::resume(tx, &which, &actor, now).await).await
}

/// One wish, one transaction.
async fn wish(
    app: &App,
    wish: impl AsyncFnOnce(&db::Transaction<'_>) -> Result<Certificate, certificates::Error>,
) -> Result<(StatusCode, Json<Certificate>)> {
    let mut db = app.db.get().await?;
    let tx = db.transaction().await?;
    let one = wish(&tx).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(one)))
}
