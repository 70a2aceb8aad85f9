//! Signing in and out.

use axum::{
    Form,
    extract::{Query, State},
    response::Response,
};
use chrono::TimeDelta;
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};

use super::next_or;
use crate::{
    activity, auth,
    auth::{limits, sessions},
    runtime::Runtime,
    web::{self, Error, Request, Result, page_with_status, redirect},
};

/// Asks for the password.
#[derive(Clone, Debug, Serialize)]
pub struct SignIn {
    /// The percloud's address, which a password manager keeps as the user's name.
    pub domain: String,
    /// Where to go on to.
    pub next: Option<String>,
    /// Why it did not work.
    pub error: Option<String>,
    /// Minutes to wait before the next try.
    pub minutes: Option<i64>,
    /// Nobody has used the set-up link yet.
    pub not_set_up: bool,
    /// The reason that the provider gives for having suspended the percloud exists: say what still works.
    pub suspended: bool,
}

impl ui::Page for SignIn {
    const TEMPLATE: &'static str = "core/sign-in.html";
    fn samples() -> Vec<Self> {
        let plain = Self {
            domain: "ada.percloud.localhost".into(),
            next: Some("/app/files".into()),
            error: None,
            minutes: None,
            not_set_up: false,
            suspended: false,
        };
        vec![
            Self { error: Some("sign-in.wrong".into()), ..plain.clone() },
            Self { error: Some("sign-in.wait".into()), minutes: Some(4), ..plain.clone() },
            Self { not_set_up: true, ..plain.clone() },
            Self { suspended: true, ..plain.clone() },
            plain,
        ]
    }
}

#[derive(Deserialize)]
pub(super) struct Next {
    next: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Wish {
    password: String,
    next: Option<String>,
}

/// GET: the form; whoever is signed in goes straight on.
pub(super) async fn show(State(rt): State<Runtime>, req: Request, Query(query): Query<Next>) -> Result<Response> {
    if req.signed_in() {
        return Ok(redirect(goal(&rt, query.next.as_deref())));
    }
    form(&rt, &req, query.next, None, None).await
}

/// Where signing in leads: while suspended, to what still works.
fn goal<'a>(rt: &Runtime, next: Option<&'a str>) -> &'a str {
    next_or(next, if rt.spec().suspended.is_some() { "/control/export" } else { "/app" })
}

async fn form(
    rt: &Runtime,
    req: &Request,
    next: Option<String>,
    error: Option<&str>,
    wait: Option<TimeDelta>,
) -> Result<Response> {
    let status = match (error, wait) {
        (_, Some(_)) => StatusCode::TOO_MANY_REQUESTS,
        (Some(_), None) => StatusCode::UNPROCESSABLE_ENTITY,
        (None, None) => StatusCode::OK,
    };
    let page = SignIn {
        domain: rt.spec().domain.to_string(),
        next: next.filter(|next| next_or(Some(next), "") == next),
        error: error.map(str::to_owned),
        minutes: wait.map(minutes),
        not_set_up: rt.store().read(auth::owner).await?.is_none(),
        suspended: rt.spec().suspended.is_some(),
    };
    let mut response = page_with_status(rt, req, &page, status)?;
    if let Some(wait) = wait {
        response.headers_mut().insert(header::RETRY_AFTER, wait.num_seconds().max(1).into());
    }
    Ok(response)
}

/// Whole minutes, rounded up.
pub(super) fn minutes(wait: TimeDelta) -> i64 {
    (wait.num_seconds().max(1) + 59) / 60
}

/// Somebody who is about to prove that they are the owner.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) visitor: limits::Visitor,
    hash: Option<String>,
}

/// Lets an attempt begin, or says how long to wait.
pub(crate) async fn attempt(rt: &Runtime, req: &Request) -> Result<std::result::Result<Attempt, TimeDelta>> {
    let (client, now, id) = (req.client, rt.clock().now(), rt.spec().id.to_string());
    let look = rt.store().read(move |db| {
        let owner = auth::owner(db)?;
        // Keyed with something that nobody else knows: the store must not become a list of addresses.
        let visitor = limits::Visitor::new(client, owner.as_ref().map_or(&id, |owner| &owner.password));
        let wait = limits::wait(db, &visitor, now)?;
        Ok((Attempt { visitor, hash: owner.map(|owner| owner.password) }, wait))
    });
    let (attempt, wait) = look.await?;
    Ok(wait.map_or(Ok(attempt), Err))
}

