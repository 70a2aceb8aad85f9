//! Certificates of a public CA: Pebble, with what goes wrong in the world switched on.

use chrono::TimeDelta;
use control_plane::{
    certificates::{self, State, issuer::LOCAL},
    reconcile::{Stages, Turn, turn},
};
use tls::acme::Kind;

use crate::{ca::Scene, postgres::eventually};

/// Until every certificate is there, as the timetable allows.
async fn until_all_are_issued(scene: &Scene, noun: &certificates::reconcile::Certificates, all: i64) {
    for _ in 0..60 {
        scene.settle(noun).await;
        if scene.issued().await == all {
            return;
        }
        scene.cloud.clock.advance(TimeDelta::minutes(110));
    }
    panic!("{} of {all}: {:?}", scene.issued().await, scene.find("site-0.test").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_http_and_by_alpn_with_a_third_of_validations_and_nonces_failing() {
    for kind in [Kind::Http01, Kind::TlsAlpn01] {
        let scene = Scene::new().await;
        let ca = scene
            .pebble(|options| {
                options.failing_percent = 30;
                options.nonce_reject_percent = 30;
                options.seed = 7;
            })
            .await;
        let noun = scene.noun(&[&ca], &scene.shared(&[kind], None));
        for n in 0..8 {
            scene.want(&format!("site-{n}.test")).await;
        }
        until_all_are_issued(&scene, &noun, 8).await;
        assert!(ca.spoilt() > 0, "{kind}: nothing went wrong, so nothing was shown");
        let one = scene.find("site-3.test").await;
        assert_eq!((one.state, one.tries, one.last_error.clone()), (State::Issued, 0, None));
        assert_eq!(one.issuer.as_deref(), ca.directory().url.strip_prefix("https://").unwrap().strip_suffix("/dir"));
        assert_eq!(scene.cloud.value::<i64>("select count(*) from acme_challenges").await, 0, "{kind}: taken away");
        let failures: i64 =
            scene.cloud.value("select count(*) from acme_attempts where outcome = 'not-validated'").await;
        assert!(failures > 0, "{kind}: failures are counted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_is_down_is_left_alone_and_the_second_issues() {
    let scene = Scene::new().await;
    let (mut first, second) = (scene.pebble(|_| {}).await, scene.pebble(|_| {}).await);
    let noun = scene.noun(&[&first, &second], &scene.shared(&[Kind::Http01], None));
    let id = |ca: &tls::testing::Pebble| ca.directory().url.replace("https://", "").replace("/dir", "");
    scene.want("before.test").await;
    scene.settle(&noun).await;
    assert_eq!(scene.find("before.test").await.issuer, Some(id(&first)));
    first.stop().await.unwrap();
    for n in 0..6 {
        scene.want(&format!("down-{n}.test")).await;
        turn(&noun, &scene.cloud.worker, &scene.cloud.clock, &Stages::default()).await.unwrap();
        let one = scene.find(&format!("down-{n}.test")).await;
        assert_eq!((one.issuer, one.tries), (Some(id(&second)), 0), "nobody waits for the first");
    }
    let asked = "select count(*) from acme_attempts where outcome = 'away'";
    assert_eq!(scene.cloud.value::<i64>(asked).await, 3, "after three failures it is left alone");
    let doctor: i64 = scene.cloud.value("select count(*) from acme_accounts where away_until is not null").await;
    assert_eq!(doctor, 1, "and an operator sees so");
    // It comes back, having forgotten who we are: we register anew.
    first.start_again().await.unwrap();
    for n in 0..3 {
        scene.cloud.clock.advance(TimeDelta::minutes(20));
        scene.want(&format!("after-{n}.test")).await;
        scene.settle(&noun).await;
    }
    assert_eq!(scene.find("after-2.test").await.issuer, Some(id(&first)));
    assert_eq!(scene.issued().await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_renewed_in_time_while_the_old_one_serves() {
    let scene = Scene::new().await;
    let ca = scene.pebble(|options| options.validity = std::time::Duration::from_secs(45 * 86_400)).await;
    let noun = scene.noun(&[&ca], &scene.shared(&[Kind::Http01], None));
    scene.want("ada.test").await;
    scene.settle(&noun).await;
    let first: String = scene.cloud.value("select chain_pem from certificates").await;
    scene.pass(TimeDelta::days(27), &noun).await;
    assert_eq!(scene.cloud.value::<String>("select chain_pem from certificates").await, first, "not before its time");
    scene.responder.lead("ada.test", false);
    scene.pass(TimeDelta::days(3), &noun).await;
    let failing = scene.find("ada.test").await;
    assert_eq!((failing.state, failing.tries), (State::Failing, 1));
    assert!(failing.last_error.as_deref().unwrap().contains("ada.test"), "{failing:?}");
    assert_eq!(scene.cloud.value::<String>("select chain_pem from certificates").await, first, "the old one serves");
    scene.responder.lead("ada.test", true);
    scene.pass(TimeDelta::minutes(2), &noun).await;
    assert_ne!(scene.cloud.value::<String>("select chain_pem from certificates").await, first);
    let renewed = scene.find("ada.test").await;
    assert_eq!((renewed.state, renewed.failing_since), (State::Issued, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_ten_and_a_hundred_minutes_and_the_owner_hears_of_it_once() {
    let scene = Scene::new().await;
    let ca = scene.pebble(|_| {}).await;
    let noun = scene.noun(&[&ca], &scene.shared(&[Kind::Http01], None));
    scene.responder.lead("lost.test", false);
    scene.want("lost.test").await;
    let mails = "select count(*) from mails where kind = 'certificate-failing'";
    for (tries, minutes) in [(1, 1), (2, 10), (3, 100), (4, 1440), (5, 1440)] {
        scene.settle(&noun).await;
        let one = scene.find("lost.test").await;
        assert_eq!(scene.cloud.value::<i64>(mails).await, i64::from(tries >= 4), "{tries}: with the third retry, once");
        let pause = (one.due_at.unwrap() - scene.cloud.now()).num_seconds();
        assert_eq!(one.tries, tries);
        assert!((minutes * 54..=minutes * 66).contains(&pause), "{tries}: {pause} s");
        scene.cloud.clock.advance(TimeDelta::seconds(pause + 1));
    }
    assert_eq!(ca.count("Added order"), 5, "no order beside the timetable");
    scene.cloud.settle().await;
    let text: String =
        scene.cloud.value("select coalesce(text_body, last_error) from mails where kind = 'certificate-failing'").await;
    assert!(text.contains("lost.test") && text.contains("/manage/domain"), "{text}");
    assert!(
        text.contains("authority said:\n") && text.contains("urn:ietf:params:acme:error:"),
        "its own words: {text}"
    );
    assert!(!text.contains("http-01") && !text.contains("could not be validated"), "and none of ours: {text}");
    // The next trouble is another one.
    scene.responder.lead("lost.test", true);
    scene.settle(&noun).await;
    assert_eq!(scene.find("lost.test").await.state, State::Issued);
    let told: Option<chrono::DateTime<chrono::Utc>> = scene.cloud.value("select told_at from certificates").await;
    assert_eq!(told, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_loses_the_lease_in_an_order_writes_nothing_and_the_next_one_issues() {
    let scene = Scene::new().await;
    let ca = scene.pebble(|options| options.validation_sleep = Some(std::time::Duration::from_secs(12))).await;
    let noun = scene.noun(&[&ca], &scene.shared(&[Kind::Http01], None));
    scene.want("ada.test").await;
    let (stages, chain) = (Stages::default(), "select chain_pem from certificates");
    let slow = turn(&noun, &scene.cloud.worker, &scene.cloud.clock, &stages);
    let stolen = async {
        let waiting = "select count(*) from acme_challenges";
        eventually("an order that runs", async || (scene.cloud.value::<i64>(waiting).await > 0).then_some(())).await;
        // Its lease is over (the machine slept), and somebody else takes the row.
        scene.cloud.sql("update certificates set claimed_until = '-infinity'").await;
        let second = turn(&noun, &scene.cloud.worker, &scene.cloud.clock, &Stages::default()).await.unwrap();
        (second, scene.cloud.value::<String>(chain).await)
    };
    let (slow, (second, written)) = tokio::join!(slow, stolen);
    assert!(matches!(slow.unwrap(), Turn::Lost(_)), "cut off");
    assert!(matches!(second, Turn::Ok(_)), "{second:?}");
    assert_eq!(scene.find("ada.test").await.state, State::Issued);
    // Its CA may have been quick enough to issue for the first one, too: what the second has written stays.
    assert_eq!(scene.cloud.value::<String>(chain).await, written);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_order_keeps_its_lease() {
    let scene = Scene::new().await;
    let ca = scene.pebble(|options| options.validation_sleep = Some(std::time::Duration::from_secs(10))).await;
    let noun = scene.noun(&[&ca], &scene.shared(&[Kind::Http01], None));
    scene.want("ada.test").await;
    // As if the lease were short: what is left of it is prolonged before it ends.
    let stages = Stages::default();
    let slow = turn(&noun, &scene.cloud.worker, &scene.cloud.clock, &stages);
    let watch = async {
        let claimed = "select claimed_until > now() from certificates";
        eventually("a claim", async || scene.cloud.value::<bool>(claimed).await.then_some(())).await;
        scene.cloud.sql("update certificates set claimed_until = now() + interval '6 seconds'").await;
        let longer = "select claimed_until > now() + interval '15 seconds' or observed = 'issued' from certificates";
        eventually("the lease to be prolonged", async || scene.cloud.value::<bool>(longer).await.then_some(())).await;
    };
    let (slow, ()) = tokio::join!(slow, watch);
    assert!(matches!(slow.unwrap(), Turn::Ok(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_way_for_a_wildcard_the_local_ca_issues_it() {
    let scene = Scene::new().await;
    let ca = scene.pebble(|_| {}).await;
    let noun = scene.noun(&[&ca], &scene.shared(&[Kind::Http01], None));
    let names = certificates::provider_names("percloud.localhost");
    certificates::want(&scene.cloud.db.get().await.unwrap(), None, &names, scene.cloud.now()).await.unwrap();
    scene.settle(&noun).await;
    assert_eq!(scene.find("percloud.localhost").await.issuer.as_deref(), Some(LOCAL));
    assert_eq!(ca.count("Added order"), 0);
}
