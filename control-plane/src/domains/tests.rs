//! From what DNS says to words: a table.

mod former;
mod held;
mod own;
mod unknown;

use super::testing::row;
use super::*;
use crate::dns::{Answer, Answers, Facts, HostFacts, NameServer, Silence, Trouble, Zone};

const EDGE: &str = "edge.percloud.test";
const TARGET: &str = "t-target.edge.percloud.test";
const PROOF: &str = "percloud-verification=challenge";
const RIVAL: &str = "percloud-verification=other";

fn servers(answers: &[Answer]) -> Answers {
    Answers(answers.iter().enumerate().map(|(n, answer)| (format!("ns{}.dns.test", n + 1), answer.clone())).collect())
}

fn says(values: &[&str]) -> Answers {
    let answer = Answer::Values(values.iter().map(|value| (*value).to_owned()).collect());
    servers(&[answer.clone(), answer])
}

fn nothing() -> Answers {
    servers(&[Answer::NoSuchName, Answer::NoSuchName])
}

fn silence() -> Answers {
    servers(&[Answer::Silent(Silence::Timeout), Answer::Silent(Silence::Lame)])
}

fn lag(right: Answer, behind: Answer) -> Answers {
    servers(&[right, behind])
}

fn values(values: &[&str]) -> Answer {
    Answer::Values(values.iter().map(|value| (*value).to_owned()).collect())
}

fn zone(origin: &str, server: &str) -> Zone {
    let server = |n: u8| NameServer { name: format!("ns{n}.{server}"), addresses: Vec::new(), private: false };
    Zone { origin: origin.into(), servers: vec![server(1), server(2)] }
}

fn at(host: &str, a: Answers, aaaa: Answers) -> HostFacts {
    HostFacts { host: host.into(), apex: host == "ada.test", aliases: Vec::new(), a, aaaa }
}

fn alias(host: &str, aliases: &[&str], a: Answers) -> HostFacts {
    let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
    HostFacts { host: host.into(), apex: host == "ada.test", aliases, a, aaaa: says(&[]) }
}

fn facts(txt: Answers, hosts: Vec<HostFacts>) -> Facts {
    Facts { zone: Ok(zone("ada.test", "dns.test")), txt, hosts }
}

/// The apex alone, one IPv4 address of ours.
fn apex() -> DomainRow {
    DomainRow { twin: None, ..row() }
}

/// A name below.
fn sub() -> DomainRow {
    DomainRow { name: "me.ada.test".into(), base: "me.ada.test".into(), twin: None, ..row() }
}

fn judged(row: &DomainRow, facts: &Facts, addresses: &[&str], rival: Option<&str>) -> Verdict {
    let addresses: Vec<std::net::IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
    judge(&Wished { row, edge: EDGE, addresses: &addresses, former: &[], rival }, facts)
}

/// A record in short: `A missing`, `A points-elsewhere 203.0.113.9`.
fn words(record: &Record) -> String {
    let key = record.words.key.strip_prefix("domain.record.").unwrap_or(&record.words.key);
    let args: Vec<&str> = ["found", "server", "domain"]
        .iter()
        .filter_map(|arg| record.words.args.get(*arg))
        .map(String::as_str)
        .collect();
    format!("{} {key} {}", record.kind.as_str(), args.join(" ")).trim().to_owned()
}

fn said(verdict: &Verdict) -> Vec<String> {
    verdict.report.records.iter().map(words).collect()
}

