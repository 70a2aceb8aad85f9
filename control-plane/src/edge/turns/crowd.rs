//! Whether a percloud's visitors come fast, or are a crowd: their connections make more steps than one person's would, and others are there.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::time::{Duration, Instant};

use super::super::company::{Company, Who};
use super::queue::What;

/// Steps in a second, in the long run: a request is four or five, a piece of a large file is one.
const STEPS: u32 = 2000;
/// So much worth at once, and they are lively: a few loads of a page.
const LIVELY: Duration = Duration::from_millis(100);
/// So many seconds' worth may come at once: a page with sixty pictures, for a dozen people at the same time.
const BURST: Duration = Duration::from_secs(2);
/// Once they are slower, they are a crowd for so long.
const LINGER: Duration = Duration::from_secs(1);
/// Every so many steps it is looked at the clock.
const LOOK: u32 = 64;

/// How fast the visitors of one percloud come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bustle {
    /// As one person's do, or nobody else is there.
    Calm,
    /// Faster, which nobody else need notice.
    Lively,
    /// Faster for so long that they slow down.
    Crowded,
}

impl Bustle {
    /// What a step waits as; none goes on at once.
    pub(super) fn waits_as(self) -> Option<What> {
        match self {
            Self::Calm => None,
            Self::Lively => Some(What::Lively),
            Self::Crowded => Some(What::Step),
        }
    }

    fn of(number: u8) -> Self {
        [Self::Calm, Self::Lively].get(usize::from(number)).copied().unwrap_or(Self::Crowded)
    }
}

/// What is counted at one worker, of each percloud for as long as it has a connection.
#[derive(Default)]
pub(super) struct Crowds(Mutex<HashMap<Who, Weak<Crowd>>>);

impl Crowds {
    fn all(&self) -> MutexGuard<'_, HashMap<Who, Weak<Crowd>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one of this percloud.
    pub(super) fn of(self: &Arc<Self>, who: Who, now: Instant) -> Arc<Crowd> {
        let mut all = self.all();
        if let Some(crowd) = all.get(&who).and_then(Weak::upgrade) {
            return crowd;
        }
        let crowd = Arc::new(Crowd::new(who, now, Arc::downgrade(self)));
        all.insert(who, Arc::downgrade(&crowd));
        crowd
    }

    fn forget(&self, who: Who) {
        if let Entry::Occupied(place) = self.all().entry(who)
            && place.get().strong_count() == 0
        {
            place.remove();
        }
    }

    /// Of how many something is known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all().len()
    }
}

/// The connections of one percloud at one worker.
pub(in super::super) struct Crowd {
    pub(super) who: Who,
    steps: AtomicU32,
    /// The steps so far are paid for by then.
    until: Mutex<Instant>,
    bustle: AtomicU8,
    /// Where it is known.
    home: Weak<Crowds>,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            home.forget(self.who);
        }
    }
}

impl Crowd {
    fn new(who: Who, now: Instant, home: Weak<Crowds>) -> Self {
        Self { who, steps: AtomicU32::default(), until: Mutex::new(now), bustle: AtomicU8::default(), home }
    }

    /// Counts a step, which is all that a step costs while they are calm.
    pub(super) fn step(&self, company: &Company) -> Bustle {
        if self.count() {
            self.look(company, Instant::now());
        }
        self.bustle()
    }

    fn bustle(&self) -> Bustle {
        Bustle::of(self.bustle.load(Relaxed))
    }

    /// Whether it is time to look at the clock. Only one thread ever counts here.
    fn count(&self) -> bool {
        let steps = self.steps.load(Relaxed).wrapping_add(1);
        self.steps.store(steps, Relaxed);
        steps.is_multiple_of(LOOK)
    }

    fn look(&self, company: &Company, now: Instant) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = ((*until).max(now) + Duration::from_secs(1) * LOOK / STEPS).min(now + BURST + LINGER);
        let ahead = until.saturating_duration_since(now);
        let bustle = if ahead <= LIVELY || !company.beside(self.who, now) {
            Bustle::Calm
        } else if ahead <= BURST {
            Bustle::Lively
        } else {
            Bustle::Crowded
        };
        self.bustle.store(bustle as u8, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ada's percloud, and a clock that stands still.
    struct Street {
        company: Company,
        crowd: Crowd,
        now: Instant,
    }

    impl Street {
        fn new() -> Self {
            let now = Instant::now();
            Self { company: Company::new(now), crowd: Crowd::new(Who::of("ada"), now, Weak::new()), now }
        }

        /// So many steps a second for so many seconds, beside Bob's visitors or not; how many of them were a crowd's.
        fn walk(&mut self, per_second: u32, seconds: u32, beside: bool) -> u32 {
            self.walk_at(Bustle::Crowded, per_second, seconds, beside)
        }

        /// The same; how many of them were made at this pace.
        fn walk_at(&mut self, bustle: Bustle, per_second: u32, seconds: u32, beside: bool) -> u32 {
            let mut found = 0;
            for _ in 0..per_second * seconds {
                if beside {
                    self.company.visited(Who::of("bob"), self.now);
                }
                if self.crowd.count() {
                    self.crowd.look(&self.company, self.now);
                }
                found += u32::from(self.crowd.bustle() == bustle);
                self.now += Duration::from_secs(1) / per_second;
            }
            found
        }
    }

    #[test]
    fn a_page_is_loaded_calmly_and_who_loads_many_is_lively_beside_others() {
        let mut street = Street::new();
        assert_eq!(street.walk_at(Bustle::Calm, STEPS * 10, 1, false), STEPS * 10, "alone");
        street.now += Duration::from_secs(11);
        assert_eq!(street.walk_at(Bustle::Calm, STEPS / 10, 10, true), STEPS, "one person");
        // Twice as fast as what is paid for, so a second of it is a second ahead.
        let lively = street.walk_at(Bustle::Lively, STEPS * 2, 1, true);
        let expected = STEPS * 2 * 9 / 10;
        assert!(lively.abs_diff(expected) <= 2 * LOOK, "{lively} of {expected}");
    }

    #[test]
    fn who_comes_fast_beside_others_is_a_crowd_and_nobody_is_one_alone_or_for_a_moment() {
        let mut street = Street::new();
        assert_eq!(street.walk(50_000, 3, false), 0, "alone");
        street.now += Duration::from_secs(3);
        assert_eq!(street.walk(STEPS * 9 / 10, 20, true), 0, "as fast as may be");
        assert_eq!(street.walk(STEPS * 2, 1, true), 0, "a burst");
        assert!(street.walk(STEPS * 10, 2, true) > STEPS * 10, "a flood");
        street.now += Duration::from_secs(2);
        let left = street.walk(STEPS * 10, 1, false);
        assert!(left < LOOK, "{left}: the company is gone");
    }

    #[test]
    fn a_crowd_that_slows_down_is_none_soon_however_long_it_was() {
        let mut street = Street::new();
        assert!(street.walk(STEPS * 10, 60, true) > STEPS * 10 * 59);
        street.walk(STEPS / 4, 3, true);
        assert_eq!(street.walk(STEPS / 4, 5, true), 0);
    }
}
