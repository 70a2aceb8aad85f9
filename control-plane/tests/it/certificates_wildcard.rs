//! The provider's wildcard: proved in the DNS (Knot takes our updates), bridged by the local CA until a public one has issued.

use std::sync::Arc;

use bundle::Clock;
use chrono::TimeDelta;
use control_plane::{
    certificates::{
        self, State,
        acme::{Acme, Ways},
        issuer::{Issuer, LOCAL, Local},
    },
    reconcile::{Stages, turn},
};
use tls::{
    acme::{Kind, dns::Update},
    testing::Knot,
};

use tokio_util::sync::CancellationToken;

use crate::{ca::Scene, postgres::eventually};

#[tokio::test(flavor = "multi_thread")]
async fn by_dns_with_a_third_of_validations_and_nonces_failing_and_served_from_the_first_second() {
    let scene = Scene::new().await;
    let knot = Knot::start(&["percloud.test", "ada.test"]).await.unwrap();
    knot.set("ada.test", "A", "127.0.0.1").await.unwrap();
    let ca = scene
        .pebble(|options| {
            options.dns = Some(knot.addr());
            options.failing_percent = 30;
            options.nonce_reject_percent = 30;
            options.seed = 3;
        })
        .await;
    let update = Update::new(&knot.addr().to_string(), &knot.tsig().line()).unwrap().with_others_at(knot.addr().port());
    let mut shared = scene.shared(&[Kind::Http01], Some(Arc::new(update)));
    shared.ways = Ways { base_domain: "percloud.test".into(), ..shared.ways };
    let mut common = scene.cloud.common.clone();
    common.base_domain = "percloud.test".parse().unwrap();
    let public: Arc<dyn Issuer> = Arc::new(Acme::new(ca.directory(), None, shared.clone()));
    let noun = scene.noun_of(vec![public, Arc::new(Local::new(&common))], "percloud.test");
    let names = certificates::provider_names("percloud.test");
    certificates::want(&scene.cloud.db.get().await.unwrap(), None, &names, scene.cloud.now()).await.unwrap();
    turn(&noun, &scene.cloud.worker, &scene.cloud.clock, &Stages::default()).await.unwrap();
    assert_eq!(scene.find("*.percloud.test").await.issuer.as_deref(), Some(LOCAL), "the portal answers at once");
    for _ in 0..40 {
        scene.settle(&noun).await;
        if scene.find("*.percloud.test").await.issuer.as_deref() != Some(LOCAL) {
            break;
        }
        scene.cloud.clock.advance(TimeDelta::minutes(110));
    }
    let one = scene.find("*.percloud.test").await;
    assert!(ca.directory().url.contains(one.issuer.as_deref().unwrap()), "{one:?}");
    assert_eq!((one.names, one.tries, one.last_error), (names, 0, None));
    // What Pebble says before it comes to port 80.
    let by_http = || ca.count("Attempting to validate w/ HTTP");
    assert!(
        ca.count("set VALID by completed challenge") >= 2 && by_http() == 0,
        "it was proved in the DNS alone: {:?}",
        ca.log()
    );
    ca.fail_validations(0);
    scene.want("ada.test").await;
    scene.settle(&noun).await;
    assert_eq!(scene.find("ada.test").await.state, State::Issued);
    assert!(by_http() > 0, "it would have said so");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_in_an_order_leaves_a_certificate_all_the_same() {
    let scene = Scene::new().await;
    let ca = scene.pebble(|options| options.validation_sleep = Some(std::time::Duration::from_secs(8))).await;
    let noun = scene.noun(&[&ca], &scene.shared(&[Kind::TlsAlpn01], None));
    scene.want("ada.test").await;
    let killed = scene.noun(&[&ca], &scene.shared(&[Kind::TlsAlpn01], None));
    let (db, clock): (_, Clock) = (scene.cloud.worker.clone(), scene.cloud.clock.clone());
    let task = tokio::spawn(async move { turn(&killed, &db, &clock, &Stages::default()).await });
    let waiting = "select count(*) from acme_challenges";
    eventually("an order that runs", async || (scene.cloud.value::<i64>(waiting).await > 0).then_some(())).await;
    task.abort();
    assert!(task.await.is_err());
    assert_eq!(scene.issued().await, 0);
    scene.cloud.sql("update certificates set claimed_until = '-infinity'").await; // the lease runs out
    scene.settle(&noun).await;
    assert_eq!(scene.issued().await, 1);
    // What the dead one left to be answered is no longer answered after an hour; the reconciler sweeps it.
    let left: i64 =
        scene.cloud.value("select count(*) from acme_challenges where expires_at > now() + interval '2 hours'").await;
    assert_eq!(left, 0);
}

/// What the name server says of the TXT record that proves the base domain.
async fn texts(knot: &Knot) -> String {
    let (server, port) = (format!("@{}", knot.addr().ip()), knot.addr().port().to_string());
    let asked = ["+short", "+tcp", &server, "-p", &port, "_acme-challenge.percloud.test", "TXT"];
    let output = tokio::process::Command::new("dig").args(asked).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_order_that_was_cut_off_left_in_the_dns_is_taken_away() {
    let scene = Scene::new().await;
    let knot = Knot::start(&["percloud.test"]).await.unwrap();
    let slow = Some(std::time::Duration::from_secs(30));
    let ca = scene.pebble(|options| (options.dns, options.validation_sleep) = (Some(knot.addr()), slow)).await;
    let update = Update::new(&knot.addr().to_string(), &knot.tsig().line()).unwrap().with_others_at(knot.addr().port());
    let mut shared = scene.shared(&[Kind::Http01], Some(Arc::new(update)));
    shared.ways.base_domain = "percloud.test".into();
    let noun = || scene.noun_of(vec![Arc::new(Acme::new(ca.directory(), None, shared.clone()))], "percloud.test");
    let names = certificates::provider_names("percloud.test");
    certificates::want(&scene.cloud.db.get().await.unwrap(), None, &names, scene.cloud.now()).await.unwrap();
    let killed = noun();
    let (db, clock): (_, Clock) = (scene.cloud.worker.clone(), scene.cloud.clock.clone());
    let task = tokio::spawn(async move { turn(&killed, &db, &clock, &Stages::default()).await });
    eventually("both values", async || (texts(&knot).await.lines().count() == 2).then_some(())).await;
    task.abort();
    assert!(task.await.is_err());
    assert_eq!(texts(&knot).await.lines().count(), 2, "the dead take nothing away");
    assert_eq!(scene.cloud.value::<i64>("select count(*) from acme_challenges where kind = 'dns-01'").await, 2);
    // While its worker may still live, nobody touches them.
    noun().issuers.tidy().await;
    assert_eq!(texts(&knot).await.lines().count(), 2);
    scene.cloud.clock.advance(TimeDelta::minutes(61));
    // A name server that does not answer is asked again an hour later.
    let wrong = Update::new("127.0.0.1:1", &knot.tsig().line()).unwrap();
    let mut elsewhere = shared.clone();
    elsewhere.ways.dns = Some(Arc::new(wrong));
    Acme::new(ca.directory(), None, elsewhere).tidy().await;
    noun().issuers.tidy().await;
    assert_eq!(texts(&knot).await.lines().count(), 2, "not without a pause");
    scene.cloud.clock.advance(TimeDelta::minutes(61));
    scene.cloud.sql("update certificates set paused = true").await; // nothing else is to be seen in the DNS
    let (stop, url) = (CancellationToken::new(), scene.cloud.url.clone());
    let keeps = tokio::spawn({
        let (noun, stop) = (noun(), stop.clone());
        async move { noun.keep(&url, stop).await }
    });
    eventually("a tidy DNS", async || texts(&knot).await.is_empty().then_some(())).await;
    let noted = "select count(*) from acme_challenges";
    eventually("nothing to be noted", async || (scene.cloud.value::<i64>(noted).await == 0).then_some(())).await;
    stop.cancel();
    keeps.await.unwrap().unwrap();
}