/// Whether the password is the owner's; a failure is counted, and earlier ones are forgotten when it is right. Takes as long when
/// there is no owner.
pub(crate) async fn check_password(rt: &Runtime, attempt: &Attempt, password: String) -> Result<bool> {
    let count = count(rt, attempt).await?;
    let looked = rt.hasher().verify(password, attempt.hash.clone()).await;
    let (now, visitor, right) = (rt.clock().now(), attempt.visitor.clone(), looked.as_ref().ok().copied());
    let noted = rt.store().write(move |tx| match right {
        Some(true) => limits::forget(tx, &visitor),
        // The owner hears of the first failure and of many, not of each: the log is for reading.
        Some(false) if matches!(count, 1 | 10 | 100) => {
            activity::note(tx, now, "activity.sign-in-failed", &[("count", &count.to_string())])
        }
        Some(false) => Ok(()),
        None => limits::take_back(tx, &visitor), // too much to do: nobody has looked at it
    });
    noted.await?;
    looked
}

/// Counts a try as a failure before it is looked at, so that tries at the same time count too, and those of whoever hangs up
/// before they are told.
async fn count(rt: &Runtime, attempt: &Attempt) -> Result<u32> {
    let (now, visitor) = (rt.clock().now(), attempt.visitor.clone());
    let counted = rt.store().write(move |tx| match limits::wait(tx, &visitor, now)? {
        Some(wait) => Ok(Err(wait)),
        None => limits::failed(tx, &visitor, now).map(Ok),
    });
    counted.await?.map_err(|wait| Error::TooMany(wait.num_seconds().max(1).unsigned_abs()))
}

/// POST: checks the password and starts a session.
pub(super) async fn sign_in(State(rt): State<Runtime>, req: Request, Form(wish): Form<Wish>) -> Result<Response> {
    let attempt = match attempt(&rt, &req).await? {
        Ok(attempt) => attempt,
        Err(wait) => return form(&rt, &req, wish.next, Some("sign-in.wait"), Some(wait)).await,
    };
    if !check_password(&rt, &attempt, wish.password).await? {
        return form(&rt, &req, wish.next, Some("sign-in.wrong"), None).await;
    }
    let (now, device, before) = (rt.clock().now(), req.device.clone(), req.session.as_ref().map(|s| s.id.clone()));
    let token = rt.store().write(move |tx| {
        if let Some(before) = before {
            sessions::end(tx, &before)?;
        }
        activity::note(tx, now, "activity.sign-in", &[("device", &device)])?;
        sessions::start(tx, &device, now)
    });
    let mut response = redirect(goal(&rt, wish.next.as_deref()));
    response.headers_mut().append(header::SET_COOKIE, web::session_cookie(&token.await?));
    Ok(response)
}

/// POST: ends this browser's session.
pub(super) async fn sign_out(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    let Some(session) = req.session else { return Err(Error::SignedOut) };
    let now = rt.clock().now();
    let ended = rt.store().write(move |tx| {
        let device = sessions::end(tx, &session.id)?.unwrap_or_default();
        activity::note(tx, now, "activity.sign-out", &[("device", &device)])
    });
    ended.await?;
    let mut response = web::redirect_with_toast("/", "toast.signed-out", &[], None);
    response.headers_mut().append(header::SET_COOKIE, web::no_session_cookie());
    Ok(response)
}

#[cfg(test)]
mod tests {
    use crate::testing::{PASSWORD, TestRuntime};

    #[tokio::test]
    async fn a_try_counts_though_whoever_tries_hangs_up_before_they_are_told() {
        let mut percloud = TestRuntime::signed_in().await;
        percloud.cookie = None;
        let turns = percloud.runtime.hasher().occupy().await;
        for tries in 1..=5 {
            let counted = async {
                let sql = "select count(*) from sign_in_failures";
                let count =
                    || percloud.runtime.store().read(|db| Ok(db.query_row(sql, [], |row| row.get::<_, u32>(0))?));
                while count().await.unwrap() != tries {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                _ = percloud.post("/sign-in", &[("password", "wrong")]) => panic!("nobody has looked at it"),
                counted = tokio::time::timeout(std::time::Duration::from_secs(30), counted) => counted.unwrap(),
            }
        }
        drop(turns);
        let right = percloud.post("/sign-in", &[("password", PASSWORD)]).await;
        assert_eq!(right.status, http::StatusCode::TOO_MANY_REQUESTS);
    }
}
