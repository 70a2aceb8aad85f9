//! At home: TLS straight to browsers, with a certificate authority of one's own or a public one's certificate ([`acme`]).

pub mod acme;
mod certificates;
mod challenges;
mod plain;
mod timetable;
mod tls;
mod words;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use bundle::{Clock, Domain, TenantId, TenantSpec};
use tokio::net::TcpListener;

use self::{acme::Public, certificates::Certificates, challenges::Challenges, tls::Tls};
use super::{End, connections::Accept};
use crate::{
    auth,
    runtime::{Place, Runtime},
    store,
};

/// What the command line says.
#[derive(Debug)]
pub struct Options {
    /// The folder of data.
    pub data: PathBuf,
    /// The name that browsers know it by.
    pub domain: Domain,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// Where to listen; empty: this machine only, or everywhere when a public certificate is wanted.
    pub listen: Vec<IpAddr>,
    /// Where a public certificate comes from, when one is wanted.
    pub acme: Option<acme::Options>,
}

/// Serves until told to stop.
///
/// # Errors
/// When the folder or the port cannot be used.
pub fn run(options: Options) -> anyhow::Result<()> {
    // At home nobody reads a log of requests; what goes wrong is still said.
    let quiet = tracing_subscriber::fmt().compact().with_max_level(tracing::Level::WARN);
    quiet.with_writer(std::io::stderr).with_target(false).init();
    ::tls::files::private_folder(&options.data)?;
    let _lock = super::lock::take(&options.data, Duration::ZERO)?;
    super::run(serve(options))
}

async fn serve(mut options: Options) -> anyhow::Result<()> {
    let clock = Clock::system();
    let public = options.acme.take();
    let sockets = bind(&options, public.is_some()).await?;
    let port = sockets.first().context("no address to listen on")?.local_addr()?.port();
    let token = data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 32]>()).to_lowercase();
    let spec = Identity::keep(&options.data, &options.domain, port)?.spec(&options.data, Some(&token));
    let rt = Runtime::open(&options.data, spec, Place::Home, clock.clone())?;
    let certificates = Certificates::open(&options.data, &options.domain, clock.clone())?;
    let public = match public {
        Some(public) => Some(go_public(public, &options, &certificates, &rt.spec().origin(), clock).await?),
        None => None,
    };
    let config = Arc::new(::tls::server_config(certificates.resolver.clone(), &["h2", "http/1.1"])?);
    let challenges = public.as_ref().map(Public::challenges);
    let listener = |socket| -> Box<dyn Accept> {
        Box::new(Tls { socket, config: config.clone(), challenges: challenges.clone() })
    };
    let listeners = sockets.into_iter().map(listener).collect();
    greet(&rt, &certificates, public.as_ref(), &token).await?;
    let renewing = tokio::spawn(async move {
        match public {
            Some(public) => public.forever(|| certificates.renew_or_say()).await,
            None => certificates.renew_forever().await,
        }
    });
    let end = super::until_the_end(&rt, listeners, None).await?;
    renewing.abort();
    if end == End::Deleted {
        wipe(&options.data)?;
        println!(
            "This percloud was deleted, as its owner asked 30 days ago. {} holds none of its data any more.",
            options.data.display()
        );
    }
    Ok(())
}

/// Listens on the plain port, as far as that can be, and takes up what is kept of the public certificate.
async fn go_public(
    public: acme::Options,
    options: &Options,
    certificates: &Certificates,
    origin: &str,
    clock: Clock,
) -> anyhow::Result<Public> {
    let (mut plain, mut failed) = (Vec::new(), None);
    for address in addresses(options, true) {
        match TcpListener::bind(SocketAddr::new(address, public.http_port)).await {
            Ok(listener) => plain.push(listener),
            Err(error) => failed = Some(error),
        }
    }
    if let (true, Some(error)) = (plain.is_empty(), &failed) {
        println!("{}", words::no_plain_port(public.http_port, error));
    }
    let challenges = Arc::new(Challenges::new(!plain.is_empty()));
    for listener in plain {
        tokio::spawn(plain::serve(listener, challenges.clone(), origin.to_owned()));
    }
    let shown = (certificates.resolver.clone(), challenges);
    Public::open(public, &options.data, &options.domain, shown, clock)
}

/// Where to listen when the command line does not say: a public certificate is for a public name. There the IPv6 socket
/// comes first: it takes IPv4 too, and where there is no IPv6, the other one does.
fn addresses(options: &Options, public: bool) -> Vec<IpAddr> {
    match (options.listen.as_slice(), public) {
        ([], true) => vec![Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()],
        ([], false) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        (given, _) => given.to_vec(),
    }
}

