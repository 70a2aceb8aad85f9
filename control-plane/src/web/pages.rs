//! Pages that only say something, and whether we live.

use axum::{extract::State, response::Response};
use http::StatusCode;
use portal::pages::{About, Start};

use super::{Result, extract::Asker};
use crate::{app::App, db::GenericClient as _};

pub(super) async fn start(State(app): State<App>, asker: Asker) -> Result<Response> {
    asker.page(&Start { suffix: app.settings.suffix(), dev_mails: app.settings.shows_mails })
}

pub(super) async fn about(State(app): State<App>, asker: Asker) -> Result<Response> {
    asker.page(&About { suffix: app.settings.suffix() })
}

/// Whether the portal can do its work: it answers, and so does its database.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses(
    (status = 204, description = "It can."),
    (status = 503, description = "The database does not answer.", body = super::error::Problem),
))]
pub(super) async fn health(State(app): State<App>) -> Result<StatusCode> {
    app.db.get().await?.query_one("select 1", &[]).await?;
    Ok(StatusCode::NO_CONTENT)
}
