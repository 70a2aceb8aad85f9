//! `infra/bench neighbours`: a quiet percloud beside one that behaves badly.
//!
//! The host's runtime is the program of the isolation tests, `control-plane/examples/hostile`: the quiet percloud's visitors ask it
//! for a page, the bad one's ask it to misbehave. Each kind of misbehaviour has a percloud of its own. Alone and beside are
//! measured in turn (A B A B …); a ratio is the median of the rounds' ratios.

pub(crate) mod flood;

use std::{
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{
    ahead,
    figures::{median, ms, percentile, rounded},
    provider::{BASE, Provider},
    scenarios::edge::process::{Cores, on_core},
};

/// How much is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Times that each kind is measured, alone and beside.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of each.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Requests a second of the quiet percloud's visitors.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Connections of the flood.
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Measure these kinds only.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Kind>,
    /// Have the flood's own end, and the visitors beside it, on the provider's processors too.
    #[arg(long)]
    together: bool,
    /// A part of this bench: the provider is held on these processors, and this process on the last one.
    #[arg(long, hide = true)]
    provider_on: Option<String>,
}

/// A way to be a bad neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Nothing bad at all: how far two measurements of the same differ.
    Nothing,
    /// Uses the processors on four threads.
    Spin,
    /// Ten thousand of its visitors come at once and stay.
    Flood,
    /// Makes processes and threads until it is refused.
    Fork,
    /// Uses memory until it is refused or ended.
    Leak,
    /// Fills its disk, with large files and with many.
    Fill,
    /// Writes the shortest lines into its log, as fast as they are taken.
    Chatter,
}

impl Kind {
    const ALL: [Self; 7] = [Self::Nothing, Self::Spin, Self::Flood, Self::Fork, Self::Leak, Self::Fill, Self::Chatter];

    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Spin => "spin",
            Self::Flood => "flood",
            Self::Fork => "fork",
            Self::Leak => "leak",
            Self::Fill => "fill",
            Self::Chatter => "chatter",
        }
    }

    /// What the bad percloud is asked, over and over; none where its visitors are what is bad.
    fn path(self) -> Option<&'static str> {
        match self {
            Self::Nothing | Self::Flood => None,
            Self::Spin => Some("/spin?ms=1000"),
            Self::Fork => Some("/threads"),
            Self::Leak => Some("/memory?mib=16384"),
            Self::Fill => Some("/fill?mib=2048&files=20000"),
            Self::Chatter => Some("/chatter?ms=1000"),
        }
    }
}

/// Measures, and gives the line of JSON.
///
/// # Errors
/// When something does not start, or the quiet percloud's visitors get no answer while it is alone.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Value> {
    ensure!(options.rounds > 0, "nothing to measure");
    if !ahead::allowed() {
        println!(
            "This user may not let the visitors go ahead (SCHED_RR): they wait for processors, too, and ratios are higher."
        );
    }
    let wanted = |kind: &Kind| options.only.is_empty() || options.only.contains(kind);
    let last = Cores::of_this_machine().client;
    let together = last == 0 || options.together || options.provider_on.is_some();
    let away = |kind: &Kind| *kind == Kind::Flood && !together;
    let (away, here): (Vec<Kind>, Vec<Kind>) = Kind::ALL.into_iter().filter(wanted).partition(away);
    let mut line = Map::new();
    line.insert("bench".into(), "neighbours".into());
    if !here.is_empty() {
        measure(here, options, &mut line).await?;
    }
    if !away.is_empty() {
        apart(options, last, &mut line).await?;
    }
    let ratio = |(key, value): (&String, &Value)| {
        key.strip_prefix("p99_ratio_").filter(|kind| *kind != Kind::Nothing.name()).and_then(|_| value.as_f64())
    };
    let worst = line.iter().filter_map(ratio).fold(f64::NAN, f64::max);
    line.insert("p99_ratio_worst".into(), rounded(worst));
    Ok(Value::Object(line))
}

