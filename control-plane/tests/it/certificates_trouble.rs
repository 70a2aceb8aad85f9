//! Who hears what of a renewal that does not come: an owner of what the owner can mend, and of anything else when the end is near.

use std::sync::Arc;

use chrono::TimeDelta;
use control_plane::{
    certificates::{self, State, reconcile::Certificates},
    reconcile::set_right,
};

use crate::{
    ca::Scene,
    cloud::Wish,
    operator,
    played::{Played, Says},
};

/// Ada's percloud at `ada.test`, with a certificate of 90 days that is renewed around the 60th.
async fn served() -> (Scene, Arc<Played>, Certificates) {
    let scene = Scene::new().await;
    let ca = Played::start(&scene.cloud.common.paths().keys(), scene.cloud.now());
    let noun = scene.noun_of(vec![ca.clone()], "percloud.localhost");
    scene.want("ada.test").await;
    scene.cloud.sql("update tenants set own_domain = 'ada.test'").await;
    scene.settle(&noun).await;
    assert_eq!(scene.find("ada.test").await.state, State::Issued);
    (scene, ca, noun)
}

async fn days(scene: &Scene, noun: &Certificates, days: usize) {
    for _ in 0..days {
        scene.pass(TimeDelta::days(1), noun).await;
    }
}

