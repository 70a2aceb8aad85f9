//! Knot: an authoritative DNS server whose zones a test changes, and which takes signed updates.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::process::Command;
use tokio::sync::Mutex;

use super::process::{Process, free_port, program};

const PACKAGE: &str = "knot";
const TTL: &str = "1";

/// A key with which updates are signed.
#[derive(Clone, Debug)]
pub struct Tsig {
    /// The key's name, which both sides know it by.
    pub name: String,
    /// The secret itself.
    pub secret: Vec<u8>,
}

impl Tsig {
    /// As key files have it: `hmac-sha256:name:base64`.
    #[must_use]
    pub fn line(&self) -> String {
        format!("hmac-sha256:{}:{}", self.name, STANDARD.encode(&self.secret))
    }
}

/// A running name server.
pub struct Knot {
    at: SocketAddr,
    zones: Vec<String>,
    tsig: Tsig,
    _process: Process,
    folder: tempfile::TempDir,
    /// One change at a time: a zone has one open transaction.
    changing: Mutex<()>,
}

impl Knot {
    /// Starts one for `zones`, on UDP and TCP alike; each has an SOA, an NS `ns1` below it and nothing else.
    ///
    /// # Errors
    /// When Debian's package `knot` is not installed, or it does not start.
    pub async fn start(zones: &[&str]) -> Result<Self> {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)), zones).await
    }

    /// Like [`Knot::start`], at an address of one's choice.
    ///
    /// # Errors
    /// When Debian's package `knot` is not installed, or it does not start.
    pub async fn start_at(at: SocketAddr, zones: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("knot-").tempdir()?;
        let tsig = Tsig { name: "percloud".to_owned(), secret: rand::random::<[u8; 32]>().to_vec() };
        let zones: Vec<String> = zones.iter().map(|z| z.trim_end_matches('.').to_ascii_lowercase()).collect();
        for zone in &zones {
            std::fs::write(folder.path().join(format!("{zone}.zone")), zone_file(zone, at))?;
        }
        std::fs::create_dir(folder.path().join("db"))?; // without it, Knot starts and then keeps no change
        let settings = folder.path().join("knot.conf");
        std::fs::write(&settings, configuration(folder.path(), at, &zones, &tsig))?;
        let mut process = Process::start("knotd", PACKAGE, [Path::new("-c"), &settings], &[])?;
        process.listens(at).await?;
        let knot = Self { at, zones, tsig, _process: process, folder, changing: Mutex::new(()) };
        super::wait_for("knot has loaded its zones", async || knot.loaded().await.then_some(())).await?;
        Ok(knot)
    }

    async fn loaded(&self) -> bool {
        for zone in &self.zones {
            if self.control(&["zone-read", zone, "@", "SOA"]).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Where it answers.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.at
    }

    /// The key with which all its zones may be changed.
    #[must_use]
    pub fn tsig(&self) -> &Tsig {
        &self.tsig
    }

    /// Gives a name this one value of a type, and takes its others away.
    ///
    /// # Errors
    /// When no zone of ours holds the name, or the value is not one of that type.
    pub async fn set(&self, name: &str, kind: &str, value: &str) -> Result<()> {
        self.change(name, kind, true, Some(value)).await
    }

    /// Gives a name one more value of a type.
    ///
    /// # Errors
    /// When no zone of ours holds the name, or the value is not one of that type.
    pub async fn add(&self, name: &str, kind: &str, value: &str) -> Result<()> {
        self.change(name, kind, false, Some(value)).await
    }

    /// Takes all values of a type from a name.
    ///
    /// # Errors
    /// When no zone of ours holds the name.
    pub async fn remove(&self, name: &str, kind: &str) -> Result<()> {
        self.change(name, kind, true, None).await
    }

    async fn change(&self, name: &str, kind: &str, clear: bool, value: Option<&str>) -> Result<()> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let zone = self.zone(&name).with_context(|| format!("no zone for {name}"))?;
        let owner = format!("{name}.");
        let _alone = self.changing.lock().await;
        self.control(&["zone-begin", zone]).await?;
        if clear {
            let _ = self.control(&["zone-unset", zone, &owner, kind]).await; // it may have none
        }
        if let Some(value) = value {
            let text = format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
            let value = if kind.eq_ignore_ascii_case("TXT") { &text } else { value };
            if let Err(refused) = self.control(&["zone-set", zone, &owner, TTL, kind, value]).await {
                self.control(&["zone-abort", zone]).await?;
                return Err(refused);
            }
        }
        self.control(&["zone-commit", zone]).await
    }

    fn zone(&self, name: &str) -> Option<&str> {
        let holds =
            |zone: &&String| name == **zone || name.strip_suffix(zone.as_str()).is_some_and(|r| r.ends_with('.'));
        self.zones.iter().filter(holds).max_by_key(|zone| zone.len()).map(String::as_str)
    }

    async fn control(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(program("knotc", PACKAGE)?);
        command.arg("-c").arg(self.folder.path().join("knot.conf")).args(arguments);
        let done = command.output().await.context("cannot start knotc")?;
        let words = [done.stdout, done.stderr].concat();
        ensure!(done.status.success(), "knotc {}: {}", arguments.join(" "), String::from_utf8_lossy(&words).trim());
        Ok(())
    }
}

fn zone_file(zone: &str, at: SocketAddr) -> String {
    let kind = if at.is_ipv4() { "A" } else { "AAAA" };
    format!(
        "$TTL {TTL}\n\
         {zone}. SOA ns1.{zone}. hostmaster.{zone}. 1 3600 600 86400 {TTL}\n\
         {zone}. NS ns1.{zone}.\n\
         ns1.{zone}. {kind} {}\n",
        at.ip()
    )
}

fn configuration(folder: &Path, at: SocketAddr, zones: &[String], tsig: &Tsig) -> String {
    let folder = folder.display();
    let secret = STANDARD.encode(&tsig.secret);
    let zones: String = zones.iter().map(|zone| format!("  - domain: {zone}\n")).collect();
    format!(
        "server:\n    rundir: \"{folder}\"\n    listen: {}@{}\n    udp-workers: 1\n    tcp-workers: 2\n    background-workers: 1\n\
         log:\n  - target: stderr\n    any: info\n\
         database:\n    storage: \"{folder}/db\"\n    journal-db-max-size: 16M\n\
         key:\n  - id: {}\n    algorithm: hmac-sha256\n    secret: {secret}\n\
         acl:\n  - id: changes\n    key: {}\n    action: update\n\
         template:\n  - id: default\n    storage: \"{folder}\"\n    file: \"%s.zone\"\n    zonefile-sync: -1\n    acl: changes\n\
         zone:\n{zones}",
        at.ip(),
        at.port(),
        tsig.name,
        tsig.name,
    )
}
