//! How long to wait after a failure.

use std::time::Duration;

/// A quarter of a second, doubled with each failure up to `most`, give or take a fifth so that many do not come at once.
/// `chance` is between 0 and 1.
pub(super) fn pause(tries: i32, most: Duration, chance: f64) -> Duration {
    let doubled = Duration::from_millis(250).saturating_mul(2u32.saturating_pow(tries.clamp(0, 30).unsigned_abs()));
    doubled.min(most).mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let most = Duration::from_secs(300);
        for (tries, seconds) in [(0, 0.25), (1, 0.5), (4, 4.0), (10, 256.0), (11, 300.0), (i32::MAX, 300.0)] {
            assert_eq!(pause(tries, most, 0.5).as_secs_f64(), seconds, "{tries}");
        }
        assert!(pause(3, most, 0.0) < pause(3, most, 1.0));
    }
}
