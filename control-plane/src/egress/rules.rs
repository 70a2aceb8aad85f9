//! Where perclouds may connect to: the operator's options, and the judgement on one address.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use bundle::Link;

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
    /// A network that perclouds may connect to although it is not public, denied, or the one that this machine is in; with a port that one
    /// only, as in `10.1.2.3:587` or `[fd00::7]:587`: the provider's own mail relay, for instance. Of this machine itself, only an address
    /// that is named alone and with its port. May be repeated.
    #[arg(long = "egress-allow-address", value_name = "NETWORK[:PORT]")]
    pub allow_addresses: Vec<Allowed>,
    /// A network that perclouds may not connect to although it is public, as in `192.0.2.0/24`: other machines of the house. May be repeated.
    #[arg(long = "egress-deny-address", value_name = "NETWORK")]
    pub deny_addresses: Vec<Network>,
}

/// What an operator opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    network: Network,
    /// One port; all that perclouds may connect to when none is given.
    port: Option<u16>,
}

impl Allowed {
    fn opens(&self, ip: IpAddr, port: u16) -> bool {
        self.network.contains(ip) && self.port.is_none_or(|only| only == port)
    }

    /// Whether it means this place and no other.
    fn names(&self, ip: IpAddr, port: u16) -> bool {
        self.port == Some(port) && ip.to_string().parse() == Ok(self.network)
    }
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once("]:"));
        let with_port = bracketed.or_else(|| text.split_once(':').filter(|(_, port)| !port.contains(':')));
        let (network, port) = with_port.map_or((text, None), |(network, port)| (network, Some(port)));
        let port = port.map(|port| port.parse().map_err(|_| format!("{port} is no port"))).transpose()?;
        Ok(Self { network: network.parse()?, port })
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = self.network.to_string();
        match self.port {
            None => f.write_str(&network),
            Some(port) if network.contains(':') => write!(f, "[{network}]:{port}"),
            Some(port) => write!(f, "{network}:{port}"),
        }
    }
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
        let allowed = self.allow_addresses.iter().flat_map(|allowed| of("allow-address", allowed.to_string()));
        let networks = self.deny_addresses.iter().flat_map(|network| of("deny-address", network.to_string()));
        ports.chain(hosts).chain(allowed).chain(networks).collect()
    }
}

/// The options, ready to judge by.
#[derive(Debug)]
pub(super) struct Rules {
    ports: BTreeSet<u16>,
    denied: Vec<String>,
    allowed: Vec<Allowed>,
    closed: Vec<Network>,
    /// Ports of this machine that are everybody's.
    public: [u16; 3],
}

