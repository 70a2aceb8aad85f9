//! Whether the roles answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Finding;
use crate::{
    config::{Common, Remembered},
    up::health,
};

const PATIENCE: Duration = Duration::from_secs(5);

/// What a visitor would see: the portal over TLS at its own name.
pub(super) async fn portal(common: &Common) -> Vec<Finding> {
    let about = "portal";
    let paths = common.paths();
    let balancers = Remembered::read(&paths).map(|remembered| remembered.balancers()).unwrap_or_default();
    let mut last = None;
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let began = Instant::now();
        let asked = health::portal_answers(SocketAddr::new(ip, common.port), &balancers, common, &paths);
        match timeout(PATIENCE, asked).await {
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
