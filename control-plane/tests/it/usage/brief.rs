//! From what a percloud does to what its operator reads: a real host, a real count, the real list.

use std::{fs, sync::Arc};

use bundle::TenantSpec;
use chrono::{DateTime, Utc};
use control_plane::{
    hosts::{Host, State, client::HostClient},
    usage::reconcile::{Counted, Meter},
};

use crate::{
    cloud::TestCloud,
    machine::{Machine, get},
    operator::done,
    postgres::eventually,
};

#[tokio::test(flavor = "multi_thread")]
async fn who_spins_and_lets_its_visitors_wait_is_on_the_operators_list() {
    // On a machine that others use, too, a spinner may have less than half a processor.
    let machine = Machine::start_with(None, 300, &["--slow-lane-above", "10"]).await;
    let cloud = TestCloud::new().await;
    // The command asks the machine's clock.
    let now: DateTime<Utc> = cloud.value("select now()").await;
    cloud.clock.advance(now - cloud.now());
    let ada = cloud.sign_up("ada").await.id;
    let (bob, bob_unit) = machine.place("bob").await;
    let unit = machine.host.place(&TenantSpec { id: ada.clone(), ..bob }).await.unwrap();
    fs::write(machine.folder(&ada).join("spin-and-leave"), "200").unwrap();
    let visit = async |socket| get(socket, "/").await.err();
    visit(&unit.socket).await.expect("whoever comes is turned away in the end");
    eventually("a reason", async || match machine.host.look(&ada).await.unwrap()?.state {
        State::Failing(_) => Some(()),
        _ => None,
    })
    .await;
    assert!(visit(&bob_unit.socket).await.is_none());

    let host = Arc::new(HostClient::new(machine.paths().host_socket()));
    let meter = Meter { host, ..super::counted::meter(&cloud) };
    assert!(matches!(meter.count().await.unwrap(), Counted::Here { perclouds: 2, .. }));
    let said = done(&cloud, &["admin", "abuse"]);
    assert!(said.contains("ada.percloud.localhost") && !said.contains("bob"), "{said}");
    assert!(said.contains("It was started in vain"), "{said}");
    let busy: i64 = cloud.value("select sum(busy_micros)::bigint from usage_hours").await;
    assert!(busy > 100_000, "{busy}");
    // As much of it as an operator should hear of takes too long for a test.
    cloud.sql("update usage_hours set busy_micros = busy_micros + 7200000000 where busy_micros > 0").await;
    let said = done(&cloud, &["admin", "abuse"]);
    assert!(said.contains("It kept processors busy for 2 h 0 min"), "{said}");
}
