//! kill -9, over and over, in the middle of writes: what a percloud acknowledged is there, and nothing half-written is shown.
//!
//! Owners write through their perclouds' sockets without pause. Round after round each runtime is killed once, at a moment of
//! chance, and then the host with all that run. `PERCLOUD_TEST_SEED` gives the same chances again; the deaths fall where the
//! machine's own timing lets them.

mod line;
mod owner;

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    process::Command,
    time::Duration,
};

use bundle::{Sum, TenantId, TenantSpec, read};
use control_plane::hosts::Host;
use line::Line;
use owner::{Ledger, Owner, SETUP_TOKEN, url_encoded};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    machine::{Machine, runtime},
    postgres::eventually,
};

const OWNERS: usize = 6;
/// Each kills every runtime once, and the host once.
const ROUNDS: usize = 30;
/// Room for all that is written.
const QUOTA: u64 = 2 << 30;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_two_hundred_deaths() {
    let seed = std::env::var("PERCLOUD_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("PERCLOUD_TEST_SEED={seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let mut machine = Machine::with_runtime(None, 300, &[], &runtime()).await;
    let stop = CancellationToken::new();
    let mut owners = Vec::new();
    for n in 0..OWNERS {
        let spec = spec(n);
        let unit = machine.host.place(&spec).await.unwrap();
        let chance = StdRng::seed_from_u64(chance.random());
        owners.push(Owner::begin(spec, unit.socket, chance, stop.clone()).await);
    }
    let (mut runtimes, mut hosts) = (0, 0);
    for _ in 0..ROUNDS {
        runtimes += kill_each(&machine, &mut owners, &mut chance).await;
        let last = chance.random_range(0..OWNERS);
        some_moment(&mut owners[last].moments, &mut chance).await;
        machine.kill_host();
        hosts += 1;
        machine.restart().await;
    }
    for owner in &mut owners {
        grows(&mut owner.acknowledged, 1).await;
    }
    stop.cancel();
    let mut ids = Vec::new();
    let (mut begun, mut acknowledged, mut resumed) = (0, 0, 0);
    for owner in owners {
        let (spec, ledger, mut line) = owner.end().await;
        compare(&spec, &ledger, &found(&mut line).await);
        begun += ledger.begun.len();
        acknowledged += ledger.acknowledged.len();
        resumed += ledger.resumed;
        ids.push(spec.id);
    }
    machine.stop_host().await;
    assert_whole(&machine, &ids);
    println!(
        "{} deaths: {runtimes} runtimes by name, the host {hosts} times with all its runtimes. {acknowledged} writes were \
         acknowledged of {begun} that were begun, {resumed} uploads went on after a cut: all of them found, each with its SHA-256",
        runtimes + hosts
    );
    assert!(runtimes + hosts >= 200, "only {runtimes} + {hosts} deaths");
    assert!(acknowledged > runtimes + hosts && acknowledged < begun, "the deaths did not come in the middle of writes");
}

fn spec(n: usize) -> TenantSpec {
    TenantSpec {
        id: TenantId::random(),
        domain: format!("owner-{n}.percloud.localhost").parse().unwrap(),
        also: Vec::new(),
        port: 8443,
        quota_bytes: QUOTA,
        language: "en".into(),
        setup_sha256: Some(Sum::of(format!("setup:{SETUP_TOKEN}").as_bytes()).hex()),
        suspended: None,
        provider: None,
    }
}

/// Kills every runtime once, in an order and at moments of chance, after each has shown that it writes again.
async fn kill_each(machine: &Machine, owners: &mut [Owner], chance: &mut StdRng) -> usize {
    for owner in &mut *owners {
        grows(&mut owner.acknowledged, 1).await;
    }
    owners.shuffle(chance);
    for owner in &mut *owners {
        some_moment(&mut owner.moments, chance).await;
        eventually("a runtime to kill", async || kill(machine, &owner.spec.id)).await;
    }
    owners.len()
}

async fn grows(counter: &mut watch::Receiver<u64>, by: u64) {
    let target = *counter.borrow() + by;
    let grown = tokio::time::timeout(Duration::from_secs(60), counter.wait_for(|now| *now >= target)).await;
    grown.expect("an owner cannot write any more").expect("an owner has ended");
}

/// Somewhere between two pieces of a body, before an answer or after it.
async fn some_moment(moments: &mut watch::Receiver<u64>, chance: &mut StdRng) {
    grows(moments, chance.random_range(1..=20)).await;
    // Nothing is waited for here: this is chance, so that deaths also come where the runtime works by itself.
    tokio::time::sleep(Duration::from_micros(chance.random_range(0..4000))).await;
}

/// Kills the runtime of this percloud and no other process, whatever becomes of its number meanwhile.
fn kill(machine: &Machine, id: &TenantId) -> Option<()> {
    let pid = *machine.runtimes(id).first()?;
    let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    // The number still means a runtime of this percloud, so the descriptor does.
    machine.runtimes(id).contains(&pid).then_some(())?;
    pidfd_send_signal(process, Signal::KILL).ok()
}

/// Everything that an owner finds in their percloud by name, with its SHA-256: taken along as a bundle, which is checked.
async fn found(line: &mut Line) -> BTreeMap<String, String> {
    let headers = [url_encoded(), ("accept", "application/json".into())];
    let answer = line.insist("POST", "/control/export", &headers, b"passphrase=").await;
    assert_eq!(answer.status, 201);
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let zip = line.insist("GET", told["url"].as_str().unwrap(), &[], &[]).await;
    assert_eq!(zip.status, 200);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&zip.body).unwrap();
    let package = read::Package::open(file.path(), &bundle::zip::Limits::default()).unwrap();
    let checked = package.check(&mut |_| true).unwrap();
    let mut found = BTreeMap::new();
    for (path, item) in checked.items() {
        if let Some(name) = path.strip_prefix("data/files/tree/") {
            found.insert(name.to_owned(), item.sum.hex());
        } else if let Some(id) = path.strip_prefix("data/blog/posts/draft-") {
            let mut text = String::new();
            checked.content(item).unwrap().read_to_string(&mut text).unwrap();
            let body = text.trim_end().rsplit('\n').next().unwrap();
            found.insert(id.trim_end_matches(".md").to_owned(), Sum::of(body.as_bytes()).hex());
        }
    }
    let bookmarks = checked.text("data/bookmarks/bookmarks.json").unwrap().unwrap();
    let bookmarks: serde_json::Value = serde_json::from_slice(&bookmarks).unwrap();
    for bookmark in bookmarks["bookmarks"].as_array().unwrap() {
        let note = bookmark["note"].as_str().unwrap();
        found.insert(bookmark["url"].as_str().unwrap().to_owned(), Sum::of(note.as_bytes()).hex());
    }
    found
}

fn compare(spec: &TenantSpec, ledger: &Ledger, found: &BTreeMap<String, String>) {
    let lost: Vec<_> = ledger.acknowledged.iter().filter(|name| !found.contains_key(*name)).collect();
    assert!(lost.is_empty(), "{} acknowledged and lost: {lost:?}", spec.domain);
    let wrong: Vec<_> = found.iter().filter(|(name, sum)| ledger.begun.get(*name) != Some(sum)).collect();
    assert!(wrong.is_empty(), "{} shown and not as it was sent: {wrong:?}", spec.domain);
}

/// SQLite itself finds nothing wrong with the databases.
fn assert_whole(machine: &Machine, ids: &[TenantId]) {
    let mut python = Command::new("python3");
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/integrity.py"));
    python.args(ids.iter().map(|id| machine.folder(id).join("percloud.db")));
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n".repeat(ids.len()));
}
