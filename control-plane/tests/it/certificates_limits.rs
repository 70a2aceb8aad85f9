//! Whose trouble it is when a CA turns somebody away: one name's, or everybody's. A double in front of Pebble says what Pebble never does.

use chrono::TimeDelta;
use control_plane::certificates::State;
use tls::{
    acme::Kind,
    testing::{Between, Pebble, Refusal},
};

use crate::ca::Scene;

/// A CA with a double in front of it.
async fn ca(scene: &Scene) -> (Pebble, Between) {
    let pebble = scene.pebble(|_| {}).await;
    let double = Between::start(&pebble).await.unwrap();
    (pebble, double)
}

/// How often in a row CAs are thought to have failed, and how many are left alone.
async fn away(scene: &Scene) -> (i64, i64) {
    let failures = scene.cloud.value("select coalesce(sum(failures), 0) from acme_accounts").await;
    (failures, scene.cloud.value("select count(*) from acme_accounts where away_until is not null").await)
}

fn too_many(name: &str) -> Refusal {
    let words = format!("too many certificates (50) already issued for \"{name}\" in the last 168h0m0s");
    Refusal::limit(&words, Some(3600))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_suggests_nothing_for_now_issues_all_the_same() {
    let scene = Scene::new().await;
    let (_pebble, double) = ca(&scene).await;
    double.suggest(Err(Refusal::away(None)));
    let noun = scene.noun_at([double.directory()], &scene.shared(&[Kind::Http01], None));
    for n in 0..4 {
        scene.want(&format!("site-{n}.test")).await;
    }
    scene.settle(&noun).await;
    scene.pass(TimeDelta::hours(2), &noun).await;
    assert_eq!(double.asked_when(), 4, "each was asked about");
    assert_eq!(away(&scene).await, (0, 0), "and nobody takes the CA for away");
    scene.want("late.test").await;
    scene.settle(&noun).await;
    assert_eq!((scene.find("late.test").await.state, scene.issued().await), (State::Issued, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_their_ca_limits_keep_nobody_else_waiting_and_their_owners_hear() {
    let scene = Scene::new().await;
    let (_pebble, double) = ca(&scene).await;
    let noun = scene.noun_at([double.directory()], &scene.shared(&[Kind::Http01], None));
    for n in 0..4 {
        let name = format!("limited-{n}.test");
        double.turn_away(&name, too_many(&name));
        scene.want(&name).await;
    }
    scene.settle(&noun).await;
    let one = scene.find("limited-3.test").await;
    let said = one.last_error.clone().unwrap_or_default();
    assert!(
        one.state == State::Failing && said.contains("limits these names") && said.contains("already issued"),
        "{said}"
    );
    assert_eq!(away(&scene).await, (0, 0));
    scene.want("other.test").await;
    scene.settle(&noun).await;
    assert_eq!(scene.find("other.test").await.state, State::Issued);
    for _ in 0..4 {
        scene.pass(TimeDelta::minutes(61), &noun).await;
    }
    let told = "select count(*) from mails where kind = 'certificate-failing'";
    assert_eq!(scene.cloud.value::<i64>(told).await, 4, "after hours each owner hears of it, once");
    scene.cloud.settle().await;
    let text =
        "select coalesce(text_body, last_error) from mails where kind = 'certificate-failing' order by id limit 1";
    let text: String = scene.cloud.value(text).await;
    assert!(text.contains("already issued for"), "{text}");
    double.let_in();
    scene.pass(TimeDelta::days(2), &noun).await;
    assert_eq!(scene.issued().await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_ca_issues_what_the_first_has_had_enough_of_and_an_account_that_is_limited_is_left_alone() {
    let scene = Scene::new().await;
    let (_pebble, first) = ca(&scene).await;
    let second = scene.pebble(|_| {}).await;
    let noun = scene.noun_at([first.directory(), second.directory()], &scene.shared(&[Kind::Http01], None));
    first.turn_away("ada.test", too_many("ada.test"));
    scene.want("ada.test").await;
    scene.settle(&noun).await;
    let one = scene.find("ada.test").await;
    assert!(second.directory().url.contains(one.issuer.as_deref().unwrap_or("none")), "{one:?}");
    assert_eq!(away(&scene).await, (0, 0));
    // A limit of our account is everybody's.
    first.turn_away(".test", Refusal::limit("too many new orders (300) from this account in the last 3h0m0s", None));
    for n in 0..5 {
        scene.want(&format!("site-{n}.test")).await;
        scene.settle(&noun).await;
    }
    assert_eq!((away(&scene).await, scene.issued().await), ((3, 1), 6));
    assert_eq!(first.orders().len(), 4, "three in a row were enough");
}
