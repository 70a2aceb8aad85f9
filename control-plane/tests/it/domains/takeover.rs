//! Who gets a name that two want, and that nobody gets one by leftovers.

use super::*;

async fn bob(scene: &Scene) -> Created {
    let bob = scene.cloud.try_sign_up("bob", "bob@example.org").await.unwrap();
    scene.cloud.confirm(&bob).await;
    scene.settle().await;
    bob
}

#[tokio::test]
async fn a_second_claimant_gets_nothing_while_the_firsts_proof_stands() {
    let scene = Scene::active().await;
    let bob = bob(&scene).await;
    let claim = scene.claim(&bob, NAME, true).await;
    let adas = scene.row(&scene.ada).await;
    assert_ne!((&claim.challenge, &claim.target), (&adas.challenge, &adas.target));
    // Even whoever has got hold of DNS for a moment, and adds what is asked for.
    scene.knot.add(CHALLENGE, "TXT", &claim.challenge_value()).await.unwrap();
    let claim = scene.ask(&bob).await;
    assert_eq!((claim.observed, notices(&claim)), (Observed::Pending, vec!["taken"]));
    assert_eq!(scene.row(&scene.ada).await.observed, Observed::Active);
    assert_eq!(scene.own_domain(&bob).await, None);
    assert_eq!(scene.route(NAME).await.as_deref(), Some("running"));
}

#[tokio::test]
async fn whoever_has_the_domain_now_displaces_whoever_had_it_before() {
    let scene = Scene::active().await;
    let bob = bob(&scene).await;
    let claim = scene.claim(&bob, WWW, true).await;
    // The domain was sold: the new owner's record takes the place of the old one's.
    scene.knot.set(CHALLENGE, "TXT", &claim.challenge_value()).await.unwrap();
    let still = scene.ask(&bob).await;
    assert_eq!(still.observed, Observed::Pending, "www leads to Ada's target still: {:?}", words(&still));
    scene.knot.set(WWW, "CNAME", &format!("{}.", claim.target_host(BASE))).await.unwrap();
    let claim = scene.ask(&bob).await;
    assert!(claim.serves(), "{claim:?}");
    let adas = scene.row(&scene.ada).await;
    assert_eq!(adas.observed, Observed::Lost);
    assert_eq!((scene.own_domain(&bob).await.as_deref(), scene.own_domain(&scene.ada).await), (Some(WWW), None));
    assert_eq!(scene.route("ada.percloud.localhost").await.as_deref(), Some("running"), "Ada is not locked out");
    assert_eq!(scene.route(NAME).await.as_deref(), Some("to www.ada.test"), "the twin is Bob's as well");
    let owners: Vec<String> =
        scene.cloud.value("select array_agg(distinct tenant_id) from certificates where wanted = 'issued'").await;
    assert_eq!(owners, [bob.id.to_string()]);
    assert_eq!(scene.mails().await, ["domain-ready", "domain-lost", "domain-ready"]);
    // And Ada's record alone does not bring it back while Bob's stands.
    scene.knot.add(CHALLENGE, "TXT", &adas.challenge_value()).await.unwrap();
    let adas = scene.ask(&scene.ada).await;
    assert_eq!((adas.observed, notices(&adas)), (Observed::Lost, vec!["taken"]));
}

#[tokio::test]
async fn what_an_operator_paused_and_what_failed_stays_with_whoever_had_the_name() {
    let scene = Scene::active().await;
    crate::operator::done(&scene.cloud, &["admin", "certificates", "pause", NAME]);
    scene
        .cloud
        .sql("update certificates set failing_since = created_at, last_error = 'of Ada', waits = 'for Ada'")
        .await;
    let bob = bob(&scene).await;
    let claim = scene.claim(&bob, NAME, true).await;
    scene.knot.set(CHALLENGE, "TXT", &claim.challenge_value()).await.unwrap();
    scene.set_all(&claim).await;
    assert!(scene.ask(&bob).await.serves());
    let left = "select count(*) from certificates
        where paused or failing_since is not null or last_error is not null or waits is not null";
    assert_eq!(scene.cloud.value::<i64>(left).await, 0);
    let before: String = scene.cloud.value("select chain_pem from certificates where names = '{ada.test}'").await;
    scene.cloud.clock.advance(TimeDelta::days(61));
    scene.settle().await;
    let after: String = scene.cloud.value("select chain_pem from certificates where names = '{ada.test}'").await;
    assert_ne!(after, before, "Bob's is renewed");
}

