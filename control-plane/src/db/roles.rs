//! Who may do what in the database: each role of the program has its own user with the least it needs.
//!
//! The edge reads routes, certificates and what it answers to CAs, and adds to what is used; the egress proxy does the latter only. The web writes
//! wishes; it cannot read a mail's secrets (the queue is write-only for it) nor delete anything. The reconciler does the rest. Only the owner
//! changes the schema.

use anyhow::Context;
use tokio_postgres::{Client, error::SqlState};

/// A password for each user; letters and digits only.
#[derive(Clone)]
pub struct Passwords {
    /// Of `percloud_web`.
    pub web: String,
    /// Of `percloud_edge`.
    pub edge: String,
    /// Of `percloud_reconcile`.
    pub reconcile: String,
    /// Of `percloud_egress`.
    pub egress: String,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roles {
    /// Each role has its own user.
    Separate,
    /// The server does not let us make users: all roles must use the owner's. Weaker; `percloud doctor` says so.
    OwnerOnly,
}

/// Users and their grants; a relation that a later migration brings is skipped until it is there.
const GRANTS: &[(&str, &str, &str)] = &[
    ("percloud_edge", "edge_routes", "select"),
    ("percloud_edge", "certificates", "select"),
    ("percloud_edge", "acme_challenges", "select"),
    ("percloud_web", "accounts", "select, insert, update (email_confirmed_at, language)"),
    ("percloud_web", "names", "select, insert"),
    (
        "percloud_web",
        "tenants",
        "select, insert, update (wanted, suspended_reason, confirmed_at, due_at, wish, trace_parent, tries, retry)",
    ),
    (
        "percloud_web",
        "mails",
        "insert, select (id, tenant_id, kind, language, observed, queued_at, sent_at, erase_at, due_at, tries, last_error)",
    ),
    ("percloud_web", "spooled_mails", "select"),
    ("percloud_web", "audit", "insert"),
    ("percloud_web", "api_tokens", "select, update (last_used_at)"),
    ("percloud_web", "reconcilers", "select"),
    ("percloud_web", "owner_tickets", "select, insert, delete"),
    ("percloud_web", "owner_links", "select, insert, update (used_at), delete"),
    ("percloud_web", "owner_sessions", "select, insert, update (ended_at), delete"),
    (
        "percloud_web",
        "domains",
        "select, insert (id, tenant_id, name, twin, base, target, challenge, challenge_expires_at, claimed_at, asked_at, check_at, due_at, \
         trace_parent, part), update (name, twin, wanted, part, leads_until, paused, resumed_at, check_at, due_at, asked_at, tries, wish, trace_parent)",
    ),
    ("percloud_web", "domain_targets", "insert"),
    (
        "percloud_web",
        "certificates",
        "select (id, names, tenant_id, wanted, observed, paused, issuer, not_before, not_after, renew_at, created_at, due_at, tries, wish, \
        last_error, failing_since, waits, ari_explanation, trouble, trace_parent), update (paused, due_at, renew_at, tries, wish, trace_parent)",
    ),
    ("percloud_web", "issuers", "select"),
    ("percloud_reconcile", "accounts", "select, delete"),
    ("percloud_reconcile", "names", "select, update, delete"),
    ("percloud_reconcile", "tenants", "select, update, delete"),
    ("percloud_reconcile", "mails", "select, insert, update, delete"),
    ("percloud_reconcile", "audit", "insert"),
    ("percloud_reconcile", "reconcilers", "select, insert, update"),
    ("percloud_reconcile", "domains", "select, update, delete"),
    ("percloud_reconcile", "certificates", "select, insert, update, delete"),
    ("percloud_reconcile", "issuers", "select, insert, update"),
    ("percloud_reconcile", "acme_accounts", "select, insert, update"),
    ("percloud_reconcile", "acme_attempts", "select, insert, update, delete"),
    ("percloud_reconcile", "acme_challenges", "select, insert, update, delete"),
    ("percloud_web", "usage_hours", "select"),
    ("percloud_web", "usage_days", "select"),
    ("percloud_web", "cost_prices", "select"),
    ("percloud_reconcile", "usage_hours", "select, insert, update"),
    ("percloud_reconcile", "usage_days", "select, insert, update"),
    ("percloud_reconcile", "usage_marks", "select, insert, update, delete"),
    ("percloud_reconcile", "usage_rolled", "select, insert, update"),
];

/// Functions that do for a user what it may not do itself; a function that a later migration brings is skipped until it is there.
const FUNCTIONS: &[(&str, &str)] = &[
    ("percloud_web", "sign_up_again"),
    ("percloud_edge", "usage_add"),
    ("percloud_egress", "usage_add"),
    ("percloud_edge", "usage_add_counts"),
    ("percloud_egress", "usage_add_counts"),
    ("percloud_reconcile", "usage_partitions"),
    ("percloud_reconcile", "usage_forget"),
];

/// Makes users, sets their passwords and grants, and takes away whatever else they had; to be called after every migration, by the owner.
///
/// # Errors
/// When the server does not answer, or a password has other characters than letters and digits.
pub async fn ensure(owner: &Client, passwords: &Passwords) -> anyhow::Result<Roles> {
    let users = [
        ("percloud_web", &passwords.web),
        ("percloud_edge", &passwords.edge),
        ("percloud_reconcile", &passwords.reconcile),
        ("percloud_egress", &passwords.egress),
    ];
    for (user, password) in users {
        anyhow::ensure!(
            password.len() >= 16 && password.bytes().all(|b| b.is_ascii_alphanumeric()),
            "the password for {user} is too short or has odd characters"
        );
    }
    owner.execute("select pg_advisory_lock($1)", &[&super::migrate::LOCK]).await?;
    let mut made = make(owner, &users).await;
    // Users are the whole server's, the lock is this database's: another provider on the same server may be at it too.
    for _ in 0..10 {
        let Err(error) = &made else { break };
        let code = error.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code);
        if code != Some(&SqlState::INTERNAL_ERROR) {
            break; // "tuple concurrently updated" is an internal error
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        owner.batch_execute("rollback").await?;
        made = make(owner, &users).await;
    }
    owner.execute("select pg_advisory_unlock($1)", &[&super::migrate::LOCK]).await?;
    made
}

async fn make(owner: &Client, users: &[(&str, &String)]) -> anyhow::Result<Roles> {
    for (user, password) in users {
        let there = owner.query_opt("select 1 from pg_roles where rolname = $1", &[user]).await?.is_some();
        let verb = if there { "alter" } else { "create" };
        // Passwords go in as text because DDL takes no parameters; they were checked to be plain.
        match owner
            .batch_execute(&format!(
                "{verb} role {user} login nosuperuser nocreatedb nocreaterole password '{password}'"
            ))
            .await
        {
            Ok(()) => {}
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => return Ok(Roles::OwnerOnly),
            Err(error) => return Err(error).with_context(|| format!("the user {user} cannot be made")),
        }
    }
    owner.batch_execute(&grants(owner, users).await?).await.context("the grants cannot be made")?;
    Ok(Roles::Separate)
}

async fn grants(owner: &Client, users: &[(&str, &String)]) -> anyhow::Result<String> {
    let names = users.iter().map(|(user, _)| *user).collect::<Vec<_>>().join(", ");
    let mut sql = format!(
        "begin;
        revoke all on all tables in schema public from {names}; revoke all on all functions in schema public from {names};
        revoke create on schema public from {names};
        grant usage on schema public to {names};"
    );
    for (user, relation, rights) in GRANTS {
        let there: bool = owner.query_one("select to_regclass($1::text) is not null", &[relation]).await?.try_get(0)?;
        if there {
            sql.push_str(&format!("grant {rights} on {relation} to {user};"));
        }
    }
    for (user, function) in FUNCTIONS {
        let there: bool = owner.query_one("select to_regproc($1::text) is not null", &[function]).await?.try_get(0)?;
        if there {
            sql.push_str(&format!("grant execute on function {function} to {user};"));
        }
    }
    sql.push_str("commit;");
    Ok(sql)
}
