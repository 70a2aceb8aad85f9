//! Whether the roles answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Finding;
use crate::{
    config::Common,
    hosts::{Host, client::HostClient},
    up::health,
};

const PATIENCE: Duration = Duration::from_secs(5);

/// What a visitor would see: the portal over TLS at its own name.
pub(super) async fn portal(common: &Common) -> Vec<Finding> {
    let about = "portal";
    let paths = common.paths();
    let mut last = None;
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let began = Instant::now();
        match timeout(PATIENCE, health::portal_answers(SocketAddr::new(ip, common.port), common, &paths)).await {
            Ok(Ok(())) => {
                let said = format!("{}/ answers ({} ms)", common.portal_origin(), began.elapsed().as_millis());
                return vec![Finding::well(about, said)];
            }
            Ok(Err(error)) => last = last.or(Some(format!("{error:#}"))),
            Err(_) => last = last.or(Some(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }
    let why = last.unwrap_or_default();
    let to_do = format!("look at what is wrong below, and into {}", paths.logs().display());
    vec![Finding::wrong(about, format!("{}/ does not answer on this machine: {why}", common.portal_origin()), to_do)]
}

/// Each role's own sign of life.
pub(super) async fn roles(common: &Common) -> Vec<Finding> {
    let mut findings = Vec::new();
    for role in ["edge", "web", "reconcile", "host", "egress"] {
        let log = common.paths().logs().join(format!("{role}.log"));
        let asked = timeout(PATIENCE, metrics(common, role)).await;
        findings.push(match asked {
            Ok(Ok(())) => Finding::well(format!("role {role}"), "answers"),
            Ok(Err(error)) => Finding::wrong(
                format!("role {role}"),
                format!("does not answer: {error}"),
                format!("see {}", log.display()),
            ),
            Err(_) => Finding::wrong(
                format!("role {role}"),
                "hangs",
                format!("see {}, and restart the provider", log.display()),
            ),
        });
    }
    findings
}

async fn metrics(common: &Common, role: &str) -> std::io::Result<()> {
    let mut stream = UnixStream::connect(common.paths().metrics_socket(role)).await?;
    stream.write_all(b"\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map(drop)
}

/// What keeps perclouds apart, layer by layer, and whether the host has the perclouds it should.
pub(super) async fn host(common: &Common) -> Vec<Finding> {
    let host = HostClient::new(common.paths().host_socket()).with_patience(PATIENCE);
    let layers = match host.layers().await {
        Ok(layers) => layers,
        Err(error) => {
            return vec![Finding::wrong(
                "sandbox",
                format!("the host role does not say: {error}"),
                "see whether it runs, above; as another user than root or its own one is not let in",
            )];
        }
    };
    let total = layers.len();
    let missing = layers.into_iter().filter_map(|layer| {
        let why = layer.missing?;
        let about = format!("sandbox: {}", layer.name);
        let to_do = format!(
            "it keeps a percloud from this: {} Until this machine has it, take in only people you trust",
            layer.keeps
        );
        Some(Finding::warning(about, format!("missing: {why}"), to_do))
    });
    let missing: Vec<Finding> = missing.collect();
    if missing.is_empty() { vec![Finding::well("sandbox", format!("all {total} layers are there"))] } else { missing }
}