/// Binds every address to the same port.
async fn bind(options: &Options, public: bool) -> anyhow::Result<Vec<TcpListener>> {
    let (mut sockets, mut port) = (Vec::new(), options.port);
    for address in addresses(options, public) {
        let at = SocketAddr::new(address, port);
        match TcpListener::bind(at).await {
            Ok(socket) => {
                port = socket.local_addr()?.port();
                sockets.push(socket);
            }
            // A machine without IPv6 is no reason not to serve; nor is a socket that serves both.
            Err(_) if options.listen.is_empty() && (address.is_ipv6() || !sockets.is_empty()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                anyhow::bail!("port {port} is taken by another program; choose another one with --port")
            }
            Err(error) => return Err(error).with_context(|| format!("cannot listen on {at}")),
        }
    }
    Ok(sockets)
}

/// At home the disk is the limit.
fn disk(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(u64::MAX, |disk| disk.f_blocks.saturating_mul(disk.f_frsize))
}

/// What a folder keeps of the percloud that is served from it.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Identity {
    id: TenantId,
    domain: Domain,
    port: u16,
}

/// The file's name.
const IDENTITY: &str = "home.json";

impl Identity {
    fn read(folder: &Path) -> anyhow::Result<Option<Self>> {
        let path = folder.join(IDENTITY);
        match std::fs::read(&path) {
            Ok(json) => {
                Ok(Some(serde_json::from_slice(&json).with_context(|| format!("{} is damaged", path.display()))?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// The folder's id stays for good; name and port are those of the last time.
    fn keep(folder: &Path, domain: &Domain, port: u16) -> anyhow::Result<Self> {
        let id = Self::read(folder)?.map_or_else(TenantId::random, |known| known.id);
        let this = Self { id, domain: domain.clone(), port };
        ::tls::files::write(&folder.join(IDENTITY), &serde_json::to_vec(&this)?, 0o600)?;
        Ok(this)
    }

    fn spec(self, folder: &Path, token: Option<&str>) -> TenantSpec {
        TenantSpec {
            id: self.id,
            domain: self.domain,
            also: Vec::new(),
            port: self.port,
            quota_bytes: disk(folder),
            language: "en".into(),
            setup_sha256: token.map(auth::setup_hash),
            suspended: None,
            provider: None,
        }
    }
}

/// Opens a folder of data that nobody serves just now, for work from the command line. The file is the folder's lock.
///
/// # Errors
/// When there is no percloud in it, somebody serves it, or nobody knows its name.
pub fn open(data: &Path, domain: Option<&Domain>) -> anyhow::Result<(Runtime, std::fs::File)> {
    anyhow::ensure!(data.join(store::FILE).exists(), "there is no percloud in {}", data.display());
    let lock = super::lock::take(data, Duration::ZERO)?;
    let identity = match (domain, Identity::read(data)?) {
        (None, None) => anyhow::bail!("nobody has served this percloud from here yet; say its name with --domain"),
        (None, Some(known)) => known,
        (Some(domain), known) => {
            let (id, port) = known.map_or_else(|| (TenantId::random(), 443), |known| (known.id, known.port));
            Identity { id, domain: domain.clone(), port }
        }
    };
    Ok((Runtime::open(data, identity.spec(data, None), Place::Home, Clock::system())?, lock))
}

/// Says where it is, how to trust it, and how to set it up.
async fn greet(rt: &Runtime, certificates: &Certificates, public: Option<&Public>, token: &str) -> anyhow::Result<()> {
    let (origin, domain) = (rt.spec().origin(), &rt.spec().domain);
    println!("Your percloud is at {origin}/\n");
    match public.map(|public| (public.authority(), public.good_until())) {
        None => println!("{}", words::own_root(&certificates.root, domain)),
        Some((authority, Some(until))) => println!("{}\n", words::got(domain, &authority, until)),
        Some((authority, None)) => println!("{}\n", words::waiting(domain, &authority)),
    }
    if rt.store().read(auth::owner).await?.is_none() {
        println!("It has no password yet. Set it up with this link, which works once:\n  {origin}/setup/{token}\n");
    }
    println!("Stop it with Ctrl-C.");
    Ok(())
}

/// Removes what belonged to the owner; the identity and the local authority's key go too.
fn wipe(folder: &Path) -> anyhow::Result<()> {
    for name in ["blobs", "keys", "uploads"] {
        match std::fs::remove_dir_all(folder.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let database = ["", "-wal", "-shm"].map(|part| format!("{}{part}", store::FILE));
    let others = ["import-report.json", IDENTITY, "ca.pem", "status.json", "lock"];
    for name in database.iter().map(String::as_str).chain(others) {
        match std::fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
