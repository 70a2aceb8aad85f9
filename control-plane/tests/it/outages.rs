//! Postgres goes away and comes back: visitors get a 503 with a page, nothing is lost, and everything goes on by itself.

use std::time::Duration;

use control_plane::{db, reconcile};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    chaos_proxy::ChaosProxy,
    cloud::TestCloud,
    portal::{Portal, header, read},
    postgres::{self, Cluster, eventually},
};

#[tokio::test]
async fn a_cut_way_to_the_database_is_a_503_until_it_is_mended() {
    let cloud = TestCloud::new().await;
    let proxy = ChaosProxy::before(&postgres::shared().socket());
    let url = proxy.url(&cloud.url.replace("percloud_owner", "percloud_web"));
    let portal = Portal::with(&cloud, &url, 1000).await;
    assert_eq!(portal.get("/healthz").await.status().as_u16(), 204);
    proxy.cut();
    for _ in 0..20 {
        assert_eq!(portal.get("/healthz").await.status().as_u16(), 503);
    }
    let form = [("name", "ada"), ("email", "ada@example.org")];
    let refused = portal.post("/sign-up", &form).await;
    assert!(!header(&refused, "retry-after").is_empty());
    let (status, page) = read(refused).await;
    assert!(status == 503 && page.contains("Back in a moment"), "{page}");
    assert_eq!(portal.get("/").await.status().as_u16(), 200, "pages without data stay");
    proxy.mend();
    eventually("the portal", async || (portal.get("/healthz").await.status().as_u16() == 204).then_some(())).await;
    assert_eq!(portal.post("/sign-up", &form).await.status().as_u16(), 303);
}

#[tokio::test]
async fn postgres_is_killed_and_started_again_and_everything_goes_on() {
    let folder = tempfile::Builder::new().prefix("percloud-pg-").tempdir_in("/tmp").unwrap();
    let cluster = Cluster::own(&folder.path().join("pg"));
    postgres::execute(&cluster.url("postgres"), "create database percloud").await;
    let url = cluster.url("percloud");
    postgres::prepare(&url).await;
    let cloud = TestCloud::with(url.clone(), None);
    let portal = Portal::with(&cloud, &url, 1000).await;
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let (tenants, db, clock) = (cloud.tenants.clone(), cloud.worker.clone(), cloud.clock.clone());
    tokio::spawn(async move { reconcile::keep(tenants, &url, db, clock, stop).await });

    let sign_up = async |name: &str| {
        let email = format!("{name}@example.org");
        portal.post("/sign-up", &[("name", name), ("email", &email)]).await.status().as_u16()
    };
    let runs = async |name: &str| {
        let domain = format!("{name}.percloud.localhost").parse().unwrap();
        eventually(name, async || cloud.route(&domain).await.filter(|state| state == "running")).await;
    };
    assert_eq!(sign_up("ada").await, 303);
    runs("ada").await;

    cluster.kill();
    assert_eq!(sign_up("bob").await, 503);
    cluster.start();
    eventually("the portal", async || (sign_up("carol").await == 303).then_some(())).await;
    eventually("the test's own pool", async || cloud.db.get().await.ok()?.query_one("select 1", &[]).await.ok()).await;
    runs("carol").await;
    assert_eq!(cloud.value::<i64>("select count(*) from tenants").await, 2, "bob was told to come again");
}

async fn ask(pool: &db::Pool, patience: Duration) -> Result<(), db::Error> {
    let db = pool.get().await?;
    let answer = timeout(patience, async { Ok::<_, db::Error>(db.batch_execute("select 1").await?) }).await;
    db::in_time(db, answer)
}

#[tokio::test]
async fn a_connection_that_is_dead_without_saying_so_is_waited_for_once_and_those_beside_it_never() {
    let cloud = TestCloud::new().await;
    let proxy = ChaosProxy::before(&postgres::shared().socket());
    let pool = db::pool(&proxy.url(&cloud.url)).unwrap();
    let (long, short) = (Duration::from_secs(20), Duration::from_millis(200));
    let all = futures_util::future::join_all((0..3).map(|_| ask(&pool, long))).await;
    assert!(all.iter().all(Result::is_ok) && pool.status().size > 1, "{all:?}");
    proxy.silence();
    assert!(matches!(ask(&pool, short).await, Err(db::Error::Unavailable(_))));
    ask(&pool, long).await.expect("another connection");
    assert_eq!(pool.status().size, 1, "the others lay there as long");
}