/// Beside a flood, by a process like this one that has the last processor, with a provider that has all others.
async fn apart(options: &Options, last: usize, line: &mut Map<String, Value>) -> anyhow::Result<()> {
    println!("Clients on processor {last}, the provider on the others…");
    let Options { rounds, seconds, rate, connections, .. } = options;
    let mut bench = tokio::process::Command::from(on_core(last, &std::env::current_exe()?));
    bench.args(["neighbours", "--only", "flood", "--provider-on", &format!("0-{}", last - 1)]);
    bench.args(["--rounds", &rounds.to_string(), "--seconds", &seconds.to_string(), "--rate", &rate.to_string()]);
    bench.args(["--connections", &connections.to_string()]);
    // Not `output()`, which would take what it says of its troubles.
    let output = bench.stdout(Stdio::piped()).kill_on_drop(true).spawn()?.wait_with_output().await?;
    ensure!(output.status.success(), "the flood, apart: {}", output.status);
    let said = String::from_utf8(output.stdout)?;
    let found: Map<String, Value> = serde_json::from_str(said.lines().last().context("it said nothing")?)?;
    for (key, value) in found {
        match key.as_str() {
            "bench" | "p99_ratio_worst" => continue,
            "alone_p50_ms" | "alone_p99_ms" => line.insert(format!("{key}_apart"), value),
            _ => line.insert(key, value),
        };
    }
    Ok(())
}

/// A provider whose runtime is the hostile program, with a quiet percloud and a bad one of each kind.
async fn provider(kinds: &[Kind], processors: Option<&str>) -> anyhow::Result<(Arc<Provider>, reqwest::Client)> {
    println!("Starting a provider of our own, whose runtime is a hostile program…");
    let exe = std::env::current_exe()?;
    let hostile = exe.parent().context("this program is in a folder")?.join("examples/hostile");
    ensure!(hostile.exists(), "{} is not built; infra/bench neighbours builds it", hostile.display());
    let provider = Provider::start_on(processors, &["--runtime", hostile.to_str().context("its path")?])?;
    let client = provider.client()?;
    provider.sign_up(&client, "quiet").await?;
    for kind in kinds {
        provider.sign_up(&client, &bad(*kind)).await?;
    }
    Ok((Arc::new(provider), client))
}

/// Measures these kinds, one after the other.
async fn measure(kinds: Vec<Kind>, options: &Options, line: &mut Map<String, Value>) -> anyhow::Result<()> {
    let (provider, client) = provider(&kinds, options.provider_on.as_deref()).await?;
    let window = Duration::from_secs(options.seconds);
    // Connections are made and the first pages read.
    visits(&provider, &client, options.rate, window).await?;
    let mut alone_all = Vec::new();
    for kind in kinds {
        println!("Beside one that does this: {}…", kind.name());
        let (mut ratios, mut beside_all, mut failures, mut deeds) = (Vec::new(), Vec::new(), 0, 0);
        for _ in 0..options.rounds {
            let (alone, lost) = visits(&provider, &client, options.rate, window).await?;
            ensure!(lost == 0, "{lost} visitors of the quiet percloud got no answer while it was alone");
            let misbehaving = Misbehaving::begin(&provider, &client, kind, options);
            let (beside, lost) = visits(&provider, &client, options.rate, window).await?;
            deeds += misbehaving.end().await?;
            ratios.push(percentile(&beside, 99) / percentile(&alone, 99));
            alone_all.extend(alone);
            beside_all.extend(beside);
            failures += lost;
        }
        ensure!(deeds > 0 || kind == Kind::Nothing, "{}: nothing was done, so nothing was measured", kind.name());
        line.insert(format!("p99_ratio_{}", kind.name()), rounded(median(ratios)));
        line.insert(format!("p99_ms_{}", kind.name()), rounded(percentile(&beside_all, 99)));
        line.insert(format!("failures_{}", kind.name()), json!(failures));
        line.insert(format!("deeds_{}", kind.name()), json!(deeds));
    }
    line.insert("alone_p50_ms".into(), rounded(percentile(&alone_all, 50)));
    line.insert("alone_p99_ms".into(), rounded(percentile(&alone_all, 99)));
    Ok(())
}

