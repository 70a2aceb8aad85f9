//! What to do next with a claim: pure, one arm a line.

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};

use super::super::name::both;
use super::super::schedule::{CLAIM_LASTS, Misses};
use super::super::{DomainRow, Health, Observed, Part, Verdict, Wanted};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The claim goes, and all that it brought.
    Remove,
    /// It is proved: whoever had it before loses it, and a certificate is wanted.
    Verify,
    /// Its certificate is there: the percloud answers at it from now on.
    Serve,
    /// It is not the owner's any more, or does not lead here; or it is not proved to be, and its certificate is at its end.
    Lose,
    /// It leads to the one that took its place no longer: it has done so for long enough, or is not the owner's any more.
    End,
    /// The percloud is suspended and its certificate ends soon, which is not renewed: the old name serves until it is resumed.
    Rest,
    /// Its certificate ends soon and no new one comes, which is still tried for: the old name serves until it has come.
    Wait,
    /// Nobody used the challenge in time: another one.
    Renew,
    /// Certificates are wanted for these hosts, one each.
    Want(Vec<String>),
    /// None is wanted any more.
    Unwant(String),
}

/// Certificates of the two names, as far as they are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// Hosts for which one is wanted.
    pub wanted: Vec<String>,
    /// Hosts for which there is one that is good, and will be for two days more (a sixth of its life, where that is less).
    pub lasting: Vec<String>,
    /// Hosts for which there is none such although a new one was tried for.
    pub late: Vec<String>,
    /// Until when the one at which the percloud answers is lasting.
    pub lasts_until: Option<DateTime<Utc>>,
}

/// What was seen of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub now: DateTime<Utc>,
    /// What DNS said, when it was asked.
    pub verdict: Option<Verdict>,
    /// Whether that took long, when it was asked; without a verdict it was cut off.
    pub slow: Option<bool>,
    /// Where nobody answered for it: somebody else's was found as it should be lately, so that it is not our own way to DNS that is silent.
    pub heard: bool,
    /// Certificates.
    pub certificates: Certificates,
    /// The state after what was done in this turn.
    pub observed: Observed,
}

impl Seen {
    pub(super) fn misses(&self, row: &DomainRow) -> Misses {
        match &self.verdict {
            Some(verdict) => Misses::with(row, verdict.health, self.heard, self.now),
            None => Misses::before(row),
        }
    }
}

/// The next thing to do; nothing, once the claim is as it should be.
#[must_use]
pub fn plan(row: &DomainRow, seen: &Seen) -> Option<Step> {
    let verdict = seen.verdict.as_ref();
    let ready = verdict.is_some_and(|verdict| verdict.ready);
    let lasting = |host: &str| seen.certificates.lasting.iter().any(|one| one == host);
    match (row.wanted, row.observed) {
        (Wanted::Gone, _) => Some(Step::Remove),
        _ if row.tenant_goes => Some(Step::Remove),
        _ if row.part == Part::Former => former(row, seen),
        _ if row.paused => spare(row, seen),
        (_, Observed::Pending | Observed::Lost) if ready => Some(Step::Verify),
        (_, Observed::Pending) if lapsed(row, seen) => Some(Step::Remove),
        (_, Observed::Pending) if expired(row, seen) => Some(Step::Renew),
        (_, Observed::Pending | Observed::Lost) => None,
        (_, Observed::Verified | Observed::Active) if lost(row, seen) => Some(Step::Lose),
        (_, Observed::Verified | Observed::Active) if row.suspended => rest(row, seen),
        (_, Observed::Verified) if lasting(&row.name) => Some(Step::Serve),
        // The other one of the two names was chosen, or one that served before.
        (_, Observed::Active) if row.moves() && ready && lasting(&row.name) => Some(Step::Serve),
        (_, Observed::Active) if late(row, seen) => Some(Step::Wait),
        (_, Observed::Verified | Observed::Active) => certificate(row, seen),
    }
}

