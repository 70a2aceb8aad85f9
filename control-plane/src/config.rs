//! What every role is told, and where things are in the data folder.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use bundle::Domain;
use serde::{Deserialize, Serialize};

use crate::certificates::{self, acme::budgets::Budgets};
use crate::edge::Network;

/// Options that all roles share. `percloud up` hands them on; each has an environment variable, so that secrets stay off command lines.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// The data folder.
    #[arg(long, env = "PERCLOUD_DATA", value_name = "DIR")]
    pub data: PathBuf,
    /// The name below which new perclouds get theirs; the portal answers at it.
    #[arg(long, env = "PERCLOUD_BASE_DOMAIN", default_value = "percloud.localhost", value_name = "NAME")]
    pub base_domain: Domain,
    /// The HTTPS port.
    #[arg(long, env = "PERCLOUD_PORT", default_value_t = 8443, value_name = "N")]
    pub port: u16,
    /// The HTTPS port that people see, where something in front leads it to ours: a router, or a container's port mapping. The same when
    /// not said.
    #[arg(long, env = "PERCLOUD_PUBLIC_PORT", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub public_port: Option<u16>,
    /// The Postgres to use, as a URL or key-value string, with the role's own user and password in it.
    #[arg(long, env = "PERCLOUD_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// The provider's name for people.
    #[arg(long, env = "PERCLOUD_PROVIDER_NAME", default_value = "percloud", value_name = "TEXT")]
    pub provider_name: String,
}

/// The variable for [`SealOptions::seal_key_command`].
pub const SEAL_KEY_COMMAND: &str = "PERCLOUD_SEAL_KEY_COMMAND";

/// Where the sealing keys are, which open what is secret in the database.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SealOptions {
    /// A program that prints the sealing keys, as the file `keys/seal.key` would hold them: its path, or a JSON list of path and arguments;
    /// `none` for that file again.
    #[arg(long, env = SEAL_KEY_COMMAND, hide_env_values = true, value_name = "COMMAND")]
    pub seal_key_command: Option<SealCommand>,
}

/// What is said of a program that prints the sealing keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealCommand {
    /// There is none (any more): the keys are in their file.
    None,
    /// This one.
    Program(tls::SealSource),
}

impl FromStr for SealCommand {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text == "none" { Ok(Self::None) } else { text.parse().map(Self::Program) }
    }
}

impl SealOptions {
    /// The program that prints the keys; none when they are in their file.
    #[must_use]
    pub fn program(&self) -> Option<&tls::SealSource> {
        match &self.seal_key_command {
            Some(SealCommand::Program(program)) => Some(program),
            Some(SealCommand::None) | None => None,
        }
    }

    /// The keys.
    ///
    /// # Errors
    /// When there are none, or they cannot be read.
    pub fn open(&self, paths: &Paths) -> anyhow::Result<tls::Seal> {
        let source = self.program().cloned().unwrap_or_else(|| tls::SealSource::File(paths.seal_key()));
        tls::Seal::of(source).context("the sealing keys (percloud up makes them)")
    }
}

impl Common {
    /// The port in our addresses.
    #[must_use]
    pub fn public_port(&self) -> u16 {
        self.public_port.unwrap_or(self.port)
    }

    /// The portal's origin, without a slash at the end.
    #[must_use]
    pub fn portal_origin(&self) -> String {
        bundle::spec::origin(&self.base_domain, self.public_port())
    }

    /// The data folder's parts.
    #[must_use]
    pub fn paths(&self) -> Paths {
        Paths(self.data.clone())
    }
}

/// What the last start was told; commands that get only the data folder read it from there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Remembered {
    base_domain: Domain,
    port: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_port: Option<u16>,
    provider_name: String,
    database_url: Option<String>,
    /// Which public CAs are asked; no secret, only where secrets are.
    #[serde(default, skip_serializing_if = "certificates::Options::is_empty")]
    certificates: certificates::Options,
    /// The program that prints the sealing keys, as its option says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seal_key_command: Option<String>,
    /// Networks of the edge's balancers: who looks at the portal from one of them must speak as they do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    proxy_protocol: Vec<String>,
}

