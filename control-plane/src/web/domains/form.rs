//! What a form of these pages holds, and for whom it does something.

use axum::{
    Form,
    extract::{FromRequest, FromRequestParts, Request},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Deserialize;

use super::{Done, page, with_status};
use crate::{
    app::App,
    web::{
        Result,
        extract::{Asker, Owner},
    },
};

/// What was typed and chosen.
#[derive(Debug, Deserialize)]
pub(super) struct Typed {
    percloud: String,
    /// Which of the percloud's domains, where it may have several.
    #[serde(default)]
    pub(super) domain: String,
    /// What the page said of it, where that decides what the form does.
    #[serde(default)]
    pub(super) shown: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) choice: String,
}

/// A form, and who sent it. One that was opened for another percloud than the one somebody is in for now does nothing, and the page says so.
pub(in crate::web) struct Filled {
    pub(super) asker: Asker,
    pub(super) owner: Owner,
    pub(super) typed: Typed,
}

impl FromRequest<App> for Filled {
    type Rejection = Response;
    async fn from_request(request: Request, app: &App) -> std::result::Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let Ok(asker) = Asker::from_request_parts(&mut parts, app).await;
        let owner = Owner::from_request_parts(&mut parts, app).await.map_err(IntoResponse::into_response)?;
        let form = Form::<Typed>::from_request(Request::from_parts(parts, body), app).await;
        let Form(typed) = form.map_err(IntoResponse::into_response)?;
        if owner.is(&typed.percloud) {
            return Ok(Self { asker, owner, typed });
        }
        Err(other(app, &asker, &owner).await.into_response())
    }
}

async fn other(app: &App, asker: &Asker, owner: &Owner) -> Result<Response> {
    with_status(page(app, asker, owner, &Done::default(), true).await?, StatusCode::CONFLICT)
}