#[test]
fn every_record_says_in_words_what_was_found() {
    let ours = ["192.0.2.7"];
    let none = says(&[]);
    for (what, row, facts, record, ready) in [
        (
            "nothing at all",
            apex(),
            facts(nothing(), vec![at("ada.test", none.clone(), none.clone())]),
            vec!["TXT missing", "A missing"],
            false,
        ),
        (
            "all right",
            apex(),
            facts(says(&[PROOF]), vec![at("ada.test", says(&ours), none.clone())]),
            vec!["TXT ok", "A ok"],
            true,
        ),
        (
            "as people paste it, beside others",
            apex(),
            facts(
                says(&[" \"percloud-verification=challenge\" ", "v=spf1 -all"]),
                vec![at("ada.test", says(&ours), none.clone())],
            ),
            vec!["TXT ok", "A ok"],
            true,
        ),
        (
            "an older challenge",
            apex(),
            facts(says(&["percloud-verification=older"]), vec![at("ada.test", says(&ours), none.clone())]),
            vec!["TXT wrong-text percloud-verification=older", "A ok"],
            false,
        ),
        (
            "the old site",
            apex(),
            facts(says(&[PROOF]), vec![at("ada.test", says(&["203.0.113.9"]), none.clone())]),
            vec!["TXT ok", "A points-elsewhere 203.0.113.9"],
            false,
        ),
        (
            "the old site beside us",
            apex(),
            facts(says(&[PROOF]), vec![at("ada.test", says(&["192.0.2.7", "203.0.113.9"]), none.clone())]),
            vec!["TXT ok", "A extra 203.0.113.9"],
            false,
        ),
        (
            "one server lags behind",
            apex(),
            facts(says(&[PROOF]), vec![at("ada.test", lag(values(&ours), values(&["203.0.113.9"])), none.clone())]),
            vec!["TXT ok", "A points-elsewhere 203.0.113.9"],
            false,
        ),
        (
            "one server has not heard of it",
            apex(),
            facts(
                lag(values(&[PROOF]), Answer::NoSuchName),
                vec![at("ada.test", lag(values(&ours), values(&[])), none.clone())],
            ),
            vec!["TXT missing", "A missing"],
            false,
        ),
        (
            "one server is silent, the other right",
            apex(),
            facts(
                lag(values(&[PROOF]), Answer::Silent(Silence::Timeout)),
                vec![at("ada.test", lag(values(&ours), Answer::Silent(Silence::Lame)), none.clone())],
            ),
            vec!["TXT ok", "A ok"],
            true,
        ),
        (
            "all are silent",
            apex(),
            facts(silence(), vec![at("ada.test", silence(), silence())]),
            vec!["TXT unreachable ns1.dns.test", "A unreachable ns1.dns.test"],
            false,
        ),
        (
            "IPv6 leads elsewhere",
            apex(),
            facts(says(&[PROOF]), vec![at("ada.test", says(&ours), says(&["2001:db8::9"]))]),
            vec!["TXT ok", "A ok"],
            false,
        ),
        (
            "a flattened alias of ours",
            apex(),
            facts(says(&[PROOF]), vec![alias("ada.test", &[TARGET], servers(&[Answer::Alias(TARGET.into())]))]),
            vec!["TXT ok", "A ok t-target.edge.percloud.test".trim_end_matches(" t-target.edge.percloud.test")],
            true,
        ),
        (
            "a sub-domain without anything",
            sub(),
            facts(nothing(), vec![at("me.ada.test", nothing(), nothing())]),
            vec!["TXT missing", "CNAME missing"],
            false,
        ),
        (
            "a sub-domain's CNAME",
            sub(),
            facts(says(&[PROOF]), vec![alias("me.ada.test", &[TARGET], servers(&[Answer::Alias(TARGET.into())]))]),
            vec!["TXT ok", "CNAME ok"],
            true,
        ),
        (
            "a CNAME through another name",
            sub(),
            facts(
                says(&[PROOF]),
                vec![alias("me.ada.test", &["x.ada.test", TARGET], servers(&[Answer::Alias(TARGET.into())]))],
            ),
            vec!["TXT ok", "CNAME ok"],
            true,
        ),
        (
            "an address instead of a CNAME",
            sub(),
            facts(says(&[PROOF]), vec![at("me.ada.test", says(&ours), none.clone())]),
            vec!["TXT ok", "CNAME ok"],
            true,
        ),
        (
            "a CNAME to the apex, which leads here",
            sub(),
            facts(says(&[PROOF]), vec![alias("me.ada.test", &["ada.test"], says(&ours))]),
            vec!["TXT ok", "CNAME ok"],
            true,
        ),
        (
            "a CNAME elsewhere",
            sub(),
            facts(says(&[PROOF]), vec![alias("me.ada.test", &["ada.blog.test"], says(&["203.0.113.9"]))]),
            vec!["TXT ok", "CNAME points-elsewhere ada.blog.test"],
            false,
        ),
        (
            "a CNAME to somebody else's target",
            sub(),
            facts(says(&[PROOF]), vec![alias("me.ada.test", &["t-other.edge.percloud.test"], says(&ours))]),
            vec!["TXT ok", "CNAME points-elsewhere t-other.edge.percloud.test"],
            false,
        ),
        (
            "a CNAME that leads nowhere",
            sub(),
            facts(says(&[PROOF]), vec![alias("me.ada.test", &["gone.test"], nothing())]),
            vec!["TXT ok", "CNAME points-elsewhere gone.test"],
            false,
        ),
        (
            "a CNAME at one server, an address at the other",
            sub(),
            facts(
                says(&[PROOF]),
                vec![alias("me.ada.test", &[TARGET], lag(Answer::Alias(TARGET.into()), values(&["203.0.113.9"])))],
            ),
            vec!["TXT ok", "CNAME conflict 203.0.113.9"],
            false,
        ),
        (
            "nobody has registered it",
            apex(),
            Facts { zone: Err(Trouble::Unregistered), txt: Answers::default(), hosts: Vec::new() },
            vec!["TXT no-such-domain ada.test", "A no-such-domain ada.test"],
            false,
        ),
        (
            "broken signatures",
            apex(),
            Facts { zone: Err(Trouble::Dnssec), txt: Answers::default(), hosts: Vec::new() },
            vec!["TXT unreachable ada.test", "A unreachable ada.test"],
            false,
        ),
    ] {
        let verdict = judged(&row, &facts, &ours, None);
        assert_eq!(said(&verdict), record, "{what}");
        assert_eq!(verdict.ready, ready, "{what}");
        for key in verdict
            .report
            .records
            .iter()
            .map(|record| &record.words)
            .chain(&verdict.report.notices)
            .map(|words| &words.key)
        {
            assert!(KEYS.contains(&key.as_str()), "{key}");
        }
        let again: Report = serde_json::from_value(serde_json::to_value(&verdict.report).unwrap()).unwrap();
        assert_eq!(again, verdict.report, "{what}");
    }
}

