//! `percloud admin usage`: what each percloud used.

use anyhow::Context;
use chrono::NaiveDate;

use super::{Desk, called};
use crate::{
    db::GenericClient,
    tenants, terminal,
    usage::{
        list::{By, Filter, Place, Used, list},
        roll,
    },
};

/// Which use to show.
#[derive(Clone, Debug, clap::Args)]
pub struct Usage {
    /// Print all of it as CSV, for a spreadsheet
    #[arg(long)]
    csv: bool,
    /// By the month, the day or the hour (UTC)
    #[arg(long, value_enum, default_value_t)]
    by: By,
    /// From this day on, like 2026-11-01; this month's first unless given, by the hour today
    #[arg(long, value_name = "DATE")]
    from: Option<NaiveDate>,
    /// To the end of this day; today unless given
    #[arg(long, value_name = "DATE")]
    to: Option<NaiveDate>,
    /// Only this percloud's: its name, address or id
    #[arg(long, value_name = "NAME")]
    percloud: Option<String>,
    /// Only what comes after this (the end of the page before)
    #[arg(long, value_name = "PLACE")]
    after: Option<Place>,
    /// How many rows at most; CSV has all of them
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

pub(super) async fn run(desk: &Desk, asked: Usage) -> anyhow::Result<()> {
    let db = desk.client().await?;
    let now = desk.clock.now();
    roll::today(&desk.db, now).await?;
    let tenant_id = match &asked.percloud {
        Some(name) => Some(id_of(&db, name).await?),
        None => None,
    };
    let (from, to) =
        (asked.from.unwrap_or_else(|| asked.by.usual_from(now)), asked.to.unwrap_or_else(|| now.date_naive()));
    anyhow::ensure!(from <= to, "--from {from} is after --to {to}");
    let Usage { by, after, limit, .. } = asked;
    let filter = Filter { by, from, to, tenant_id, after, limit };
    if asked.csv {
        return csv(&db, filter).await;
    }
    let found = list(&db, &filter).await?;
    if desk.json {
        return terminal::print_json(&found);
    }
    Ok(terminal::print(&table(&found, by, limit))?)
}

/// A percloud's id. One that has gone is known by its id only.
async fn id_of(db: &impl GenericClient, name: &str) -> anyhow::Result<String> {
    if let Ok(id) = name.trim().parse::<bundle::TenantId>() {
        return Ok(id.to_string());
    }
    Ok(tenants::get(db, name).await.with_context(|| terminal::plain(name))?.id.to_string())
}

/// All of it, page by page: a fleet's days need not fit into memory.
async fn csv(db: &impl GenericClient, mut filter: Filter) -> anyhow::Result<()> {
    let head = "percloud,id,begin,cpu_seconds,memory_byte_seconds,awake_seconds,wakes,storage_bytes,requests,egress_bytes,throttled_seconds,\
        memory_limits,thread_limits,disk_limits,failures,refused,starts_in_vain,busy_seconds,forbidden,crowded";
    filter.limit = 1000;
    terminal::print(&terminal::csv(head.split(',')))?;
    loop {
        let page = list(db, &filter).await?;
        terminal::print(&page.iter().map(|used| record(used, filter.by)).collect::<String>())?;
        match page.last().filter(|_| page.len() == usize::from(filter.limit)) {
            Some(last) => filter.after = Some(Place::after(last)),
            None => return Ok(()),
        }
    }
}

fn record(used: &Used, by: By) -> String {
    terminal::csv([
        used.domain.clone().unwrap_or_default(),
        used.tenant_id.clone(),
        by.written(used.begin),
        terminal::decimal(used.cpu_micros, 6),
        used.memory_byte_seconds.to_string(),
        used.awake_seconds.to_string(),
        used.wakes.to_string(),
        used.storage_bytes.map(|bytes| bytes.to_string()).unwrap_or_default(),
        used.requests.to_string(),
        used.egress_bytes.to_string(),
        terminal::decimal(used.throttled_micros, 6),
        used.memory_limits.to_string(),
        used.thread_limits.to_string(),
        used.disk_limits.to_string(),
        used.failures.to_string(),
        used.refused.to_string(),
        used.starts_in_vain.to_string(),
        terminal::decimal(used.busy_micros, 6),
        used.forbidden.to_string(),
        used.crowded.to_string(),
    ])
}

fn table(found: &[Used], by: By, limit: u16) -> String {
    if found.is_empty() {
        return "Nothing was used in that time. What is used is counted once a minute.\n".into();
    }
    let head = ["PERCLOUD", "WHEN", "PROCESSOR", "AWAKE", "MEMORY", "WAKES", "DISK", "REQUESTS", "OUT", "LIMITS"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(found.iter().map(|used| {
        // What it had in memory on average, while it was awake.
        let memory = used.memory_byte_seconds.checked_div(used.awake_seconds).map(terminal::bytes);
        vec![
            called(used.domain.as_deref(), &used.tenant_id),
            by.written(used.begin),
            terminal::span(used.cpu_micros),
            terminal::span(used.awake_seconds.saturating_mul(1_000_000)),
            memory.unwrap_or_else(|| "-".into()),
            terminal::count(used.wakes),
            used.storage_bytes.map_or_else(|| "-".into(), terminal::bytes),
            terminal::count(used.requests),
            terminal::bytes(used.egress_bytes),
            terminal::count(used.limits_met()),
        ]
    }));
    let mut text = terminal::table(&rows);
    if let Some(last) = found.last().filter(|_| found.len() == usize::from(limit)) {
        text.push_str(&format!("There may be more: --after {}\n", Place::after(last)));
    }
    text
}
