//! For whom no certificate is ever ordered, whatever some row says: looked at before each order, not only when it was first wanted.

use chrono::TimeDelta;
use control_plane::certificates::{self, Certificate, State};
use tls::{acme::Kind, testing::Pebble};

use crate::{ca::Scene, cloud::Wish};

/// A provider, its CA, and a certificate of `ada.test` that is due for renewal in a day or so.
async fn nearly_due() -> (Scene, Pebble, certificates::reconcile::Certificates) {
    let scene = Scene::new().await;
    let ca = scene.pebble(|options| options.validity = std::time::Duration::from_secs(45 * 86_400)).await;
    let noun = scene.noun(&[&ca], &scene.shared(&[Kind::Http01], None));
    scene.want("ada.test").await;
    scene.settle(&noun).await;
    assert_eq!(scene.find("ada.test").await.state, State::Issued);
    scene.pass(TimeDelta::days(27), &noun).await;
    assert_eq!(orders(&ca), 1);
    (scene, ca, noun)
}

fn orders(ca: &Pebble) -> usize {
    ca.count("Added order")
}

fn waits(one: &Certificate, words: &str) {
    assert!(
        one.state == State::Waiting && one.waits.as_deref().unwrap_or_default().contains(words),
        "{words}: {one:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_ordered_for_a_name_that_is_not_proved_to_be_its_perclouds() {
    let scene = Scene::new().await;
    let ca = scene.pebble(|_| {}).await;
    let noun = scene.noun(&[&ca], &scene.shared(&[Kind::Http01], None));
    let nobodys = ["stranger.test".to_owned()];
    certificates::want(&scene.cloud.db.get().await.unwrap(), None, &nobodys, scene.cloud.now()).await.unwrap();
    // Ada has proved one name, and Bob another: neither gets one for the other's, nor for one beside its own.
    let bob = scene.cloud.sign_up("bob").await.id;
    scene.prove(&scene.ada.id, "ada.test").await;
    scene.prove(&bob, "bob.test").await;
    for (tenant, name) in
        [(&scene.ada.id, "bob.test"), (&bob, "ada.test"), (&scene.ada.id, "www.ada.test"), (&bob, "a.bob.test")]
    {
        scene.want_for(tenant, name).await;
    }
    for observed in ["pending", "lost"] {
        let claim = scene.cloud.sign_up(&format!("claims-{observed}")).await.id;
        let name = format!("{observed}.test");
        scene.prove(&claim, &name).await;
        scene.cloud.sql(&format!("update domains set observed = '{observed}' where name = '{name}'")).await;
        scene.want_for(&claim, &name).await;
    }
    for _ in 0..3 {
        scene.settle(&noun).await;
        scene.cloud.clock.advance(TimeDelta::minutes(11));
    }
    for name in ["bob.test", "ada.test", "www.ada.test", "a.bob.test", "pending.test", "lost.test"] {
        waits(&scene.find(name).await, &format!("{name} is not proved to be its percloud's"));
    }
    let refused = scene.find("stranger.test").await.last_error.unwrap_or_default();
    assert!(refused.contains("neither the provider's names nor a percloud's"), "{refused}");
    assert_eq!((orders(&ca), scene.issued().await), (0, 0));
    // Proved, it comes by itself.
    scene.cloud.sql("update domains set observed = 'verified' where name = 'pending.test'").await;
    scene.pass(TimeDelta::minutes(11), &noun).await;
    let one = scene.find("pending.test").await;
    assert_eq!((one.state, one.waits, orders(&ca)), (State::Issued, None, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_since_is_not_renewed() {
    let (scene, ca, noun) = nearly_due().await;
    let twelve_days = TimeDelta::days(12);
    scene.cloud.sql("update domains set observed = 'lost'").await;
    scene.pass(twelve_days, &noun).await;
    let one = scene.find("ada.test").await;
    waits(&one, "ada.test is not proved to be its percloud's");
    assert_eq!((one.validity.is_some(), orders(&ca)), (true, 1), "what is there serves on");
    assert!(one.renewal().unwrap() < scene.cloud.now(), "although it was due");
    // Nor when an operator presses "renew".
    crate::operator::done(&scene.cloud, &["admin", "certificates", "renew", "ada.test"]);
    scene.settle(&noun).await;
    assert_eq!(orders(&ca), 1);
    scene.cloud.sql("update domains set observed = 'active'").await;
    scene.pass(TimeDelta::minutes(11), &noun).await;
    assert_eq!((scene.find("ada.test").await.state, orders(&ca)), (State::Issued, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_perclouds_is_neither_ordered_nor_renewed_until_it_runs_again() {
    let (scene, ca, noun) = nearly_due().await;
    scene.cloud.wish(&scene.ada.id, Wish::Suspend).await.unwrap();
    let other = scene.want("other.test").await;
    scene.cloud.wish(&other, Wish::Suspend).await.unwrap();
    scene.pass(TimeDelta::days(12), &noun).await;
    for name in ["ada.test", "other.test"] {
        waits(&scene.find(name).await, "its percloud is suspended");
    }
    assert_eq!((orders(&ca), scene.issued().await), (1, 1), "what is there serves on");
    scene.cloud.wish(&scene.ada.id, Wish::Resume).await.unwrap();
    scene.settle(&noun).await;
    assert_eq!((scene.find("ada.test").await.state, orders(&ca)), (State::Issued, 2), "at once");
    waits(&scene.find("other.test").await, "its percloud is suspended");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_with_their_percloud_and_cost_nothing() {
    let (scene, ca, noun) = nearly_due().await;
    scene.cloud.wish(&scene.ada.id, Wish::Delete).await.unwrap();
    scene.want_for(&scene.ada.id, "late.test").await;
    scene.pass(TimeDelta::days(12), &noun).await;
    let left: i64 = scene.cloud.value("select count(*) from certificates where tenant_id is not null").await;
    assert_eq!((left, orders(&ca)), (0, 1));
}
