//! `percloud admin certificates`: how they are, and what to do about one.

use chrono::{DateTime, Utc};

use super::Desk;
use crate::{
    audit::Actor,
    certificates::{self, Certificate, Filter},
    tenants, terminal,
};

/// What to do with certificates.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Certificates {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// List them: state, last error, next try
    List(List),
    /// Show one
    Show(Which),
    /// Try one at once instead of at its next time; budgets still hold
    Retry(Which),
    /// Order a new one although the one there is would do; budgets still hold
    Renew(Which),
    /// Leave one alone: neither issued nor renewed, the one there is goes on serving
    Pause(Which),
    /// End a pause
    Resume(Which),
}

#[derive(Clone, Debug, Default, clap::Args)]
struct List {
    /// Only those whose last try failed
    #[arg(long)]
    failing: bool,
    /// Only paused ones
    #[arg(long)]
    paused: bool,
    /// Only those that stand for this name
    #[arg(long)]
    name: Option<String>,
    /// Only those of this percloud: its name, address or id
    #[arg(long, value_name = "PERCLOUD")]
    percloud: Option<String>,
    /// Only those after this id (the end of the page before)
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

#[derive(Clone, Debug, clap::Args)]
struct Which {
    /// Its id, or one of its names
    which: String,
}

pub(super) async fn run(desk: &Desk, asked: Certificates) -> anyhow::Result<()> {
    let actor = Actor::Operator;
    let now = desk.clock.now();
    let mut db = desk.client().await?;
    let tx = db.transaction().await?;
    let (one, done) = match asked.command.unwrap_or(Command::List(asked.list)) {
        Command::List(filter) => return list(desk, filter).await,
        Command::Show(Which { which }) => (certificates::get(&tx, &which).await?, None),
        Command::Retry(Which { which }) => {
            (certificates::retry_now(&tx, &which, &actor, now).await?, Some("is tried in a moment"))
        }
        Command::Renew(Which { which }) => {
            (certificates::renew(&tx, &which, &actor, now).await?, Some("is renewed in a moment"))
        }
        Command::Pause(Which { which }) => {
            (certificates::pause(&tx, &which, &actor, now).await?, Some("is left alone from now on"))
        }
        Command::Resume(Which { which }) => {
            (certificates::resume(&tx, &which, &actor, now).await?, Some("is looked at in a moment"))
        }
    };
    tx.commit().await?;
    match (desk.json, done) {
        (true, _) => terminal::print_json(&one),
        (false, Some(done)) => Ok(terminal::print(&format!("{} {done}.\n", terminal::plain(&one.names.join(" "))))?),
        (false, None) => Ok(terminal::print(&details(&one))?),
    }
}

async fn list(desk: &Desk, asked: List) -> anyhow::Result<()> {
    let List { failing, paused, name, percloud, after, limit } = asked;
    let db = desk.client().await?;
    let tenant_id = match percloud {
        Some(which) => Some(tenants::get(&db, &which).await?.id.to_string()),
        None => None,
    };
    let all = certificates::list(&db, &Filter { after, name, failing, paused, limit, tenant_id }).await?;
    if desk.json {
        return terminal::print_json(&all);
    }
    let head = ["ID", "STATE", "NAMES", "ISSUER", "ENDS", "RENEWAL", "NEXT LOOK", "WHY"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(all.iter().map(|one| {
        vec![
            one.id.clone(),
            one.state.as_str().into(),
            one.names.join(" "),
            one.issuer.clone().unwrap_or("-".into()),
            day(one.validity.map(|validity| validity.not_after)),
            day(one.renewal()),
            minute(one.due_at),
            one.waits.clone().or_else(|| one.last_error.clone()).unwrap_or_default(),
        ]
    }));
    let more = (all.len() == usize::from(limit)).then(|| all.last()).flatten();
    let more = more.map(|last| format!("There may be more: --after {}\n", last.id)).unwrap_or_default();
    Ok(terminal::print(&format!("{}{more}", terminal::table(&rows)))?)
}

fn details(one: &Certificate) -> String {
    let row = |about: &str, said: String| vec![about.to_owned(), said];
    let mut rows = vec![
        row("id", one.id.clone()),
        row("names", one.names.join(" ")),
        row("percloud", one.tenant_id.clone().unwrap_or("the provider's own".into())),
        row("state", one.state.as_str().into()),
        row("issuer", one.issuer.clone().unwrap_or("-".into())),
        row("begins", minute(one.validity.map(|validity| validity.not_before))),
        row("ends", minute(one.validity.map(|validity| validity.not_after))),
        row("renewal", minute(one.renewal())),
        row("next look", minute(one.due_at)),
        row("failures", one.tries.to_string()),
    ];
    rows.extend(one.renewal_because.clone().map(|page| row("renewal because", page)));
    rows.extend(one.failing_since.map(|since| row("failing since", minute(Some(since)))));
    rows.extend(one.waits.clone().map(|waits| row("waits", waits)));
    rows.extend(one.last_error.clone().map(|error| row("last error", error)));
    terminal::table(&rows)
}

fn day(at: Option<DateTime<Utc>>) -> String {
    at.map_or("-".into(), |at| at.format("%Y-%m-%d").to_string())
}

fn minute(at: Option<DateTime<Utc>>) -> String {
    at.map_or("-".into(), |at| at.format("%Y-%m-%d %H:%M UTC").to_string())
}
