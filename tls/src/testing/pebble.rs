//! Pebble: an ACME authority whose nonces, validations and patience can be spoilt.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::faults::{Dice, Faults};
use super::process::{Process, free_port};
use crate::acme::{Directory, Eab};
use crate::{LocalCa, files};

const PACKAGE: &str = "pebble";
const DAY: Duration = Duration::from_secs(86_400);

/// How an authority is to behave.
#[derive(Clone, Debug)]
pub struct PebbleOptions {
    /// Where HTTP-01 is answered on 127.0.0.1 (instead of port 80); 0: nowhere.
    pub http_port: u16,
    /// Where TLS-ALPN-01 is answered on 127.0.0.1 (instead of port 443); 0: nowhere.
    pub tls_port: u16,
    /// The name server that it asks; none: Pebble's own, which has 127.0.0.1 for every name and no TXT.
    pub dns: Option<SocketAddr>,
    /// How many nonces of a hundred it refuses.
    pub nonce_reject_percent: u8,
    /// How many validations of a hundred fail although the answer is right; [`Pebble::fail_validations`] changes it.
    pub failing_percent: u8,
    /// The seed of the dice for failing validations.
    pub seed: u64,
    /// The longest that a validation hesitates (whole seconds); none: not at all.
    pub validation_sleep: Option<Duration>,
    /// How many valid authorisations of a hundred are used again for another order.
    pub authz_reuse_percent: u8,
    /// Whoever wants an account needs one of these.
    pub eab: Vec<Eab>,
    /// How long a certificate lasts.
    pub validity: Duration,
    /// Names that it refuses, each with all below it.
    pub refused_names: Vec<String>,
}

impl Default for PebbleOptions {
    fn default() -> Self {
        Self {
            http_port: 0,
            tls_port: 0,
            dns: None,
            nonce_reject_percent: 0,
            failing_percent: 0,
            seed: 1,
            validation_sleep: None,
            authz_reuse_percent: 0,
            eab: Vec::new(),
            validity: 90 * DAY,
            refused_names: Vec::new(),
        }
    }
}

/// A running authority.
pub struct Pebble {
    options: PebbleOptions,
    api: SocketAddr,
    management: SocketAddr,
    root_pem: String,
    process: Process,
    names: Option<Names>,
    faults: Faults,
    dns: SocketAddr,
    folder: tempfile::TempDir,
}

/// Pebble's own name server for tests.
struct Names {
    _process: Process,
    management: SocketAddr,
}

impl Pebble {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// When Debian's package `pebble` is not installed, or it does not start.
    pub async fn start(options: PebbleOptions) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("pebble-").tempdir()?;
        let (names, direct) = match options.dns {
            Some(given) => (None, given),
            None => Names::start().await.map(|(names, at)| (Some(names), at))?,
        };
        let mut faults = Faults::new(Dice::new(options.failing_percent, options.seed));
        let dns = faults.dns(direct).await?;
        let http = faults.stream(loopback(options.http_port)).await?;
        let tls = faults.stream(loopback(options.tls_port)).await?;
        let (api, management) = (loopback(free_port()?), loopback(free_port()?));
        let root_pem = api_certificate(&folder)?;
        let settings = settings(&options, [api, management], [http, tls], &folder);
        std::fs::write(folder.path().join("pebble.json"), serde_json::to_vec_pretty(&settings)?)?;
        let process = launch(&options, &folder.path().join("pebble.json"), dns)?;
        let mut pebble = Self { options, api, management, root_pem, process, names, faults, dns: direct, folder };
        pebble.answers(dns).await?;
        Ok(pebble)
    }

    async fn answers(&mut self, dns: SocketAddr) -> Result<()> {
        std::fs::write(self.folder.path().join("dns"), dns.to_string())?;
        self.process.listens(self.api).await?;
        self.process.listens(self.management).await
    }

    /// Where it is, and how to be known there.
    #[must_use]
    pub fn directory(&self) -> Directory {
        Directory {
            url: format!("https://{}/dir", self.api),
            profile: None,
            eab: self.options.eab.first().cloned(),
            root_pem: Some(self.root_pem.clone()),
        }
    }

    /// The root of the certificate with which it answers itself, over HTTPS.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The root of the certificates that it issues; another one after each start.
    ///
    /// # Errors
    /// When it is away.
    pub async fn issuing_root_pem(&self) -> Result<String> {
        let root = reqwest::Certificate::from_pem(self.root_pem.as_bytes())?;
        let client = reqwest::Client::builder().tls_certs_only([root]).no_proxy().build()?;
        let answer = client.get(format!("https://{}/roots/0", self.management)).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// How many lines of its log hold `text`.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        self.process.count(text)
    }

    /// Its log since it was started last.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.process.lines()
    }

    /// How many of its looks were made to fail so far; three or fewer for a validation that fails.
    #[must_use]
    pub fn spoilt(&self) -> usize {
        self.faults.dice().refused()
    }

    /// From now on so many validations of a hundred fail although the answer is right.
    pub fn fail_validations(&self, percent: u8) {
        self.faults.dice().set(percent);
    }

    /// The name server that it asks: its own, or the one that it was given.
    #[must_use]
    pub fn dns(&self) -> SocketAddr {
        self.dns
    }

    /// Stops it: who asks finds nobody there.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop().await
    }

    /// Starts it again at the same address. It remembers no account, and issues from another root.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_again(&mut self) -> Result<()> {
        let dns = std::fs::read_to_string(self.folder.path().join("dns"))?.parse()?;
        self.process = launch(&self.options, &self.folder.path().join("pebble.json"), dns)?;
        self.answers(dns).await
    }

    /// Lets its own name server answer `name` with `address`, or with none at all.
    ///
    /// # Errors
    /// When it was given another name server.
    pub async fn point(&self, name: &str, address: Option<Ipv4Addr>) -> Result<()> {
        let name = name.trim_end_matches('.');
        match address {
            Some(address) => {
                self.tell("clear-servfail", &json!({ "host": name })).await?;
                self.tell("add-a", &json!({ "host": name, "addresses": [address] })).await
            }
            None => self.tell("set-servfail", &json!({ "host": name })).await,
        }
    }

    /// Puts one TXT value into its own name server, or takes all of a name away.
    ///
    /// # Errors
    /// When it was given another name server.
    pub async fn txt(&self, name: &str, value: Option<&str>) -> Result<()> {
        let host = format!("{}.", name.trim_end_matches('.'));
        match value {
            Some(value) => self.tell("set-txt", &json!({ "host": host, "value": value })).await,
            None => self.tell("clear-txt", &json!({ "host": host })).await,
        }
    }

    async fn tell(&self, what: &str, body: &Value) -> Result<()> {
        let names = self.names.as_ref().context("this Pebble asks another name server")?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer = client.post(format!("http://{}/{what}", names.management)).body(body.to_string()).send().await?;
        ensure!(answer.status().is_success(), "the name server for tests refuses {what}: {}", answer.text().await?);
        Ok(())
    }
}

