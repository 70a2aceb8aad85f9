//! How many requests a percloud may have in a while, whoever asks: the generic cell rate algorithm (as in ITU-T I.371), which needs
//! one number a percloud and no clock of its own. What is left of a burst comes back at the steady rate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// So many seconds' worth may come at once: a page with all its pictures, an app that has been offline.
const BURST_SECONDS: u64 = 2;
const SECOND: u64 = 1_000_000_000;

/// The same for all perclouds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Nanoseconds that one request takes up.
    step: u64,
    /// Nanoseconds that may be taken up ahead of time.
    ahead: u64,
}

impl Pace {
    /// So many requests a second in the long run, at least one.
    pub(super) fn new(per_second: u32) -> Self {
        let step = SECOND / u64::from(per_second.max(1));
        Self { step: step.max(1), ahead: BURST_SECONDS * SECOND }
    }
}

/// What one percloud has taken up: until when, in nanoseconds since the edge began.
#[derive(Debug, Default)]
pub(super) struct Share(AtomicU64);

impl Share {
    /// Counts a request at `now`, the time since the edge began; false, and nothing is counted, when there is no room for it.
    pub(super) fn take(&self, pace: Pace, now: Duration) -> bool {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX / 2);
        let next = |taken: u64| {
            let from = taken.max(now);
            (from - now < pace.ahead).then(|| from + pace.step)
        };
        self.0.try_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(share: &Share, pace: Pace, now: Duration, asked: usize) -> usize {
        (0..asked).filter(|_| share.take(pace, now)).count()
    }

    #[test]
    fn a_burst_is_let_in_then_the_steady_rate_and_rest_restores_the_burst() {
        let (share, pace) = (Share::default(), Pace::new(100));
        let at = Duration::from_secs;
        assert_eq!(taken(&share, pace, at(5), 1000), 200, "two seconds' worth at once");
        assert_eq!(taken(&share, pace, at(6), 1000), 100, "then a second's worth a second");
        assert_eq!(taken(&share, pace, at(6), 1000), 0);
        assert_eq!(taken(&share, pace, at(600), 1000), 200, "and no more than a burst after any rest");
    }

    #[test]
    fn an_odd_rate_is_still_one() {
        let (share, pace) = (Share::default(), Pace::new(0));
        assert_eq!(taken(&share, pace, Duration::ZERO, 10), 2);
        assert_eq!(taken(&Share::default(), Pace::new(u32::MAX), Duration::ZERO, 100_000), 100_000);
    }
}
