//! What becomes of a percloud that fills its own folder, which no layer of the sandbox keeps it from: with bytes, and with files.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use control_plane::hosts::{Host, State};

use crate::{
    machine::{Machine, get},
    postgres::eventually,
};

/// The name of the attack, and what the program is asked for.
const ATTACKS: [(&str, &str); 6] = [
    ("filling /data beyond the quota", "/fill?mib=320"),
    ("the same, too little for the disk to show", "/fill?mib=224"),
    ("the same, in a folder that is locked", "/fill?mib=224&hidden=locked"),
    ("files that are mapped and have no name", MAPPED),
    ("files that are open and have no name", "/fill?mib=320&hidden=open"),
    ("very many files in /data", "/fill?files=60000"),
];

/// Whoever is not root hears less of them.
const MAPPED: &str = "/fill?mib=320&hidden=mapped";

/// MiB and files, as the operator reads them.
fn held(why: &str) -> Option<(u64, u64)> {
    let (mib, rest) = why.strip_prefix("holds ")?.split_once(" MiB in ")?;
    Some((mib.parse().ok()?, rest.split_once(" files on the disk")?.0.parse().ok()?))
}

/// Writes a file again and again until it is told to stop; how often.
async fn write(socket: PathBuf, stop: Arc<AtomicBool>) -> u32 {
    let mut written = 0;
    while !stop.load(Ordering::Relaxed) {
        assert_eq!(get(&socket, "/status").await.unwrap(), "written");
        written += 1;
    }
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fills_its_folder_is_put_to_sleep_within_seconds_and_its_neighbours_write_on() {
    for user in Machine::kinds() {
        let machine = Machine::start(user, 300).await;
        let (_, neighbour) = machine.place("bob").await;
        let sees_all = user.is_none() && rustix::process::geteuid().is_root();
        for (attack, request) in ATTACKS.into_iter().filter(|(_, request)| sees_all || *request != MAPPED) {
            let (ada, unit) = machine.place("ada").await;
            get(&unit.socket, "/").await.unwrap();
            let used =
                async || machine.host.usage().await.unwrap().of.into_iter().find(|used| used.id == ada.id).unwrap();
            eventually("a first count", async || (used().await.storage_bytes > Some(0)).then_some(())).await;
            let stop = Arc::new(AtomicBool::new(false));
            let writes = tokio::spawn(write(neighbour.socket.clone(), stop.clone()));
            let began = Instant::now();
            // Nothing of the sandbox is in the way, and it may be stopped while it is still at it.
            let done = get(&unit.socket, request).await;
            assert!(done.as_ref().map_or(true, |said| said == "filled"), "{done:?}");
            let filled = Instant::now();
            let unit = eventually("a stop", async || {
                let unit = machine.host.look(&ada.id).await.unwrap()?;
                matches!(unit.state, State::Failing(_)).then_some(unit)
            })
            .await;
            let stopped = Instant::now();
            stop.store(true, Ordering::Relaxed);
            let written = writes.await.expect("each write of the neighbour's is done");
            let State::Failing(why) = &unit.state else { unreachable!() };
            println!(
                "{attack:<42} {} stopped  {:.1} s after {:.1} s of filling; its neighbour wrote {written} times; \"{why}\"",
                if user.is_some() { "user" } else { "root" },
                (stopped - filled).as_secs_f64(),
                (filled - began).as_secs_f64(),
            );
            let (mib, files) = held(why).unwrap_or_else(|| panic!("{why}"));
            // Twice its 64 MiB and the 64 beside them, or twice the 4096 files of these and 4096 more: it may be stopped while it is still at it.
            assert!(written > 0 && (mib >= 192 || files > 12_288), "{written} {why}");
            assert!(
                unit.filled && used().await.limits_met.disk > 0,
                "its owner is told, and it is on the operator's list"
            );
            assert!(
                machine.runtimes(&ada.id).is_empty() && get(&unit.socket, "/").await.is_err(),
                "visitors hear at once"
            );
            // When it is started again (here by the operator's word), whoever owns it can take everything along.
            assert_eq!(machine.host.retry(&ada.id).await.unwrap().unwrap().state, State::Awake);
            get(&unit.socket, "/").await.unwrap();
            machine.host.remove(&ada.id).await.unwrap();
            assert!(fs::metadata(machine.folder(&ada.id)).is_err());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fills_the_disk_with_what_nobody_can_see_has_to_give_it_back() {
    let [_, Some(user)] = Machine::kinds()[..] else {
        return println!("not tried: only root can make a disk for a host that is not root, and sees all itself");
    };
    let machine = Machine::with_disk(Some(user), 768).await;
    let ((ada, unit), (bob, neighbour)) = (machine.place("ada").await, machine.place("bob").await);
    for unit in [&unit, &neighbour] {
        get(&unit.socket, "/").await.unwrap();
    }
    let used = async || machine.host.usage().await.unwrap().of.into_iter().find(|used| used.id == ada.id).unwrap();
    // Counted before, so that it is known what is new.
    eventually("a first count", async || (used().await.storage_bytes.is_some_and(|bytes| bytes > 0)).then_some(()))
        .await;
    let free =
        || rustix::fs::statvfs(machine.paths().tenants()).map(|disk| (disk.f_bavail * disk.f_frsize) >> 20).unwrap();
    let neighbours = machine.runtimes(&bob.id);
    // However often: its neighbours hide nothing, and stay.
    for mib in [4, 8] {
        // It may be ended while it is still at it, or before we look.
        let done = get(&unit.socket, "/fill?mib=512&hidden=mapped").await;
        let (left, runs) = (free(), !machine.runtimes(&ada.id).is_empty());
        assert!(done.as_ref().map_or(true, |said| said == "filled"), "{done:?}");
        assert!(done.is_err() || !runs || left < 256, "{left}");
        eventually("its end, and what it held", async || {
            (machine.runtimes(&ada.id).is_empty() && free() > 600).then_some(())
        })
        .await;
        eventually("an answer", async || get(&unit.socket, &format!("/sync?mib={mib}")).await.ok()).await;
        // Once that is counted, the host has looked at what is left.
        eventually("a count", async || (used().await.storage_bytes >= Some(mib << 20)).then_some(())).await;
    }
    assert_eq!((neighbours.len(), &neighbours), (1, &machine.runtimes(&bob.id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_writes_who_does_not_sleep_is_counted_within_seconds_however_large_the_disk_is() {
    if !rustix::process::geteuid().is_root() {
        return println!("not tried: the kernel tells only root what another process has written");
    }
    let machine = Machine::start(None, 300).await;
    let (ada, unit) = machine.place("ada").await;
    let stored = async || machine.host.usage().await.unwrap().of.into_iter().find(|used| used.id == ada.id).unwrap();
    get(&unit.socket, "/").await.unwrap();
    eventually("a first count", async || (stored().await.storage_bytes > Some(0)).then_some(())).await;
    // Less than what is noticed by what is left on the disk.
    let took = get(&unit.socket, "/sync?mib=80").await.unwrap();
    assert!(took.parse::<u64>().is_ok(), "{took}");
    eventually("a count", async || (stored().await.storage_bytes >= Some(80 << 20)).then_some(())).await;
    assert_eq!(machine.runtimes(&ada.id).len(), 1, "it is awake, and may have that much");
}
