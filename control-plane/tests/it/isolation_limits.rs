//! What a percloud may take of the machine, what it took, and that its control groups come and go with it.

use std::{collections::BTreeSet, fs, time::Duration};

use bundle::TenantId;
use control_plane::hosts::{Host, State, Used};

use crate::{
    machine::{Machine, get},
    postgres::eventually,
};

async fn used(machine: &Machine, id: &TenantId) -> Used {
    let usage = machine.host.usage().await.unwrap();
    usage.of.into_iter().find(|used| used.id == *id).unwrap()
}

/// Waits until the runtime is in all groups; an ordinary user's host has none.
async fn in_its_groups(machine: &Machine, id: &TenantId) {
    eventually("a runtime in its groups", async || (machine.joined(id) == machine.groups().len()).then_some(())).await;
}

fn can_make_groups(machine: &Machine) -> bool {
    !machine.groups().is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_percloud_is_held_to_its_share_of_the_machine_and_that_is_counted() {
    let machine = Machine::start_with(None, 300, &["--threads-max", "24", "--cpu-max", "20"]).await;
    if !can_make_groups(&machine) {
        return println!("not tried: this user may not make control groups");
    }
    let (ada, unit) = machine.place("ada").await;
    get(&unit.socket, "/").await.unwrap();
    in_its_groups(&machine, &ada.id).await;

    let threads = get(&unit.socket, "/threads").await.unwrap();
    let made: u32 = threads.split(' ').next().unwrap().parse().unwrap();
    assert!(made < 24, "{threads}");
    get(&unit.socket, "/spin?ms=700").await.unwrap();
    let used = used(&machine, &ada.id).await;
    // Four threads on a fifth of a processor.
    assert!((1..700_000).contains(&used.cpu_micros) && used.limits_met.throttled_micros > 0, "{used:?}");
    assert!(used.limits_met.threads > 0, "{used:?}");
    assert_eq!((used.limits_met.memory, used.limits_met.failures), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_percloud_reads_and_syncs_only_so_fast_where_the_disk_can_be_shared_out() {
    let machine = Machine::start_with(None, 300, &["--io-max", "4", "--io-ops-max", "0"]).await;
    let layers = machine.host.layers().await.unwrap();
    let io = layers.iter().find(|layer| layer.name == "io").unwrap();
    println!("io: {:?}, missing: {:?}", io.version, io.missing);
    if io.missing.is_some() {
        return println!("not tried: this machine cannot share its disk out");
    }
    assert!(io.version.as_ref().unwrap().starts_with("4 MiB/s each way on "), "{io:?}");
    let (ada, unit) = machine.place("ada").await;
    get(&unit.socket, "/").await.unwrap();
    in_its_groups(&machine, &ada.id).await;
    let took: u64 = get(&unit.socket, "/sync?mib=12").await.unwrap().parse().unwrap();
    assert!(took >= 2_000, "12 MiB at 4 MiB/s took {took} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wants_more_memory_than_it_may_have_is_ended_and_that_is_counted() {
    let machine = Machine::start_with(None, 300, &["--memory-max", "48", "--memory-soft", "32"]).await;
    if !can_make_groups(&machine) {
        return println!("not tried: this user may not make control groups");
    }
    let ((ada, unit), (bob, bob_unit)) = (machine.place("ada").await, machine.place("bob").await);
    get(&unit.socket, "/").await.unwrap();
    in_its_groups(&machine, &ada.id).await;
    let before = used(&machine, &ada.id).await;

    assert!(get(&unit.socket, "/memory?mib=200").await.is_err(), "it has got more than it may");
    let after = eventually("a kill that is counted", async || {
        let used = used(&machine, &ada.id).await;
        (used.limits_met.memory > 0 && used.limits_met.failures > 0).then_some(used)
    })
    .await;
    assert_eq!((after.limits_met.memory, after.limits_met.failures, after.wakes), (1, 1, 1));
    assert!(
        after.cpu_micros >= before.cpu_micros
            && after.limits_met.throttled_micros >= before.limits_met.throttled_micros
    );

    // The neighbour has nothing to do with it, and Ada's next visitor is served.
    get(&bob_unit.socket, "/").await.unwrap();
    assert_eq!(used(&machine, &bob.id).await.limits_met, Default::default());
    get(&unit.socket, "/").await.unwrap();
    assert_eq!(used(&machine, &ada.id).await.wakes, 2);

    // Again at once, it is a pattern, and the operator hears what it is.
    assert!(get(&unit.socket, "/memory?mib=200").await.is_err(), "it has got more than it may");
    let why = eventually("a reason", async || match machine.host.look(&ada.id).await.unwrap()?.state {
        State::Failing(why) => Some(why),
        _ => get(&unit.socket, "/memory?mib=200").await.err().and(None),
    })
    .await;
    assert_eq!(why, "wanted more memory than the 48 MiB that it may have (--memory-max), and was ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_gives_beyond_the_usual_reaches_the_process() {
    for user in Machine::kinds() {
        for (words, data, threads) in [
            (&[][..], 1 << 30, 256),
            (&["--memory-max", "2048", "--threads-max", "400"][..], (4 << 30) + (288 << 20), 400),
        ] {
            let machine = Machine::start_with(user, 300, words).await;
            let (ada, unit) = machine.place("ada").await;
            get(&unit.socket, "/").await.unwrap();
            let limits = fs::read_to_string(format!("/proc/{}/limits", machine.runtimes(&ada.id)[0])).unwrap();
            let most = |name: &str| -> u64 {
                let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                line.split_whitespace().nth(1).unwrap().parse().unwrap()
            };
            assert_eq!((most("Max data size"), most("Max processes")), (data, threads), "{limits}");
        }
        let machine = Machine::start_with(user, 300, &["--threads-max", "400"]).await;
        let (ada, unit) = machine.place("ada").await;
        get(&unit.socket, "/").await.unwrap();
        in_its_groups(&machine, &ada.id).await;
        let told = get(&unit.socket, "/threads").await.unwrap();
        let made: u32 = told.split(' ').next().unwrap().parse().unwrap();
        assert!((257..400).contains(&made), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn control_groups_come_and_go_with_their_percloud_and_are_found_by_the_next_host() {
    let mut machine = Machine::start(None, 300).await;
    if !can_make_groups(&machine) {
        return println!("not tried: this user may not make control groups");
    }
    let groups = machine.groups();
    let ((ada, unit), (bob, bob_unit)) = (machine.place("ada").await, machine.place("bob").await);
    let there = |id: &TenantId| groups.iter().filter(|group| group.join(id.as_str()).is_dir()).count();
    assert_eq!((there(&ada.id), there(&bob.id)), (groups.len(), groups.len()), "made when it is placed");
    get(&unit.socket, "/").await.unwrap();
    get(&bob_unit.socket, "/").await.unwrap();
    in_its_groups(&machine, &ada.id).await;

    machine.kill_host();
    machine.restart().await;
    assert_eq!(machine.groups(), groups);
    assert_eq!(there(&ada.id), 0, "what the killed one left is cleared away");
    eventually("a socket that listens again", async || get(&unit.socket, "/").await.ok()).await;
    in_its_groups(&machine, &ada.id).await;

    machine.host.remove(&ada.id).await.unwrap();
    assert_eq!(there(&ada.id), 0);
    machine.stop_host().await;
    assert!(groups.iter().all(|group| !group.exists()), "a host that ends leaves none");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_percloud_uses_is_counted_whoever_the_host_is() {
    for user in Machine::kinds() {
        let mut machine = Machine::start(user, 300).await;
        let (ada, unit) = machine.place("ada").await;
        let before = machine.host.usage().await.unwrap();
        let asleep = used(&machine, &ada.id).await;
        assert_eq!((asleep.wakes, asleep.cpu_micros, asleep.memory_byte_seconds), (0, 0, 0));

        get(&unit.socket, "/spin?ms=300").await.unwrap();
        let awake = used(&machine, &ada.id).await;
        assert!(awake.wakes == 1 && awake.cpu_micros > 10_000, "{awake:?}");
        let grown = eventually("a second awake", async || {
            let used = used(&machine, &ada.id).await;
            (used.awake_seconds > 0 && used.memory_byte_seconds > awake.memory_byte_seconds).then_some(used)
        })
        .await;
        // It is a small program; more would be another's.
        assert!(grown.memory_byte_seconds < (100 << 20) * 20, "{grown:?}");
        assert_eq!(get(&unit.socket, "/fill?mib=32").await.unwrap(), "filled");
        assert!(get(&unit.socket, "/exit?code=5").await.is_err());
        let ended = eventually("a failure that is counted", async || {
            let used = used(&machine, &ada.id).await;
            (used.limits_met.failures == 1 && used.storage_bytes >= Some(32 << 20)).then_some(used)
        })
        .await;
        assert!(ended.cpu_micros >= grown.cpu_micros && ended.memory_byte_seconds >= grown.memory_byte_seconds);
        assert_eq!(machine.host.usage().await.unwrap().epoch, before.epoch);

        machine.kill_host();
        machine.restart().await;
        let next = machine.host.usage().await.unwrap();
        assert_eq!((&next.epoch, next.of.len()), (&before.epoch, 1));
        let left = &next.of[0];
        assert!(left.cpu_micros <= ended.cpu_micros && left.wakes <= ended.wakes, "what it has left: {left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_percloud_that_fills_the_disk_is_found_by_bytes_and_by_files() {
    // The test program leaves after 20 ms, and the host counts what it left.
    let machine = Machine::start(None, 0).await;
    for (name, fill, least) in [("ada", "/fill?mib=160", 160 << 20), ("bob", "/fill?files=9000", 0)] {
        let (spec, unit) = machine.place(name).await;
        assert_eq!(get(&unit.socket, "/fill?mib=32").await.unwrap(), "filled");
        let modest = eventually("a first count", async || {
            let used = used(&machine, &spec.id).await;
            (used.storage_bytes >= Some(32 << 20)).then_some(used)
        })
        .await;
        assert_eq!(modest.limits_met.disk, 0);
        assert_eq!(get(&unit.socket, fill).await.unwrap(), "filled");
        eventually("a folder that is too large", async || {
            let used = used(&machine, &spec.id).await;
            // It may be found while it is still at it.
            (used.limits_met.disk > 0 && used.storage_bytes >= Some(least)).then_some(())
        })
        .await;
        tokio::time::timeout(Duration::from_secs(20), machine.host.remove(&spec.id)).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_on_filling_the_disk_is_put_to_sleep_awake_or_not() {
    // One sleeps and is counted then; the other does not sleep, and the disk says that somebody fills it.
    for (idle_seconds, mib) in [(0, "320"), (300, "640")] {
        let mut machine = Machine::start(None, idle_seconds).await;
        let ((ada, unit), (_, bob_unit)) = (machine.place("ada").await, machine.place("bob").await);
        assert_eq!(get(&unit.socket, "/fill?mib=32").await.unwrap(), "filled");
        assert_eq!(get(&bob_unit.socket, "/fill?mib=32").await.unwrap(), "filled");
        eventually("a first count", async || (used(&machine, &ada.id).await.storage_bytes > Some(0)).then_some(()))
            .await;
        // It may be stopped while it is still at it.
        let done = get(&unit.socket, &format!("/fill?mib={mib}")).await;
        assert!(done.as_ref().map_or(true, |said| said == "filled"), "{done:?}");
        let why = eventually("a reason", async || match machine.host.look(&ada.id).await.unwrap()?.state {
            State::Failing(why) => Some(why),
            _ => None,
        })
        .await;
        assert!(why.starts_with("holds ") && why.contains(" may hold 64 MiB"), "{why}");
        assert!(machine.runtimes(&ada.id).is_empty(), "it does not run");
        assert!(get(&unit.socket, "/").await.is_err(), "whoever comes is told so, and starts nothing");
        let renamed = bundle::TenantSpec { language: "it".into(), ..ada.clone() };
        let state = machine.host.place(&renamed).await.unwrap().state;
        assert_eq!(state, State::Failing(why.clone()), "another language gives no disk back");
        // Nor does another host.
        if idle_seconds == 0 {
            machine.stop_host().await
        } else {
            machine.kill_host()
        }
        machine.restart().await;
        eventually("the same reason", async || {
            let unit = machine.host.look(&ada.id).await.unwrap()?;
            (unit.state == State::Failing(why.clone()) && unit.filled).then_some(())
        })
        .await;
        assert!(get(&unit.socket, "/").await.is_err());
        get(&bob_unit.socket, "/").await.unwrap();
        // It would wait for five minutes. An operator's word ends that, and so does another spec: a larger quota.
        if idle_seconds == 0 {
            assert_eq!(machine.host.retry(&ada.id).await.unwrap().unwrap().state, State::Awake);
        } else {
            machine.host.place(&bundle::TenantSpec { quota_bytes: 2 << 30, ..ada.clone() }).await.unwrap();
        }
        get(&unit.socket, "/").await.unwrap();
        machine.stop_host().await;
        machine.restart().await;
        get(&unit.socket, "/").await.expect("what has ended does not begin again");
        tokio::time::timeout(Duration::from_secs(20), machine.host.remove(&ada.id)).await.unwrap().unwrap();
    }
}

/// Where the threads of a process may run, each kind once.
fn processors(pid: &str) -> BTreeSet<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let allowed = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim().to_owned();
        Some(line)
    };
    threads.filter_map(|thread| allowed(fs::read_to_string(thread.path().join("status")).ok()?)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_keeps_a_processor_busy_makes_way_for_others_until_it_is_quiet_again() {
    let all = processors("self");
    for user in Machine::kinds() {
        let machine = Machine::start_with(user, 300, &["--slow-lane-above", "5", "--slow-lane-seconds", "1"]).await;
        let one_processor = std::thread::available_parallelism().unwrap().get() == 1;
        let ((ada, unit), (bob, bob_unit)) = (machine.place("ada").await, machine.place("bob").await);
        if one_processor && machine.comes_last(&ada.id).is_none() {
            println!("not tried: this machine has one processor and no group for who comes last");
            continue;
        }
        get(&bob_unit.socket, "/").await.unwrap();
        let keeps_to_half = |id: &TenantId| {
            let allowed = processors(&machine.runtimes(id).first().map_or(String::new(), i32::to_string));
            allowed.len() == 1 && allowed != all
        };
        let spinning = tokio::spawn(async move { get(&unit.socket, "/spin?ms=2500").await });
        eventually("it makes way", async || {
            ((one_processor || keeps_to_half(&ada.id)) && machine.comes_last(&ada.id) != Some(false)).then_some(())
        })
        .await;
        assert!(!keeps_to_half(&bob.id) && machine.comes_last(&bob.id) != Some(true), "its neighbour does not");
        assert_eq!(spinning.await.unwrap().unwrap(), "dizzy");
        assert!(one_processor || keeps_to_half(&ada.id), "it was busy just now");
        eventually("it does no more", async || {
            (!keeps_to_half(&ada.id) && machine.comes_last(&ada.id) != Some(true)).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_at_once_whoever_comes_is_started_less_and_less_often() {
    for user in Machine::kinds() {
        let machine = Machine::start(user, 300).await;
        let ((ada, unit), (bob, bob_unit)) = (machine.place("ada").await, machine.place("bob").await);
        let deed = machine.folder(&ada.id).join("accept-and-leave");
        fs::write(&deed, "").unwrap();
        let why = eventually("a reason", async || {
            assert!(get(&unit.socket, "/").await.is_err(), "it answers nobody");
            assert!(get(&bob_unit.socket, "/").await.unwrap().contains("bob."), "its neighbour serves");
            match machine.host.look(&ada.id).await.unwrap()?.state {
                State::Failing(why) => Some(why),
                _ => None,
            }
        })
        .await;
        assert_eq!(why, "leaves at once, again and again, whoever comes");
        let found = used(&machine, &ada.id).await;
        // Ten are forgiven, a few more while the others become so, and two that count.
        assert!((12..=26).contains(&found.wakes) && found.limits_met.starts >= 2, "{found:?}");
        assert_eq!(used(&machine, &bob.id).await.limits_met.starts, 0);
        fs::remove_file(deed).unwrap();
        eventually("a start, when its time has come", async || get(&unit.socket, "/").await.ok()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_spins_and_leaves_without_a_look_at_its_visitor_makes_way_and_is_started_less_and_less_often() {
    let all = processors("self");
    for user in Machine::kinds() {
        // On a machine that others use, too, a spinner may have less than half a processor.
        let machine = Machine::start_with(user, 300, &["--slow-lane-above", "10"]).await;
        let one_processor = std::thread::available_parallelism().unwrap().get() == 1;
        let ((ada, unit), (bob, bob_unit)) = (machine.place("ada").await, machine.place("bob").await);
        let deed = machine.folder(&ada.id).join("spin-and-leave");
        fs::write(&deed, "300").unwrap();
        let visitor = tokio::spawn({
            let socket = unit.socket.clone();
            async move { get(&socket, "/").await }
        });
        // On a machine that others fill this takes a while: who is in the lane comes last.
        let (mut wakes, mut came_last) = (0, false);
        while !visitor.is_finished() {
            let another = async || {
                came_last |= machine.comes_last(&ada.id) == Some(true);
                let now = used(&machine, &ada.id).await.wakes;
                (now > wakes || visitor.is_finished()).then_some(now)
            };
            wakes = eventually("another start", another).await;
            assert!(get(&bob_unit.socket, "/").await.unwrap().contains("bob."), "its neighbour serves");
        }
        let why = eventually("a reason", async || match machine.host.look(&ada.id).await.unwrap()?.state {
            State::Failing(why) => Some(why),
            _ => None,
        })
        .await;
        assert_eq!(why, "leaves without taking the connection that it was started for");
        assert!(visitor.await.unwrap().is_err(), "whoever waited is turned away, so that the edge can say why");
        let found = used(&machine, &ada.id).await;
        // Ten that are forgiven, a few more while the others become so, and two that count.
        assert!((12..=26).contains(&found.wakes) && found.limits_met.starts >= 2, "{found:?}");
        assert!(came_last || machine.comes_last(&ada.id).is_none(), "none of its runs was long, and it is in the lane");
        assert!(found.limits_met.failures == 0 && found.limits_met.busy_micros > 100_000, "{found:?}");
        assert_eq!(used(&machine, &bob.id).await.limits_met.starts, 0);

        fs::remove_file(deed).unwrap();
        eventually("a start, when its time has come", async || get(&unit.socket, "/").await.ok()).await;
        let keeps_to_half = |id: &TenantId| {
            let allowed = processors(&machine.runtimes(id).first().map_or(String::new(), i32::to_string));
            allowed.len() == 1 && allowed != all
        };
        eventually("it is there still", async || (one_processor || keeps_to_half(&ada.id)).then_some(())).await;
        assert!(!keeps_to_half(&bob.id) && machine.comes_last(&bob.id) != Some(true), "its neighbour is not");
    }
}

/// Calls that a process has made in order to write.
fn writes(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    io.lines().find_map(|line| line.strip_prefix("syscw: ")).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_floods_its_log_with_short_lines_waits_and_costs_the_host_few_writes() {
    let machine = Machine::start(None, 300).await;
    let (ada, unit) = machine.place("ada").await;
    get(&unit.socket, "/").await.unwrap();
    let before = writes(machine.host_pid());
    let lines: u64 = get(&unit.socket, "/chatter?ms=3000").await.unwrap().parse().unwrap();
    let writes = writes(machine.host_pid()) - before;
    let log = machine.paths().logs().join("tenants").join(format!("{}.log", ada.id));
    let kept = fs::read_to_string(&log).unwrap().lines().filter(|line| *line == "x").count();
    println!("{lines} lines written, {kept} kept, {writes} writes");
    // A second has room for some five hundred, the first for two thousand more, a piece at a time; the rest is in the pipe.
    assert!((2048..10_000).contains(&kept), "{kept}");
    assert!(lines < 36_000 + kept as u64 && writes < 1_000, "{lines} {kept} {writes}");
}
