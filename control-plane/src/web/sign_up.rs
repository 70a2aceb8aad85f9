//! Signing up: a name, an address, a mail. The answer is the same whether the address is known here or not.

use std::collections::BTreeMap;

use axum::{
    Form, Json,
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use portal::{
    forms::sign_up::{Errors, SignUp as Typed},
    pages::{CheckMail, SignUp},
};
use serde::{Deserialize, Serialize};
use ui::Lang;

use super::{Error, Result, error::Said, extract::Asker};
use crate::{
    accounts::Email,
    app::App,
    audit::Actor,
    names::{self, Refusal},
    tenants::{self, Again, New},
};

#[derive(Deserialize)]
pub(super) struct Asked {
    moving: Option<String>,
    name: Option<String>,
}

pub(super) async fn form(State(app): State<App>, asker: Asker, Query(asked): Query<Asked>) -> Result<Response> {
    let typed = Typed {
        name: asked.name.unwrap_or_default(),
        moving: asked.moving.unwrap_or_default(),
        language: asker.lang.code().to_owned(),
        ..Typed::default()
    };
    show(&app, &asker, &typed, Errors::default())
}

fn show(app: &App, asker: &Asker, typed: &Typed, errors: Errors) -> Result<Response> {
    asker.page(&SignUp {
        name: typed.name.clone(),
        email: typed.email.clone(),
        errors,
        suffix: app.settings.suffix(),
        moving: typed.moving(),
        language: typed.language(asker.lang),
    })
}

/// The form again, with what is wrong by its field; nothing has changed.
fn refuse(app: &App, asker: &Asker, typed: &Typed, status: StatusCode, errors: Errors) -> Result<Response> {
    let mut response = show(app, asker, typed, errors)?;
    *response.status_mut() = status;
    response.extensions_mut().insert(Said);
    Ok(response)
}

pub(super) async fn post(
    State(app): State<App>,
    asker: Asker,
    headers: HeaderMap,
    Form(typed): Form<Typed>,
) -> Result<Response> {
    let mut errors = typed.check();
    let name = names::check(&typed.name).map_err(|why| errors.name = Some(why.key())).ok();
    let email = typed.email.parse::<Email>().map_err(|_| errors.email.get_or_insert("sign-up.email.wrong")).ok();
    let (Some(name), Some(email), true) = (name, email, errors.is_empty()) else {
        return refuse(&app, &asker, &typed, StatusCode::UNPROCESSABLE_ENTITY, errors);
    };
    let too_many = Errors { form: Some("sign-up.too-many"), ..Errors::default() };
    if let Err(Error::TooMany(seconds)) = app.limits.sign_up(asker.client).and_then(|()| app.limits.mail(&email.key()))
    {
        let mut response = refuse(&app, &asker, &typed, StatusCode::TOO_MANY_REQUESTS, too_many)?;
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        return Ok(response);
    }
    let confirm_url = format!("{}/confirm/", app.settings.origin);
    let new = New {
        name: &name,
        base_domain: &app.settings.base_domain,
        email: &email,
        language: typed.language(asker.lang).code(),
        quota_bytes: app.settings.quota_bytes,
        actor: &Actor::Visitor,
        confirm_url: Some(&confirm_url),
        moving: typed.moving(),
    };
    let wanted = match want(&app, &new).await {
        Err(tenants::Error::Name(Refusal::Taken)) => want_again(&app, &new, Sent::of(&headers)).await,
        other => other,
    };
    match wanted {
        Ok(created) => Ok(sent(&email, &created)),
        Err(tenants::Error::Name(why)) => {
            let errors = Errors { name: Some(why.key()), ..Errors::default() };
            refuse(&app, &asker, &typed, StatusCode::UNPROCESSABLE_ENTITY, errors)
        }
        Err(other) => Err(other.into()),
    }
}

pub(super) async fn want(app: &App, new: &New<'_>) -> Result<tenants::Created, tenants::Error> {
    let mut db = app.db.get().await.map_err(crate::db::Error::from)?;
    let tx = db.transaction().await?;
    let created = tenants::create(&tx, new, app.clock.now()).await?;
    tx.commit().await?;
    metrics::counter!("percloud_sign_ups_total").increment(1);
    Ok(created)
}

/// The name is taken: by this very browser, whose owner mistyped the address or lost the mail?
async fn want_again(app: &App, new: &New<'_>, sent: Option<Sent>) -> Result<tenants::Created, tenants::Error> {
    let taken = tenants::Error::Name(Refusal::Taken);
    let Some(before) = sent.and_then(|sent| sent.again.parse::<Again>().ok()) else { return Err(taken) };
    let mut db = app.db.get().await.map_err(crate::db::Error::from)?;
    let tx = db.transaction().await?;
    let created = tenants::create_again(&tx, new, &before, app.clock.now()).await?.ok_or(taken)?;
    tx.commit().await?;
    Ok(created)
}

/// What the next page says, and the right to begin again; kept by the visitor, not in an address that would be logged.
#[derive(Serialize, Deserialize)]
struct Sent {
    email: String,
    domain: String,
    again: String,
}

impl Sent {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let value = cookies
            .flat_map(|line| line.split(';'))
            .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))?;
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(value).ok()?).ok()
    }
}

