//! When a runtime that ended is started again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{logs, queue::First, starts::Starts, state::Filled, wire::End};

/// A runtime that has run so long is well, whatever was before.
pub(super) const SETTLED: Duration = Duration::from_secs(5);
/// The waiting time after the first failure; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// So many failures in a row are a pattern, which the operator hears of.
const PATTERN: u32 = 2;
/// Who fills the disk waits so long at first, twice as long each time that it does so again, and no longer than the last.
const FILLS_WAIT: Duration = Duration::from_secs(300);
const FILLS_LONGEST: Duration = Duration::from_secs(6 * 3600);
/// After so long that is forgotten.
const FILLS_FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

/// How a runtime has failed lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Troubles {
    failures: u32,
    /// How often it was started in vain.
    starts: Starts,
    not_before: Option<Instant>,
    reason: String,
    /// How often it has filled the disk lately, and when it last did.
    fills: Option<(u32, Instant)>,
}

impl Troubles {
    /// After a restart of the host, at `today`: whoever waited for having filled the disk waits on.
    pub(super) fn resumed(filled: &Filled, today: DateTime<Utc>, now: Instant) -> Self {
        // A clock that was set back since makes it wait for as long as if it had just been stopped.
        let ago = today.signed_duration_since(filled.at).to_std().unwrap_or_default();
        let mut troubles = Self { fills: now.checked_sub(ago).map(|at| (filled.times, at)), ..Self::default() };
        if !filled.forgiven && troubles.stopped_until() > Some(now) {
            troubles.stop(filled.why.clone());
        }
        troubles
    }

    /// It is started; `first` says who waits first, and is asked only if that matters.
    pub(super) fn began(&mut self, now: Instant, first: impl FnOnce() -> Option<First>) {
        self.starts.began(now, first);
    }

    /// It has left while this one waits first, `hasty` if it had hardly begun; called before [`Self::ended`].
    pub(super) fn left(&mut self, waits: Option<First>, hasty: bool, now: Instant) {
        self.starts.ended(now, waits, hasty);
    }

    /// Whether its last run was one in vain too many.
    #[must_use]
    pub(super) fn in_vain(&self) -> bool {
        self.starts.failed(self.failures > 0)
    }

    /// It ended by itself, at `now`, after it had run for `ran`; `last` is the last line it wrote.
    pub(super) fn ended(&mut self, end: &End, ran: Duration, last: &str, now: Instant) {
        if matches!(end, End::Left(0)) && !self.in_vain() {
            self.failures = 0;
            self.not_before = None;
            return;
        }
        if ran >= SETTLED {
            self.failures = 0;
        }
        self.failures += if matches!(end, End::NotStarted(_)) { PATTERN } else { 1 };
        self.not_before = Some(now + self.wait());
        self.reason = match end {
            End::Left(0) if self.starts.was_hasty() => "leaves at once, again and again, whoever comes".to_owned(),
            end => reason(end, last),
        };
    }

    fn wait(&self) -> Duration {
        FIRST_WAIT.saturating_mul(1 << self.failures.saturating_sub(1).min(20)).min(LONGEST_WAIT)
    }

    /// Its socket hears nobody any more. Nothing of ours does that; whatever it waited for before it still waits for.
    pub(super) fn deaf(&mut self, why: &str, now: Instant) {
        self.failures += PATTERN;
        if !self.is_stopped(now) {
            self.reason = format!("its listening socket is of no use any more, and was made anew: {why}");
        }
        self.not_before = self.not_before.max(Some(now + self.wait()));
    }

    /// The host knows better why it ended than its end says.
    pub(super) fn because(&mut self, reason: String) {
        self.reason = reason;
    }

    /// It was put to sleep for filling the disk, so many times lately. Now and then it is started, so that its owner can make room.
    pub(super) fn fills(&mut self, reason: String, now: Instant) -> u32 {
        let before = self.fills.filter(|(_, last)| now.duration_since(*last) < FILLS_FORGOTTEN).map_or(0, |(n, _)| n);
        self.fills = Some((before + 1, now));
        self.stop(reason);
        before + 1
    }

