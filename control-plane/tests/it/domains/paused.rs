//! A domain that an operator has paused: nobody looks and nothing is ordered, what serves goes on, and nobody is locked out by that.

use control_plane::certificates;

use super::*;

impl Scene {
    /// With the rights of the web role, whose API has it.
    async fn pause(&self) -> DomainRow {
        let mut db = self.web().await;
        let tx = db.transaction().await.unwrap();
        let row = domains::pause(&tx, NAME, &Actor::Operator, self.now()).await.unwrap();
        tx.commit().await.unwrap();
        self.settle().await;
        row
    }

    async fn resume(&self) -> DomainRow {
        let mut db = self.web().await;
        let tx = db.transaction().await.unwrap();
        domains::resume(&tx, NAME, &Actor::Operator, self.now()).await.unwrap();
        tx.commit().await.unwrap();
        self.settle().await;
        self.row(&self.ada).await
    }

    async fn certificate(&self) -> certificates::Certificate {
        certificates::get(&self.cloud.db.get().await.unwrap(), NAME).await.unwrap()
    }
}

#[tokio::test]
async fn paused_it_is_not_looked_at_and_serves_on_and_resumed_it_has_three_days_again() {
    let scene = Scene::active().await;
    scene.knot.set(NAME, "A", OLD_SITE).await.unwrap();
    scene.pass(TimeDelta::hours(27)).await;
    let before = scene.pass(TimeDelta::hours(27)).await;
    assert_eq!(before.misses, 2, "one more and it is lost");
    let paused = scene.pause().await;
    assert!(paused.paused && paused.next_look().is_none(), "{paused:?}");
    for _ in 0..20 {
        let row = scene.pass(TimeDelta::days(1)).await;
        assert_eq!((row.checked_at, row.misses, row.serves()), (before.checked_at, 2, true));
    }
    let mut db = scene.web().await;
    let tx = db.transaction().await.unwrap();
    let asked = domains::ask_check(&tx, &scene.ada.id, scene.now()).await;
    assert!(matches!(asked, Err(domains::Error::Paused)), "{asked:?}");
    drop(tx);
    assert_eq!(scene.route(NAME).await.as_deref(), Some("running"));
    let row = scene.resume().await;
    assert_eq!((row.checked_at, row.misses, row.serves()), (Some(scene.now()), 1, true), "it counts anew");
    assert!(row.why().unwrap().contains("It still says 203.0.113.9"), "{:?}", row.why());
    scene.pass(TimeDelta::hours(27)).await;
    let row = scene.pass(TimeDelta::hours(27)).await;
    assert_eq!(row.observed, Observed::Lost, "as ever");
    let audit = "select array_agg(actor || ' ' || action order by id) from audit where action in ('domain.paused', 'domain.resumed')";
    let audit: Vec<String> = scene.cloud.value(audit).await;
    assert_eq!(audit, ["operator domain.paused", "operator domain.resumed"]);
}

#[tokio::test]
async fn nothing_is_ordered_for_a_paused_domain_and_nobody_is_locked_out_when_its_certificate_ends() {
    let scene = Scene::active().await;
    let first = scene.certificate().await.validity.unwrap();
    scene.pause().await;
    for _ in 0..87 {
        scene.pass(TimeDelta::days(1)).await;
    }
    let one = scene.certificate().await;
    assert_eq!(one.validity.unwrap(), first, "not renewed");
    assert!(one.waits.as_ref().is_some_and(|why| why.contains("its domain is paused")), "{one:?}");
    let db = scene.cloud.db.get().await.unwrap();
    assert!(certificates::ending(&db, scene.now(), 20).await.unwrap().is_empty(), "it shall end");
    assert!(scene.row(&scene.ada).await.serves(), "three days before the end");
    let row = scene.pass(TimeDelta::hours(30)).await;
    assert_eq!((row.observed, row.own_domain.as_deref()), (Observed::Verified, None), "back at the old name");
    assert_eq!(scene.route("ada.percloud.localhost").await.as_deref(), Some("running"), "its owner signs in there");
    assert_eq!(scene.mails().await, ["domain-paused"]);
    scene.pass(TimeDelta::days(2)).await;
    let row = scene.resume().await;
    assert!(row.serves(), "with a new certificate, by itself: {row:?}");
    assert_eq!(scene.mails().await, ["domain-paused", "domain-ready"]);
}

#[tokio::test]
async fn a_claim_that_is_paused_waits_for_its_operator_and_does_not_lapse() {
    let scene = Scene::new().await;
    let claimed = scene.claim(&scene.ada, NAME, true).await;
    scene.pause().await;
    scene.set_all(&claimed).await;
    let row = scene.pass(TimeDelta::days(70)).await;
    assert_eq!((row.observed, &row.challenge), (Observed::Pending, &claimed.challenge));
    let row = scene.resume().await;
    assert!(row.serves(), "{row:?}");
    // Who does not want to wait gives it up, paused or not.
    scene.pause().await;
    scene.remove(&scene.ada).await;
    scene.settle().await;
    assert!(scene.find(&scene.ada).await.is_none());
    assert_eq!(scene.certified().await, [""; 0]);
}
