//! What to do next with a percloud: pure, one arm a line.

use super::Seen;
use crate::{
    audit::Actor,
    hosts::{State, Unit},
    tenants::{Observed, Wanted},
};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The host prepares it with its present spec (a new one, or a changed one: suspended, resumed, more room).
    Place,
    /// The host tries it at once, instead of when it has waited long enough.
    Retry,
    /// The host stops it and wipes its folder.
    Remove,
    /// Its row goes.
    Forget,
    /// A grace is over: it is wanted gone from now on, in somebody's name.
    WantDeletion(Actor),
}

/// The next thing to do; nothing, once the percloud is as it should be.
#[must_use]
pub fn plan(wanted: Wanted, seen: &Seen) -> Option<Step> {
    match (wanted, &seen.unit) {
        (Wanted::Deleted, Some(_)) => Some(Step::Remove),
        (Wanted::Deleted, None) => Some(Step::Forget),
        _ if seen.lapsed => Some(Step::WantDeletion(Actor::Reconcile)),
        _ if seen.delete_due => Some(Step::WantDeletion(Actor::Owner)),
        (_, None) => Some(Step::Place),
        (_, Some(unit)) if unit.spec_hash != seen.spec_hash => Some(Step::Place),
        (_, Some(unit)) if seen.retry && matches!(unit.state, State::Failing(_)) => Some(Step::Retry),
        (_, Some(_)) => None,
    }
}

/// What the column says.
pub(super) fn observed(wanted: Wanted, unit: Option<&Unit>) -> Observed {
    match (wanted, unit.map(|unit| &unit.state)) {
        (_, None) => Observed::Absent,
        (_, Some(State::Failing(_))) => Observed::Failing,
        (Wanted::Suspended, Some(_)) => Observed::Suspended,
        (_, Some(_)) => Observed::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::Status;

    fn unit(hash: &str) -> Option<Unit> {
        let (socket, state, status) = ("/s".into(), State::Asleep, Status::default());
        Some(Unit { spec_hash: hash.into(), socket, state, status, filled: false })
    }

    fn failing(hash: &str) -> Option<Unit> {
        unit(hash).map(|unit| Unit { state: State::Failing("no table".into()), ..unit })
    }

    #[test]
    fn one_thing_after_the_other() {
        use Wanted::{Deleted, Running, Suspended};
        let owner = Some(Step::WantDeletion(Actor::Owner));
        let lapse = Some(Step::WantDeletion(Actor::Reconcile));
        let table = [
            // wanted, unit, lapsed, delete due → step
            (Running, None, false, false, Some(Step::Place)),
            (Running, unit("old"), false, false, Some(Step::Place)),
            (Running, unit("new"), false, false, None),
            (Suspended, None, false, false, Some(Step::Place)),
            (Suspended, unit("old"), false, false, Some(Step::Place)),
            (Suspended, unit("new"), false, false, None),
            (Running, unit("new"), true, false, lapse.clone()),
            (Running, None, true, false, lapse),
            (Running, unit("new"), false, true, owner.clone()),
            (Suspended, unit("new"), false, true, owner),
            (Deleted, unit("new"), true, true, Some(Step::Remove)),
            (Deleted, unit("old"), false, false, Some(Step::Remove)),
            (Deleted, None, true, true, Some(Step::Forget)),
        ];
        for (wanted, unit, lapsed, delete_due, step) in table {
            let seen = Seen { unit, spec_hash: "new".into(), retry: false, lapsed, delete_due };
            assert_eq!(plan(wanted, &seen), step, "{wanted:?} {seen:?}");
        }
    }

    #[test]
    fn who_fails_is_tried_at_once_when_somebody_wants_it_and_nobody_else_is() {
        use Wanted::{Deleted, Running, Suspended};
        let table = [
            // wanted, unit, retry → step
            (Running, failing("new"), true, Some(Step::Retry)),
            (Suspended, failing("new"), true, Some(Step::Retry)),
            (Running, failing("new"), false, None),
            (Running, unit("new"), true, None),
            (Running, failing("old"), true, Some(Step::Place)),
            (Running, None, true, Some(Step::Place)),
            (Deleted, failing("new"), true, Some(Step::Remove)),
        ];
        for (wanted, unit, retry, step) in table {
            let seen = Seen { unit, spec_hash: "new".into(), retry, lapsed: false, delete_due: false };
            assert_eq!(plan(wanted, &seen), step, "{wanted:?} {seen:?}");
        }
    }
}