    fn stop(&mut self, reason: String) {
        self.failures = self.failures.max(PATTERN);
        self.not_before = self.stopped_until();
        self.reason = reason;
    }

    fn stopped_until(&self) -> Option<Instant> {
        let (times, last) = self.fills?;
        Some(last + FILLS_WAIT.saturating_mul(1 << (times - 1).min(10)).min(FILLS_LONGEST))
    }

    /// Whether it still waits for having filled the disk.
    pub(super) fn is_stopped(&self, now: Instant) -> bool {
        self.not_before > Some(now) && self.stopped_until().is_some_and(|until| self.not_before >= Some(until))
    }

    /// It is to be something else now, and may have more on the disk than before, or not. Another name gives nobody back what the disk lacks.
    pub(super) fn placed(&mut self, more_room: bool, now: Instant) {
        if more_room || !self.is_stopped(now) {
            self.forget();
        }
    }

    /// Until when it counts as one that was put to sleep for that lately.
    pub(super) fn has_filled_until(&self) -> Option<Instant> {
        self.fills.map(|(_, last)| last + FILLS_FORGOTTEN)
    }

    /// It has run for [`SETTLED`], or somebody who may says so. Starts in vain are forgiven by time only.
    pub(super) fn forget(&mut self) {
        *self = Self { fills: self.fills, starts: self.starts, ..Self::default() };
    }

    /// It has waited, and is not started for that: whoever comes next finds it as one that sleeps. How often it has failed counts on.
    pub(super) fn waited(&mut self) {
        self.not_before = None;
    }

    /// Not to be started before this moment.
    #[must_use]
    pub(super) fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// What the operator should hear.
    #[must_use]
    pub(super) fn failing(&self) -> Option<&str> {
        (self.failures >= PATTERN && self.not_before.is_some()).then_some(&self.reason)
    }

    /// Why it ended last.
    #[must_use]
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }
}

