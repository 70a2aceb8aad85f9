//! What to do next with a certificate: pure, one arm a line.

use chrono::{DateTime, Utc};

use crate::certificates::{
    Trouble, Wanted,
    renewal::{FIRST_PATIENCE, Validity},
};

/// Whose names these are, and whether they may have a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// The provider's own.
    Provider,
    /// A percloud's that runs, which has proved all of these names.
    Tenant,
    /// A suspended percloud's: what there is serves on, nothing is ordered.
    Suspended,
    /// A percloud's whose domain an operator has paused: what there is serves on, nothing is ordered.
    Paused,
    /// A percloud's that has not proved these names, or has lost them since: nothing is ordered.
    Unproved,
    /// A percloud's that is gone, or going.
    Gone,
    /// Not the provider's and nobody's: never issued.
    Nobody,
}

/// What was seen of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// One that can be used: its key opens, fits, and its issuer stands by it.
    pub there: Option<Validity>,
    /// When a new one shall be ordered.
    pub renew_at: DateTime<Utc>,
    /// When its CA is asked about that.
    pub ask_at: Option<DateTime<Utc>>,
    /// The one that is there is the local CA's, until a public one has issued.
    pub stopgap: bool,
    /// There is none, and the local CA can bridge the time until a public one has issued.
    pub bridge: bool,
    /// Whose it is.
    pub standing: Standing,
    /// Since when it fails.
    pub failing_since: Option<DateTime<Utc>>,
    /// Who can mend what kept it from being issued last.
    pub trouble: Option<Trouble>,
    /// Of whose trouble its owner knows.
    pub told: Option<Trouble>,
    /// What time it is.
    pub now: DateTime<Utc>,
}

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The local CA issues one at once, so that there is one until a public CA has issued.
    Bridge,
    /// Get one from an issuer; the one there is, if any, serves until then.
    Issue,
    /// Ask its CA when to renew it.
    Ask,
    /// Tell its owner that the end is near: to mend what is theirs to mend, or that it is no fault of theirs.
    Tell(Trouble),
    /// Order nothing, say why, and look again soon: what there is serves on.
    Wait,
    /// Say that nobody may have it.
    Refuse,
    /// Take the row away.
    Remove,
}

/// The next thing to do; nothing, once the certificate is as it should be.
#[must_use]
pub fn plan(wanted: Wanted, seen: &Seen) -> Option<Step> {
    match (wanted, seen.standing, &seen.there) {
        (Wanted::Gone, _, _) => Some(Step::Remove),
        (_, Standing::Gone, _) => Some(Step::Remove),
        (_, Standing::Nobody, _) => Some(Step::Refuse),
        (_, Standing::Suspended | Standing::Paused | Standing::Unproved, _) if order_is_due(seen) => Some(Step::Wait),
        (_, Standing::Tenant, _) if let Some(trouble) = end_is_near(seen) => Some(Step::Tell(trouble)),
        (_, _, None) if seen.bridge => Some(Step::Bridge),
        (_, _, Some(_)) if seen.stopgap && seen.bridge && seen.renew_at <= seen.now => Some(Step::Bridge),
        _ if order_is_due(seen) => Some(Step::Issue),
        _ if seen.ask_at.is_some_and(|at| at <= seen.now) => Some(Step::Ask),
        _ => None,
    }
}

/// Whether there is none, or the one there is shall be replaced now.
fn order_is_due(seen: &Seen) -> bool {
    seen.there.is_none() || seen.stopgap || seen.renew_at <= seen.now
}

/// Once for each trouble, failed or only put off: of what the owner can mend, and of what others must.
fn end_is_near(seen: &Seen) -> Option<Trouble> {
    // A failure that says nothing of the name is not its owner's.
    let trouble = seen.trouble.or(seen.failing_since.map(|_| Trouble::Operator))?;
    let danger = seen.there.is_some_and(|validity| validity.danger_at() <= seen.now);
    let news = match trouble {
        Trouble::Owner => seen.told != Some(Trouble::Owner),
        Trouble::Operator => seen.told.is_none(),
    };
    let open = seen.there.is_none() || seen.renew_at <= seen.now;
    (open && danger && news).then_some(trouble)
}

