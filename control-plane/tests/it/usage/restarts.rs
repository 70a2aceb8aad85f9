//! What is counted when a host ends, in order or not. With the real host.

use std::{sync::Arc, time::Duration};

use control_plane::{
    hosts::{Host, Usage, client::HostClient},
    usage::reconcile::Meter,
};

use super::counted::meter;
use crate::{
    cloud::TestCloud,
    machine::{Machine, get},
    postgres::eventually,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_loses_nothing_of_what_was_counted_and_a_crash_a_minute_at_most() {
    let cloud = TestCloud::new().await;
    let mut machine = Machine::start(None, 300).await;
    let (ada, unit) = machine.place("ada").await;
    let meter = Meter { host: Arc::new(HostClient::new(machine.paths().host_socket())), ..meter(&cloud) };
    let used = async |machine: &Machine| {
        let usage = machine.host.usage().await.unwrap();
        (usage.epoch, usage.of.into_iter().find(|used| used.id == ada.id).unwrap())
    };
    get(&unit.socket, "/spin?ms=200").await.unwrap();
    eventually("a first count", async || used(&machine).await.1.storage_bytes).await;
    meter.count().await.unwrap();
    // Nobody counts any more; it is still awake when the host is told to end.
    get(&unit.socket, "/spin?ms=300").await.unwrap();
    let (epoch, before) = used(&machine).await;
    machine.stop_host().await;
    machine.restart().await;
    let (again, after) = used(&machine).await;
    assert_eq!(again, epoch);
    assert!(after.cpu_micros >= before.cpu_micros && before.cpu_micros > 0, "{before:?} {after:?}");
    assert!(after.memory_byte_seconds >= before.memory_byte_seconds && after.awake_seconds >= before.awake_seconds);
    assert_eq!(after.wakes, 1);
    assert!(after.storage_bytes > Some(0), "what was counted last is known from the start");
    meter.count().await.unwrap();
    let counted = async || cloud.value::<i64>("select sum(cpu_micros)::bigint from usage_hours").await;
    let all = i64::try_from(after.cpu_micros).unwrap();
    assert_eq!(counted().await, all, "each microsecond once");

    // Nobody asks any more, and the host is killed: it goes on from what was left within the minute.
    get(&unit.socket, "/spin?ms=300").await.unwrap();
    let (_, spun) = used(&machine).await;
    assert!(spun.cpu_micros > after.cpu_micros);
    let file = machine.paths().host_state().join("used.json");
    let left = || -> Usage { serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap() };
    let began = std::time::Instant::now();
    while left().of[0].cpu_micros < spun.cpu_micros {
        assert!(began.elapsed() < Duration::from_secs(120), "nothing is left: {:?}", left());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    machine.kill_host();
    machine.restart().await;
    let (again, known) = used(&machine).await;
    assert!(again == epoch && known.cpu_micros >= spun.cpu_micros && known.wakes >= spun.wakes, "{spun:?} {known:?}");
    meter.count().await.unwrap();
    assert!(counted().await >= i64::try_from(spun.cpu_micros).unwrap(), "six hours would not be lost either");

    // What was counted in the books and not yet left is lost at the host, and counts neither twice nor against what comes.
    let lost = loop {
        get(&unit.socket, "/spin?ms=300").await.unwrap();
        meter.count().await.unwrap();
        let (_, before) = used(&machine).await;
        machine.kill_host();
        let lost = left().of[0].cpu_micros < before.cpu_micros;
        machine.restart().await;
        if lost {
            break before;
        }
    };
    let all = counted().await;
    let (again, less) = used(&machine).await;
    assert!(again == epoch && less.cpu_micros < lost.cpu_micros, "{lost:?} {less:?}");
    meter.count().await.unwrap();
    assert_eq!(counted().await, all, "taken for nought");
    get(&unit.socket, "/spin?ms=300").await.unwrap();
    let (_, more) = used(&machine).await;
    meter.count().await.unwrap();
    assert!(counted().await >= all + i64::try_from(more.cpu_micros - less.cpu_micros).unwrap());
    let stored: i64 = cloud.value("select sum(storage_bytes)::bigint from usage_marks").await;
    assert!(stored > 0, "what was last known holds until the folder is counted again");
}
