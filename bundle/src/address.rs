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

/// The IPv4 address that is reached by this one, where somebody on the way may translate (NAT64, 6to4). Of all other forms that carry one
/// none is public.
#[must_use]
pub fn carried(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    match ip.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}
