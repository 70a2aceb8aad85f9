//! `percloud admin domains`: the names of their own that owners bring along.

use chrono::{DateTime, Utc};
use serde::Serialize;
use ui::Lang;

use super::Desk;
use crate::{
    audit::Actor,
    db,
    domains::{self, DomainRow, Filter, Observed, Part, RecordState},
    terminal,
};

/// What an operator may want of own domains.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Domains {
    /// List own domains by name
    List(List),
    /// Show one, with what the last look at DNS found
    Show(Which),
    /// Have DNS looked at at once
    Check(Which),
    /// Leave one alone: DNS is not looked at, nothing is ordered; what serves goes on until its certificate ends soon
    Pause(Which),
    /// End a pause; DNS is looked at at once
    Resume(Which),
    /// Remove one from its percloud, which answers at its old address again if it answered there; a change that waits is cancelled
    Remove(Which),
    /// Take a name from whoever has proved it, and tell its owner; anybody may claim it anew, with a fresh challenge
    Release(Which),
}

/// Which to list.
#[derive(Clone, Debug, clap::Args)]
pub struct List {
    /// Only those last seen so: pending, verified, active or lost
    #[arg(long, value_parser = |text: &str| text.parse::<Observed>().map_err(|_| "pending, verified, active or lost"))]
    observed: Option<Observed>,
    /// Only paused ones
    #[arg(long)]
    paused: bool,
    /// Only those in trouble: lost, missed, failing, waiting for a certificate that does not come, or leading to a former address of the edge
    #[arg(long)]
    troubled: bool,
    /// Only those after this one: a name, or name and id as the page before ended with them
    #[arg(long, value_name = "NAME [ID]")]
    after: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

/// One own domain.
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    /// The domain or its id, or the percloud's name, address or id
    name: String,
}

pub(super) async fn run(desk: &Desk, asked: Domains) -> anyhow::Result<()> {
    let now = desk.clock.now();
    match asked {
        Domains::List(asked) => list(desk, asked).await,
        Domains::Show(which) => show(desk, &which.name).await,
        Domains::Check(which) => {
            let said = "is looked at in a moment; `show` says what was found.";
            wish(desk, said, async |tx| domains::look(tx, &which.name, now).await).await
        }
        Domains::Pause(which) => {
            let said = "is left alone from now on; what serves goes on, and its owner's page says so.";
            wish(desk, said, async |tx| domains::pause(tx, &which.name, &Actor::Operator, now).await).await
        }
        Domains::Resume(which) => {
            let said = "is looked at in a moment; `show` says what was found.";
            wish(desk, said, async |tx| domains::resume(tx, &which.name, &Actor::Operator, now).await).await
        }
        Domains::Remove(which) => {
            wish(
                desk,
                "is being removed; its percloud answers at its old address again, if it answered here.",
                async |tx| {
                    let row = domains::get(tx, &which.name).await?;
                    domains::remove(tx, &row, &Actor::Operator, now).await.map(|()| row)
                },
            )
            .await
        }
        Domains::Release(which) => {
            let said = "is free; its owner was told, and whoever wants it sets a fresh challenge.";
            wish(desk, said, async |tx| domains::release(tx, &which.name, &Actor::Operator, now).await).await
        }
    }
}

const COLUMNS: [&str; 9] =
    ["DOMAIN", "ALSO", "PERCLOUD", "STATE", "LOOKED AT", "NEXT LOOK", "MISSES", "FORMER ADDRESS", "WHY"];

/// A claim as programs read it: with what follows from its columns.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    row: &'a DomainRow,
    serves: bool,
    next_look: Option<DateTime<Utc>>,
    why: Option<String>,
}

impl<'a> From<&'a DomainRow> for Shown<'a> {
    fn from(row: &'a DomainRow) -> Self {
        Self { row, serves: row.serves(), next_look: row.next_look(), why: row.why() }
    }
}

/// How it is, in a word or two.
fn state(row: &DomainRow) -> String {
    let part = match row.part {
        Part::Main => "",
        Part::Next => ", next",
        Part::Former => ", former",
    };
    format!("{}{part}{}", row.observed.as_str(), if row.paused { ", paused" } else { "" })
}

/// The addresses to which it leads and which go away.
fn former(row: &DomainRow) -> Option<String> {
    let former = row.report.as_ref().map(|report| report.former.join(" "));
    former.filter(|all| !all.is_empty())
}