impl Remembered {
    /// What is worth remembering of these options.
    #[must_use]
    pub fn of(common: &Common, certificates: &certificates::Options, seal: &SealOptions) -> Self {
        Self {
            certificates: certificates.clone(),
            seal_key_command: seal.program().and_then(tls::SealSource::as_argument),
            base_domain: common.base_domain.clone(),
            port: common.port,
            public_port: common.public_port,
            provider_name: common.provider_name.clone(),
            database_url: common.database_url.clone(),
            proxy_protocol: Vec::new(),
        }
    }

    /// And of these networks of balancers.
    #[must_use]
    pub fn behind(mut self, balancers: &[Network]) -> Self {
        self.proxy_protocol = balancers.iter().map(ToString::to_string).collect();
        self
    }

    /// The networks of the edge's balancers.
    #[must_use]
    pub fn balancers(&self) -> Vec<Network> {
        self.proxy_protocol.iter().filter_map(|network| network.parse().ok()).collect()
    }

    /// Where the sealing keys are: without this, a start that forgot to say it would look for them in a file.
    ///
    /// # Errors
    /// When what was remembered is no command.
    pub fn fill_seal(&self, options: &mut SealOptions) -> anyhow::Result<()> {
        if let (None, Some(command)) = (&options.seal_key_command, &self.seal_key_command) {
            options.seal_key_command = Some(command.parse().context("the remembered command for the sealing keys")?);
        }
        Ok(())
    }

    /// Whether a program printed the sealing keys.
    #[must_use]
    pub fn sealed_by_program(&self) -> bool {
        self.seal_key_command.is_some()
    }

    /// What the last start left in the data folder; none where there is nothing, or nothing that can be read.
    #[must_use]
    pub fn read(paths: &Paths) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(paths.remembered()).ok()?).ok()
    }

    /// What may be ordered of public CAs.
    #[must_use]
    pub fn acme_budgets(&self) -> Budgets {
        self.certificates.budgets()
    }

    /// What is said of public CAs holds as a whole: saying anything anew says all of it anew.
    pub fn fill_certificates(&self, options: &mut certificates::Options) {
        if options.is_empty() {
            *options = self.certificates.clone();
        }
    }

    /// Fills in what the command line (and environment) left at its default.
    pub fn fill(self, common: &mut Common, given: impl Fn(&str) -> bool) {
        if !given("base_domain") {
            common.base_domain = self.base_domain;
        }
        if !given("port") {
            common.port = self.port;
        }
        if !given("public_port") {
            common.public_port = self.public_port;
        }
        if !given("provider_name") {
            common.provider_name = self.provider_name;
        }
        if !given("database_url") {
            common.database_url = self.database_url;
        }
    }
}

/// The data folder, part by part. Unix socket paths are short on purpose: the kernel takes 107 bytes.
#[derive(Clone, Debug)]
pub struct Paths(pub PathBuf);