/// It leads to the main one for as long as its day has not come, DNS says that it may, and there is a certificate.
fn former(row: &DomainRow, seen: &Seen) -> Option<Step> {
    match () {
        () if row.leads_until.is_some_and(|until| until <= seen.now) => Some(Step::End),
        () if row.paused => None,
        () if lost(row, seen) => Some(Step::End),
        () if row.suspended => None,
        () => certificate(row, seen),
    }
}

/// Three misses end at once what leads elsewhere. What leads here without its proof, or may do so since nobody answers, goes on with the
/// certificate that it has, which is not renewed: no visitor is turned away for a text that its owner has tidied away. Silence that may be
/// our own, of a resolver or a firewall, ends nothing, however long it lasts: it would end all of them in the same hour.
fn lost(row: &DomainRow, seen: &Seen) -> bool {
    let Some(health) = seen.verdict.as_ref().map(|verdict| verdict.health) else { return false };
    let misses = seen.misses(row);
    misses.silent(seen.now) || (misses.too_many() && (health == Health::Wrong || !lasts(row, seen)))
}

/// Whether there is a certificate, and will be for a while, for what people use: the name in use, or either of those that lead to it.
fn lasts(row: &DomainRow, seen: &Seen) -> bool {
    let lasting = |host: &str| seen.certificates.lasting.iter().any(|one| one == host);
    if row.part == Part::Former || row.returns() { row.hosts().any(lasting) } else { row.in_use().is_some_and(lasting) }
}

/// Nobody uses it, and nobody has asked about it for long; for twice as long, where nobody answers who could say whether it is used.
fn lapsed(row: &DomainRow, seen: &Seen) -> bool {
    let Some(verdict) = &seen.verdict else { return false };
    let lasts = if verdict.answered { CLAIM_LASTS } else { CLAIM_LASTS * 2 };
    !verdict.challenged && seen.now - row.asked_at >= lasts
}

/// Its text is known not to stand in DNS. One that may stand there is not made useless by a look that nobody answered.
fn expired(row: &DomainRow, seen: &Seen) -> bool {
    let unused = seen.verdict.as_ref().is_some_and(|verdict| verdict.answered && !verdict.challenged);
    unused && row.challenge_expires_at <= seen.now
}

/// Left alone, but for one thing: nothing is ordered, so its certificate ends, and nobody shall be locked out by that.
fn spare(row: &DomainRow, seen: &Seen) -> Option<Step> {
    rest(row, seen).map(|_| Step::Wait)
}

/// Nothing is ordered for a suspended percloud, so its own name ends with its certificate. Its owner, who may always sign in and take
/// everything along, finds it at the old name in time.
fn rest(row: &DomainRow, seen: &Seen) -> Option<Step> {
    let host = row.in_use().filter(|_| seen.observed == Observed::Active)?;
    (!seen.certificates.lasting.iter().any(|lasting| lasting == host)).then_some(Step::Rest)
}

/// Whoever asks for the old name is led to the own one, and no browser lets anybody past the end of its certificate: its owner would be
/// locked out. Not before a new one was tried for, so that nobody moves twice because we were away for long.
fn late(row: &DomainRow, seen: &Seen) -> bool {
    let serves = seen.observed == Observed::Active;
    serves && row.in_use().is_some_and(|host| seen.certificates.late.iter().any(|late| late == host))
}

/// All that is missing, while DNS says that it leads here; then what is too much, one at a time.
fn certificate(row: &DomainRow, seen: &Seen) -> Option<Step> {
    let wanted = |host: &str| seen.certificates.wanted.iter().any(|one| one == host);
    let verdict = seen.verdict.as_ref();
    let leads = |host: &str| {
        verdict.is_some_and(|verdict| if host == row.name { verdict.ready } else { verdict.report.twin_ready })
    };
    let missing: Vec<String> = row.hosts().filter(|host| !wanted(host) && leads(host)).map(ToOwned::to_owned).collect();
    let extra = both(&row.base);
    let extra = extra.iter().find(|host| {
        wanted(host) && row.hosts().all(|one| one != host.as_str()) && row.own_domain.as_deref() != Some(host.as_str())
    });
    if missing.is_empty() { extra.cloned().map(Step::Unwant) } else { Some(Step::Want(missing)) }
}