async fn list(desk: &Desk, asked: List) -> anyhow::Result<()> {
    let List { observed, paused, troubled, after, limit } = asked;
    let filter = Filter { observed, paused, troubled, limit, ..Filter::after(after.as_deref()) };
    let found = domains::list(&desk.client().await?, &filter).await?;
    if desk.json {
        return terminal::print_json(&found.iter().map(Shown::from).collect::<Vec<_>>());
    }
    let mut rows = vec![COLUMNS.map(str::to_owned).to_vec()];
    rows.extend(found.iter().map(|row| {
        vec![
            row.shown(),
            row.twin.clone().unwrap_or_else(|| "-".into()),
            row.domain.clone(),
            state(row),
            when(row.checked_at),
            when(row.next_look()),
            row.misses.to_string(),
            former(row).unwrap_or_else(|| "-".into()),
            terminal::plain(&row.why().unwrap_or_default()),
        ]
    }));
    let text = if found.is_empty() { "There are none.\n".into() } else { terminal::table(&rows) };
    let more = found.last().filter(|_| found.len() == usize::from(limit));
    let more = more.map(|last| format!("There may be more: --after '{}'\n", last.place())).unwrap_or_default();
    Ok(terminal::print(&format!("{text}{more}"))?)
}

async fn show(desk: &Desk, which: &str) -> anyhow::Result<()> {
    let row = domains::get(&desk.client().await?, which).await?;
    if desk.json {
        return terminal::print_json(&Shown::from(&row));
    }
    let fact = |name: &str, value: String| vec![name.to_owned(), value];
    let mut facts = vec![
        fact("Domain", row.shown()),
        fact("In ASCII", row.name.clone()),
        fact("Leads to it", row.twin.clone().unwrap_or_else(|| "-".into())),
        fact("Percloud", format!("{} ({})", row.domain, row.tenant_id)),
        fact("State", state(&row)),
        fact("Serves", if row.serves() { "yes" } else { "no" }.into()),
        fact("Claimed", when(Some(row.claimed_at))),
        fact("Proved", when(row.verified_at)),
        fact("Last right", when(row.good_at)),
        fact("Looked at", when(row.checked_at)),
        fact("Next look", when(row.next_look())),
        fact("Misses", row.misses.to_string()),
    ];
    facts.extend(row.leads_until.map(|until| fact("Leads on until", when(Some(until)))));
    facts.extend(former(&row).map(|former| fact("Leads to former", former)));
    facts.extend(row.last_error.as_ref().map(|error| fact("Last error", terminal::plain(error))));
    facts.extend(row.why().map(|why| fact("Why", terminal::plain(&why))));
    let mut text = terminal::table(&facts);
    text.push_str(&report(&row));
    Ok(terminal::print(&text)?)
}

fn report(row: &DomainRow) -> String {
    let Some(report) = &row.report else { return "\nDNS was not looked at yet.\n".into() };
    let host = report.dns_host.as_ref().map_or_else(String::new, |host| format!(", which {} hosts", host.name));
    let mut rows = vec![["  TYPE", "NAME", "MUST SAY", "IS", "FOUND"].map(str::to_owned).to_vec()];
    rows.extend(report.records.iter().map(|record| {
        let state = format!("{:?}", record.state).to_lowercase();
        vec![
            format!("  {}", record.kind.as_str()),
            record.host.clone(),
            record.value.clone(),
            if record.optional { format!("{state} (optional)") } else { state },
            terminal::plain(&record.found.join(" ")),
        ]
    }));
    let mut text = format!("\nIts DNS{host}:\n{}", terminal::table(&rows));
    // As its owner reads it; what strangers' servers say is a text and moves no cursor.
    let open = report.records.iter().filter(|record| record.state != RecordState::Ok);
    let said = open.map(|record| record.said(Lang::En)).chain(report.notices.iter().map(|words| words.said(Lang::En)));
    text.extend(said.map(|said| format!("  {}\n", terminal::plain(&said))));
    text
}

fn when(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.format("%Y-%m-%d %H:%M UTC").to_string())
}

/// One wish, one transaction.
async fn wish(
    desk: &Desk,
    said: &str,
    wish: impl AsyncFnOnce(&db::Transaction<'_>) -> Result<DomainRow, domains::Error>,
) -> anyhow::Result<()> {
    let mut db = desk.client().await?;
    let tx = db.transaction().await?;
    let row = wish(&tx).await?;
    tx.commit().await?;
    if desk.json {
        return terminal::print_json(&Shown::from(&row));
    }
    Ok(terminal::print(&format!("{} {said}\n", row.shown()))?)
}
