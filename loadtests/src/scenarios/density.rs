//! `infra/bench density`: memory of perclouds that are awake and idle, and of host and edge with many that sleep.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::{
    figures::rounded,
    processes::{Roles, pss_mib},
    provider::Provider,
    visitor::Visitor,
};

/// How much is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Perclouds that the host has.
    #[arg(long, default_value_t = 10_000)]
    registered: usize,
    /// How many of them are awake when memory is read, one number after the other.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 200, 500, 1_000])]
    awake: Vec<usize>,
    /// How many of them are awake when host and edge are looked at; one of `--awake`.
    #[arg(long, default_value_t = 500)]
    awake_for_host: usize,
    /// Seconds without a visitor before memory is read: threads and buffers of the last request are gone by then.
    #[arg(long, default_value_t = 15)]
    settle: u64,
    /// Requests to the API at once, while perclouds are registered.
    #[arg(long, default_value_t = 8)]
    at_once: usize,
}

/// Measures, and gives the line of JSON.
///
/// # Errors
/// When a percloud is not placed or does not wake.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Value> {
    let most = options.awake.iter().copied().max().context("nothing to measure")?;
    ensure!(most <= options.registered, "more awake than there are; raise --registered");
    ensure!(options.awake.is_sorted(), "--awake goes up");
    println!("Starting a provider of our own…");
    let provider = Arc::new(Provider::start_with(&["--idle-seconds", "86400"])?);
    let client = provider.client()?;
    let mut line = Map::new();
    line.insert("bench".into(), "density".into());
    line.insert("registered".into(), json!(options.registered));
    line.insert("host_edge_mib_0".into(), rounded(host_and_edge(&Roles::find(provider.folder())?)?));
    let per_s = register(&provider, &client, options).await?;
    line.insert("registered_per_s".into(), rounded(per_s));
    let (visitor, roles) = (Visitor::new(&provider)?, Roles::find(provider.folder())?);
    let mut woken = 0;
    for &awake in &options.awake {
        println!("{awake} awake…");
        for n in woken..awake {
            visitor.visit(&name(n)).await?;
        }
        woken = awake;
        tokio::time::sleep(Duration::from_secs(options.settle)).await;
        let runtimes = roles.runtimes();
        ensure!(runtimes.len() == awake, "{} runtimes are awake instead of {awake}", runtimes.len());
        line.insert(format!("pss_mib_{awake}"), rounded(of_all(&runtimes)? / awake as f64));
        if awake == options.awake_for_host {
            line.insert(format!("host_edge_mib_{}", options.registered), rounded(host_and_edge(&roles)?));
            for (key, pid) in [("host_mib", roles.host), ("edge_mib", roles.edge)] {
                line.insert(key.into(), rounded(pss_mib(pid)?));
            }
            line.insert("spawner_mib".into(), rounded(of_all(&roles.spawners)?));
        }
    }
    Ok(Value::Object(line))
}

fn name(n: usize) -> String {
    format!("dense{n}")
}

fn of_all(processes: &[u32]) -> anyhow::Result<f64> {
    processes.iter().map(|pid| pss_mib(*pid)).sum()
}

/// The spawner's processes are the host's.
fn host_and_edge(roles: &Roles) -> anyhow::Result<f64> {
    Ok(pss_mib(roles.host)? + of_all(&roles.spawners)? + pss_mib(roles.edge)?)
}

/// Asks for all of them by the API, and waits until the reconciler has placed each; how many a second.
async fn register(provider: &Provider, client: &reqwest::Client, options: &Options) -> anyhow::Result<f64> {
    println!("{} perclouds are made…", options.registered);
    let start = Instant::now();
    let lanes = (0..options.at_once).map(|lane| async move {
        for n in (lane..options.registered).step_by(options.at_once) {
            provider.want(client, &name(n)).await?;
        }
        anyhow::Ok(())
    });
    futures_util::future::try_join_all(lanes).await?;
    let patience = Duration::from_secs(60) + start.elapsed() * 4;
    while absent(provider, client).await? > 0 {
        ensure!(start.elapsed() < patience, "the reconciler does not place all of them");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(options.registered as f64 / start.elapsed().as_secs_f64())
}

/// How many of a page's worth are not placed yet.
async fn absent(provider: &Provider, client: &reqwest::Client) -> anyhow::Result<usize> {
    let url = format!("{}/api/v1/tenants?observed=absent&limit=1", provider.origin(None));
    let list: Value = client.get(url).bearer_auth(&provider.token).send().await?.error_for_status()?.json().await?;
    Ok(list["tenants"].as_array().context("the API's list")?.len())
}
