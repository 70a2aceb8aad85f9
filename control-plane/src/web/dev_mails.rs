//! In development, where no mail server is configured and the base domain is this machine's: the mails that nobody sent.

use axum::{
    extract::{Path, State},
    response::Response,
};
use portal::pages::{DevMail, DevMailRow, DevMails};

use super::{Error, Result, extract::Asker};
use crate::{app::App, mails};

pub(super) async fn list(State(app): State<App>, asker: Asker) -> Result<Response> {
    let spool = mails::spooled(&app.db.get().await?, 100).await?;
    let row = |mail: mails::Spooled| DevMailRow {
        id: mail.id.to_string(),
        to: mail.recipient,
        subject: mail.subject,
        at: mail.sent_at,
    };
    asker.page(&DevMails { mails: spool.into_iter().map(row).collect() })
}

pub(super) async fn show(State(app): State<App>, asker: Asker, Path(id): Path<i64>) -> Result<Response> {
    let mail = mails::find_spooled(&app.db.get().await?, id).await?.ok_or(Error::NotFound)?;
    let link = mail.text.lines().map(str::trim).find(|line| line.starts_with("https://")).map(ToOwned::to_owned);
    asker.page(&DevMail { to: mail.recipient, subject: mail.subject, at: mail.sent_at, text: mail.text, link })
}
