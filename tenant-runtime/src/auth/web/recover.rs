//! A forgotten password: one of the codes on paper, and a new one.

use axum::{Form, extract::State, response::Response};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};

use super::sign_in::{attempt, minutes};
use crate::{
    activity, auth,
    auth::{codes, limits, sessions},
    runtime::Runtime,
    web::{self, Request, Result, page_with_status},
};

/// Asks for a code and a new password.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Recover {
    /// The percloud's address, which a password manager keeps as the user's name.
    pub domain: String,
    /// What was typed as the code.
    pub code: String,
    /// What is wrong with the code.
    pub code_error: Option<String>,
    /// What is wrong with the password.
    pub password_error: Option<String>,
    /// Minutes to wait before the next try.
    pub minutes: Option<i64>,
}

impl ui::Page for Recover {
    const TEMPLATE: &'static str = "core/recover.html";
    fn samples() -> Vec<Self> {
        let plain = Self { domain: "ada.percloud.localhost".into(), ..Self::default() };
        vec![
            Self { code_error: Some("recover.wrong".into()), code: "abcd".into(), ..plain.clone() },
            Self { password_error: Some("password.hint.short".into()), ..plain.clone() },
            Self { minutes: Some(3), ..plain.clone() },
            plain,
        ]
    }
}

#[derive(Deserialize)]
pub(super) struct Wish {
    code: String,
    password: String,
}

/// GET: the form.
pub(super) async fn show(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    form(&rt, &req, Recover::default())
}

fn form(rt: &Runtime, req: &Request, page: Recover) -> Result<Response> {
    let status = match (&page.code_error, &page.password_error, page.minutes) {
        (_, _, Some(_)) => StatusCode::TOO_MANY_REQUESTS,
        (None, None, None) => StatusCode::OK,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    page_with_status(rt, req, &Recover { domain: rt.spec().domain.to_string(), ..page }, status)
}

/// POST: uses the code up, sets the password, ends every other session.
pub(super) async fn recover(State(rt): State<Runtime>, req: Request, Form(wish): Form<Wish>) -> Result<Response> {
    let code: String = wish.code.chars().take(64).collect();
    let attempt = match attempt(&rt, &req).await? {
        Ok(attempt) => attempt,
        Err(wait) => return form(&rt, &req, Recover { minutes: Some(minutes(wait)), ..Recover::default() }),
    };
    // The password first: what it is told tells nothing about the code.
    let strength = rt.hasher().judge(wish.password.clone(), super::known_words(&rt)).await?;
    if !strength.enough {
        let page = Recover { code, password_error: Some(strength.hint.to_owned()), ..Recover::default() };
        return form(&rt, &req, page);
    }
    let hash = rt.hasher().hash(wish.password).await?;
    let (now, device, typed) = (rt.clock().now(), req.device.clone(), code.clone());
    let done = rt.store().write(move |tx| {
        if !codes::redeem(tx, &typed, now)? {
            limits::failed(tx, &attempt.visitor, now)?;
            return Ok(None);
        }
        auth::change_password(tx, &hash, now)?;
        limits::forget(tx, &attempt.visitor)?;
        sessions::end_others(tx, None)?;
        activity::note(tx, now, "activity.recovered", &[("device", &device)])?;
        Ok(Some((codes::left(tx)?, sessions::start(tx, &device, now)?)))
    });
    let Some((left, session)) = done.await? else {
        let page = Recover { code, code_error: Some("recover.wrong".into()), ..Recover::default() };
        return form(&rt, &req, page);
    };
    let left = left.to_string();
    let mut response = web::redirect_with_toast("/control/password", "toast.recovered", &[("count", &left)], None);
    response.headers_mut().append(header::SET_COOKIE, web::session_cookie(&session));
    Ok(response)
}
