//! From a claim to a percloud at its own name, and back.

use super::*;
use control_plane::domains::RecordState;

#[tokio::test]
async fn every_record_turns_right_by_itself_and_then_the_name_serves() {
    let scene = Scene::new().await;
    let row = scene.claim(&scene.ada, "https://Ada.test/", true).await;
    assert_eq!(words(&row), ["TXT missing", "A missing", "CNAME missing"]);
    assert_eq!((row.observed, scene.route(NAME).await, scene.certified().await.len()), (Observed::Pending, None, 0));

    scene.knot.set(CHALLENGE, "TXT", "percloud-verification=somebody-elses").await.unwrap();
    scene.knot.set(NAME, "A", OLD_SITE).await.unwrap();
    let row = scene.ask(&scene.ada).await;
    assert_eq!(
        words(&row),
        ["TXT wrong-text percloud-verification=somebody-elses", "A points-elsewhere 203.0.113.9", "CNAME missing"]
    );
    scene.knot.set(CHALLENGE, "TXT", &row.challenge_value()).await.unwrap();
    let row = scene.ask(&scene.ada).await;
    assert_eq!(words(&row), ["TXT ok", "A points-elsewhere 203.0.113.9", "CNAME missing"]);
    scene.knot.add(NAME, "A", EDGE).await.unwrap();
    let row = scene.ask(&scene.ada).await;
    assert_eq!(words(&row), ["TXT ok", "A extra 203.0.113.9", "CNAME missing"]);
    assert_eq!((row.observed, scene.certified().await.len()), (Observed::Pending, 0), "nothing before all is right");

    scene.knot.set(NAME, "A", EDGE).await.unwrap();
    let row = scene.ask(&scene.ada).await;
    assert_eq!(words(&row), ["TXT ok", "A ok", "CNAME missing"]);
    assert_eq!((row.observed, row.serves()), (Observed::Active, true));
    assert_eq!(scene.certified().await, [NAME], "the twin does not lead here yet");
    assert_eq!(scene.own_domain(&scene.ada).await.as_deref(), Some(NAME));
    assert_eq!(scene.cloud.host.spec(&scene.ada.id).unwrap().domain.as_str(), NAME, "its runtime knows");
    assert_eq!(scene.route(NAME).await.as_deref(), Some("running"));
    assert_eq!(scene.route("ada.percloud.localhost").await.as_deref(), Some("to ada.test"));

    scene.knot.set(WWW, "CNAME", &format!("{}.", row.target_host(BASE))).await.unwrap();
    let row = scene.ask(&scene.ada).await;
    assert_eq!(words(&row), ["TXT ok", "A ok", "CNAME ok"]);
    assert!(row.report.as_ref().unwrap().twin_ready);
    assert_eq!(scene.certified().await, [NAME, WWW]);
    assert_eq!(scene.route(WWW).await.as_deref(), Some("to ada.test"));
    assert_eq!(scene.mails().await, ["domain-ready"]);
    let done: Vec<String> =
        scene.cloud.value("select array_agg(action order by id) from audit where action like 'domain.%'").await;
    assert_eq!(done, ["domain.claimed", "domain.verified", "domain.active"]);
}

#[tokio::test]
async fn nobody_is_sent_to_a_name_that_the_runtime_does_not_know_yet() {
    let scene = Scene::new().await;
    let row = scene.claim(&scene.ada, NAME, false).await;
    scene.set_all(&row).await;
    scene.cloud.sql("update domains set due_at = now() - interval '10 years', check_at = '2020-01-01'").await;
    let (noun, stages) = (&scene.certificates, Stages::default());
    // Everybody works but the perclouds' reconciler.
    while scene.turn(&stages).await != Turn::Idle
        || turn(noun, &scene.cloud.worker, &scene.cloud.clock, &stages).await.unwrap() != Turn::Idle
    {}
    assert_eq!(scene.row(&scene.ada).await.observed, Observed::Active);
    assert_eq!(scene.route(NAME).await.as_deref(), Some("preparing"), "for a moment");
    assert_eq!(scene.route("ada.percloud.localhost").await.as_deref(), Some("running"), "still here");
    scene.settle().await;
    assert_eq!(scene.route(NAME).await.as_deref(), Some("running"));
    assert_eq!(scene.route("ada.percloud.localhost").await.as_deref(), Some("to ada.test"));
    scene.remove(&scene.ada).await;
    while scene.turn(&stages).await != Turn::Idle {}
    assert_eq!(scene.route(NAME).await, None);
    assert_eq!(
        scene.route("ada.percloud.localhost").await.as_deref(),
        Some("preparing"),
        "the runtime has the other name"
    );
    scene.settle().await;
    assert_eq!(scene.route("ada.percloud.localhost").await.as_deref(), Some("running"));
}

#[tokio::test]
async fn the_owner_chooses_which_of_the_two_names_is_the_main_one() {
    let scene = Scene::active().await;
    let row = scene.choose(Choice::Www).await;
    assert_eq!((row.name.as_str(), row.twin.as_deref(), row.serves()), (WWW, Some(NAME), true));
    assert_eq!(scene.route(WWW).await.as_deref(), Some("running"));
    assert_eq!(scene.route(NAME).await.as_deref(), Some("to www.ada.test"));
    assert_eq!(scene.route("ada.percloud.localhost").await.as_deref(), Some("to www.ada.test"));
    let row = scene.choose(Choice::NoTwin).await;
    assert_eq!((row.name.as_str(), row.twin), (WWW, None));
    assert_eq!((scene.route(NAME).await, scene.certified().await), (None, vec![WWW.to_owned()]));
    scene.knot.remove(NAME, "A").await.unwrap();
    let row = scene.choose(Choice::Apex).await;
    assert!(!row.serves(), "the name that was chosen does not lead here");
    assert_eq!(scene.own_domain(&scene.ada).await.as_deref(), Some(WWW), "so the other one goes on");
    assert_eq!(scene.route(WWW).await.as_deref(), Some("running"));
    scene.knot.set(NAME, "A", EDGE).await.unwrap();
    let row = scene.ask(&scene.ada).await;
    assert!(row.serves());
    assert_eq!(scene.route(WWW).await.as_deref(), Some("to ada.test"));
    assert_eq!(scene.mails().await, ["domain-ready"], "one mail for all of it");
}

