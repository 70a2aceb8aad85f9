//! Runs the whole provider on one machine: a private Postgres and one supervised process per role.
//!
//! The order of things: lock the data folder → folders, secrets, keys → Postgres → migrate → roles → wait until the portal
//! answers through the edge → say so. On SIGINT or SIGTERM the same way back. Everything that is made is made so that a kill
//! at any point leaves what the next start finishes.

mod balanced;
mod binaries;
pub mod cluster;
mod detach;
pub(crate) mod health;
mod keys;
pub(crate) mod lock;
mod logs;
mod metrics;
mod plain;
mod prepare;
mod restart;
mod sandbox;
mod supervise;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use anyhow::Context;

pub use detach::{Down, down};
pub use restart::{RestartEdge, restart_edge};

use crate::{
    certificates,
    config::{Common, Paths, SEAL_KEY_COMMAND, SealOptions},
    db, domains, edge, egress,
    hosts::local::{self, Kind, Limits, Naps},
    privileges,
};
use cluster::Cluster;
use prepare::Secrets;
use supervise::{Program, Supervisor};

/// How long the portal may take until it answers, from the start of the roles.
const PATIENCE: Duration = Duration::from_secs(60);

/// `percloud up`: the whole provider on this machine.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What every role is told.
    #[command(flatten)]
    pub common: Common,
    /// Who issues certificates.
    #[command(flatten)]
    pub certificates: certificates::Options,
    /// Where the sealing keys are.
    #[command(flatten)]
    pub seal: SealOptions,
    /// Certificates that the edge keeps in memory; the others are loaded when somebody asks for them.
    #[arg(long, value_name = "N")]
    pub certificates_in_memory: Option<usize>,
    /// MiB of sealed certificates that the edge has at hand beside those; 64 unless given, 0 for none.
    #[arg(long, value_name = "MIB")]
    pub certificates_sealed_mib: Option<usize>,
    /// Requests that one percloud may have in a second, in the long run; 1000 unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub requests_per_second: Option<u32>,
    /// Addresses to listen on; loopback only when the base domain ends in `.localhost`, else all.
    #[arg(long, value_name = "IP")]
    pub listen: Vec<IpAddr>,
    /// A port for plain HTTP that sends everybody to HTTPS, usually 80.
    #[arg(long, value_name = "N")]
    pub http_port: Option<u16>,
    /// A network of load balancers that speak PROXY protocol 2 to the edge and must, as in `10.0.0.0/8`; may be repeated.
    #[arg(long, value_name = "FROM_NETWORK")]
    pub proxy_protocol: Vec<edge::Network>,
    /// Where else all names are served, as in `h3=":443"; ma=3600` (RFC 7838), for a front door of yours that speaks HTTP/3.
    #[arg(long, value_name = "ALT_SVC")]
    pub alt_svc: Option<http::HeaderValue>,
    /// The private port with all roles' metrics on 127.0.0.1; 10,000 above the HTTPS port unless given.
    #[arg(long, value_name = "N")]
    pub metrics_port: Option<u16>,
    /// Name each percloud in the metrics of what is used: five series each.
    #[arg(long)]
    pub metrics_per_percloud: bool,
    /// The tenants' program; beside this one unless given.
    #[arg(long, value_name = "FILE")]
    pub runtime: Option<PathBuf>,
    /// Seconds without work after which a percloud sleeps.
    #[arg(long, default_value_t = 300, value_name = "N")]
    pub idle_seconds: u64,
    /// Layers of the sandbox that this machine may lack, by their names in `percloud doctor`. Below `.localhost`, to try it out, those that
    /// many machines lack need not be named.
    #[arg(long, env = "PERCLOUD_ALLOW_MISSING", value_name = "LAYER", value_delimiter = ',')]
    pub allow_missing: Vec<Kind>,
    /// What each percloud may take of the machine.
    #[command(flatten)]
    pub limits: Limits,
    /// When perclouds sleep and wake besides.
    #[command(flatten)]
    pub naps: Naps,
    /// Where own domains lead, and how DNS is asked.
    #[command(flatten)]
    pub domains: domains::Options,
    /// Where perclouds may connect to.
    #[command(flatten)]
    pub egress: egress::RuleOptions,
    /// What each of them may use of that.
    #[command(flatten)]
    pub egress_limits: egress::Limits,
    /// Return when everything is healthy, and go on in the background.
    #[arg(long)]
    pub detach: bool,
    /// Set for the process in the background.
    #[arg(long, hide = true)]
    pub detached: bool,
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// When the folder is in use, Postgres or a role does not start, or the portal does not answer.
pub fn run(options: Options) -> anyhow::Result<()> {
    if options.detach {
        return detach::start();
    }
    let options = prepare::absolute(options)?;
    let paths = options.common.paths();
    prepare::data_folder(&paths)?;
    let _lock = lock::take(&paths)?;
    // The parent-death signal of a child is tied to the thread that made it: one thread makes them all.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise_all(options, &paths))
}

