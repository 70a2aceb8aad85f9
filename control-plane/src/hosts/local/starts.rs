//! How often a runtime may be started in vain.
//!
//! A runtime that leaves while somebody waits in its socket is started again at once: a visitor may have come just when it went to sleep.
//! One that never lets its visitor in would so be started again and again, by a single request, for as long as the edge waits. What counts
//! is therefore a run that ended while the connection that it was started for still waited.
//!
//! One that lets its visitor in and leaves at once, with an answer or without, is started anew by each request: what a start costs the host
//! and the kernel is on nobody's account, and a percloud whose visitors are its own friends could spend it without end. No runtime of ours
//! leaves of its own accord as long as somebody could just have come: whoever does counts, too.
//!
//! Whoever stays for as long as it should, sleeps, and is woken again, for days, is not counted at all.

use std::time::Duration;

use tokio::time::Instant;

use super::queue::First;

/// One start in vain is forgiven in such a time: a program that takes this long to fail is seen by the lane.
const EACH: Duration = Duration::from_secs(5);
/// So many in a row: a runtime may be asked to leave, or find its database locked, just as somebody comes; not ten times within a minute.
const BURST: u32 = 10;

/// What is known of one percloud's starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Starts {
    /// Who waited first when the run began that is not over; none where that was not asked, which costs the way of a wake.
    began_for: Option<First>,
    /// Somebody waited at the end of the last one.
    left_waiting: bool,
    /// When all starts in vain will have been forgiven.
    forgiven: Option<Instant>,
    /// How the last run ended.
    vain: Vain,
    /// It let its visitor in, and left at once.
    hasty: bool,
}

/// Whether a run was in vain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Vain {
    /// Its connection was let in, or nobody waits; and it stayed for a while.
    #[default]
    No,
    /// It was, and may have been.
    Allowed,
    /// It was once too often.
    TooOften,
}

impl Starts {
    /// A run begins; `first` asks who waits.
    pub(super) fn began(&mut self, now: Instant, first: impl FnOnce() -> Option<First>) {
        let watched = self.left_waiting || self.forgiven.is_some_and(|moment| moment > now);
        self.began_for = if watched { first() } else { None };
    }

    /// It has ended by itself, `hasty` if it had hardly begun, and this one waits first.
    pub(super) fn ended(&mut self, now: Instant, waits: Option<First>, hasty: bool) {
        self.left_waiting = waits.is_some();
        let same = self.began_for.take().zip(waits).is_some_and(|(before, after)| before.may_be(after));
        self.hasty = hasty && !same;
        self.vain = match same || hasty {
            false => Vain::No,
            true if self.forgive(now) => Vain::Allowed,
            true => Vain::TooOften,
        };
    }

    fn forgive(&mut self, now: Instant) -> bool {
        let forgiven = self.forgiven.map_or(now, |moment| moment.max(now)) + EACH;
        let allowed = forgiven <= now + EACH * BURST;
        if allowed {
            self.forgiven = Some(forgiven);
        }
        allowed
    }

    /// Whether the run that has ended counts as a failure: it was in vain once too often, or it was and the ones before have failed.
    pub(super) fn failed(&self, failing: bool) -> bool {
        self.vain == Vain::TooOften || failing && self.vain == Vain::Allowed
    }

    /// Whether it let its visitor in, and left at once.
    pub(super) fn was_hasty(&self) -> bool {
        self.hasty
    }
}

/// Half of the time for which a runtime stays at least when nobody but a crawler comes ([`crate::hosts::local::Options`] may say less).
const STAYS: Duration = Duration::from_secs(5);

