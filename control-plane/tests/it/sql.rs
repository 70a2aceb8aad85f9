//! The schema and every statement, against the real thing.

use std::{fs, path::PathBuf, process::Command};

use control_plane::db::{self, Wake, roles};
use futures_util::StreamExt;

use crate::postgres::{self, client, database};

#[tokio::test]
async fn every_statement_is_understood_by_the_schema() {
    let client = client(&database().await).await;
    let all = db::statements::all();
    assert!(all.len() > 20, "the list is not empty by mistake");
    let mut wrong = Vec::new();
    for (noun, name, sql) in all {
        if let Err(error) = client.prepare(sql).await {
            wrong.push(format!("{noun}::{name}: {:?}", error.as_db_error().map(|db| db.message().to_owned())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn migrating_twice_or_at_once_does_it_once() {
    let cluster = postgres::shared();
    let name = format!("test_{}", hex::encode(rand::random::<[u8; 8]>()));
    postgres::execute(&cluster.url("postgres"), &format!("create database {name}")).await;
    let url = cluster.url(&name);
    assert!(!db::migrate::pending(&url).await.unwrap().is_empty());
    let (one, other) = tokio::join!(db::migrate::run(&url), db::migrate::run(&url));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert!(one.is_empty() != other.is_empty(), "{one:?} {other:?}");
    assert!(db::migrate::pending(&url).await.unwrap().is_empty());
}

#[tokio::test]
async fn every_column_says_what_it_is_for() {
    let client = client(&database().await).await;
    let rows = client
        .query(
            "select c.relname || '.' || a.attname
            from pg_class c join pg_attribute a on a.attrelid = c.oid
            where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v') and a.attnum > 0 and not a.attisdropped
                and c.relname <> 'refinery_schema_history' and col_description(c.oid, a.attnum) is null
            order by 1",
            &[],
        )
        .await
        .unwrap();
    let silent: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(silent.is_empty(), "no comment on {silent:?}");
}

/// `migrations/schema.sql` is for reading; this keeps it true.
#[tokio::test]
async fn the_derived_schema_is_up_to_date() {
    let url = database().await;
    let dump = Command::new(postgres::program("pg_dump"))
        .args([
            "--schema-only",
            "--no-owner",
            "--no-privileges",
            "--exclude-table=refinery_schema_history",
            "--dbname",
            &url,
        ])
        .output()
        .unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let derived = normalised(&String::from_utf8(dump.stdout).unwrap());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../migrations/schema.sql");
    if std::env::var_os("PERCLOUD_WRITE_SCHEMA").is_some() {
        fs::write(&path, &derived).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == derived, "migrations/schema.sql is stale; run with PERCLOUD_WRITE_SCHEMA=1 to write it anew");
}

/// What another minor version of pg_dump would say differently is left out.
fn normalised(dump: &str) -> String {
    let mut out = String::from(
        "-- Derived from the migrations by a test (see README.md here); for reading, never to be run or edited.\n",
    );
    let mut blank = false;
    for line in dump.lines() {
        let noise = line.starts_with("--")
            || line.starts_with("SET ")
            || line.starts_with("SELECT pg_catalog.set_config")
            || line.starts_with('\\');
        if noise {
            continue;
        }
        if line.trim().is_empty() {
            blank = true;
            continue;
        }
        if blank {
            out.push('\n');
        }
        blank = false;
        out.push_str(line);
        out.push('\n');
    }
    out
}

fn passwords() -> roles::Passwords {
    let password = || hex::encode(rand::random::<[u8; 16]>());
    roles::Passwords { web: password(), edge: password(), reconcile: password(), egress: password() }
}

#[tokio::test]
async fn each_role_may_do_its_part_and_no_more() {
    let url = database().await;
    let owner = client(&url).await;
    for _ in 0..2 {
        assert_eq!(roles::ensure(&owner, &passwords()).await.unwrap(), roles::Roles::Separate);
    }
    let may = async |user: &str, sql: &str| {
        let client = client(&url.replace("percloud_owner", user)).await;
        client.prepare(sql).await.unwrap();
        // `where false` and `limit 0` keep it harmless; rights are checked all the same.
        client.batch_execute(sql).await.map_err(|error| error.code().map(|c| c.code().to_owned()))
    };
    let denied = Err(Some("42501".to_owned()));
    for (user, sql, allowed) in [
        ("percloud_edge", "select host, tenant_id, state, socket from edge_routes limit 0", true),
        ("percloud_edge", "select token from acme_challenges limit 0", true),
        ("percloud_edge", "select credentials_sealed from acme_accounts limit 0", false),
        ("percloud_edge", "update certificates set paused = true where false", false),
        ("percloud_edge", "select id from tenants limit 0", false),
        ("percloud_edge", "select email from accounts limit 0", false),
        ("percloud_edge", "select data from mails limit 0", false),
        ("percloud_edge", "select recipient from spooled_mails limit 0", false),
        ("percloud_edge", "select token, name, key_authorization from acme_challenges limit 0", true),
        ("percloud_edge", "select credentials_sealed from acme_accounts limit 0", false),
        ("percloud_edge", "delete from acme_challenges where false", false),
        ("percloud_web", "select id, names, last_error from certificates limit 0", true),
        ("percloud_web", "select key_sealed from certificates limit 0", false),
        ("percloud_web", "update certificates set paused = true, due_at = null where false", true),
        ("percloud_web", "update certificates set tenant_id = null where false", false),
        ("percloud_web", "insert into certificates (id) select '' where false", false),
        ("percloud_web", "select key_authorization from acme_challenges limit 0", false),
        ("percloud_reconcile", "update acme_accounts set failures = 0 where false", true),
        ("percloud_web", "update tenants set wanted = 'running' where false", true),
        ("percloud_web", "update tenants set observed = 'running' where false", false),
        ("percloud_web", "update tenants set setup_sha256 = '' where false", false),
        ("percloud_web", "delete from tenants where false", false),
        ("percloud_web", "select id, observed from mails limit 0", true),
        ("percloud_web", "select data from mails limit 0", false),
        ("percloud_web", "select recipient from mails limit 0", false),
        ("percloud_web", "update mails set due_at = null where false", false),
        ("percloud_edge", "select host, redirect_to from edge_routes limit 0", true),
        ("percloud_edge", "select challenge from domains limit 0", false),
        ("percloud_web", "update domains set wanted = 'gone' where false", true),
        ("percloud_web", "update domains set observed = 'active' where false", false),
        ("percloud_web", "update domains set challenge = '' where false", false),
        ("percloud_web", "insert into domains (id, observed) select '', 'active' where false", false),
        ("percloud_web", "delete from domains where false", false),
        ("percloud_web", "delete from domain_targets where false", false),
        ("percloud_web", "update tenants set own_domain = '' where false", false),
        ("percloud_reconcile", "delete from domain_targets where false", false),
        ("percloud_web", "insert into api_tokens (id) select '' where false", false),
        ("percloud_web", "delete from audit where false", false),
        ("percloud_web", "create table mine (a int)", false),
        ("percloud_reconcile", "update tenants set observed = 'running' where false", true),
        ("percloud_reconcile", "delete from tenants where false", true),
        ("percloud_reconcile", "insert into accounts (id) select '' where false", false),
        ("percloud_reconcile", "select sha256 from api_tokens limit 0", false),
        ("percloud_reconcile", "create table mine (a int)", false),
        ("percloud_edge", "select usage_add('{}', '{}', '{}', '{}', '{}')", true),
        ("percloud_egress", "select usage_add('{}', '{}', '{}', '{}', '{}')", true),
        ("percloud_web", "select usage_add('{}', '{}', '{}', '{}', '{}')", false),
        ("percloud_edge", "select usage_add_counts('{}', '{}', '{}', '{}', '{}', '{}', '{}')", true),
        ("percloud_egress", "select usage_add_counts('{}', '{}', '{}', '{}', '{}', '{}', '{}')", true),
        ("percloud_web", "select usage_add_counts('{}', '{}', '{}', '{}', '{}', '{}', '{}')", false),
        ("percloud_edge", "select requests from usage_hours limit 0", false),
        ("percloud_edge", "update usage_hours set requests = 0 where false", false),
        ("percloud_edge", "select usage_partitions(now())", false),
        ("percloud_egress", "select requests from usage_hours limit 0", false),
        ("percloud_egress", "select usage_forget(now())", false),
        ("percloud_egress", "select host from edge_routes limit 0", false),
        ("percloud_web", "select requests from usage_days limit 0", true),
        ("percloud_web", "update cost_prices set watts = 0 where false", false),
        ("percloud_reconcile", "update usage_days set requests = 0 where false", true),
        ("percloud_reconcile", "delete from usage_hours where false", false),
    ] {
        let got = may(user, sql).await;
        assert_eq!(got, if allowed { Ok(()) } else { denied.clone() }, "{user}: {sql}");
    }
}

#[tokio::test]
async fn who_listens_is_told_to_look_first_and_hears_of_news_then_and_after_a_gap() {
    let url = database().await;
    let mut news = db::listen(&url, &["tenants", "mails"]).unwrap();
    assert_eq!(news.next().await, Some(Wake::Missed));
    postgres::execute(&url, "notify mails, 'x'").await;
    assert_eq!(news.next().await, Some(Wake::Notified { channel: "mails".into(), payload: "x".into() }));
    postgres::execute(&url, "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()").await;
    assert_eq!(news.next().await, Some(Wake::Missed));
    postgres::execute(&url, "notify tenants, 'y'").await;
    assert_eq!(news.next().await, Some(Wake::Notified { channel: "tenants".into(), payload: "y".into() }));
}

const ADA: &str = "
    insert into accounts (id, email, created_at) values ('a-aaaaaaaaaaaaaaaa', 'ada@example.org', now());
    insert into names values ('ada', 'ada', 't-aaaaaaaaaaaaaaaa', now());
    insert into tenants (id, account_id, name, domain, quota_bytes, created_at, due_at)
        values ('t-aaaaaaaaaaaaaaaa', 'a-aaaaaaaaaaaaaaaa', 'ada', 'ada.percloud.localhost', 1, now(), now())";

#[tokio::test]
async fn the_edge_hears_of_changed_routes_only() {
    let url = database().await;
    let mut news = db::listen(&url, &["routes"]).unwrap();
    assert_eq!(news.next().await, Some(Wake::Missed));
    let ada = Some(Wake::Notified { channel: "routes".into(), payload: "ada.percloud.localhost".into() });
    postgres::execute(&url, ADA).await;
    assert_eq!(news.next().await, ada);
    for sql in [
        "update tenants set observed = 'running', socket = '/run/x'",
        "update tenants set wanted = 'suspended', suspended_reason = 'unpaid'",
        "update tenants set used_bytes = 7, due_at = now(), tries = 1; update tenants set wanted = 'running', suspended_reason = null",
        "delete from tenants",
    ] {
        postgres::execute(&url, sql).await;
        assert_eq!(news.next().await, ada, "{sql}");
    }
    postgres::execute(&url, "notify routes, 'end'").await;
    assert_eq!(news.next().await, Some(Wake::Notified { channel: "routes".into(), payload: "end".into() }));
}

/// Every change of a route has every edge look for it: that must not read all perclouds.
#[tokio::test]
async fn one_route_is_found_without_reading_them_all() {
    let url = database().await;
    let client = client(&url).await;
    client.batch_execute("set enable_seqscan = off").await.unwrap(); // which an empty table would invite
    let explained = format!("explain {}", control_plane::edge::sql::ROUTES_OF.replace("$1", "'{ada.test}'"));
    let rows = client.query(&explained, &[]).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    assert!(!plan.contains("Seq Scan") && !plan.contains("CTE"), "{plan}");
    assert!(plan.contains("tenants_domain_key") && plan.contains("tenants_own_domain_key"), "{plan}");
}

#[tokio::test]
async fn the_database_itself_refuses_what_must_not_be() {
    let url = database().await;
    postgres::execute(&url, ADA).await;
    let client = client(&url).await;
    for bad in [
        "update tenants set wanted = 'paused'",
        "update tenants set wanted = 'suspended'",
        "update tenants set suspended_reason = 'no reason'",
        "update tenants set observed = 'running'",
        "update tenants set used_bytes = -1",
        "update tenants set name = 'bob'",
        "insert into names values ('ada', 'other', 't-bbbbbbbbbbbbbbbb', now())",
        "insert into names values ('other', 'ada', 't-bbbbbbbbbbbbbbbb', now())",
        "insert into names values ('Ada', 'q', 't-bbbbbbbbbbbbbbbb', now())",
        "insert into accounts (id, email, created_at) values ('a-bbbbbbbbbbbbbbbb', 'ADA@example.org', now())",
        "insert into accounts (id, email, created_at) values ('a-bbbbbbbbbbbbbbbb', 'no address', now())",
        "delete from accounts",
        "insert into mails (kind, queued_at, erase_at) values ('confirm', now(), now())",
        "insert into audit (at, actor, action) values (now(), 'me', 'tenant.created')",
        "insert into api_tokens (id, name, sha256, scopes, created_at) values ('k-aaaaaaaaaaaaaaaa', 'n', repeat('a', 64), '{everything}', now())",
    ] {
        assert!(client.batch_execute(bad).await.is_err(), "{bad}");
    }
}
