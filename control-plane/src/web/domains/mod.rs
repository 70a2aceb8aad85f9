//! The own domain, for its owner: one question, what to set, how it is, and then a name of one's own. Everything here writes a wish;
//! [`crate::domains`] makes it true.

mod form;
mod view;

use axum::{
    Json,
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Client;
use http::{StatusCode, header};
use portal::pages::manage::{Ask, Change, Errors, Records, Remove};
use serde::{Deserialize, Serialize};
use ui::Page;

use form::Filled;

use super::{
    Error, Result,
    error::Said,
    extract::{Asker, Owner},
};
use crate::{
    app::App,
    audit::Actor,
    certificates,
    domains::{self, Choice, DomainRow, Name},
};

/// Where everything here leads back to.
const HERE: &str = domains::connect::BACK;

/// How old what was found may be while the owner watches; the page asks again every four seconds.
const WATCHED: TimeDelta = TimeDelta::seconds(4);

/// What was done just before.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Done {
    saved: Option<String>,
    removed: Option<String>,
    /// Back from a DNS host: which claim that was about, and …
    state: Option<String>,
    /// … why nothing was set there, if it says so.
    error: Option<String>,
}

impl Done {
    /// Whether the owner comes back from a DNS host that was to set this claim's records, and what that says of it: a hint. DNS is what counts.
    fn connected(&self, row: &DomainRow) -> Option<&'static str> {
        let back = self.state.as_ref().is_some_and(|state| *state == row.id);
        back.then(|| if self.error.is_some() { "no" } else { "yes" })
    }
}

/// GET `/manage/domain`: the one page of the own domain, in whatever state that is.
pub(super) async fn show(
    State(app): State<App>,
    asker: Asker,
    owner: Owner,
    Query(done): Query<Done>,
) -> Result<Response> {
    page(&app, &asker, &owner, &done, false).await
}

async fn page(app: &App, asker: &Asker, owner: &Owner, done: &Done, other: bool) -> Result<Response> {
    let mut db = app.db.get().await?;
    let Some(row) = domains::of_tenant(&db, &owner.tenant.id).await? else {
        // A name in an address may be anybody's invention: it is said only as the domain that it is.
        let name = |typed: &String| domains::parse(typed, &app.settings.base_domain).ok();
        let removed = done.removed.as_ref().and_then(name).map(|name| name.shown());
        let hold = certificates::known(&db).await?.and_then(|known| known.hold());
        return asker.page(&Ask { whose: owner.whose(app), removed, hold, other, ..Ask::default() });
    };
    match row.observed {
        domains::Observed::Pending | domains::Observed::Lost => {
            let now = app.clock.now();
            if !row.paused && row.checked_at.is_none_or(|at| now - at >= WATCHED) {
                // Somebody waits before this page: DNS is looked at as often as may be, which changes nothing for anybody.
                ask_check(&mut db, owner, now).await?;
            }
            let hold = certificates::known(&db).await?.and_then(|known| known.hold());
            let records = view::records(owner.whose(app), &row, hold, now);
            asker.page(&Records { connected: done.connected(&row), other, ..records })
        }
        domains::Observed::Verified => {
            let trouble = view::trouble(&db, &row).await?;
            asker.page(&view::making(owner.whose(app), &row, trouble))
        }
        domains::Observed::Active => {
            let mut active = view::active(app, &db, owner.whose(app), &row).await?;
            (active.saved, active.other) = (done.saved.is_some(), other);
            asker.page(&active)
        }
    }
}

