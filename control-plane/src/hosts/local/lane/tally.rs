//! Who is busy, by what was used between two looks, and who starves among those that come last.

use std::time::Duration;

use tokio::time::Instant;

/// So much more processor time than its share one may use before it counts: a page full of pictures, a password.
const GRACE: Duration = Duration::from_millis(200);
/// It is not remembered for more, so that one who has become quiet soon counts as quiet.
const MOST: Duration = Duration::from_millis(400);
/// Who comes last, has used less between two looks and wanted to run at both, is left nothing by others who are busy: then it has its
/// share until the next look.
const LITTLE: Duration = Duration::from_millis(50);

/// Who has used less between two looks has written next to nothing either, since that takes time of its own, too.
const WRITES: Duration = Duration::from_millis(10);
/// A MiB that is written costs so much more: what threads of the kernel do for it later, on nobody's account.
const MIB_WRITTEN: Duration = Duration::from_millis(1);

/// Who goes into the lane, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hosts::local) struct Rule {
    /// Percent of one processor; 0 for nobody.
    pub(in crate::hosts::local) above: u64,
    /// So long after it was last above.
    pub(in crate::hosts::local) stay: Duration,
}

impl Rule {
    /// What it may use of the processors in such a time.
    fn share(self, time: Duration) -> Duration {
        time.mul_f64(self.above as f64 / 100.0)
    }
}

/// What is known of one percloud's use of the processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// When it was last looked at, and the processor time of its process until then.
    seen: Option<(Instant, Duration)>,
    /// What it has used since the look before.
    used: Duration,
    /// For how long before this look it was above.
    busy: Duration,
    /// What it has used lately beyond its share.
    over: Duration,
    /// It is in the lane until then.
    pub(super) slow_until: Option<Instant>,
    /// For as long as it runs it is there, whatever it uses.
    always: bool,
    /// Bytes that its process has written, and what they cost beside its own time.
    written: (u64, Duration),
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It runs where it wants.
    Free,
    /// Into the lane.
    Enter,
    /// It is there and stays.
    Stay,
    /// Out of the lane.
    Leave,
}

impl Tally {
    /// Another run of it begins, and its process's clock does, too. What the runs before it have used beyond their share counts as if it
    /// had been idle meanwhile: to leave is no way to be forgotten sooner.
    pub(super) fn begin(&mut self, now: Instant, rule: Rule, always: bool) {
        self.over = self.over_at(now, rule);
        self.always = always;
        self.seen = Some((now, Duration::ZERO));
        self.written = (0, Duration::ZERO);
    }

    /// Whether its process, which has used `cpu` until now, may have written much since it was last looked at.
    pub(super) fn may_have_written(&self, cpu: Duration) -> bool {
        self.seen.is_none_or(|(_, before)| (cpu + self.written.1).saturating_sub(before) >= WRITES)
    }

    /// Its process has written so many bytes until now.
    pub(super) fn wrote(&mut self, bytes: u64) {
        let (before, cost) = self.written;
        let more = bytes.saturating_sub(before) as f64 / f64::from(1 << 20);
        self.written = (bytes, cost + MIB_WRITTEN.mul_f64(more));
    }

    /// What it has used beyond its share, when it has used nothing since it was last looked at.
    fn over_at(&self, now: Instant, rule: Rule) -> Duration {
        let since = self.seen.map_or(Duration::ZERO, |(then, _)| now.saturating_duration_since(then));
        self.over.saturating_sub(rule.share(since))
    }

    /// How long ago it was last looked at, or began.
    pub(super) fn since(&self, now: Instant) -> Duration {
        self.seen.map_or(Duration::MAX, |(then, _)| now.saturating_duration_since(then))
    }

    /// Whether there is anything to be remembered of one that sleeps: it is in the lane, or a little more would lead there.
    pub(super) fn counts(&self, now: Instant, rule: Rule) -> bool {
        self.slow_until.is_some_and(|until| until > now) || !self.over_at(now, rule).is_zero()
    }

    /// For how long it has kept processors busy between the last two looks.
    pub(super) fn busy(&self) -> Duration {
        self.busy
    }

    /// It is in the lane.
    pub(super) fn is_slow(&self) -> bool {
        self.always || self.slow_until.is_some()
    }

    /// Whether it has used little between the last two looks.
    pub(super) fn used_little(&self) -> bool {
        self.used < LITTLE
    }

