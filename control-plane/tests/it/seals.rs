//! The sealing key is changed while everything runs.

use std::process::{Command, Output, Stdio};

use control_plane::certificates;
use tls::Seal;

use crate::{edge_certificates::Shelf, postgres::eventually};

/// `percloud admin seal …`.
fn command(shelf: &Shelf, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_percloud"));
    command.args(["admin", "--data", shelf.paths.root().to_str().unwrap(), "--database-url", &shelf.url, "seal"]);
    command.args(words).stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn done(shelf: &Shelf, words: &[&str]) -> String {
    let output = command(shelf, words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", said(&output));
    said(&output)
}

/// As an operator finds it an hour after the last rotation.
fn an_hour_later(shelf: &Shelf) {
    let file = std::fs::File::options().append(true).open(shelf.paths.seal_key()).unwrap();
    let then = file.metadata().unwrap().modified().unwrap() - std::time::Duration::from_secs(3600);
    file.set_modified(then).unwrap();
}

impl Shelf {
    /// Rows that are sealed and nothing else: one key for all of them is as good.
    async fn fill(&self, count: usize) {
        let ids: Vec<String> = (0..count)
            .map(|n| format!("c-aaa{}", data_encoding::BASE32_NOPAD.encode(&(n as u64).to_be_bytes()).to_lowercase()))
            .collect();
        let seal = Seal::open(&self.paths.seal_key()).unwrap();
        let sealed: Vec<_> =
            ids.iter().map(|id| seal.seal(&certificates::sealed_for(id), id.as_bytes()).unwrap()).collect();
        let sql =
            "insert into certificates (id, names, observed, chain_pem, key_sealed, not_before, not_after, created_at)
            select id, array[id || '.example'], 'issued', '', sealed, now(), now(), now()
            from unnest($1::text[], $2::bytea[]) as t (id, sealed)";
        self.db.execute(sql, &[&ids, &sealed]).await.unwrap();
    }

    /// An account at a public CA, whose credentials are sealed, too.
    async fn account(&self) {
        let sealed =
            Seal::open(&self.paths.seal_key()).unwrap().seal("acme_accounts/ca.example", b"credentials").unwrap();
        let sql = "insert into acme_accounts (id, directory, credentials_sealed, created_at) values ('ca.example', '', $1, now())";
        self.db.execute(sql, &[&sealed]).await.unwrap();
    }

    /// How many certificates each key has sealed.
    async fn by_key(&self) -> Vec<i64> {
        let sql = "select count(*) from certificates group by substring(key_sealed from 2 for 8) order by 1";
        self.db.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_killed_goes_on_and_old_keys_go_when_nothing_needs_them() {
    let shelf = Shelf::open().await;
    shelf.fill(1000).await;
    shelf.put(&["own.example"], "local").await;
    shelf.comes("own.example").await;
    shelf.account().await;
    // One row is held: the rotation comes as far as that.
    let mut holder = crate::postgres::client(&shelf.url).await;
    let held = holder.transaction().await.unwrap();
    let one =
        "select 1 from certificates where id = (select id from certificates order by id offset 500 limit 1) for update";
    held.query(one, &[]).await.unwrap();
    let mut rotation = command(&shelf, &["rotate"]).stdout(Stdio::null()).spawn().unwrap();
    let waits = "select pid from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like 'update certificates%'";
    let pid: i32 = eventually("the rotation waits for the row", async || {
        shelf.db.query_opt(waits, &[]).await.unwrap().map(|row| row.get(0))
    })
    .await;
    rotation.kill().unwrap();
    rotation.wait().unwrap();
    // Postgres does not notice that nobody waits for this any more, and would do it once the row is free.
    shelf.db.execute("select pg_terminate_backend($1)", &[&pid]).await.unwrap();
    eventually("its connection ends", async || {
        shelf
            .db
            .query_opt("select from pg_stat_activity where pid = $1", &[&pid])
            .await
            .unwrap()
            .is_none()
            .then_some(())
    })
    .await;
    held.rollback().await.unwrap();
    assert_eq!(shelf.by_key().await, [400, 601], "what was done is done");
    let refused = command(&shelf, &["prune"]).output().unwrap();
    assert!(!refused.status.success() && said(&refused).contains("602 secrets"), "{}", said(&refused));
    let words = done(&shelf, &["rotate"]);
    assert!(words.contains("going on") && words.contains("602 sealed anew"), "{words}");
    assert_eq!(shelf.by_key().await, [1001]);
    let seal = Seal::open(&shelf.paths.seal_key()).unwrap();
    assert_eq!(seal.len(), 2, "one new key, however often it was killed");
    for row in shelf.db.query("select id, key_sealed from certificates where id like 'c-aaa%'", &[]).await.unwrap() {
        let id: String = row.get(0);
        assert_eq!(seal.open_sealed(&certificates::sealed_for(&id), row.get(1)).unwrap(), id.as_bytes());
    }
    let account: Vec<u8> =
        shelf.db.query_one("select credentials_sealed from acme_accounts", &[]).await.unwrap().get(0);
    assert!(!seal.is_stale(&account));
    assert_eq!(seal.open_sealed("acme_accounts/ca.example", &account).unwrap(), b"credentials");
    let early = command(&shelf, &["prune"]).output().unwrap();
    assert!(!early.status.success() && said(&early).contains("try again after"), "{}", said(&early));
    an_hour_later(&shelf);
    assert!(done(&shelf, &["prune"]).contains("1 older keys were dropped"));
    // The edge, which began with the old key, opens what the new one sealed.
    let id = shelf.put(&["later.example"], "local").await;
    shelf.comes("later.example").await;
    let renewed = shelf.issue(&id, 50).await;
    shelf.shows("later.example", &renewed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_key_opens_is_counted_and_holds_nothing_up() {
    let shelf = Shelf::open().await;
    shelf.fill(250).await;
    shelf.db.execute("update certificates set key_sealed = sha512(key_sealed) where id like '%a'", &[]).await.unwrap();
    let lost: i64 =
        shelf.db.query_one("select count(*) from certificates where id like '%a'", &[]).await.unwrap().get(0);
    assert!(lost > 0);
    let words = done(&shelf, &["rotate"]);
    assert!(words.contains(&format!("{lost} open with no key")), "{words}");
    an_hour_later(&shelf);
    done(&shelf, &["prune"]);
    let status: serde_json::Value = serde_json::from_str(&done(&shelf, &["status", "--json"])).unwrap();
    assert_eq!(status, serde_json::json!({ "keys": 1, "older": 0, "lost": lost }));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_a_program_prints_are_rotated_where_they_are_kept() {
    let shelf = Shelf::open().await;
    let kept = shelf.paths.root().join("kept-elsewhere");
    std::fs::copy(shelf.paths.seal_key(), &kept).unwrap();
    shelf.fill(10).await;
    std::fs::remove_file(shelf.paths.seal_key()).unwrap();
    let program = serde_json::to_string(&["/bin/cat", kept.to_str().unwrap()]).unwrap();
    let with = |words: &[&str]| done(&shelf, &[&["--seal-key-command", &program], words].concat());
    assert!(with(&["rotate"]).contains("Let it print a new one first"));
    Seal::rotate(&kept).unwrap();
    assert!(with(&["status"]).contains("2 keys; 10 secrets are sealed with older ones"));
    assert!(with(&["rotate"]).contains("10 sealed anew"));
    assert!(with(&["prune"]).contains("may leave them out"));
    Seal::prune(&kept).unwrap();
    assert!(with(&["status"]).contains("1 keys; 0 secrets are sealed with older ones, 0 open with none"));
}
