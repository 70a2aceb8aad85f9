//! Certificates: the provider's own by name, all others by number, and those in trouble one by one.

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Client;

use super::Finding;
use crate::{
    certificates::{self, Certificate, Counts, Filter, State, acme, acme::budgets::Budgets, issuer},
    config::{Common, Remembered},
    db,
};

/// How many certificates in trouble are named one by one.
const NAMED: u16 = 20;
/// With so much of an account's budget in use it is said.
const MUCH: i64 = 80;

pub(super) async fn all(common: &Common, client: &Client, now: DateTime<Utc>) -> Result<Vec<Finding>, db::Error> {
    let mut findings = provider(common, client, now).await?;
    findings.push(summary(&certificates::counts(client, now).await?, now));
    let filter = Filter { failing: true, limit: NAMED, ..Filter::default() };
    let failing = certificates::list(client, &filter).await?;
    let more = failing.len() == usize::from(NAMED);
    findings.extend(failing.iter().filter(|one| one.tenant_id.is_some()).map(|one| one_of_many(one, now)));
    if more {
        let to_do = "`percloud admin certificates list --failing` has them all";
        findings.push(Finding::wrong("certificates", format!("more than {NAMED} fail"), to_do));
    }
    let ending = certificates::ending(client, now, NAMED).await?;
    findings.extend(ending.iter().map(|one| one_of_many(one, now)));
    if ending.len() == usize::from(NAMED) {
        let said = format!("{NAMED} or more end soon, have not failed and are not renewed");
        let to_do = "`percloud admin certificates list` has them all; budgets that are nearly used up are said below";
        findings.push(Finding::wrong("certificates", said, to_do));
    }
    for away in acme::accounts::away(client, now).await? {
        let said = format!("is away and left alone until {}: {}", minute(away.until), away.because);
        let to_do = "nothing, when it passes; without a second CA (--acme-fallback-directory) no certificate is issued meanwhile";
        findings.push(Finding::warning(format!("CA {}", away.account), said, to_do));
    }
    let most = Remembered::read(&common.paths()).map(|remembered| remembered.acme_budgets()).unwrap_or_default();
    findings.extend(budgets(&acme::used(client, now).await?, &most));
    Ok(findings)
}

async fn provider(common: &Common, client: &Client, now: DateTime<Utc>) -> Result<Vec<Finding>, db::Error> {
    let base_domain = common.base_domain.as_str();
    let Some(own) = certificates::find(client, &format!("*.{base_domain}")).await? else {
        let to_do = "the reconcile role asks for it when it starts: see whether it runs";
        let names = certificates::provider_names(base_domain).join(" ");
        return Ok(vec![Finding::wrong("certificate", format!("nobody has asked for one for {names}"), to_do)]);
    };
    let mut findings = vec![certificate(&own, now)];
    let local = own.issuer.as_deref() == Some(issuer::LOCAL);
    if local && !base_domain.ends_with(".localhost") && own.last_error.is_none() {
        let about = format!("certificate {}", own.names.join(" "));
        let to_do = "for the public internet: --acme-directory, and --dns-update or --dns-hook for the wildcard (docs/operations.md)";
        findings.push(Finding::warning(
            about,
            "comes from the local CA, which only people who were told to trust",
            to_do,
        ));
    }
    Ok(findings)
}

