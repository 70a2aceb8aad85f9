//! Deleting the percloud: a typed confirmation, thirty days to think it over, then it is wiped.

use axum::{Form, extract::State, response::Response};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::{
    activity, auth,
    auth::web::{attempt, check_password},
    runtime::{Place, Runtime},
    status,
    web::{Error, Request, Result, page_with_status, redirect, redirect_with_toast},
};

/// Asks whether it is meant, or says how long there is to think it over.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Deletion {
    /// What must be typed.
    pub domain: String,
    /// What was typed.
    pub typed: String,
    /// When it is deleted, if that was asked for.
    pub delete_after: Option<DateTime<Utc>>,
    /// At home nobody else's machine is involved.
    pub at_home: bool,
    /// What is wrong with what was typed.
    pub typed_error: Option<String>,
    /// What is wrong with the password.
    pub password_error: Option<String>,
}

impl ui::Page for Deletion {
    const TEMPLATE: &'static str = "core/delete.html";
    fn samples() -> Vec<Self> {
        let plain = Self { domain: "ada.percloud.localhost".into(), ..Self::default() };
        vec![
            Self { typed: "ada".into(), typed_error: Some("delete.typed".into()), at_home: true, ..plain.clone() },
            Self { password_error: Some("password.wrong".into()), ..plain.clone() },
            Self { delete_after: Some(DateTime::UNIX_EPOCH), ..plain.clone() },
            plain,
        ]
    }
}

/// GET `/control/delete`.
pub(super) async fn show(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    form(&rt, &req, Deletion::default()).await
}

async fn form(rt: &Runtime, req: &Request, page: Deletion) -> Result<Response> {
    let wrong = page.typed_error.is_some() || page.password_error.is_some();
    let status = if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = Deletion {
        domain: rt.spec().domain.to_string(),
        delete_after: rt.store().read(auth::owner).await?.and_then(|owner| owner.delete_after),
        at_home: rt.place() == Place::Home,
        ..page
    };
    page_with_status(rt, req, &page, status)
}

#[derive(Deserialize)]
pub(super) struct Wish {
    typed: String,
    password: String,
}

/// POST `/control/delete`: Home closes at once; the rest goes in thirty days.
pub(super) async fn want(State(rt): State<Runtime>, req: Request, Form(wish): Form<Wish>) -> Result<Response> {
    let typed: String = wish.typed.trim().chars().take(300).collect();
    if !typed.eq_ignore_ascii_case(rt.spec().domain.as_str()) {
        return form(&rt, &req, Deletion { typed, typed_error: Some("delete.typed".into()), ..Deletion::default() })
            .await;
    }
    let attempt = attempt(&rt, &req).await?;
    let attempt = attempt.map_err(|wait| Error::TooMany(wait.num_seconds().max(1).unsigned_abs()))?;
    if !check_password(&rt, &attempt, wish.password).await? {
        return form(
            &rt,
            &req,
            Deletion { typed, password_error: Some("password.wrong".into()), ..Deletion::default() },
        )
        .await;
    }
    let (now, device) = (rt.clock().now(), req.device.clone());
    let wanted = rt.store().write(move |tx| {
        auth::want_deletion(tx, Some(now + auth::DELETION_GRACE))?;
        activity::note(tx, now, "activity.deletion-wanted", &[("device", &device)])
    });
    wanted.await?;
    status::write(&rt).await?;
    Ok(redirect("/control/delete"))
}

/// POST `/control/delete/undo`: everything is as it was.
pub(super) async fn undo(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    let (now, device) = (rt.clock().now(), req.device);
    let undone = rt.store().write(move |tx| {
        auth::want_deletion(tx, None)?;
        activity::note(tx, now, "activity.deletion-undone", &[("device", &device)])
    });
    undone.await?;
    status::write(&rt).await?;
    Ok(redirect_with_toast("/control", "toast.deletion-undone", &[], None))
}