/// The percloud of a kind.
fn bad(kind: Kind) -> String {
    format!("bad-{}", kind.name())
}

/// Visitors of the quiet percloud at this rate, answered or not; milliseconds of each answer, and how many got none.
async fn visits(
    provider: &Arc<Provider>,
    client: &reqwest::Client,
    rate: u32,
    window: Duration,
) -> anyhow::Result<(Vec<f64>, usize)> {
    let url = format!("{}/", provider.origin(Some("quiet")));
    let (client, handle) = (client.clone(), Handle::current());
    // A thread keeps the time: the library's clock strikes once a millisecond, which would be most of what is measured.
    let keeps_time = move || {
        let (start, pause) = (Instant::now(), Duration::from_secs(1) / rate);
        let all_due = (0..).map(|n| start + pause * n).take_while(|due| *due < start + window);
        let come = |due: Instant| {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            handle.spawn(visit(client.clone(), url.clone(), due))
        };
        all_due.map(come).collect::<Vec<_>>()
    };
    let visits = tokio::task::spawn_blocking(keeps_time).await?;
    let all = futures_util::future::try_join_all(visits).await?;
    let count = all.len();
    let took: Vec<f64> = all.into_iter().flatten().collect();
    let lost = count - took.len();
    Ok((took, lost))
}

/// Milliseconds from when a visitor wanted to come: a client that is late itself must not hide how long the answer took.
async fn visit(client: reqwest::Client, url: String, due: Instant) -> anyhow::Result<f64> {
    let answer = client.get(&url).send().await?.error_for_status()?;
    answer.bytes().await?;
    Ok(ms(due.elapsed()))
}

/// A percloud that misbehaves until it is told to end.
struct Misbehaving {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<usize>>,
}

impl Misbehaving {
    fn begin(provider: &Arc<Provider>, client: &reqwest::Client, kind: Kind, options: &Options) -> Self {
        let stop = CancellationToken::new();
        let task = match kind.path() {
            Some(path) => {
                let url = format!("{}{path}", provider.origin(Some(&bad(kind))));
                tokio::spawn(over_and_over(client.clone(), url, stop.clone()))
            }
            None if kind == Kind::Flood => {
                let host = format!("{}.{BASE}", bad(kind));
                tokio::spawn(flooded(host, provider.port(), options.connections, stop.clone()))
            }
            None => tokio::spawn(async { Ok(0) }),
        };
        Self { stop, task }
    }

    /// How much was done: requests, or connections.
    async fn end(self) -> anyhow::Result<usize> {
        self.stop.cancel();
        self.task.await?
    }
}

/// Asks for the deed until told to stop. That it ends badly is what is wanted; that it is not understood is not.
async fn over_and_over(client: reqwest::Client, url: String, stop: CancellationToken) -> anyhow::Result<usize> {
    let mut deeds = 0;
    while !stop.is_cancelled() {
        let deed = async { client.get(&url).send().await?.text().await };
        let said = deed.await.unwrap_or_default();
        // What it answers to whatever it does not know.
        ensure!(!said.contains("\"domain\""), "the hostile program does not know {url}");
        deeds += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(deeds)
}

/// A process of its own, which has what processor time nobody else wants (`SCHED_IDLE`): what is measured is the provider, not how
/// much the flood's own end costs.
async fn flooded(host: String, port: u16, connections: usize, stop: CancellationToken) -> anyhow::Result<usize> {
    let mut flood = tokio::process::Command::new("chrt");
    flood.args(["--idle", "0"]).arg(std::env::current_exe()?).args([
        "flood",
        &host,
        &port.to_string(),
        &connections.to_string(),
    ]);
    let mut child = flood.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    stop.cancelled().await;
    // The end of its input is the end of the flood.
    drop(child.stdin.take());
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "the flood: {}", output.status);
    let said: Value = serde_json::from_slice(&output.stdout)?;
    Ok(usize::try_from(said["connections"].as_u64().unwrap_or(0))?)
}