#[tokio::test]
async fn a_record_that_was_forgotten_leads_to_nobody() {
    let scene = Scene::active().await;
    let adas = scene.row(&scene.ada).await;
    scene.cloud.wish(&scene.ada.id, crate::cloud::Wish::Delete).await.unwrap();
    scene.cloud.settle().await;
    scene.settle().await;
    // Ada's records dangle: A, CNAME and TXT still stand. Bob sees them and claims the name.
    let bob = bob(&scene).await;
    let claim = scene.claim(&bob, WWW, false).await;
    assert_ne!(claim.target, adas.target);
    assert_eq!(claim.observed, Observed::Pending);
    assert_eq!(words(&claim)[1], format!("CNAME points-elsewhere {}", adas.target_host(BASE)));
    assert!(words(&claim)[0].starts_with("TXT wrong-text"), "an old proof proves nothing: {:?}", words(&claim));
    let apex = scene.try_claim(&bob, NAME, false).await;
    assert!(apex.is_err(), "one at a time");
    let reused = scene
        .cloud
        .db
        .get()
        .await
        .unwrap()
        .execute("insert into domain_targets values ($1, 't-bbbbbbbbbbbbbbbb', now())", &[&adas.target])
        .await;
    assert!(reused.is_err(), "the database itself keeps a target from being handed out again");
}

#[tokio::test]
async fn a_challenge_that_nobody_uses_ends_and_one_that_stands_does_not() {
    let scene = Scene::new().await;
    let first = scene.claim(&scene.ada, NAME, false).await;
    let row = scene.pass(TimeDelta::days(8)).await;
    assert_ne!(row.challenge, first.challenge, "another one");
    assert_eq!(row.target, first.target);
    scene.knot.set(CHALLENGE, "TXT", &first.challenge_value()).await.unwrap();
    scene.knot.set(NAME, "A", EDGE).await.unwrap();
    let row = scene.ask(&scene.ada).await;
    assert_eq!(row.observed, Observed::Pending, "the old one proves nothing any more");
    scene.knot.set(CHALLENGE, "TXT", &row.challenge_value()).await.unwrap();
    scene.knot.set(NAME, "A", OLD_SITE).await.unwrap();
    scene.ask(&scene.ada).await;
    for _ in 0..10 {
        let later = scene.pass(TimeDelta::days(3)).await;
        assert_eq!(later.challenge, row.challenge, "who has set it keeps it, however long the rest takes");
    }
    scene.knot.remove(CHALLENGE, "TXT").await.unwrap();
    scene.cloud.clock.advance(TimeDelta::days(61));
    scene.settle().await;
    assert!(scene.find(&scene.ada).await.is_none(), "a claim that nobody proves goes");
}

#[tokio::test]
async fn looking_at_the_page_does_not_keep_a_claim_for_ever() {
    let scene = Scene::new().await;
    let claimed = scene.claim(&scene.ada, NAME, false).await.claimed_at;
    while scene.find(&scene.ada).await.is_some() {
        assert!(scene.now() - claimed < TimeDelta::days(95), "it is kept by looking at it");
        scene.cloud.clock.advance(TimeDelta::days(4));
        let mut db = scene.web().await;
        let tx = db.transaction().await.unwrap();
        domains::ask_check(&tx, &scene.ada.id, scene.now()).await.unwrap();
        tx.commit().await.unwrap();
        scene.settle().await;
    }
    assert!(scene.now() - claimed > TimeDelta::days(80), "but it lasts longer than one that nobody asks about");
}