#[test]
fn what_else_there_is_to_say_is_said() {
    let right = || vec![at("ada.test", says(&["192.0.2.7"]), says(&["2001:db8::9"]))];
    let keys = |facts: &Facts, rival| {
        let verdict = judged(&apex(), facts, &["192.0.2.7"], rival);
        verdict.report.notices.iter().map(|words| words.key.clone()).collect::<Vec<_>>()
    };
    let unknown = |trouble| Facts { zone: Err(trouble), txt: Answers::default(), hosts: Vec::new() };
    assert_eq!(keys(&unknown(Trouble::Unregistered), None), ["domain.notice.unregistered"]);
    assert_eq!(keys(&unknown(Trouble::Dnssec), None), ["domain.notice.dnssec"]);
    assert_eq!(keys(&unknown(Trouble::NoResolver), None), Vec::<String>::new());
    assert_eq!(keys(&facts(says(&[PROOF]), right()), None), ["domain.notice.aaaa-elsewhere"]);
    let taken = facts(says(&[PROOF, RIVAL]), vec![at("ada.test", says(&["192.0.2.7"]), says(&[]))]);
    assert_eq!(keys(&taken, Some(RIVAL)), ["domain.notice.taken"]);
}

#[test]
fn a_name_goes_over_only_when_the_others_proof_has_gone_everywhere() {
    let here = || vec![at("ada.test", says(&["192.0.2.7"]), says(&[]))];
    for (txt, ready) in [
        (says(&[PROOF]), true),
        (says(&[PROOF, RIVAL]), false),
        (says(&[RIVAL]), false),
        (lag(values(&[PROOF]), values(&[PROOF, RIVAL])), false),
        (lag(values(&[PROOF]), Answer::Silent(Silence::Timeout)), true),
    ] {
        let verdict = judged(&apex(), &facts(txt.clone(), here()), &["192.0.2.7"], Some(RIVAL));
        assert_eq!(verdict.ready, ready, "{txt:?}");
        let wrong =
            verdict.report.records.iter().any(|record| record.found.iter().any(|found| found.contains("other")));
        assert!(!wrong, "nobody reads another one's challenge");
    }
}

