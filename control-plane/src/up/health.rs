//! Healthy means: a browser would see the portal.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use anyhow::{Context, bail};

use super::{Options, balanced::Door};
use crate::{
    config::{Common, Paths},
    edge::Network,
};

/// Refuses early, with words, when something else has the port.
pub(super) fn port_is_free(options: &Options) -> anyhow::Result<()> {
    let port = options.common.port;
    match TcpListener::bind(address(options)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            bail!("port {port} is in use by another program: choose another with --port")
        }
        // The machine may have it later: the edge listens at it all the same.
        Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable && !options.listen.is_empty() => Ok(()),
        Err(error) => Err(error).with_context(|| format!("port {port} cannot be used")),
    }
}

fn address(options: &Options) -> SocketAddr {
    let asked = options.listen.iter().find(|ip| is_here(**ip)).or(options.listen.first());
    SocketAddr::new(asked.copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), options.common.port)
}

/// Whether the machine has this address now.
fn is_here(ip: IpAddr) -> bool {
    TcpListener::bind((ip, 0)).is_ok()
}

/// Waits until the portal answers 200 over TLS at its own name.
///
/// # Errors
/// When it has not within `patience`; why not, is in the error.
pub(super) async fn wait(options: &Options, paths: &Paths, patience: Duration) -> anyhow::Result<()> {
    if !options.listen.is_empty() && !is_here(address(options).ip()) {
        tracing::warn!(
            "the machine has none of the addresses of --listen yet: whether the portal answers is not looked at"
        );
        return Ok(());
    }
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let attempt = portal_answers(address(options), &options.proxy_protocol, &options.common, paths);
        let error = match tokio::time::timeout(Duration::from_secs(5), attempt).await {
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

/// Asks for the portal's first page through the edge, as one of its balancers where we are one of their networks, trusting the local CA, and the public ones where they are asked for certificates.
///
/// # Errors
/// When there is no connection, no valid certificate, or another answer than 200.
pub(crate) async fn portal_answers(
    address: SocketAddr,
    balancers: &[Network],
    common: &Common,
    paths: &Paths,
) -> anyhow::Result<()> {
    let door = Door::to(address, balancers).context("a way to the edge")?;
    let local = std::fs::read(paths.ca_pem()).context("the local CA's root")?;
    let mut roots = reqwest::Certificate::from_pem_bundle(&local)?;
    let public = std::fs::read(paths.acme_root()).ok();
    roots.extend(reqwest::Certificate::from_pem_bundle(public.as_deref().unwrap_or_default())?);
    let client = reqwest::Client::builder().no_proxy().resolve(common.base_domain.as_str(), address);
    let client = match &door {
        Some(door) => client.unix_socket(door.path()),
        None => client,
    };
    let client = match public {
        Some(private) if private.is_empty() => client.tls_certs_merge(roots),
        _ => client.tls_certs_only(roots),
    };
    let url = format!("{}/", bundle::spec::origin(&common.base_domain, address.port()));
    let asked = client.build()?.get(url).send();
    let answer = match &door {
        None => asked.await?,
        Some(door) => tokio::select! {
            answer = asked => answer?,
            never = door.serve() => match never {},
        },
    };
    if answer.status() != reqwest::StatusCode::OK {
        bail!("the portal answered {}", answer.status());
    }
    Ok(())
}
