//! Asleep and awake without a visitor: who wants to run is started at its time, and who is idle goes to sleep when memory is
//! short. With a real host, as root and as an ordinary user.

use std::{
    fs,
    time::{Duration, Instant, SystemTime},
};

use bundle::{Clock, TenantId};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use control_plane::hosts::{Host, State, Unit};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    machine::{Machine, get, runtime},
    postgres::eventually,
};

fn in_seconds(seconds: i64) -> DateTime<Utc> {
    Clock::system().now() + TimeDelta::seconds(seconds)
}

/// The percloud says in its status when it wants to run, and goes to sleep.
async fn wish(unit: &Unit, at: DateTime<Utc>) {
    let at = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    assert_eq!(get(&unit.socket, &format!("/status?wake_at={at}")).await.unwrap(), "written");
}

/// How often the percloud has noted something, and when it last did.
fn noted(machine: &Machine, id: &TenantId, what: &str) -> Option<(usize, SystemTime)> {
    let path = machine.folder(id).join(what);
    let times = fs::read_to_string(&path).ok()?.lines().count();
    // The file is there a moment before its first line, and is no note until then.
    (times > 0).then(|| (times, fs::metadata(path).unwrap().modified().unwrap()))
}

async fn is_started(machine: &Machine, id: &TenantId) -> (usize, SystemTime) {
    eventually("a start without a visitor", async || noted(machine, id, "woken")).await
}

