//! How many requests are answered at the same time: of each percloud, and of the portal; and of those, how many from one address.
//!
//! Whoever asks and then takes nothing, or sends a body a byte at a time, costs nothing to keep up and keeps a place: so one address has
//! a part of the places and no more, and the others stay for everybody else.
//!
//! And how many connections are kept for each percloud when they are done: those, too, are places of its runtime's.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::limits;

/// Addresses are told apart as so many: two that meet in one share a part, and nobody can choose to meet another.
const PLACES: usize = 64;
/// Sockets are told apart as so many: two that meet in one share what is kept.
const SOCKETS: usize = 4096;

/// What an address counts as: an IPv6 network of one customer, at least, as one; this machine itself as none.
pub(super) fn network(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V6(v6) => Some(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)))),
        address => Some(address),
    }
}

/// Where somebody comes from, as one of [`PLACES`]; nowhere for this machine itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whence(Option<u8>);

impl Whence {
    /// `hasher` is the same for all of an edge, and its secret.
    pub(super) fn of(hasher: &RandomState, address: IpAddr) -> Self {
        Self(network(address).map(|network| (hasher.hash_one(network) % PLACES as u64) as u8))
    }
}

/// Those of one percloud, or of the portal.
#[derive(Debug, Default)]
pub(super) struct Slots {
    taken: AtomicUsize,
    /// Made with the first that comes from somewhere: most perclouds have nobody for long.
    by_place: OnceLock<Box<[AtomicU16; PLACES]>>,
}

impl Slots {
    /// Takes one of `most`, of which one address may have `of_one`, until it is given back; false, and nothing is taken, when there is none
    /// for this address.
    pub(super) fn take(&self, most: usize, of_one: usize, whence: Whence) -> bool {
        let of_place = self.place(whence).is_none_or(|place| usize::from(place.fetch_add(1, Relaxed)) < of_one);
        let taken = self.taken.fetch_add(1, Relaxed) < most && of_place;
        if !taken {
            self.give_back(whence);
        }
        taken
    }

    /// Gives one back.
    pub(super) fn give_back(&self, whence: Whence) {
        self.taken.fetch_sub(1, Relaxed);
        if let Some(place) = self.place(whence) {
            place.fetch_sub(1, Relaxed);
        }
    }

    /// Nobody is being answered.
    pub(super) fn is_empty(&self) -> bool {
        self.taken.load(Relaxed) == 0
    }

    fn place(&self, whence: Whence) -> Option<&AtomicU16> {
        let at = usize::from(whence.0?);
        Some(&self.by_place.get_or_init(|| Box::new([const { AtomicU16::new(0) }; PLACES]))[at])
    }
}

/// Connections that are kept for the next request, by all workers together.
pub(super) struct Kept {
    hasher: RandomState,
    by_socket: Box<[AtomicU16]>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { hasher: RandomState::new(), by_socket: (0..SOCKETS).map(|_| AtomicU16::new(0)).collect() }
    }
}

impl Kept {
    /// A place for one more to this socket; none when as many are kept as may be.
    pub(super) fn take(self: &Arc<Self>, socket: &Path) -> Option<Place> {
        // By its bytes: a path is hashed part by part.
        let at = (self.hasher.hash_one(socket.as_os_str()) % SOCKETS as u64) as usize;
        let place = Place { kept: self.clone(), at };
        (usize::from(self.by_socket[at].fetch_add(1, Relaxed)) < limits::POOLED_PER_SOCKET).then_some(place)
    }
}

/// That of a connection that is kept; dropped, it is another's.
pub(super) struct Place {
    kept: Arc<Kept>,
    at: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.kept.by_socket[self.at].fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_a_part_and_the_others_have_the_rest() {
        let (slots, hasher) = (Slots::default(), RandomState::new());
        let whence = |last: u8| Whence::of(&hasher, IpAddr::from([203, 0, 113, last]));
        let taken = |last| (0..1000).filter(|_| slots.take(100, 25, whence(last))).count();
        assert_eq!(taken(1), 25);
        assert_eq!(taken(1), 0);
        let others: usize = (2..=255).map(taken).sum();
        assert_eq!(others, 75, "all that is left, and no more");
        (0..25).for_each(|_| slots.give_back(whence(1)));
        assert_eq!(taken(1), 25, "what is given back can be had again");
    }

    #[test]
    fn a_network_is_one_address_and_this_machine_is_none() {
        let hasher = RandomState::new();
        let place = |address: &str| Whence::of(&hasher, address.parse().unwrap()).0;
        assert_eq!(place("2001:db8::1"), place("2001:db8::ffff:1"));
        assert_eq!(place("::ffff:203.0.113.9"), place("203.0.113.9"));
        assert_eq!((place("127.0.0.1"), place("::1")), (None, None));
        let places: std::collections::HashSet<_> = (0..=255).map(|last| place(&format!("203.0.113.{last}"))).collect();
        assert!(places.len() > PLACES / 2, "{}", places.len());
        let slots = Slots::default();
        assert!((0..10).all(|_| slots.take(10, 2, Whence(None))) && !slots.take(10, 2, Whence(None)));
    }
}
