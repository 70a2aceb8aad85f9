//! When a certificate that failed is tried again: pure, chance handed in.
//!
//! 1, 10 and 100 minutes after the first three failures, then daily ([`tls::schedule::pause_after`]).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::renewal::Validity;

/// The pause after `tries` failures before this one, give or take a tenth.
#[must_use]
pub fn pause(tries: i32, chance: f64) -> Duration {
    let before = u32::try_from(tries).unwrap_or_default();
    tls::schedule::pause_after(before).mul_f64(0.9 + 0.2 * chance.clamp(0.0, 1.0))
}

/// The same for a CA that did not answer as one should, which is not the name's fault: ten minutes at most, and an hour where it goes on.
#[must_use]
pub fn away(tries: i32, chance: f64) -> Duration {
    pause(tries, chance).min(Duration::from_secs(if tries < 6 { 600 } else { 3600 }))
}

/// Where a certificate that serves is about to end, no pause is longer than a quarter of what is left (one minute at least).
#[must_use]
pub fn in_time(pause: Duration, serving: Option<&Validity>, now: DateTime<Utc>) -> Duration {
    let Some(validity) = serving else { return pause };
    let quarter = (validity.not_after - now).max(TimeDelta::zero()) / 4;
    match quarter.to_std() {
        Ok(quarter) if validity.not_after > now => pause.min(quarter.max(Duration::from_secs(60))),
        _ => pause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ten_and_a_hundred_minutes_then_daily() {
        for (tries, minutes) in [(0, 1), (1, 10), (2, 100), (3, 1440), (4, 1440), (i32::MAX, 1440), (-1, 1)] {
            assert_eq!(pause(tries, 0.5), Duration::from_secs(minutes * 60), "{tries}");
            assert!(pause(tries, 0.0) < pause(tries, 1.0), "not all at once");
            assert!(pause(tries, 1.0) <= Duration::from_secs(minutes * 66), "{tries}");
        }
    }

    #[test]
    fn a_ca_that_is_away_keeps_nobody_waiting_for_a_day() {
        for (tries, minutes) in [(0, 1), (1, 10), (2, 10), (5, 10), (6, 60), (100, 60)] {
            assert_eq!(away(tries, 0.5), Duration::from_secs(minutes * 60), "{tries}");
        }
    }

    #[test]
    fn what_ends_soon_is_tried_more_often() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let day = Duration::from_secs(86_400);
        let left = |hours| Validity { not_before: now - TimeDelta::days(3), not_after: now + TimeDelta::hours(hours) };
        for (serving, expected) in [
            (None, day),
            (Some(left(30 * 24)), day),
            (Some(left(48)), Duration::from_secs(12 * 3600)),
            (Some(left(4)), Duration::from_secs(3600)),
            (Some(left(0)), day), // over: nothing to lose any more
        ] {
            assert_eq!(in_time(day, serving.as_ref(), now), expected, "{serving:?}");
        }
        assert_eq!(in_time(Duration::from_secs(60), Some(&left(1)), now), Duration::from_secs(60));
    }
}
