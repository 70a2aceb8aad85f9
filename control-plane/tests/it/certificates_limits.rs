//! Whose trouble it is when a CA turns somebody away: one name's, or everybody's. A double in front of Pebble says what Pebble never does.

use chrono::TimeDelta;
use control_plane::certificates::{State, acme::budgets::Budgets};
use tls::{
    acme::Kind,
    testing::{Between, Pebble, Refusal, Suggestion},
};
use tokio_util::sync::CancellationToken;

use crate::{ca::Scene, certificates_budgets::first_order, postgres::eventually};

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
    assert!((1..=4).contains(&double.asked_when()), "it is asked, and left alone with that when it says nothing");
    assert_eq!(away(&scene).await, (0, 0), "and nobody takes the CA for away");
    scene.want("late.test").await;
    scene.settle(&noun).await;
    assert_eq!((scene.find("late.test").await.state, scene.issued().await), (State::Issued, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_their_ca_limits_keep_nobody_else_waiting_and_are_the_operators_to_see_to() {
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
    let told = "select count(*) from mails where kind like 'certificate-%'";
    assert_eq!(scene.cloud.value::<i64>(told).await, 0, "there is nothing that their owners could do");
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

/// In how many seconds a certificate is looked at next.
async fn pause(scene: &Scene, name: &str) -> i64 {
    (scene.find(name).await.due_at.unwrap() - scene.cloud.now()).num_seconds()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_ca_says_of_coming_again_does_not_count_for_the_other() {
    let scene = Scene::new().await;
    let (pebble, first) = ca(&scene).await;
    let second = Between::start(&pebble).await.unwrap();
    let noun = scene.noun_at([first.directory(), second.directory()], &scene.shared(&[Kind::Http01], None));
    let three_days = Some(3 * 86_400);
    first.turn_away("ada.test", Refusal::limit("too many failed authorizations (5) for \"ada.test\"", three_days));
    second.turn_away("ada.test", Refusal::away(None));
    scene.want("ada.test").await;
    scene.settle(&noun).await;
    assert!(pause(&scene, "ada.test").await <= 66, "the second rests for a moment: {:?}", scene.find("ada.test").await);
    second.let_in();
    scene.pass(TimeDelta::seconds(67), &noun).await;
    let one = scene.find("ada.test").await;
    assert_eq!(one.state, State::Issued, "{one:?}");
    assert_eq!((first.orders().len(), second.orders().len()), (1, 2), "the first is left alone, as it wants");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_wants_a_week_is_asked_before_what_serves_ends() {
    let scene = Scene::new().await;
    let (_pebble, double) = ca(&scene).await;
    let noun = scene.noun_at([double.directory()], &scene.shared(&[Kind::Http01], None));
    scene.want("ada.test").await;
    scene.settle(&noun).await;
    double.turn_away("ada.test", Refusal::away(Some(7 * 86_400)));
    let (now, ends) = (scene.cloud.now() - TimeDelta::minutes(1), scene.cloud.now() + TimeDelta::days(2));
    let ends = format!("update certificates set not_after = '{ends}', renew_at = '{now}', due_at = '{now}'");
    scene.cloud.sql(&ends).await;
    scene.settle(&noun).await;
    let seconds = pause(&scene, "ada.test").await;
    assert!((11 * 3600..=12 * 3600).contains(&seconds), "a quarter of what is left, not a week: {seconds}");
    double.let_in();
    scene.pass(TimeDelta::hours(13), &noun).await;
    assert_eq!((scene.find("ada.test").await.state, double.orders().len()), (State::Issued, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_renewal_that_came_about_in_its_window_is_in_no_budget() {
    let scene = Scene::new().await;
    let (_pebble, double) = ca(&scene).await;
    let noun = scene.noun_at([double.directory()], &scene.shared(&[Kind::Http01], None));
    scene.want("ada.test").await;
    scene.settle(&noun).await;
    let begun = scene.cloud.now();
    let day = |n| begun + TimeDelta::days(n);
    double.suggest(Ok(Suggestion { window: [day(20), day(24)], explanation: None }));
    scene.pass(TimeDelta::hours(2), &noun).await;
    // Somebody wants a new one before the window: it replaces the old one all the same.
    scene.cloud.sql(&format!("update certificates set renew_at = '{begun}', due_at = '{begun}'")).await;
    scene.settle(&noun).await;
    scene.pass(TimeDelta::hours(2), &noun).await;
    // In the window it fails at first.
    scene.responder.lead("ada.test", false);
    scene.cloud.clock.advance(day(21) - scene.cloud.now());
    scene.cloud.sql(&format!("update certificates set renew_at = '{begun}', due_at = '{begun}'")).await;
    scene.settle(&noun).await;
    assert_eq!(scene.find("ada.test").await.state, State::Failing);
    scene.responder.lead("ada.test", true);
    scene.pass(TimeDelta::minutes(2), &noun).await;
    assert_eq!(scene.find("ada.test").await.state, State::Issued);
    let named: Vec<bool> = double.orders().iter().map(|order| order.get("replaces").is_some()).collect();
    assert_eq!(named, [false, true, true, true], "each names what it replaces (RFC 9773, section 5)");
    let exempt: Vec<bool> = scene.cloud.value("select array_agg(renewal order by id) from acme_attempts").await;
    assert_eq!(exempt, [false, false, false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_were_cut_off_are_no_certificates() {
    let scene = Scene::new().await;
    let (_pebble, double) = ca(&scene).await;
    let noun = || scene.noun_at([double.directory()], &scene.shared(&[Kind::Http01], None));
    let account = double.directory().url.replace("https://", "").replace("/dir", "");
    let names = ["ada.test".to_owned()];
    for _ in 0..5 {
        let order = first_order(&names, scene.cloud.now());
        Budgets::default().reserve(&scene.cloud.worker, &account, &order).await.unwrap().unwrap();
    }
    // Five workers were killed in the middle of an order; while those may still run, they count.
    scene.want("ada.test").await;
    scene.settle(&noun()).await;
    let one = scene.find("ada.test").await;
    assert!(one.waits.as_deref().unwrap_or_default().contains("has issued 5 for it"), "{one:?}");
    scene.cloud.clock.advance(TimeDelta::hours(1));
    let (stop, url) = (CancellationToken::new(), scene.cloud.url.clone());
    let keeps = tokio::spawn({
        let (noun, stop) = (noun(), stop.clone());
        async move { noun.keep(&url, stop).await }
    });
    let cut_off = "select count(*) from acme_attempts where outcome = 'cut-off'";
    eventually("the sweeping", async || (scene.cloud.value::<i64>(cut_off).await == 5).then_some(())).await;
    stop.cancel();
    keeps.await.unwrap().unwrap();
    crate::operator::done(&scene.cloud, &["admin", "certificates", "retry", "ada.test"]);
    scene.settle(&noun()).await;
    assert_eq!(scene.find("ada.test").await.state, State::Issued);
}
