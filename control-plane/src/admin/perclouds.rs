//! `percloud admin list | show | create | suspend | resume | delete`.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use serde_json::json;

use super::Desk;
use crate::{
    accounts::Email,
    audit::{self, Actor},
    db, names,
    tenants::{self, Filter, New, Observed, Tenant},
    terminal,
};

/// Which perclouds to list.
#[derive(Clone, Debug, clap::Args)]
pub struct List {
    /// Only those whose address begins so
    #[arg(long)]
    prefix: Option<String>,
    /// Only those last seen so: absent, running, suspended or failing
    #[arg(long, value_parser = |text: &str| text.parse::<Observed>().map_err(|_| "absent, running, suspended or failing"))]
    observed: Option<Observed>,
    /// Only those whose last turn failed
    #[arg(long)]
    failing: bool,
    /// Only those after this address (the end of the page before)
    #[arg(long, value_name = "DOMAIN")]
    after: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

/// One percloud.
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    /// Its name, address or id
    name: String,
}

/// A new percloud.
#[derive(Clone, Debug, clap::Args)]
pub struct Create {
    /// Its name, the first part of its address
    name: String,
    /// Its owner's mail address
    #[arg(long)]
    email: String,
    /// The language of its first pages and of its mails: en or it
    #[arg(long, default_value = "en")]
    language: String,
    /// What it may hold, such as 500M or 10G
    #[arg(long, env = "PERCLOUD_QUOTA_BYTES", default_value = "10G", value_parser = terminal::parse_bytes, value_name = "AMOUNT")]
    quota: i64,
}

/// A percloud to suspend.
#[derive(Clone, Debug, clap::Args)]
pub struct Suspend {
    /// Its name, address or id
    name: String,
    /// Why, for its owner to read
    #[arg(long)]
    reason: String,
}

