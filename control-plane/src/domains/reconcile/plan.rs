//! What to do next with a claim: pure, one arm a line.

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

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domains::{Report, testing::row};

    fn verdict(ready: bool, twin_ready: bool, health: Health, challenged: bool) -> Option<Verdict> {
        Some(Verdict {
            report: Report { twin_ready, ..Report::default() },
            ready,
            health,
            challenged,
            answered: health != Health::Unknown,
            rival: None,
        })
    }

    #[test]
    fn one_thing_after_the_other() {
        use Observed::{Active, Lost, Pending, Verified};
        let (name, twin) = ("ada.test", "www.ada.test");
        let nothing = verdict(false, false, Health::Wrong, false);
        let silent = verdict(false, false, Health::Unknown, false);
        let good = verdict(true, false, Health::Good, true);
        let both = verdict(true, true, Health::Good, true);
        let want = |hosts: &[&str]| Some(Step::Want(hosts.iter().map(|host| (*host).to_owned()).collect()));
        for (observed, verdict, wanted, lasting, days, step) in [
            (Pending, nothing.clone(), vec![], vec![], 0, None),
            (Pending, None, vec![], vec![], 8, None),
            (Pending, nothing.clone(), vec![], vec![], 8, Some(Step::Renew)),
            (Pending, nothing.clone(), vec![], vec![], 61, Some(Step::Remove)),
            (Pending, silent.clone(), vec![], vec![], 8, None),
            (Pending, silent.clone(), vec![], vec![], 119, None),
            (Pending, silent.clone(), vec![], vec![], 120, Some(Step::Remove)),
            (Pending, verdict(false, false, Health::Wrong, true), vec![], vec![], 61, None),
            (Pending, good.clone(), vec![], vec![], 0, Some(Step::Verify)),
            (Lost, nothing.clone(), vec![], vec![], 61, None),
            (Lost, good.clone(), vec![], vec![], 0, Some(Step::Verify)),
            (Verified, None, vec![name], vec![], 0, None),
            (Verified, None, vec![], vec![], 0, None),
            (Verified, good.clone(), vec![], vec![], 0, want(&[name])),
            (Verified, both.clone(), vec![], vec![], 0, want(&[name, twin])),
            (Verified, None, vec![name], vec![name], 0, Some(Step::Serve)),
            (Verified, None, vec![name], vec![twin], 0, None),
            (Verified, both.clone(), vec![name], vec![], 0, want(&[twin])),
            (Active, None, vec![name], vec![name], 0, None),
            (Active, both.clone(), vec![name], vec![name], 0, want(&[twin])),
            (Active, both.clone(), vec![name, twin], vec![name], 0, None),
            (Active, nothing.clone(), vec![name], vec![name], 0, None),
        ] {
            let row = DomainRow { observed, own_domain: (observed == Active).then(|| name.to_owned()), ..row() };
            let strings = |hosts: &[&str]| hosts.iter().map(|host| (*host).to_owned()).collect();
            let seen = Seen {
                now: row.asked_at + TimeDelta::days(days),
                verdict,
                slow: None,
                heard: true,
                certificates: Certificates {
                    wanted: strings(&wanted),
                    lasting: strings(&lasting),
                    ..Certificates::default()
                },
                observed,
            };
            assert_eq!(plan(&row, &seen), step, "{observed:?} {seen:?}");
            let gone = DomainRow { wanted: Wanted::Gone, ..row.clone() };
            assert_eq!(plan(&gone, &seen), Some(Step::Remove));
            assert_eq!(plan(&DomainRow { tenant_goes: true, ..row }, &seen), Some(Step::Remove));
        }
    }

    #[test]
    fn the_third_miss_loses_the_name_at_once_or_with_its_certificate() {
        for (misses, health, lasting, step) in [
            (1, Health::Wrong, true, None),
            (2, Health::Wrong, true, Some(Step::Lose)),
            (2, Health::Unknown, true, None),
            (2, Health::Good, true, None),
            (1, Health::Unproved, false, None),
            (2, Health::Unproved, true, None),
            (9, Health::Unproved, true, None),
            (9, Health::Unproved, false, Some(Step::Lose)),
            (9, Health::Wrong, true, Some(Step::Lose)),
            (9, Health::Unknown, true, None),
            (9, Health::Unknown, false, Some(Step::Lose)),
            (9, Health::Good, false, None),
        ] {
            let row = DomainRow {
                observed: Observed::Active,
                own_domain: Some("ada.test".into()),
                twin: None,
                misses,
                ..row()
            };
            let here = || vec!["ada.test".to_owned()];
            let lasting = if lasting { here() } else { Vec::new() };
            let certificates = Certificates { wanted: here(), lasting, ..Certificates::default() };
            let now = row.asked_at + TimeDelta::days(1);
            let seen = Seen {
                now,
                verdict: verdict(false, false, health, false),
                slow: None,
                heard: true,
                certificates,
                observed: row.observed,
            };
            assert_eq!(plan(&row, &seen), step, "{misses} {health:?} {:?}", seen.certificates.lasting);
        }
    }

    #[test]
    fn silence_ends_a_name_only_while_somebody_answers_for_another() {
        for (days, heard, step) in
            [(13, true, None), (14, true, Some(Step::Lose)), (14, false, None), (400, false, None)]
        {
            let served =
                DomainRow { observed: Observed::Active, own_domain: Some("ada.test".into()), twin: None, ..row() };
            let row = DomainRow { unheard_since: Some(served.asked_at), ..served };
            let here = vec!["ada.test".to_owned()];
            let seen = Seen {
                now: row.asked_at + TimeDelta::days(days),
                verdict: verdict(false, false, Health::Unknown, false),
                slow: None,
                heard,
                certificates: Certificates { wanted: here.clone(), lasting: here, ..Certificates::default() },
                observed: row.observed,
            };
            assert_eq!(plan(&row, &seen), step, "{days} {heard}");
        }
    }

    #[test]
    fn a_suspended_percloud_keeps_its_name_for_as_long_as_its_certificate() {
        let here = || vec!["ada.test".to_owned()];
        for (observed, lasting, step) in [
            (Observed::Active, here(), None),
            (Observed::Active, vec![], Some(Step::Rest)),
            (Observed::Verified, vec![], None),
        ] {
            let own_domain = (observed == Observed::Active).then(|| "ada.test".to_owned());
            let row = DomainRow { observed, own_domain, suspended: true, ..row() };
            let certificates = Certificates { wanted: here(), lasting, ..Certificates::default() };
            let verdict = verdict(true, true, Health::Good, true);
            let seen = Seen { now: row.asked_at, verdict, slow: None, heard: true, certificates, observed };
            assert_eq!(plan(&row, &seen), step, "{observed:?} {:?}", seen.certificates);
        }
    }

    #[test]
    fn a_paused_domain_is_left_alone_but_for_the_end_of_its_certificate() {
        use Observed::{Active, Lost, Pending, Verified};
        let here = || vec!["ada.test".to_owned()];
        for (observed, lasting, step) in [
            (Pending, vec![], None),
            (Lost, vec![], None),
            (Verified, here(), None),
            (Active, here(), None),
            (Active, vec![], Some(Step::Wait)),
        ] {
            let own_domain = (observed == Active).then(|| "ada.test".to_owned());
            let row = DomainRow { observed, own_domain, paused: true, misses: 9, ..row() };
            let certificates = Certificates { lasting, ..Certificates::default() };
            let now = row.asked_at + TimeDelta::days(99);
            let seen = Seen { now, verdict: None, slow: None, heard: true, certificates, observed };
            assert_eq!(plan(&row, &seen), step, "{observed:?} {:?}", seen.certificates);
            let gone = DomainRow { wanted: Wanted::Gone, ..row.clone() };
            assert_eq!(plan(&gone, &seen), Some(Step::Remove), "its owner gives it up");
        }
    }

    #[test]
    fn a_running_percloud_waits_at_its_old_name_for_a_certificate_that_is_late() {
        use Observed::{Active, Verified};
        let (name, twin) = ("ada.test", "www.ada.test");
        let good = || verdict(true, true, Health::Good, true);
        for (what, observed, at, verdict, lasting, late, step) in [
            ("all is well", Active, name, None, vec![name, twin], vec![], None),
            ("it ends soon and nobody has tried yet", Active, name, None, vec![twin], vec![], None),
            ("it ends soon and a new one does not come", Active, name, None, vec![twin], vec![name], Some(Step::Wait)),
            ("whatever DNS says", Active, name, good(), vec![], vec![name, twin], Some(Step::Wait)),
            ("its twin's is late", Active, name, None, vec![name], vec![twin], None),
            (
                "the name before is late, the one that was chosen is there",
                Active,
                twin,
                good(),
                vec![name],
                vec![twin],
                Some(Step::Serve),
            ),
            ("both are late", Active, twin, good(), vec![], vec![name, twin], Some(Step::Wait)),
            ("it waits", Verified, "", None, vec![], vec![name], None),
            ("it waits, and DNS is right", Verified, "", good(), vec![twin], vec![name], None),
            ("a new one is there", Verified, "", None, vec![name], vec![], Some(Step::Serve)),
        ] {
            let own_domain = Some(at.to_owned()).filter(|at| !at.is_empty());
            let row = DomainRow { observed, own_domain, ..row() };
            let strings = |hosts: &[&str]| hosts.iter().map(|host| (*host).to_owned()).collect();
            let certificates = Certificates {
                wanted: strings(&[name, twin]),
                lasting: strings(&lasting),
                late: strings(&late),
                lasts_until: None,
            };
            let seen = Seen { now: row.asked_at, verdict, slow: None, heard: true, certificates, observed };
            assert_eq!(plan(&row, &seen), step, "{what}");
        }
    }

    #[test]
    fn the_other_of_the_two_names_serves_once_it_has_its_certificate() {
        let chosen = DomainRow {
            observed: Observed::Active,
            name: "www.ada.test".into(),
            twin: None,
            own_domain: Some("ada.test".into()),
            ..row()
        };
        let seen = |verdict, lasting: &[&str]| Seen {
            now: chosen.asked_at,
            verdict,
            slow: None,
            heard: true,
            certificates: Certificates {
                wanted: lasting.iter().map(|host| (*host).to_owned()).collect(),
                lasting: lasting.iter().map(|host| (*host).to_owned()).collect(),
                ..Certificates::default()
            },
            observed: Observed::Active,
        };
        let good = || verdict(true, false, Health::Good, true);
        assert_eq!(plan(&chosen, &seen(good(), &["ada.test"])), Some(Step::Want(vec!["www.ada.test".into()])));
        assert_eq!(plan(&chosen, &seen(None, &["ada.test", "www.ada.test"])), None, "not without a look");
        assert_eq!(plan(&chosen, &seen(good(), &["ada.test", "www.ada.test"])), Some(Step::Serve));
        let served = DomainRow { own_domain: Some("www.ada.test".into()), ..chosen.clone() };
        assert_eq!(plan(&served, &seen(None, &["ada.test", "www.ada.test"])), Some(Step::Unwant("ada.test".into())));
    }

    #[test]
    fn what_is_to_come_waits_for_its_certificate_and_what_was_leads_until_its_day() {
        use Observed::{Active, Pending, Verified};
        let now = row().claimed_at;
        let good = verdict(true, true, Health::Good, true);
        let lost = verdict(false, false, Health::Wrong, false);
        let next = DomainRow { part: Part::Next, own_domain: Some("old.test".into()), ..row() };
        let former = DomainRow { part: Part::Former, leads_until: Some(now + TimeDelta::days(90)), ..next.clone() };
        let former = DomainRow { observed: Active, ..former };
        let missed = DomainRow { misses: 2, missed_at: Some(now - TimeDelta::days(2)), ..former.clone() };
        let unproved = verdict(false, false, Health::Unproved, false);
        let (paused, suspended) =
            (DomainRow { paused: true, ..former.clone() }, DomainRow { suspended: true, ..former.clone() });
        let as_next = |observed| DomainRow { observed, ..next.clone() };
        let both: &[&str] = &["ada.test", "www.ada.test"];
        let none: &[&str] = &[];
        for (what, row, verdict, lasting, days, step) in [
            ("proved", as_next(Pending), good.clone(), none, 0, Some(Step::Verify)),
            ("its certificate is awaited", as_next(Verified), good.clone(), none, 0, None),
            ("its certificate is there", as_next(Verified), None, both, 0, Some(Step::Serve)),
            ("one that was before, again", as_next(Active), good.clone(), both, 0, Some(Step::Serve)),
            ("the same, and it leads elsewhere", as_next(Active), lost.clone(), both, 0, None),
            ("paused", DomainRow { paused: true, ..as_next(Verified) }, None, both, 0, None),
            ("it leads on", former.clone(), good.clone(), both, 0, None),
            ("nobody is locked out by its end", former.clone(), good.clone(), none, 0, None),
            ("its day has come", former.clone(), None, both, 90, Some(Step::End)),
            ("its day has come, paused", paused.clone(), None, both, 90, Some(Step::End)),
            ("nothing is done for it", paused, lost.clone(), none, 0, None),
            ("its percloud is suspended", suspended, good, none, 0, None),
            ("three misses", missed.clone(), lost, both, 0, Some(Step::End)),
            ("three misses, and it leads here", missed.clone(), unproved.clone(), both, 0, None),
            ("the same, and its certificate is at its end", missed, unproved, none, 0, Some(Step::End)),
        ] {
            let strings = |hosts: &[&str]| hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>();
            let certificates =
                Certificates { wanted: strings(both), lasting: strings(lasting), ..Certificates::default() };
            let seen = Seen {
                now: now + TimeDelta::days(days),
                verdict,
                slow: None,
                heard: true,
                certificates,
                observed: row.observed,
            };
            assert_eq!(plan(&row, &seen), step, "{what}");
        }
    }
}
