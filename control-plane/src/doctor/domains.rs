//! Own domains: how many there are, who is in trouble and why, and whether anybody makes certificates for them.

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Client;

use super::Finding;
use crate::{
    certificates,
    config::Common,
    db,
    domains::{HEARD_LATELY, counts, sql},
};

/// Those that ask for somebody, by number.
#[derive(Clone, Copy, Debug, Default)]
struct Troubled {
    lost: i64,
    missed: i64,
    failing: i64,
    overdue: i64,
    waiting: i64,
    former: i64,
    paused: i64,
    unproved: i64,
    nowhere: i64,
    unheard: i64,
}

pub(super) async fn all(common: &Common, client: &Client, now: DateTime<Utc>) -> Result<Vec<Finding>, db::Error> {
    let counts = counts(client).await?;
    let row = client.query_one(sql::TROUBLED, &[&(now - TimeDelta::minutes(5)), &(now - HEARD_LATELY)]).await?;
    let troubled = Troubled {
        lost: row.try_get(0)?,
        missed: row.try_get(1)?,
        failing: row.try_get(2)?,
        overdue: row.try_get(3)?,
        waiting: row.try_get(4)?,
        former: row.try_get(5)?,
        paused: row.try_get(6)?,
        unproved: row.try_get(7)?,
        nowhere: row.try_get(8)?,
        unheard: row.try_get(9)?,
    };
    let mut parts: Vec<String> =
        counts.by_state.iter().map(|(seen, count)| format!("{count} {}", seen.as_str())).collect();
    let aside = [(counts.next, "of them to take another's place"), (counts.former, "former, leading to others")];
    parts.extend(aside.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")));
    let mut findings = judge(if parts.is_empty() { "none yet".to_owned() } else { parts.join(", ") }, troubled);
    let known = certificates::known(client).await?;
    let claims = counts.by_state.iter().map(|(_, count)| count).sum();
    findings.extend(known.and_then(|known| issuers(common.base_domain.as_str(), &known, claims)));
    Ok(findings)
}

fn judge(all: String, troubled: Troubled) -> Vec<Finding> {
    let Troubled { lost, missed, failing, overdue, waiting, former, paused, unproved, nowhere, unheard } = troubled;
    let list = |all: &[(i64, &str)]| -> Vec<String> {
        all.iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("{count} {words}")).collect()
    };
    let all = [vec![all], list(&[(paused, "paused by you")])].concat().join(", ");
    let troubles = list(&[
        (lost, "lost"),
        (missed, "on the way to it"),
        (unproved, "without their proof, served until their certificates end"),
        (waiting, "back at their old names until a certificate comes"),
        (failing, "could not be looked at"),
    ]);
    let to_do = "`percloud admin domains list --troubled` has them; their owners are told by mail";
    let mut findings = vec![match troubles.is_empty() {
        true => Finding::well("own domains", all),
        false => Finding::warning("own domains", format!("{all}; {}", troubles.join(", ")), to_do),
    }];
    if former > 0 {
        let said = format!("{former} still lead to a former address of the edge, and are lost when that goes");
        let to_do = "`percloud admin domains list --troubled` has them; no mail tells their owners: write to them";
        findings.push(Finding::warning("own domains", said, to_do));
    }
    if unheard > 0 {
        let said = format!("nobody has answered for {unheard} of them for two days, nor for any other");
        let to_do = "see whether the resolvers (--dns-server, /etc/resolv.conf) answer, and whether a firewall lets questions out to port 53, by \
                     UDP and TCP; no name is lost meanwhile";
        findings.push(Finding::wrong("own domains", said, to_do));
    }
    if nowhere > 0 {
        let said = format!("{nowhere} wait, since nobody knows to which public addresses they must lead");
        let to_do = "start with --public-address IP, or let the resolver find public ones for the base domain (docs/operations.md)";
        findings.push(Finding::wrong("own domains", said, to_do));
    }
    if overdue > 0 {
        let said = format!("{overdue} wait for longer than five minutes");
        findings.push(Finding::wrong("own domains", said, "see whether the reconcile role runs, and its log"));
    }
    findings
}

/// Without a public CA no own domain ever serves. On a developer's machine that is as it should be, until somebody claims one.
fn issuers(base_domain: &str, known: &certificates::Known, claims: i64) -> Option<Finding> {
    let here = base_domain == "localhost" || base_domain.ends_with(".localhost");
    if known.own_domains && known.own_root {
        let said = "their certificates come from a CA with a root of its own (--acme-root), which only people who were told to trust; \
                    their owners' pages say so";
        return Some(Finding::well("own domains", said));
    }
    if known.own_domains || (here && claims == 0) {
        return None;
    }
    let why = match known.public.is_empty() {
        true => "there is no public CA".to_owned(),
        false => format!("{} cannot be shown that a name leads here", known.public.join(", ")),
    };
    let said = format!("nobody makes certificates for them: {why}; their owners' pages say so");
    Some(Finding::warning(
        "own domains",
        said,
        "start with --acme-directory and the ways to prove names (docs/operations.md)",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{certificates::Known, doctor::State};

    #[test]
    fn each_trouble_is_counted_and_says_what_to_do() {
        let quiet = judge("3 active".into(), Troubled { paused: 1, ..Troubled::default() });
        assert_eq!(
            (quiet.len(), quiet[0].state, quiet[0].found.as_str()),
            (1, State::Well, "3 active, 1 paused by you")
        );
        let troubled = Troubled {
            lost: 1,
            unproved: 3,
            waiting: 2,
            former: 7,
            nowhere: 5,
            unheard: 6,
            overdue: 4,
            ..Troubled::default()
        };
        let all = judge("9 active".into(), troubled);
        let said: Vec<&str> = all.iter().map(|one| one.found.as_str()).collect();
        assert_eq!(
            said,
            [
                "9 active; 1 lost, 3 without their proof, served until their certificates end, 2 back at their old names until a certificate comes",
                "7 still lead to a former address of the edge, and are lost when that goes",
                "nobody has answered for 6 of them for two days, nor for any other",
                "5 wait, since nobody knows to which public addresses they must lead",
                "4 wait for longer than five minutes"
            ]
        );
        let states: Vec<State> = all.iter().map(|one| one.state).collect();
        assert_eq!(states, [State::Warning, State::Warning, State::Wrong, State::Wrong, State::Wrong]);
    }

    #[test]
    fn that_nobody_makes_certificates_is_said_where_somebody_waits_for_one() {
        let local = Known { public: vec![], own_domains: false, own_root: false };
        let mute = Known { public: vec!["ca.example".into()], ..local.clone() };
        let public = Known { own_domains: true, ..mute.clone() };
        let private = Known { own_root: true, ..public.clone() };
        for (base, known, claims, said) in [
            ("percloud.example", &public, 9, None),
            ("percloud.example", &private, 9, Some("a root of its own")),
            ("percloud.example", &local, 0, Some("there is no public CA")),
            ("percloud.example", &mute, 0, Some("ca.example cannot be shown")),
            ("percloud.localhost", &local, 0, None),
            ("percloud.localhost", &local, 1, Some("there is no public CA")),
        ] {
            let finding = issuers(base, known, claims);
            assert_eq!(finding.is_some(), said.is_some(), "{base} {known:?} {claims}");
            assert!(said.is_none_or(|said| finding.unwrap().found.contains(said)), "{base} {known:?}");
        }
    }
}