/// A percloud to delete.
#[derive(Clone, Debug, clap::Args)]
pub struct Delete {
    /// Its name, address or id
    name: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn list(desk: &Desk, list: List) -> anyhow::Result<()> {
    let List { prefix, observed, failing, after, limit } = list;
    let found = tenants::list(&desk.client().await?, &Filter { after, prefix, observed, failing, limit }).await?;
    if desk.json {
        return terminal::print_json(&found);
    }
    let mut rows =
        vec![["ADDRESS", "WANTED", "SEEN", "SET UP", "USED", "OF", "LAST ERROR"].map(str::to_owned).to_vec()];
    rows.extend(found.iter().map(row));
    let mut text = terminal::table(&rows);
    if found.is_empty() {
        text = "There are none.\n".into();
    } else if found.len() == usize::from(limit)
        && let Some(last) = found.last()
    {
        text.push_str(&format!("There may be more: --after {}\n", last.domain));
    }
    Ok(terminal::print(&text)?)
}

fn row(tenant: &Tenant) -> Vec<String> {
    vec![
        names::shown(tenant.domain.as_str()),
        tenant.wanted.as_str().into(),
        tenant.observed.as_str().into(),
        if tenant.set_up_at.is_some() { "yes" } else { "no" }.into(),
        terminal::bytes(tenant.used_bytes),
        terminal::bytes(tenant.quota_bytes),
        tenant.last_error.clone().unwrap_or_default(),
    ]
}

pub(super) async fn show(desk: &Desk, which: &Which) -> anyhow::Result<()> {
    let db = desk.client().await?;
    let tenant = get(&db, &which.name).await?;
    let history = audit::list(&db, &tenant.id, 50).await?;
    if desk.json {
        return terminal::print_json(
            &json!({ "tenant": tenant, "url": desk.origin(tenant.domain.as_str()), "history": history }),
        );
    }
    let mut text = terminal::table(&facts(desk, &tenant));
    text.push_str("\nWhat was done, newest first:\n");
    let line = |entry: &audit::Entry| {
        let details = if entry.details.as_object().is_none_or(serde_json::Map::is_empty) {
            String::new()
        } else {
            entry.details.to_string()
        };
        vec![format!("  {}", moment(entry.at)), entry.actor.clone(), entry.action.clone(), details]
    };
    text.push_str(&terminal::table(&history.iter().map(line).collect::<Vec<_>>()));
    Ok(terminal::print(&text)?)
}

fn facts(desk: &Desk, tenant: &Tenant) -> Vec<Vec<String>> {
    let when = |at: Option<DateTime<Utc>>| at.map_or_else(|| "-".to_owned(), moment);
    let fact = |name: &str, value: String| vec![name.to_owned(), value];
    let mut facts = vec![
        fact("Address", format!("{}/", desk.origin(tenant.address().as_str()))),
        fact("Id", tenant.id.to_string()),
        fact("Owner", tenant.email.clone()),
        fact("Wanted", tenant.wanted.as_str().into()),
        fact("Seen", tenant.observed.as_str().into()),
        fact("Used", format!("{} of {}", terminal::bytes(tenant.used_bytes), terminal::bytes(tenant.quota_bytes))),
        fact("Asked for", moment(tenant.created_at)),
        fact("Mail confirmed", when(tenant.confirmed_at)),
        fact("Set up", when(tenant.set_up_at)),
        fact("Looked at next", tenant.due_at.map_or_else(|| "when a person says so".into(), moment)),
    ];
    let extra = [
        ("Suspended because", tenant.suspended_reason.clone()),
        ("Leads there", tenant.own_domain.as_ref().map(|_| format!("{}/", desk.origin(tenant.domain.as_str())))),
        ("To be deleted", tenant.delete_after.map(moment)),
        ("Last error", tenant.last_error.clone().map(|error| format!("{error} ({} in a row)", tenant.tries))),
    ];
    facts.extend(extra.into_iter().filter_map(|(name, value)| Some(fact(name, value?))));
    facts
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

pub(super) async fn create(desk: &Desk, create: Create) -> anyhow::Result<()> {
    let name = names::check(&create.name).map_err(tenants::Error::from)?;
    let email: Email = create.email.parse().context("--email")?;
    let language = ui::Lang::from_code(&create.language).context("--language: en or it")?;
    let new = New {
        name: &name,
        base_domain: &desk.common.base_domain,
        email: &email,
        language: language.code(),
        quota_bytes: create.quota,
        actor: &Actor::Operator,
        confirm_url: None,
        moving: false,
    };
    let mut db = desk.client().await?;
    let tx = db.transaction().await?;
    let created = tenants::create(&tx, &new, desk.clock.now()).await?;
    tx.commit().await?;
    let setup_url = format!("{}/setup/{}", desk.origin(created.domain.as_str()), created.token.secret());
    if desk.json {
        let tenant = get(&db, created.id.as_str()).await?;
        return terminal::print_json(&json!({ "tenant": tenant, "setup_url": setup_url }));
    }
    Ok(terminal::print(&format!(
        "{} is being made. Its owner sets it up with this link, which works once and is shown only here:\n\n  {setup_url}\n\n\
         Whoever has the link can take the percloud over: hand it to nobody else.\n",
        created.domain
    ))?)
}

pub(super) async fn suspend(desk: &Desk, suspend: &Suspend) -> anyhow::Result<()> {
    let (name, reason, now) = (&suspend.name, &suspend.reason, desk.clock.now());
    let said = "is suspended: visitors see that it is closed; its owner was told why, and can sign in and take everything along.";
    wish(desk, said, async |tx| tenants::suspend(tx, name, reason, &Actor::Operator, now).await).await
}

pub(super) async fn resume(desk: &Desk, which: &Which) -> anyhow::Result<()> {
    let (name, now) = (&which.name, desk.clock.now());
    let said = "is wanted running; should it not start, its host tries it at once.";
    wish(desk, said, async |tx| tenants::resume(tx, name, &Actor::Operator, now).await).await
}

pub(super) async fn delete(desk: &Desk, delete: &Delete) -> anyhow::Result<()> {
    let tenant = get(&desk.client().await?, &delete.name).await?;
    if !delete.yes {
        confirm(&tenant)?;
    }
    let (id, now) = (tenant.id.as_str(), desk.clock.now());
    let said = "is being deleted with everything in it. Its name is given to nobody else.";
    wish(desk, said, async |tx| tenants::delete(tx, id, &Actor::Operator, now).await).await
}

/// Has the operator type the name: a slip of the keyboard must not delete somebody's life.
fn confirm(tenant: &Tenant) -> anyhow::Result<()> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!("nobody is there to be asked: say --yes to delete {} for good", tenant.domain);
    }
    eprint!(
        "This deletes {} of {} with everything in it ({}), at once and for good.\nType its name ({}) to go on: ",
        tenant.domain,
        terminal::plain(&tenant.email),
        terminal::bytes(tenant.used_bytes),
        tenant.name
    );
    std::io::stderr().flush()?;
    let mut typed = String::new();
    stdin.lock().read_line(&mut typed)?;
    if typed.trim() != tenant.name && typed.trim() != names::shown(&tenant.name) {
        bail!("that is not its name; nothing was deleted");
    }
    Ok(())
}

async fn get(db: &impl db::GenericClient, which: &str) -> anyhow::Result<Tenant> {
    tenants::get(db, which).await.with_context(|| terminal::plain(which))
}

/// One wish, one transaction.
async fn wish(
    desk: &Desk,
    said: &str,
    wish: impl AsyncFnOnce(&db::Transaction<'_>) -> Result<Tenant, tenants::Error>,
) -> anyhow::Result<()> {
    let mut db = desk.client().await?;
    let tx = db.transaction().await?;
    let tenant = wish(&tx).await?;
    tx.commit().await?;
    if desk.json {
        return terminal::print_json(&tenant);
    }
    Ok(terminal::print(&format!("{} {said}\n", tenant.domain))?)
}
