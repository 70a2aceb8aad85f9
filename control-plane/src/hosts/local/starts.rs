//! How often a runtime may be started for one and the same connection.
//!
//! A runtime that leaves while somebody waits in its socket is started again at once: a visitor may have come just when it went to sleep.
//! One that never lets its visitor in would so be started again and again, by a single request, for as long as the edge waits. What counts
//! is therefore a run that ended while the connection that it was started for still waited. Whoever answers, and sleeps, and is woken again,
//! ten times in a second or for days, is not counted at all.

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
}

/// Whether a run was in vain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Vain {
    /// Its connection was let in, or nobody waits.
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

    /// It has ended by itself, and this one waits first.
    pub(super) fn ended(&mut self, now: Instant, waits: Option<First>) {
        self.left_waiting = waits.is_some();
        let same = self.began_for.take().zip(waits).is_some_and(|(before, after)| before.may_be(after));
        self.vain = match same {
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
        let table: [Row; 9] = [
            ("sleeps, and is woken at once", &[(ONE, None)], 10, None),
            ("sleeps just when the next one comes", &[(ONE, TWO), (TWO, ONE)], 10, None),
            ("is started by its timetable", &[(None, None)], 10, None),
            ("is visited just when its timetable's run ends", &[(None, ONE), (ONE, None)], 10, None),
            ("lets nobody in", &[(ONE, ONE)], 400, Some(11)),
            ("lets nobody in, and its visitors give up", &[(ONE, Some(First::Known(0)))], 400, Some(11)),
            ("lets nobody in, where the kernel says little", &[(SOMEBODY, SOMEBODY)], 400, Some(11)),
            ("lets every other one in", &[(ONE, ONE), (ONE, TWO)], 400, Some(24)),
            ("lets nobody in, but seldom", &[(ONE, ONE)], 5_000, None),
        ];
        for (who, looks, every, expected) in table {
            let (mut starts, mut now) = (Starts::default(), Instant::now());
            let mut counts = |run: &usize| {
                let (before, after) = looks[run % looks.len()];
                starts.began(now, || before);
                now += Duration::from_millis(every);
                starts.ended(now, after);
                starts.failed(false)
            };
            assert_eq!((0..200).find(|run| counts(run)), expected, "who {who}");
        }
    }

    #[tokio::test]
    async fn who_fails_already_is_forgiven_nothing_and_who_was_never_suspected_is_not_looked_at() {
        let (mut starts, now) = (Starts::default(), Instant::now());
        starts.began(now, || unreachable!("that would cost every wake"));
        starts.ended(now, ONE);
        assert!(!starts.failed(true), "whom it was started for nobody knows");
        starts.began(now, || ONE);
        starts.ended(now, ONE);
        assert!(starts.failed(true) && !starts.failed(false));
        starts.began(now, || ONE);
        starts.ended(now, None);
        assert!(!starts.failed(true), "it has let its visitor in");
        starts.began(now + 2 * EACH, || unreachable!("that is forgotten"));
    }
}
