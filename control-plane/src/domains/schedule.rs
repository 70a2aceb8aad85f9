//! When to look again, and what a look counts for: pure.

use chrono::{DateTime, TimeDelta, Utc};

use super::{DomainRow, Health, Observed, Part};
use crate::mails::Message;

/// So many daily looks in a row that fail are too many.
pub(super) const MISSES: i32 = misses!();
/// A miss counts once a day; a little less than a day, since the daily look has its jitter.
const MISS_EVERY: TimeDelta = TimeDelta::hours(20);
/// Nobody answering for a domain is no miss, but not for ever.
pub(super) const UNKNOWN_FOR: TimeDelta = TimeDelta::days(14);
/// Other domains are looked at daily: with one of them found as it should be in this time, DNS answers us.
pub(crate) const HEARD_LATELY: TimeDelta = TimeDelta::days(2);
/// A claim that nobody proves and nobody asks about goes.
pub(super) const CLAIM_LASTS: TimeDelta = TimeDelta::days(60);
/// How long at most to wait for news of a certificate.
const CERTIFICATE: TimeDelta = TimeDelta::minutes(1);

/// What the looks so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Misses {
    pub(super) count: i32,
    pub(super) last: Option<DateTime<Utc>>,
    pub(super) good_at: Option<DateTime<Utc>>,
    /// Since when nobody has answered at any look, while others' name servers did.
    pub(super) unheard: Option<DateTime<Utc>>,
}

impl Misses {
    /// Before the next look. What was missed before a pause counts for nothing: nobody looked meanwhile whether it was mended.
    pub(super) fn before(row: &DomainRow) -> Self {
        let over = row.resumed_at.is_some_and(|resumed| row.missed_at.is_none_or(|missed| missed < resumed));
        let (count, last) = if over { (0, None) } else { (row.misses, row.missed_at) };
        // An older release that ran meanwhile leaves it as it was.
        let since_then = [row.resumed_at, row.good_at, row.missed_at];
        let unheard = row.unheard_since.filter(|since| since_then.iter().flatten().all(|at| at <= since));
        Self { count, last, good_at: row.good_at, unheard }
    }

    /// With one look more; `heard` where somebody has answered for another's domain lately.
    pub(super) fn with(row: &DomainRow, health: Health, heard: bool, now: DateTime<Utc>) -> Self {
        let before = Self::before(row);
        // A silence that may be our own ends the one that was not: it is counted anew.
        let unheard =
            Some(before.unheard.map_or(now, |since| since.min(now))).filter(|_| heard && health == Health::Unknown);
        let before = Self { unheard, ..before };
        match health {
            Health::Good => Self { count: 0, last: None, good_at: Some(now), unheard: None },
            Health::Unknown => before,
            _ if before.last.is_some_and(|last| now - last < MISS_EVERY) => before,
            Health::Wrong | Health::Unproved => Self { count: before.count + 1, last: Some(now), ..before },
        }
    }

    /// Whether they are too many.
    pub(super) fn too_many(&self) -> bool {
        self.count >= MISSES
    }

    /// Whether nobody has answered for too long.
    pub(super) fn silent(&self, now: DateTime<Utc>) -> bool {
        self.unheard.is_some_and(|since| now - since >= UNKNOWN_FOR)
    }
}

