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

/// Who goes into the lane, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hosts::local) struct Rule {
    /// Percent of one processor; 0 for nobody.
    pub(in crate::hosts::local) above: u64,
    /// So long after it was last above.
    pub(in crate::hosts::local) stay: Duration,
}

/// What is known of one percloud's use of the processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// When it was last looked at, and the processor time of its process until then.
    seen: Option<(Instant, Duration)>,
    /// What it has used since the look before.
    used: Duration,
    /// What it has used lately beyond its share.
    over: Duration,
    /// It is in the lane until then.
    pub(super) slow_until: Option<Instant>,
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
    /// Another run of it begins: its process's clock does, too.
    pub(super) fn begin(&mut self) {
        self.seen = None;
    }

    /// It is in the lane.
    pub(super) fn is_slow(&self) -> bool {
        self.slow_until.is_some()
    }

    /// Whether it has used little between the last two looks.
    pub(super) fn used_little(&self) -> bool {
        self.used < LITTLE
    }

    /// Its process has used `cpu` until now. In the lane, where others may have a part of the few processors, `share` of the usual counts as
    /// much: else many busy ones together would make each of them look quiet.
    pub(super) fn weigh(&mut self, cpu: Duration, now: Instant, rule: Rule, share: f64) -> Verdict {
        let (then, before) = self.seen.replace((now, cpu)).unwrap_or((now, cpu));
        let free = now.saturating_duration_since(then).mul_f64(rule.above as f64 / 100.0 * share);
        self.used = cpu.saturating_sub(before);
        self.over = (self.over + self.used).saturating_sub(free).min(MOST);
        let was = self.is_slow();
        if self.over > GRACE {
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
    /// Where it stands from now on, when it has used `little` since then, and is `ready` to run or not.
    pub(super) fn next(self, little: bool, ready: bool) -> Self {
        let waited = self.last && little && ready;
        // One that has just begun may still be on its way into its usual group: it is moved once it has used something.
        let last = if self.last { !(waited && self.waited) } else { !little };
        Self { last, waited }
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
            ("has just begun", &[(true, true, false), (true, true, false), (false, true, true)]),
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
        for (who, looks) in table {
            let mut place = Place::default();
            for (number, (little, ready, last)) in looks.iter().enumerate() {
                place = place.next(*little, *ready);
                assert_eq!(place.last, *last, "who {who}, look {number}");
            }
        }
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
