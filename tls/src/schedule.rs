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
