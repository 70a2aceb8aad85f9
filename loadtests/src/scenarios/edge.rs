//! `infra/bench edge`: the front door beside nginx, HAProxy and Caddy.
//!
//! All proxies live at the same time on one processor, clients and the application on another; they are loaded in turn (A B C D,
//! A B C D …). A ratio is the median of the rounds' ratios, so what is divided was measured in the same seconds.

pub(crate) mod handshakes;
mod load;
mod peers;
mod percloud;
pub(crate) mod process;
mod report;
pub(crate) mod upstream;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use load::{Client, Kind, Outcome};
use peers::{House, Peer};
use percloud::Known;
use process::{Cores, Running, on_core};
use serde_json::Value;

use crate::provider::Provider;

/// The name that clients ask for: `wrk` looks it up, so it must be one that every machine knows.
pub(crate) const HOST: &str = "localhost";

/// How much is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Times that every proxy is loaded with each kind of work.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of each.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Certificates known, for memory and handshakes; each is compared with the first.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1_000, 100_000])]
    certificates: Vec<usize>,
    /// Leave the peers out, while working on our own.
    #[arg(long)]
    alone: bool,
    /// Load with this kind of work only, while working on our own.
    #[arg(long)]
    only: Option<Kind>,
}

/// A proxy under load, and what came of it.
struct Proxy {
    name: &'static str,
    /// Certificates that it knows, where that is what is measured.
    names: usize,
    at: SocketAddr,
    running: Running,
    outcomes: Vec<(Kind, Outcome)>,
}

impl Proxy {
    /// Starts it and waits until it answers as it should.
    async fn start(
        name: &'static str,
        names: usize,
        command: Command,
        at: SocketAddr,
        house: &House,
    ) -> anyhow::Result<Self> {
        let log = house.folder.join(format!("{name}-{names}.log"));
        let proxy = Self { name, names, at, running: Running::start(command, &log)?, outcomes: Vec::new() };
        proxy.ready().await.with_context(|| {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            format!("{name} does not answer; it said:\n{}", said.chars().take(2000).collect::<String>())
        })?;
        Ok(proxy)
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .resolve(HOST, self.at)
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()?;
        let url = format!("https://{HOST}:{}/", self.at.port());
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            self.running.cpu_us()?;
            match client.get(&url).send().await {
                Ok(answer) if answer.status() == 200 => {
                    ensure!(answer.bytes().await?.len() == upstream::BODY, "another answer than the application's");
                    return Ok(());
                }
                Ok(_) | Err(_) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(50)).await,
                Ok(answer) => anyhow::bail!("it answers {}", answer.status()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn load(&mut self, kind: Kind, client: &Client<'_>) -> anyhow::Result<()> {
        let outcome = client.run(kind, &self.running, self.at).with_context(|| format!("{kind:?} of {}", self.name))?;
        self.outcomes.push((kind, outcome));
        Ok(())
    }
}

/// Measures, and gives the line of JSON.
///
/// # Errors
/// When something does not start, or a request fails.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Value> {
    ensure!(!options.certificates.is_empty() && options.rounds > 0, "nothing to measure");
    let cores = Cores::of_this_machine();
    println!("Starting a provider of our own…");
    let provider = Provider::start()?;
    let folder = Folder::new()?;
    let house = House::new(folder.0.clone())?;
    let mut app = on_core(cores.client, &std::env::current_exe()?);
    app.arg("upstream").arg(&house.upstream);
    let _app = Running::start(app, &house.folder.join("app.log"))?;
    let mut edges = Vec::new();
    for &names in &options.certificates {
        println!("An edge that knows {names} certificates…");
        let known = Known::fill(&provider, names, &house.upstream)?;
        let at = free()?;
        edges.push(Proxy::start("percloud", names, known.edge(&provider, at, cores.proxy)?, at, &house).await?);
    }
    let mut peers = Vec::new();
    for peer in Peer::ALL.into_iter().filter(|_| !options.alone) {
        let at = free()?;
        peers.push(Proxy::start(peer.name(), 0, peer.command(&house, at, cores.proxy)?, at, &house).await?);
    }
    in_turn(options, cores, &mut edges[0], &mut peers)?;
    report::table(std::iter::once(&edges[0]).chain(&peers));
    let plain = std::mem::take(&mut edges[0].outcomes);
    with_certificates(options, cores, &mut edges)?;
    report::line(&plain, &peers, &edges)
}

/// Every proxy with every kind of work, in turn. The first round warms up and does not count.
fn in_turn(options: &Options, cores: Cores, ours: &mut Proxy, peers: &mut [Proxy]) -> anyhow::Result<()> {
    let client = Client { core: cores.client, seconds: options.seconds, name: HOST, numbers: 1 };
    for round in 0..=options.rounds {
        println!("Round {round} of {}…", options.rounds);
        for kind in Kind::ALL.into_iter().filter(|kind| options.only.is_none_or(|only| only == *kind)) {
            for proxy in std::iter::once(&mut *ours).chain(&mut *peers) {
                proxy.load(kind, &client)?;
            }
        }
        if round == 0 {
            ours.outcomes.clear();
            peers.iter_mut().for_each(|proxy| proxy.outcomes.clear());
        }
    }
    Ok(())
}

/// Handshakes for random names of those that an edge knows, the edges in turn: a second each, as many as there is time for. What is
/// compared is alike within a few parts of a hundred, and a machine changes by more than that from one second to the next.
fn with_certificates(options: &Options, cores: Cores, edges: &mut [Proxy]) -> anyhow::Result<()> {
    let rounds = options.rounds * options.seconds as usize;
    for round in 1..=rounds {
        println!("Certificates, round {round} of {rounds}…");
        for edge in &mut *edges {
            let numbers = edge.names;
            let client = Client { core: cores.client, seconds: 1, name: percloud::NAME, numbers };
            edge.load(Kind::Handshakes, &client)?;
        }
    }
    Ok(())
}

fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("percloud-bench-edge-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
