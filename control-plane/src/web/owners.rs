//! How owners come in and leave: with a ticket of their percloud, or by a mailed link.
//!
//! A ticket comes by a GET from elsewhere, so that somebody could send another person in with a ticket of their own. Therefore every page says
//! whose percloud it is about, and a form carries its percloud along.

use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use portal::pages::manage::{Entering, WayIn, WayInGone, WayInLink, WayInSent};
use serde::Deserialize;

use super::{
    Error, Result,
    error::Said,
    extract::{Asker, Owner, control_panel},
};
use crate::{
    app::App,
    owners::{
        Secret, link as links, session,
        ticket::{self, Refused},
    },
    tenants::{self, Tenant},
};

/// GET `/manage`: where to come in; who is in goes on.
pub(super) async fn way_in(State(app): State<App>, asker: Asker, owner: Result<Owner>) -> Result<Response> {
    match owner {
        Ok(_) => Ok(Redirect::to("/manage/domain").into_response()),
        Err(Error::Outside { .. }) => asker.page(&WayIn { suffix: app.settings.suffix(), ..WayIn::default() }),
        Err(error) => Err(error),
    }
}

#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    name: String,
}

/// POST `/manage`: a link by mail. The answer is the same whether there is such a percloud or not.
pub(super) async fn ask(State(app): State<App>, asker: Asker, Form(asked): Form<Asked>) -> Result<Response> {
    let form = WayIn { name: asked.name.clone(), suffix: app.settings.suffix(), ..WayIn::default() };
    if asked.name.trim().is_empty() {
        let form = WayIn { error: Some("way-in.name.empty"), ..form };
        return refuse(&asker, &form, StatusCode::UNPROCESSABLE_ENTITY);
    }
    if let Err(Error::TooMany(seconds)) = app.limits.way_in(asker.client) {
        let mut response = refuse(&asker, &WayIn { too_many: true, ..form }, StatusCode::TOO_MANY_REQUESTS)?;
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        return Ok(response);
    }
    let mut db = app.db.get().await?;
    let tx = db.transaction().await?;
    let found = tenants::find(&tx, &asked.name).await?.filter(links::may);
    // A mailbox that has had enough gets no more, and nobody is told.
    if let Some(tenant) = found.filter(|tenant| app.limits.mail(&tenant.email.to_lowercase()).is_ok()) {
        links::mail(&tx, &tenant, &format!("{}/manage/link/", app.settings.origin), app.clock.now()).await?;
    }
    tx.commit().await?;
    Ok(Redirect::to("/manage/sent").into_response())
}

fn refuse<P: ui::Page>(asker: &Asker, page: &P, status: StatusCode) -> Result<Response> {
    let mut response = asker.page(page)?;
    *response.status_mut() = status;
    response.extensions_mut().insert(Said);
    Ok(response)
}

/// GET `/manage/sent`: look into your mail.
pub(super) async fn sent(State(app): State<App>, asker: Asker) -> Result<Response> {
    asker.page(&WayInSent { spool_link: app.settings.shows_mails.then(|| "/dev/mails".to_owned()) })
}

#[derive(Deserialize)]
pub(super) struct Shown {
    #[serde(default)]
    ticket: String,
}

/// GET `/manage/enter`: with a ticket. On to an address without it.
pub(super) async fn enter(
    State(app): State<App>,
    asker: Asker,
    headers: HeaderMap,
    Query(shown): Query<Shown>,
) -> Result<Response> {
    app.limits.enter(asker.client)?;
    let mut db = app.db.get().await?;
    let tx = db.transaction().await?;
    let entered = ticket::enter(&tx, &shown.ticket, &app.settings.origin, app.clock.now()).await;
    tx.commit().await?;
    drop(db);
    let mut response = match entered {
        Ok((_, secret)) => welcome(&secret),
        // The page came back from the history, or was loaded twice: whoever is in for that percloud goes on.
        Err(Refused::Used(tenant)) if is_in(&app, &headers, &tenant).await? => {
            Redirect::to("/manage/domain").into_response()
        }
        Err(Refused::NoKey(tenant)) => asker.page(&Entering { domain: tenant.domain.to_string() })?,
        Err(Refused::Wrong(None)) => gone(&asker, "ticket", None)?,
        Err(Refused::Wrong(Some(tenant)) | Refused::Over(tenant) | Refused::Used(tenant)) => {
            gone(&asker, "ticket", Some(control_panel(&app, &tenant)))?
        }
        Err(Refused::Db(error)) => return Err(error.into()),
    };
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

async fn is_in(app: &App, headers: &HeaderMap, tenant: &Tenant) -> Result<bool> {
    let Some(secret) = Owner::secret(headers) else { return Ok(false) };
    let session = session::find(&app.db.get().await?, &secret, app.clock.now()).await?;
    Ok(session.is_some_and(|session| session.is_live() && session.tenant.id == tenant.id))
}

/// Signed in, and on. The cookie outlives the session, so that its end can be told from never having been in.
fn welcome(secret: &Secret) -> Response {
    let mut response = Redirect::to("/manage/domain").into_response();
    let age = (session::LIFE + session::REMEMBERED).num_seconds();
    let (name, value) = (Owner::COOKIE, secret.secret());
    let cookie = format!("{name}={value}; Path=/; Max-Age={age}; Secure; HttpOnly; SameSite=Lax");
    let headers = response.headers_mut();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn gone(asker: &Asker, kind: &'static str, address: Option<String>) -> Result<Response> {
    refuse(asker, &WayInGone { kind, address }, StatusCode::GONE)
}

/// GET `/manage/link/{token}`: a mailed link. Looking at it changes nothing, since mail scanners follow links.
pub(super) async fn link(State(app): State<App>, asker: Asker, Path(token): Path<String>) -> Result<Response> {
    app.limits.confirm(asker.client)?;
    let Ok(secret) = token.parse::<Secret>() else { return gone(&asker, "link", None) };
    match links::find(&app.db.get().await?, &secret, app.clock.now()).await? {
        None => gone(&asker, "link", None),
        Some(tenant) => asker.page(&WayInLink { token: secret.secret().to_owned(), domain: tenant.domain.to_string() }),
    }
}

/// POST `/manage/link/{token}`: its button.
pub(super) async fn use_link(State(app): State<App>, asker: Asker, Path(token): Path<String>) -> Result<Response> {
    app.limits.confirm(asker.client)?;
    let Ok(secret) = token.parse::<Secret>() else { return gone(&asker, "link", None) };
    let mut db = app.db.get().await?;
    let tx = db.transaction().await?;
    let entered = links::enter(&tx, &secret, app.clock.now()).await?;
    tx.commit().await?;
    entered.map_or_else(|| gone(&asker, "link", None), |secret| Ok(welcome(&secret)))
}

/// POST `/manage/sign-out`. The cookie stays and opens nothing: the next page says so, and shows the way back.
pub(super) async fn sign_out(State(app): State<App>, headers: HeaderMap) -> Result<Response> {
    if let Some(secret) = Owner::secret(&headers) {
        session::end(&app.db.get().await?, &secret, app.clock.now()).await?;
    }
    Ok(Redirect::to("/manage/domain").into_response())
}
