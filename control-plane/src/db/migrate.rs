//! The schema, embedded in the binary and brought up to date under an advisory lock.

use anyhow::Context;
use refinery::{Migration, Runner};
use tokio_postgres::NoTls;

/// Every migration, oldest first; a shipped one is never edited. See `migrations/README.md`.
const ALL: &[(&str, &str)] = &[
    ("V1__accounts", include_str!("../../../migrations/0001_accounts.sql")),
    ("V2__tenants", include_str!("../../../migrations/0002_tenants.sql")),
    ("V3__mails", include_str!("../../../migrations/0003_mails.sql")),
    ("V4__certificates", include_str!("../../../migrations/0004_certificates.sql")),
    ("V5__audit", include_str!("../../../migrations/0005_audit.sql")),
    ("V6__api_tokens", include_str!("../../../migrations/0006_api_tokens.sql")),
    ("V7__sign_up_again", include_str!("../../../migrations/0007_sign_up_again.sql")),
    ("V8__acme", include_str!("../../../migrations/0008_acme.sql")),
    ("V9__domains", include_str!("../../../migrations/0009_domains.sql")),
    ("V10__owner_sessions", include_str!("../../../migrations/0010_owner_sessions.sql")),
    ("V11__usage", include_str!("../../../migrations/0011_usage.sql")),
    ("V12__edge_quota", include_str!("../../../migrations/0012_edge_quota.sql")),
    ("V13__percloud_orders", include_str!("../../../migrations/0013_percloud_orders.sql")),
    ("V14__claims_make_room", include_str!("../../../migrations/0014_claims_make_room.sql")),
    ("V15__retry", include_str!("../../../migrations/0015_retry.sql")),
    ("V16__usage_brief", include_str!("../../../migrations/0016_usage_brief.sql")),
    ("V17__certificate_trouble", include_str!("../../../migrations/0017_certificate_trouble.sql")),
    ("V18__domains_paused", include_str!("../../../migrations/0018_domains_paused.sql")),
    ("V19__abuse", include_str!("../../../migrations/0019_abuse.sql")),
    ("V20__domain_changes", include_str!("../../../migrations/0020_domain_changes.sql")),
    ("V21__caa_known", include_str!("../../../migrations/0021_caa_known.sql")),
    ("V22__acme_manners", include_str!("../../../migrations/0022_acme_manners.sql")),
    ("V23__domains_back", include_str!("../../../migrations/0023_domains_back.sql")),
    ("V24__caa_notices", include_str!("../../../migrations/0024_caa_notices.sql")),
    ("V25__usage_steady", include_str!("../../../migrations/0025_usage_steady.sql")),
    ("V26__domains_slow", include_str!("../../../migrations/0026_domains_slow.sql")),
    ("V27__certificate_mend", include_str!("../../../migrations/0027_certificate_mend.sql")),
    ("V28__found_quickly", include_str!("../../../migrations/0028_found_quickly.sql")),
];

/// Any constant; whoever migrates or makes roles holds this advisory lock.
pub(super) const LOCK: i64 = 0x7065_7263_6c6f;

/// Runs what is missing and says which those were. Several may call at once: one works, the others wait.
///
/// # Errors
/// When the server does not answer, when a step fails (it leaves nothing behind), or when a step that has run is another one now.
pub async fn run(url: &str) -> anyhow::Result<Vec<String>> {
    let (mut client, connection) = super::config(url)?.connect(NoTls).await.context("the database does not answer")?;
    let connection = tokio::spawn(connection);
    client.execute("select pg_advisory_lock($1)", &[&LOCK]).await?;
    let report = runner()?.run_async(&mut client).await.context("a migration failed; what it did was taken back")?;
    let names = report.applied_migrations().iter().map(ToString::to_string).collect();
    drop(client); // lets go of the lock
    connection.await??;
    Ok(names)
}

/// What `run` would still have to do.
///
/// # Errors
/// When the server does not answer.
pub async fn pending(url: &str) -> anyhow::Result<Vec<String>> {
    let (client, connection) = super::config(url)?.connect(NoTls).await.context("the database does not answer")?;
    let connection = tokio::spawn(connection);
    let known: bool =
        client.query_one("select to_regclass('refinery_schema_history') is not null", &[]).await?.try_get(0)?;
    let done: Vec<i64> = match known {
        false => Vec::new(),
        true => {
            let rows = client.query("select version::bigint from refinery_schema_history", &[]).await?;
            rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?
        }
    };
    drop(client);
    connection.await??;
    let missing = runner()?
        .get_migrations()
        .iter()
        .filter(|m| !done.contains(&i64::from(m.version())))
        .map(ToString::to_string)
        .collect();
    Ok(missing)
}

/// All steps as one text; a test's template database is known by it.
#[must_use]
pub fn sql() -> String {
    ALL.iter().map(|(_, sql)| *sql).collect()
}

fn runner() -> anyhow::Result<Runner> {
    let steps: Result<Vec<_>, _> = ALL.iter().map(|(name, sql)| Migration::unapplied(name, sql)).collect();
    Ok(Runner::new(&steps?))
}
