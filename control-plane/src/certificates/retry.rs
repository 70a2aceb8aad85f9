//! When a certificate that failed is tried again: pure, chance handed in.
//!
//! 1, 10 and 100 minutes after the first three failures, then daily ([`tls::schedule::pause_after`]); what
//! serves does not end meanwhile ([`tls::schedule::in_time`]).

use std::time::Duration;

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
}