impl Names {
    async fn start() -> Result<(Self, SocketAddr)> {
        let (dns, management) = (loopback(free_port()?), loopback(free_port()?));
        let (dns_text, management_text) = (dns.to_string(), management.to_string());
        let arguments = [
            ["-dns01", dns_text.as_str()],
            ["-management", management_text.as_str()],
            // Its default answers ::1 for every name, where nobody listens.
            ["-defaultIPv6", ""],
            ["-http01", ""],
            ["-https01", ""],
            ["-tlsalpn01", ""],
        ];
        let mut process = Process::start("pebble-challtestsrv", PACKAGE, arguments.as_flattened(), &[])?;
        process.listens(dns).await?;
        process.listens(management).await?;
        Ok((Self { _process: process, management }, dns))
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn launch(options: &PebbleOptions, settings: &std::path::Path, dns: SocketAddr) -> Result<Process> {
    let mut environment = vec![
        ("PEBBLE_WFE_NONCEREJECT", options.nonce_reject_percent.to_string()),
        ("PEBBLE_AUTHZREUSE", options.authz_reuse_percent.to_string()),
    ];
    environment.push(match options.validation_sleep {
        Some(longest) => ("PEBBLE_VA_SLEEPTIME", longest.as_secs().max(1).to_string()),
        None => ("PEBBLE_VA_NOSLEEP", "1".to_owned()),
    });
    let dns = dns.to_string();
    let arguments = ["-config".into(), PathBuf::from(settings), "-dnsserver".into(), PathBuf::from(dns)];
    Process::start("pebble", PACKAGE, arguments, &environment)
}

fn settings(
    options: &PebbleOptions,
    [api, management]: [SocketAddr; 2],
    [http, tls]: [SocketAddr; 2],
    folder: &tempfile::TempDir,
) -> Value {
    let keys: BTreeMap<&str, &str> =
        options.eab.iter().map(|eab| (eab.kid.as_str(), eab.hmac_base64url.as_str())).collect();
    json!({ "pebble": {
        "listenAddress": api,
        "managementListenAddress": management,
        "certificate": folder.path().join("api.pem"),
        "privateKey": folder.path().join("api.key"),
        "httpPort": http.port(),
        "tlsPort": tls.port(),
        "ocspResponderURL": "",
        "externalAccountBindingRequired": !options.eab.is_empty(),
        "externalAccountMACKeys": keys,
        "certificateValidityPeriod": options.validity.as_secs(),
        "domainBlocklist": options.refused_names,
    }})
}

/// An authority ships no certificate for its own HTTPS: makes `api.pem` and `api.key` in its folder, gives their root.
pub(super) fn api_certificate(folder: &tempfile::TempDir) -> Result<String> {
    let now = machine_time();
    let ca = LocalCa::open_or_create(&folder.path().join("api-ca"), "The authority's API", &[], now)?;
    let issued = ca.issue(&["localhost", "127.0.0.1"], 30, now)?;
    let key = STANDARD.encode(issued.key_der.secret_pkcs8_der());
    let key = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
    files::write(&folder.path().join("api.pem"), issued.chain_pem.as_bytes(), 0o600)?;
    files::write(&folder.path().join("api.key"), key.as_bytes(), 0o600)?;
    Ok(ca.root_pem().to_owned())
}

#[expect(clippy::disallowed_methods, reason = "authorities, and whoever asks them, go by the machine's clock")]
pub(super) fn machine_time() -> chrono::DateTime<chrono::Utc> {
    chrono::Utc::now()
}
