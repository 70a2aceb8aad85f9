//! The mailed link. Looking at it changes nothing (mail scanners follow links); its button does, and leads into the percloud.

use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse, Redirect, Response},
};
use http::StatusCode;
use portal::pages::{Confirm, ConfirmGone};
use serde::Deserialize;
use ui::http::Csp;

use super::{Result, error::Said, extract::Asker};
use crate::{
    app::App,
    tenants::{self, Tenant, Token},
};

#[derive(Deserialize)]
pub(super) struct Asked {
    moving: Option<String>,
}

impl Asked {
    fn moving(&self) -> bool {
        self.moving.is_some()
    }
}

pub(super) async fn show(
    State(app): State<App>,
    asker: Asker,
    Path(token): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    app.limits.confirm(asker.client)?;
    let Ok(token) = token.parse::<Token>() else { return gone(&asker, None) };
    let found = tenants::find_by_token(&app.db.get().await?, &token).await?;
    match found {
        None => gone(&asker, None),
        Some(tenant) if tenant.set_up_at.is_some() => gone(&asker, Some(home(&app, &tenant))),
        Some(tenant) => {
            let page =
                Confirm { token: token.secret().to_owned(), domain: tenant.domain.to_string(), moving: asked.moving() };
            let mut response = asker.page(&page)?;
            // The button's answer leads to the percloud, which browsers count as part of the form.
            let form_action = vec![app.settings.origin_of(&tenant.domain)];
            response.extensions_mut().insert(Csp { form_action, ..Csp::default() });
            Ok(response)
        }
    }
}

pub(super) async fn post(
    State(app): State<App>,
    asker: Asker,
    Path(token): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    app.limits.confirm(asker.client)?;
    let Ok(token) = token.parse::<Token>() else { return gone(&asker, None) };
    let mut db = app.db.get().await?;
    let tx = db.transaction().await?;
    let tenant = match tenants::confirm(&tx, &token, app.clock.now()).await {
        Ok(tenant) => tenant,
        Err(tenants::Error::NotFound) => return gone(&asker, None),
        Err(error) => return Err(error.into()),
    };
    tx.commit().await?;
    if tenant.set_up_at.is_some() {
        return gone(&asker, Some(home(&app, &tenant)));
    }
    let next = if asked.moving() { "?next=import" } else { "" };
    let link = format!("{}/setup/{}{next}", app.settings.origin_of(&tenant.domain), token.secret());
    Ok(Redirect::to(&link).into_response())
}

fn home(app: &App, tenant: &Tenant) -> String {
    format!("{}/", app.settings.origin_of(&tenant.domain))
}

/// Used up, run out, or never there: which of them, only the token's holder learns.
fn gone(asker: &Asker, percloud: Option<String>) -> Result<Response> {
    let mut response = asker.page(&ConfirmGone { percloud })?;
    *response.status_mut() = StatusCode::GONE;
    response.extensions_mut().insert(Said);
    Ok(response)
}
