//! At home: TLS with a certificate authority of one's own, straight to browsers.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use bundle::{Clock, Domain, TenantId, TenantSpec};
use chrono::TimeDelta;
use futures_util::{FutureExt, future::BoxFuture};
use tls::{Certified, LocalCa, Resolver};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{
    End,
    connections::{Accept, Connection, Version},
};
use crate::{
    auth,
    runtime::{Place, Runtime},
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
    /// Where to listen; empty: this machine only.
    pub listen: Vec<IpAddr>,
}

/// How long a certificate lasts, and how long before its end the next one is made.
const CERTIFICATE_DAYS: u16 = 90;
const RENEW_BEFORE: TimeDelta = TimeDelta::days(30);
/// How long a browser may take over the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves until told to stop.
///
/// # Errors
/// When the folder or the port cannot be used.
pub fn run(options: &Options) -> anyhow::Result<()> {
    // At home nobody reads a log of requests; what goes wrong is still said.
    let quiet = tracing_subscriber::fmt().compact().with_max_level(tracing::Level::WARN);
    quiet.with_writer(std::io::stderr).with_target(false).init();
    tls::files::private_folder(&options.data)?;
    let _lock = super::lock::take(&options.data, Duration::ZERO)?;
    crate::cli::executor()?.block_on(serve(options))
}

async fn serve(options: &Options) -> anyhow::Result<()> {
    let clock = Clock::system();
    let sockets = bind(options).await?;
    let port = sockets.first().context("no address to listen on")?.local_addr()?.port();
    let token = data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 32]>()).to_lowercase();
    let spec = Identity::keep(&options.data, &options.domain, port)?.spec(&options.data, Some(&token));
    let rt = Runtime::open(&options.data, spec, Place::Home, clock.clone())?;
    let certificates = Certificates::open(options, clock)?;
    let acceptor = TlsAcceptor::from(Arc::new(tls::server_config(certificates.resolver.clone(), &["h2", "http/1.1"])?));
    let listener = |socket| -> Box<dyn Accept> { Box::new(Tls { socket, acceptor: acceptor.clone() }) };
    let listeners = sockets.into_iter().map(listener).collect();
    greet(&rt, &certificates, &token).await?;
    let renewing = tokio::spawn(certificates.renew_forever());
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

/// Binds every address to the same port.
async fn bind(options: &Options) -> anyhow::Result<Vec<TcpListener>> {
    let local: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let addresses = if options.listen.is_empty() { &local[..] } else { &options.listen };
    let (mut sockets, mut port) = (Vec::new(), options.port);
    for address in addresses {
        let at = SocketAddr::new(*address, port);
        match TcpListener::bind(at).await {
            Ok(socket) => {
                port = socket.local_addr()?.port();
                sockets.push(socket);
            }
            // A machine without IPv6 is no reason not to serve.
            Err(_) if options.listen.is_empty() && address.is_ipv6() && !sockets.is_empty() => {}
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
        tls::files::write(&folder.join(IDENTITY), &serde_json::to_vec(&this)?, 0o600)?;
        Ok(this)
    }

    fn spec(self, folder: &Path, token: Option<&str>) -> TenantSpec {
        TenantSpec {
            id: self.id,
            domain: self.domain,
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
    anyhow::ensure!(data.join("percloud.db").exists(), "there is no percloud in {}", data.display());
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
async fn greet(rt: &Runtime, certificates: &Certificates, token: &str) -> anyhow::Result<()> {
    let origin = rt.spec().origin();
    println!("Your percloud is at {origin}/\n");
    println!("Its certificate is signed by a root of its own: {}", certificates.root.display());
    println!("Trust that file once, and browsers show no warning:");
    println!(
        "  Debian, Ubuntu   sudo cp {} /usr/local/share/ca-certificates/percloud.crt && sudo update-ca-certificates",
        certificates.root.display()
    );
    println!("  Firefox          Settings > Privacy & Security > View Certificates > Authorities > Import");
    println!("  macOS, Windows   open the file and choose to trust it");
    println!("  Android, iPhone  send the file to the phone, open it, then allow it in the security settings");
    println!("(It can vouch for {} only, and its key never leaves this folder.)\n", rt.spec().domain);
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
    for name in [
        "percloud.db",
        "percloud.db-wal",
        "percloud.db-shm",
        "import-report.json",
        IDENTITY,
        "ca.pem",
        "status.json",
        "lock",
    ] {
        match std::fs::remove_file(folder.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// The local authority and the certificate that it made last.
struct Certificates {
    ca: LocalCa,
    root: PathBuf,
    domain: Domain,
    resolver: Arc<Resolver>,
    clock: Clock,
}

impl Certificates {
    fn open(options: &Options, clock: Clock) -> anyhow::Result<Self> {
        let domain = options.domain.clone();
        let name = format!("percloud at home ({domain})");
        let ca = LocalCa::open_or_create(&options.data.join("keys"), &name, &[domain.as_str()], clock.now())?;
        let root = options.data.join("ca.pem");
        ca.write_root(&root)?;
        let root = std::path::absolute(&root)?;
        let this = Self { ca, root, domain, resolver: Arc::default(), clock };
        this.renew()?;
        Ok(this)
    }

    fn renew(&self) -> anyhow::Result<chrono::DateTime<chrono::Utc>> {
        let issued = self.ca.issue(&[self.domain.as_str()], CERTIFICATE_DAYS, self.clock.now())?;
        let certified = Certified::new(&issued.chain_pem, issued.key_der.into())?;
        self.resolver.replace([&certified], Some(self.domain.as_str()));
        Ok(certified.not_after())
    }

    async fn renew_forever(self) {
        loop {
            let name = self.resolver.find(self.domain.as_str());
            let end = name.and_then(|_| self.renew().ok()).unwrap_or_else(|| self.clock.now() + TimeDelta::hours(1));
            let pause = (end - RENEW_BEFORE - self.clock.now()).to_std().unwrap_or_default();
            tokio::time::sleep(pause.max(Duration::from_secs(3600))).await;
        }
    }
}

/// Browsers' connections.
struct Tls {
    socket: TcpListener,
    acceptor: TlsAcceptor,
}

impl Accept for Tls {
    fn accept(&mut self) -> BoxFuture<'_, std::io::Result<BoxFuture<'static, Option<Connection>>>> {
        async {
            let (stream, peer) = self.socket.accept().await?;
            let acceptor = self.acceptor.clone();
            Ok(async move {
                stream.set_nodelay(true).ok()?;
                let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await.ok()?.ok()?;
                let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let version = if two { Version::Two } else { Version::One };
                Some(Connection { stream: Box::new(stream), client: Some(peer.ip().to_canonical()), version })
            }
            .boxed())
        }
        .boxed()
    }
}
