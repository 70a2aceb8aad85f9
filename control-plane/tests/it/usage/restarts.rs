//! What is counted when a host ends, in order or not. With the real host.

use std::sync::Arc;

use control_plane::{
    hosts::{Host, client::HostClient},
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

    // What a host has left is taken up by the next one only.
    machine.kill_host();
    machine.restart().await;
    let (new, begun) = used(&machine).await;
    assert_ne!(new, epoch);
    assert_eq!((begun.cpu_micros, begun.wakes), (0, 0));
    meter.count().await.unwrap();
    assert_eq!(counted().await, all);
    let stored: i64 = cloud.value("select sum(storage_bytes)::bigint from usage_marks").await;
    assert!(stored > 0, "what was last known holds until the folder is counted again");
}
