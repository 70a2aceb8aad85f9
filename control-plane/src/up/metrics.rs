//! All roles' metrics on one private port.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context;
use axum::{Router, extract::State, http::header, response::IntoResponse, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixStream},
};

use super::{Options, say};
use crate::config::Paths;

/// The roles that have metrics.
const ROLES: [&str; 5] = ["edge", "web", "reconcile", "host", "egress"];

/// Serves `/metrics` on 127.0.0.1 in the background. Without `--metrics-port` a port in use is replaced by any free one,
/// which is said; with it, that is an error.
pub(super) async fn serve(options: &Options, paths: &Paths) -> anyhow::Result<()> {
    let port = options.common.port;
    let usual = port.checked_add(10_000).unwrap_or_else(|| port - 10_000);
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = match options.metrics_port {
        Some(port) => TcpListener::bind(at(port)).await.with_context(|| format!("--metrics-port {port}"))?,
        None => match TcpListener::bind(at(usual)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind(at(0)).await.context("no port for metrics")?,
        },
    };
    let address = listener.local_addr()?;
    std::fs::write(paths.root().join("run/metrics.port"), address.port().to_string())?;
    say(format_args!("Metrics: http://{address}/metrics"));
    let router = Router::new().route("/metrics", get(gather)).with_state(paths.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

async fn gather(State(paths): State<Paths>) -> impl IntoResponse {
    let mut text = String::new();
    for role in ROLES {
        let metrics = tokio::time::timeout(std::time::Duration::from_secs(1), read(&paths, role)).await;
        let up = u8::from(matches!(metrics, Ok(Ok(_))));
        text.push_str(&format!("percloud_role_up{{role=\"{role}\"}} {up}\n"));
        if let Ok(Ok(metrics)) = metrics {
            text.push_str(&metrics);
        }
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

async fn read(paths: &Paths, role: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(paths.metrics_socket(role)).await?;
    stream.write_all(b"\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
