//! `/api/v1/domains`: own domains, for programs of the operator. Owners claim theirs themselves; here they are seen, looked at,
//! paused, removed and set free.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    audit::Actor,
    db,
    domains::{self, DomainRow, Filter, Observed, Part, Report, Wanted},
    web::{
        Result,
        error::{Problem, Refused},
        extract::{DomainsRead, DomainsWrite},
    },
};

/// A claim of a name.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::web) struct Domain {
    /// Its id.
    id: String,
    /// For which percloud.
    tenant_id: String,
    /// The name, in ASCII.
    name: String,
    /// The same with or without `www.`, leading to the name.
    twin: Option<String>,
    /// What was asked for.
    wanted: Wanted,
    /// What was last seen.
    observed: Observed,
    /// Which of the percloud's domains it is: the `main` one, the `next` one, which is to take its place, or a `former` one, which leads to it.
    part: Part,
    /// Until when a former one does so; of another one, until when it would have, had it not been claimed again: it leads there until it serves.
    leads_until: Option<DateTime<Utc>>,
    /// Left alone by an operator: not looked at, and nothing is ordered for it.
    paused: bool,
    /// Whether the percloud answers at it now.
    serves: bool,
    /// What the last look at DNS found.
    report: Option<Report>,
    /// When it was claimed.
    claimed_at: DateTime<Utc>,
    /// When DNS was last looked at.
    checked_at: Option<DateTime<Utc>>,
    /// When DNS is looked at next, as it was planned after the last look.
    check_at: DateTime<Utc>,
    /// When DNS is looked at next: later than planned when a look fails, and never while it is paused.
    next_look: Option<DateTime<Utc>>,
    /// When it was proved.
    verified_at: Option<DateTime<Utc>>,
    /// Daily looks in a row that found it wrong; the third one loses it, or, where it leads here still, ends its renewal.
    misses: i32,
    /// What went wrong last; none when all is well.
    last_error: Option<String>,
    /// What keeps it from being as it should, in an English sentence: the first of what the report says, or what went wrong.
    why: Option<String>,
}

impl From<DomainRow> for Domain {
    fn from(row: DomainRow) -> Self {
        Self {
            paused: row.paused,
            serves: row.serves(),
            next_look: row.next_look(),
            why: row.why(),
            id: row.id,
            tenant_id: row.tenant_id.to_string(),
            name: row.name,
            twin: row.twin,
            wanted: row.wanted,
            observed: row.observed,
            part: row.part,
            leads_until: row.leads_until,
            report: row.report,
            claimed_at: row.claimed_at,
            checked_at: row.checked_at,
            check_at: row.check_at,
            verified_at: row.verified_at,
            misses: row.misses,
            last_error: row.last_error,
        }
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct Asked {
    /// Only those after this one: `next` of the page before.
    after: Option<String>,
    /// Only those last seen so.
    observed: Option<Observed>,
    /// `true`: only paused ones.
    #[serde(default)]
    paused: bool,
    /// `true`: only those in trouble (lost, missed, failing, waiting for a certificate that does not come, or leading to a former address).
    #[serde(default)]
    troubled: bool,
    /// How many at most (100, up to 1,000).
    limit: Option<u16>,
}

/// A page of claims.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::web) struct Domains {
    /// By name.
    domains: Vec<Domain>,
    /// What to ask for as `after` to go on; none at the end.
    next: Option<String>,
}

/// Claims of own domains by name, a page at a time. Needs `domains:read`.
#[utoipa::path(get, path = "/api/v1/domains", tag = "domains", params(Asked), security(("token" = ["domains:read"])), responses(
    (status = 200, description = "A page of them.", body = Domains),
    Refused,
))]
pub(in crate::web) async fn list(
    State(app): State<App>,
    _: DomainsRead,
    Query(asked): Query<Asked>,
) -> Result<Json<Domains>> {
    let limit = asked.limit.unwrap_or(100).clamp(1, 1000);
    let Asked { after, observed, paused, troubled, .. } = asked;
    let filter = Filter { observed, paused, troubled, limit, ..Filter::after(after.as_deref()) };
    let found = domains::list(&app.db.get().await?, &filter).await?;
    let next = found.last().filter(|_| found.len() == usize::from(limit)).map(DomainRow::place);
    Ok(Json(Domains { domains: found.into_iter().map(Domain::from).collect(), next }))
}

/// One claim, by its id or name, or by its percloud. Needs `domains:read`.
#[utoipa::path(get, path = "/api/v1/domains/{which}", tag = "domains", security(("token" = ["domains:read"])),
    params(("which" = String, Path, description = "The claim's id or name, or the percloud's id, name or host name.")),
    responses(
        (status = 200, description = "It.", body = Domain),
        Refused,
        (status = 404, description = "There is none.", body = Problem),
    ))]
pub(in crate::web) async fn show(
    State(app): State<App>,
    _: DomainsRead,
    Path(which): Path<String>,
) -> Result<Json<Domain>> {
    Ok(Json(domains::get(&app.db.get().await?, &which).await?.into()))
}

