//! `/api/v1/tenants`: perclouds, for programs of the operator. A change is a wish: `observed` follows `wanted` a moment later.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use chrono::{DateTime, Utc};
use http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::{
    accounts::Email,
    app::App,
    audit::Actor,
    db, names,
    tenants::{self, Filter, New, Observed, Wanted},
    web::{
        Error, Result,
        error::{Problem, Refused},
        extract::{TenantsRead, TenantsWrite},
        sign_up,
    },
};

/// A percloud.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::web) struct Tenant {
    /// Its id; never reused.
    id: String,
    /// The label below the base domain, in ASCII.
    name: String,
    /// Its host name at the provider.
    domain: String,
    /// The own domain that it answers at instead, once that is proved; `domain` leads there.
    own_domain: Option<String>,
    /// Its address.
    url: String,
    /// The address of its account.
    email: String,
    /// What was asked for.
    wanted: Wanted,
    /// What was last seen.
    observed: Observed,
    /// Why it is suspended.
    suspended_reason: Option<String>,
    /// Bytes in use, as it last said.
    used_bytes: i64,
    /// Bytes that it may hold.
    quota_bytes: i64,
    /// The language of its first pages.
    language: String,
    /// When it was asked for.
    created_at: DateTime<Utc>,
    /// When the mailed link was used.
    confirmed_at: Option<DateTime<Utc>>,
    /// When it was seen to be set up.
    set_up_at: Option<DateTime<Utc>>,
    /// Its owner wants it gone after this moment.
    delete_after: Option<DateTime<Utc>>,
    /// What went wrong last; none when all is well.
    last_error: Option<String>,
}

impl Tenant {
    fn new(app: &App, tenant: tenants::Tenant) -> Self {
        Self {
            url: format!("{}/", app.settings.origin_of(tenant.address())),
            id: tenant.id.to_string(),
            name: tenant.name,
            domain: tenant.domain.to_string(),
            own_domain: tenant.own_domain.map(String::from),
            email: tenant.email,
            wanted: tenant.wanted,
            observed: tenant.observed,
            suspended_reason: tenant.suspended_reason,
            used_bytes: tenant.used_bytes,
            quota_bytes: tenant.quota_bytes,
            language: tenant.language,
            created_at: tenant.created_at,
            confirmed_at: tenant.confirmed_at,
            set_up_at: tenant.set_up_at,
            delete_after: tenant.delete_after,
            last_error: tenant.last_error,
        }
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct Asked {
    /// Only those after this host name (the page before ended with it).
    after: Option<String>,
    /// Only those whose host name begins so.
    prefix: Option<String>,
    /// Only those last seen so.
    observed: Option<Observed>,
    /// `true`: only those whose last turn failed.
    #[serde(default)]
    failing: bool,
    /// How many at most (100, up to 1,000).
    limit: Option<u16>,
}

/// A page of perclouds.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::web) struct Tenants {
    /// By host name.
    tenants: Vec<Tenant>,
    /// What to ask for as `after` to go on; none at the end.
    next: Option<String>,
}

/// Perclouds by host name, a page at a time. Needs `tenants:read`.
#[utoipa::path(get, path = "/api/v1/tenants", tag = "tenants", params(Asked), security(("token" = ["tenants:read"])), responses(
    (status = 200, description = "A page of them.", body = Tenants),
    Refused,
))]
pub(in crate::web) async fn list(
    State(app): State<App>,
    _: TenantsRead,
    Query(asked): Query<Asked>,
) -> Result<Json<Tenants>> {
    let limit = asked.limit.unwrap_or(100).clamp(1, 1000);
    let filter =
        Filter { after: asked.after, prefix: asked.prefix, observed: asked.observed, failing: asked.failing, limit };
    let found = tenants::list(&app.db.get().await?, &filter).await?;
    let next = found.last().filter(|_| found.len() == usize::from(limit)).map(|tenant| tenant.domain.to_string());
    let tenants = found.into_iter().map(|tenant| Tenant::new(&app, tenant)).collect();
    Ok(Json(Tenants { tenants, next }))
}

/// A new percloud.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Wish {
    /// Its name, as a person would type it.
    name: String,
    /// The address of its account.
    email: String,
    /// The language of its first pages and of its mails: `en` or `it`.
    language: Option<String>,
    /// Bytes that it may hold.
    quota_bytes: Option<i64>,
}

/// A percloud that is wanted now, and the way in.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::web) struct Created {
    /// The percloud.
    tenant: Tenant,
    /// The one-time link with which its owner sets a password. Whoever has it can take the percloud over; it is shown only here.
    setup_url: String,
}

type MadeAt = [(HeaderName, String); 2];