    /// Its process has used `cpu` until now. In the lane, where others may have a part of the few processors, `share` of the usual counts as
    /// much: else many busy ones together would make each of them look quiet.
    pub(super) fn weigh(&mut self, cpu: Duration, now: Instant, rule: Rule, share: f64) -> Verdict {
        let cpu = cpu + self.written.1;
        let (then, before) = self.seen.replace((now, cpu)).unwrap_or((now, cpu));
        let since = now.saturating_duration_since(then);
        let free = rule.share(since).mul_f64(share);
        self.used = cpu.saturating_sub(before);
        self.over = (self.over + self.used).saturating_sub(free).min(MOST);
        let was = self.is_slow();
        self.busy = Duration::ZERO;
        if self.over > GRACE {
            self.busy = since;
            self.slow_until = Some(now + rule.stay);
        } else if self.slow_until.is_some_and(|until| until <= now) {
            self.slow_until = None;
        }
        match (was, self.is_slow()) {
            (false, false) => Verdict::Free,
            (false, true) => Verdict::Enter,
            (true, true) => Verdict::Stay,
            (true, false) => Verdict::Leave,
        }
    }
}

/// How a run stands in the lane.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    /// It comes last already.
    pub(super) last: bool,
    /// It did, had used little and wanted to run when it was last looked at.
    waited: bool,
}

impl Place {
    /// That of one that is in the lane already when it begins. Somebody waits for its start: one look is enough to see that it is left nothing.
    pub(super) const LAST: Self = Self { last: true, waited: true };

    /// That of one that has just begun, in the lane or not.
    pub(super) fn first(last: bool) -> Self {
        if last { Self::LAST } else { Self::default() }
    }

    /// Where it stands from now on, when it has used `little` since then, and is `ready` to run or not.
    pub(super) fn next(self, little: bool, ready: bool) -> Self {
        let waited = self.last && little && ready;
        Self { last: !(waited && self.waited), waited }
    }
}

#[cfg(test)]
mod tests {
    use super::super::EVERY;
    use super::*;

    const RULE: Rule = Rule { above: 50, stay: Duration::from_secs(60) };

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Half a second after half a second, in each of which so many milliseconds were used.
    fn verdicts(used: &[u64], share: f64, tally: &mut Tally, start: Instant) -> Vec<Verdict> {
        let (mut cpu, mut now) = (Duration::ZERO, start);
        tally.weigh(cpu, now, RULE, share);
        let look = |used: &u64| {
            (cpu, now) = (cpu + millis(*used), now + EVERY);
            tally.weigh(cpu, now, RULE, share)
        };
        used.iter().map(look).collect()
    }

    #[test]
    fn who_uses_more_than_its_share_for_long_goes_into_the_lane() {
        use Verdict::{Enter, Free, Stay};
        let table: [(&str, &[u64], &[Verdict]); 6] = [
            ("nothing", &[0, 0, 0], &[Free, Free, Free]),
            ("its share", &[250, 250, 250], &[Free, Free, Free]),
            ("one busy moment", &[450, 0, 450], &[Free, Free, Free]),
            ("a processor", &[500, 500], &[Enter, Stay]),
            ("four processors", &[2000], &[Enter]),
            ("a little more than its share", &[350, 350, 350], &[Free, Free, Enter]),
        ];
        for (who, used, expected) in table {
            assert_eq!(verdicts(used, 1.0, &mut Tally::default(), Instant::now()), expected, "{who}");
        }
    }

    #[test]
    fn it_leaves_the_lane_so_long_after_it_was_last_busy() {
        let (start, mut tally) = (Instant::now(), Tally::default());
        assert_eq!(verdicts(&[500, 500, 500], 1.0, &mut tally, start).last(), Some(&Verdict::Stay));
        let quiet = verdicts(&[0; 130], 1.0, &mut tally, start + EVERY * 3);
        let left = quiet.iter().position(|verdict| *verdict == Verdict::Leave).unwrap();
        assert!((119..=121).contains(&left), "{left} half seconds");
        assert_eq!(quiet[left + 1], Verdict::Free);
    }

    #[test]
    fn who_is_starved_for_two_looks_has_its_share_until_the_next_and_nobody_else() {
        /// Used little? Ready to run? Last from then on?
        type Look = (bool, bool, bool);
        let table: [(&str, &[Look]); 5] = [
            ("has just come there", &[(true, true, true), (true, true, true), (true, true, false)]),
            ("has enough", &[(false, true, true), (false, true, true), (false, false, true)]),
            ("is quiet", &[(false, true, true), (true, false, true), (true, false, true)]),
            (
                "begins just before a look",
                &[(false, true, true), (true, false, true), (true, true, true), (false, true, true)],
            ),
            (
                "starves",
                &[
                    (false, true, true),
                    (true, true, true),
                    (true, true, false),
                    (false, true, true),
                    (true, true, true),
                ],
            ),
        ];
        assert!(!Place::LAST.next(true, true).last && Place::LAST.next(false, true).last, "who begins there, sooner");
        for (who, looks) in table {
            let mut place = Place::default();
            for (number, (little, ready, last)) in looks.iter().enumerate() {
                place = place.next(*little, *ready);
                assert_eq!(place.last, *last, "who {who}, look {number}");
            }
        }
    }

