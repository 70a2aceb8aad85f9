//! The front door: TLS, and each name to its percloud.
//!
//! ```text
//!            ┌ worker (one thread a core: listener, runtime, pool of its own) ─────────────────────┐
//!  browser ──┤ listen ─▶ connection ─▶ request ─▶ proxy ─▶ headers ─▶ upstream ─────────────────── ├─▶ percloud's socket
//!            │ who gets   TLS by SNI,   one host,  routes:   what we    kept connections;          │   (the host starts it
//!            │ in         h1 or h2      one length where to   vouch for  retried when that is safe  │    on the first one)
//!            └──────────────────────────────┬──────────────────────────────────────────────────────┘
//!                         answers, pages: what the edge says itself        meter: one event a request
//! ```
//! **The life of a request.** A worker accepts the connection ([`listen`]), looks whether it speaks TLS at all ([`plain`] if not) and
//! shakes hands with the certificate for the name ([`connection`]). Each request's head is checked ([`request`]): one host, one
//! length, a host that the certificate stands for. The host's route ([`routes`], kept true by [`watch`]) leads to a socket or to
//! an answer of our own ([`way`], [`answers`]). Headers that a client must not set are dropped, ours put in ([`headers`]); then
//! request and answer pass piece by piece ([`body`]), as a WebSocket if both want ([`tunnel`]).
//!
//! **What the edge may know.** It reads two relations of the database and opens sealed certificate keys; it can write nothing but
//! add to what perclouds have used ([`crate::ledger`]).
//! When Postgres is away it goes on with what it knew last.

mod access;
mod ahead;
mod answers;
mod batch;
mod body;
mod certificates;
mod challenge;
mod company;
mod connection;
mod desk;
mod ending;
mod forwarded;
mod h2;
pub(crate) mod handover;
mod headers;
mod ids;
mod limits;
mod line;
mod listen;
mod meter;
mod pace;
mod pages;
mod passing;
mod patience;
mod plain;
mod proxy;
mod request;
pub mod routes;
mod seat;
mod slots;
pub mod sql;
mod stall;
mod tunnel;
mod turns;
mod upstream;
mod watch;
mod way;
mod websocket;
mod worker;

#[cfg(test)]
mod tests;

use std::hash::RandomState;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use anyhow::Context;
use bundle::Clock;
use ending::Ending;
pub use forwarded::Network;
use handover::Predecessor;
use http::HeaderValue;
use routes::Routes;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{Common, SealOptions};
use crate::ledger::{Books, Ledger};

/// Requests that one percloud may have in a second, unless the operator says otherwise: three hundredths of a core's work here, and more
/// than one person's devices and visitors ask for.
const REQUESTS_PER_SECOND: u32 = 1000;

/// Options of `percloud edge`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What all roles are told.
    #[command(flatten)]
    pub common: Common,
    /// Where the sealing keys are.
    #[command(flatten)]
    pub seal: SealOptions,
    /// Certificates kept in memory ready to be shown, 4 KiB each.
    #[arg(long, env = "PERCLOUD_CERTIFICATES_IN_MEMORY", default_value_t = 4000, value_name = "N")]
    pub certificates_in_memory: usize,
    /// Memory in MiB for the others, about 400 bytes each, with their keys sealed; what has no room is read from the database when somebody asks for it.
    #[arg(long, env = "PERCLOUD_CERTIFICATES_SEALED_MIB", default_value_t = 64, value_name = "MIB")]
    pub certificates_sealed_mib: usize,
    /// An address to listen on, may be repeated. Without it: this machine only below `.localhost`, else all addresses.
    #[arg(long, value_name = "IP")]
    pub listen: Vec<IpAddr>,
    /// A port for plain HTTP that sends everybody to HTTPS, usually 80.
    #[arg(long, env = "PERCLOUD_HTTP_PORT", value_name = "N")]
    pub http_port: Option<u16>,
    /// Threads; as many as the machine has processors when not given.
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// A network of load balancers that speak PROXY protocol 2 and must, as in `10.0.0.0/8`; may be repeated.
    #[arg(long, value_name = "FROM_NETWORK")]
    pub proxy_protocol: Vec<Network>,
    /// Requests that one percloud may have in a second, in the long run; twice as many may come at once.
    #[arg(long, default_value_t = REQUESTS_PER_SECOND, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub requests_per_second: u32,
    /// Where else all names are served, as in `h3=":443"; ma=3600` (RFC 7838): said with every answer, for a front door of yours that speaks HTTP/3.
    #[arg(long, value_name = "ALT_SVC")]
    pub alt_svc: Option<HeaderValue>,
    /// Take the place of the edge that listens on this port for this data folder, if there is one, without losing a request.
    #[arg(long)]
    pub take_over: bool,
}