async fn supervise_all(options: Options, paths: &Paths) -> anyhow::Result<()> {
    let stop = supervise::stop_signal()?;
    // From the first moment on: unheard, this signal would end us.
    let replace = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::user_defined2())?;
    health::port_is_free(&options)?;
    nobody_else()?;
    say(format_args!("Data folder: {}", paths.root().display()));
    prepare::folders(paths)?;
    let secrets = Secrets::ensure(paths)?;
    keys::ensure(&options, paths)?;
    prepare::acme_root(&options, paths)?;
    prepare::remember(&options)?;
    let mut supervisor = Supervisor::new(paths.logs());
    let outcome = tokio::select! {
        outcome = bring_up(&options, paths, &secrets, &mut supervisor) => outcome,
        () = stop.clone().wait() => Ok(()),
    };
    let mut told = Ok(());
    if outcome.is_ok() && !stop.is_set() {
        announce(&options);
        let found = local::last_found(paths).ok().flatten();
        if let Some(told) = found.and_then(|found| sandbox::told(&found.layers, &options.allow_missing)) {
            say(format_args!("{told}"));
        }
        told = if options.detached { detach::ready() } else { Ok(()) };
        if told.is_ok() {
            supervisor.watch(stop, replace).await;
        }
        say(format_args!("Stopping…"));
    }
    supervisor.stop().await;
    outcome.and(told)?;
    say(format_args!("Stopped. Everything is kept in {}.", paths.root().display()));
    Ok(())
}

/// Whoever else has the number of a role may connect where the role may, and read what it may.
fn nobody_else() -> anyhow::Result<()> {
    let strangers = if nix::unistd::Uid::effective().is_root() { privileges::strangers() } else { Vec::new() };
    anyhow::ensure!(
        strangers.is_empty(),
        "numbers of our roles' users are somebody else's: {}. Nothing is started before that has another number; \
         docs/operations.md says how ours are reserved",
        strangers.join("; ")
    );
    Ok(())
}

async fn bring_up(
    options: &Options,
    paths: &Paths,
    secrets: &Secrets,
    supervisor: &mut Supervisor,
) -> anyhow::Result<()> {
    let urls = match &options.common.database_url {
        Some(url) => Urls::all_the_same(url),
        None => private_postgres(paths, secrets, supervisor).await?,
    };
    db::migrate::run(&urls.owner).await.context("the database could not be brought up to date")?;
    if options.common.database_url.is_none() {
        secrets.make_roles(&urls.owner).await?;
    }
    say(format_args!("Starting edge, web, reconcile, host and egress…"));
    for program in roles(options, paths, &urls, secrets)? {
        supervisor.start(program)?;
    }
    metrics::serve(options, paths).await?;
    tokio::select! {
        healthy = health::wait(options, paths, PATIENCE) => healthy,
        name = supervisor.gives_up() => Err(lost(name, paths)),
    }
}

/// Why a role does not stay up, as far as that is known here.
fn lost(name: &str, paths: &Paths) -> anyhow::Error {
    let refused = if name == "host" { local::refused(paths) } else { Ok(()) };
    let log = paths.logs().join(format!("{name}.log"));
    refused.err().unwrap_or_else(|| anyhow::anyhow!("{name} does not stay up; see {}", log.display()))
}

async fn private_postgres(paths: &Paths, secrets: &Secrets, supervisor: &mut Supervisor) -> anyhow::Result<Urls> {
    let cluster = Cluster::new(paths.postgres(), paths.postgres_socket())?;
    if !paths.postgres().exists() {
        say(format_args!("Making a private Postgres (only this once)…"));
    }
    cluster.ensure(&secrets.owner)?;
    say(format_args!("Starting Postgres…"));
    let server = cluster.clone();
    supervisor
        .start(Program::new("postgres", move |_| server.server()).stopped_by(nix::sys::signal::Signal::SIGINT))?;
    cluster.wait_ready(&secrets.owner, Duration::from_secs(60)).await?;
    supervisor.is_well();
    let url = |user: &str, password: &str| cluster.url(user, password, cluster::DATABASE);
    Ok(Urls {
        owner: url(cluster::OWNER, &secrets.owner),
        edge: url("percloud_edge", &secrets.edge),
        web: url("percloud_web", &secrets.web),
        reconcile: url("percloud_reconcile", &secrets.reconcile),
        egress: url("percloud_egress", &secrets.egress),
    })
}

/// Each role's own way into the database.
struct Urls {
    owner: String,
    edge: String,
    web: String,
    reconcile: String,
    egress: String,
}

impl Urls {
    /// An existing server: its administrator decides on users; `percloud doctor` says that they are one.
    fn all_the_same(url: &str) -> Self {
        let url = url.to_owned();
        Self { owner: url.clone(), edge: url.clone(), web: url.clone(), reconcile: url.clone(), egress: url }
    }
}

