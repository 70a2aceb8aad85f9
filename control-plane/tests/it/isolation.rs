//! What a percloud cannot do to its neighbours and to the machine, and what the host does for those who sleep. Everything is
//! tried with a real host, as root and as an ordinary user.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bundle::TenantId;
use control_plane::hosts::{Host, State};

use crate::{
    machine::{Machine, get},
    postgres::eventually,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_is_told_what_it_must_know_and_nothing_else() {
    for user in Machine::kinds() {
        let machine = Machine::start(user, 300).await;
        let (spec, unit) = machine.place("ada").await;
        assert_eq!(unit.state, State::Asleep);
        let environment = get(&unit.socket, "/env").await.unwrap();
        let mut names: Vec<_> =
            environment.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        names.sort_unstable();
        let expected = [
            "GLIBC_TUNABLES",
            "LISTEN_FDNAMES",
            "LISTEN_FDS",
            "LISTEN_PID",
            "PERCLOUD_DATA",
            "PERCLOUD_EGRESS",
            "PERCLOUD_IDLE_SECONDS",
            "PERCLOUD_PROGRAM",
            "PERCLOUD_SPEC",
            "SQLITE_TMPDIR",
        ];
        assert_eq!(names, expected);
        assert!(environment.contains(&format!("PERCLOUD_EGRESS={}.", spec.id)), "{environment}");
        for line in ["LISTEN_PID=1", "PERCLOUD_DATA=/data", "PERCLOUD_IDLE_SECONDS=300"] {
            assert!(environment.contains(line), "{environment}");
        }
        assert!(environment.contains(&serde_json::to_string(&spec).unwrap()));
        get(&unit.socket, "/status").await.unwrap();
        let seen = machine.host.look(&spec.id).await.unwrap().unwrap();
        assert_eq!((seen.state, seen.status.set_up, seen.status.used_bytes), (State::Awake, true, 7));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_that_one_leaves_on_its_standard_input_is_seen_by_no_other() {
    for user in Machine::kinds() {
        let machine = Machine::start(user, 300).await;
        for name in ["ada", "bob"] {
            let (_, unit) = machine.place(name).await;
            let marks = async || get(&unit.socket, "/standard-input").await.unwrap();
            assert_eq!(marks().await, "marked: false, free: true", "{name}");
            assert_eq!(marks().await, "marked: true, free: true", "it is its own");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_layer_of_the_sandbox_is_there() {
    for user in Machine::kinds() {
        let machine = Machine::start(user, 300).await;
        for layer in machine.host.layers().await.unwrap() {
            println!("{:<18} {:<40} {}", layer.name, layer.missing.as_deref().unwrap_or("yes"), layer.keeps);
            let only_root_has = ["own-user", "control-groups", "io"].contains(&layer.name.as_str());
            assert!(layer.missing.is_none() || (only_root_has && layer.allowed), "{layer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_starts_perclouds_sees_them_and_no_other_process() {
    if !rustix::process::geteuid().is_root() {
        return println!("not tried: what another process sees only root is shown");
    }
    for user in Machine::kinds() {
        let machine = Machine::start(user, 300).await;
        let (ada, unit) = machine.place("ada").await;
        get(&unit.socket, "/").await.unwrap();
        let runtime = machine.runtimes(&ada.id)[0];
        let status = fs::read_to_string(format!("/proc/{runtime}/status")).unwrap();
        let spawner = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().to_owned();
        let root = PathBuf::from(format!("/proc/{spawner}/root"));
        let names =
            |folder: &Path| fs::read_dir(folder).unwrap().flatten().map(|e| e.file_name().into_string().unwrap());
        let processes = names(&root.join("proc")).filter(|name| name.parse::<u32>().is_ok()).count();
        assert_eq!(processes, 2, "itself and what it has started");
        let mut seen: Vec<_> = names(&root).collect();
        seen.sort_unstable();
        assert_eq!(seen, ["machine", "proc", "root", "tenants"]);
        assert_eq!(names(&root.join("machine")).count(), 0);
        assert!(!root.join("proc/sys").exists(), "the kernel's settings");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_is_lost_between_sleeping_and_waking() {
    const VISITORS: u64 = 6;
    const EACH: u64 = 60;
    for user in Machine::kinds() {
        // The test program leaves after 20 ms without a connection.
        let machine = Machine::start(user, 0).await;
        let (ada, unit) = machine.place("ada").await;
        // They leave together: visitors who drift apart by 20 ms would keep it awake to the end.
        let gone = Arc::new(tokio::sync::Barrier::new(VISITORS as usize));
        let visitors = (0..VISITORS).map(|visitor| {
            let (socket, gone) = (unit.socket.clone(), Arc::clone(&gone));
            tokio::spawn(async move {
                for visit in 0..EACH {
                    get(&socket, "/").await.unwrap_or_else(|error| panic!("visit {visit}: {error}"));
                    gone.wait().await;
                    // Around the moment when it leaves, a little earlier and a little later.
                    tokio::time::sleep(Duration::from_micros(19_000 + (visit * 97 + visitor * 31) % 3000)).await;
                }
            })
        });
        for visitor in visitors.collect::<Vec<_>>() {
            visitor.await.unwrap();
        }
        eventually("sleep", async || {
            let unit = machine.host.look(&ada.id).await.unwrap()?;
            (unit.state == State::Asleep && machine.runtimes(&ada.id).is_empty()).then_some(())
        })
        .await;
        let used = machine.host.usage().await.unwrap().of.remove(0);
        assert!(used.wakes > 1 && used.limits_met.starts == 0, "who answers is started as often as it likes: {used:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_crashes_is_tried_again_and_the_operator_hears_why() {
    let machine = Machine::start(None, 300).await;
    let (ada, unit) = machine.place("ada").await;
    let crash = machine.folder(&ada.id).join("crash");
    fs::write(&crash, "").unwrap();
    let socket = unit.socket.clone();
    let visitor = tokio::spawn(async move { get(&socket, "/").await });
    let why = eventually("a failing percloud", async || match machine.host.look(&ada.id).await.unwrap()?.state {
        State::Failing(why) => Some(why),
        _ => None,
    })
    .await;
    assert_eq!(why, "leaves with code 3; its last words: told to crash");
    fs::remove_file(crash).unwrap();
    assert!(visitor.await.unwrap().is_err(), "whoever waited is turned away, so that the edge can say why");
    eventually("a percloud that is well", async || {
        (machine.host.look(&ada.id).await.unwrap()?.state == State::Awake).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_does_not_start_is_tried_at_once_when_an_operator_says_so() {
    let machine = Machine::start(None, 300).await;
    let (ada, unit) = machine.place("ada").await;
    let crash = machine.folder(&ada.id).join("crash");
    fs::write(&crash, "").unwrap();
    assert!(get(&unit.socket, "/").await.is_err());
    let fails = async || {
        eventually("a failing percloud", async || match machine.host.look(&ada.id).await.unwrap()?.state {
            State::Failing(_) => Some(()),
            _ => get(&unit.socket, "/").await.err().and(None),
        })
        .await;
    };
    fails().await;
    machine.host.retry(&ada.id).await.unwrap();
    fails().await; // its cause was not mended, and that is heard again
    fs::remove_file(crash).unwrap();
    assert_eq!(machine.host.retry(&ada.id).await.unwrap().unwrap().state, State::Awake, "it waits for nobody");
    get(&unit.socket, "/").await.unwrap();
    let before = machine.runtimes(&ada.id);
    machine.host.retry(&ada.id).await.unwrap();
    assert_eq!((machine.runtimes(&ada.id), before.len()), (before, 1), "who runs goes on running");
    assert_eq!(machine.host.retry(&TenantId::random()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_without_a_host_and_everything_listens_again_with_the_next() {
    for user in Machine::kinds() {
        let mut machine = Machine::start(user, 300).await;
        let ((ada, ada_unit), (bob, bob_unit)) = (machine.place("ada").await, machine.place("bob").await);
        get(&ada_unit.socket, "/").await.unwrap();
        assert_eq!(machine.runtimes(&ada.id).len(), 1);
        assert_eq!(machine.runtimes(&bob.id).len(), 0);
        machine.kill_host();
        eventually("no orphan", async || machine.runtimes(&ada.id).is_empty().then_some(())).await;
        machine.restart().await;
        let mut listed = machine.host.list().await.unwrap();
        listed.sort();
        let mut both = vec![ada.id.clone(), bob.id.clone()];
        both.sort();
        assert_eq!(listed, both);
        let seen = machine.host.look(&ada.id).await.unwrap().unwrap();
        assert_eq!((seen.spec_hash, seen.state), (ada.hash(), State::Asleep));
        for unit in [&ada_unit, &bob_unit] {
            get(&unit.socket, "/").await.unwrap();
        }
        machine.stop_host().await;
        assert!(machine.runtimes(&ada.id).is_empty() && machine.runtimes(&bob.id).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_spec_is_in_force_when_place_returns_and_nobody_is_turned_away() {
    let machine = Machine::start(None, 300).await;
    let (mut ada, unit) = machine.place("ada").await;
    let lost = Arc::new(AtomicU32::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let visitor = tokio::spawn({
        let (socket, lost, stop) = (unit.socket.clone(), lost.clone(), stop.clone());
        async move {
            while !stop.load(Ordering::Relaxed) {
                // The test program does not drain: the request that it was at may be cut, but none is refused.
                if let Err(error) = get(&socket, "/").await {
                    assert_ne!(error.kind(), std::io::ErrorKind::ConnectionRefused);
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    });
    for domain in ["one.example", "two.example", "three.example"] {
        ada.domain = domain.parse().unwrap();
        assert_eq!(machine.host.place(&ada).await.unwrap().spec_hash, ada.hash());
        assert!(get(&unit.socket, "/").await.unwrap().contains(domain));
        assert_eq!(machine.host.place(&ada).await.unwrap().state, State::Awake, "the same again changes nothing");
    }
    stop.store(true, Ordering::Relaxed);
    visitor.await.unwrap();
    assert!(lost.load(Ordering::Relaxed) <= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_percloud_that_is_removed_leaves_nothing_even_if_it_does_not_want_to_end() {
    for user in Machine::kinds() {
        let machine = Machine::start(user, 300).await;
        let (ada, unit) = machine.place("ada").await;
        fs::write(machine.folder(&ada.id).join("stubborn"), "").unwrap();
        get(&unit.socket, "/log?lines=3000").await.unwrap();
        let log = machine.paths().logs().join("tenants").join(format!("{}.log", ada.id));
        assert!(fs::metadata(&log).unwrap().len() < 2 << 20);
        let began = Instant::now();
        machine.host.remove(&ada.id).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(20));
        machine.host.remove(&ada.id).await.unwrap();
        assert!(machine.runtimes(&ada.id).is_empty());
        for gone in [machine.folder(&ada.id), unit.socket, log] {
            assert!(!gone.exists(), "{}", gone.display());
        }
        assert_eq!(machine.host.look(&ada.id).await.unwrap(), None);
        assert_eq!(machine.host.list().await.unwrap(), []);
    }
}

/// Every test that `docs/security.md` names is one.
#[test]
fn what_the_page_on_security_promises_is_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = String::new();
    let crates = ["bundle", "tls", "ui", "portal", "tenant-runtime", "control-plane"];
    let mut folders: Vec<_> =
        crates.iter().flat_map(|name| ["src", "tests"].map(|part| root.join(name).join(part))).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                sources.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let page = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let named = page.split('`').skip(1).step_by(2);
    let tests = named
        .filter(|name| name.matches('_').count() >= 3 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    let missing: Vec<_> = tests.filter(|name| !sources.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_placed_is_failing_until_what_is_in_the_way_has_gone() {
    if !rustix::process::geteuid().is_root() {
        return println!("not tried: only root gives folders to others");
    }
    let machine = Machine::start(None, 300).await;
    let spec = Machine::spec("ada");
    let folder = machine.folder(&spec.id);
    // As one that was restored and is somebody else's.
    std::fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::chown(&folder, Some(1000), Some(1000)).unwrap();
    let error = machine.host.place(&spec).await.unwrap_err().to_string();
    let state = async || machine.host.look(&spec.id).await.unwrap().unwrap().state;
    let State::Failing(why) = state().await else { panic!("{:?}", state().await) };
    assert!(why.contains("user 1000") && error.contains(&why), "{error}: {why}");
    std::fs::remove_dir(&folder).unwrap();
    let unit = machine.host.retry(&spec.id).await.unwrap().unwrap();
    assert_eq!(unit.state, State::Awake);
    get(&unit.socket, "/").await.unwrap();
}