impl Paths {
    fn at(&self, rest: &str) -> PathBuf {
        self.0.join(rest)
    }
    /// The local CA's root certificate, for people to trust.
    #[must_use]
    pub fn ca_pem(&self) -> PathBuf {
        self.at("ca.pem")
    }
    /// The root of the public CAs' own: a private one, or empty for those that every machine trusts; not there without a public CA.
    #[must_use]
    pub fn acme_root(&self) -> PathBuf {
        self.at("acme-root.pem")
    }
    /// Keys of our own (the local CA's, the sealing key): for reconcile and edge, as `tls` says.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.at("keys")
    }
    /// The key that seals private keys in the database: edge and reconcile read it.
    #[must_use]
    pub fn seal_key(&self) -> PathBuf {
        self.at("keys/seal.key")
    }
    /// Passwords of the database's roles.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.at("secrets")
    }
    /// The private Postgres cluster.
    #[must_use]
    pub fn postgres(&self) -> PathBuf {
        self.at("pg")
    }
    /// Where the private Postgres has its socket.
    #[must_use]
    pub fn postgres_socket(&self) -> PathBuf {
        self.at("run/pg")
    }
    /// The web role's socket, which the edge passes the portal's requests to.
    #[must_use]
    pub fn web_socket(&self) -> PathBuf {
        self.at("run/web/web.sock")
    }
    /// The host role's socket.
    #[must_use]
    pub fn host_socket(&self) -> PathBuf {
        self.at("run/host/host.sock")
    }
    /// The folder in which an edge hands over to the next one, a socket a port.
    #[must_use]
    pub fn handover(&self) -> PathBuf {
        self.at("run/edge")
    }
    /// The folder that every percloud sees as `/egress`.
    #[must_use]
    pub fn egress_folder(&self) -> PathBuf {
        self.at("run/egress")
    }
    /// Where perclouds ask for a connection to the Internet.
    #[must_use]
    pub fn egress_socket(&self) -> PathBuf {
        self.at("run/egress/sock")
    }
    /// What host and egress know perclouds by; root's, handed to the egress role by `percloud up`.
    #[must_use]
    pub fn egress_key(&self) -> PathBuf {
        self.at("secrets/egress.key")
    }
    /// A percloud's listening socket.
    #[must_use]
    pub fn tenant_socket(&self, id: &bundle::TenantId) -> PathBuf {
        self.at("run/t").join(format!("{id}.sock"))
    }
    /// The folder of all perclouds' folders.
    #[must_use]
    pub fn tenants(&self) -> PathBuf {
        self.at("tenants")
    }
    /// What the host keeps of each percloud (uid, spec).
    #[must_use]
    pub fn host_state(&self) -> PathBuf {
        self.at("host")
    }
    /// A role's metrics socket; `up` gathers them on one private port.
    #[must_use]
    pub fn metrics_socket(&self, role: &str) -> PathBuf {
        self.at("run/metrics").join(format!("{role}.sock"))
    }
    /// Logs, a file a role.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.at("log")
    }
    /// What [`Remembered`] is kept in.
    #[must_use]
    pub fn remembered(&self) -> PathBuf {
        self.at("provider.json")
    }
    /// The data folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Told {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        seal: SealOptions,
    }

    fn told(args: &[&str]) -> Told {
        <Told as clap::Parser>::parse_from([&["up", "--data", "/nowhere"], args].concat())
    }

    #[test]
    fn addresses_have_the_port_that_people_see() {
        let origin = |args: &[&str]| told(args).common.portal_origin();
        assert_eq!(origin(&["--port", "8444"]), "https://percloud.localhost:8444");
        assert_eq!(origin(&["--port", "443"]), "https://percloud.localhost");
        let behind = ["--port", "8443", "--public-port", "443"];
        assert_eq!(origin(&behind), "https://percloud.localhost");
        let first = told(&behind);
        let kept = Remembered::of(&first.common, &certificates::Options::default(), &first.seal);
        let kept = serde_json::to_vec(&kept).unwrap();
        let mut silent = told(&[]).common;
        serde_json::from_slice::<Remembered>(&kept).unwrap().fill(&mut silent, |_| false);
        assert_eq!((silent.port, silent.public_port()), (8443, 443), "a later start remembers both");
    }

    #[test]
    fn a_start_that_does_not_say_where_the_sealing_keys_are_takes_them_from_where_they_were() {
        let first = told(&["--seal-key-command", r#"["/usr/bin/keys","--of","percloud"]"#]);
        let kept = Remembered::of(&first.common, &certificates::Options::default(), &first.seal);
        let kept: Remembered = serde_json::from_slice(&serde_json::to_vec(&kept).unwrap()).unwrap();
        let mut silent = told(&[]).seal;
        kept.fill_seal(&mut silent).unwrap();
        let said = |seal: &SealOptions| seal.program().and_then(tls::SealSource::as_argument);
        assert_eq!(said(&silent), said(&first.seal));
        let mut other = told(&["--seal-key-command", "/usr/bin/others"]).seal;
        kept.fill_seal(&mut other).unwrap();
        assert_eq!(said(&other).as_deref(), Some(r#"["/usr/bin/others"]"#));
        let mut file = told(&["--seal-key-command", "none"]);
        kept.fill_seal(&mut file.seal).unwrap();
        assert_eq!(said(&file.seal), None, "back to the file");
        let kept = Remembered::of(&file.common, &certificates::Options::default(), &file.seal);
        let mut silent = told(&[]).seal;
        kept.fill_seal(&mut silent).unwrap();
        assert_eq!(said(&silent), None, "and it stays so");
    }
}