/// The five roles, in the order in which they start.
fn roles(options: &Options, paths: &Paths, urls: &Urls, secrets: &Secrets) -> anyhow::Result<Vec<Program>> {
    let mut host: Vec<String> = vec!["--idle-seconds".into(), options.idle_seconds.to_string()];
    if let Some(runtime) = &options.runtime {
        host.extend(["--runtime".into(), runtime.to_str().context("--runtime: not UTF-8")?.into()]);
    }
    host.extend(sandbox::may_lack(options).iter().flat_map(|layer| ["--allow-missing".into(), layer.to_string()]));
    host.extend(options.limits.arguments());
    host.extend(options.naps.arguments());
    let mut edge: Vec<String> = options.listen.iter().flat_map(|ip| ["--listen".into(), ip.to_string()]).collect();
    edge.extend(options.http_port.iter().flat_map(|port| ["--http-port".into(), port.to_string()]));
    edge.extend(options.certificates_in_memory.iter().flat_map(|n| ["--certificates-in-memory".into(), n.to_string()]));
    edge.extend(
        options.certificates_sealed_mib.iter().flat_map(|n| ["--certificates-sealed-mib".into(), n.to_string()]),
    );
    // What the environment says is handed on there: command lines are public.
    let command = options.seal.program().filter(|_| std::env::var_os(SEAL_KEY_COMMAND).is_none());
    let mut reconcile: Vec<String> =
        command.and_then(|c| c.as_argument()).map(|c| vec!["--seal-key-command".into(), c]).unwrap_or_default();
    edge.extend(reconcile.clone());
    reconcile.extend(options.domains.args());
    reconcile.extend(options.metrics_per_percloud.then(|| "--metrics-per-percloud".into()));
    // Checked here, where somebody reads it; the role would only fall again and again.
    let certificates = options.certificates.answered(options.http_port.is_some());
    certificates.read(options.common.base_domain.as_str())?;
    let cas = certificates.environment()?;
    edge.extend(options.requests_per_second.iter().flat_map(|n| ["--requests-per-second".into(), n.to_string()]));
    edge.extend(options.proxy_protocol.iter().flat_map(|network| ["--proxy-protocol".into(), network.to_string()]));
    edge.extend(
        options.alt_svc.iter().filter_map(|at| at.to_str().ok()).flat_map(|at| ["--alt-svc".into(), at.to_owned()]),
    );
    edge.push("--take-over".into());
    let mut egress = options.egress.args();
    egress.extend(options.egress_limits.args());
    egress.extend(options.domains.dns.args());
    let key = vec![(egress::KEY.to_owned(), secrets.egress_key.clone())];
    let role = |name, uid, args, url, env| supervise::role(name, uid, args, url, env, &options.common, paths);
    Ok(vec![
        role("egress", Some(privileges::EGRESS), egress, Some(&urls.egress), key)?,
        role("host", None, host, None, Vec::new())?,
        role("reconcile", Some(privileges::RECONCILE), reconcile, Some(&urls.reconcile), cas)?,
        role("web", Some(privileges::WEB), Vec::new(), Some(&urls.web), Vec::new())?,
        role("edge", Some(privileges::EDGE), edge, Some(&urls.edge), Vec::new())?,
    ])
}

fn announce(options: &Options) {
    let common = &options.common;
    let data = common.data.display();
    let whose = match options.certificates.acme_directory.as_deref().filter(|_| options.certificates.is_public()) {
        Some(directory) => format!(
            "Its certificates come from {directory}. {ways}\n\
             Until it has issued the portal's (which takes a way to the DNS: --dns-update or --dns-hook), it shows one of a local\n\
             authority. To trust that meanwhile:",
            ways = ways(options),
        ),
        None => {
            "Its certificates come from a local authority made just now for this data folder. To trust it:".to_owned()
        }
    };
    let program = std::env::current_exe().unwrap_or_else(|_| "percloud".into());
    let program = program.display();
    say(format_args!(
        "\nYour provider is up:  {origin}/\n\n\
         {whose}\n\
         \x20 file      {data}/ca.pem\n\
         \x20 Debian    sudo cp {data}/ca.pem /usr/local/share/ca-certificates/percloud.crt && sudo update-ca-certificates\n\
         \x20 Firefox   Settings → Privacy & Security → Certificates → View Certificates → Authorities → Import\n\
         \x20 Chromium  Settings → Privacy and security → Security → Manage certificates → Authorities → Import\n\
         \x20 curl      curl --cacert {data}/ca.pem {origin}/\n\n\
         As its operator:\n\
         \x20 {program} admin --data {data} list\n\
         \x20 {program} doctor --data {data}\n\
         \x20 logs in {data}/log/\n",
        origin = common.portal_origin(),
    ));
}

/// How own domains are proved to the CA: what must be open for that.
fn ways(options: &Options) -> String {
    let plain = options.http_port;
    let settings = options.certificates.answered(plain.is_some()).read(options.common.base_domain.as_str());
    let Some(ways) = settings.ok().and_then(|settings| settings.said_ways()) else { return String::new() };
    let missing = match (plain, ways.contains("http-01")) {
        (None, false) => " (http-01 takes --http-port)",
        (None, true) => " (there is no --http-port: whatever listens at port 80 must lead http-01 here)",
        (Some(_), _) => "",
    };
    format!("Own domains are proved by {ways}{missing}.")
}

/// One line for the person at the terminal.
fn say(line: std::fmt::Arguments<'_>) {
    use std::io::Write;
    // A closed terminal must not end the provider.
    let _ = writeln!(std::io::stdout(), "{line}");
}
