//! PROXY protocol, version 2, from load balancers in front of the edge: who the client is when its connection is not its own.
//!
//! Only networks named by `--proxy-protocol` may speak it, and they must: an address that anybody could claim would be
//! worth nothing, and one that is missing would put a balancer's whole crowd under one address's limits.

use std::fmt::{self, Display};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ppp::v2::{Addresses, Command, Header};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The fixed part: signature, version and command, family, length.
const FIXED: usize = 16;
/// Addresses and what else a balancer may say (a certificate's name, an id); ours never needs more.
const LONGEST: usize = 4096;

/// A network, as in `10.0.0.0/8`; one address without a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        fn same(a: u128, b: u128, length: u32, of: u32) -> bool {
            // Shifting by all bits there are is not defined.
            length == 0 || (a ^ b) >> (of - length) == 0
        }
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(its)) => {
                same(ours.to_bits().into(), its.to_bits().into(), self.length.into(), 32)
            }
            (IpAddr::V6(ours), IpAddr::V6(its)) => same(ours.to_bits(), its.to_bits(), self.length.into(), 128),
            _ => false,
        }
    }
}

impl Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| format!("{address} is no address"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Ok(most), str::parse).ok().filter(|length| *length <= most);
        let length = length.ok_or_else(|| format!("a network's length is between 0 and {most}"))?;
        Ok(Self { address: address.to_canonical(), length })
    }
}

/// Reads the header that a trusted balancer sends first, and nothing after it; gives the client's address. A balancer's own
/// connection (its health check) has none but the balancer's.
///
/// # Errors
/// When there is none, or it is not one of version 2.
pub(super) async fn read(stream: &mut TcpStream, peer: SocketAddr) -> io::Result<SocketAddr> {
    let mut header = vec![0; FIXED];
    stream.read_exact(&mut header).await?;
    if !header.starts_with(ppp::v2::PROTOCOL_PREFIX) {
        return Err(odd("no PROXY header from one who must send it"));
    }
    let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if rest > LONGEST {
        return Err(odd("a PROXY header that is too long"));
    }
    header.resize(FIXED + rest, 0);
    stream.read_exact(&mut header[FIXED..]).await?;
    let header = Header::try_from(&header[..]).map_err(|_| odd("a PROXY header that cannot be read"))?;
    match (header.command, header.addresses) {
        (Command::Proxy, Addresses::IPv4(a)) => Ok((a.source_address, a.source_port).into()),
        (Command::Proxy, Addresses::IPv6(a)) => Ok((a.source_address, a.source_port).into()),
        (Command::Local, _) => Ok(peer),
        (Command::Proxy, _) => Err(odd("a PROXY header without an address")),
    }
}

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("0.0.0.0/0", "203.0.113.1", "::1"),
            ("::1", "::1", "::2"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
            assert!(parsed.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{network} {outside}");
        }
        for odd in ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "ten/8", "10.0.0.0/-1"] {
            assert!(odd.parse::<Network>().is_err(), "{odd}");
        }
    }
}
