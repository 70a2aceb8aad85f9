//! `infra/bench wake`: how long a visitor waits for a percloud that sleeps.
//!
//! Perclouds fall asleep 50 ms after their last visitor. Visitors come at a steady rate whether or not the one before was
//! answered, each to the percloud that has slept longest, each by a new connection with a full handshake. In turn with that, round
//! after round: a knock at a sleeping percloud's own socket, the bare runtime without sandbox, and the least program there is; all
//! ask for Home, which a percloud keeps while it sleeps, and one more knock for a page that it does not keep.

mod alone;

use std::{sync::Arc, time::Duration};

use anyhow::ensure;
use serde_json::{Map, Value, json};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    figures::{median, ms, percentile, rounded},
    processes::Roles,
    provider::Provider,
    visitor::{Visit, Visitor, knock},
};
use alone::Alone;

/// A page that nobody keeps.
const OTHER: &str = "/posts";

/// How much is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Perclouds that take turns to be woken.
    #[arg(long, default_value_t = 300)]
    perclouds: usize,
    /// Wakes a second.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 20, 100])]
    rates: Vec<u32>,
    /// Wakes in a round, for each of the rates.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 290, 700])]
    wakes: Vec<usize>,
    /// Rounds.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Starts of each kind without the edge, in a round.
    #[arg(long, default_value_t = 40)]
    starts: usize,
}

/// A provider, and perclouds that sleep.
struct Sleepers {
    provider: Provider,
    visitor: Arc<Visitor>,
    client: reqwest::Client,
    roles: Roles,
    /// Names and ids.
    perclouds: Vec<(String, String)>,
    next: usize,
}

impl Sleepers {
    async fn new(count: usize) -> anyhow::Result<Self> {
        println!("Starting a provider of our own, with {count} perclouds…");
        let provider = Provider::start_with(&["--idle-seconds", "0"])?;
        let client = provider.client()?;
        let lanes = (0..8).map(|lane| {
            let (provider, client) = (&provider, &client);
            async move {
                let mut made = Vec::new();
                for n in (lane..count).step_by(8) {
                    let name = format!("sleeper{n}");
                    let id = provider.sign_up(client, &name).await?;
                    made.push((name, id));
                }
                anyhow::Ok(made)
            }
        });
        let perclouds = futures_util::future::try_join_all(lanes).await?.into_iter().flatten().collect();
        let (visitor, roles) = (Arc::new(Visitor::new(&provider)?), Roles::find(provider.folder())?);
        let sleepers = Self { provider, visitor, client, roles, perclouds, next: 0 };
        sleepers.all_asleep().await?;
        Ok(sleepers)
    }

