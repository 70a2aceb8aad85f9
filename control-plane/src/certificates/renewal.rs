//! When a certificate is renewed: pure, chance handed in.
//!
//! With a third of the life left; with half of it left where the life is shorter than ten days, since then a third is too short for a
//! person to mend anything. A little earlier by chance, so that what was ordered together is not renewed together. A CA that suggests a
//! window (ARI, RFC 9773) is followed: a moment inside it, chosen by chance once for each window.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

/// From when to when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Validity {
    /// When it begins.
    pub not_before: DateTime<Utc>,
    /// When it ends.
    pub not_after: DateTime<Utc>,
}

impl Validity {
    /// How long it is good in all.
    #[must_use]
    pub fn life(&self) -> TimeDelta {
        self.not_after - self.not_before
    }

    /// When a new one is due: `chance` between 0 and 1 makes it up to a tenth of what is left then earlier.
    #[must_use]
    pub fn renew_at(&self, chance: f64) -> DateTime<Utc> {
        let left = tls::schedule::left_at_renewal(self.life());
        self.not_after - left - part(left / 10, chance)
    }

    /// From here on a certificate that has not been renewed is in danger: somebody must look.
    #[must_use]
    pub fn danger_at(&self) -> DateTime<Utc> {
        self.not_after - self.life() / 6
    }

    /// How long a renewal may fail before its owner is told.
    #[must_use]
    pub fn patience(&self) -> TimeDelta {
        (self.life() / 30).clamp(TimeDelta::hours(2), TimeDelta::days(3))
    }
}

/// How long the first order may fail before its owner is told of a failure: of that of the third retry, 100 minutes after the second, and
/// not of one before it, however [`super::retry::pause`] spreads them.
pub const FIRST_PATIENCE: TimeDelta = TimeDelta::minutes(60);

/// A moment inside the window that a CA suggests; at once when it is over. Never so late that the certificate is in danger.
#[must_use]
pub fn suggested(start: DateTime<Utc>, end: DateTime<Utc>, validity: &Validity, chance: f64) -> DateTime<Utc> {
    (start + part((end - start).max(TimeDelta::zero()), chance)).min(validity.danger_at())
}

fn part(of: TimeDelta, chance: f64) -> TimeDelta {
    TimeDelta::milliseconds((of.num_milliseconds() as f64 * chance.clamp(0.0, 1.0)) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn of(hours: i64) -> Validity {
        Validity { not_before: start(), not_after: start() + TimeDelta::hours(hours) }
    }

    #[test]
    fn long_lives_are_renewed_with_a_third_left_and_short_ones_with_half() {
        let hour = |n| start() + TimeDelta::hours(n);
        for (life, latest, earliest) in [
            (90 * 24, 60 * 24, 57 * 24), // classic
            (64 * 24, 1024, 973),        // from 2027 on; 42 d 16 h, and 2.1 days earlier
            (45 * 24, 30 * 24, 684),     // tlsserver; 1.5 days earlier
            (160, 80, 72),               // shortlived: 6 days and 16 hours
            (10 * 24, 160, 152),
        ] {
            let validity = of(life);
            assert_eq!(validity.renew_at(0.0), hour(latest), "{life} h");
            assert!((validity.renew_at(1.0) - hour(earliest)).abs() < TimeDelta::hours(1), "{life} h");
            assert!(validity.renew_at(0.0) < validity.danger_at());
        }
    }

    #[test]
    fn a_suggested_window_is_followed_and_never_into_danger() {
        let validity = of(90 * 24);
        let day = |n| start() + TimeDelta::days(n);
        for (from, to, chance, moment) in [
            (40, 42, 0.0, day(40)),
            (40, 42, 0.5, day(41)),
            (40, 42, 1.0, day(42)),
            (-5, -4, 0.5, start() - TimeDelta::hours(108)), // it is over: at once
            (80, 88, 1.0, day(75)),
            (50, 49, 0.7, day(50)), // a window that makes no sense has a beginning all the same
        ] {
            assert_eq!(suggested(day(from), day(to), &validity, chance), moment, "{from} {to} {chance}");
        }
    }

    #[test]
    fn an_owner_hears_of_trouble_long_before_the_end() {
        for (life, hours) in [(90 * 24, 72), (45 * 24, 36), (160, 5), (24, 2)] {
            let validity = of(life);
            assert!((validity.patience() - TimeDelta::hours(hours)).abs() < TimeDelta::hours(1), "{life} h");
            assert!(validity.renew_at(0.0) + validity.patience() < validity.danger_at() || life < 48, "{life} h");
        }
    }
}
