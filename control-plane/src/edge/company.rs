//! Who was visited lately: whether anybody is there whom a crowd could keep waiting.
//!
//! One for all workers, since they share the machine's processors. It is written to only when something changes, a few times a second.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::time::{Duration, Instant};

/// Whoever was visited within so long counts as there.
const LATELY: Duration = Duration::from_secs(1);
/// A time is written down anew when it is so old.
const OLD: Duration = Duration::from_millis(100);

/// Who is visited, as a number: all names of a percloud have the same. Two may be alike, and nobody gains anything by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Who(u64);

impl Who {
    /// Whoever asks for a name that leads nowhere.
    pub(super) const NOBODY: Self = Self(0);
    pub(super) const PORTAL: Self = Self(1);

    /// A percloud's (FNV-1a of its id).
    pub(super) fn of(id: &str) -> Self {
        Self(id.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }
}

/// The percloud that was visited last, and the last one that was another.
#[derive(Debug)]
pub(super) struct Company {
    began: Instant,
    last: Seen,
    other: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    who: AtomicU64,
    /// Milliseconds from the beginning, and one; nought for nobody.
    at: AtomicU64,
}

impl Seen {
    fn is(&self, who: Who) -> bool {
        self.at.load(Relaxed) > 0 && self.who.load(Relaxed) == who.0
    }

    fn is_there(&self, who_not: Who, now: u64) -> bool {
        let at = self.at.load(Relaxed);
        at > 0 && self.who.load(Relaxed) != who_not.0 && now.saturating_sub(at) <= millis(LATELY)
    }

    fn is_fresh(&self, now: u64) -> bool {
        let at = self.at.load(Relaxed);
        at > 0 && now.saturating_sub(at) < millis(OLD)
    }

    fn note(&self, now: u64) {
        if !self.is_fresh(now) {
            self.at.store(now, Relaxed);
        }
    }
}

impl Company {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, last: Seen::default(), other: Seen::default() }
    }

    fn moment(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.began)) + 1
    }

    /// Somebody visits this one. When two workers note two at the same time, one of them may be forgotten until its next visit.
    pub(super) fn visited(&self, who: Who, now: Instant) {
        let now = self.moment(now);
        if self.last.is(who) {
            return self.last.note(now);
        }
        if self.other.is(who) {
            return self.other.note(now);
        }
        // Where two were visited just now, everybody has company, and a third need not be written down.
        if self.last.is_fresh(now) && self.other.is_fresh(now) {
            return;
        }
        self.other.who.store(self.last.who.load(Relaxed), Relaxed);
        self.other.at.store(self.last.at.load(Relaxed), Relaxed);
        self.last.who.store(who.0, Relaxed);
        self.last.at.store(now, Relaxed);
    }

    /// Whether anybody else than this one was visited lately.
    pub(super) fn beside(&self, who: Who, now: Instant) -> bool {
        let now = self.moment(now);
        self.last.is_there(who, now) || self.other.is_there(who, now)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_there_for_a_second_after_a_visit_and_nobody_is_company_for_themselves() {
        let start = Instant::now();
        let [ada, bob, carl, dora] = ["ada", "bob", "carl", "dora"].map(Who::of);
        let (company, after) = (Company::new(start), |ms| start + Duration::from_millis(ms));
        assert!(!company.beside(ada, start));
        company.visited(ada, start);
        assert!(!company.beside(ada, start) && company.beside(bob, start));
        company.visited(bob, after(500));
        assert!(company.beside(ada, after(1400)) && !company.beside(bob, after(1400)));
        for ms in (500..3000).step_by(10) {
            company.visited(ada, after(ms));
        }
        assert!(!company.beside(ada, after(3000)) && company.beside(bob, after(3000)));
        // Two that take turns stay known, whoever of a third party came between.
        for ms in (3000..4000).step_by(10) {
            company.visited(ada, after(ms));
            company.visited(bob, after(ms));
        }
        assert!(company.beside(ada, after(4000)) && company.beside(bob, after(4000)));
        company.visited(carl, after(4000));
        assert!([ada, bob, carl, dora].iter().all(|who| company.beside(*who, after(4000))));
    }
}
