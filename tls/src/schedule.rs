//! When a certificate is renewed and when it is tried again, as far as providers and homes agree. Pure; jitter is the caller's.

use std::time::Duration;

use chrono::TimeDelta;

/// A life shorter than this is renewed at half, since a third of it is too short for a person to mend anything.
const SHORT: TimeDelta = TimeDelta::days(10);

/// How much of its life a certificate has left when a new one is due: a third, or half of a short one.
#[must_use]
pub fn left_at_renewal(life: TimeDelta) -> TimeDelta {
    if life < SHORT { life / 2 } else { life / 3 }
}

/// The pause after a failure that came after `before` others in a row: 1, 10 and 100 minutes, then a day. A record that was just set is
/// found soon, and a name that never validates costs an authority four orders on the first day and one a day from then on.
#[must_use]
pub fn pause_after(before: u32) -> Duration {
    let minutes = match before {
        0 => 1,
        1 => 10,
        2 => 100,
        _ => 24 * 60,
    };
    Duration::from_secs(minutes * 60)
}

/// A pause where a certificate serves that has so much of its life left: no longer than a quarter of that (one minute at least), whatever
/// an authority wants. Of one that has ended there is nothing to lose any more.
#[must_use]
pub fn in_time(pause: Duration, left: Option<TimeDelta>) -> Duration {
    match left.filter(|left| *left > TimeDelta::zero()).map(|left| (left / 4).to_std()) {
        Some(Ok(quarter)) => pause.min(quarter.max(Duration::from_secs(60))),
        _ => pause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_soon_is_tried_more_often() {
        let day = Duration::from_secs(86_400);
        for (left, expected) in [
            (None, day),
            (Some(30 * 24), day),
            (Some(48), Duration::from_secs(12 * 3600)),
            (Some(4), Duration::from_secs(3600)),
            (Some(0), day), // over: nothing to lose any more
            (Some(-4), day),
        ] {
            assert_eq!(in_time(day, left.map(TimeDelta::hours)), expected, "{left:?}");
        }
        let minute = Duration::from_secs(60);
        assert_eq!(in_time(minute, Some(TimeDelta::hours(1))), minute);
        assert_eq!(in_time(day, Some(TimeDelta::seconds(8))), minute);
    }
}