/// Has DNS looked at. A domain that was given up or paused meanwhile is no mistake: the page says so.
async fn ask_check(db: &mut Client, owner: &Owner, now: DateTime<Utc>) -> Result<()> {
    let tx = db.transaction().await?;
    match domains::ask_check(&tx, &owner.tenant.id, now).await {
        Ok(()) => Ok(tx.commit().await?),
        Err(domains::Error::NotFound | domains::Error::Paused) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

fn with_status(mut response: Response, status: StatusCode) -> Result<Response> {
    *response.status_mut() = status;
    response.extensions_mut().insert(Said);
    Ok(response)
}

/// Slow down: the same form, with the words for it.
fn too_many(asker: &Asker, seconds: u64, form: &impl Page) -> Result<Response> {
    let mut response = with_status(asker.page(form)?, StatusCode::TOO_MANY_REQUESTS)?;
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    Ok(response)
}

const TOO_MANY: Errors = Errors { name: None, form: Some("domain.too-many") };

fn wrong(why: domains::Refusal) -> Errors {
    Errors { name: Some(why.key()), form: None }
}

/// POST `/manage/domain`: a name is claimed.
pub(super) async fn claim(State(app): State<App>, Filled { asker, owner, typed }: Filled) -> Result<Response> {
    let hold = hold(&app).await?;
    let form = |errors| Ask { whose: owner.whose(&app), name: typed.name.clone(), errors, hold, ..Ask::default() };
    if let Err(Error::TooMany(seconds)) = app.limits.claim(owner.tenant.id.as_str()) {
        return too_many(&asker, seconds, &form(TOO_MANY));
    }
    let refused = match domains::parse(&typed.name, &app.settings.base_domain) {
        Err(why) => why,
        Ok(name) => match want(&app, &owner, &name, false).await? {
            Ok(()) => return Ok(Redirect::to(HERE).into_response()),
            Err(why) => why,
        },
    };
    with_status(asker.page(&form(wrong(refused)))?, StatusCode::UNPROCESSABLE_ENTITY)
}

/// Writes the wish for a name, `instead` of the one there is.
async fn want(
    app: &App,
    owner: &Owner,
    name: &Name,
    instead: bool,
) -> Result<std::result::Result<(), domains::Refusal>> {
    let (now, tenant) = (app.clock.now(), &owner.tenant.id);
    let mut db = app.db.get().await?;
    let tx = db.transaction().await?;
    if instead {
        match domains::remove(&tx, tenant, &Actor::Owner, now).await {
            Ok(_) | Err(domains::Error::NotFound) => {}
            Err(other) => return Err(other.into()),
        }
    }
    match domains::claim(&tx, tenant, name, true, &Actor::Owner, now).await {
        Ok(_) => tx.commit().await?,
        Err(domains::Error::Refused(why)) => return Ok(Err(why)),
        Err(other) => return Err(other.into()),
    }
    Ok(Ok(()))
}

/// What the form hears as it is typed.
#[derive(Serialize)]
struct Checked {
    state: &'static str,
    message: String,
}

/// GET `/manage/domain/check/{name}`: whether something may be an own domain, in words.
pub(super) async fn check(
    State(app): State<App>,
    asker: Asker,
    _: Owner,
    Path(typed): Path<String>,
) -> Result<Response> {
    app.limits.name(asker.client)?;
    let (state, key, name) = match domains::parse(&typed, &app.settings.base_domain) {
        Ok(name) => ("free", "domain.free", name.shown()),
        Err(why) => ("not-allowed", why.key(), String::new()),
    };
    let message = portal::pages().message(asker.lang, key, &[("name".to_owned(), name)].into());
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(Checked { state, message })).into_response())
}

/// POST `/manage/domain/check`: look now.
pub(super) async fn look_now(State(app): State<App>, Filled { owner, .. }: Filled) -> Result<Response> {
    let mut db = app.db.get().await?;
    ask_check(&mut db, &owner, app.clock.now()).await?;
    Ok(Redirect::to("/manage/domain#entries").into_response())
}

