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
use portal::pages::manage::{Active, Ask, Beside, Change, Errors, Making, Records, Remove};
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
    domains::{self, Choice, DomainRow, Name, Observed, Owned},
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
    /// Which of the percloud's domains is meant, where it may have several.
    domain: Option<String>,
    /// Back from a DNS host: which claim that was about, and …
    state: Option<String>,
    /// … why nothing was set there, if it says so.
    error: Option<String>,
    /// A form was opened when it was otherwise: nothing was done.
    #[serde(skip)]
    meanwhile: bool,
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
    let (mut db, now) = (app.db.get().await?, app.clock.now());
    let owned = domains::owned(&db, &owner.tenant.id).await?;
    // Which one was given up stands in an address, which may be anybody's invention: nothing of it is said.
    let removed = done.removed.is_some();
    let hold = certificates::known(&db).await?.and_then(|known| known.hold());
    let Some(row) = &owned.main else {
        let beside = view::beside(&db, &owned, None, now).await?;
        return asker.page(&Ask { whose: owner.whose(app), removed, hold, other, beside, ..Ask::default() });
    };
    let waits = |row: &&DomainRow| row.in_use().is_none() && !row.awaited();
    let stale = |row: &&DomainRow| !row.paused && row.checked_at.is_none_or(|at| now - at >= WATCHED);
    // Somebody waits before this page: DNS is looked at as often as may be, which changes nothing for anybody.
    for row in owned.main.iter().chain(&owned.next).filter(waits).filter(stale) {
        ask_check(&mut db, owner, Some(row), now).await?;
    }
    let connected = owned.next.as_ref().and_then(|next| done.connected(next));
    let beside = view::beside(&db, &owned, connected, now).await?;
    let beside = Beside { removed: removed.then(|| view::answers_at(row)), meanwhile: done.meanwhile, ..beside };
    match row.observed {
        Observed::Active if row.in_use().is_some() => {
            let active = view::active(app, &db, owner.whose(app), row).await?;
            asker.page(&Active { saved: done.saved.is_some(), other, hold, beside, ..active })
        }
        _ if row.awaited() => {
            let trouble = view::trouble(&db, row).await?;
            asker.page(&Making { beside, ..view::making(owner.whose(app), row, trouble) })
        }
        _ => {
            let records = view::records(owner.whose(app), row, hold, now);
            asker.page(&Records { connected: done.connected(row), other, beside, ..records })
        }
    }
}

/// Has DNS looked at, for one domain or all that the owner has. One that was given up or paused meanwhile is no mistake: the page says so.
async fn ask_check(db: &mut Client, owner: &Owner, which: Option<&DomainRow>, now: DateTime<Utc>) -> Result<()> {
    let tx = db.transaction().await?;
    let asked = match which {
        Some(row) => domains::look(&tx, &row.id, now).await.map(drop),
        None => domains::ask_check(&tx, &owner.tenant.id, now).await,
    };
    match asked {
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
        Ok(name) => match want(&app, &owner, &name, None).await? {
            Wanted::Refused(why) => why,
            Wanted::Written | Wanted::Changed => return Ok(Redirect::to(HERE).into_response()),
        },
    };
    with_status(asker.page(&form(wrong(refused)))?, StatusCode::UNPROCESSABLE_ENTITY)
}

/// What became of the wish for a name.
enum Wanted {
    /// It is written.
    Written,
    /// That name cannot be had.
    Refused(domains::Refusal),
    /// What it was to be had instead of is not any more what it was.
    Changed,
}

/// Writes the wish for a name, `instead` of one that there is.
async fn want(app: &App, owner: &Owner, name: &Name, instead: Option<&DomainRow>) -> Result<Wanted> {
    let (now, tenant) = (app.clock.now(), &owner.tenant.id);
    let mut db = app.db.get().await?;
    let tx = db.transaction().await?;
    let wanted = match instead {
        Some(row) => domains::change(&tx, row, name, &Actor::Owner, now).await,
        None => domains::claim(&tx, tenant, name, true, &Actor::Owner, now).await,
    };
    match wanted {
        Ok(_) => tx.commit().await?,
        Err(domains::Error::Refused(why)) => return Ok(Wanted::Refused(why)),
        Err(domains::Error::Changed) => return Ok(Wanted::Changed),
        Err(other) => return Err(other.into()),
    }
    Ok(Wanted::Written)
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
    ask_check(&mut db, &owner, None, app.clock.now()).await?;
    let waits = domains::owned(&db, &owner.tenant.id).await?.next.is_some();
    let place = if waits { "next" } else { "entries" };
    Ok(Redirect::to(&format!("{HERE}#{place}")).into_response())
}

/// POST `/manage/domain/choose`: with `www.`, without, or one name alone; of the domain that was shown, which may have given way meanwhile.
pub(super) async fn choose(State(app): State<App>, Filled { asker, owner, typed }: Filled) -> Result<Response> {
    let choice = match typed.choice.as_str() {
        "apex" => Choice::Apex,
        "www" => Choice::Www,
        "none" => Choice::NoTwin,
        _ => return Err(Error::Invalid { field: "choice", code: "choice", detail: "apex, www or none".into() }),
    };
    let mut db = app.db.get().await?;
    let tx = db.transaction().await?;
    let main = domains::of_tenant(&tx, &owner.tenant.id).await?;
    let chosen = match main.filter(|row| row.id == typed.domain && row.shown() == typed.shown) {
        Some(row) => domains::choose(&tx, &row, choice, &Actor::Owner, app.clock.now()).await.map(drop),
        None => Err(domains::Error::Changed),
    };
    match chosen {
        Ok(()) => tx.commit().await?,
        Err(domains::Error::Changed) => {
            drop(tx);
            let done = Done { meanwhile: true, ..Done::default() };
            return with_status(page(&app, &asker, &owner, &done, false).await?, StatusCode::CONFLICT);
        }
        Err(other) => return Err(other.into()),
    }
    Ok(Redirect::to("/manage/domain?saved=1").into_response())
}

