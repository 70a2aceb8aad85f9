//! What is done next, case by case.

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
        let row =
            DomainRow { observed: Observed::Active, own_domain: Some("ada.test".into()), twin: None, misses, ..row() };
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
    for (days, heard, step) in [(13, true, None), (14, true, Some(Step::Lose)), (14, false, None), (400, false, None)] {
        let served = DomainRow { observed: Observed::Active, own_domain: Some("ada.test".into()), twin: None, ..row() };
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
        let certificates = Certificates { wanted: strings(both), lasting: strings(lasting), ..Certificates::default() };
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
