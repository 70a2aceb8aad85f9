//! Who may come how often. Counted in memory, by this process: a limit that is a little loose with two processes keeps nobody safe less.

use std::{
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    time::Duration,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{Error, Result};

type Counter<K> = DefaultKeyedRateLimiter<K>;

/// All counters.
pub struct Limits {
    sign_ups: Counter<IpAddr>,
    mails: Counter<[u8; 32]>,
    names: Counter<IpAddr>,
    confirms: Counter<IpAddr>,
    wrong_tokens: Counter<IpAddr>,
    enters: Counter<IpAddr>,
    ways_in: Counter<IpAddr>,
    claims: Counter<String>,
}

fn quota(burst: u32, every: Duration) -> Quota {
    let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
    Quota::with_period(every).unwrap_or(Quota::per_hour(burst)).allow_burst(burst)
}

impl Limits {
    /// New counters; `sign_ups_per_hour` from one address.
    #[must_use]
    pub fn new(sign_ups_per_hour: u32) -> Self {
        let each = Duration::from_secs(3600) / sign_ups_per_hour.max(1);
        Self {
            sign_ups: RateLimiter::keyed(quota(sign_ups_per_hour, each)),
            // Nobody's mailbox is flooded by strangers: five links, then one in ten minutes.
            mails: RateLimiter::keyed(quota(5, Duration::from_secs(600))),
            names: RateLimiter::keyed(quota(120, Duration::from_millis(250))),
            confirms: RateLimiter::keyed(quota(60, Duration::from_secs(1))),
            wrong_tokens: RateLimiter::keyed(quota(20, Duration::from_secs(3))),
            enters: RateLimiter::keyed(quota(30, Duration::from_secs(2))),
            ways_in: RateLimiter::keyed(quota(10, Duration::from_secs(60))),
            // Each claim makes a target that is kept for ever.
            claims: RateLimiter::keyed(quota(20, Duration::from_secs(120))),
        }
    }

    /// Counts a sign-up.
    pub(super) fn sign_up(&self, client: IpAddr) -> Result<()> {
        count(&self.sign_ups, network(client))
    }

    /// Counts a mail to an address; only its hash is kept.
    pub(super) fn mail(&self, email_key: &str) -> Result<()> {
        count(&self.mails, Sha256::digest(email_key).into())
    }

    /// Counts a question whether a name is free.
    pub(super) fn name(&self, client: IpAddr) -> Result<()> {
        count(&self.names, network(client))
    }

    /// Counts a use of a mailed link.
    pub(super) fn confirm(&self, client: IpAddr) -> Result<()> {
        count(&self.confirms, network(client))
    }

    /// Counts a ticket that is shown.
    pub(super) fn enter(&self, client: IpAddr) -> Result<()> {
        count(&self.enters, network(client))
    }

    /// Counts a wish for a mailed way in.
    pub(super) fn way_in(&self, client: IpAddr) -> Result<()> {
        count(&self.ways_in, network(client))
    }

    /// Counts a percloud's claim of a name.
    pub(super) fn claim(&self, percloud: &str) -> Result<()> {
        count(&self.claims, percloud.to_owned())
    }

    /// Counts a token that opens nothing.
    pub(super) fn wrong_token(&self, client: IpAddr) -> Result<()> {
        count(&self.wrong_tokens, network(client))
    }

    /// Forgets those who have not come for long, now and then, until `stop`.
    pub(super) async fn forget_the_old(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(60))).await.is_some() {
            let by_client =
                [&self.sign_ups, &self.names, &self.confirms, &self.wrong_tokens, &self.enters, &self.ways_in];
            for counter in by_client {
                counter.retain_recent();
                counter.shrink_to_fit();
            }
            self.claims.retain_recent();
            self.claims.shrink_to_fit();
            self.mails.retain_recent();
            self.mails.shrink_to_fit();
        }
    }
}

/// A household has a whole /64 of IPv6.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        ip => ip,
    }
}

fn count<K: Hash + Eq + Clone>(counter: &Counter<K>, key: K) -> Result<()> {
    counter.check_key(&key).map_err(|not_until| {
        let wait = not_until.wait_time_from(counter.clock().now());
        Error::TooMany(wait.as_secs() + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_household_is_counted_as_one_and_others_go_on() {
        let limits = Limits::new(2);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for client in ["2001:db8::1", "2001:db8::2"] {
            assert!(limits.sign_up(ip(client)).is_ok());
        }
        assert!(matches!(limits.sign_up(ip("2001:db8::3")), Err(Error::TooMany(1..=1801))));
        assert!(limits.sign_up(ip("2001:db8:0:1::1")).is_ok());
        assert!(limits.sign_up(ip("192.0.2.1")).is_ok());
        assert!(limits.sign_up(ip("::ffff:192.0.2.1")).is_ok());
        assert!(limits.sign_up(ip("192.0.2.1")).is_err(), "the same, written as IPv6");
    }
}
