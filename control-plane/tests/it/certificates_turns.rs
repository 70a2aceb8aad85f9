//! Whose turn it is: what takes long, or fails again and again, keeps nobody else waiting.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};
use control_plane::certificates::{State, reconcile::Certificates, sql};
use tls::acme::{Directory, Kind};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    ca::Scene,
    cloud::TestCloud,
    postgres::{self, eventually},
};

/// So many certificates that are due, each a minute after the one before; the first one's minute.
async fn due(cloud: &TestCloud, count: i64, set: &str) -> DateTime<Utc> {
    let first = cloud.now() - TimeDelta::hours(1);
    let db = postgres::client(&cloud.url).await;
    for n in 0..count {
        let id = format!("c-{}", data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 10]>()).to_lowercase());
        let (names, at) = (vec![format!("{id}.test")], first + TimeDelta::minutes(n));
        let insert = "insert into certificates (id, names, created_at, due_at) values ($1, $2, $3, $3)";
        db.execute(insert, &[&id, &names, &at]).await.unwrap();
        db.execute(&format!("update certificates set {set} where id = $1"), &[&id]).await.unwrap();
    }
    first
}

/// Claims until nothing is given any more; how many there were.
async fn claim_all(cloud: &TestCloud) -> usize {
    let db = cloud.worker.get().await.unwrap();
    let mut claimed = 0;
    while db.query_opt(sql::CLAIM, &[&cloud.now()]).await.unwrap().is_some() {
        claimed += 1;
    }
    claimed
}

/// What the loop takes for the next that is due.
async fn next(cloud: &TestCloud) -> Option<DateTime<Utc>> {
    cloud.worker.get().await.unwrap().query_one(sql::NEXT, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn what_waits_for_a_place_is_not_asked_for_until_there_is_one() {
    let cloud = TestCloud::new().await;
    let first = due(&cloud, 6, "tries = 1").await;
    assert_eq!(next(&cloud).await, Some(first));
    assert_eq!(claim_all(&cloud).await, 4, "so many that failed before, and no more");
    assert_eq!(next(&cloud).await, None, "nothing that could be claimed");
    let fresh = due(&cloud, 40, "tries = 0").await;
    assert_eq!(next(&cloud).await, Some(fresh));
    assert_eq!(claim_all(&cloud).await, 28, "so many in all");
    assert_eq!(next(&cloud).await, None);
    cloud.sql("update certificates set claimed_until = '-infinity', due_at = null where claimed_until > now() and tries > 0").await;
    assert_eq!(next(&cloud).await, Some(first + TimeDelta::minutes(4)), "there are places again");
}

#[tokio::test]
async fn asking_when_to_renew_has_a_part_of_the_places() {
    let cloud = TestCloud::new().await;
    due(&cloud, 10, "ari_due_at = due_at").await;
    assert_eq!(claim_all(&cloud).await, 4, "so many, and no more");
    assert_eq!(next(&cloud).await, None);
    due(&cloud, 10, "ari_due_at = due_at + interval '1 day'").await;
    assert_eq!(claim_all(&cloud).await, 10, "what is to be looked at or ordered does not wait for them");
}

/// A CA that takes every connection and never says a word; how many it took.
async fn silent_ca(root_pem: &str) -> (Directory, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/dir", listener.local_addr().unwrap());
    let came = Arc::new(AtomicUsize::new(0));
    let counted = came.clone();
    tokio::spawn(async move {
        let mut all = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            all.push(stream);
        }
    });
    (Directory { url, profile: None, eab: None, root_pem: Some(root_pem.to_owned()) }, came)
}

/// A scene with 16 names whose certificates a silent CA has issued, which is to be asked now when to renew them; a second CA is well.
async fn to_be_asked() -> (Scene, tls::testing::Pebble, Certificates, Arc<AtomicUsize>) {
    let scene = Scene::new().await;
    let second = scene.pebble(|_| {}).await;
    let shared = scene.shared(&[Kind::Http01], None);
    for n in 0..16 {
        scene.want(&format!("site-{n}.test")).await;
    }
    scene.settle(&scene.noun(&[&second], &shared)).await;
    assert_eq!(scene.issued().await, 16);
    let (silent, came) = silent_ca(second.root_pem()).await;
    let id = silent.url.replace("https://", "").replace("/dir", "");
    let due = format!("update certificates set issuer = '{id}', due_at = created_at, ari_due_at = created_at");
    scene.cloud.sql(&due).await;
    let noun = scene.noun_at([silent, second.directory()], &shared);
    (scene, second, noun, came)
}

/// How many are to be asked about now.
async fn asks(scene: &Scene) -> i64 {
    scene.cloud.value("select count(*) from certificates where ari_due_at = created_at").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_hangs_keeps_no_new_name_and_no_other_ca_waiting() {
    let (scene, _second, noun, came) = to_be_asked().await;
    scene.want("new.test").await;
    let (url, stop) = (scene.cloud.url.replace("percloud_owner", "percloud_reconcile"), CancellationToken::new());
    let keeps = tokio::spawn({
        let stop = stop.clone();
        async move { noun.keep(&url, stop).await }
    });
    // All of them at once, not one after the other: a connection that comes to nothing takes ten seconds.
    eventually("all asks to be put off", async || (asks(&scene).await == 0).then_some(())).await;
    eventually("the second CA to issue", async || (scene.find("new.test").await.state == State::Issued).then_some(()))
        .await;
    assert!(came.load(Ordering::Relaxed) < 6, "nobody asks again what was in vain just now");
    stop.cancel();
    keeps.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_is_away_is_not_asked_when_to_renew() {
    let (scene, _second, noun, came) = to_be_asked().await;
    let until = scene.cloud.now() + TimeDelta::minutes(10);
    let away = "insert into acme_accounts (id, directory, created_at, failures, away_until, away_because)
        select distinct issuer, 'https://ca.example', created_at, 3, $1::timestamptz, 'it hangs' from certificates limit 1";
    postgres::client(&scene.cloud.url).await.execute(away, &[&until]).await.unwrap();
    scene.settle(&noun).await;
    assert_eq!((asks(&scene).await, came.load(Ordering::Relaxed)), (0, 0));
    let first: DateTime<Utc> = scene.cloud.value("select min(ari_due_at) from certificates").await;
    assert!(first >= until, "{first}");
}
