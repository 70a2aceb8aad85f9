//! A visitor who comes for the first time: a new connection, a full handshake, one request.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::provider::{BASE, Provider};

/// Whoever waits longer goes away.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a visit took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit {
    /// From the beginning of the connection to the answer's first byte.
    pub(crate) whole: Duration,
    /// From the request to that: without TCP and TLS.
    pub(crate) answer: Duration,
}

/// Comes through the edge, and trusts the provider's CA only.
pub(crate) struct Visitor {
    connector: TlsConnector,
    at: SocketAddr,
    port: u16,
}

impl Visitor {
    /// One for this provider.
    ///
    /// # Errors
    /// When the CA's root cannot be read.
    pub(crate) fn new(provider: &Provider) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(provider.folder().join("ca.pem"))?)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, provider.port()));
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), at, port: provider.port() })
    }

    /// The front page of the percloud with this name.
    ///
    /// # Errors
    /// When the answer is no 200, or does not come in time.
    pub(crate) async fn visit(&self, name: &str) -> anyhow::Result<Visit> {
        let visit = async {
            let start = Instant::now();
            let stream = TcpStream::connect(self.at).await?;
            stream.set_nodelay(true)?;
            let domain = format!("{name}.{}", BASE);
            let mut stream = self.connector.connect(ServerName::try_from(domain)?, stream).await?;
            let shaken = start.elapsed();
            let answer = first_byte(&mut stream, &self.host(name), "/").await?;
            anyhow::Ok(Visit { whole: shaken + answer, answer })
        };
        timeout(PATIENCE, visit).await.context("no answer in time")?.with_context(|| format!("a visit to {name}"))
    }

    /// What a browser sends as `Host`.
    pub(crate) fn host(&self, name: &str) -> String {
        format!("{name}.{BASE}:{}", self.port)
    }
}

/// A page behind a percloud's own socket, without the edge: from the connection to the first byte.
///
/// # Errors
/// When the answer is no 200, or does not come in time.
pub(crate) async fn knock(socket: &Path, host: &str, path: &str) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let mut stream = UnixStream::connect(socket).await?;
    timeout(PATIENCE, first_byte(&mut stream, host, path)).await.context("no answer in time")??;
    Ok(start.elapsed())
}

/// Asks, and reads the answer whole; how long its first byte took.
///
/// # Errors
/// When the answer is no 200.
pub(crate) async fn first_byte<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    host: &str,
    path: &str,
) -> anyhow::Result<Duration> {
    let start = Instant::now();
    // What a browser says of a page that somebody opens: whoever does not say it is a program, and keeps nobody awake.
    let browser = "accept: text/html\r\nsec-fetch-mode: navigate";
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{browser}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::with_capacity(16 << 10);
    stream.read_buf(&mut answer).await?;
    let took = start.elapsed();
    stream.read_to_end(&mut answer).await?;
    let head = String::from_utf8_lossy(&answer[..answer.len().min(60)]).into_owned();
    ensure!(head.starts_with("HTTP/1.1 200 "), "not a page: {head:?}");
    Ok(took)
}
