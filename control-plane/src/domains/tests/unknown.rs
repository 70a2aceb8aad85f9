//! Nobody knows at the moment where own domains must lead: that is no owner's doing.

use super::*;

fn notices(verdict: &Verdict) -> Vec<&str> {
    verdict.report.notices.iter().map(|words| words.key.trim_start_matches("domain.notice.")).collect()
}

#[test]
fn without_addresses_of_our_own_nothing_is_taken_for_anothers() {
    let (there, none) = (says(&["192.0.2.7"]), says(&[]));
    let target = || alias("me.ada.test", &[TARGET], servers(&[Answer::Alias(TARGET.into())]));
    let elsewhere = alias("me.ada.test", &["ada.blog.test"], there.clone());
    for (what, row, host, records, said, health) in [
        (
            "an address at the top",
            apex(),
            at("ada.test", there.clone(), none.clone()),
            vec![],
            vec!["no-addresses"],
            Health::Unknown,
        ),
        (
            "one of the newer kind, too",
            apex(),
            at("ada.test", there.clone(), says(&["2001:db8::9"])),
            vec![],
            vec!["no-addresses"],
            Health::Unknown,
        ),
        (
            "nothing at the top",
            apex(),
            at("ada.test", nothing(), nothing()),
            vec![],
            vec!["no-addresses"],
            Health::Wrong,
        ),
        (
            "an address below",
            sub(),
            at("me.ada.test", there.clone(), none.clone()),
            vec!["CNAME not-known"],
            vec![],
            Health::Unknown,
        ),
        ("an alias of any name", sub(), elsewhere, vec!["CNAME not-known"], vec![], Health::Unknown),
        ("nothing below", sub(), at("me.ada.test", nothing(), nothing()), vec!["CNAME missing"], vec![], Health::Wrong),
        ("the target", sub(), target(), vec!["CNAME ok"], vec![], Health::Good),
    ] {
        let verdict = judged(&row, &facts(says(&[PROOF]), vec![host]), &[], None);
        assert_eq!(super::said(&verdict), [vec!["TXT ok"], records].concat(), "{what}");
        assert_eq!((notices(&verdict), verdict.health), (said, health), "{what}");
        assert_eq!(verdict.ready, health == Health::Good, "{what}");
    }
}

#[test]
fn a_name_of_the_providers_that_does_not_answer_is_not_elsewhere() {
    let silent = |to: &str| HostFacts { aaaa: silence(), ..alias("me.ada.test", &[to], silence()) };
    for (to, health) in [("percloud.test", Health::Unknown), ("ada.blog.test", Health::Wrong)] {
        let verdict = judged(&sub(), &facts(says(&[PROOF]), vec![silent(to)]), &["192.0.2.7"], None);
        assert_eq!(verdict.health, health, "{to}");
    }
}
