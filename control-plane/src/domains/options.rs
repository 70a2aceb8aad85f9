//! What an operator says of own domains.

use std::net::IpAddr;

use crate::dns;

/// Where own domains must lead, and how DNS is asked.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "domains")] // flattened into other `Options`, whose name is taken
pub struct Options {
    /// An address of the edge that the Internet knows, for A and AAAA records of own domains; the base domain's own when not given.
    #[arg(long = "public-address", env = "PERCLOUD_PUBLIC_ADDRESSES", value_delimiter = ',', value_name = "IP")]
    pub public_addresses: Vec<IpAddr>,
    /// The name under which DNS hosts know this provider's Domain Connect template; the base domain unless given.
    #[arg(long, env = "PERCLOUD_DOMAIN_CONNECT_PROVIDER", value_name = "NAME")]
    pub domain_connect_provider: Option<String>,
    /// How DNS is asked.
    #[command(flatten)]
    pub dns: dns::Options,
}

impl Options {
    /// The same as arguments of a role.
    #[must_use]
    pub fn args(&self) -> Vec<String> {
        let mut args: Vec<String> =
            self.public_addresses.iter().flat_map(|ip| ["--public-address".into(), ip.to_string()]).collect();
        args.extend(
            self.domain_connect_provider.iter().flat_map(|name| ["--domain-connect-provider".into(), name.clone()]),
        );
        args.extend(self.dns.args());
        args
    }
}
