//! What one percloud may use of the way out, counted for each alone: whoever has used up theirs harms nobody else.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bundle::{Clock, TenantId};
use chrono::NaiveDate;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{lobby, refusal::Refusal};
use crate::ledger::{Account, Ledger};

/// How long a request may take to arrive.
pub(super) const HEAD: Duration = Duration::from_secs(5);
/// How long finding a name's addresses may take.
pub(super) const RESOLVE: Duration = Duration::from_secs(6);
/// How long one address is tried.
pub(super) const ADDRESS: Duration = Duration::from_secs(3);
/// How long all addresses together are tried.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// Connections in all, where there are descriptors for them, and what is set aside for all else.
const MOST: usize = 8192;
const RESERVED: usize = 128;

/// Connections that so many descriptors are enough for: two for each, and one for each who has yet to say who they are.
pub(super) fn places(descriptors: u64) -> usize {
    let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
    (descriptors.saturating_sub(RESERVED + lobby::MOST) / 2).clamp(16, MOST)
}

/// The limits that an operator may choose. The names of arguments are said, since `up` has others of the same fields' names.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "egress_limits")] // flattened into other `Options`, whose name is taken
pub struct Options {
    /// Connections that one percloud may have open at once.
    #[arg(id = "egress_at_once", long = "egress-at-once", value_name = "N", default_value_t = 32)]
    pub at_once: usize,
    /// Connections that one percloud may begin in a minute.
    #[arg(id = "egress_per_minute", long = "egress-per-minute", value_name = "N", default_value_t = NonZeroU32::new(120).unwrap_or(NonZeroU32::MIN))]
    pub per_minute: NonZeroU32,
    /// Bytes that one connection may carry each way.
    #[arg(id = "egress_connection_bytes", long = "egress-connection-bytes", value_name = "BYTES", default_value_t = 4 << 30)]
    pub connection_bytes: u64,
    /// Bytes that one percloud may move each way in a day (UTC).
    #[arg(id = "egress_day_bytes", long = "egress-day-bytes", value_name = "BYTES", default_value_t = 20 << 30)]
    pub day_bytes: u64,
    /// Seconds without a byte after which a connection is ended.
    #[arg(id = "egress_idle_seconds", long = "egress-idle-seconds", value_name = "N", default_value_t = 120)]
    pub idle_seconds: u64,
    /// Seconds after which a connection is ended whatever it does.
    #[arg(
        id = "egress_connection_seconds",
        long = "egress-connection-seconds",
        value_name = "N",
        default_value_t = 3600
    )]
    pub connection_seconds: u64,
}

impl Options {
    /// The same as arguments of a role.
    #[must_use]
    pub fn args(&self) -> Vec<String> {
        let values = [
            ("--egress-at-once", self.at_once.to_string()),
            ("--egress-per-minute", self.per_minute.to_string()),
            ("--egress-connection-bytes", self.connection_bytes.to_string()),
            ("--egress-day-bytes", self.day_bytes.to_string()),
            ("--egress-idle-seconds", self.idle_seconds.to_string()),
            ("--egress-connection-seconds", self.connection_seconds.to_string()),
        ];
        values.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }
}

/// Which way bytes go, as the percloud sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Sent,
    Received,
}

impl Way {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }

    fn of(self, pair: &mut [u64; 2]) -> &mut u64 {
        &mut pair[self as usize]
    }
}

/// What is known of each percloud that has come by.
#[derive(Debug)]
pub(super) struct Tenants {
    limits: Options,
    clock: Clock,
    ledger: Arc<Ledger>,
    known: Mutex<HashMap<TenantId, Arc<Tenant>>>,
    /// Whose user is whose, of those who have shown a good token.
    users: Mutex<HashMap<u32, TenantId>>,
    /// Places for all of them.
    all: usize,
    places: Arc<Semaphore>,
}

