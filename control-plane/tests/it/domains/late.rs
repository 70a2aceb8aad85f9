//! A certificate that is not renewed in time: its percloud waits at its old name, and is back at its own as soon as there is a new one.

use super::*;
use crate::{operator, played::Says};

/// One day after the other.
async fn days(scene: &Scene, days: usize) -> DomainRow {
    for _ in 0..days {
        scene.pass(TimeDelta::days(1)).await;
    }
    scene.row(&scene.ada).await
}

/// The kinds of mails about certificates, oldest first.
async fn told(scene: &Scene) -> Vec<String> {
    let kinds = "select coalesce(array_agg(kind order by id), '{}') from mails where kind like 'certificate-%'";
    scene.cloud.value(kinds).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_locked_out_when_a_renewal_fails_to_the_end() {
    let scene = Scene::active().await;
    scene.ca.say(Says::Refuses);
    scene.pass(TimeDelta::days(73)).await;
    days(&scene, 4).await;
    assert_eq!(told(&scene).await, ["certificate-late"], "not of the twin, too");
    let row = days(&scene, 10).await;
    assert!(row.serves(), "three days before the end: {row:?}");
    assert_eq!(scene.route("ada.percloud.localhost").await.as_deref(), Some("to ada.test"));

    let row = days(&scene, 2).await;
    assert_eq!((row.observed, row.own_domain.as_deref(), row.misses), (Observed::Verified, None, 0));
    assert_eq!((scene.route(NAME).await, scene.route(WWW).await), (None, None));
    assert_eq!(scene.route("ada.percloud.localhost").await.as_deref(), Some("running"), "the owner signs in there");
    assert_eq!(scene.cloud.host.spec(&scene.ada.id).unwrap().domain.as_str(), "ada.percloud.localhost");
    assert_eq!(scene.certified().await, [NAME, WWW], "they stay wanted");
    let listed = operator::json(&scene.cloud, &["admin", "domains", "list", "--troubled"]);
    assert_eq!(listed[0]["name"], NAME, "an operator sees it");

    let row = days(&scene, 4).await;
    assert_eq!(row.observed, Observed::Verified, "it has ended, and is tried for");
    assert_eq!(scene.mails().await, ["domain-waits"], "told once");
    scene.ca.say(Says::Days(90));
    let row = scene.pass(TimeDelta::hours(27)).await;
    assert!(row.serves(), "by itself, and at once: {row:?}");
    assert_eq!(scene.route(NAME).await.as_deref(), Some("running"));
    assert_eq!(scene.route("ada.percloud.localhost").await.as_deref(), Some("to ada.test"));
    assert_eq!(scene.mails().await, ["domain-waits", "domain-ready"]);
    assert_eq!(operator::json(&scene.cloud, &["admin", "domains", "list", "--troubled"]), serde_json::json!([]));
}

#[tokio::test]
async fn whoever_was_away_for_long_renews_before_anybody_moves() {
    let scene = Scene::active().await;
    let row = scene.pass(TimeDelta::days(89)).await;
    assert!(row.serves(), "{row:?}");
    assert_eq!(
        (scene.mails().await.len(), told(&scene).await.len()),
        (0, 0),
        "nothing was tried until now, and it came"
    );
}

#[tokio::test]
async fn a_certificate_of_a_day_serves_for_most_of_it() {
    let scene = Scene::active().await;
    scene.ca.say(Says::Days(1));
    let row = scene.pass(TimeDelta::days(61)).await;
    assert!(row.serves(), "{row:?}");
    scene.ca.say(Says::Away);
    let row = scene.pass(TimeDelta::hours(19)).await;
    assert!(row.serves(), "a sixth is left, and that is less than two days: {row:?}");
    let row = scene.pass(TimeDelta::hours(2)).await;
    assert_eq!(
        (row.observed, row.own_domain.as_deref()),
        (Observed::Verified, None),
        "in time, although DNS is looked at daily"
    );
    scene.ca.say(Says::Days(1));
    let row = scene.pass(TimeDelta::hours(1)).await;
    assert!(row.serves(), "{row:?}");
}
