//! What happens to one of a percloud's domains, or is wished of it, touches the others as far as it says and no further.

use control_plane::certificates;

use super::*;
use crate::postgres::eventually;

impl Scene {
    async fn pauses(&self, name: &str) {
        let mut db = self.web().await;
        let tx = db.transaction().await.unwrap();
        domains::pause(&tx, name, &Actor::Operator, self.now()).await.unwrap();
        tx.commit().await.unwrap();
        self.settle().await;
    }

    async fn releases(&self, name: &str) -> String {
        let mut db = self.cloud.db.get().await.unwrap();
        let tx = db.transaction().await.unwrap();
        domains::release(&tx, name, &Actor::Operator, self.now()).await.unwrap();
        tx.commit().await.unwrap();
        self.settle().await;
        self.cloud.value("select text_body from mails where kind = 'domain-taken' order by id desc limit 1").await
    }
}

#[tokio::test]
async fn a_paused_name_from_before_stops_no_renewal_of_the_same_name_with_www() {
    let (before, now) = ("me.ada.test", "www.me.ada.test");
    let scene = Scene::new().await;
    let row = scene.claim(&scene.ada, before, true).await;
    scene.set_all(&row).await;
    assert!(scene.ask(&scene.ada).await.serves());
    scene.ready(now).await;
    assert_eq!(scene.has().await, (Some(now.into()), None, vec![before.into()]));
    scene.pauses(before).await;
    let counted = async || certificates::counts(&scene.cloud.db.get().await.unwrap(), scene.now()).await.unwrap();
    let all: i64 = scene.cloud.value("select count(*) from certificates where wanted = 'issued'").await;
    assert_eq!(counted().await.issued, all, "each once");
    for _ in 0..75 {
        scene.pass(TimeDelta::days(1)).await;
    }
    let end = async |name: &str| {
        let one = certificates::get(&scene.cloud.db.get().await.unwrap(), name).await.unwrap();
        one.validity.unwrap().not_after - scene.now()
    };
    assert!(end(now).await > TimeDelta::days(60), "renewed as ever");
    assert!(end(before).await < TimeDelta::days(16), "what is paused is not");
    scene.leads(now, Some("running")).await;
    // Both are near their end: of the one in use the operator hears, and the other one shall end.
    scene.cloud.clock.advance(TimeDelta::days(80));
    let ending = certificates::ending(&scene.cloud.db.get().await.unwrap(), scene.now(), 20).await.unwrap();
    let ending: Vec<_> = ending.iter().flat_map(|one| &one.names).collect();
    assert_eq!(ending, [now]);
}

#[tokio::test]
async fn a_pause_counts_for_the_name_in_use_while_the_other_one_of_the_two_is_chosen() {
    let scene = Scene::active().await;
    scene.knot.remove(WWW, "CNAME").await.unwrap();
    let row = scene.choose(Choice::Www).await;
    assert_eq!((row.name.as_str(), row.own_domain.as_deref()), (WWW, Some(NAME)));
    scene.pauses(NAME).await;
    scene.cloud.sql("update domains set twin = null").await;
    for _ in 0..75 {
        scene.pass(TimeDelta::days(1)).await;
    }
    let one = certificates::get(&scene.cloud.db.get().await.unwrap(), NAME).await.unwrap();
    assert!(one.waits.as_ref().is_some_and(|why| why.contains("its domain is paused")), "{one:?}");
}

#[tokio::test]
async fn whoever_loses_a_name_to_an_operator_reads_what_went_along_and_where_the_percloud_is() {
    let scene = Scene::settled().await;
    scene.ready(NEXT).await;
    scene.ready("byron.test").await;
    let said = scene.releases(NAME).await;
    for part in ["has taken ada.test off", "answers at byron.test", "The old entries do not bring it back"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains(NEXT), "that leads on: {said}");
    let said = scene.releases("byron.test").await;
    for part in ["has taken byron.test off", "answers at ada.percloud.localhost", "led to it: lovelace.test."] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(scene.has().await, (None, None, vec![]));
    scene.leads(OLD, Some("running")).await;
}

#[tokio::test]
async fn two_windows_wish_for_a_change_at_the_same_moment_and_one_of_them_is_told_so() {
    let scene = Scene::settled().await;
    scene.ready(NEXT).await;
    let (mut one, mut other) = (scene.web().await, scene.web().await);
    let name = |typed: &str| domains::parse(typed, &BASE.parse::<Domain>().unwrap()).unwrap();
    let instead = domains::of_tenant(&one, &scene.ada.id).await.unwrap().unwrap();
    let tx = one.transaction().await.unwrap();
    domains::change(&tx, &instead, &name("byron.test"), &Actor::Owner, scene.now()).await.unwrap();
    let back = async {
        let tx = other.transaction().await.unwrap();
        domains::change(&tx, &instead, &name(NAME), &Actor::Owner, scene.now()).await
    };
    let first = async {
        let waiting = "select count(*) from pg_locks where not granted
            and pid in (select pid from pg_stat_activity where datname = current_database())";
        let waits = async || (scene.cloud.value::<i64>(waiting).await > 0).then_some(());
        eventually("the second one to wait for the first", waits).await;
        tx.commit().await.unwrap();
    };
    let (back, ()) = tokio::join!(back, first);
    assert!(matches!(back, Err(domains::Error::Refused(domains::Refusal::Already))), "{back:?}");
    assert_eq!(scene.has().await, (Some(NEXT.into()), Some("byron.test".into()), vec![NAME.into()]));
}