/// The kinds of mails about certificates, oldest first.
async fn mails(scene: &Scene) -> Vec<String> {
    let kinds = "select coalesce(array_agg(kind order by id), '{}') from mails where kind like 'certificate-%'";
    scene.cloud.value(kinds).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_a_year_ahead_for_a_while_keeps_no_certificate_from_being_renewed() {
    let (scene, ca, noun) = served().await;
    ca.say(Says::Away);
    let ahead = TimeDelta::days(365);
    scene.pass(ahead, &noun).await;
    scene.pass(TimeDelta::minutes(5), &noun).await;
    assert_eq!(scene.find("ada.test").await.state, State::Failing);
    // Set right, on the 70th day.
    ca.say(Says::Days(90));
    scene.pass(TimeDelta::days(70) - ahead, &noun).await;
    assert!(scene.find("ada.test").await.due_at.unwrap() > scene.cloud.now() + TimeDelta::days(200));
    let (db, clock) = (&scene.cloud.worker, &scene.cloud.clock);
    assert_eq!(set_right::<Certificates>(db, clock).await.unwrap(), 1);
    scene.settle(&noun).await;
    let one = scene.find("ada.test").await;
    assert_eq!((one.state, one.last_error), (State::Issued, None));
    assert!(one.validity.unwrap().not_after > scene.cloud.now() + TimeDelta::days(80), "renewed");
    assert_eq!(set_right::<Certificates>(db, clock).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_not_asked_for_help_with_what_a_ca_does() {
    for says in [Says::Away, Says::Refuses] {
        let (scene, ca, noun) = served().await;
        ca.say(says);
        days(&scene, &noun, 74).await;
        let one = scene.find("ada.test").await;
        let (since, now) = (one.failing_since.unwrap(), scene.cloud.now());
        assert!(one.state == State::Failing && since < now - TimeDelta::days(12), "{says:?}: {one:?}");
        assert_eq!(mails(&scene).await, [""; 0], "{says:?}: nothing that an owner could mend");
        days(&scene, &noun, 5).await;
        assert_eq!(mails(&scene).await, ["certificate-late"], "{says:?}: the end is near, once");
        scene.cloud.settle().await;
        let text = "select coalesce(text_body, last_error, observed) from mails where kind = 'certificate-late'";
        let text: String = scene.cloud.value(text).await;
        let parts = ["ada.test", "not your doing", "ada.percloud.localhost"];
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        assert!(!text.contains("Control panel") && !text.contains("deactivated"), "{text}");
        // Now it is the name as well, and its owner can do something.
        ca.say(Says::SeesElsewhere);
        // A try a day, spread by a tenth or two: two days until the next, and two more until its owner hears of it.
        days(&scene, &noun, 5).await;
        assert_eq!(mails(&scene).await, ["certificate-late", "certificate-failing"], "{says:?}");
        ca.say(Says::Days(90));
        days(&scene, &noun, 3).await;
        assert_eq!(scene.find("ada.test").await.state, State::Issued);
        let forgotten = "select trouble is null and told_of is null and told_at is null from certificates";
        assert!(scene.cloud.value::<bool>(forgotten).await, "the next trouble is another one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_hears_soon_of_a_name_that_leads_elsewhere() {
    let (scene, ca, noun) = served().await;
    ca.say(Says::SeesElsewhere);
    days(&scene, &noun, 66).await;
    assert_eq!(mails(&scene).await, ["certificate-failing"]);
    ca.say(Says::Away);
    days(&scene, &noun, 20).await;
    assert_eq!(mails(&scene).await, ["certificate-failing"], "who was asked for help is not told to wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_first_certificate_reads_where_the_percloud_answers_meanwhile() {
    let (scene, ca, noun) = served().await;
    ca.say(Says::SeesElsewhere);
    scene.cloud.sql("update domains set twin = 'www.ada.test'").await;
    scene.want_for(&scene.ada.id, "www.ada.test").await;
    for _ in 0..3 {
        scene.pass(TimeDelta::hours(2), &noun).await;
    }
    assert_eq!(mails(&scene).await, ["certificate-failing"]);
    scene.cloud.settle().await;
    let text = "select coalesce(text_body, last_error, observed) from mails where kind = 'certificate-failing'";
    let text: String = scene.cloud.value(text).await;
    assert!(text.contains("for www.ada.test.") && text.contains("At ada.test it answers as before"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_waits_for_a_budget_is_told_of_when_its_end_is_near() {
    let (scene, ca, noun) = served().await;
    let ends = scene.find("ada.test").await.validity.unwrap().not_after;
    ca.say(Says::Full(ends + TimeDelta::days(1)));
    days(&scene, &noun, 74).await;
    let ending = async || {
        let db = scene.cloud.db.get().await.unwrap();
        certificates::ending(&db, scene.cloud.now(), 20).await.unwrap().len()
    };
    let one = scene.find("ada.test").await;
    assert_eq!((one.state, one.failing_since, one.last_error), (State::Waiting, None, None));
    assert_eq!((mails(&scene).await.len(), ending().await), (0, 0), "there is time");
    days(&scene, &noun, 3).await;
    assert_eq!((mails(&scene).await, ending().await), (vec!["certificate-late".to_owned()], 1));
    let one = scene.find("ada.test").await;
    assert!(one.state == State::Waiting && one.due_at.unwrap() > ends, "told, it waits on: {one:?}");
    // The command has the machine's clock.
    let ago = "update certificates set not_before = not_before - interval '77 days', not_after = not_after - interval '77 days'";
    scene.cloud.sql(ago).await;
    let output = operator::percloud(&scene.cloud, &["doctor", "--json"]).stdout;
    let report: serde_json::Value = serde_json::from_slice(&output).unwrap();
    let found = report["findings"].as_array().unwrap().iter().find(|one| one["about"] == "certificate ada.test");
    let found = found.unwrap_or_else(|| panic!("{report:#}"));
    assert_eq!(found["state"], "wrong");
    assert!(found["found"].as_str().unwrap().contains("it waits: 300 orders"), "{found}");
    scene.cloud.wish(&scene.ada.id, Wish::Suspend).await.unwrap();
    assert_eq!(ending().await, 0, "a suspended percloud's shall end");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_came_to_is_tried_before_anybody_is_told() {
    let (scene, _ca, noun) = served().await;
    scene.pass(TimeDelta::days(80), &noun).await;
    assert_eq!((scene.find("ada.test").await.state, mails(&scene).await.len()), (State::Issued, 0));
    assert!(scene.find("ada.test").await.validity.unwrap().not_after > scene.cloud.now() + TimeDelta::days(89));
}