/// POST `/manage/domain/choose`: with `www.`, without, or one name alone.
pub(super) async fn choose(State(app): State<App>, Filled { owner, typed, .. }: Filled) -> Result<Response> {
    let choice = match typed.choice.as_str() {
        "apex" => Choice::Apex,
        "www" => Choice::Www,
        "none" => Choice::NoTwin,
        _ => return Err(Error::Invalid { field: "choice", code: "choice", detail: "apex, www or none".into() }),
    };
    let mut db = app.db.get().await?;
    let tx = db.transaction().await?;
    domains::choose(&tx, &owner.tenant.id, choice, &Actor::Owner, app.clock.now()).await?;
    tx.commit().await?;
    Ok(Redirect::to("/manage/domain?saved=1").into_response())
}

/// The owner's claim; who has none goes to where one is made.
async fn present(app: &App, owner: &Owner) -> Result<Option<DomainRow>> {
    Ok(domains::of_tenant(&app.db.get().await?, &owner.tenant.id).await?)
}

/// GET `/manage/domain/change`: another name instead.
pub(super) async fn ask_change(State(app): State<App>, asker: Asker, owner: Owner) -> Result<Response> {
    match present(&app, &owner).await? {
        None => Ok(Redirect::to(HERE).into_response()),
        Some(row) => {
            let hold = hold(&app).await?;
            asker.page(&Change { hold, ..changed(&app, &owner, &row, String::new(), Errors::default()) })
        }
    }
}

fn changed(app: &App, owner: &Owner, row: &DomainRow, name: String, errors: Errors) -> Change {
    let (whose, serves) = (owner.whose(app), row.own_domain.is_some());
    Change { whose, current: row.shown(), serves, name, errors, hold: None }
}

/// What to know of certificates for own domains before the work.
async fn hold(app: &App) -> Result<Option<&'static str>> {
    Ok(certificates::known(&app.db.get().await?).await?.and_then(|known| known.hold()))
}

/// POST `/manage/domain/change`.
pub(super) async fn change(State(app): State<App>, Filled { asker, owner, typed }: Filled) -> Result<Response> {
    let Some(row) = present(&app, &owner).await? else { return Ok(Redirect::to(HERE).into_response()) };
    let hold = hold(&app).await?;
    let form = |errors| Change { hold, ..changed(&app, &owner, &row, typed.name.clone(), errors) };
    if let Err(Error::TooMany(seconds)) = app.limits.claim(owner.tenant.id.as_str()) {
        return too_many(&asker, seconds, &form(TOO_MANY));
    }
    let refused = match domains::parse(&typed.name, &app.settings.base_domain) {
        Err(why) => why,
        // The one there is: nothing is taken away from it.
        Ok(name) if row.hosts().any(|host| host == name.host()) => return Ok(Redirect::to(HERE).into_response()),
        Ok(name) => match want(&app, &owner, &name, true).await? {
            Ok(()) => return Ok(Redirect::to(HERE).into_response()),
            Err(why) => why,
        },
    };
    with_status(asker.page(&form(wrong(refused)))?, StatusCode::UNPROCESSABLE_ENTITY)
}

/// GET `/manage/domain/remove`: what will break.
pub(super) async fn ask_remove(State(app): State<App>, asker: Asker, owner: Owner) -> Result<Response> {
    let Some(row) = present(&app, &owner).await? else { return Ok(Redirect::to(HERE).into_response()) };
    let twin = row.twin.as_deref().map(crate::names::shown);
    let (name, serves) = (row.shown(), row.own_domain.is_some());
    asker.page(&Remove { whose: owner.whose(&app), name, twin, serves })
}

/// POST `/manage/domain/remove`.
pub(super) async fn remove(State(app): State<App>, Filled { owner, .. }: Filled) -> Result<Response> {
    let mut db = app.db.get().await?;
    let tx = db.transaction().await?;
    match domains::remove(&tx, &owner.tenant.id, &Actor::Owner, app.clock.now()).await {
        Ok(row) => {
            tx.commit().await?;
            Ok(Redirect::to(&format!("{HERE}?removed={}", row.name)).into_response())
        }
        Err(domains::Error::NotFound) => Ok(Redirect::to(HERE).into_response()), // once is enough
        Err(other) => Err(other.into()),
    }
}
