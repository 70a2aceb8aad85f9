//! A client that does nothing but full TLS 1.3 handshakes, several at a time, for a while.
//!
//! It checks no signatures: what is measured is the server, and both share a machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

/// How, with whom, how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    at: SocketAddr,
    /// The name to ask for; `%` stands for a number below `--numbers`.
    name: String,
    #[arg(long, default_value_t = 1)]
    numbers: usize,
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    #[arg(long, default_value_t = 16)]
    at_once: usize,
}

/// Shakes hands and says how often.
///
/// # Errors
/// When a handshake fails.
pub(crate) async fn run(options: &Options) -> anyhow::Result<serde_json::Value> {
    let connector = TlsConnector::from(Arc::new(config()?));
    let _awake = AbortOnDropHandle::new(tokio::spawn(stay_awake()));
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(options.seconds);
    let lanes = (0..options.at_once).map(|lane| {
        let connector = connector.clone();
        async move {
            let mut done = 0_usize;
            // A walk over all names that meets each before it meets one again, spread as visitors are.
            let mut number = lane * 7919;
            while Instant::now() < end {
                number = (number + options.at_once * 7919 + 1) % options.numbers;
                let name = options.name.replace('%', &number.to_string());
                let shaken = shake(&connector, options.at, &name).await;
                shaken.with_context(|| format!("a handshake for {name}"))?;
                done += 1;
            }
            anyhow::Ok(done)
        }
    });
    let done: usize = futures_util::future::try_join_all(lanes).await?.into_iter().sum();
    Ok(json!({ "done": done, "seconds": start.elapsed().as_secs_f64() }))
}

/// Keeps this thread, which has a processor to itself, from sleeping while it waits. To wake it would be the server's work, at the
/// server's cost, and the more often the slower the server is: a figure of this client's, not of the server's.
async fn stay_awake() {
    loop {
        tokio::task::yield_now().await;
    }
}

async fn shake(connector: &TlsConnector, at: SocketAddr, name: &str) -> anyhow::Result<()> {
    let stream = TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    let mut stream = connector.connect(ServerName::try_from(name.to_owned())?, stream).await?;
    stream.shutdown().await?;
    Ok(())
}

/// TLS as a client does it that believes everybody.
///
/// # Errors
/// When the library lacks TLS 1.3.
pub(crate) fn config() -> anyhow::Result<ClientConfig> {
    // One curve that every peer has: a server that can do more must not pay for it here.
    let provider = rustls::crypto::CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Believes everybody.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
