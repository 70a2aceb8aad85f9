//! Which addresses are the Internet's, and not somebody's own network. The provider's way out asks it, and a runtime at home.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one of the public Internet's: for everything that a stranger can make us connect to.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => public_v4(ip),
        IpAddr::V6(ip) => public_v6(ip),
    }
}

/// A cloud tells its machines their secrets here, and counts the address among the public ones (Azure's WireServer).
const METADATA: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

/// By the IANA registry of special-purpose addresses.
fn public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip == METADATA
        || matches!(a, 0 | 10 | 127 | 224..)
        || matches!((a, b), (100, 64..=127) | (169, 254) | (172, 16..=31) | (192, 168) | (198, 18 | 19))
        || matches!((a, b, c), (192, 0, 0 | 2) | (192, 88, 99) | (198, 51, 100) | (203, 0, 113)))
}

/// Only global unicast, and none of it that carries an IPv4 address which is not public itself.
fn public_v6(ip: Ipv6Addr) -> bool {
    if let Some(inner) = carried(ip) {
        return public_v4(inner);
    }
    match ip.segments() {
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false, // protocols, documentation
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// An address, and the one that is reached by it where somebody on the way may translate.
pub fn either_way(ip: IpAddr) -> impl Iterator<Item = IpAddr> {
    let inner = match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => carried(ip).map(IpAddr::V4),
    };
    std::iter::once(ip).chain(inner)
}

/// The IPv4 address that is reached by this one, where somebody on the way may translate (NAT64, 6to4). Of all other forms that carry one
/// none is public.
fn carried(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

/// One of this machine's own addresses, and how large the network is that it is in: whoever is in there, too, is a neighbour behind the
/// same router, and not the Internet, however public the addresses are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The address.
    pub ip: IpAddr,
    /// Bits that the network's addresses have in common.
    pub length: u8,
}

impl Link {
    /// Of an interface's address and mask; an address that stands alone where there is none.
    #[must_use]
    pub fn new(ip: IpAddr, mask: Option<IpAddr>) -> Self {
        let length = match mask {
            Some(IpAddr::V4(mask)) => mask.to_bits().leading_ones(),
            Some(IpAddr::V6(mask)) => mask.to_bits().leading_ones(),
            None => 128,
        };
        Self { ip, length: u8::try_from(length).unwrap_or(128) }
    }

    /// Whether an address is reached without a router. A network of everybody is an odd way to write a tunnel, and no neighbourhood.
    #[must_use]
    pub fn reaches(&self, ip: IpAddr) -> bool {
        let same = |a: u128, b: u128, of: u32| {
            let apart = of.saturating_sub(self.length.into());
            self.length > 0 && (a ^ b).checked_shr(apart).unwrap_or(0) == 0
        };
        match (self.ip, ip) {
            (IpAddr::V4(ours), IpAddr::V4(its)) => same(ours.to_bits().into(), its.to_bits().into(), 32),
            (IpAddr::V6(ours), IpAddr::V6(its)) => same(ours.to_bits(), its.to_bits(), 128),
            _ => false,
        }
    }

    /// The same, also by way of a translator.
    #[must_use]
    pub fn leads_to(&self, ip: IpAddr) -> bool {
        either_way(ip).any(|ip| self.reaches(ip))
    }
}

/// This machine's addresses of now, and the networks that they are in; none when the kernel does not say.
#[must_use]
pub fn links() -> Vec<Link> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let ip = |address: nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    interfaces.filter_map(|one| Some(Link::new(ip(one.address?)?, one.netmask.and_then(ip)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_in_which_networks_we_are() {
        let loopback = Link { ip: Ipv4Addr::LOCALHOST.into(), length: 8 };
        assert!(links().contains(&loopback), "{:?}", links());
    }

    #[test]
    fn neighbours_are_known_by_the_mask_and_through_translators() {
        let link = |ip: &str, mask: &str| Link::new(ip.parse().unwrap(), mask.parse().ok());
        let table = [
            (link("198.45.0.10", "255.255.255.0"), "198.45.0.20", true),
            (link("198.45.0.10", "255.255.255.0"), "198.45.1.20", false),
            (link("198.45.0.10", "255.255.255.0"), "64:ff9b::c62d:14", true),
            (link("198.45.0.10", "255.255.255.0"), "2002:c62d:114::1", false),
            (link("198.45.0.10", "255.255.255.255"), "198.45.0.10", true),
            (link("198.45.0.10", "255.255.255.255"), "198.45.0.11", false),
            (link("198.45.0.10", ""), "198.45.0.11", false),
            (link("198.45.0.10", "0.0.0.0"), "198.45.0.11", false),
            (link("2a00:1:2:3::10", "ffff:ffff:ffff:ffff::"), "2a00:1:2:3:ff::20", true),
            (link("2a00:1:2:3::10", "ffff:ffff:ffff:ffff::"), "2a00:1:2:4::20", false),
            (link("2a00:1:2:3::10", "::"), "2a00:1:2:3::20", false),
        ];
        for (link, ip, expected) in table {
            assert_eq!(link.leads_to(ip.parse().unwrap()), expected, "{link:?} {ip}");
        }
    }
}
