//! Name servers that never answer have their share of the looks, and nobody else waits for them.

use std::net::{IpAddr, Ipv4Addr};

use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::postgres::eventually;

impl Scene {
    /// Perclouds that claim a name each.
    async fn crowd(&self, name: impl Fn(usize) -> String, how_many: usize) {
        for n in 0..how_many {
            let other = self.cloud.try_sign_up(&format!("other-{n}"), &format!("o{n}@example.org")).await.unwrap();
            self.try_claim(&other, &name(n), false).await.unwrap();
        }
    }

    /// A turn of the domains' reconciler that finds something to do.
    async fn turns(&self) -> bool {
        self.turn(&Stages::default()).await != Turn::Idle
    }

    /// Other workers have these rows.
    async fn held_by_others(&self, which: &str) {
        self.cloud.sql(&format!("update domains set claimed_until = now() + interval '1 hour' where {which}")).await;
    }

    async fn looked(&self, which: &str) -> i64 {
        self.cloud.value(&format!("select count(*) from domains where checked_at is not null and {which}")).await
    }
}

#[tokio::test]
async fn slow_looks_have_a_share_and_what_needs_no_dns_waits_for_no_look() {
    let scene = Scene::new().await;
    scene.crowd(|n| format!("n{n:02}.test"), 20).await;
    scene.cloud.sql("update domains set slow = true where name <= 'n08.test'").await;
    scene.held_by_others("name < 'n08.test'").await;
    scene.cloud.clock.advance(TimeDelta::seconds(1));
    let claim = scene.try_claim(&scene.ada, NAME, false).await.unwrap();
    while scene.turns().await {}
    let looked = (scene.looked("not slow").await, scene.looked("slow").await);
    assert_eq!(looked, (12, 0), "eight of the slow ones are enough");
    scene.cloud.sql("update domains set claimed_until = '-infinity' where name = 'n00.test'").await;
    assert!(scene.turns().await && scene.looked("name in ('n00.test', 'n08.test')").await == 1, "one has ended");

    // All looks that there may be at once run, and none of them is Ada's, for whom everything is right.
    scene.knot.set(CHALLENGE, "TXT", &claim.challenge_value()).await.unwrap();
    scene.knot.set(NAME, "A", EDGE).await.unwrap();
    scene.cloud.clock.advance(TimeDelta::minutes(3));
    scene.held_by_others("name <> 'ada.test'").await;
    assert!(!scene.turns().await, "her look waits");
    scene.cloud.sql("update domains set claimed_until = '-infinity', due_at = null where name = 'n19.test'").await;
    while scene.turns().await {}
    assert_eq!(scene.row(&scene.ada).await.observed, Observed::Verified, "one has ended");
    scene.cloud.sql("update domains set due_at = check_at where name = 'n19.test'").await;
    scene.held_by_others("name = 'n19.test'").await;
    scene.cloud.clock.advance(TimeDelta::minutes(3));
    assert!(!scene.turns().await, "her next look waits, too");
    let (noun, stages) = (&scene.certificates, Stages::default());
    while turn(noun, &scene.cloud.worker, &scene.cloud.clock, &stages).await.unwrap() != Turn::Idle {}
    assert!(scene.turns().await && scene.row(&scene.ada).await.serves(), "what her certificate lets her do does not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_domain_does_not_wait_for_many_whose_servers_drop_every_question() {
    let knot = Knot::start(&["test", NAME, "hole.test"]).await.unwrap();
    let mut silent = Vec::new();
    knot.add("hole.test", "NS", "ns2.hole.test.").await.unwrap();
    for n in 9..13 {
        let ip = IpAddr::from(Ipv4Addr::new(127, 0, 0, n));
        silent.push(UdpSocket::bind((ip, knot.addr().port())).await.unwrap());
        knot.add("ns2.hole.test", "A", &ip.to_string()).await.unwrap();
    }
    let scene = Scene::at(knot).await;
    scene.crowd(|n| format!("n{n}.hole.test"), 30).await;
    let domains = Domains {
        db: scene.cloud.worker.clone(),
        clock: scene.cloud.clock.clone(),
        dns: scene.domains.dns.clone(),
        connect: scene.domains.connect.clone(),
        base_domain: BASE.into(),
        addresses: scene.domains.addresses.clone(),
        former: Vec::new(),
    };
    let url = scene.cloud.url.clone();
    let keeps = tokio::spawn(async move { domains.keep(&url, CancellationToken::new()).await });
    let all_slow = "select count(*) = 30 from domains where slow";
    eventually("all of them to be found slow", async || scene.cloud.value::<bool>(all_slow).await.then_some(())).await;
    assert!(scene.looked("slow").await < 20, "their looks have only begun");

    scene.cloud.clock.advance(TimeDelta::seconds(1));
    let claim = scene.try_claim(&scene.ada, NAME, false).await.unwrap();
    scene.knot.set(CHALLENGE, "TXT", &claim.challenge_value()).await.unwrap();
    scene.knot.set(NAME, "A", EDGE).await.unwrap();
    scene.cloud.clock.advance(TimeDelta::seconds(4));
    let mut db = scene.web().await;
    let tx = db.transaction().await.unwrap();
    domains::ask_check(&tx, &scene.ada.id, scene.now()).await.unwrap();
    tx.commit().await.unwrap();
    let proved = async || {
        let row = scene.row(&scene.ada).await;
        (row.observed == Observed::Verified).then_some(())
    };
    eventually("the good one to be proved", proved).await;
    assert!(scene.looked("slow").await < 25, "long before they have all been looked at, for as long as that takes");
    eventually("one of them to be looked at", async || (scene.looked("slow").await > 0).then_some(())).await;
    let said = "select report #>> '{records,0,words,key}' from domains where slow and checked_at is not null limit 1";
    assert_eq!(scene.cloud.value::<String>(said).await, "domain.record.missing", "as the one that answers says");
    keeps.abort(); // not one of them is waited for
}
