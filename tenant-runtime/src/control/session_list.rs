//! Sessions: every browser that is signed in, and a way to end each.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::header;
use serde::Serialize;

use crate::{
    activity,
    auth::sessions::{self, Session},
    runtime::Runtime,
    web::{self, Error, Request, Result, page, redirect_with_toast},
};

/// Every browser that is signed in.
#[derive(Clone, Debug, Serialize)]
pub struct SessionList {
    /// The sessions, the last seen first.
    pub sessions: Vec<Session>,
    /// The one that asks.
    pub current: String,
}

impl ui::Page for SessionList {
    const TEMPLATE: &'static str = "core/sessions.html";
    fn samples() -> Vec<Self> {
        let at = chrono::DateTime::UNIX_EPOCH;
        let session =
            |id: &str, device: &str| Session { id: id.into(), device: device.into(), created_at: at, seen_at: at };
        let one = session("a", "Firefox · Linux");
        let many = vec![one.clone(), session("b", "Safari · iPhone"), session("c", "")];
        vec![Self { sessions: vec![one], current: "a".into() }, Self { sessions: many, current: "a".into() }]
    }
}

/// GET `/control/sessions`.
pub(super) async fn show(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    let now = rt.clock().now();
    let current = req.session.as_ref().ok_or(Error::SignedOut)?.id.clone();
    let sessions = rt.store().read(move |db| sessions::list(db, now)).await?;
    page(&rt, &req, &SessionList { sessions, current })
}

/// POST `/control/sessions/{id}/end`. Ending one's own is signing out.
pub(super) async fn end(State(rt): State<Runtime>, req: Request, Path(id): Path<String>) -> Result<Response> {
    let now = rt.clock().now();
    let own = req.session.is_some_and(|session| session.id == id);
    let ended = rt.store().write(move |tx| {
        let Some(device) = sessions::end(tx, &id)? else { return Err(Error::NotFound.into()) };
        activity::note(tx, now, "activity.session-ended", &[("device", &device)])
    });
    ended.await?;
    if own {
        let mut response = redirect_with_toast("/", "toast.signed-out", &[], None);
        response.headers_mut().append(header::SET_COOKIE, web::no_session_cookie());
        return Ok(response);
    }
    Ok(redirect_with_toast("/control/sessions", "toast.session-ended", &[], None))
}

/// POST `/control/sessions/end-others`.
pub(super) async fn end_others(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    let now = rt.clock().now();
    let own = req.session.ok_or(Error::SignedOut)?.id;
    let ended = rt.store().write(move |tx| {
        let ended = sessions::end_others(tx, Some(&own))?;
        activity::note(tx, now, "activity.sessions-ended", &[("count", &ended.to_string())])?;
        Ok(ended)
    });
    let ended = ended.await?.to_string();
    Ok(redirect_with_toast("/control/sessions", "toast.sessions-ended", &[("count", &ended)], None))
}