fn summary(counts: &Counts, now: DateTime<Utc>) -> Finding {
    let Counts { issued, pending, waiting, failing, paused, ended, earliest_end, .. } = *counts;
    let parts = [
        (issued, "issued"),
        (pending, "not yet"),
        (waiting, "waiting"),
        (failing, "failing"),
        (paused, "paused"),
        (ended, "ended"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let first = earliest_end.map(|end| format!("; the first ends in {} days", (end - now).num_days()));
    let said = format!("{}{}", parts.join(", "), first.unwrap_or_default());
    match (ended, failing) {
        (0, 0) => Finding::well("certificates", if said.is_empty() { "none yet".into() } else { said }),
        (0, _) => Finding::warning("certificates", said, "each says below what it needs"),
        _ => Finding::wrong("certificates", said, "`percloud admin certificates list --failing` says why"),
    }
}

fn one_of_many(one: &Certificate, now: DateTime<Utc>) -> Finding {
    let finding = certificate(one, now);
    let name = one.names.first().map_or(one.id.as_str(), String::as_str);
    let to_do = match one.state {
        State::Paused => return finding,
        State::Failing => {
            format!("see what its domain's DNS says; `percloud admin certificates retry {name}` tries at once")
        }
        _ => {
            format!("see whether the reconcile role runs; `percloud admin certificates show {name}` says why it waits")
        }
    };
    Finding { to_do: finding.to_do.map(|_| to_do), ..finding }
}

/// A certificate that is due for renewal is renewed; one that is past it by half of what is left then is in danger.
fn certificate(one: &Certificate, now: DateTime<Utc>) -> Finding {
    let about = format!("certificate {}", one.names.join(" "));
    let because = match (&one.last_error, &one.waits) {
        (Some(error), _) => format!("; last error: {error}"),
        (None, Some(waits)) => format!("; it waits: {waits}"),
        (None, None) => String::new(),
    };
    let next = one.due_at.map(|due| format!("; next try {}", minute(due))).unwrap_or_default();
    let to_do = "it is tried again by itself; infra/runbooks/certificates-failing.md says what may be wrong";
    if one.state == State::Paused {
        let to_do = format!("`percloud admin certificates resume {}` when the reason has gone", one.id);
        return Finding::warning(about, "is paused by an operator", to_do);
    }
    let Some(validity) = one.validity else {
        let young = now - one.created_at < TimeDelta::minutes(1);
        let said = format!("not issued yet{because}{next}");
        return if young { Finding::warning(about, said, "wait a moment") } else { Finding::wrong(about, said, to_do) };
    };
    let ends = validity.not_after.format("%Y-%m-%d");
    if validity.not_after <= now {
        Finding::wrong(about, format!("ended on {ends}{because}{next}"), to_do)
    } else if validity.danger_at() < now {
        Finding::wrong(about, format!("ends on {ends} and is not renewed{because}{next}"), to_do)
    } else if one.last_error.is_some() {
        Finding::warning(about, format!("good until {ends}{because}{next}"), to_do)
    } else {
        Finding::well(about, format!("good until {ends}"))
    }
}

fn budgets(used: &[acme::Used], most: &Budgets) -> Vec<Finding> {
    let say = |about: String, orders: i64, most: u32, option: &str| {
        let said = format!("{orders} orders in the last three hours; {most} are usual");
        let to_do = format!(
            "certificates beyond that wait by themselves; a CA that has agreed to more is told of with {option}"
        );
        (orders * 100 >= i64::from(most) * MUCH).then(|| Finding::warning(about, said, to_do))
    };
    let each = used.iter().map(|one| say(format!("budget {}", one.account), one.orders, most.orders, "--acme-orders"));
    let orders = used.iter().map(|one| one.orders).sum();
    let in_all = say("budget of all CAs".into(), orders, most.in_all, "--acme-orders-in-all");
    each.chain([in_all]).flatten().collect()
}

fn minute(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::{Validity, Wanted};
    use crate::doctor;

    #[test]
    fn a_certificate_is_in_danger_long_before_it_ends() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let day = |n| start + TimeDelta::days(n);
        let one = |validity: bool, state: State, error: Option<&str>| Certificate {
            id: "c".into(),
            names: vec!["a.example".into()],
            tenant_id: None,
            wanted: Wanted::Issued,
            state,
            issuer: None,
            validity: validity.then_some(Validity { not_before: start, not_after: day(90) }),
            renew_at: None,
            renewal_because: None,
            created_at: start,
            due_at: None,
            tries: 0,
            last_error: error.map(ToOwned::to_owned),
            trouble: None,
            failing_since: None,
            waits: None,
        };
        use State::{Failing, Issued, Paused, Pending};
        for (certificate, now, state) in [
            (one(false, Pending, None), day(0), doctor::State::Warning),
            (one(false, Pending, None), day(1), doctor::State::Wrong),
            (one(true, Issued, None), day(1), doctor::State::Well),
            (one(true, Failing, Some("the CA is away")), day(62), doctor::State::Warning),
            (one(true, Issued, None), day(76), doctor::State::Wrong),
            (one(true, Issued, None), day(91), doctor::State::Wrong),
            (one(true, Paused, None), day(91), doctor::State::Warning),
        ] {
            assert_eq!(super::certificate(&certificate, now).state, state, "{now} {certificate:?}");
        }
        let waits = Certificate { waits: Some("300 orders are enough".into()), ..one(true, State::Waiting, None) };
        let finding = one_of_many(&waits, day(76));
        assert_eq!(finding.state, doctor::State::Wrong);
        assert!(finding.found.contains("not renewed; it waits: 300 orders"), "{finding:?}");
        assert!(finding.to_do.as_deref().unwrap().contains("show a.example"), "{finding:?}");
    }

    #[test]
    fn a_budget_is_mentioned_when_most_of_it_is_in_use() {
        let used = |orders| [acme::Used { account: "ca.example".into(), orders }];
        let most = |orders, in_all| Budgets { orders, in_all, ..Budgets::default() };
        assert!(budgets(&used(239), &most(300, 300)).is_empty());
        for (orders, in_all, about) in [(300, 1000, "budget ca.example"), (1000, 300, "budget of all CAs")] {
            let said: Vec<String> =
                budgets(&used(240), &most(orders, in_all)).into_iter().map(|one| one.about).collect();
            assert_eq!(said, [about]);
        }
    }
}
