//! What Postgres knows: its own state, and work that does not get done.

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::{Client, Pool};

use super::{Finding, State, sql};
use crate::{
    config::Common,
    db, reconcile,
    tenants::{self, Filter},
    usage::abuse,
};

/// How many perclouds in trouble are named one by one.
const NAMED: u16 = 20;

pub(super) async fn all(common: &Common, pool: &Pool, url: &str, now: DateTime<Utc>) -> Vec<Finding> {
    let client = match pool.get().await {
        Ok(client) => client,
        Err(error) => {
            let why = format!("does not answer: {:#}", anyhow::Error::from(error));
            return vec![Finding::wrong(
                "database",
                why,
                "start the provider, or the server that --database-url names",
            )];
        }
    };
    let mut findings = database(common, &client, url).await;
    if findings.iter().any(|one| one.state == State::Wrong) {
        return findings; // an old schema makes every other question fail
    }
    let checks = [
        super::certificates::all(common, &client, now).await,
        reconcilers(&client, now).await,
        perclouds(&client, now).await,
        mails(&client, now).await,
        super::domains::all(common, &client, now).await,
        limits(&client, now).await,
    ];
    for checked in checks {
        findings.extend(checked.unwrap_or_else(|error| {
            vec![Finding::wrong(
                "database",
                format!("a question failed: {:#}", anyhow::Error::from(error)),
                "see the database's log",
            )]
        }));
    }
    findings
}

async fn database(common: &Common, client: &Client, url: &str) -> Vec<Finding> {
    let version: String = match client.query_one(sql::VERSION, &[]).await.and_then(|row| row.try_get(0)) {
        Ok(version) => version,
        Err(error) => return vec![Finding::wrong("database", format!("{error}"), "see the database's log")],
    };
    let mut findings = vec![Finding::well("database", format!("Postgres {version} answers"))];
    findings.push(match db::migrate::pending(url).await {
        Ok(pending) if pending.is_empty() => Finding::well("schema", "up to date"),
        Ok(pending) => Finding::wrong(
            "schema",
            format!("these steps are missing: {}", pending.join(", ")),
            "run `percloud migrate`",
        ),
        Err(error) => Finding::wrong("schema", format!("{error:#}"), "see the database's log"),
    });
    let users: i64 = client.query_one(sql::ROLES, &[]).await.and_then(|row| row.try_get(0)).unwrap_or(0);
    findings.push(if common.database_url.is_some() || users < 4 {
        Finding::warning(
            "database users",
            "all roles use the same one, so each may do what any of them may",
            "use the private Postgres, or give each role a user of its own",
        )
    } else {
        Finding::well("database users", "one a role, each with what it needs")
    });
    findings
}

async fn reconcilers(client: &Client, now: DateTime<Utc>) -> Result<Vec<Finding>, db::Error> {
    let health = reconcile::health(client).await?;
    let to_do = "see whether the reconcile role runs, and its log";
    let mut findings = Vec::new();
    for noun in ["tenants", "mails", "certificates", "domains", "usage"] {
        let about = format!("reconciling {noun}");
        findings.push(match health.iter().find(|one| one.noun == noun) {
            None => Finding::wrong(about, "has never begun", to_do),
            Some(one) if now - one.turned_at > TimeDelta::seconds(90) => Finding::wrong(
                about,
                format!("stands still since {}", one.turned_at.format("%Y-%m-%d %H:%M UTC")),
                to_do,
            ),
            Some(one) => match &one.last_error {
                Some(error) => Finding::warning(
                    about,
                    format!("goes on, but its last turn failed: {error}"),
                    "see below what is stuck",
                ),
                None => Finding::well(about, "goes on"),
            },
        });
    }
    Ok(findings)
}

async fn perclouds(client: &Client, now: DateTime<Utc>) -> Result<Vec<Finding>, db::Error> {
    let unwrap = |error| match error {
        tenants::Error::Db(error) => error,
        _ => db::Error::Column("tenants"),
    };
    let counts = tenants::counts(client).await.map_err(unwrap)?;
    let total: i64 = counts.iter().map(|(_, _, count)| count).sum();
    let parts: Vec<String> = counts
        .iter()
        .map(|(wanted, seen, count)| format!("{count} wanted {} and {}", wanted.as_str(), seen.as_str()))
        .collect();
    let mut findings = vec![Finding::well(
        "perclouds",
        if total == 0 { "none yet".into() } else { format!("{total}: {}", parts.join(", ")) },
    )];
    let failing =
        tenants::list(client, &Filter { failing: true, limit: NAMED, ..Filter::default() }).await.map_err(unwrap)?;
    let more = failing.len() == usize::from(NAMED);
    for tenant in failing {
        let about = format!("percloud {}", tenant.domain);
        let said = format!("{} (failed {} times)", tenant.last_error.clone().unwrap_or_default(), tenant.tries);
        let to_do = format!("mend the cause, then `percloud admin resume {}` to try at once", tenant.name);
        let stuck = tenant.is_stuck() || tenant.observed == tenants::Observed::Failing;
        findings.push(if stuck {
            Finding::wrong(about, said, to_do)
        } else {
            Finding::warning(about, said, "it is tried again by itself")
        });
    }
    if more {
        findings.push(Finding::wrong(
            "perclouds",
            format!("more than {NAMED} fail"),
            "`percloud admin list --failing` has them all",
        ));
    }
    let overdue: i64 = client.query_one(sql::OVERDUE, &[&(now - TimeDelta::minutes(2))]).await?.try_get(0)?;
    if overdue > 0 {
        findings.push(Finding::wrong(
            "perclouds",
            format!("{overdue} wait for longer than two minutes"),
            "see whether the reconcile and host roles run",
        ));
    }
    Ok(findings)
}

async fn mails(client: &Client, now: DateTime<Utc>) -> Result<Vec<Finding>, db::Error> {
    let row = client.query_one(sql::MAILS, &[&(now - TimeDelta::minutes(5))]).await?;
    let (waiting, failed, error): (i64, i64, Option<String>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let why = error.map(|error| format!("; last error: {error}")).unwrap_or_default();
    let to_do = "check the mail server's settings; `percloud admin mails` lists them";
    Ok(vec![match (waiting, failed) {
        (0, 0) => Finding::well("mails", "none waits"),
        (0, failed) => {
            Finding::warning("mails", format!("{failed} could not be sent at all in the last week{why}"), to_do)
        }
        (waiting, _) => Finding::wrong("mails", format!("{waiting} wait for longer than five minutes{why}"), to_do),
    }])
}

/// Who met limits since yesterday: nobody is harmed, but somebody should look.
async fn limits(client: &Client, now: DateTime<Utc>) -> Result<Vec<Finding>, db::Error> {
    let cases = abuse::list(client, now - TimeDelta::days(1), now).await?;
    let Some(worst) = cases.first() else {
        return Ok(vec![Finding::well("limits", "no percloud met one worth telling in the last 24 hours")]);
    };
    let who = worst.domain.as_ref().unwrap_or(&worst.tenant_id);
    let said = match cases.len() {
        1 => format!("1 percloud met limits in the last 24 hours, {who}: {}", worst.did),
        more => format!("{more} perclouds met limits in the last 24 hours; the worst is {who}: {}", worst.did),
    };
    Ok(vec![Finding::warning("limits", said, "`percloud admin abuse` has them all, and says what to do")])
}
