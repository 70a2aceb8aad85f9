//! The password and the recovery codes.

use axum::{
    Form,
    extract::State,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::{
    activity, auth,
    auth::{
        codes, sessions,
        web::{Attempt, Codes, attempt, check_password, known_words},
    },
    runtime::Runtime,
    web::{Error, Request, Result, page, page_with_status, redirect_with_toast},
};

/// The password and the recovery codes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Password {
    /// The percloud's address, which a password manager keeps as the user's name.
    pub domain: String,
    /// When it was last changed.
    pub changed_at: DateTime<Utc>,
    /// Codes that are left.
    pub codes: u32,
    /// What is wrong with the current password.
    pub current_error: Option<String>,
    /// What is wrong with the new one.
    pub new_error: Option<String>,
    /// What is wrong with the password that was given for new codes.
    pub codes_error: Option<String>,
}

impl ui::Page for Password {
    const TEMPLATE: &'static str = "core/password.html";
    fn samples() -> Vec<Self> {
        let plain = Self { domain: "ada.percloud.localhost".into(), codes: 10, ..Self::default() };
        vec![
            Self { current_error: Some("password.wrong".into()), codes: 0, ..plain.clone() },
            Self { new_error: Some("password.hint.keyboard".into()), codes: 1, ..plain.clone() },
            Self { codes_error: Some("password.wrong".into()), ..plain.clone() },
            plain,
        ]
    }
}

/// GET `/control/password`.
pub(super) async fn show(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    form(&rt, &req, Password::default()).await
}

async fn form(rt: &Runtime, req: &Request, page: Password) -> Result<Response> {
    let wrong = page.current_error.is_some() || page.new_error.is_some() || page.codes_error.is_some();
    let status = if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let look = rt.store().read(|db| Ok((auth::owner(db)?, codes::left(db)?)));
    let (owner, codes) = look.await?;
    let changed_at = owner.map(|owner| owner.password_at).unwrap_or_default();
    let page = Password { domain: rt.spec().domain.to_string(), changed_at, codes, ..page };
    page_with_status(rt, req, &page, status)
}

/// Lets the owner try their password, as slowly as a visitor: a session that was left open must not help to guess it.
async fn begin(rt: &Runtime, req: &Request) -> Result<Attempt> {
    attempt(rt, req).await?.map_err(|wait| Error::TooMany(wait.num_seconds().max(1).unsigned_abs()))
}

#[derive(Deserialize)]
pub(super) struct Change {
    current: String,
    password: String,
}

/// POST `/control/password`: a new password; every other browser must sign in again.
pub(super) async fn change(State(rt): State<Runtime>, req: Request, Form(wish): Form<Change>) -> Result<Response> {
    let attempt = begin(&rt, &req).await?;
    if !check_password(&rt, &attempt, wish.current).await? {
        let page = Password { current_error: Some("password.wrong".into()), ..Password::default() };
        return form(&rt, &req, page).await;
    }
    let strength = rt.hasher().judge(wish.password.clone(), known_words(&rt)).await?;
    if !strength.enough {
        return form(&rt, &req, Password { new_error: Some(strength.hint.into()), ..Password::default() }).await;
    }
    let hash = rt.hasher().hash(wish.password).await?;
    let (now, device) = (rt.clock().now(), req.device.clone());
    let own = req.session.as_ref().ok_or(Error::SignedOut)?.id.clone();
    let ended = rt.store().write(move |tx| {
        auth::change_password(tx, &hash, now)?;
        activity::note(tx, now, "activity.password-changed", &[("device", &device)])?;
        sessions::end_others(tx, Some(&own))
    });
    let ended = ended.await?.to_string();
    Ok(redirect_with_toast("/control/password", "toast.password-changed", &[("count", &ended)], None))
}

#[derive(Deserialize)]
pub(super) struct Renew {
    password: String,
}

/// POST `/control/password/codes`: new codes; the old ones are void.
pub(super) async fn renew_codes(State(rt): State<Runtime>, req: Request, Form(wish): Form<Renew>) -> Result<Response> {
    let attempt = begin(&rt, &req).await?;
    if !check_password(&rt, &attempt, wish.password).await? {
        let page = Password { codes_error: Some("password.wrong".into()), ..Password::default() };
        return form(&rt, &req, page).await;
    }
    let (now, device) = (rt.clock().now(), req.device.clone());
    let codes = rt.store().write(move |tx| {
        activity::note(tx, now, "activity.codes-renewed", &[("device", &device)])?;
        codes::renew(tx)
    });
    let sheet = Codes {
        codes: codes.await?,
        domain: rt.spec().domain.to_string(),
        next: "/control/password".into(),
        first: false,
        at: now,
    };
    page(&rt, &req, &sheet)
}

#[derive(Deserialize)]
pub(super) struct Sheet {
    codes: String,
}

/// POST `/control/password/codes.txt`: hands the codes on the sheet back as a file. They are not kept here, so the sheet
/// sends them along; what is not a code of this percloud is not handed back.
pub(super) async fn codes_text(State(rt): State<Runtime>, req: Request, Form(sheet): Form<Sheet>) -> Result<Response> {
    let codes: Vec<String> = sheet.codes.split_whitespace().take(codes::COUNT).map(str::to_owned).collect();
    let asked = codes.clone();
    let ours = rt.store().read(move |db| codes::all_ours(db, &asked.iter().map(String::as_str).collect::<Vec<_>>()));
    if !ours.await? {
        return Err(Error::NotFound);
    }
    let domain = rt.spec().domain.to_string();
    let args = [("domain".to_owned(), domain.clone())].into();
    let say = |key: &str| rt.pages().message(req.lang, key, &args);
    let list = codes.join("\r\n");
    let text = format!("{}\r\n\r\n{list}\r\n\r\n{}\r\n", say("codes.file.title"), say("codes.file.text"));
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let name = format!("attachment; filename=\"percloud-{domain}.txt\"");
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).map_err(anyhow::Error::from)?);
    Ok(response)
}