/// Runs the edge until it is asked to end (SIGTERM, SIGINT) or another one has taken its place; then requests in flight may end.
///
/// # Errors
/// When an address cannot be had, or keys or settings cannot be read. A database that is away is no error.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let common = &options.common;
    let workers =
        options.workers.map_or_else(|| std::thread::available_parallelism().map_or(2, usize::from), |n| n.max(1));
    let url = common.database_url.as_deref().context("the edge needs --database-url (percloud up sets it)")?;
    let rooms = Rooms { certificates: options.certificates_in_memory, sealed: options.certificates_sealed_mib << 20 };
    let pace = pace::Pace::new(options.requests_per_second);
    let standing = headers::Standing::new(options.alt_svc.clone());
    let edge = Edge::new(common, workers, options.proxy_protocol.clone(), standing, rooms, pace)?;
    let source = certificates::Source::new(url, options.seal.open(&common.paths())?)?;
    let keeping = Books::new(edge.ledger.clone(), url)?.keep();
    let ending = Ending::new();
    // Whoever drops this future ends the workers, too.
    let _ended = (ending.asked.clone().drop_guard(), ending.over.clone().drop_guard());
    let mut watch = std::pin::pin!(watch::Watch::new(edge.clone(), source).run(url, ending.over.clone()));
    let mut asked = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let line = handover::socket(&common.paths().handover(), common.port);
    let turn = if options.take_over {
        match meanwhile(handover::turn(&line), watch.as_mut(), &mut asked).await? {
            Some(turn) => Some(turn.with_context(|| format!("no turn at {}", line.display()))?),
            None => return Ok(()),
        }
    } else {
        None
    };
    let mut before = if options.take_over { Predecessor::find(&line)? } else { None };
    let addresses = |port| listen::addresses(&options.listen, &edge.base_domain, port);
    let https = listen::open(&addresses(common.port), workers, before.as_mut())?;
    let http = options.http_port.map(|port| listen::open(&addresses(port), workers, before.as_mut()));
    let http = http.transpose()?.unwrap_or_default();
    descriptors();
    if before.is_some() {
        // The one before us serves until we know what it knows. Who never does makes room for the next.
        let informed = tokio::time::timeout(INFORMED, edge.informed.cancelled());
        match meanwhile(informed, watch.as_mut(), &mut asked).await? {
            Some(informed) => informed.context("what there is cannot be read; the edge before this one serves on")?,
            None => return Ok(()),
        }
    }
    let copies = https.iter().chain(&http).flatten().map(std::net::TcpListener::try_clone).collect::<Result<_, _>>()?;
    let threads = start(&edge, https, http, &ending)?;
    let offered = handover::offer(&line, copies, ending.leaving.clone());
    let taken_over = before.is_some();
    if let Some(before) = before {
        before.relieve();
    }
    match handover::announce(&line).map_err(Into::into).and(offered) {
        Ok(offered) => {
            let asked = ending.asked.clone();
            // Who starts anew while this one still drains shall find the port free.
            tokio::spawn(async move {
                asked.cancelled().await;
                offered.withdraw()
            });
        }
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "another edge will not be able to take over from this one")
        }
    }
    drop(turn);
    // Said once the next one can find it.
    tracing::info!(workers, port = common.port, taken_over, "the edge listens");
    let served = wait_out(threads, &ending, asked, watch).await;
    edge.log.flush();
    // Another edge that has taken over writes what it counts itself.
    keeping.end().await;
    served
}

/// How long one that takes another's place may take to learn what there is.
const INFORMED: std::time::Duration = std::time::Duration::from_secs(600);

/// Waits for something before there is anybody to serve; none when the edge is asked to end meanwhile.
async fn meanwhile<T>(
    what: impl Future<Output = T>,
    watch: std::pin::Pin<&mut impl Future<Output = anyhow::Result<()>>>,
    asked: &mut (Signal, Signal),
) -> anyhow::Result<Option<T>> {
    tokio::select! {
        done = what => Ok(Some(done)),
        ended = watch => ended.map(|()| None),
        _ = asked.0.recv() => Ok(None),
        _ = asked.1.recv() => Ok(None),
    }
}

