//! `/api/v1/usage` and `/api/v1/costs`: what perclouds use and what they cost, for programs of the operator.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    tenants,
    usage::{
        costs::{Cost, Parts, Prices, Spread},
        list::{self, By, Filter, Month, Place, Used},
        prices,
    },
    web::{
        Error, Result,
        error::{Problem, Refused},
        extract::UsageRead,
    },
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct Asked {
    /// By the hour, day or month, in UTC; by the month unless said.
    #[serde(default)]
    by: By,
    /// From this day on; this month's first unless said, by the hour today.
    from: Option<NaiveDate>,
    /// To the end of this day; today unless said.
    to: Option<NaiveDate>,
    /// Only what comes after this: `next` of the page before.
    after: Option<String>,
    /// How many at most (100, up to 1,000).
    limit: Option<u16>,
}

/// A page of what was used.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::web) struct Usage {
    /// The oldest first, then by percloud. Who used nothing in an hour has no row for it; days and months have one for every percloud.
    usage: Vec<Used>,
    /// What to ask for as `after` to go on; none at the end.
    next: Option<String>,
}

/// What perclouds used, a page at a time. Days are added up once an hour. Needs `usage:read`.
#[utoipa::path(get, path = "/api/v1/usage", tag = "usage", params(Asked), security(("token" = ["usage:read"])), responses(
    (status = 200, description = "A page of it.", body = Usage),
    Refused,
    (status = 422, description = "What is asked makes no sense.", body = Problem),
))]
pub(in crate::web) async fn all(
    State(app): State<App>,
    _: UsageRead,
    Query(asked): Query<Asked>,
) -> Result<Json<Usage>> {
    page(&app, asked, None).await
}

/// What one percloud used. One that has gone is found by its id. Needs `usage:read`.
#[utoipa::path(get, path = "/api/v1/tenants/{which}/usage", tag = "usage", security(("token" = ["usage:read"])),
    params(("which" = String, Path, description = "Id, name or host name."), Asked),
    responses(
        (status = 200, description = "A page of it.", body = Usage),
        Refused,
        (status = 404, description = "There is none.", body = Problem),
        (status = 422, description = "What is asked makes no sense.", body = Problem),
    ))]
pub(in crate::web) async fn of_tenant(
    State(app): State<App>,
    _: UsageRead,
    Path(which): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Json<Usage>> {
    let id = match which.parse::<bundle::TenantId>() {
        Ok(id) => id,
        Err(_) => tenants::get(&app.db.get().await?, &which).await?.id,
    };
    page(&app, asked, Some(id.to_string())).await
}

async fn page(app: &App, asked: Asked, tenant_id: Option<String>) -> Result<Json<Usage>> {
    let (now, limit) = (app.clock.now(), asked.limit.unwrap_or(100).clamp(1, 1000));
    let from = asked.from.unwrap_or_else(|| asked.by.usual_from(now));
    let to = asked.to.unwrap_or_else(|| now.date_naive());
    if from > to {
        return Err(Error::Invalid { field: "from", code: "from", detail: format!("{from} is after {to}") });
    }
    let after = place(asked.after.as_deref())?;
    let filter = Filter { by: asked.by, from, to, tenant_id, after, limit };
    let usage = list::list(&app.db.get().await?, &filter).await?;
    let next = usage.last().filter(|_| usage.len() == usize::from(limit)).map(|used| Place::after(used).to_string());
    Ok(Json(Usage { usage, next }))
}

fn place(after: Option<&str>) -> Result<Option<Place>> {
    let wrong = |error: list::NotAPlace| Error::Invalid { field: "after", code: "after", detail: error.to_string() };
    after.map(|text| text.parse().map_err(wrong)).transpose()
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct AskedCosts {
    /// Which month, like `2026-11`, in UTC; this one unless said.
    month: Option<String>,
    /// Only perclouds after this id: `next` of the page before.
    after: Option<String>,
    /// How many perclouds at most (100, up to 1,000).
    limit: Option<u16>,
}

/// What a month cost. All amounts are millionths of the currency.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::web) struct Costs {
    /// Which.
    month: String,
    /// It still runs: what it has cost so far.
    so_far: bool,
    /// By which prices.
    prices: Prices,
    /// All perclouds together, part by part.
    fleet: Parts,
    /// All perclouds together.
    total: i64,
    /// How many there were.
    count: usize,
    /// How costs are spread over those of them that were there all the time, or nearly; none without perclouds.
    spread: Option<Spread>,
    /// A page of them, by id.
    perclouds: Vec<Cost>,
    /// What to ask for as `after` to go on; none at the end.
    next: Option<String>,
}

/// What perclouds cost in a month, with the spread over all of them; perclouds a page at a time. Needs `usage:read`.
#[utoipa::path(get, path = "/api/v1/costs", tag = "usage", params(AskedCosts), security(("token" = ["usage:read"])), responses(
    (status = 200, description = "What it cost.", body = Costs),
    Refused,
    (status = 409, description = "Nobody has said yet what anything costs.", body = Problem),
    (status = 422, description = "That is no month, or one that has not begun.", body = Problem),
))]
pub(in crate::web) async fn costs(
    State(app): State<App>,
    _: UsageRead,
    Query(asked): Query<AskedCosts>,
) -> Result<Json<Costs>> {
    let (now, limit) = (app.clock.now(), usize::from(asked.limit.unwrap_or(100).clamp(1, 1000)));
    let wrong = |error: list::NotAMonth| Error::Invalid { field: "month", code: "month", detail: error.to_string() };
    let month = asked.month.as_deref().map(|text| text.parse::<Month>().map_err(wrong)).transpose()?;
    let bill = prices::bill(&app.db.get().await?, month.unwrap_or_else(|| Month::of(now)), now).await?;
    let (fleet, spread, count) = (bill.costs.fleet, bill.costs.spread, bill.costs.each.len());
    let after = asked.after.unwrap_or_default();
    let mut perclouds: Vec<Cost> = bill.costs.each.into_iter().filter(|cost| cost.tenant_id > after).collect();
    perclouds.sort_by(|a, b| a.tenant_id.cmp(&b.tenant_id));
    let more = perclouds.len() > limit;
    perclouds.truncate(limit);
    let next = perclouds.last().filter(|_| more).map(|cost| cost.tenant_id.clone());
    let (month, so_far) = (bill.month.to_string(), bill.elapsed.runs());
    let total = fleet.total();
    Ok(Json(Costs { month, so_far, prices: bill.prices, fleet, total, count, spread, perclouds, next }))
}
