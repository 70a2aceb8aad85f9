//! Asks DNS itself: which servers a name's zone has, and what each of them says.
//!
//! A recursive resolver only finds the zone and its servers; what a record says is asked of those servers directly, several of them, since
//! a resolver's memory shows an owner what was there an hour ago. Names come from strangers, and so do the addresses of their name servers:
//! only public addresses are asked ([`is_public`]), unless `--dns-allow-private` says that this network is a closed one.

pub mod cloudflare;
pub mod hosts;
mod look;
mod reach;
#[cfg(test)]
mod tests;
mod zone;

use std::net::{IpAddr, SocketAddr};

pub use bundle::is_public;
pub use look::{Answer, Answers, Facts, HostFacts, Question};
pub(crate) use reach::Nowhere;
use tls::dns::Resolvers;
pub(crate) use tls::dns::is_below;
pub use tls::dns::{Caa, CaaAsker, Silence};
pub use zone::{NameServer, Trouble, Zone};

/// How DNS is asked.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "dns")] // flattened into other `Options`, whose name is taken
pub struct Options {
    /// A recursive resolver to ask, as IP or IP:PORT; those of `/etc/resolv.conf` unless given.
    #[arg(long = "dns-server", env = "PERCLOUD_DNS_SERVER", value_delimiter = ',', value_name = "IP[:PORT]", value_parser = tls::dns::server)]
    pub dns_servers: Vec<SocketAddr>,
    /// Ask name servers with private addresses too: for closed networks; never where strangers may claim domains.
    #[arg(long, env = "PERCLOUD_DNS_ALLOW_PRIVATE")]
    pub dns_allow_private: bool,
    /// The port of authoritative servers; another one is for tests.
    #[arg(long, env = "PERCLOUD_DNS_AUTHORITY_PORT", hide = true, default_value_t = 53, value_name = "N")]
    pub dns_authority_port: u16,
}

impl Options {
    /// The same as arguments of a role.
    #[must_use]
    pub fn args(&self) -> Vec<String> {
        let mut args: Vec<String> =
            self.dns_servers.iter().flat_map(|server| ["--dns-server".into(), server.to_string()]).collect();
        if self.dns_allow_private {
            args.push("--dns-allow-private".into());
        }
        if ![0, 53].contains(&self.dns_authority_port) {
            args.extend(["--dns-authority-port".into(), self.dns_authority_port.to_string()]);
        }
        args
    }
}

/// The way to ask.
#[derive(Clone, Debug)]
pub struct Dns {
    resolvers: Resolvers,
    allow_private: bool,
    authority_port: u16,
}

impl Dns {
    /// Ready to ask; nothing is asked yet. Without any resolver every question goes unanswered, and says so.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let resolvers = match &options.dns_servers[..] {
            [] => Resolvers::system(),
            servers => Resolvers::new(servers),
        };
        if resolvers.is_empty() {
            tracing::warn!("the machine names no DNS resolver; see --dns-server");
        }
        let authority_port = if options.dns_authority_port == 0 { 53 } else { options.dns_authority_port };
        Self { resolvers, allow_private: options.dns_allow_private, authority_port }
    }

    /// Whom it asks to find things out.
    #[must_use]
    pub fn resolvers(&self) -> &Resolvers {
        &self.resolvers
    }

    /// Whether this network is a closed one.
    pub(crate) fn allows_private(&self) -> bool {
        self.allow_private
    }

    /// Whether a server at this address may be asked.
    #[must_use]
    pub fn may_reach(&self, ip: IpAddr) -> bool {
        self.allow_private || is_public(ip)
    }
}