/// Waits for the end, and through it.
async fn wait_out(
    threads: Threads,
    ending: &Ending,
    mut asked: (Signal, Signal),
    mut watch: std::pin::Pin<&mut impl Future<Output = anyhow::Result<()>>>,
) -> anyhow::Result<()> {
    // Should this work be dropped, the workers end with it; and no thread of the runtime's waits, or it could not be dropped.
    let _dropped = (ending.asked.clone().drop_guard(), ending.over.clone().drop_guard());
    let (ended, mut joined) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("edge-end".to_owned()).spawn(move || {
        let join = |thread: Thread| thread.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?;
        // Nobody listens any more where the work was dropped.
        let _ = ended.send(threads.into_iter().try_for_each(join));
    })?;
    let mut until = None;
    loop {
        let over = async { tokio::time::sleep_until(until.unwrap_or_else(Instant::now)).await };
        tokio::select! {
            joined = &mut joined => return joined?,
            _ = asked.0.recv() => ending.asked.cancel(),
            _ = asked.1.recv() => ending.asked.cancel(),
            () = ending.leaving.cancelled(), if until.is_none() => {}
            () = over, if until.is_some() && !ending.over.is_cancelled() => ending.over.cancel(),
            ended = watch.as_mut(), if !ending.over.is_cancelled() => ended?,
        }
        let moment = Instant::now() + limits::DRAIN;
        if ending.asked.is_cancelled() && until.is_none_or(|until| until > moment) {
            tracing::info!("the edge ends; requests in flight have a moment");
            until = Some(moment);
        } else if ending.leaving.is_cancelled() && until.is_none() {
            tracing::info!("another edge has taken over; requests in flight have their time");
            until = Some(Instant::now() + limits::LEAVING);
        }
    }
}

type Thread = std::thread::JoinHandle<anyhow::Result<()>>;
type Threads = Vec<Thread>;

fn start(
    edge: &Arc<Edge>,
    https: Vec<Vec<std::net::TcpListener>>,
    http: Vec<Vec<std::net::TcpListener>>,
    ending: &Ending,
) -> anyhow::Result<Threads> {
    let mut http = http.into_iter();
    let doors = https.into_iter().map(|https| worker::Doors { https, http: http.next().unwrap_or_default() });
    doors.enumerate().map(|(number, doors)| worker::start(number, edge.clone(), doors, ending.clone())).collect()
}

/// Each visitor takes one or two descriptors: take all that the machine gives.
fn descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if setrlimit(Resource::Nofile, limit).is_err() {
        tracing::warn!("the limit on open files cannot be raised");
    }
}

/// How much memory certificates may take: so many that are ready, so many bytes of others.
#[derive(Clone, Copy)]
struct Rooms {
    certificates: usize,
    sealed: usize,
}

/// What all workers share.
pub(crate) struct Edge {
    base_domain: String,
    /// The port in our addresses, which need not be the one that is listened on.
    public_port: u16,
    portal: Arc<Path>,
    /// The portal's requests.
    portal_slots: Arc<slots::Slots>,
    /// Connections to perclouds that are kept for the next request.
    kept: Arc<slots::Kept>,
    /// Bytes of requests' bodies that were read and not passed on yet, over HTTP/2.
    unread: Arc<AtomicUsize>,
    /// Tells addresses apart.
    addresses: RandomState,
    routes: Routes,
    certificates: certificates::Certificates,
    challenges: challenge::Challenges,
    pages: pages::Pages,
    meter: Arc<meter::Meter>,
    log: Arc<access::Log>,
    /// What perclouds use of us.
    ledger: Arc<Ledger>,
    workers: usize,
    /// How fast one percloud's requests may come.
    pace: pace::Pace,
    began: Instant,
    /// Whom a crowd could keep waiting.
    company: Arc<company::Company>,
    /// Who may say where a connection comes from.
    balancers: Vec<Network>,
    standing: headers::Standing,
    /// Cancelled once routes and certificates have been read.
    informed: CancellationToken,
    /// Spans go somewhere, so each request gets one.
    traced: bool,
}

impl Edge {
    fn new(
        common: &Common,
        workers: usize,
        balancers: Vec<Network>,
        standing: headers::Standing,
        rooms: Rooms,
        pace: pace::Pace,
    ) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            base_domain: common.base_domain.to_string(),
            public_port: common.public_port(),
            portal: common.paths().web_socket().into(),
            portal_slots: Arc::default(),
            kept: Arc::default(),
            unread: Arc::default(),
            addresses: RandomState::new(),
            routes: Routes::default(),
            certificates: certificates::Certificates::new(
                common.base_domain.as_str(),
                rooms.certificates,
                rooms.sealed,
            )?,
            challenges: challenge::Challenges::default(),
            pages: pages::Pages::new(&common.provider_name, &common.portal_origin()),
            meter: Arc::new(meter::Meter::new()),
            log: Arc::new(access::Log::start()?),
            ledger: Arc::new(Ledger::new(Clock::system())),
            workers,
            pace,
            began: Instant::now(),
            company: Arc::new(company::Company::new(Instant::now())),
            balancers,
            standing,
            informed: CancellationToken::new(),
            traced: std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_some(),
        }))
    }

    /// Requests that the portal may have at the same time.
    fn portal_busy_max(&self) -> usize {
        limits::BUSY_PORTAL * self.workers.max(1)
    }

    /// Whether the certificate that the client was shown stands for `host` too. Browsers use one connection for several names
    /// of one certificate; a name of another certificate on it is a mistake or a trick.
    fn same_certificate(&self, sni: Option<&str>, host: &str) -> bool {
        sni == Some(host) || self.certificates.same(sni, host)
    }
}
