//! `/api/v1/mails`: what became of mails, never what is in them.

use axum::{
    Json,
    extract::{Query, State},
};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    mails::{self, Mail},
    web::{Result, error::Refused, extract::MailsRead},
};

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct Asked {
    /// Only those with a smaller number (the page before ended with it).
    before: Option<i64>,
    /// How many at most (100, up to 1,000).
    limit: Option<u16>,
}

/// A page of mails.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::web) struct Mails {
    /// The newest first.
    mails: Vec<Mail>,
    /// What to ask for as `before` to go on; none at the end.
    next: Option<i64>,
}

/// The newest mails. Needs `mails:read`.
#[utoipa::path(get, path = "/api/v1/mails", tag = "mails", params(Asked), security(("token" = ["mails:read"])), responses(
    (status = 200, description = "A page of them.", body = Mails),
    Refused,
))]
pub(in crate::web) async fn list(
    State(app): State<App>,
    _: MailsRead,
    Query(asked): Query<Asked>,
) -> Result<Json<Mails>> {
    let limit = asked.limit.unwrap_or(100).clamp(1, 1000);
    let mails = mails::list(&app.db.get().await?, asked.before, limit).await?;
    let next = mails.last().filter(|_| mails.len() == usize::from(limit)).map(|mail| mail.id);
    Ok(Json(Mails { mails, next }))
}