/// A place of a percloud's own, and one of those that there are for all.
pub(super) struct Place(#[expect(dead_code, reason = "kept for as long as it lasts")] [OwnedSemaphorePermit; 2]);

/// One percloud.
#[derive(Debug)]
pub(super) struct Tenant {
    at_once: Arc<Semaphore>,
    rate: DefaultDirectRateLimiter,
    used: Mutex<Used>,
    /// Where it is put down for whoever keeps the books.
    account: Arc<Account>,
}

/// Bytes sent and received.
#[derive(Debug, Default)]
struct Used {
    day: NaiveDate,
    today: [u64; 2],
}

impl Tenants {
    /// With so many places for `all` of them.
    pub(super) fn new(limits: Options, all: usize, clock: Clock, ledger: Arc<Ledger>) -> Self {
        let places = Arc::new(Semaphore::new(all));
        Self { limits, clock, ledger, known: Mutex::default(), users: Mutex::default(), all, places }
    }

    pub(super) fn limits(&self) -> &Options {
        &self.limits
    }

    fn known(&self) -> MutexGuard<'_, HashMap<TenantId, Arc<Tenant>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn users(&self) -> MutexGuard<'_, HashMap<u32, TenantId>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This user is that percloud's: from now on what it does without a token is known for its.
    pub(super) fn is(&self, uid: u32, id: &TenantId) {
        let mut users = self.users();
        if users.get(&uid) != Some(id) {
            users.insert(uid, id.clone());
        }
    }

    /// Whose user this is, where that has been seen.
    pub(super) fn of_user(&self, uid: u32) -> Option<TenantId> {
        self.users().get(&uid).cloned()
    }

    /// What one percloud may have of all places: as many as it may have at once while half of them are free, and then the fewer the fewer
    /// are left, a quarter of it with a quarter free: hundreds of greedy ones together leave one for everybody else.
    fn share(&self) -> usize {
        let half = (self.all / 2).max(1);
        let free = self.places.available_permits().min(half);
        (self.limits.at_once * free * free / (half * half)).max(1)
    }

    /// Lets a connection in, as long as the place is kept.
    pub(super) fn enter(&self, id: &TenantId) -> Result<(Arc<Tenant>, Place), Refusal> {
        let tenant = || Arc::new(Tenant::new(&self.limits, self.ledger.account(id.as_str())));
        let tenant = self.known().entry(id.clone()).or_insert_with(tenant).clone();
        let share = self.share();
        let own = tenant.at_once.clone().try_acquire_owned().map_err(|_| Refusal::AtOnce)?;
        if self.limits.at_once - tenant.at_once.available_permits() > share {
            return Err(Refusal::Crowded);
        }
        let one_of_all = self.places.clone().try_acquire_owned().map_err(|_| Refusal::Crowded)?;
        let place = Place([own, one_of_all]);
        tenant.rate.check().map_err(|_| Refusal::TooFast)?;
        let today = tenant.today(&self.clock).today;
        match today.iter().any(|bytes| *bytes >= self.limits.day_bytes) {
            true => Err(Refusal::DayUsed),
            false => Ok((tenant, place)),
        }
    }

    /// Counts bytes; `false` when the day's are used up.
    pub(super) fn count(&self, tenant: &Tenant, way: Way, bytes: u64) -> bool {
        if way == Way::Sent {
            tenant.account.bytes(bytes);
        }
        let mut used = tenant.today(&self.clock);
        let today = way.of(&mut used.today);
        *today += bytes;
        *today <= self.limits.day_bytes
    }

    /// Counts a connection that was refused, where that is this percloud's doing.
    pub(super) fn refuse(&self, id: &TenantId, why: Refusal) {
        let account = self.ledger.account(id.as_str());
        match why {
            limit if limit.is_limit() => account.refuse(),
            rule if rule.is_rule() => account.forbid(),
            _ => {}
        }
    }
}

impl Tenant {
    fn new(limits: &Options, account: Arc<Account>) -> Self {
        let rate = RateLimiter::direct(Quota::per_minute(limits.per_minute));
        Self { at_once: Arc::new(Semaphore::new(limits.at_once)), rate, used: Mutex::default(), account }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn today(&self, clock: &Clock) -> MutexGuard<'_, Used> {
        let (mut used, day) = (self.used(), clock.now().date_naive());
        if used.day != day {
            (used.day, used.today) = (day, [0; 2]);
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Counts;
    use chrono::{DateTime, TimeDelta};

    fn limits() -> Options {
        Options {
            at_once: 2,
            per_minute: NonZeroU32::new(3).unwrap(),
            connection_bytes: 100,
            day_bytes: 10,
            idle_seconds: 1,
            connection_seconds: 1,
        }
    }

    fn tenants(clock: &Clock) -> Tenants {
        Tenants::new(limits(), 100, clock.clone(), Arc::new(Ledger::new(clock.clone())))
    }

    #[test]
    fn who_has_used_up_theirs_harms_nobody_else() {
        let clock = Clock::fixed(DateTime::UNIX_EPOCH);
        let (tenants, ada, bob) = (tenants(&clock), TenantId::random(), TenantId::random());
        let (first, second) = (tenants.enter(&ada).unwrap(), tenants.enter(&ada).unwrap());
        assert_eq!(tenants.enter(&ada).map(drop), Err(Refusal::AtOnce));
        drop(second);
        drop(tenants.enter(&ada).unwrap());
        assert_eq!(tenants.enter(&ada).map(drop), Err(Refusal::TooFast), "three in a minute");
        assert!(tenants.count(&first.0, Way::Sent, 10));
        assert!(!tenants.count(&first.0, Way::Sent, 1), "the day's bytes");
        let (other, _place) = tenants.enter(&bob).unwrap();
        assert!(tenants.count(&other, Way::Received, 4));
        for why in [Refusal::TooFast, Refusal::Literal, Refusal::OurOwn, Refusal::NoAddress, Refusal::TooSlow] {
            tenants.refuse(&bob, why);
        }
        let counted = |id: &TenantId| tenants.ledger.account(id.as_str()).take();
        assert_eq!(counted(&ada), Counts { bytes: 11, ..Counts::default() });
        assert_eq!(
            counted(&bob),
            Counts { refused: 1, forbidden: 2, ..Counts::default() },
            "what comes in is not what goes out"
        );
    }

    #[test]
    fn a_day_has_bytes_of_its_own() {
        let clock = Clock::fixed(DateTime::UNIX_EPOCH);
        let (tenants, ada) = (tenants(&clock), TenantId::random());
        let (known, place) = tenants.enter(&ada).unwrap();
        assert!(!tenants.count(&known, Way::Received, 11));
        drop(place);
        assert_eq!(tenants.enter(&ada).map(drop), Err(Refusal::DayUsed));
        clock.advance(TimeDelta::days(1));
        assert!(tenants.count(&known, Way::Received, 1));
        assert!(tenants.enter(&ada).is_ok());
    }

    #[test]
    fn the_fewer_places_are_left_the_fewer_one_percloud_gets_and_nobody_takes_the_last() {
        let clock = Clock::fixed(DateTime::UNIX_EPOCH);
        let limits = Options { at_once: 8, per_minute: NonZeroU32::new(1000).unwrap(), ..limits() };
        let tenants = Tenants::new(limits, 100, clock.clone(), Arc::new(Ledger::new(clock)));
        let mut held = Vec::new();
        let greedy: Vec<_> = (0..25).map(|_| TenantId::random()).collect();
        let mut of_each = Vec::new();
        for id in &greedy {
            let before = held.len();
            held.extend(std::iter::from_fn(|| tenants.enter(id).ok()).take(100));
            of_each.push(held.len() - before);
        }
        assert_eq!(of_each[..6], [8; 6], "as long as half of them are free");
        assert!(of_each.is_sorted_by(|a, b| a >= b) && of_each.iter().all(|count| *count > 0), "{of_each:?}");
        assert_eq!(tenants.enter(&greedy[0]).map(drop), Err(Refusal::AtOnce));
        assert_eq!(tenants.enter(&greedy[24]).map(drop), Err(Refusal::Crowded));
        assert!(tenants.enter(&TenantId::random()).is_ok(), "who has none gets one");
        assert_eq!([16, 1024, 65_536, u64::MAX].map(places), [16, 192, MOST, MOST]);
    }

    #[test]
    fn whose_user_it_is_is_known_from_the_first_good_token_on() {
        let clock = Clock::fixed(DateTime::UNIX_EPOCH);
        let (tenants, ada) = (tenants(&clock), TenantId::random());
        assert_eq!(tenants.of_user(200_000), None);
        tenants.is(200_000, &ada);
        assert_eq!((tenants.of_user(200_000), tenants.of_user(200_001)), (Some(ada.clone()), None));
        for why in [Refusal::HeadTooSlow, Refusal::Malformed, Refusal::NoToken, Refusal::Crowded, Refusal::Stranger] {
            tenants.refuse(&ada, why);
        }
        let counted = tenants.ledger.account(ada.as_str()).take();
        assert_eq!(counted, Counts { refused: 4, ..Counts::default() });
    }
}
