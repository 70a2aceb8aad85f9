//! Where perclouds may connect to: the operator's options, and the judgement on one address.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{refusal::Refusal, target};
use crate::{dns::is_below, edge::Network};

/// Web and mail, encrypted or upgraded. Not 25: whoever may send mail to strangers makes the machine's address known for spam.
const PORTS: [u16; 6] = [80, 143, 443, 465, 587, 993];
/// Port of plain HTTP, which everybody may reach on any machine that has it.
const HTTP: u16 = 80;

/// What perclouds may connect to.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "egress")] // flattened into other `Options`, whose name is taken
pub struct Options {
    /// A port that perclouds may connect to, may be repeated; those of web and mail (80, 143, 443, 465, 587, 993) unless given.
    #[arg(long = "egress-port", value_name = "N")]
    pub ports: Vec<u16>,
    /// A name that perclouds may not connect to, nor to those below it; may be repeated.
    #[arg(long = "egress-deny-host", value_name = "NAME", value_parser = denied)]
    pub deny_hosts: Vec<String>,
    /// A network that perclouds may connect to although it is not public, as in `10.1.2.3/32`: the provider's own mail relay, for instance.
    #[arg(long = "egress-allow-address", value_name = "NETWORK")]
    pub allow_addresses: Vec<Network>,
}

fn denied(text: &str) -> Result<String, String> {
    target::name(text).map_err(|_| format!("{text} is not a name of the Internet's"))
}

impl Options {
    /// The same as arguments of a role.
    #[must_use]
    pub fn args(&self) -> Vec<String> {
        let of = |name: &str, value: String| [format!("--egress-{name}"), value];
        let ports = self.ports.iter().flat_map(|port| of("port", port.to_string()));
        let hosts = self.deny_hosts.iter().flat_map(|host| of("deny-host", host.clone()));
        let networks = self.allow_addresses.iter().flat_map(|network| of("allow-address", network.to_string()));
        ports.chain(hosts).chain(networks).collect()
    }
}

/// The options, ready to judge by.
#[derive(Debug)]
pub(super) struct Rules {
    ports: BTreeSet<u16>,
    denied: Vec<String>,
    allowed: Vec<Network>,
    /// Ports of this machine that are everybody's.
    public: [u16; 2],
}

impl Rules {
    /// `edge` is the port of the provider's own HTTPS.
    pub(super) fn new(options: &Options, edge: u16) -> Self {
        let ports = if options.ports.is_empty() { PORTS.into() } else { options.ports.iter().copied().collect() };
        let (denied, allowed) = (options.deny_hosts.clone(), options.allow_addresses.clone());
        Self { ports, denied, allowed, public: [HTTP, edge] }
    }

    /// Whether this name and port may be asked for at all.
    pub(super) fn judge_target(&self, target: &target::Target) -> Result<(), Refusal> {
        if !self.ports.contains(&target.port) {
            return Err(Refusal::Port);
        }
        match self.denied.iter().any(|denied| is_below(&target.host, denied)) {
            true => Err(Refusal::DeniedHost),
            false => Ok(()),
        }
    }

    /// Whether this address may be connected to. `ours` are this machine's: of them only what all the world may reach, so that
    /// perclouds of one provider reach each other through the edge as anybody does, and nothing behind the firewall. What leads to one of
    /// them by way of a translator is that one.
    pub(super) fn judge_address(&self, ip: IpAddr, port: u16, ours: &[IpAddr]) -> Result<(), Refusal> {
        if self.allowed.iter().any(|network| network.contains(ip)) {
            return Ok(());
        }
        if !bundle::is_public(ip) {
            return Err(Refusal::NotPublic);
        }
        let inner = match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => bundle::carried(ip).map(IpAddr::V4),
        };
        if ours.iter().any(|our| *our == ip || Some(*our) == inner) && !self.public.contains(&port) {
            return Err(Refusal::OurOwn);
        }
        Ok(())
    }
}

/// This machine's addresses of now.
pub(super) fn ours() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let ip = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    interfaces.filter_map(ip).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> target::Target {
        target::Target::parse(text).unwrap()
    }

    #[test]
    fn ports_and_names_are_the_operators_choice() {
        let usual = Rules::new(&Options::default(), 8443);
        assert_eq!(usual.judge_target(&target("example.org:443")), Ok(()));
        for port in [22, 25, 53, 3306, 5432, 6379, 8443] {
            assert_eq!(usual.judge_target(&target(&format!("example.org:{port}"))), Err(Refusal::Port), "{port}");
        }
        let deny_hosts = vec!["bad.org".to_owned()];
        let chosen = Rules::new(&Options { ports: vec![25], deny_hosts, allow_addresses: Vec::new() }, 8443);
        assert_eq!(chosen.judge_target(&target("example.org:25")), Ok(()));
        assert_eq!(chosen.judge_target(&target("example.org:443")), Err(Refusal::Port));
        assert_eq!(chosen.judge_target(&target("x.bad.org:25")), Err(Refusal::DeniedHost));
        assert_eq!(chosen.judge_target(&target("notbad.org:25")), Ok(()));
    }

    #[test]
    fn of_our_own_machine_only_what_all_the_world_may_reach() {
        let allow_addresses = vec!["10.0.0.7".parse().unwrap()];
        let rules = Rules::new(&Options { allow_addresses, ..Options::default() }, 443);
        let ours = ["198.45.1.1".parse().unwrap(), "10.0.0.1".parse().unwrap()];
        let judge = |ip: &str, port| rules.judge_address(ip.parse().unwrap(), port, &ours);
        assert_eq!(judge("198.45.1.2", 587), Ok(()));
        assert_eq!(judge("198.45.1.1", 443), Ok(()));
        assert_eq!(judge("198.45.1.1", 587), Err(Refusal::OurOwn));
        // 198.45.1.1 and 198.45.1.2 by way of NAT64 and 6to4.
        for (ours, others) in [("64:ff9b::c62d:101", "64:ff9b::c62d:102"), ("2002:c62d:101::1", "2002:c62d:102::1")] {
            assert_eq!((judge(ours, 587), judge(ours, 443)), (Err(Refusal::OurOwn), Ok(())), "{ours}");
            assert_eq!(judge(others, 587), Ok(()), "{others}");
        }
        // A translator of one's own, mapped, compatible: nobody is reached so.
        for ip in ["64:ff9b:1::c62d:101", "64:ff9b:1:c62d:1:100::", "::ffff:198.45.1.1", "::198.45.1.1"] {
            assert_eq!(judge(ip, 443), Err(Refusal::NotPublic), "{ip}");
        }
        assert_eq!(judge("10.0.0.1", 443), Err(Refusal::NotPublic));
        assert_eq!(judge("10.0.0.7", 587), Ok(()));
        assert!(ours_has_loopback());
    }

    fn ours_has_loopback() -> bool {
        super::ours().iter().any(IpAddr::is_loopback)
    }
}