#[test]
fn in_doubt_a_name_that_was_proved_stays() {
    let ours = || says(&["192.0.2.7"]);
    let elsewhere = || says(&["203.0.113.9"]);
    let proof = || says(&[PROOF]);
    let target = || vec![alias("me.ada.test", &[TARGET], servers(&[Answer::Alias(TARGET.into())]))];
    let apex_at = |a: Answers| vec![at("ada.test", a, says(&[]))];
    let zone_trouble = |trouble| Facts { zone: Err(trouble), txt: Answers::default(), hosts: Vec::new() };
    for (what, row, facts, health) in [
        ("right", apex(), facts(proof(), apex_at(ours())), Health::Good),
        ("elsewhere too", apex(), facts(proof(), apex_at(says(&["192.0.2.7", "203.0.113.9"]))), Health::Good),
        ("one server only", apex(), facts(lag(values(&[PROOF]), values(&[])), apex_at(ours())), Health::Good),
        ("elsewhere", apex(), facts(proof(), apex_at(elsewhere())), Health::Wrong),
        ("nowhere", apex(), facts(proof(), apex_at(nothing())), Health::Wrong),
        ("without the proof", apex(), facts(nothing(), apex_at(ours())), Health::Unproved),
        ("nobody knows the proof", apex(), facts(silence(), apex_at(ours())), Health::Unknown),
        ("nobody answers", apex(), facts(silence(), apex_at(silence())), Health::Unknown),
        ("lapsed", apex(), zone_trouble(Trouble::Unregistered), Health::Wrong),
        ("no resolver", apex(), zone_trouble(Trouble::NoResolver), Health::Unknown),
        ("broken zone", apex(), zone_trouble(Trouble::Broken), Health::Unknown),
        ("a target proves itself", sub(), facts(nothing(), target()), Health::Good),
        (
            "somebody else's target",
            sub(),
            facts(nothing(), vec![alias("me.ada.test", &["t-x.edge.percloud.test"], ours())]),
            Health::Wrong,
        ),
    ] {
        assert_eq!(judged(&row, &facts, &["192.0.2.7"], None).health, health, "{what}");
    }
}

