//! Healthy means: a browser would see the portal.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Options;
use crate::config::{Common, Paths};

/// Refuses early, with words, when something else has the port.
pub(super) fn port_is_free(options: &Options) -> anyhow::Result<()> {
    let port = options.common.port;
    match TcpListener::bind(address(options)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!("port {port} is in use by another program: choose another with --port")
        }
        Err(error) => Err(error).with_context(|| format!("port {port} cannot be used")),
    }
}

fn address(options: &Options) -> SocketAddr {
    let ip = options.listen.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    SocketAddr::new(ip, options.common.port)
}

/// Waits until the portal answers 200 over TLS at its own name.
///
/// # Errors
/// When it has not within `patience`; why not, is in the error.
pub(super) async fn wait(options: &Options, paths: &Paths, patience: Duration) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let attempt =
            tokio::time::timeout(Duration::from_secs(5), portal_answers(address(options), &options.common, paths));
        let error = match attempt.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => anyhow::anyhow!("no answer within 5 seconds"),
        };
        if tokio::time::Instant::now() >= deadline {
            return Err(error)
                .with_context(|| format!("the portal does not answer; logs are in {}", paths.logs().display()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks for the portal's first page through the edge, trusting the local CA only.
///
/// # Errors
/// When there is no connection, no valid certificate, or another answer than 200.
pub(crate) async fn portal_answers(address: SocketAddr, common: &Common, paths: &Paths) -> anyhow::Result<()> {
    let mut roots = rustls::RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(paths.ca_pem())? {
        roots.add(root?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(common.base_domain.to_string())?;
    let tcp = TcpStream::connect(address).await?;
    let mut tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    let host = &common.base_domain;
    let port = common.port;
    tls.write_all(format!("GET / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = [0; 12];
    tls.read_exact(&mut answer).await?;
    if &answer != b"HTTP/1.1 200" {
        bail!("the portal answered {}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}