/// Has DNS looked at at once, or three seconds after the last look. Needs `domains:write`.
#[utoipa::path(post, path = "/api/v1/domains/{which}/check", tag = "domains", security(("token" = ["domains:write"])),
    params(("which" = String, Path, description = "The claim's id or name, or the percloud's id, name or host name.")),
    responses(
        (status = 202, description = "A look is wanted; `checked_at` follows.", body = Domain),
        Refused,
        (status = 404, description = "There is none.", body = Problem),
        (status = 409, description = "It is paused.", body = Problem),
    ))]
pub(in crate::web) async fn check(
    State(app): State<App>,
    token: DomainsWrite,
    Path(which): Path<String>,
) -> Result<(StatusCode, Json<Domain>)> {
    drop(Actor::from(token));
    let now = app.clock.now();
    wish(&app, async |tx| domains::look(tx, &which, now).await).await
}

/// Leaves it alone: DNS is not looked at and nothing is ordered for it; what serves goes on until its certificate ends soon. Needs `domains:write`.
#[utoipa::path(post, path = "/api/v1/domains/{which}/pause", tag = "domains", security(("token" = ["domains:write"])),
    params(("which" = String, Path, description = "The claim's id or name, or the percloud's id, name or host name.")),
    responses(
        (status = 202, description = "It is paused.", body = Domain),
        Refused,
        (status = 404, description = "There is none.", body = Problem),
    ))]
pub(in crate::web) async fn pause(
    State(app): State<App>,
    token: DomainsWrite,
    Path(which): Path<String>,
) -> Result<(StatusCode, Json<Domain>)> {
    let (actor, now) = (Actor::from(token), app.clock.now());
    wish(&app, async |tx| domains::pause(tx, &which, &actor, now).await).await
}

/// Ends a pause; DNS is looked at at once. Needs `domains:write`.
#[utoipa::path(post, path = "/api/v1/domains/{which}/resume", tag = "domains", security(("token" = ["domains:write"])),
    params(("which" = String, Path, description = "The claim's id or name, or the percloud's id, name or host name.")),
    responses(
        (status = 202, description = "It is looked at.", body = Domain),
        Refused,
        (status = 404, description = "There is none.", body = Problem),
    ))]
pub(in crate::web) async fn resume(
    State(app): State<App>,
    token: DomainsWrite,
    Path(which): Path<String>,
) -> Result<(StatusCode, Json<Domain>)> {
    let (actor, now) = (Actor::from(token), app.clock.now());
    wish(&app, async |tx| domains::resume(tx, &which, &actor, now).await).await
}

/// Takes a name from whoever has proved it, and tells its owner; anybody may claim it anew, with a fresh challenge. Needs `domains:write`.
#[utoipa::path(post, path = "/api/v1/domains/{which}/release", tag = "domains", security(("token" = ["domains:write"])),
    params(("which" = String, Path, description = "The claim's id or name, or the percloud's id, name or host name.")),
    responses(
        (status = 202, description = "It is wanted gone.", body = Domain),
        Refused,
        (status = 404, description = "There is none, or nobody has proved it.", body = Problem),
        (status = 409, description = "It became something else at that moment: nothing was done.", body = Problem),
    ))]
pub(in crate::web) async fn release(
    State(app): State<App>,
    token: DomainsWrite,
    Path(which): Path<String>,
) -> Result<(StatusCode, Json<Domain>)> {
    let (actor, now) = (Actor::from(token), app.clock.now());
    wish(&app, async |tx| domains::release(tx, &which, &actor, now).await.map(gone)).await
}

/// Removes the domain from its percloud, which answers at its name at the provider again, if it answered at this one. One that is not in use
/// ends and nothing else does. Needs `domains:write`.
#[utoipa::path(delete, path = "/api/v1/domains/{which}", tag = "domains", security(("token" = ["domains:write"])),
    params(("which" = String, Path, description = "The claim's id or name, or the percloud's id, name or host name.")),
    responses(
        (status = 202, description = "It is wanted gone.", body = Domain),
        Refused,
        (status = 404, description = "There is none.", body = Problem),
        (status = 409, description = "It became something else at that moment: nothing was done.", body = Problem),
    ))]
pub(in crate::web) async fn remove(
    State(app): State<App>,
    token: DomainsWrite,
    Path(which): Path<String>,
) -> Result<(StatusCode, Json<Domain>)> {
    let (actor, now) = (Actor::from(token), app.clock.now());
    wish(&app, async |tx| {
        let row = domains::get(tx, &which).await?;
        domains::remove(tx, &row, &actor, now).await.map(|()| gone(row))
    })
    .await
}

/// As it is once the wish is written.
fn gone(row: DomainRow) -> DomainRow {
    DomainRow { wanted: Wanted::Gone, ..row }
}

/// One wish, one transaction.
async fn wish(
    app: &App,
    wish: impl AsyncFnOnce(&db::Transaction<'_>) -> Result<DomainRow, domains::Error>,
) -> Result<(StatusCode, Json<Domain>)> {
    let mut db = app.db.get().await?;
    let tx = db.transaction().await?;
    let row = wish(&tx).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(row.into())))
}