#[test]
fn records_are_asked_for_as_the_dns_host_has_them_typed() {
    let asked = |row: &DomainRow, server: &str, addresses: &[&str]| {
        let hosts = row.hosts().map(|host| at(host, says(&[]), says(&[]))).collect();
        let facts = Facts { zone: Ok(zone("ada.test", server)), txt: says(&[]), hosts };
        let report = judged(row, &facts, addresses, None).report;
        let record =
            |record: &Record| format!("{} {} {} {}", record.kind.as_str(), record.label, record.value, record.optional);
        (report.dns_host.map(|host| host.name), report.records.iter().map(record).collect::<Vec<_>>())
    };
    let both = ["192.0.2.7", "2001:db8::7"];
    let (host, records) = asked(&row(), "domaincontrol.com", &both);
    assert_eq!(host.as_deref(), Some("GoDaddy"));
    assert_eq!(
        records,
        [
            "TXT _percloud-challenge percloud-verification=challenge false",
            "A @ 192.0.2.7 false",
            "AAAA @ 2001:db8::7 true",
            "CNAME www t-target.edge.percloud.test true",
        ]
    );
    let (_, records) = asked(&row(), "anycast.me", &["2001:db8::7"]);
    assert_eq!(records[1], "AAAA  2001:db8::7 false", "the only address is not optional");
    assert_eq!(records[2], "CNAME www t-target.edge.percloud.test. true");
    let (host, records) = asked(&sub(), "dns.test", &both);
    assert_eq!(host, None);
    assert_eq!(
        records,
        [
            "TXT _percloud-challenge.me percloud-verification=challenge false",
            "CNAME me t-target.edge.percloud.test false"
        ]
    );
    let (_, records) = asked(&apex(), "dns.test", &[]);
    assert_eq!(records.len(), 1, "without an address nothing is asked for that could not be set: {records:?}");
}

#[test]
fn the_twin_is_judged_for_itself() {
    let facts = |www| facts(says(&[PROOF]), vec![at("ada.test", says(&["192.0.2.7"]), says(&[])), www]);
    let right = alias("www.ada.test", &[TARGET], servers(&[Answer::Alias(TARGET.into())]));
    let wrong = at("www.ada.test", says(&["203.0.113.9"]), says(&[]));
    for (www, twin_ready) in [(right, true), (wrong, false)] {
        let verdict = judged(&row(), &facts(www), &["192.0.2.7"], None);
        assert!(verdict.ready, "the name itself does not wait for its twin");
        assert_eq!(verdict.report.twin_ready, twin_ready);
    }
}

#[test]
fn what_cloudflares_proxy_answers_is_not_taken_for_what_the_owner_typed() {
    let (v4, v6) = (says(&["104.21.37.4", "172.67.180.9"]), says(&["2606:4700:3033::ac43:b409"]));
    let clouded = |host| at(host, v4.clone(), v6.clone());
    let judged = |server, hosts, addresses: &[&str]| {
        let facts = Facts { zone: Ok(zone("ada.test", server)), txt: says(&[PROOF]), hosts };
        let verdict = judged(&row(), &facts, addresses, None);
        let notices = verdict.report.notices.iter().map(|words| words.key.clone()).collect::<Vec<_>>();
        (said(&verdict), notices, verdict)
    };
    let both = || vec![clouded("ada.test"), clouded("www.ada.test")];
    let (records, notices, verdict) = judged("ns.cloudflare.com", both(), &["192.0.2.7", "2001:db8::7"]);
    assert_eq!(records, ["TXT ok", "A proxied", "AAAA proxied", "CNAME proxied"]);
    assert_eq!(notices, Vec::<String>::new(), "no entry of type AAAA need be there");
    assert!(!verdict.ready && verdict.health == Health::Wrong, "nobody gets through to us");

    let (records, notices, _) = judged("ovh.net", both(), &["192.0.2.7"]);
    let found = "points-elsewhere 104.21.37.4, 172.67.180.9";
    assert_eq!(records, ["TXT ok", &format!("A {found}"), &format!("CNAME {found}, 2606:4700:3033::ac43:b409")]);
    assert_eq!(notices, ["domain.notice.aaaa-elsewhere"], "another host has no orange cloud");

    let elsewhere = at("ada.test", says(&["203.0.113.9"]), says(&["2001:db8::9"]));
    let (records, notices, _) = judged("ns.cloudflare.com", vec![elsewhere], &["192.0.2.7"]);
    assert_eq!(records[1], "A points-elsewhere 203.0.113.9", "without the cloud it is as everywhere");
    assert_eq!(notices, ["domain.notice.aaaa-elsewhere"]);
}