impl Rules {
    /// The provider's own HTTPS is at `edge`, and for people at `front`.
    pub(super) fn new(options: &Options, [edge, front]: [u16; 2]) -> Self {
        let ports = if options.ports.is_empty() { PORTS.into() } else { options.ports.iter().copied().collect() };
        let (denied, allowed) = (options.deny_hosts.clone(), options.allow_addresses.clone());
        Self { ports, denied, allowed, closed: options.deny_addresses.clone(), public: [HTTP, edge, front] }
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

    /// Whether this address may be connected to, by a machine that has these `links`. What the operator says comes before what we say of
    /// networks, but not before what holds for our own machine: whoever opens a network does not think of what else listens there. What leads
    /// to somewhere by way of a translator is that place.
    pub(super) fn judge_address(&self, ip: IpAddr, port: u16, links: &[Link]) -> Result<(), Refusal> {
        let is_ours = |link: &Link| Link::new(link.ip, None).leads_to(ip);
        if links.iter().any(is_ours) {
            return self.judge_our_own(ip, port);
        }
        if self.allowed.iter().any(|allowed| allowed.opens(ip, port)) {
            return Ok(());
        }
        if self.closed.iter().any(|network| bundle::either_way(ip).any(|ip| network.contains(ip))) {
            return Err(Refusal::DeniedAddress);
        }
        if !bundle::is_public(ip) {
            return Err(Refusal::NotPublic);
        }
        match links.iter().any(|link| link.leads_to(ip)) {
            true => Err(Refusal::Neighbour),
            false => Ok(()),
        }
    }

    /// Of our own machine only what all the world may reach, so that perclouds of one provider reach each other through the edge as
    /// anybody does, and nothing behind the firewall.
    fn judge_our_own(&self, ip: IpAddr, port: u16) -> Result<(), Refusal> {
        if self.allowed.iter().any(|allowed| allowed.names(ip, port)) {
            return Ok(());
        }
        match bundle::is_public(ip) {
            false => Err(Refusal::NotPublic),
            true if self.public.contains(&port) => Ok(()),
            true => Err(Refusal::OurOwn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> target::Target {
        target::Target::parse(text).unwrap()
    }

    #[test]
    fn ports_and_names_are_the_operators_choice() {
        let usual = Rules::new(&Options::default(), [8443; 2]);
        assert_eq!(usual.judge_target(&target("example.org:443")), Ok(()));
        for port in [22, 25, 53, 3306, 5432, 6379, 8443] {
            assert_eq!(usual.judge_target(&target(&format!("example.org:{port}"))), Err(Refusal::Port), "{port}");
        }
        let deny_hosts = vec!["bad.org".to_owned()];
        let chosen = Rules::new(&Options { ports: vec![25], deny_hosts, ..Options::default() }, [8443; 2]);
        assert_eq!(chosen.judge_target(&target("example.org:25")), Ok(()));
        assert_eq!(chosen.judge_target(&target("example.org:443")), Err(Refusal::Port));
        assert_eq!(chosen.judge_target(&target("x.bad.org:25")), Err(Refusal::DeniedHost));
        assert_eq!(chosen.judge_target(&target("notbad.org:25")), Ok(()));
    }

    fn links(all: &[&str]) -> Vec<Link> {
        let link = |text: &&str| {
            let (ip, mask) = text.split_once('/').unwrap();
            Link::new(ip.parse().unwrap(), mask.parse().ok())
        };
        all.iter().map(link).collect()
    }

    fn allow(all: &[&str]) -> Rules {
        let allow_addresses = all.iter().map(|text| text.parse().unwrap()).collect();
        Rules::new(&Options { allow_addresses, ..Options::default() }, [8443, 443])
    }

    #[test]
    fn of_our_own_machine_only_what_all_the_world_may_reach() {
        let rules = allow(&["10.0.0.7"]);
        let here = links(&["198.45.1.1/255.255.255.255", "10.0.0.1/255.0.0.0"]);
        let judge = |ip: &str, port| rules.judge_address(ip.parse().unwrap(), port, &here);
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
        assert!(bundle::links().iter().any(|link| link.ip.is_loopback() && link.length == 8), "the kernel's own words");
    }

    #[test]
    fn what_is_opened_is_opened_for_its_port_and_never_our_own_machine_along_with_it() {
        let here = links(&["10.0.0.5/255.255.255.0", "198.45.1.1/255.255.255.0"]);
        let table = [
            // A network that we are in ourselves.
            ("10.0.0.0/24", "10.0.0.6", 587, Ok(())),
            ("10.0.0.0/24", "10.0.0.5", 587, Err(Refusal::NotPublic)),
            ("10.0.0.0/24:587", "10.0.0.5", 587, Err(Refusal::NotPublic)),
            ("198.45.1.0/24", "198.45.1.1", 587, Err(Refusal::OurOwn)),
            // A relay, and not its web page.
            ("10.0.0.6:587", "10.0.0.6", 587, Ok(())),
            ("10.0.0.6:587", "10.0.0.6", 443, Err(Refusal::NotPublic)),
            ("[fd00::/8]:587", "fd00::6", 587, Ok(())),
            ("[fd00::/8]:587", "fd00::6", 443, Err(Refusal::NotPublic)),
            // One on this machine, which is meant and no other.
            ("10.0.0.5:587", "10.0.0.5", 587, Ok(())),
            ("10.0.0.5:587", "10.0.0.5", 443, Err(Refusal::NotPublic)),
            ("10.0.0.5/32", "10.0.0.5", 587, Err(Refusal::NotPublic)),
        ];
        for (option, ip, port, expected) in table {
            assert_eq!(
                allow(&[option]).judge_address(ip.parse().unwrap(), port, &here),
                expected,
                "{option} {ip} {port}"
            );
        }
        for (text, written) in [
            ("10.1.2.3", "10.1.2.3/32"),
            ("10.1.0.0/16:25", "10.1.0.0/16:25"),
            ("fd00::/8", "fd00::/8"),
            ("[fd00::7]:587", "[fd00::7/128]:587"),
        ] {
            let allowed: Allowed = text.parse().unwrap();
            assert_eq!((allowed.to_string(), written.parse()), (written.to_owned(), Ok(allowed)), "{text}");
        }
        for odd in ["", "10.1.2.3:", "10.1.2.3:x", "10.1.2.3/33:25", "[fd00::7]", "[fd00::7]:99999", "mail.example:25"]
        {
            assert!(odd.parse::<Allowed>().is_err(), "{odd}");
        }
    }

    #[test]
    fn neighbours_are_not_the_internet_however_public_their_addresses_nor_is_what_the_operator_denies() {
        let here = links(&["198.45.1.1/255.255.255.0", "2a00:1:2:3::1/ffff:ffff:ffff:ffff::"]);
        let mut rules = allow(&["198.45.1.7:587", "198.46.0.7"]);
        rules.closed = vec!["198.46.0.0/16".parse().unwrap(), "2a00:9::/32".parse().unwrap()];
        for (ip, port, expected) in [
            ("198.45.1.2", 443, Err(Refusal::Neighbour)),
            ("64:ff9b::c62d:102", 443, Err(Refusal::Neighbour)),
            ("2a00:1:2:3:ff::2", 443, Err(Refusal::Neighbour)),
            ("198.45.1.7", 587, Ok(())),
            ("198.45.1.7", 443, Err(Refusal::Neighbour)),
            ("198.45.2.2", 443, Ok(())),
            ("2a00:1:2:4::2", 443, Ok(())),
            ("198.46.7.7", 443, Err(Refusal::DeniedAddress)),
            ("64:ff9b::c62e:707", 443, Err(Refusal::DeniedAddress)),
            ("2a00:9::1", 443, Err(Refusal::DeniedAddress)),
            ("198.46.0.7", 443, Ok(())),
            ("198.45.1.1", 443, Ok(())),
        ] {
            assert_eq!(rules.judge_address(ip.parse().unwrap(), port, &here), expected, "{ip} {port}");
        }
    }
}