/// Wants a new percloud. Its owner need not confirm: hand the set-up link over. Needs `tenants:write`.
#[utoipa::path(post, path = "/api/v1/tenants", tag = "tenants", request_body = Wish, security(("token" = ["tenants:write"])), responses(
    (status = 201, description = "It is wanted, and answers in a moment.", body = Created),
    Refused,
    (status = 409, description = "The name is taken, or looks like one that is.", body = Problem),
    (status = 422, description = "A field makes no sense; `field` and `type` say which and why.", body = Problem),
))]
pub(in crate::web) async fn create(
    State(app): State<App>,
    token: TenantsWrite,
    Json(wish): Json<Wish>,
) -> Result<(StatusCode, MadeAt, Json<Created>)> {
    let actor = Actor::from(token);
    let invalid = |field, code, detail: &str| Error::Invalid { field, code, detail: detail.to_owned() };
    let name = names::check(&wish.name).map_err(tenants::Error::from)?;
    let email: Email = wish.email.parse().map_err(|_| invalid("email", "email", "not an e-mail address"))?;
    let language = ui::Lang::from_code(wish.language.as_deref().unwrap_or("en"))
        .ok_or_else(|| invalid("language", "language", "a language is en or it"))?;
    let quota_bytes = wish.quota_bytes.unwrap_or(app.settings.quota_bytes);
    if quota_bytes < 1 {
        return Err(invalid("quota_bytes", "quota", "a percloud holds one byte or more"));
    }
    let new = New {
        name: &name,
        base_domain: &app.settings.base_domain,
        email: &email,
        language: language.code(),
        quota_bytes,
        actor: &actor,
        confirm_url: None,
        moving: false,
    };
    let created = sign_up::want(&app, &new).await?;
    let tenant = tenants::get(&app.db.get().await?, created.id.as_str()).await?;
    let setup_url = format!("{}/setup/{}", app.settings.origin_of(&created.domain), created.token.secret());
    let headers =
        [(header::LOCATION, format!("/api/v1/tenants/{}", created.id)), (header::CACHE_CONTROL, "no-store".to_owned())];
    Ok((StatusCode::CREATED, headers, Json(Created { tenant: Tenant::new(&app, tenant), setup_url })))
}

/// One percloud, by id, name or host name. Needs `tenants:read`.
#[utoipa::path(get, path = "/api/v1/tenants/{which}", tag = "tenants", security(("token" = ["tenants:read"])),
    params(("which" = String, Path, description = "Id, name or host name.")),
    responses(
        (status = 200, description = "It.", body = Tenant),
        Refused,
        (status = 404, description = "There is none.", body = Problem),
    ))]
pub(in crate::web) async fn show(
    State(app): State<App>,
    _: TenantsRead,
    Path(which): Path<String>,
) -> Result<Json<Tenant>> {
    let tenant = tenants::get(&app.db.get().await?, &which).await?;
    Ok(Json(Tenant::new(&app, tenant)))
}

/// Why it shall be suspended.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web) struct Suspension {
    /// For its owner to read; 1 to 2,000 bytes.
    reason: String,
}

/// Suspends it: its owner can still sign in and export, everybody else is told that it is closed. Needs `tenants:write`.
#[utoipa::path(post, path = "/api/v1/tenants/{which}/suspend", tag = "tenants", request_body = Suspension,
    security(("token" = ["tenants:write"])), params(("which" = String, Path, description = "Id, name or host name.")),
    responses(
        (status = 202, description = "It is wanted suspended.", body = Tenant),
        Refused,
        (status = 404, description = "There is none.", body = Problem),
        (status = 409, description = "It is being deleted.", body = Problem),
        (status = 422, description = "There is no reason.", body = Problem),
    ))]
pub(in crate::web) async fn suspend(
    State(app): State<App>,
    token: TenantsWrite,
    Path(which): Path<String>,
    Json(why): Json<Suspension>,
) -> Result<(StatusCode, Json<Tenant>)> {
    let (actor, now) = (Actor::from(token), app.clock.now());
    wish(&app, async |tx| tenants::suspend(tx, &which, &why.reason, &actor, now).await).await
}

/// Wants it running again; also the way to have one that does not start tried at once. Needs `tenants:write`.
#[utoipa::path(post, path = "/api/v1/tenants/{which}/resume", tag = "tenants",
    security(("token" = ["tenants:write"])), params(("which" = String, Path, description = "Id, name or host name.")),
    responses(
        (status = 202, description = "It is wanted running.", body = Tenant),
        Refused,
        (status = 404, description = "There is none.", body = Problem),
        (status = 409, description = "It is being deleted.", body = Problem),
    ))]
pub(in crate::web) async fn resume(
    State(app): State<App>,
    token: TenantsWrite,
    Path(which): Path<String>,
) -> Result<(StatusCode, Json<Tenant>)> {
    let (actor, now) = (Actor::from(token), app.clock.now());
    wish(&app, async |tx| tenants::resume(tx, &which, &actor, now).await).await
}

/// Deletes it with everything in it, for good and at once; its name is never given to anybody else. Needs `tenants:write`.
#[utoipa::path(delete, path = "/api/v1/tenants/{which}", tag = "tenants",
    security(("token" = ["tenants:write"])), params(("which" = String, Path, description = "Id, name or host name.")),
    responses(
        (status = 202, description = "It is wanted gone.", body = Tenant),
        Refused,
        (status = 404, description = "There is none.", body = Problem),
    ))]
pub(in crate::web) async fn delete(
    State(app): State<App>,
    token: TenantsWrite,
    Path(which): Path<String>,
) -> Result<(StatusCode, Json<Tenant>)> {
    let (actor, now) = (Actor::from(token), app.clock.now());
    wish(&app, async |tx| tenants::delete(tx, &which, &actor, now).await).await
}

/// One wish, one transaction.
async fn wish(
    app: &App,
    wish: impl AsyncFnOnce(&db::Transaction<'_>) -> Result<tenants::Tenant, tenants::Error>,
) -> Result<(StatusCode, Json<Tenant>)> {
    let mut db = app.db.get().await?;
    let tx = db.transaction().await?;
    let tenant = wish(&tx).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(Tenant::new(app, tenant))))
}
