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
fn an_alias_of_a_name_that_does_not_answer_is_no_miss_and_its_owner_reads_what_to_set() {
    let silent = |to: &str| HostFacts { aaaa: silence(), ..alias("me.ada.test", &[to], silence()) };
    for (to, said) in
        [("percloud.test", "CNAME unreachable ns1.dns.test"), ("ada.blog.test", "CNAME points-elsewhere ada.blog.test")]
    {
        let verdict = judged(&sub(), &facts(says(&[PROOF]), vec![silent(to)]), &["192.0.2.7"], None);
        assert_eq!((verdict.health, verdict.ready), (Health::Unknown, false), "{to}");
        assert!(super::said(&verdict)[1].starts_with(said), "{:?}", super::said(&verdict));
    }
}
