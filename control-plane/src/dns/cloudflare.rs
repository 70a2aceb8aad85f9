//! Where Cloudflare's proxy answers: what DNS says of a name whose orange cloud is on, instead of what the owner typed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Published at <https://www.cloudflare.com/ips-v4>; written down in November 2026 from copies of 2024 and February 2026, which agree.
/// It changes every few years; a name in a range that is not here is told the general words.
const V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(103, 21, 244, 0), 22),
    (Ipv4Addr::new(103, 22, 200, 0), 22),
    (Ipv4Addr::new(103, 31, 4, 0), 22),
    (Ipv4Addr::new(104, 16, 0, 0), 13),
    (Ipv4Addr::new(104, 24, 0, 0), 14),
    (Ipv4Addr::new(108, 162, 192, 0), 18),
    (Ipv4Addr::new(131, 0, 72, 0), 22),
    (Ipv4Addr::new(141, 101, 64, 0), 18),
    (Ipv4Addr::new(162, 158, 0, 0), 15),
    (Ipv4Addr::new(172, 64, 0, 0), 13),
    (Ipv4Addr::new(173, 245, 48, 0), 20),
    (Ipv4Addr::new(188, 114, 96, 0), 20),
    (Ipv4Addr::new(190, 93, 240, 0), 20),
    (Ipv4Addr::new(197, 234, 240, 0), 22),
    (Ipv4Addr::new(198, 41, 128, 0), 17),
];

/// The same for IPv6, from the copy of February 2026: <https://www.cloudflare.com/ips-v6>.
const V6: [(Ipv6Addr, u32); 7] = [
    (Ipv6Addr::new(0x2400, 0xcb00, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2405, 0x8100, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2405, 0xb500, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2803, 0xf800, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2a06, 0x98c0, 0, 0, 0, 0, 0, 0), 29),
    (Ipv6Addr::new(0x2c0f, 0xf248, 0, 0, 0, 0, 0, 0), 32),
];

/// Whether an address is one of Cloudflare's.
#[must_use]
pub fn answers_at(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => V4.iter().any(|(first, bits)| (ip.to_bits() ^ first.to_bits()) >> (32 - bits) == 0),
        IpAddr::V6(ip) => V6.iter().any(|(first, bits)| (ip.to_bits() ^ first.to_bits()) >> (128 - bits) == 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_where_it_was_published_to_end() {
        for (ip, theirs) in [
            ("103.21.243.255", false),
            ("103.21.244.0", true),
            ("103.21.247.255", true),
            ("103.21.248.0", false),
            ("104.15.255.255", false),
            ("104.16.0.0", true),
            ("104.21.37.4", true),
            ("104.27.255.255", true),
            ("104.28.0.0", false),
            ("162.157.255.255", false),
            ("162.159.255.255", true),
            ("172.63.255.255", false),
            ("172.67.180.9", true),
            ("172.71.255.255", true),
            ("172.72.0.0", false),
            ("198.41.127.255", false),
            ("198.41.255.255", true),
            ("203.0.113.9", false),
            ("2606:4700:3033::ac43:b409", true),
            ("2606:4701::", false),
            ("2a06:98bf:ffff::", false),
            ("2a06:98c0::", true),
            ("2a06:98c7:ffff::1", true),
            ("2a06:98c8::", false),
            ("2001:db8::9", false),
        ] {
            assert_eq!(answers_at(ip.parse().unwrap()), theirs, "{ip}");
        }
        let aligned = |first: u128, bits: u32, all: u32| first << (128 - all + bits) == 0;
        assert!(
            V4.iter().all(|(first, bits)| aligned(first.to_bits().into(), *bits, 32)),
            "each begins at its own edge"
        );
        assert!(V6.iter().all(|(first, bits)| aligned(first.to_bits(), *bits, 128)), "each begins at its own edge");
    }
}