#[tokio::test]
async fn what_is_removed_leaves_the_old_name_and_nothing_else() {
    let scene = Scene::active().await;
    scene.remove(&scene.ada).await;
    scene.settle().await;
    assert!(scene.find(&scene.ada).await.is_none());
    assert_eq!((scene.route(NAME).await, scene.route(WWW).await), (None, None));
    assert_eq!(scene.route("ada.percloud.localhost").await.as_deref(), Some("running"));
    assert_eq!((scene.certified().await.len(), scene.own_domain(&scene.ada).await), (0, None));
    assert_eq!(scene.cloud.value::<i64>("select count(*) from domains").await, 0);
    let again = scene.claim(&scene.ada, NAME, true).await;
    let targets: i64 = scene.cloud.value("select count(*) from domain_targets").await;
    assert_eq!(targets, 2, "another target, and the first is kept for ever");
    assert_eq!(words(&again)[0].split(' ').nth(1), Some("wrong-text"), "and another challenge");
}

#[tokio::test]
async fn a_percloud_that_goes_takes_its_domain_along() {
    let scene = Scene::active().await;
    scene.cloud.wish(&scene.ada.id, crate::cloud::Wish::Delete).await.unwrap();
    assert_eq!((scene.route(NAME).await, scene.route(WWW).await), (None, None), "at once");
    // Whoever of the two reconcilers comes first.
    scene.cloud.settle().await;
    scene.settle().await;
    assert_eq!(scene.cloud.value::<i64>("select count(*) from domains").await, 0);
    assert_eq!(scene.certified().await.len(), 0);
    assert_eq!(scene.cloud.value::<i64>("select count(*) from domain_targets").await, 1, "its target stays out of use");
}

#[tokio::test]
async fn a_name_below_and_a_name_in_another_alphabet_work_the_same() {
    for (typed, name, shown) in [
        ("blog.ada.test", "blog.ada.test", "blog.ada.test"),
        ("Bücher.ada.test", "xn--bcher-kva.ada.test", "bücher.ada.test"),
    ] {
        let scene = Scene::new().await;
        let row = scene.claim(&scene.ada, typed, true).await;
        assert_eq!((row.name.as_str(), row.twin.as_deref(), row.shown().as_str()), (name, None, shown));
        let records = row.report.clone().unwrap().records;
        assert_eq!(records.len(), 2);
        assert_eq!(records[1].label, name.trim_end_matches(".ada.test"), "as one types it in the zone's page");
        scene.set_all(&row).await;
        assert!(scene.ask(&scene.ada).await.serves());
    }
}

#[tokio::test]
async fn a_look_is_taken_when_asked_but_not_every_moment() {
    let scene = Scene::new().await;
    let row = scene.claim(&scene.ada, NAME, false).await;
    let first = row.checked_at.unwrap();
    let mut db = scene.web().await;
    for _ in 0..3 {
        let tx = db.transaction().await.unwrap();
        domains::ask_check(&tx, &scene.ada.id, scene.now()).await.unwrap();
        tx.commit().await.unwrap();
        scene.settle().await;
        assert_eq!(scene.row(&scene.ada).await.checked_at, Some(first), "three seconds must pass");
    }
    let row = scene.pass(TimeDelta::seconds(3)).await;
    assert_eq!(row.checked_at, Some(first + TimeDelta::seconds(3)));
    let row = scene.pass(TimeDelta::seconds(140)).await;
    assert!(row.checked_at.unwrap() > first + TimeDelta::seconds(100), "and by itself every other minute");
    assert!(row.report.unwrap().records.iter().all(|record| record.state == RecordState::Missing));
}

#[tokio::test]
async fn the_edge_hears_of_every_name_concerned() {
    use control_plane::db::{Wake, listen};
    use futures_util::StreamExt;
    let scene = Scene::new().await;
    let mut news = listen(&scene.cloud.url, &["routes"]).unwrap();
    assert_eq!(news.next().await, Some(Wake::Missed));
    let mut heard = async |what: &str| {
        crate::postgres::execute(&scene.cloud.url, "notify routes, 'end'").await;
        let mut hosts = Vec::new();
        while let Some(Wake::Notified { payload, .. }) = news.next().await {
            if payload == "end" {
                hosts.sort();
                hosts.dedup();
                return hosts;
            }
            hosts.push(payload);
        }
        panic!("{what}: the listener ended");
    };
    let row = scene.claim(&scene.ada, NAME, true).await;
    assert_eq!(heard("claimed").await, Vec::<String>::new(), "a claim changes no route");
    scene.set_all(&row).await;
    scene.ask(&scene.ada).await;
    let all = ["ada.percloud.localhost", NAME, WWW];
    assert_eq!(heard("active").await, all);
    scene.cloud.wish(&scene.ada.id, crate::cloud::Wish::Suspend).await.unwrap();
    assert_eq!(heard("suspended").await, all);
    scene.settle().await;
    heard("settled").await;
    scene.remove(&scene.ada).await;
    scene.settle().await;
    assert_eq!(heard("removed").await, all);
}
