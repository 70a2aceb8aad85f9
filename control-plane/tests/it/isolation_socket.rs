//! What becomes of a percloud whose listening socket hears nobody any more, and of one that cannot be ended at once. No runtime can bring
//! that about by what it may call; here it is done from outside, as whoever found a way would.

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bundle::TenantId;
use control_plane::hosts::{self, Host, State};
use rustix::{
    net::{Shutdown, shutdown},
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use crate::{
    machine::{Machine, get},
    postgres::eventually,
};

/// The host's own listening socket, which is the runtime's as well.
fn listener(machine: &Machine, socket: &Path) -> OwnedFd {
    const LISTENS: &str = "00010000";
    let host = machine.host_process();
    let path = socket.to_str().unwrap();
    let all = fs::read_to_string("/proc/net/unix").unwrap();
    let listening = all.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let words = listening.into_iter().find(|words| words.get(7) == Some(&path) && words[3] == LISTENS).unwrap();
    let name = format!("socket:[{}]", words[6]);
    let descriptors = fs::read_dir(format!("/proc/{host}/fd")).unwrap().flatten();
    let number = descriptors
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy() == name))
        .find_map(|entry| entry.file_name().to_str()?.parse().ok())
        .unwrap();
    let process = pidfd_open(Pid::from_raw(host).unwrap(), PidfdFlags::empty()).unwrap();
    pidfd_getfd(process, number, PidfdGetfdFlags::empty()).unwrap()
}

async fn state(machine: &Machine, id: &TenantId) -> State {
    machine.host.look(id).await.unwrap().unwrap().state
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_was_shut_is_made_anew_and_nothing_is_started_for_it_meanwhile() {
    for user in Machine::kinds() {
        let machine = Machine::start(user, 300).await;
        let ((ada, unit), (_, bob_unit)) = (machine.place("ada").await, machine.place("bob").await);
        let wakes =
            async || machine.host.usage().await.unwrap().of.into_iter().find(|used| used.id == ada.id).unwrap().wakes;
        let mode = |path: &Path| {
            use std::os::unix::fs::MetadataExt;
            let found = fs::metadata(path).unwrap();
            (found.mode(), found.uid(), found.gid())
        };
        let before = mode(&unit.socket);
        for awake in [false, true] {
            if awake {
                get(&unit.socket, "/").await.unwrap();
            }
            let (woken, begun) = (wakes().await, Instant::now());
            shutdown(listener(&machine, &unit.socket), Shutdown::Read).unwrap();
            let why = eventually("a failure", async || match state(&machine, &ada.id).await {
                State::Failing(why) => Some(why),
                _ => None,
            })
            .await;
            assert!(why.contains("its listening socket"), "{why}");
            let (then, runs) = (wakes().await, machine.runtimes(&ada.id));
            assert_eq!(mode(&unit.socket), before);
            // After half a second it is started by itself.
            let soon = begun.elapsed() < Duration::from_millis(500);
            assert!(!soon || then == woken, "nothing was started");
            assert!(runs.is_empty() || !soon, "whoever did it does not go on");
            eventually("a visitor who is let in", async || get(&unit.socket, "/").await.ok()).await;
            assert!(get(&bob_unit.socket, "/").await.unwrap().contains("bob."), "its neighbour serves");
            machine.host.retry(&ada.id).await.unwrap();
            get(&unit.socket, "/exit").await.unwrap_err();
        }
    }
}

/// A group of processes that can be frozen, as version 1 has them: there not even SIGKILL ends anybody.
struct Freezer(PathBuf);

impl Freezer {
    fn new(pid: i32) -> Option<Self> {
        let group = Path::new("/sys/fs/cgroup/freezer").join(format!("percloud-test-{}", std::process::id()));
        fs::create_dir(&group).ok()?;
        let this = Self(group);
        fs::write(this.0.join("cgroup.procs"), pid.to_string()).ok()?;
        fs::write(this.0.join("freezer.state"), "FROZEN").ok()?;
        Some(this)
    }

    fn thaw(&self) {
        fs::write(self.0.join("freezer.state"), "THAWED").unwrap();
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("freezer.state"), "THAWED");
        let _ = (0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            fs::remove_dir(&self.0).is_ok()
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_wiped_as_long_as_its_runtime_has_not_ended() {
    let machine = Machine::start(None, 300).await;
    let (ada, unit) = machine.place("ada").await;
    get(&unit.socket, "/status").await.unwrap();
    let Some(freezer) = machine.runtimes(&ada.id).first().and_then(|pid| Freezer::new(*pid)) else {
        return println!("not tried: nobody can be frozen here");
    };
    let error = machine.host.remove(&ada.id).await.unwrap_err();
    assert!(matches!(&error, hosts::Error::Unavailable(why) if why.contains("has not ended yet")), "{error}");
    assert!(machine.folder(&ada.id).join("status.json").exists(), "somebody is in there");
    freezer.thaw();
    eventually("its removal", async || machine.host.remove(&ada.id).await.ok()).await;
    assert!(!machine.folder(&ada.id).exists());
}
