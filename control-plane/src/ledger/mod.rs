//! What perclouds use of edge and egress: counted where it passes by, gathered by the hour, written to the database now and then.
//!
//! ```text
//! a request, a piece of a body ──▶ Account ── gather ──▶ waiting, by hour and percloud ── Books ──▶ usage_add_counts
//!                                 (atomics)  (a minute)                                  (a minute)
//! ```
//! Whoever counts holds the percloud's [`Account`] and looks nothing up. The [`Ledger`] holds it too, so that nothing is lost when a
//! route is replaced or a connection outlives it. [`Books`] writes. What a role has counted since it last wrote is lost when it is
//! killed: a minute at most while the database answers.

mod books;
pub mod sql;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bundle::Clock;
use chrono::{DateTime, TimeDelta, Utc};

pub use books::{Books, Keeping};

use crate::usage::hour_of;

/// More rows than this do not wait for a database that is away: hours are put together instead, so that what is kept grows with
/// perclouds only and not with time.
const WAITING: usize = 100_000;

/// What one percloud has used since somebody last asked.
#[derive(Debug, Default)]
pub struct Account {
    requests: AtomicU64,
    bytes: AtomicU64,
    refused: AtomicU64,
    forbidden: AtomicU64,
    crowded: AtomicU64,
}

impl Account {
    /// A visitor's request that it was given.
    pub fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes that went out.
    pub fn bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A request, of a visitor's or its own, that a limit refused.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection of its own to where no percloud may connect to.
    pub fn forbid(&self) {
        self.forbidden.fetch_add(1, Ordering::Relaxed);
    }

    /// A visitor's handshake beyond its share.
    pub fn crowd(&self) {
        self.crowded.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn take(&self) -> Counts {
        // Each number alone is exact; that they are not taken in one moment harms nobody.
        let take = |count: &AtomicU64| match count.load(Ordering::Relaxed) {
            0 => 0,
            _ => count.swap(0, Ordering::Relaxed),
        };
        Counts {
            requests: take(&self.requests),
            bytes: take(&self.bytes),
            refused: take(&self.refused),
            forbidden: take(&self.forbidden),
            crowded: take(&self.crowded),
        }
    }
}

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Visitors' requests.
    pub requests: u64,
    /// Bytes that went out.
    pub bytes: u64,
    /// Requests that a limit refused.
    pub refused: u64,
    /// Ways out that a rule refused.
    pub forbidden: u64,
    /// Handshakes beyond its share.
    pub crowded: u64,
}

impl Counts {
    fn add(&mut self, more: Self) {
        self.requests = self.requests.saturating_add(more.requests);
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.refused = self.refused.saturating_add(more.refused);
        self.forbidden = self.forbidden.saturating_add(more.forbidden);
        self.crowded = self.crowded.saturating_add(more.crowded);
    }
}

/// What one percloud used in one hour.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    hour: DateTime<Utc>,
    tenant: Box<str>,
    counts: Counts,
}

/// The accounts of all perclouds that somebody counts for, and what was counted and is not written yet.
#[derive(Debug)]
pub struct Ledger {
    clock: Clock,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    accounts: HashMap<Box<str>, Arc<Account>>,
    /// The hour of what is being counted.
    hour: DateTime<Utc>,
    waiting: BTreeMap<(DateTime<Utc>, Box<str>), Counts>,
}

impl Ledger {
    /// With nothing in it.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let hour = hour_of(clock.now());
        Self { clock, open: Mutex::new(Open { accounts: HashMap::new(), hour, waiting: BTreeMap::new() }) }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The percloud's account, the same one for all who count for it; kept for as long as one of them holds it.
    #[must_use]
    pub fn account(&self, tenant_id: &str) -> Arc<Account> {
        let mut open = self.open();
        match open.accounts.get(tenant_id) {
            Some(account) => account.clone(),
            None => open.accounts.entry(tenant_id.into()).or_default().clone(),
        }
    }

    /// Puts down what was counted since the last time, for the hour in which that was; to be called at the end of an hour, too.
    pub fn gather(&self) {
        let now = hour_of(self.clock.now());
        let mut open = self.open();
        let Open { accounts, hour, waiting } = &mut *open;
        accounts.retain(|tenant, account| {
            // Seen before the counts are taken: who counts no more has counted everything.
            let is_held = Arc::get_mut(account).is_none();
            let counts = account.take();
            if counts != Counts::default() {
                waiting.entry((*hour, tenant.clone())).or_default().add(counts);
            }
            is_held
        });
        *hour = now;
        if waiting.len() > WAITING {
            fold(waiting);
        }
        metrics::gauge!("percloud_usage_rows_waiting").set(waiting.len() as f64);
    }

    /// How long it is until the hour ends.
    fn hour_ends_in(&self) -> Duration {
        let end = self.open().hour + TimeDelta::hours(1);
        (end - self.clock.now()).to_std().unwrap_or_default()
    }

    /// The oldest rows, which from now on are the caller's.
    fn next(&self, most: usize) -> Vec<Row> {
        let mut open = self.open();
        let row = |((hour, tenant), counts)| Row { hour, tenant, counts };
        std::iter::from_fn(|| open.waiting.pop_first().map(row)).take(most).collect()
    }
}

/// Puts all hours down for the last one: the sums stay, the time becomes coarser.
fn fold(waiting: &mut BTreeMap<(DateTime<Utc>, Box<str>), Counts>) {
    let Some(((last, _), _)) = waiting.last_key_value() else { return };
    let last = *last;
    for ((_, tenant), counts) in std::mem::take(waiting) {
        waiting.entry((last, tenant)).or_default().add(counts);
    }
}
