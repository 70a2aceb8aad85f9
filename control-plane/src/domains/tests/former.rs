//! The edge moves to other addresses: domains that lead to the former ones work, and are told apart.

use std::net::IpAddr;

use super::*;

const PROVIDER: &str = "percloud.test";

fn moved(row: &DomainRow, facts: &Facts, current: &[&str], former: &[&str]) -> Verdict {
    let ips = |all: &[&str]| all.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
    let (addresses, former) = (ips(current), ips(former));
    judge(&Wished { row, edge: EDGE, addresses: &addresses, former: &former, rival: None }, facts)
}

#[test]
fn a_former_address_works_and_is_said_with_what_to_change_it_to() {
    let (new, old, none) = (["192.0.2.7"], ["192.0.2.1"], says(&[]));
    for (what, row, host, record, former) in [
        ("at the old one", apex(), at("ada.test", says(&old), none.clone()), "A former 192.0.2.1", true),
        (
            "at both",
            apex(),
            at("ada.test", says(&["192.0.2.1", "192.0.2.7"]), none.clone()),
            "A former-extra 192.0.2.1",
            true,
        ),
        (
            "one server lags behind",
            apex(),
            at("ada.test", lag(values(&new), values(&old)), none.clone()),
            "A former 192.0.2.1",
            true,
        ),
        ("at the new one", apex(), at("ada.test", says(&new), none.clone()), "A ok", false),
        ("an address below", sub(), at("me.ada.test", says(&old), none.clone()), "CNAME former 192.0.2.1", true),
        (
            "both below",
            sub(),
            at("me.ada.test", says(&["192.0.2.1", "192.0.2.7"]), none.clone()),
            "CNAME former-extra 192.0.2.1",
            true,
        ),
        (
            "through another name of the owner's",
            sub(),
            alias("me.ada.test", &["ada.test"], says(&old)),
            "CNAME former 192.0.2.1",
            true,
        ),
        (
            "a target, which follows by itself",
            sub(),
            alias("me.ada.test", &[TARGET], servers(&[Answer::Alias(TARGET.into())])),
            "CNAME ok",
            false,
        ),
        (
            "a name of the provider's, which follows by itself",
            sub(),
            alias("me.ada.test", &[PROVIDER], says(&old)),
            "CNAME ok",
            false,
        ),
        ("the same at the top, flattened", apex(), alias("ada.test", &[PROVIDER], says(&old)), "A ok", false),
    ] {
        let verdict = moved(&row, &facts(says(&[PROOF]), vec![host]), &new, &old);
        assert_eq!(said(&verdict), ["TXT ok", record], "{what}");
        assert_eq!((verdict.ready, verdict.health), (true, Health::Good), "{what}: it works");
        assert_eq!(verdict.report.former, if former { old.to_vec() } else { vec![] }, "{what}");
        let record = &verdict.report.records[1];
        assert!(record.value != "192.0.2.1", "{what}: nobody is told to set it");
        assert_eq!(record.state, if former { RecordState::Wrong } else { RecordState::Ok }, "{what}");
        assert!(KEYS.contains(&record.words.key.as_str()), "{what}");
    }
    let verdict =
        moved(&apex(), &facts(says(&[PROOF]), vec![at("ada.test", says(&old), none.clone())]), &new, &old).report;
    let args = &verdict.records[1].words.args;
    assert_eq!((args["kind"].as_str(), args["value"].as_str()), ("A", "192.0.2.7"), "what to change it to");
}

#[test]
fn what_leads_elsewhere_too_is_no_better_for_a_former_address() {
    let (new, old, none) = (["192.0.2.7"], ["192.0.2.1"], says(&[]));
    for (found, record, ready, health) in [
        (vec!["203.0.113.9"], "A points-elsewhere 203.0.113.9", false, Health::Wrong),
        (vec!["192.0.2.1", "203.0.113.9"], "A points-elsewhere 203.0.113.9", false, Health::Good),
        (vec!["192.0.2.1", "192.0.2.7", "203.0.113.9"], "A extra 203.0.113.9", false, Health::Good),
    ] {
        let facts = facts(says(&[PROOF]), vec![at("ada.test", says(&found), none.clone())]);
        let verdict = moved(&apex(), &facts, &new, &old);
        assert_eq!(said(&verdict), ["TXT ok", record]);
        assert_eq!((verdict.ready, verdict.health), (ready, health), "{found:?}");
    }
}

#[test]
fn each_family_has_its_own_former_address() {
    let (new, old) = (["192.0.2.7", "2001:db8::7"], ["192.0.2.1", "2001:db8::1"]);
    for (a, aaaa, current, records) in [
        (["192.0.2.1"], ["2001:db8::1"], &new[..], vec!["A former 192.0.2.1", "AAAA former 2001:db8::1"]),
        (["192.0.2.7"], ["2001:db8::1"], &new[..], vec!["A ok", "AAAA former 2001:db8::1"]),
        (["192.0.2.1"], ["2001:db8::7"], &new[..], vec!["A former 192.0.2.1", "AAAA ok"]),
        // IPv6 is given up: there is nothing to change that entry to.
        (["192.0.2.7"], ["2001:db8::1"], &new[..1], vec!["A former-extra 2001:db8::1"]),
    ] {
        let facts = facts(says(&[PROOF]), vec![at("ada.test", says(&a), says(&aaaa))]);
        let verdict = moved(&apex(), &facts, current, &old);
        assert_eq!(said(&verdict)[1..], records, "{a:?} {aaaa:?}");
        assert!(verdict.ready && verdict.report.notices.is_empty(), "{a:?} {aaaa:?}: {:?}", verdict.report.notices);
        let open = verdict.report.records.iter().filter(|record| record.state != RecordState::Ok);
        assert!(open.clone().all(|record| !record.optional), "what is there may not stay as it is");
        assert_eq!(verdict.report.former.len(), open.count());
    }
}

#[test]
fn a_twin_at_a_former_address_counts_as_leading_here() {
    let row = DomainRow { name: "www.ada.test".into(), twin: Some("ada.test".into()), ..row() };
    let hosts = vec![
        alias("www.ada.test", &[TARGET], servers(&[Answer::Alias(TARGET.into())])),
        at("ada.test", says(&["192.0.2.1"]), says(&[])),
    ];
    let verdict = moved(&row, &facts(says(&[PROOF]), hosts), &["192.0.2.7"], &["192.0.2.1"]);
    assert_eq!(said(&verdict), ["TXT ok", "CNAME ok", "A former 192.0.2.1"]);
    assert!(verdict.ready && verdict.report.twin_ready && verdict.report.former == ["192.0.2.1"]);
}

#[test]
fn every_word_of_a_report_is_in_the_message_files() {
    let none = std::collections::BTreeMap::new();
    for lang in [ui::Lang::En, ui::Lang::It] {
        for key in KEYS {
            let said = portal::pages().message(lang, key, &none);
            assert!(said.contains(' ') && !said.contains(key), "{key}: {said}");
        }
    }
    let said = |lang| portal::pages().message(lang, "domain.record.former", &none);
    assert_ne!(said(ui::Lang::En), said(ui::Lang::It), "in words of its own");
}
