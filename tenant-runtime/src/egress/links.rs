//! The networks that this machine is in. Whoever is in there, too, stands behind the same router: the router itself, a printer, what else
//! is at home. With IPv6 all of them have public addresses.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ptr,
};

use bundle::Link;

/// All of them now; none when the kernel does not say.
pub(super) fn all() -> Vec<Link> {
    let mut first = ptr::null_mut();
    // SAFETY: `first` is written only, and is a list that is ours to free when nought is returned.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Vec::new();
    }
    let (mut links, mut next) = (Vec::new(), first);
    while !next.is_null() {
        // SAFETY: a part of the list, which is freed after the last look at it.
        let one = unsafe { &*next };
        // SAFETY: each is null or an address of the family that it names.
        let (ip, mask) = unsafe { (address(one.ifa_addr), address(one.ifa_netmask)) };
        links.extend(ip.map(|ip| Link::new(ip, mask)));
        next = one.ifa_next;
    }
    // SAFETY: it came from `getifaddrs`, and nothing of it is kept.
    unsafe { libc::freeifaddrs(first) };
    links
}

/// # Safety
///
/// Null, or an address of the family that it names.
unsafe fn address(at: *const libc::sockaddr) -> Option<IpAddr> {
    if at.is_null() {
        return None;
    }
    // SAFETY: as promised; read without asking how it lies in memory.
    unsafe {
        match i32::from(ptr::read_unaligned(at).sa_family) {
            libc::AF_INET => {
                let v4 = ptr::read_unaligned(at.cast::<libc::sockaddr_in>());
                Some(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into())
            }
            libc::AF_INET6 => {
                let v6 = ptr::read_unaligned(at.cast::<libc::sockaddr_in6>());
                Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_in_which_networks_we_are() {
        let all = all();
        let loopback = Link { ip: Ipv4Addr::LOCALHOST.into(), length: 8 };
        assert!(all.contains(&loopback), "{all:?}");
    }
}
