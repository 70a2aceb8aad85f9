//! The one-time link: a password, then the recovery codes on paper, then the percloud is its owner's alone.

use axum::{
    Form,
    extract::{Path, Query, State},
    response::Response,
};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};

use super::next_or;
use crate::{
    activity, auth,
    auth::{codes, sessions},
    runtime::Runtime,
    status,
    web::{self, Error, Request, Result, page, page_with_status},
};

/// Asks for a password.
#[derive(Clone, Debug, Serialize)]
pub struct SetUp {
    /// Where the form goes.
    pub action: String,
    /// The percloud's address, which a password manager keeps as the user's name.
    pub domain: String,
    /// The provider's name, if there is one.
    pub provider: Option<String>,
    /// A bundle is going to be imported afterwards.
    pub moving: bool,
    /// Why the password was not taken.
    pub error: Option<String>,
}

impl ui::Page for SetUp {
    const TEMPLATE: &'static str = "core/set-up.html";
    fn samples() -> Vec<Self> {
        let plain = Self {
            action: "/setup/x".into(),
            domain: "ada.percloud.localhost".into(),
            provider: Some("Example Cloud".into()),
            moving: false,
            error: None,
        };
        let wrong = Self { error: Some("password.hint.common".into()), moving: true, ..plain.clone() };
        vec![Self { provider: None, ..plain.clone() }, plain, wrong]
    }
}

/// The recovery codes, shown once, made to be printed.
#[derive(Clone, Debug, Serialize)]
pub struct Codes {
    /// The codes.
    pub codes: Vec<String>,
    /// The percloud's address.
    pub domain: String,
    /// Where to go on to.
    pub next: String,
    /// These are the first, as part of the set-up.
    pub first: bool,
    /// When they were made.
    pub at: chrono::DateTime<chrono::Utc>,
}

impl ui::Page for Codes {
    const TEMPLATE: &'static str = "core/codes.html";
    fn samples() -> Vec<Self> {
        let codes = (0..codes::COUNT).map(|n| format!("abcd-efgh-jkmn-pqr{n}")).collect();
        let at = chrono::DateTime::UNIX_EPOCH;
        let first = Self { codes, domain: "ada.percloud.localhost".into(), next: "/app".into(), first: true, at };
        vec![Self { first: false, next: "/control/password".into(), ..first.clone() }, first]
    }
}

/// The link was used before.
#[derive(Clone, Debug, Serialize)]
pub struct SetUpUsed {
    /// Whether the reader is the owner, signed in.
    pub signed_in: bool,
}

impl ui::Page for SetUpUsed {
    const TEMPLATE: &'static str = "core/set-up-used.html";
    fn samples() -> Vec<Self> {
        [false, true].map(|signed_in| Self { signed_in }).into()
    }
}

#[derive(Deserialize)]
pub(super) struct Next {
    next: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Wish {
    password: String,
}

/// Where the set-up leads: services, or the import for whoever moves in.
fn goal(next: Option<&str>) -> &str {
    if next == Some("import") { "/control/import" } else { next_or(next, "/app") }
}

/// GET: the form, as long as the link was not used.
pub(super) async fn show(
    State(rt): State<Runtime>,
    req: Request,
    Path(token): Path<String>,
    Query(query): Query<Next>,
) -> Result<Response> {
    if let Some(used) = used(&rt, &req).await? {
        return Ok(used);
    }
    if !auth::is_setup_token(rt.spec(), &token) {
        return Err(Error::NotFound);
    }
    form(&rt, &req, query.next.as_deref(), None)
}

async fn used(rt: &Runtime, req: &Request) -> Result<Option<Response>> {
    if rt.store().read(auth::owner).await?.is_none() {
        return Ok(None);
    }
    let page = SetUpUsed { signed_in: req.signed_in() };
    Ok(Some(page_with_status(rt, req, &page, StatusCode::GONE)?))
}

fn form(rt: &Runtime, req: &Request, next: Option<&str>, error: Option<&str>) -> Result<Response> {
    let status = if error.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let set_up = SetUp {
        action: req.target.clone(),
        domain: rt.spec().domain.to_string(),
        provider: rt.spec().provider.as_ref().map(|provider| provider.name.clone()),
        moving: goal(next) == "/control/import",
        error: error.map(str::to_owned),
    };
    let mut response = page_with_status(rt, req, &set_up, status)?;
    // The token is in this page's address: it must not travel to any other.
    response.headers_mut().insert(header::REFERRER_POLICY, http::HeaderValue::from_static("no-referrer"));
    Ok(response)
}

/// POST: takes the password, makes the codes, signs in.
pub(super) async fn set_up(
    State(rt): State<Runtime>,
    req: Request,
    Path(token): Path<String>,
    Query(query): Query<Next>,
    Form(wish): Form<Wish>,
) -> Result<Response> {
    if let Some(used) = used(&rt, &req).await? {
        return Ok(used);
    }
    if !auth::is_setup_token(rt.spec(), &token) {
        return Err(Error::NotFound);
    }
    let strength = rt.hasher().judge(wish.password.clone(), super::known_words(&rt)).await?;
    if !strength.enough {
        return form(&rt, &req, query.next.as_deref(), Some(strength.hint));
    }
    let hash = rt.hasher().hash(wish.password).await?;
    let (now, device) = (rt.clock().now(), req.device.clone());
    let made = rt.store().write(move |tx| {
        if !auth::set_up(tx, &hash, now)? {
            return Ok(None);
        }
        activity::note(tx, now, "activity.set-up", &[("device", &device)])?;
        Ok(Some((codes::renew(tx)?, sessions::start(tx, &device, now)?)))
    });
    let Some((codes, session)) = made.await? else {
        return Ok(used(&rt, &req).await?.unwrap_or_else(|| web::redirect("/sign-in")));
    };
    status::write(&rt).await?;
    let next = goal(query.next.as_deref()).to_owned();
    let sheet = Codes { codes, domain: rt.spec().domain.to_string(), next, first: true, at: now };
    let mut response = page(&rt, &req, &sheet)?;
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, web::session_cookie(&session));
    headers.insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, http::HeaderValue::from_static("same-origin"));
    Ok(response)
}
