//! What one percloud may use of the way out, counted for each alone: whoever has used up theirs harms nobody else.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bundle::{Clock, TenantId};
use chrono::NaiveDate;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::Refusal;
use crate::ledger::{Account, Ledger};

/// How long a request may take to arrive.
pub(super) const HEAD: Duration = Duration::from_secs(5);
/// How long finding a name's addresses may take.
pub(super) const RESOLVE: Duration = Duration::from_secs(6);
/// How long one address is tried.
pub(super) const ADDRESS: Duration = Duration::from_secs(3);
/// How long all addresses together are tried.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// Connections in all.
pub(super) const ALL: usize = 4096;
/// Connections in all that have not shown a token yet, and of these from one user.
pub(super) const LOBBY: usize = 512;
pub(super) const LOBBY_EACH: usize = 32;

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
}

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
    pub(super) fn new(limits: Options, clock: Clock, ledger: Arc<Ledger>) -> Self {
        Self { limits, clock, ledger, known: Mutex::default() }
    }

    pub(super) fn limits(&self) -> &Options {
        &self.limits
    }

    fn known(&self) -> MutexGuard<'_, HashMap<TenantId, Arc<Tenant>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in, as long as the place is kept.
    pub(super) fn enter(&self, id: &TenantId) -> Result<(Arc<Tenant>, OwnedSemaphorePermit), Refusal> {
        let tenant = || Arc::new(Tenant::new(&self.limits, self.ledger.account(id.as_str())));
        let tenant = self.known().entry(id.clone()).or_insert_with(tenant).clone();
        let place = tenant.at_once.clone().try_acquire_owned().map_err(|_| Refusal::AtOnce)?;
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

/// Those who have not said yet who they are: few, and of each user of the machine fewer.
#[derive(Debug, Default)]
pub(super) struct Lobby(Mutex<HashMap<u32, usize>>);

/// A place in it.
pub(super) struct Waiting {
    lobby: Arc<Lobby>,
    uid: u32,
}

impl Lobby {
    /// A place for this user; `each` is whether users are told apart.
    pub(super) fn enter(self: &Arc<Self>, uid: u32, each: bool) -> Result<Waiting, Refusal> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_user = waiting.get(&uid).copied().unwrap_or(0);
        if waiting.values().sum::<usize>() >= LOBBY || (each && of_user >= LOBBY_EACH) {
            return Err(Refusal::Crowded);
        }
        waiting.insert(uid, of_user + 1);
        Ok(Waiting { lobby: self.clone(), uid })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.lobby.0.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.get_mut(&self.uid) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(waiting.remove(&self.uid)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Counts;
    use chrono::{DateTime, TimeDelta};

    fn tenants(clock: &Clock) -> Tenants {
        let limits = Options {
            at_once: 2,
            per_minute: NonZeroU32::new(3).unwrap(),
            connection_bytes: 100,
            day_bytes: 10,
            idle_seconds: 1,
            connection_seconds: 1,
        };
        Tenants::new(limits, clock.clone(), Arc::new(Ledger::new(clock.clone())))
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
    fn one_user_does_not_fill_the_lobby() {
        let lobby = Arc::new(Lobby::default());
        let places: Vec<_> = (0..LOBBY_EACH).map(|_| lobby.enter(7, true).unwrap()).collect();
        assert!(lobby.enter(7, true).is_err());
        assert!(lobby.enter(8, true).is_ok());
        drop(places);
        assert!(lobby.enter(7, true).is_ok());
        let _all: Vec<_> = (0..LOBBY).map(|_| lobby.enter(7, false).unwrap()).collect();
        assert!(lobby.enter(7, false).is_err());
    }
}
