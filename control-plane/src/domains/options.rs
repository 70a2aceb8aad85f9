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
    /// An address at which the edge answers still and which goes away: domains that lead there work, and their owners are told to change it.
    #[arg(long = "former-address", env = "PERCLOUD_FORMER_ADDRESSES", value_delimiter = ',', value_name = "IP")]
    pub former_addresses: Vec<IpAddr>,
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
        let addresses = |name: &'static str, all: &[IpAddr]| -> Vec<String> {
            all.iter().flat_map(|ip| [name.to_owned(), ip.to_string()]).collect()
        };
        let mut args = addresses("--public-address", &self.public_addresses);
        args.extend(addresses("--former-address", &self.former_addresses));
        args.extend(
            self.domain_connect_provider.iter().flat_map(|name| ["--domain-connect-provider".into(), name.clone()]),
        );
        args.extend(self.dns.args());
        args
    }
}

/// The edge's addresses, as own domains have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    /// What owners are told to set.
    pub(super) current: Vec<IpAddr>,
    /// Where the edge answers still, and which go away: none of the above.
    pub(super) former: Vec<IpAddr>,
}

impl Addresses {
    /// What goes away is not to be set, though it may stand among the others still; unless nothing would be left to set.
    pub(super) fn new(given: Vec<IpAddr>, former: &[IpAddr]) -> Self {
        let stay: Vec<IpAddr> = given.iter().filter(|ip| !former.contains(ip)).copied().collect();
        let current = if stay.is_empty() { given } else { stay };
        let former = former.iter().filter(|ip| !current.contains(ip)).copied().collect();
        Self { current, former }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Told {
        #[command(flatten)]
        domains: Options,
    }

    fn ips(all: &[&str]) -> Vec<IpAddr> {
        all.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn what_up_is_told_of_addresses_arrives_at_the_reconciler() {
        let told = ["up", "--public-address", "192.0.2.7", "--former-address", "192.0.2.1,2001:db8::1"];
        let domains = Told::parse_from(told.iter().chain(&["--former-address", "192.0.2.2"])).domains;
        assert_eq!(domains.former_addresses, ips(&["192.0.2.1", "2001:db8::1", "192.0.2.2"]));
        let handed_on = Told::parse_from([vec!["reconcile".to_owned()], domains.args()].concat()).domains;
        assert_eq!(handed_on.public_addresses, domains.public_addresses);
        assert_eq!(handed_on.former_addresses, domains.former_addresses);
    }

    #[test]
    fn an_address_that_goes_away_is_not_to_be_set() {
        for (given, former, current, leaving) in [
            (vec!["192.0.2.7"], vec!["192.0.2.1"], vec!["192.0.2.7"], vec!["192.0.2.1"]),
            (vec!["192.0.2.7", "192.0.2.1"], vec!["192.0.2.1"], vec!["192.0.2.7"], vec!["192.0.2.1"]),
            (vec!["192.0.2.1"], vec!["192.0.2.1"], vec!["192.0.2.1"], vec![]),
            (vec!["192.0.2.7"], vec![], vec!["192.0.2.7"], vec![]),
        ] {
            let addresses = Addresses::new(ips(&given), &ips(&former));
            assert_eq!(addresses, Addresses { current: ips(&current), former: ips(&leaving) }, "{given:?} {former:?}");
        }
    }
}