fn reason(end: &End, last: &str) -> String {
    let how = match end {
        End::Left(0) => "leaves without taking the connection that it was started for".to_owned(),
        End::Left(code) => format!("leaves with code {code}"),
        End::Killed(signal) => match nix::sys::signal::Signal::try_from(*signal) {
            Ok(signal) => format!("is ended by {signal}"),
            Err(_) => format!("is ended by signal {signal}"),
        },
        End::NotStarted(why) if !why.is_empty() => format!("is not started: {why}"),
        End::NotStarted(_) => "is not started".to_owned(),
    };
    match logs::reason(last) {
        words if words.is_empty() => how,
        words => format!("{how}; its last words: {words}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn a_runtime_that_keeps_failing_waits_longer_and_longer_and_its_operator_hears_why() {
        let now = Instant::now();
        let mut troubles = Troubles::default();
        troubles.ended(&End::Left(3), SHORT, "", now);
        assert_eq!(troubles.failing(), None);
        assert_eq!(troubles.not_before(), Some(now + FIRST_WAIT));
        for _ in 0..40 {
            troubles.ended(&End::Killed(11), SHORT, r#"{"message":"no table"}"#, now);
        }
        assert_eq!(troubles.failing(), Some("is ended by SIGSEGV; its last words: no table"));
        assert_eq!(troubles.not_before(), Some(now + LONGEST_WAIT));
        troubles.ended(&End::Left(3), LONG, "", now);
        assert_eq!((troubles.failing(), troubles.not_before()), (None, Some(now + FIRST_WAIT)));
    }

    /// One run, which leaves its visitor waiting or not.
    fn run(troubles: &mut Troubles, end: &End, waits: bool, now: Instant) {
        let first = waits.then_some(First::Known(7));
        troubles.began(now, || first);
        troubles.left(first, false, now);
        troubles.ended(end, SHORT, "", now);
    }

    #[tokio::test]
    async fn a_runtime_that_goes_to_sleep_is_started_again_at_once_unless_it_never_works() {
        let (now, mut troubles) = (Instant::now(), Troubles::default());
        for _ in 0..100 {
            run(&mut troubles, &End::Left(0), false, now);
            assert_eq!((troubles.failing(), troubles.not_before()), (None, None));
        }
        let vain =
            |troubles: &mut Troubles, times: u32| (0..times).for_each(|_| run(troubles, &End::Left(0), true, now));
        // The first is not known to be in vain, and ten more may be.
        vain(&mut troubles, 11);
        assert_eq!((troubles.failing(), troubles.not_before()), (None, None));
        vain(&mut troubles, 1);
        assert_eq!((troubles.failing(), troubles.not_before()), (None, Some(now + FIRST_WAIT)));
        vain(&mut troubles, 30);
        assert_eq!(troubles.failing(), Some("leaves without taking the connection that it was started for"));
        assert_eq!(troubles.not_before(), Some(now + LONGEST_WAIT));
        run(&mut troubles, &End::Left(0), false, now);
        assert_eq!((troubles.failing(), troubles.not_before()), (None, None), "it has taken one");
        vain(&mut troubles, 2);
        assert!(troubles.failing().is_some(), "and is trusted no more than before");
        troubles.forget();
        assert_eq!(troubles.failing(), None);
        vain(&mut troubles, 2);
        assert!(troubles.failing().is_some(), "whoever makes it forgotten gains no starts");
    }

    #[tokio::test]
    async fn what_a_run_comes_to_says_when_the_next_may_begin() {
        /// How it ended, whether its visitor waits, how often so in turn; how long it then waits, in milliseconds.
        type Row = (End, bool, u32, Option<u64>);
        let table: [Row; 9] = [
            (End::Left(0), false, 100, None),
            (End::Left(0), true, 11, None),
            (End::Left(0), true, 12, Some(250)),
            (End::Left(0), true, 14, Some(1_000)),
            (End::Left(0), true, 60, Some(300_000)),
            (End::Left(3), false, 1, Some(250)),
            (End::Left(3), true, 3, Some(1_000)),
            (End::Killed(11), true, 2, Some(500)),
            (End::NotStarted(String::new()), true, 1, Some(500)),
        ];
        for (end, waits, times, expected) in table {
            let (now, mut troubles) = (Instant::now(), Troubles::default());
            (0..times).for_each(|_| run(&mut troubles, &end, waits, now));
            let wait = troubles.not_before().map(|moment| moment - now);
            assert_eq!(wait, expected.map(Duration::from_millis), "{end:?} {waits} {times}");
        }
    }

    #[tokio::test]
    async fn who_fills_the_disk_waits_longer_each_time_though_it_runs_well_in_between() {
        let (mut troubles, mut now, mut waits) = (Troubles::default(), Instant::now(), Vec::new());
        for _ in 0..9 {
            troubles.fills("holds much".into(), now);
            assert_eq!(troubles.failing(), Some("holds much"));
            waits.push((troubles.not_before().unwrap() - now).as_secs() / 60);
            now = troubles.not_before().unwrap();
            troubles.forget();
            assert_eq!((troubles.failing(), troubles.not_before()), (None, None));
            assert!(troubles.has_filled_until().is_some_and(|until| now < until), "its owner has still to hear of it");
        }
        assert_eq!(Troubles::default().has_filled_until(), None);
        assert!(troubles.has_filled_until() <= Some(now + FILLS_FORGOTTEN), "and not for ever");
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 360, 360]);
        troubles.fills("again".into(), now + FILLS_FORGOTTEN);
        assert_eq!(troubles.not_before(), Some(now + FILLS_FORGOTTEN + FILLS_WAIT));
    }

    #[tokio::test]
    async fn only_more_room_ends_a_stop_for_the_disk_and_nothing_else_that_it_is_placed_with() {
        let (now, mut troubles) = (Instant::now(), Troubles::default());
        troubles.ended(&End::NotStarted("no".into()), SHORT, "", now);
        troubles.placed(false, now);
        assert_eq!((troubles.failing(), troubles.not_before()), (None, None), "it may well start as something else");
        troubles.fills("holds much".into(), now);
        let stopped = troubles.clone();
        troubles.placed(false, now);
        assert_eq!(troubles, stopped);
        troubles.placed(false, now + FILLS_WAIT);
        assert_eq!(troubles.not_before(), None, "its time has come");
        for grows in [true, false] {
            let mut troubles = stopped.clone();
            if !grows {
                troubles.forget(); // an operator's word
                troubles.ended(&End::Left(3), SHORT, "", now);
            }
            troubles.placed(grows, now);
            assert_eq!((troubles.failing(), troubles.not_before()), (None, None));
        }
    }

    #[tokio::test]
    async fn a_stop_for_the_disk_outlives_the_host_and_ends_when_it_would_have() {
        let (now, minute) = (Instant::now(), Duration::from_secs(60));
        let at = DateTime::from_timestamp(1_000_000_000, 0).unwrap();
        let filled = Filled { times: 2, at, why: "holds much".into(), forgiven: false };
        for (ago, left) in [(4, 6), (-60, 10)] {
            let troubles = Troubles::resumed(&filled, at + TimeDelta::minutes(ago), now);
            assert_eq!((troubles.failing(), troubles.not_before()), (Some("holds much"), Some(now + left * minute)));
        }
        let forgiven = Filled { forgiven: true, ..filled.clone() };
        for (filled, ago) in [(&filled, 10), (&filled, 600), (&forgiven, 4)] {
            let mut troubles = Troubles::resumed(filled, at + TimeDelta::minutes(ago), now);
            assert_eq!((troubles.failing(), troubles.not_before()), (None, None), "{ago}");
            assert!(troubles.has_filled_until().is_some_and(|until| now < until), "its owner has still to hear of it");
            assert_eq!(troubles.fills("again".into(), now), 3, "and it waits longer the next time");
        }
        let mut troubles = Troubles::resumed(&filled, at + TimeDelta::hours(25), now);
        assert_eq!(troubles.fills("again".into(), now), 1, "that was long ago");
    }

    #[tokio::test]
    async fn whoever_breaks_its_socket_waits_longer_each_time_and_for_what_it_waited_for_before() {
        let (now, mut troubles) = (Instant::now(), Troubles::default());
        let waits = [500, 2_000, 8_000].map(Duration::from_millis);
        for wait in waits {
            troubles.deaf("it was shut down", now);
            assert_eq!(troubles.not_before(), Some(now + wait));
            assert!(troubles.failing().unwrap().ends_with("it was shut down"));
        }
        troubles.fills("holds much".into(), now);
        troubles.deaf("it was shut down", now + SHORT);
        assert_eq!((troubles.failing(), troubles.not_before()), (Some("holds much"), Some(now + FILLS_WAIT)));
    }

    #[tokio::test]
    async fn who_is_started_for_visitors_only_waits_longer_each_time_all_the_same() {
        let (now, mut troubles) = (Instant::now(), Troubles::default());
        for wait in [None, Some(500), Some(1_000), Some(2_000)] {
            troubles.ended(&End::Left(3), SHORT, "", now);
            let waits = troubles.failing().and(troubles.not_before()).map(|moment| moment - now);
            assert_eq!(waits, wait.map(Duration::from_millis));
            troubles.waited();
            assert_eq!((troubles.failing(), troubles.not_before()), (None, None), "visitors are let in");
        }
        troubles.ended(&End::Left(0), SHORT, "", now);
        troubles.ended(&End::Left(3), SHORT, "", now);
        assert_eq!(troubles.failing(), None, "it has run well once");
    }

    #[tokio::test]
    async fn what_cannot_be_started_is_heard_of_at_once() {
        let mut troubles = Troubles::default();
        troubles.ended(&End::NotStarted(String::new()), Duration::ZERO, "not started: landlock: no", Instant::now());
        assert_eq!(troubles.failing(), Some("is not started; its last words: not started: landlock: no"));
    }
}
