//! The way out: perclouds have no network, and ask this role over a unix socket for a connection to a host of the Internet's.
//!
//! ```text
//! runtime ── /egress/sock ── CONNECT host:port, token ──▶ egress ── DNS, every address judged ──▶ host
//!         ◀──────────────── bytes (TLS is the runtime's own), counted and limited ──────────────▶
//! ```
//!
//! Three things are asked of every connection, in this order: who are you ([`key`], and the user at the other end of the
//! socket), may you ([`limits`]), and is that a place of the public Internet ([`target`], [`rules`]). Each no has a word
//! ([`refusal`]). What passes is never looked at or kept: the log has the host's name, the port, how it ended and how much it was.

mod connection;
mod head;
mod key;
mod limits;
mod lobby;
mod pass;
mod refusal;
mod rules;
mod target;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bundle::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use key::{KEY, Key};
pub use limits::Options as Limits;
pub use rules::Options as RuleOptions;

use crate::{
    config::Common,
    dns,
    dns::Dns,
    ledger::{Books, Ledger},
    privileges, sockets,
};
use limits::Tenants;
use lobby::Lobby;
use rules::Rules;

/// How long connections may go on after the role was asked to end.
const DRAIN: Duration = Duration::from_secs(5);
/// Lines a minute about what a user can bring about as often as they like.
const LINES: u32 = 10;

/// Options of `percloud egress`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What all roles are told.
    #[command(flatten)]
    pub common: Common,
    /// Where perclouds may connect to.
    #[command(flatten)]
    pub rules: RuleOptions,
    /// What each of them may use.
    #[command(flatten)]
    pub limits: Limits,
    /// How names are looked up.
    #[command(flatten)]
    pub dns: dns::Options,
    /// The key that the host signs perclouds' tokens with, in hexadecimal; from the data folder unless given.
    #[arg(long, env = KEY, hide = true, hide_env_values = true, value_name = "HEX")]
    pub key: Option<String>,
}

/// The role.
pub struct Egress {
    key: Key,
    rules: Rules,
    tenants: Tenants,
    dns: Dns,
    lobby: Arc<Lobby>,
    lines: DefaultKeyedRateLimiter<u32>,
    /// Started as root and given up: then every percloud has a user of its own, and nobody else is heard.
    root: bool,
}

impl Egress {
    /// Ready to serve; what perclouds use goes into `ledger`.
    ///
    /// # Errors
    /// When there is no key.
    pub fn new(options: &Options, clock: Clock, ledger: Arc<Ledger>) -> anyhow::Result<Self> {
        let key = match &options.key {
            Some(text) => Key::parse(text)?,
            None => Key::open(&options.common.paths().egress_key())?
                .context("there is no egress key (percloud up makes it)")?,
        };
        Ok(Self {
            key,
            rules: Rules::new(&options.rules, [options.common.port, options.common.public_port()]),
            tenants: Tenants::new(options.limits.clone(), limits::places(descriptors()), clock, ledger),
            dns: Dns::new(&options.dns),
            lobby: Lobby::new(options.limits.per_minute),
            lines: RateLimiter::keyed(Quota::per_minute(LINES.try_into()?)),
            root: rustix::process::geteuid().as_raw() == privileges::EGRESS,
        })
    }

    /// Serves until `stop`, then lets connections end for a while.
    pub async fn serve(self: Arc<Self>, listener: UnixListener, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((stream, _)) => drop(tasks.spawn(self.clone().connection(stream))),
                Err(error) => {
                    // Out of descriptors, most likely: others must end before it makes sense to go on.
                    tracing::error!(%error, "the egress socket");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        tasks.close();
        let _ = tokio::time::timeout(DRAIN, tasks.wait()).await;
    }
}

/// Runs the role until SIGTERM.
///
/// # Errors
/// When there is no key, or no socket can be made.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    more_descriptors();
    let ledger = Arc::new(Ledger::new(Clock::system()));
    let egress = Arc::new(Egress::new(&options, Clock::system(), ledger.clone())?);
    let keeping = match &options.common.database_url {
        Some(url) => Some(Books::new(ledger, url)?.keep()),
        None => {
            tracing::warn!("no database is named: what perclouds use of the way out is in the metrics only, as a sum");
            None
        }
    };
    let socket = options.common.paths().egress_socket();
    let listener = listen(&socket, egress.root || rustix::process::geteuid().is_root())?;
    tracing::info!(socket = %socket.display(), "the way out is open");
    let stop = CancellationToken::new();
    let serving = tokio::spawn(egress.serve(listener, stop.clone()));
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    stop.cancel();
    serving.await?;
    if let Some(keeping) = keeping {
        keeping.end().await;
    }
    Ok(())
}

/// Makes the socket. Where perclouds have users of their own it is open to all: who they are is asked at each connection.
fn listen(path: &Path, open: bool) -> anyhow::Result<UnixListener> {
    Ok(UnixListener::from_std(sockets::listen(path, if open { 0o666 } else { 0o600 }, None)?)?)
}

/// How many descriptors there may be.
fn descriptors() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Two for each connection.
fn more_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    // It does with fewer, and then says so at the first connection too many.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
}