const COOKIE: &str = "__Host-sign-up";

fn sent(email: &Email, created: &tenants::Created) -> Response {
    let sent = Sent {
        email: email.as_str().to_owned(),
        domain: created.domain.to_string(),
        again: created.again.secret().to_owned(),
    };
    let value = BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(&sent).unwrap_or_default());
    let mut response = Redirect::to("/check-mail").into_response();
    let cookie = format!("{COOKIE}={value}; Path=/; Max-Age=172800; Secure; HttpOnly; SameSite=Lax");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// "Look into your mail". Whoever comes here without having signed up is sent to where that is done.
pub(super) async fn check_mail(State(app): State<App>, asker: Asker, headers: HeaderMap) -> Result<Response> {
    match Sent::of(&headers) {
        None => Ok(Redirect::to("/sign-up").into_response()),
        Some(sent) => asker.page(&CheckMail {
            email: sent.email,
            domain: Some(sent.domain),
            spool_link: app.settings.shows_mails.then(|| "/dev/mails".to_owned()),
        }),
    }
}

/// Whether a name may be had.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct NameAnswer {
    /// The name, as an address would have it.
    name: String,
    /// `free`, `taken` or `not-allowed`.
    state: &'static str,
    /// Why not: a stable key.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_key: Option<&'static str>,
    /// The same in words, in the language asked for.
    message: String,
    /// The address that it would be.
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
}

/// Whether a name may be had, with the reason in the language of the visitor; for the form as it is typed.
#[utoipa::path(get, path = "/api/names/{name}", tag = "names", security(()),
    params(("name" = String, Path, description = "What somebody typed.")),
    responses(
        (status = 200, description = "The answer.", body = NameAnswer),
        (status = 429, description = "Asked too often.", body = super::error::Problem),
        (status = 503, description = "The database does not answer.", body = super::error::Problem),
    ))]
pub(super) async fn name(
    State(app): State<App>,
    asker: Asker,
    headers: HeaderMap,
    Path(typed): Path<String>,
) -> Result<Response> {
    app.limits.name(asker.client)?;
    let checked = names::check(&typed).and_then(|name| Ok((name.domain(&app.settings.base_domain)?, name)));
    let (label, domain, refusal) = match checked {
        Err(why) => (typed.trim().chars().take(60).collect(), None, Some(why)),
        Ok((domain, name)) => {
            let db = app.db.get().await?;
            let mut holder = names::find_holder(&db, &name).await?;
            let again = Sent::of(&headers).and_then(|sent| sent.again.parse::<Again>().ok());
            if let (Some(Refusal::Taken), Some(again)) = (holder, again)
                && tenants::may_create_again(&db, &domain, &again).await?
            {
                holder = None; // by this very browser
            }
            (name.label().to_owned(), Some(domain.to_string()), holder)
        }
    };
    let state = match refusal {
        None => "free",
        Some(Refusal::Taken | Refusal::TooAlike) => "taken",
        Some(_) => "not-allowed",
    };
    let key = refusal.map_or("sign-up.name.free", Refusal::key);
    let message = say(asker.lang, key, domain.as_deref());
    let answer = NameAnswer { name: label, state, reason_key: refusal.map(Refusal::key), message, domain };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

fn say(lang: Lang, key: &str, domain: Option<&str>) -> String {
    let domain = domain.map(|domain| ("domain".to_owned(), domain.to_owned()));
    portal::pages().message(lang, key, &domain.into_iter().collect::<BTreeMap<_, _>>())
}
