//! What was proved once: what it needs to go on, and which of its names is judged.

use super::*;

fn target(host: &str) -> HostFacts {
    alias(host, &[TARGET], servers(&[Answer::Alias(TARGET.into())]))
}

#[test]
fn what_was_proved_needs_no_text_where_its_name_has_its_own_target() {
    for (observed, enough) in
        [(Observed::Pending, false), (Observed::Lost, false), (Observed::Verified, true), (Observed::Active, true)]
    {
        let row = DomainRow { observed, ..sub() };
        let verdict = judged(&row, &facts(nothing(), vec![target("me.ada.test")]), &["192.0.2.7"], None);
        let text = &verdict.report.records[0];
        assert_eq!((verdict.ready, verdict.report.ready, text.optional), (enough, enough, enough), "{observed:?}");
        let taken = facts(says(&[RIVAL]), vec![target("me.ada.test")]);
        assert!(!judged(&row, &taken, &["192.0.2.7"], Some(RIVAL)).ready, "{observed:?}: somebody else's proof stands");
    }
    // The target proves the name that has it, not the one beside it.
    let row = DomainRow { observed: Observed::Active, ..row() };
    let hosts = vec![at("ada.test", says(&["192.0.2.7"]), says(&[])), target("www.ada.test")];
    assert!(!judged(&row, &facts(nothing(), hosts), &["192.0.2.7"], None).ready);
}

#[test]
fn the_name_in_use_is_judged_whichever_of_the_two_was_chosen() {
    let here = || at("ada.test", says(&["192.0.2.7"]), says(&[]));
    let elsewhere = || at("ada.test", says(&["203.0.113.9"]), says(&[]));
    let none = || at("www.ada.test", nothing(), nothing());
    for twin in [Some("ada.test".to_owned()), None] {
        let row = DomainRow { name: "www.ada.test".into(), twin, observed: Observed::Active, ..row() };
        let row = DomainRow { own_domain: Some("ada.test".into()), ..row };
        for (hosts, records, health) in [
            (vec![none(), here()], ["TXT ok", "CNAME missing", "A ok"], Health::Good),
            (
                vec![target("www.ada.test"), elsewhere()],
                ["TXT ok", "CNAME ok", "A points-elsewhere 203.0.113.9"],
                Health::Wrong,
            ),
        ] {
            let verdict = judged(&row, &facts(says(&[PROOF]), hosts), &["192.0.2.7"], None);
            assert_eq!((said(&verdict), verdict.health), (records.map(str::to_owned).to_vec(), health), "{row:?}");
        }
    }
}

#[test]
fn a_name_from_before_may_lead_on_for_as_long_as_either_of_the_two_leads_here() {
    let apex = |a: Answers| at("ada.test", a, says(&[]));
    let www = |a: Answers| at("www.ada.test", a, says(&[]));
    let (here, elsewhere) = (|| says(&["192.0.2.7"]), || says(&["203.0.113.9"]));
    let (active, leads_until) = (Observed::Active, Some(row().claimed_at));
    let main = DomainRow { observed: active, own_domain: Some("ada.test".into()), ..row() };
    let next = DomainRow { part: Part::Next, observed: active, own_domain: Some("lovelace.test".into()), ..row() };
    let back = DomainRow { leads_until, ..next.clone() };
    let former = DomainRow { part: Part::Former, ..back.clone() };
    for (what, hosts, alone, either) in [
        ("both", vec![apex(here()), www(here())], Health::Good, Health::Good),
        ("the one that people know", vec![apex(here()), www(nothing())], Health::Good, Health::Good),
        ("the other one", vec![apex(elsewhere()), www(here())], Health::Wrong, Health::Good),
        ("none", vec![apex(elsewhere()), www(nothing())], Health::Wrong, Health::Wrong),
        ("nobody knows of one", vec![apex(elsewhere()), www(silence())], Health::Wrong, Health::Unknown),
    ] {
        for (row, health) in [(&main, alone), (&next, alone), (&back, either), (&former, either)] {
            let verdict = judged(row, &facts(says(&[PROOF]), hosts.clone()), &["192.0.2.7"], None);
            assert_eq!(verdict.health, health, "{what}: {:?}", row.part);
        }
    }
}