    /// Returns when nobody is awake.
    async fn all_asleep(&self) -> anyhow::Result<()> {
        let start = Instant::now();
        while !self.roles.runtimes().is_empty() {
            ensure!(start.elapsed() < Duration::from_secs(30), "perclouds do not fall asleep");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The one that has slept longest.
    fn next(&mut self) -> (String, String) {
        self.next += 1;
        self.perclouds[self.next % self.perclouds.len()].clone()
    }

    /// Milliseconds until the first byte of a page behind the own socket of one that sleeps.
    async fn start(&mut self, page: &str) -> anyhow::Result<f64> {
        let (name, id) = self.next();
        Ok(ms(knock(&self.provider.socket(&id), &self.visitor.host(&name), page).await?))
    }

    async fn starts(&self) -> anyhow::Result<f64> {
        self.provider.metric(&self.client, "percloud_host_starts_total").await
    }

    /// Visitors at this rate. What failed is said and counted.
    async fn arrivals(&mut self, rate: u32, count: usize) -> (Vec<Visit>, usize) {
        let (start, pause) = (Instant::now(), Duration::from_secs(1) / rate);
        let mut visits = JoinSet::new();
        for n in 0..count {
            tokio::time::sleep_until(start + pause * u32::try_from(n).unwrap_or(u32::MAX)).await;
            let (visitor, (name, _)) = (self.visitor.clone(), self.next());
            visits.spawn(async move { visitor.visit(&name).await });
        }
        let (mut done, mut failures) = (Vec::new(), 0);
        for visit in visits.join_all().await {
            match visit {
                Ok(visit) => done.push(visit),
                Err(error) => {
                    println!("A failure: {error:#}");
                    failures += 1;
                }
            }
        }
        (done, failures)
    }
}

/// What was measured, in milliseconds.
#[derive(Default)]
struct Measured {
    /// For each rate, a list for each round.
    visits: Vec<Vec<Vec<Visit>>>,
    start: Vec<f64>,
    bare: Vec<f64>,
    /// Starts for another page than Home.
    other: Vec<f64>,
    floor: Vec<f64>,
    floor_forked: Vec<f64>,
    /// The medians of the rounds: floor, the same by a fork, start, bare.
    rounds: Vec<[f64; 4]>,
    cpu_us: Vec<f64>,
    failures: usize,
    wakes: usize,
    starts: f64,
}

/// Measures, and gives the line of JSON.
///
/// # Errors
/// When something does not start, or a start without the edge fails.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Value> {
    ensure!(options.rates.len() == options.wakes.len(), "a number of wakes for each of the rates");
    ensure!(options.rounds > 0 && options.starts > 0 && options.perclouds > 0, "nothing to measure");
    let mut sleepers = Sleepers::new(options.perclouds).await?;
    let alone = Alone::new(&sleepers).await?;
    let mut measured = Measured { visits: vec![Vec::new(); options.rates.len()], ..Measured::default() };
    for round in 1..=options.rounds {
        println!("Round {round} of {}…", options.rounds);
        for (n, (rate, count)) in options.rates.iter().zip(&options.wakes).enumerate() {
            sleepers.all_asleep().await?;
            let (cpu, starts) = (sleepers.roles.cpu_us()?, sleepers.starts().await?);
            let (visits, failures) = sleepers.arrivals(*rate, *count).await;
            sleepers.all_asleep().await?;
            measured.starts += sleepers.starts().await? - starts;
            measured.cpu_us.push((sleepers.roles.cpu_us()? - cpu) / *count as f64);
            measured.visits[n].push(visits);
            measured.failures += failures;
            measured.wakes += count;
        }
        without_edge(&mut sleepers, &alone, options.starts, &mut measured).await?;
    }
    Ok(line(&options.rates, &measured))
}

/// Both floors, confined runtime, bare runtime and confined runtime asked for another page, one after the other, over and over.
async fn without_edge(
    sleepers: &mut Sleepers,
    alone: &Alone,
    count: usize,
    measured: &mut Measured,
) -> anyhow::Result<()> {
    let (mut floor, mut forked, mut start, mut bare) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        floor.push(ms(alone.floor().await?));
        forked.push(ms(alone.floor_forked().await?));
        start.push(sleepers.start("/").await?);
        bare.push(ms(alone.bare().await?));
        measured.other.push(sleepers.start(OTHER).await?);
    }
    measured.rounds.push([&floor, &forked, &start, &bare].map(|all| median(all.clone())));
    measured.floor.extend(floor);
    measured.floor_forked.extend(forked);
    measured.start.extend(start);
    measured.bare.extend(bare);
    Ok(())
}

fn line(rates: &[u32], measured: &Measured) -> Value {
    let mut line = Map::new();
    line.insert("bench".into(), "wake".into());
    let whole = |visits: &[Visit]| visits.iter().map(|visit| ms(visit.whole)).collect::<Vec<_>>();
    for (rate, rounds) in rates.iter().zip(&measured.visits) {
        let all: Vec<Visit> = rounds.iter().flatten().copied().collect();
        let answers: Vec<f64> = all.iter().map(|visit| ms(visit.answer)).collect();
        for percent in [50, 99] {
            line.insert(format!("p{percent}_ms_{rate}"), rounded(percentile(&whole(&all), percent)));
            line.insert(format!("p{percent}_ms_{rate}_after_handshake"), rounded(percentile(&answers, percent)));
        }
        for (key, at) in [("floor", 0), ("floor_forked", 1)] {
            let ratios = rounds.iter().zip(&measured.rounds).map(|(visits, round)| median(whole(visits)) / round[at]);
            line.insert(format!("p50_vs_{key}_{rate}"), rounded(median(ratios.collect())));
        }
    }
    // The goal's own key is that of the quieter of the two rates it names.
    let goal = line.get("p50_vs_floor_20").cloned().unwrap_or_default();
    line.insert("p50_vs_floor".into(), goal);
    // The bare runtime is forked by the bench, which is larger than a spawner: what that takes is not the runtime's.
    let confinement = measured.rounds.iter().map(|[floor, forked, start, bare]| start - (bare - (forked - floor)));
    let confinement = median(confinement.collect());
    for (key, value) in [
        ("start_p50_ms", percentile(&measured.start, 50)),
        ("start_p99_ms", percentile(&measured.start, 99)),
        ("start_other_p50_ms", percentile(&measured.other, 50)),
        ("bare_p50_ms", percentile(&measured.bare, 50)),
        ("floor_p50_ms", percentile(&measured.floor, 50)),
        ("floor_forked_p50_ms", percentile(&measured.floor_forked, 50)),
        ("confinement_ms", confinement),
        ("cpu_us", median(measured.cpu_us.clone())),
    ] {
        line.insert(key.into(), rounded(value));
    }
    line.insert("failures".into(), json!(measured.failures));
    line.insert("wakes".into(), json!(measured.wakes));
    // As many as wakes, when every visitor came to one that slept and none was started in vain.
    line.insert("starts".into(), rounded(measured.starts));
    Value::Object(line)
}