/// The owner's domains.
async fn present(app: &App, owner: &Owner) -> Result<Owned> {
    Ok(domains::owned(&app.db.get().await?, &owner.tenant.id).await?)
}

/// GET `/manage/domain/change`: another name instead.
pub(super) async fn ask_change(State(app): State<App>, asker: Asker, owner: Owner) -> Result<Response> {
    let owned = present(&app, &owner).await?;
    let page = owned.current().map(|row| view::change(owner.whose(&app), row, &owned, app.clock.now()));
    match page {
        None => Ok(Redirect::to(HERE).into_response()),
        Some(page) => asker.page(&Change { hold: hold(&app).await?, ..page }),
    }
}

/// What to know of certificates for own domains before the work.
async fn hold(app: &App) -> Result<Option<&'static str>> {
    Ok(certificates::known(&app.db.get().await?).await?.and_then(|known| known.hold()))
}

/// POST `/manage/domain/change`. The one there is: nothing is taken away from it. Instead of another one than was shown, or of one that is not
/// in use any more, nothing is done.
pub(super) async fn change(State(app): State<App>, Filled { asker, owner, typed }: Filled) -> Result<Response> {
    let owned = present(&app, &owner).await?;
    let Some(row) = owned.current() else { return Ok(Redirect::to(HERE).into_response()) };
    let page = view::change(owner.whose(&app), row, &owned, app.clock.now());
    let page = Change { name: typed.name.clone(), hold: hold(&app).await?, ..page };
    if let Err(Error::TooMany(seconds)) = app.limits.claim(owner.tenant.id.as_str()) {
        return too_many(&asker, seconds, &Change { errors: TOO_MANY, ..page });
    }
    let refused = match domains::parse(&typed.name, &app.settings.base_domain) {
        Err(why) => why,
        Ok(_) if row.id != typed.domain || page.state != typed.shown => {
            return with_status(asker.page(&Change { meanwhile: true, ..page })?, StatusCode::CONFLICT);
        }
        Ok(name) => match want(&app, &owner, &name, Some(row)).await? {
            Wanted::Refused(why) => why,
            // A moment ago: the page shows how it is.
            Wanted::Written | Wanted::Changed => return Ok(Redirect::to(HERE).into_response()),
        },
    };
    with_status(asker.page(&Change { errors: wrong(refused), ..page })?, StatusCode::UNPROCESSABLE_ENTITY)
}

/// The one of the owner's domains that is meant: that of an id, or else the one in use. None when it has gone meanwhile.
fn meant<'a>(owned: &'a Owned, id: Option<&str>) -> Option<&'a DomainRow> {
    let all = || owned.main.iter().chain(&owned.next).chain(&owned.former);
    match id.filter(|id| !id.is_empty()) {
        None => owned.main.as_ref(),
        Some(id) => all().find(|row| row.id == id),
    }
}

/// GET `/manage/domain/remove`: what will break.
pub(super) async fn ask_remove(
    State(app): State<App>,
    asker: Asker,
    owner: Owner,
    Query(done): Query<Done>,
) -> Result<Response> {
    let owned = present(&app, &owner).await?;
    match meant(&owned, done.domain.as_deref()) {
        None => Ok(Redirect::to(HERE).into_response()),
        Some(row) => asker.page(&view::remove(owner.whose(&app), row, &owned, app.clock.now())),
    }
}

/// POST `/manage/domain/remove`. Once is enough: what has gone is gone. What is otherwise than the page said is asked about again: the name
/// that was still on its way may be the one in use by now.
pub(super) async fn remove(State(app): State<App>, Filled { asker, owner, typed }: Filled) -> Result<Response> {
    let (mut db, now) = (app.db.get().await?, app.clock.now());
    let tx = db.transaction().await?;
    let owned = domains::owned(&tx, &owner.tenant.id).await?;
    let Some(row) = meant(&owned, Some(&typed.domain)) else { return Ok(Redirect::to(HERE).into_response()) };
    let page = view::remove(owner.whose(&app), row, &owned, now);
    let done = match typed.shown == page.shown {
        false => Err(domains::Error::Changed),
        true => domains::cancel(&tx, row, &Actor::Owner, now).await,
    };
    match done {
        Ok(()) => tx.commit().await?,
        Err(domains::Error::Changed) => {
            drop(tx);
            let owned = domains::owned(&db, &owner.tenant.id).await?;
            let Some(row) = meant(&owned, Some(&typed.domain)) else { return Ok(Redirect::to(HERE).into_response()) };
            let page = view::remove(owner.whose(&app), row, &owned, now);
            return with_status(asker.page(&Remove { meanwhile: true, ..page })?, StatusCode::CONFLICT);
        }
        Err(other) => return Err(other.into()),
    }
    let to = if page.until.is_some() { HERE.to_owned() } else { format!("{HERE}?removed={}", row.name) };
    Ok(Redirect::to(&to).into_response())
}