    /// Life after life, each of `long` milliseconds in which `used` are used, and a pause; none is looked at before its end.
    fn lives(long: u64, used: u64, pause: u64, lives: usize) -> Vec<Verdict> {
        let (mut now, mut tally) = (Instant::now(), Tally::default());
        let live = |_| {
            tally.begin(now, RULE, false);
            now += millis(long);
            let verdict = tally.weigh(millis(used), now, RULE, 1.0);
            now += millis(pause);
            verdict
        };
        (0..lives).map(live).collect()
    }

    #[test]
    fn short_lives_add_up_and_who_only_wakes_often_is_not_busy() {
        // How long each is, what it uses, how long it sleeps; which of a hundred leads into the lane.
        for (who, long, used, pause, expected) in [
            ("spins on four processors", 400, 1600, 10, Some(0)),
            ("spins on two", 400, 800, 10, Some(0)),
            ("spins on one", 400, 400, 10, Some(1)),
            ("spins for a moment, again and again", 50, 50, 5, Some(8)),
            ("spins, and lets half of the time go by", 100, 100, 100, None),
            ("is woken ten times in a second and answers", 30, 15, 70, None),
            ("is busy on two for a moment", 300, 450, 3_000, Some(0)),
            ("shows a large page now and then", 300, 320, 3_000, None),
        ] {
            let verdicts = lives(long, used, pause, 100);
            assert_eq!(verdicts.iter().position(|verdict| *verdict == Verdict::Enter), expected, "who {who}");
        }
    }

    #[test]
    fn who_writes_much_is_busy_though_it_uses_little_itself() {
        let (start, mut tally) = (Instant::now(), Tally::default());
        tally.begin(start, RULE, false);
        assert!(!tally.may_have_written(millis(9)) && tally.may_have_written(millis(10)));
        // A fifth of a second's work of its own, and what it writes in the first, not in the second.
        for (second, mib, verdict) in [(1, 0, Verdict::Free), (2, 700, Verdict::Enter), (70, 700, Verdict::Leave)] {
            tally.wrote(mib << 20);
            assert_eq!(
                tally.weigh(millis(200 * second), start + millis(1000 * second), RULE, 1.0),
                verdict,
                "{second}"
            );
        }
        tally.begin(start + millis(70_000), RULE, false);
        tally.wrote(100 << 20);
        assert_eq!(tally.weigh(millis(10), start + millis(71_000), RULE, 1.0), Verdict::Free, "another process");
    }

    #[test]
    fn what_is_over_is_remembered_while_it_counts_and_time_in_the_lane_while_it_is_busy() {
        let (start, mut tally) = (Instant::now(), Tally::default());
        tally.begin(start, RULE, false);
        tally.weigh(millis(150), start + millis(100), RULE, 1.0);
        assert_eq!((tally.over, tally.is_slow(), tally.busy()), (millis(100), false, Duration::ZERO));
        assert!(tally.counts(start + millis(299), RULE) && !tally.counts(start + millis(300), RULE));
        tally.begin(start + millis(200), RULE, false);
        assert_eq!(tally.over, millis(50), "it was idle for a tenth of a second");
        tally.weigh(millis(500), start + millis(500), RULE, 1.0);
        assert_eq!((tally.is_slow(), tally.busy()), (true, millis(300)));
        tally.weigh(millis(500), start + millis(1_500), RULE, 1.0);
        assert_eq!((tally.is_slow(), tally.busy()), (true, Duration::ZERO), "it is there, and quiet");
        assert!(tally.counts(start + millis(60_499), RULE) && !tally.counts(start + millis(60_500), RULE));
    }

    #[test]
    fn what_was_used_since_the_last_look_is_known() {
        let (start, mut tally) = (Instant::now(), Tally::default());
        for (cpu, used) in [(700, 0), (1200, 500), (1210, 10)] {
            tally.weigh(millis(cpu), start, RULE, 1.0);
            assert_eq!((tally.used, tally.used_little()), (millis(used), used < 50), "{cpu}");
        }
    }

    #[test]
    fn many_in_the_lane_count_as_busy_with_less() {
        let (start, mut tally) = (Instant::now(), Tally::default());
        verdicts(&[500, 500], 1.0, &mut tally, start);
        // Four on one processor: each has 125 ms of 500.
        let shared = verdicts(&[125; 130], 0.25, &mut tally, start + EVERY * 2);
        assert!(shared.iter().all(|verdict| *verdict == Verdict::Stay), "{shared:?}");
    }
}