/// Ten perclouds that claim Ada's name, one after the other.
async fn crowd(scene: &Scene) -> Vec<Created> {
    let mut crowd = Vec::new();
    for n in 0..10 {
        let other = scene.cloud.try_sign_up(&format!("other-{n}"), &format!("o{n}@example.org")).await.unwrap();
        scene.try_claim(&other, NAME, true).await.unwrap();
        scene.cloud.clock.advance(TimeDelta::seconds(1));
        crowd.push(other);
    }
    crowd
}

#[tokio::test]
async fn claims_that_nobody_proves_make_room_for_whoever_comes() {
    let scene = Scene::new().await;
    let crowd = crowd(&scene).await;
    scene.cloud.clock.advance(TimeDelta::days(1));
    // The oldest has shown once that its DNS is its own, and has taken the record away again.
    let challenge = scene.row(&crowd[0]).await.challenge_value();
    scene.knot.set(CHALLENGE, "TXT", &challenge).await.unwrap();
    scene.settle().await;
    scene.knot.remove(CHALLENGE, "TXT").await.unwrap();
    scene.ask(&crowd[0]).await;
    let left = async || {
        let mut left = Vec::new();
        for (n, other) in crowd.iter().enumerate() {
            left.extend(scene.find(other).await.map(|_| n));
        }
        left
    };
    let claim = scene.claim(&scene.ada, NAME, true).await;
    assert_eq!(claim.observed, Observed::Pending);
    assert_eq!(left().await, [0, 2, 3, 4, 5, 6, 7, 8, 9], "the oldest of those that DNS never knew of has gone");
    assert_eq!(scene.cloud.value::<i64>("select count(*) from domains").await, 10);
    let noted: String = scene.cloud.value("select tenant_id from audit where action = 'domain.crowded-out'").await;
    assert_eq!(noted, crowd[1].id.to_string());
    let again = scene.claim(&crowd[1], NAME, true).await;
    assert_eq!(again.observed, Observed::Pending, "and may come again");
    assert_eq!(left().await, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], "a fresh claim takes nobody's place while there is room");
    scene.set_all(&claim).await;
    assert!(scene.ask(&scene.ada).await.serves(), "DNS decides, however many there are");
}

#[tokio::test]
async fn a_few_that_claim_and_cancel_push_out_nobody() {
    let scene = Scene::new().await;
    let crowd = crowd(&scene).await;
    let mut claim = scene.claim(&scene.ada, NAME, true).await;
    // For two days, without pause: as soon as one is through, all the others are younger than Ada's claim.
    for round in 0..8 {
        for other in &crowd {
            scene.remove(other).await;
            scene.settle().await;
            scene.claim(other, NAME, true).await;
        }
        scene.cloud.clock.advance(TimeDelta::hours(6));
        scene.settle().await;
        claim = scene.find(&scene.ada).await.unwrap_or_else(|| panic!("Ada was pushed out in round {round}"));
    }
    assert_eq!(scene.cloud.value::<i64>("select count(*) from audit where action = 'domain.crowded-out'").await, 0);
    scene.set_all(&claim).await;
    assert!(scene.ask(&scene.ada).await.serves(), "she had all the time");
}

#[tokio::test]
async fn a_hundred_that_claim_one_name_in_a_day_are_enough_and_keep_nobody_out_after_it() {
    let scene = Scene::new().await;
    let mut others = Vec::new();
    for n in 0..100 {
        let other = scene.cloud.try_sign_up(&format!("other-{n}"), &format!("o{n}@example.org")).await.unwrap();
        scene.try_claim(&other, NAME, true).await.unwrap();
        others.push(other);
    }
    let held = scene.try_claim(&scene.ada, NAME, true).await;
    assert!(matches!(held, Err(domains::Error::Refused(domains::Refusal::Held))), "{held:?}");
    scene.remove(&others[0]).await;
    assert!(scene.try_claim(&scene.ada, NAME, true).await.is_ok());
    scene.remove(&scene.ada).await;
    assert!(scene.try_claim(&others[0], NAME, true).await.is_ok());
    // Whoever comes after their day finds room, and they are as many again as may wait for long.
    scene.cloud.clock.advance(TimeDelta::days(1));
    assert!(scene.try_claim(&scene.ada, NAME, true).await.is_ok());
    let waiting = "select count(*) from domains where wanted = 'active' and name = 'ada.test'";
    assert_eq!(scene.cloud.value::<i64>(waiting).await, 10);
}