/// Whether a run of its own accord was so short that it has not waited for anybody. One that may leave at once never is.
pub(super) fn is_hasty(ran: Duration, idle_seconds: u64) -> bool {
    ran < STAYS.min(Duration::from_secs(idle_seconds) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Option<First> = Some(First::Known(1));
    const TWO: Option<First> = Some(First::Known(2));
    const SOMEBODY: Option<First> = Some(First::Unknown);

    #[tokio::test]
    async fn only_who_leaves_while_its_own_visitor_waits_is_started_less_often() {
        /// Who waits at the beginning and at the end.
        type Look = (Option<First>, Option<First>);
        /// Runs, how long each takes with its pause, how many of them in turn are like this, which run is the first that counts.
        type Row = (&'static str, &'static [Look], u64, Option<usize>);
        let table: [Row; 10] = [
            ("sleeps, and is woken at once", &[(ONE, None)], 10, None),
            ("sleeps just when the next one comes", &[(ONE, TWO), (TWO, ONE)], 10, None),
            ("is started by its timetable", &[(None, None)], 10, None),
            ("is visited just when its timetable's run ends", &[(None, ONE), (ONE, None)], 10, None),
            ("lets nobody in", &[(ONE, ONE)], 400, Some(11)),
            ("lets nobody in, and its visitors give up", &[(ONE, Some(First::Known(0)))], 400, Some(11)),
            ("has somebody waiting always, where the kernel says little", &[(SOMEBODY, SOMEBODY)], 400, None),
            ("the same, in part", &[(SOMEBODY, ONE), (ONE, SOMEBODY)], 400, None),
            ("lets every other one in", &[(ONE, ONE), (ONE, TWO)], 400, Some(24)),
            ("lets nobody in, but seldom", &[(ONE, ONE)], 5_000, None),
        ];
        for (who, looks, every, expected) in table {
            let (mut starts, mut now) = (Starts::default(), Instant::now());
            let mut counts = |run: &usize| {
                let (before, after) = looks[run % looks.len()];
                starts.began(now, || before);
                now += Duration::from_millis(every);
                starts.ended(now, after, false);
                starts.failed(false)
            };
            assert_eq!((0..200).find(|run| counts(run)), expected, "who {who}");
        }
    }

    #[tokio::test]
    async fn who_lets_its_visitor_in_and_leaves_at_once_is_started_less_often_and_who_stays_is_not() {
        for (ran, idle_seconds, hasty) in
            [(4_999, 300, true), (5_000, 300, false), (499, 1, true), (500, 1, false), (0, 0, false)]
        {
            assert_eq!(is_hasty(Duration::from_millis(ran), idle_seconds), hasty, "{ran} of {idle_seconds}");
        }
        // How often it is woken, whether it leaves at once, which run is the first that counts.
        for (every, hasty, waits, expected) in [
            (100, true, None, Some(10)),
            (400, true, None, Some(10)),
            (400, true, SOMEBODY, Some(10)),
            (5_000, true, None, None),
            (100, false, None, None),
            (100, false, SOMEBODY, None),
        ] {
            let (mut starts, mut now) = (Starts::default(), Instant::now());
            let mut counts = |_: &usize| {
                starts.began(now, || waits.or(ONE));
                now += Duration::from_millis(every);
                starts.ended(now, waits, hasty);
                assert_eq!(starts.was_hasty(), hasty);
                starts.failed(false)
            };
            assert_eq!((0..200).find(|run| counts(run)), expected, "{every} {hasty} {waits:?}");
        }
    }

    #[tokio::test]
    async fn who_fails_already_is_forgiven_nothing_and_who_was_never_suspected_is_not_looked_at() {
        let (mut starts, now) = (Starts::default(), Instant::now());
        starts.began(now, || unreachable!("that would cost every wake"));
        starts.ended(now, ONE, false);
        assert!(!starts.failed(true), "whom it was started for nobody knows");
        starts.began(now, || ONE);
        starts.ended(now, ONE, false);
        assert!(starts.failed(true) && !starts.failed(false));
        starts.began(now, || ONE);
        starts.ended(now, None, false);
        assert!(!starts.failed(true), "it has let its visitor in");
        starts.began(now + 2 * EACH, || unreachable!("that is forgotten"));
    }
}