/// Whether the failure that was just seen is news to its owner, who can mend it: it has lasted, long before the end. Of a failure, not of
/// the clock: what is said is what the last try found, and not what the one before it did.
pub(super) fn lasts(seen: &Seen) -> bool {
    let patience = seen.there.map_or(FIRST_PATIENCE, |validity| validity.patience());
    let long = seen.failing_since.is_some_and(|since| since + patience <= seen.now);
    let theirs = (seen.standing, seen.trouble) == (Standing::Tenant, Some(Trouble::Owner));
    theirs && long && seen.told != Some(Trouble::Owner)
}

/// When to look at one that is put off until then: sooner, where its owner is to hear of that before.
pub(super) fn look_again(until: DateTime<Utc>, seen: &Seen) -> DateTime<Utc> {
    let danger = seen.there.map(|validity| validity.danger_at().max(seen.now)).filter(|danger| *danger < until);
    let tells =
        |now: &DateTime<Utc>| matches!(plan(Wanted::Issued, &Seen { now: *now, ..seen.clone() }), Some(Step::Tell(_)));
    danger.filter(tells).unwrap_or(until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn day(n: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::days(n)
    }

    /// A certificate of 90 days, renewed from day 60 on, or none; on a day.
    fn seen(there: bool, now: i64) -> Seen {
        let validity = Validity { not_before: day(0), not_after: day(90) };
        Seen {
            there: there.then_some(validity),
            renew_at: day(60),
            ask_at: None,
            stopgap: false,
            bridge: false,
            standing: Standing::Tenant,
            failing_since: None,
            trouble: None,
            told: None,
            now: day(now),
        }
    }

    #[test]
    fn one_thing_after_the_other() {
        use Standing::{Gone, Nobody, Paused, Provider, Suspended, Unproved};
        let (issued, gone) = (Wanted::Issued, Wanted::Gone);
        let stopgap = Seen { stopgap: true, standing: Provider, ..seen(true, 0) };
        let bridged = |now| Seen { stopgap: true, bridge: true, standing: Provider, ..seen(true, now) };
        let bridge = Seen { bridge: true, standing: Provider, ..seen(false, 0) };
        let ask = |at, now| Seen { ask_at: Some(day(at)), ..seen(true, now) };
        for (what, wanted, seen, step) in [
            ("new", issued, seen(false, 0), Some(Step::Issue)),
            ("the provider's, new, with a public CA", issued, bridge, Some(Step::Bridge)),
            ("the provider's, from the local CA until then", issued, stopgap, Some(Step::Issue)),
            ("the local CA's, while it lasts", issued, bridged(59), Some(Step::Issue)),
            ("no public CA has issued for so long that it ends soon", issued, bridged(60), Some(Step::Bridge)),
            ("or has ended", issued, bridged(91), Some(Step::Bridge)),
            ("fresh", issued, seen(true, 0), None),
            ("not before its time", issued, seen(true, 59), None),
            ("due", issued, seen(true, 60), Some(Step::Issue)),
            ("over", issued, seen(true, 100), Some(Step::Issue)),
            ("asked about", issued, ask(5, 5), Some(Step::Ask)),
            ("not asked about yet", issued, ask(6, 5), None),
            ("renewed first, asked about later", issued, ask(5, 60), Some(Step::Issue)),
            ("not wanted any more", gone, seen(true, 0), Some(Step::Remove)),
            ("never there, not wanted any more", gone, seen(false, 0), Some(Step::Remove)),
            ("its percloud has gone", issued, Seen { standing: Gone, ..seen(true, 60) }, Some(Step::Remove)),
            ("suspended, new", issued, Seen { standing: Suspended, ..seen(false, 0) }, Some(Step::Wait)),
            ("suspended, serving", issued, Seen { standing: Suspended, ..seen(true, 59) }, None),
            ("suspended, asked about", issued, Seen { standing: Suspended, ..ask(5, 5) }, Some(Step::Ask)),
            ("suspended, due", issued, Seen { standing: Suspended, ..seen(true, 60) }, Some(Step::Wait)),
            ("its domain is paused, new", issued, Seen { standing: Paused, ..seen(false, 0) }, Some(Step::Wait)),
            ("its domain is paused, serving", issued, Seen { standing: Paused, ..seen(true, 59) }, None),
            ("its domain is paused, due", issued, Seen { standing: Paused, ..seen(true, 60) }, Some(Step::Wait)),
            ("not proved", issued, Seen { standing: Unproved, ..seen(false, 0) }, Some(Step::Wait)),
            ("lost, due", issued, Seen { standing: Unproved, ..seen(true, 60) }, Some(Step::Wait)),
            ("lost, not wanted any more", gone, Seen { standing: Unproved, ..seen(true, 60) }, Some(Step::Remove)),
            ("nobody's", issued, Seen { standing: Nobody, ..seen(false, 0) }, Some(Step::Refuse)),
        ] {
            assert_eq!(plan(wanted, &seen), step, "{what}");
        }
    }

    /// A first order, or a renewal, that has been failing since then.
    fn failing(trouble: Trouble, there: bool, since: DateTime<Utc>, now: DateTime<Utc>) -> Seen {
        Seen { failing_since: Some(since), trouble: Some(trouble), now, ..seen(there, 0) }
    }

    #[test]
    fn an_owner_hears_once_of_a_failure_that_lasts() {
        use Trouble::{Operator, Owner};
        let first = |trouble, minutes| failing(trouble, false, day(0), day(0) + TimeDelta::minutes(minutes));
        let renewal = |trouble, now| failing(trouble, true, day(60), day(now));
        for (what, seen, hears) in [
            ("a first order that just failed", first(Owner, 0), false),
            ("after the first two retries, however late they were", first(Owner, 13), false),
            ("after the third, however early it was", first(Owner, 99), true),
            ("its owner knows", Seen { told: Some(Owner), ..first(Owner, 5000) }, false),
            ("the CA is away from the first hour on", first(Operator, 5000), false),
            ("nobody knows why it fails", Seen { trouble: None, ..first(Owner, 5000) }, false),
            ("a renewal that just failed", renewal(Owner, 62), false),
            ("a renewal that fails for days", renewal(Owner, 63), true),
            ("a CA that refuses us for days", renewal(Operator, 74), false),
            ("it was the CA, then it is the name", Seen { told: Some(Operator), ..renewal(Owner, 80) }, true),
            ("the provider's own", Seen { standing: Standing::Provider, ..renewal(Owner, 80) }, false),
        ] {
            assert_eq!(lasts(&seen), hears, "{what}");
        }
    }

    #[test]
    fn an_owner_is_told_once_that_the_end_is_near() {
        use Trouble::{Operator, Owner};
        let renewal = |trouble, since, now| failing(trouble, true, day(since), day(now));
        let put_off = |trouble, now| Seen { failing_since: None, ..renewal(trouble, 0, now) };
        let (own, late) = (Step::Tell(Owner), Step::Tell(Operator));
        for (what, seen, step) in [
            ("a first order has no end", failing(Owner, false, day(0), day(50)), Step::Issue),
            ("a renewal that fails, long before", renewal(Owner, 60, 74), Step::Issue),
            ("the end is near", renewal(Owner, 76, 76), own),
            ("the end is near, and it is the CA", renewal(Operator, 60, 75), late),
            ("nobody knows why it fails", Seen { trouble: None, ..renewal(Owner, 60, 75) }, late),
            ("the end is near, and it waits for a budget", put_off(Operator, 75), late),
            ("it waits for a budget", put_off(Operator, 74), Step::Issue),
            ("the end is near, and it was not tried yet", seen(true, 80), Step::Issue),
            (
                "its owner knows that it is the CA",
                Seen { told: Some(Operator), ..renewal(Operator, 60, 80) },
                Step::Issue,
            ),
            ("then it is the name as well", Seen { told: Some(Operator), ..renewal(Owner, 60, 80) }, own),
            ("then it is the CA as well", Seen { told: Some(Owner), ..renewal(Operator, 60, 80) }, Step::Issue),
            ("the provider's own", Seen { standing: Standing::Provider, ..renewal(Owner, 60, 80) }, Step::Issue),
        ] {
            assert_eq!(plan(Wanted::Issued, &seen), Some(step), "{what}");
        }
    }

    #[test]
    fn what_is_put_off_beyond_the_day_of_danger_is_looked_at_on_it() {
        use Trouble::Operator;
        let seen = |now| Seen { trouble: Some(Operator), ..seen(true, now) };
        let told = Seen { told: Some(Operator), ..seen(76) };
        let ours = Seen { standing: Standing::Provider, ..seen(76) };
        let first = Seen { there: None, ..seen(76) };
        for (what, seen, until, looked) in [
            ("long before", seen(61), 62, 62),
            ("beyond it", seen(70), 77, 75),
            ("after it", seen(76), 80, 76),
            ("its owner knows", told, 80, 80),
            ("nobody's to be told", ours, 80, 80),
            ("there is none yet", first, 80, 80),
        ] {
            assert_eq!(look_again(day(until), &seen), day(looked), "{what}");
        }
    }
}