#[tokio::test]
async fn claims_that_dns_knows_of_are_not_crowded_out_and_one_has_a_name_at_most() {
    let scene = Scene::new().await;
    let crowd = crowd(&scene).await;
    for other in &crowd {
        scene.knot.add(CHALLENGE, "TXT", &scene.row(other).await.challenge_value()).await.unwrap();
    }
    scene.settle().await;
    scene.cloud.clock.advance(TimeDelta::days(1));
    let held = scene.try_claim(&scene.ada, NAME, true).await;
    assert!(matches!(held, Err(domains::Error::Refused(domains::Refusal::Held))), "{held:?}");
    for other in &crowd {
        assert_eq!(scene.row(other).await.observed, Observed::Pending, "nothing was done to anybody");
    }
    let two = "update domains set observed = 'verified', verified_at = now()";
    assert!(scene.cloud.db.get().await.unwrap().batch_execute(two).await.is_err(), "the database holds it");
}

#[tokio::test]
async fn whoever_has_a_name_is_not_crowded_out_of_it() {
    let scene = Scene::active().await;
    let crowd = crowd(&scene).await;
    scene.cloud.clock.advance(TimeDelta::days(1));
    let bob = bob(&scene).await;
    scene.claim(&bob, NAME, true).await;
    assert!(scene.row(&scene.ada).await.serves());
    assert!(scene.find(&crowd[0]).await.is_none(), "the oldest of those without proof");
}

#[tokio::test]
async fn an_operator_can_set_a_name_free() {
    let scene = Scene::active().await;
    let mut db = scene.cloud.db.get().await.unwrap();
    let tx = db.transaction().await.unwrap();
    domains::release(&tx, NAME, &Actor::Operator, scene.now()).await.unwrap();
    tx.commit().await.unwrap();
    scene.settle().await;
    assert!(scene.find(&scene.ada).await.is_none());
    assert_eq!(scene.mails().await, ["domain-ready", "domain-taken"]);
    let said: String = scene.cloud.value("select text_body from mails where kind = 'domain-taken'").await;
    assert!(said.contains("has taken ada.test off") && said.contains("answers at ada.percloud.localhost"), "{said}");
    assert!(!said.contains("by itself") && !said.contains("names from before"), "what it had is gone for good: {said}");
    assert_eq!(scene.route("ada.percloud.localhost").await.as_deref(), Some("running"));
}

#[tokio::test]
async fn a_name_below_a_domain_and_its_www_may_be_two_perclouds() {
    let (me, www_me) = ("me.ada.test", "www.me.ada.test");
    let scene = Scene::new().await;
    let bob = bob(&scene).await;
    for (owner, name) in [(&scene.ada, me), (&bob, www_me)] {
        let claim = scene.claim(owner, name, true).await;
        scene.set_all(&claim).await;
        assert!(scene.ask(owner).await.serves(), "{name}");
    }
    scene.pass(TimeDelta::days(1)).await;
    assert_eq!(scene.certified().await, [me, www_me], "looking at the one takes nothing from the other");
    let bobs = "select chain_pem from certificates where names = array['www.me.ada.test']";
    let before: String = scene.cloud.value(bobs).await;
    // Ada cancels hers, then has it again and goes for good.
    scene.remove(&scene.ada).await;
    scene.settle().await;
    assert_eq!(scene.certified().await, [www_me]);
    let claim = scene.claim(&scene.ada, me, true).await;
    scene.set_all(&claim).await;
    assert!(scene.ask(&scene.ada).await.serves());
    scene.cloud.wish(&scene.ada.id, crate::cloud::Wish::Delete).await.unwrap();
    scene.cloud.settle().await;
    scene.settle().await;
    assert_eq!(scene.certified().await, [www_me]);
    assert_eq!(scene.cloud.value::<String>(bobs).await, before, "and Bob's was never ordered anew");
    assert_eq!(
        (scene.own_domain(&bob).await.as_deref(), scene.route(www_me).await.as_deref()),
        (Some(www_me), Some("running"))
    );
}