async fn sleeps(machine: &Machine, id: &TenantId) {
    eventually("sleep", async || {
        let unit = machine.host.look(id).await.unwrap()?;
        (unit.state == State::Asleep && machine.runtimes(id).is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_percloud_that_wants_to_run_is_started_at_its_time_and_not_again_and_again() {
    for user in Machine::kinds() {
        let machine = Machine::start(user, 0).await;
        let ((greedy, greedy_unit), (ada, ada_unit)) = (machine.place("greedy").await, machine.place("ada").await);
        // What is past means now; it will always say so.
        wish(&greedy_unit, in_seconds(-1000)).await;
        is_started(&machine, &greedy.id).await;
        sleeps(&machine, &greedy.id).await;

        let at = in_seconds(2);
        wish(&ada_unit, at).await;
        let (times, started) = is_started(&machine, &ada.id).await;
        // A file's time is the kernel's coarse clock, which is a tick (10 ms at most) behind the one that was asked.
        let started = DateTime::<Utc>::from(started) + chrono::TimeDelta::milliseconds(10);
        assert!(times == 1 && started >= at, "not before its time: {times} starts, {started} for {at}");
        sleeps(&machine, &ada.id).await;
        assert_eq!(noted(&machine, &greedy.id, "woken").unwrap().0, 1, "who has had its turn waits");
        // A visitor is let in all the same, and is none of its own starts.
        assert!(!get(&greedy_unit.socket, "/env").await.unwrap().contains("PERCLOUD_WOKEN"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_comes_back_knows_who_wanted_to_run_meanwhile() {
    for user in Machine::kinds() {
        let mut machine = Machine::start(user, 0).await;
        let ((ada, ada_unit), (bob, _)) = (machine.place("ada").await, machine.place("bob").await);
        wish(&ada_unit, in_seconds(2)).await;
        machine.kill_host();
        machine.restart().await;
        is_started(&machine, &ada.id).await;
        assert_eq!(noted(&machine, &bob.id, "woken"), None, "who wants nothing sleeps on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_memory_is_short_the_idlest_sleep_first_and_nobody_is_cut_off() {
    for user in Machine::kinds() {
        let machine = Machine::start(user, 300).await;
        let ((ada, ada_unit), (bob, bob_unit)) = (machine.place("ada").await, machine.place("bob").await);
        let (carol, carol_unit) = machine.place("carol").await;
        // Carol has been here for longest, but somebody is just being served there.
        let served = tokio::spawn(async move { get(&carol_unit.socket, "/wait?ms=6000").await });
        eventually("Carol", async || {
            (machine.host.look(&carol.id).await.unwrap()?.state == State::Awake).then_some(())
        })
        .await;
        get(&bob_unit.socket, "/").await.unwrap();
        get(&ada_unit.socket, "/").await.unwrap();
        get(&bob_unit.socket, "/log?lines=1").await.unwrap();

        machine.memory_left(4);
        for id in [&ada.id, &bob.id, &carol.id] {
            sleeps(&machine, id).await;
        }
        let left = |id| noted(&machine, id, "hurried").unwrap().1;
        assert!(left(&ada.id) < left(&bob.id), "Bob was heard of later");
        assert_eq!(served.await.unwrap().unwrap(), "waited");

        machine.memory_left(50);
        assert!(get(&ada_unit.socket, "/").await.unwrap().contains(ada.domain.as_str()), "she wakes as ever");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_listen_when_memory_is_all_but_gone_is_told() {
    let machine = Machine::start(None, 300).await;
    let (ada, unit) = machine.place("ada").await;
    fs::write(machine.folder(&ada.id).join("deaf"), "").unwrap();
    get(&unit.socket, "/").await.unwrap();
    machine.memory_left(1);
    sleeps(&machine, &ada.id).await;
    assert_eq!(noted(&machine, &ada.id, "hurried"), None, "it was asked in vain");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_wakes_when_memory_is_all_but_gone_comes_in_one_by_one_and_everybody_does() {
    for user in Machine::kinds() {
        let machine = Machine::start(user, 0).await;
        let mut sockets = Vec::new();
        for name in ["ada", "bob", "carol"] {
            sockets.push(machine.place(name).await.1.socket);
        }
        let wake_all = async || {
            let began = Instant::now();
            let visits = sockets.iter().map(|socket| async { get(socket, "/env").await.is_ok() });
            (futures_util::future::join_all(visits).await, began.elapsed())
        };
        machine.memory_left(1);
        // Two and a half seconds from one to the next, once the host has seen it. The one who came in last may be awake still and be
        // served at once, again and again: then the others are two, and the second comes just before five seconds are over.
        eventually("wakes in turn", async || {
            let (served, took) = wake_all().await;
            assert_eq!(served, [true; 3], "everybody comes in");
            (took >= Duration::from_secs(4)).then_some(())
        })
        .await;
        machine.memory_left(50);
        eventually("wakes at once", async || (wake_all().await.1 < Duration::from_secs(2)).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_percloud_has_its_database_before_it_is_first_awake() {
    use std::os::unix::fs::MetadataExt;
    for user in Machine::kinds() {
        let machine = Machine::start(user, 300).await;
        let (ada, unit) = machine.place("ada").await;
        let (folder, database) = (machine.folder(&ada.id), machine.folder(&ada.id).join("percloud.db"));
        let (theirs, made) = (fs::metadata(folder).unwrap(), fs::metadata(&database).unwrap());
        assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (theirs.uid(), theirs.gid(), 0o600));
        assert_eq!(unit.state, State::Asleep);
        fs::write(&database, "hers by now").unwrap();
        machine.host.place(&ada).await.unwrap();
        assert_eq!(fs::read_to_string(database).unwrap(), "hers by now");
        assert_eq!(machine.host.list().await.unwrap(), [ada.id], "where it was made, nobody lives");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_percloud_keeps_of_its_home_is_shown_to_whoever_wakes_it() {
    for user in Machine::kinds() {
        let machine = Machine::with_runtime(user, 0, &[], &runtime()).await;
        let (ada, unit) = machine.place("ada").await;
        let home = async || {
            let mut stream = tokio::net::UnixStream::connect(&unit.socket).await.unwrap();
            let request = format!("GET / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", ada.domain);
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer.split_once("\r\n\r\n").unwrap().1.to_owned()
        };
        let fresh = home().await;
        assert!(fresh.contains("</html>"), "{fresh}");
        sleeps(&machine, &ada.id).await;
        let kept = machine.folder(&ada.id).join("home.kept");
        // Whether it is the kept one that is shown can be told by letters that only that one has.
        let seen = fs::read_to_string(&kept).unwrap();
        fs::write(&kept, seen.replace("</html>", "</HTML>")).unwrap();
        let shown = home().await;
        assert!(shown.contains("</HTML>") && shown.replace("</HTML>", "</html>") == fresh, "{shown}");
        sleeps(&machine, &ada.id).await;
        assert!(home().await.contains("</HTML>"), "nothing was written, and it stays");
    }
}
