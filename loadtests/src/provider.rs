//! A provider of our own to measure, on loopback, in a folder that is gone afterwards.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::scenarios::edge::process::on_cores;

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
        Self::start_with(&[])
    }

    /// Starts one with these options of `percloud up`, and waits until it is healthy.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start_with(options: &[&str]) -> anyhow::Result<Self> {
        Self::start_on(None, options)
    }

    /// The same, held on these processors, as `taskset` takes them.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start_on(processors: Option<&str>, options: &[&str]) -> anyhow::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let folder = std::env::temp_dir().join(format!("percloud-bench-{}", std::process::id()));
        let mut provider = Self { folder, port, token: String::new() };
        let port = port.to_string();
        let mut up = provider.percloud("up");
        if let Some(processors) = processors {
            let mut held = on_cores(processors, Path::new(up.get_program()));
            held.args(up.get_args());
            up = held;
        }
        let status = up
            .args(["--detach", "--port", &port, "--base-domain", BASE])
            .args(options)
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "percloud up: {status}");
        let output = provider
            .percloud("admin")
            .args(["token", "create", "bench", "--scope", "tenants:write", "--scope", "tenants:read", "--json"])
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

    /// The port that its edge listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The socket behind which a percloud serves or sleeps.
    pub(crate) fn socket(&self, id: &str) -> PathBuf {
        self.folder.join(format!("run/t/{id}.sock"))
    }

    /// Asks for a percloud by the API; its id. It is there a moment later.
    ///
    /// # Errors
    /// When the API refuses.
    pub(crate) async fn want(&self, client: &reqwest::Client, name: &str) -> anyhow::Result<String> {
        let wish = serde_json::json!({ "name": name, "email": format!("{name}@example.org") });
        let url = format!("{}/api/v1/tenants", self.origin(None));
        let made = client.post(url).bearer_auth(&self.token).json(&wish).send().await?;
        ensure!(made.status().is_success(), "the API answered {}: {}", made.status(), made.text().await?);
        let made: serde_json::Value = made.json().await?;
        Ok(made["tenant"]["id"].as_str().context("the percloud's id")?.to_owned())
    }

    /// Asks for a percloud, and for its front page until that is there; its id.
    ///
    /// # Errors
    /// When it is not there within 30 seconds.
    pub(crate) async fn sign_up(&self, client: &reqwest::Client, name: &str) -> anyhow::Result<String> {
        let start = Instant::now();
        let id = self.want(client, name).await?;
        let home = format!("{}/", self.origin(Some(name)));
        while client.get(&home).send().await?.status() != 200 {
            ensure!(start.elapsed() < Duration::from_secs(30), "{name} did not answer within 30 seconds");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(id)
    }

    /// The value of one of the provider's own metrics, over all its labels.
    ///
    /// # Errors
    /// When the metrics cannot be read.
    pub(crate) async fn metric(&self, client: &reqwest::Client, name: &str) -> anyhow::Result<f64> {
        let port = std::fs::read_to_string(self.folder.join("run/metrics.port"))?;
        let text = client.get(format!("http://127.0.0.1:{}/metrics", port.trim())).send().await?.text().await?;
        let values = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        Ok(values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
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