/// What its owner hears when it goes on being wrong at `now`: a day after the first miss, since a shorter one may be a change that is going
/// on; and when it is not renewed any more. Nobody uses one that only waits.
pub(super) fn tells(
    row: &DomainRow,
    observed: Observed,
    misses: &Misses,
    ends: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<Message> {
    let leads = row.part == Part::Former || row.returns();
    let used = observed == Observed::Active && !row.suspended && (leads || row.in_use().is_some());
    let until = ends.filter(|_| misses.too_many() && !leads).map(|ends| ends.format("%Y-%m-%d").to_string());
    let state = match misses.count {
        _ if !used || misses.last != Some(now) => return None,
        2 if leads => "leads",
        2 => "serves",
        MISSES if until.is_some() => "ends",
        _ => return None,
    };
    let (domain, address) = (row.in_use().unwrap_or(&row.name).to_owned(), row.without().to_owned());
    Some(Message::DomainMissed { domain, state: state.into(), address, until })
}

/// When DNS is to be looked at next. `chance` is between 0 and 1.
pub(super) fn next_check(
    row: &DomainRow,
    observed: Observed,
    health: Option<Health>,
    misses: &Misses,
    now: DateTime<Utc>,
    chance: f64,
) -> DateTime<Utc> {
    let asked = now - row.asked_at;
    let moves =
        observed == Observed::Active && row.part != Part::Former && row.own_domain.as_deref() != Some(&row.name);
    let pause = match (observed, health) {
        (Observed::Verified, _) if asked < TimeDelta::hours(1) => TimeDelta::minutes(2),
        (Observed::Verified | Observed::Active, Some(Health::Unknown)) => TimeDelta::hours(1),
        (Observed::Verified | Observed::Active, _) => match misses.last {
            None => TimeDelta::hours(24),
            // Soon after the first miss, then slower, and in time for the next that counts.
            Some(last) => {
                let soon = ((now - last) * 2).clamp(TimeDelta::minutes(10), TimeDelta::hours(4));
                soon.min((last + TimeDelta::hours(24) - now).max(TimeDelta::minutes(10)))
            }
        },
        (Observed::Lost, _) if asked >= TimeDelta::hours(1) => TimeDelta::hours(6),
        (Observed::Pending | Observed::Lost, _) => patience(asked),
    };
    // What was chosen is asked about like a claim: soon at first, but not for ever.
    let pause = if moves { pause.min(patience(asked)) } else { pause };
    // Spread out, so that many are not looked at together for ever.
    let spread = pause.as_seconds_f64() * (0.9 + 0.2 * chance.clamp(0.0, 1.0));
    now + TimeDelta::milliseconds((spread * 1000.0) as i64)
}

/// How long an owner who did something so long ago waits for the next look at what is not right yet.
fn patience(asked: TimeDelta) -> TimeDelta {
    match asked {
        _ if asked < TimeDelta::hours(1) => TimeDelta::minutes(2),
        _ if asked < TimeDelta::days(1) => TimeDelta::minutes(15),
        _ if asked < TimeDelta::days(7) => TimeDelta::hours(2),
        _ => TimeDelta::hours(24),
    }
}

/// When the row is due next: in time for DNS, soon where a certificate is awaited, and when the one that serves is no longer a lasting one;
/// while it is paused for that alone, or never. One that leads to another one is due on its last day, too.
pub(super) fn next_due(
    row: &DomainRow,
    observed: Observed,
    check_at: DateTime<Utc>,
    lasts_until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let ends = lasts_until.filter(|_| observed == Observed::Active).map(|at| at.max(now + CERTIFICATE));
    let ends = ends.or(row.leads_until.filter(|_| row.part == Part::Former));
    if row.paused {
        return ends;
    }
    // Who chose another name is woken when its certificate comes, and needs no look every minute until then.
    let waits = observed == Observed::Verified;
    let due = if waits && !row.suspended { check_at.min(now + CERTIFICATE) } else { check_at };
    Some(ends.map_or(due, |ends| ends.min(due)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domains::testing::row;

    #[test]
    fn looks_are_frequent_at_first_and_slower_later() {
        let start = row().asked_at;
        let after = |observed, health, since: TimeDelta, misses: Option<TimeDelta>| {
            let row = DomainRow { own_domain: Some(row().name), ..row() };
            let now = start + since;
            let misses = Misses { count: 1, last: misses.map(|ago| now - ago), good_at: None, unheard: None };
            next_check(&row, observed, health, &misses, now, 0.5) - now
        };
        let (minutes, hours, days) = (TimeDelta::minutes, TimeDelta::hours, TimeDelta::days);
        for (observed, health, since, missed, pause) in [
            (Observed::Pending, None, minutes(0), None, minutes(2)),
            (Observed::Pending, None, minutes(59), None, minutes(2)),
            (Observed::Pending, None, hours(2), None, minutes(15)),
            (Observed::Pending, None, days(2), None, hours(2)),
            (Observed::Pending, None, days(9), None, hours(24)),
            (Observed::Lost, None, minutes(5), None, minutes(2)),
            (Observed::Lost, None, days(1), None, hours(6)),
            (Observed::Active, Some(Health::Good), days(1), None, hours(24)),
            (Observed::Active, Some(Health::Unknown), days(1), None, hours(1)),
            (Observed::Active, Some(Health::Wrong), days(1), Some(minutes(0)), minutes(10)),
            (Observed::Active, Some(Health::Wrong), days(1), Some(minutes(30)), minutes(60)),
            (Observed::Active, Some(Health::Wrong), days(1), Some(hours(9)), hours(4)),
            (Observed::Active, Some(Health::Wrong), days(1), Some(hours(23)), hours(1)),
        ] {
            assert_eq!(after(observed, health, since, missed), pause, "{observed:?} {health:?} {since} {missed:?}");
        }
        let chosen = DomainRow { own_domain: row().twin, ..row() };
        let before = DomainRow { own_domain: None, part: Part::Former, ..row() };
        for (row, since, missed, pause) in [
            (&chosen, minutes(0), None, minutes(2)),
            (&chosen, hours(2), None, minutes(15)),
            (&chosen, days(2), None, hours(2)),
            (&chosen, days(9), None, hours(24)),
            (&chosen, days(9), Some(minutes(0)), minutes(10)),
            (&before, minutes(0), None, hours(24)),
        ] {
            let now = start + since;
            let misses =
                Misses { count: 1, last: missed.map(|ago: TimeDelta| now - ago), good_at: None, unheard: None };
            let next = next_check(row, Observed::Active, None, &misses, now, 0.5) - now;
            assert_eq!(next, pause, "what was chosen is not asked about every minute for ever: {since} {missed:?}");
        }
    }

    #[test]
    fn a_row_is_due_when_its_certificate_ends_soon_and_each_minute_while_one_is_awaited() {
        let served = DomainRow { own_domain: Some(row().name), observed: Observed::Active, ..row() };
        let suspended = DomainRow { suspended: true, ..row() };
        let paused = DomainRow { paused: true, ..served.clone() };
        let (now, hours) = (row().asked_at, TimeDelta::hours);
        let until = Some(now + hours(5));
        let former = DomainRow { part: Part::Former, leads_until: until, observed: Observed::Active, ..row() };
        let left = DomainRow { paused: true, ..former.clone() };
        let chosen = DomainRow { own_domain: row().twin, observed: Observed::Active, ..row() };
        let back = DomainRow { part: Part::Next, ..former.clone() };
        let minute = TimeDelta::minutes(1);
        for (what, row, observed, lasts, due) in [
            ("it lasts", &served, Observed::Active, Some(hours(99)), Some(hours(24))),
            ("it lasts for some hours", &served, Observed::Active, Some(hours(4)), Some(hours(4))),
            ("it lasts no more, and a new one is tried for", &served, Observed::Active, Some(hours(-1)), Some(minute)),
            ("one is awaited", &row(), Observed::Verified, None, Some(minute)),
            ("another name was chosen", &chosen, Observed::Active, Some(hours(99)), Some(hours(24))),
            ("one is on its way back", &back, Observed::Active, None, Some(hours(24))),
            ("nothing is ordered", &suspended, Observed::Verified, None, Some(hours(24))),
            ("paused, and it lasts", &paused, Observed::Active, Some(hours(99)), Some(hours(99))),
            ("paused at the old name", &paused, Observed::Verified, None, None),
            ("it leads to another one for hours", &former, Observed::Active, None, Some(hours(5))),
            ("the same, paused", &left, Observed::Active, None, Some(hours(5))),
        ] {
            let lasts_until = lasts.map(|lasts| now + lasts);
            let next = next_due(row, observed, now + hours(24), lasts_until, now).map(|next| next - now);
            assert_eq!(next, due, "{what}");
        }
    }

    #[test]
    fn a_miss_counts_once_a_day_and_three_are_too_many() {
        let start = row().asked_at;
        let mut held = DomainRow { observed: Observed::Active, good_at: Some(start), ..row() };
        let mut look = |health, hours: i64| {
            let now = start + TimeDelta::hours(hours);
            let misses = Misses::with(&held, health, true, now);
            (held.misses, held.missed_at, held.good_at) = (misses.count, misses.last, misses.good_at);
            (misses.count, misses.too_many())
        };
        for (health, hours, count, lost) in [
            (Health::Wrong, 0, 1, false),
            (Health::Wrong, 1, 1, false),
            (Health::Wrong, 12, 1, false),
            (Health::Wrong, 24, 2, false),
            (Health::Unknown, 36, 2, false),
            (Health::Good, 40, 0, false),
            (Health::Wrong, 41, 1, false),
            (Health::Wrong, 65, 2, false),
            (Health::Wrong, 80, 2, false),
            (Health::Unproved, 89, 3, true),
            (Health::Unproved, 113, 4, true),
            (Health::Good, 137, 0, false),
        ] {
            assert_eq!(look(health, hours), (count, lost), "{health:?} after {hours} h");
        }
    }

    #[test]
    fn silence_is_counted_while_others_are_heard_and_ends_a_name_after_two_weeks() {
        let start = row().asked_at;
        let mut held = DomainRow { observed: Observed::Active, good_at: Some(start), ..row() };
        let mut look = |health, heard, day: i64| {
            let now = start + TimeDelta::days(day);
            let misses = Misses::with(&held, health, heard, now);
            (held.misses, held.missed_at, held.unheard_since) = (misses.count, misses.last, misses.unheard);
            misses.silent(now)
        };
        let (unknown, wrong) = (Health::Unknown, Health::Wrong);
        assert!(
            (1..100).all(|day| !look(unknown, false, day)),
            "nobody answers for anybody: that is our own way to DNS"
        );
        assert!(!look(unknown, true, 100), "one look at which others are heard is no two weeks");
        assert!((101..114).all(|day| !look(unknown, true, day)) && look(unknown, true, 114), "but not for ever");
        assert!(!look(wrong, true, 115) && !look(unknown, true, 116), "whoever answers is not silent");
        assert!(!look(unknown, true, 129) && look(unknown, true, 130));
        assert!(!look(unknown, false, 131) && !look(unknown, true, 132), "it is counted anew");
    }

    #[test]
    fn what_was_missed_before_a_pause_counts_for_nothing() {
        let start = row().asked_at;
        let day = |days| start + TimeDelta::days(days);
        let missed = DomainRow { observed: Observed::Active, good_at: Some(start), misses: 2, ..row() };
        let missed = DomainRow { missed_at: Some(day(2)), ..missed };
        let resumed = DomainRow { resumed_at: Some(day(30)), ..missed.clone() };
        for (what, row, health, count, is_lost) in [
            ("it was never paused", &missed, Health::Wrong, 3, true),
            ("it is wrong still", &resumed, Health::Wrong, 1, false),
            ("nobody answers", &resumed, Health::Unknown, 0, false),
        ] {
            let misses = Misses::with(row, health, true, day(30));
            assert_eq!((misses.count, misses.too_many() || misses.silent(day(30))), (count, is_lost), "{what}");
        }
        let silent = DomainRow { unheard_since: Some(day(20)), ..resumed.clone() };
        assert_eq!(Misses::before(&silent).unheard, None, "what nobody looked at during the pause");
        let since = DomainRow { unheard_since: Some(day(30)), ..resumed };
        assert!(Misses::with(&since, Health::Unknown, true, day(44)).silent(day(44)), "two weeks after it");
    }
}
