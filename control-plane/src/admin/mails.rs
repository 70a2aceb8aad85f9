//! `percloud admin mails`: how mails go, and those that nobody sends.

use anyhow::Context;

use super::Desk;
use crate::{mails, terminal};

/// Which mails.
#[derive(Clone, Debug, clap::Args)]
pub struct Mails {
    /// Show this one, with what is in it; only mails that nobody sends (no mail server) are kept to be read
    id: Option<i64>,
    /// How many at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only those before this one (the end of the page before)
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
}

pub(super) async fn run(desk: &Desk, asked: &Mails) -> anyhow::Result<()> {
    match asked.id {
        Some(id) => show(desk, id).await,
        None => list(desk, asked).await,
    }
}

async fn show(desk: &Desk, id: i64) -> anyhow::Result<()> {
    let found = mails::find_spooled(&desk.client().await?, id).await?;
    let mail = found.with_context(|| format!("mail {id} is not kept to be read: it was sent, or there is none"))?;
    if desk.json {
        return terminal::print_json(&mail);
    }
    let text: Vec<String> = mail.text.lines().map(terminal::plain).collect();
    let head = format!("To: {}\nSubject: {}\n", terminal::plain(&mail.recipient), terminal::plain(&mail.subject));
    Ok(terminal::print(&format!("{head}\n{}\n", text.join("\n")))?)
}

async fn list(desk: &Desk, asked: &Mails) -> anyhow::Result<()> {
    let found = mails::list(&desk.client().await?, asked.before, asked.limit).await?;
    if desk.json {
        return terminal::print_json(&found);
    }
    let mut rows = vec![["ID", "KIND", "STATE", "QUEUED", "TRIES", "LAST ERROR"].map(str::to_owned).to_vec()];
    rows.extend(found.into_iter().map(|mail| {
        let queued = mail.queued_at.format("%Y-%m-%d %H:%M UTC").to_string();
        vec![
            mail.id.to_string(),
            mail.kind,
            mail.observed,
            queued,
            mail.tries.to_string(),
            mail.last_error.unwrap_or_default(),
        ]
    }));
    Ok(terminal::print(&terminal::table(&rows))?)
}
