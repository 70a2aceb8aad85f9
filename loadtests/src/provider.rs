//! A provider of our own to measure, on loopback, in a folder that is gone afterwards.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A running provider; ended and removed when dropped.
pub(crate) struct Provider {
    folder: PathBuf,
    port: u16,
    /// A token for its API.
    pub(crate) token: String,
}

/// The base domain of every bench.
pub(crate) const BASE: &str = "bench.localhost";

impl Provider {
    /// Starts one and waits until it is healthy.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let folder = std::env::temp_dir().join(format!("percloud-bench-{}", std::process::id()));
        let mut provider = Self { folder, port, token: String::new() };
        let port = port.to_string();
        let status = provider
            .percloud("up")
            .args(["--detach", "--port", &port, "--base-domain", BASE])
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "percloud up: {status}");
        let output = provider
            .percloud("admin")
            .args(["token", "create", "bench", "--scope", "tenants:write", "--json"])
            .output()?;
        ensure!(output.status.success(), "percloud admin token create: {}", String::from_utf8_lossy(&output.stderr));
        let made: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        provider.token = made["token"].as_str().context("the token's secret")?.to_owned();
        Ok(provider)
    }

    /// Its data folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The origin of a name below the base domain, or of the portal.
    pub(crate) fn origin(&self, name: Option<&str>) -> String {
        let dot = name.map_or_else(String::new, |name| format!("{name}."));
        format!("https://{dot}{BASE}:{}", self.port)
    }

    /// A client that trusts the provider's CA only, and finds every name on loopback.
    ///
    /// # Errors
    /// When the CA's root cannot be read.
    pub(crate) fn client(&self) -> anyhow::Result<reqwest::Client> {
        let root = reqwest::Certificate::from_pem(&std::fs::read(self.folder.join("ca.pem"))?)?;
        let client = reqwest::Client::builder()
            .tls_certs_only([root])
            .dns_resolver(Arc::new(Loopback))
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(client)
    }

    fn percloud(&self, command: &str) -> Command {
        let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned)).unwrap_or_default();
        let mut percloud = Command::new(beside.join("percloud"));
        percloud.arg(command).arg("--data").arg(&self.folder);
        percloud
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let ended = self.percloud("down").stdout(Stdio::null()).status();
        if ended.is_ok_and(|status| status.success()) {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

struct Loopback;

impl Resolve for Loopback {
    fn resolve(&self, _name: Name) -> Resolving {
        let addresses: Addrs = Box::new(std::iter::once(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}
