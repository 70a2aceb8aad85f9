//! When to renew, and when to try again. Pure: the time and the dice (`chance`, from 0 to 1) are handed in.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use tls::schedule::{in_time, left_at_renewal, pause_after};

/// When a certificate is to be renewed that an authority says nothing of. Up to a twentieth of its life earlier, so that not
/// all the world's percloud certificates of one day come back on one day.
pub(super) fn renew_at(not_before: DateTime<Utc>, not_after: DateTime<Utc>, chance: f64) -> DateTime<Utc> {
    let life = not_after - not_before;
    not_after - left_at_renewal(life) - share(life, chance / 20.0)
}

/// A moment of a window (RFC 9773, section 4.2). The same dice for the same certificate give the same moment. There are
/// authorities whose windows last to the certificate's very end: a tenth of its life is left in any case.
pub(super) fn within(window: [DateTime<Utc>; 2], life: [DateTime<Utc>; 2], chance: f64) -> DateTime<Utc> {
    let [start, end] = window;
    let latest = life[1] - share(life[1] - life[0], 0.1);
    (start + share(end - start, chance)).min(latest)
}

/// How long to wait after the `failures`th failure in a row: 1, 10, 100 minutes, then a day; longer when the authority said so. Never so
/// long that what serves, and has so much of its life `left`, could end meanwhile.
pub(super) fn retry_after(failures: u32, asked: Option<Duration>, left: Option<TimeDelta>, chance: f64) -> Duration {
    let step = pause_after(failures.saturating_sub(1));
    let jitter = if failures > 3 { chance / 10.0 } else { 0.0 };
    in_time(step.mul_f64(1.0 - jitter).max(asked.unwrap_or_default()), left)
}

/// How long to wait at a start after `failures`, the last one `ago`: a person who has mended something and starts the program
/// again need not wait for a day; a program that ends and is started again and again must not use up the authority's limits.
pub(super) fn at_start(failures: u32, ago: TimeDelta) -> Duration {
    let wait = match failures {
        0 => Duration::ZERO,
        _ => retry_after(failures.min(2), None, None, 0.0),
    };
    wait.saturating_sub(ago.to_std().unwrap_or_default())
}

/// When to try first after a start at `now`: when the one that there is is to be renewed, or at once without one, but not before `wait` is over.
pub(super) fn first_try(renew_at: Option<DateTime<Utc>>, wait: Duration, now: DateTime<Utc>) -> DateTime<Utc> {
    let soonest = now + wait;
    renew_at.map_or(soonest, |at| at.max(soonest))
}

/// The shortest pause after a success: clocks that disagree must not make us ask without end.
pub(super) fn least_pause(life: TimeDelta) -> Duration {
    share(life, 0.25).to_std().unwrap_or_default().min(Duration::from_secs(3600))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "milliseconds of years are enough")]
fn share(of: TimeDelta, part: f64) -> TimeDelta {
    TimeDelta::milliseconds((of.num_milliseconds() as f64 * part) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(n: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::days(n)
    }

    #[test]
    fn long_ones_are_renewed_at_two_thirds_and_short_ones_at_half() {
        assert_eq!(renew_at(day(0), day(90), 0.0), day(60));
        assert_eq!(renew_at(day(0), day(45), 0.0), day(30));
        assert_eq!(renew_at(day(0), day(6), 0.0), day(3));
        assert!(renew_at(day(0), day(90), 1.0) > day(55) && renew_at(day(0), day(90), 1.0) < day(56));
        assert_eq!(within([day(10), day(20)], [day(0), day(90)], 0.5), day(15));
        assert_eq!(within([day(10), day(90)], [day(0), day(90)], 1.0), day(81));
    }

    #[test]
    fn patience_grows_and_the_authority_may_ask_for_more() {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        let all = [1, 2, 3, 4, 9].map(|failures| retry_after(failures, None, None, 0.0));
        assert_eq!(all, [minutes(1), minutes(10), minutes(100), minutes(1440), minutes(1440)]);
        assert_eq!(retry_after(1, Some(minutes(30)), None, 0.0), minutes(30));
        assert!(retry_after(4, None, None, 1.0) < minutes(1440));
        // One of six days, due with three of them left: an authority that says "in a week" is asked again in time.
        let left = Some(TimeDelta::days(3));
        assert_eq!(retry_after(1, Some(minutes(7 * 1440)), left, 0.0), minutes(18 * 60));
        assert_eq!(retry_after(4, None, left, 0.0), minutes(18 * 60));
        assert_eq!(retry_after(2, None, left, 0.0), minutes(10));
        assert_eq!(first_try(None, minutes(0), day(0)), day(0));
        assert_eq!(first_try(None, minutes(6), day(0)), day(0) + minutes(6));
        assert_eq!(first_try(Some(day(9)), minutes(6), day(0)), day(9));
        let overdue = first_try(Some(day(-1)), minutes(6), day(0));
        assert_eq!(overdue, day(0) + minutes(6), "to be started again and again is no way around");
        assert_eq!(at_start(0, TimeDelta::zero()), minutes(0));
        assert_eq!(at_start(7, TimeDelta::minutes(4)), minutes(6));
        assert_eq!(at_start(7, TimeDelta::days(1)), minutes(0));
    }

    #[test]
    fn clocks_that_disagree_do_no_harm() {
        assert_eq!(least_pause(TimeDelta::days(90)), Duration::from_secs(3600));
        assert_eq!(least_pause(TimeDelta::seconds(40)), Duration::from_secs(10));
    }
}
