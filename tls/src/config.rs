//! The one TLS configuration of ours.

use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use crate::Resolver;

/// The cryptography that all of ours uses: aws-lc-rs, with the hybrid post-quantum key exchange first, so that what is
/// recorded today cannot be read by tomorrow's machines.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::LazyLock<Arc<CryptoProvider>> = std::sync::LazyLock::new(|| {
        let groups = vec![
            aws_lc_rs::kx_group::X25519MLKEM768,
            aws_lc_rs::kx_group::X25519,
            aws_lc_rs::kx_group::SECP256R1,
            aws_lc_rs::kx_group::SECP384R1,
        ];
        let mut provider = CryptoProvider { kx_groups: groups, ..aws_lc_rs::default_provider() };
        // As good as AES-256 for all that we know, and its hash is the quicker one in every handshake.
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        Arc::new(provider)
    });
    PROVIDER.clone()
}

/// A server's configuration: TLS 1.2 and 1.3, certificates from `resolver`, resumption by tickets whose keys are renewed
/// every few hours, no early data (it can be replayed). `alpn` in order of liking, e.g. `["h2", "http/1.1"]`.
///
/// # Errors
/// When the system has no randomness to give.
pub fn server_config(resolver: Arc<Resolver>, alpn: &[&str]) -> Result<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .context("TLS 1.2 and 1.3 are not to be had")?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    // All of them are good; scanners want to see that the server knows that, too.
    config.ignore_client_order = true;
    config.ticketer = aws_lc_rs::Ticketer::new().context("no randomness for tickets")?;
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// `base` for one certificate. What belongs to all connections (tickets, sessions) stays shared: a visitor who comes back is known.
#[must_use]
pub fn serving(base: &ServerConfig, key: Arc<CertifiedKey>) -> ServerConfig {
    let mut config = base.clone();
    config.cert_resolver = Arc::new(SingleCertAndKey::from(key));
    config
}

/// `base` for the answer to a challenge: one protocol, `alpn`, one certificate, and nothing to come back with.
#[must_use]
pub fn answering(base: &ServerConfig, key: Arc<CertifiedKey>, alpn: &[u8]) -> ServerConfig {
    let mut config = serving(base, key);
    config.alpn_protocols = vec![alpn.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}

/// A client's configuration that trusts one root only: for our own programs that speak to our own servers, and for tests.
///
/// # Errors
/// When `root_pem` is not a certificate.
pub fn client_config(root_pem: &str, alpn: &[&str]) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(root_pem.as_bytes()) {
        roots.add(certificate.context("the root is not PEM")?).context("the root is not a certificate")?;
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .context("TLS 1.2 and 1.3 are not to be had")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    Ok(config)
}
