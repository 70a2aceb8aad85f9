//! From a wish to a percloud at the host, and back.

use std::sync::Arc;

use bundle::{TenantId, TenantSpec};
use chrono::TimeDelta;
use control_plane::{
    audit,
    hosts::{
        Error, Host, Layer, State, Status, Unit, Usage,
        simulated::{Call, Fault},
    },
    names::Refusal,
    reconcile::{Stages, Turn, set_right, turn},
    tenants::{self, Filter, Observed, Wanted, reconcile::Tenants},
    usage::roll,
};
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::{
    cloud::{TestCloud, Wish},
    postgres::eventually,
};

#[tokio::test]
async fn a_wish_becomes_a_running_percloud() {
    let cloud = TestCloud::new().await;
    let ada = cloud.sign_up("ada").await;
    assert_eq!(cloud.route(&ada.domain).await.as_deref(), Some("preparing"));
    cloud.settle().await;
    let tenant = cloud.find(&ada.id).await.unwrap();
    assert_eq!((tenant.wanted, tenant.observed, tenant.tries), (Wanted::Running, Observed::Running, 0));
    assert_eq!(cloud.route(&ada.domain).await.as_deref(), Some("running"));
    let spec = cloud.host.spec(&ada.id).unwrap();
    assert_eq!(spec.setup_sha256.as_deref(), Some(ada.token.setup_sha256().as_str()));
    assert_eq!(spec.domain.as_str(), "ada.percloud.localhost");
    // Placed once, and not again while nothing changes.
    cloud.pass(TimeDelta::hours(1)).await;
    assert_eq!(cloud.host.calls().iter().filter(|(call, _)| *call == Call::Place).count(), 1);
}

#[tokio::test]
async fn suspended_and_resumed_it_stays_the_same_percloud() {
    let cloud = TestCloud::new().await;
    let ada = cloud.sign_up("ada").await;
    cloud.confirm(&ada).await;
    cloud.settle().await;
    cloud.wish(&ada.id, Wish::Suspend).await.unwrap();
    assert_eq!(cloud.route(&ada.domain).await.as_deref(), Some("suspended"), "at the edge at once");
    cloud.settle().await;
    assert_eq!(cloud.host.spec(&ada.id).unwrap().suspended.as_deref(), Some("Please get in touch."));
    assert_eq!(cloud.find(&ada.id).await.unwrap().observed, Observed::Suspended);
    cloud.wish(&ada.id, Wish::Resume).await.unwrap();
    cloud.settle().await;
    assert_eq!(cloud.host.spec(&ada.id).unwrap().suspended, None);
    assert_eq!(cloud.route(&ada.domain).await.as_deref(), Some("running"));
    let kinds: String = cloud.value("select string_agg(kind, ' ' order by id) from mails").await;
    assert_eq!(kinds, "confirm suspended resumed");
}

#[tokio::test]
async fn a_deleted_percloud_leaves_nothing_but_its_name_kept_out_of_use() {
    let cloud = TestCloud::new().await;
    let ada = cloud.sign_up("ada").await;
    cloud.confirm(&ada).await;
    cloud.settle().await;
    cloud.wish(&ada.id, Wish::Delete).await.unwrap();
    assert_eq!(cloud.route(&ada.domain).await, None, "gone at the edge at once");
    assert!(matches!(cloud.wish(&ada.id, Wish::Suspend).await, Err(tenants::Error::BeingDeleted)));
    cloud.settle().await;
    assert!(cloud.host.spec(&ada.id).is_none());
    assert!(cloud.find(&ada.id).await.is_none());
    assert_eq!(cloud.value::<i64>("select count(*) from accounts").await, 0);
    let again = cloud.try_sign_up("ada", "eve@example.org").await;
    assert!(matches!(again, Err(tenants::Error::Name(Refusal::Taken))));
    let alike = cloud.try_sign_up("a-da", "eve@example.org").await;
    assert!(alike.is_ok(), "a hyphen tells them apart");
    cloud.settle().await;
    let log = audit::list(&cloud.db.get().await.unwrap(), &ada.id, 10).await.unwrap();
    let did: Vec<_> = log.iter().rev().map(|entry| (entry.actor.as_str(), entry.action.as_str())).collect();
    assert_eq!(did, [("visitor", "tenant.created"), ("visitor", "tenant.confirmed"), ("operator", "tenant.deleted")]);
}

#[tokio::test]
async fn an_account_stays_while_it_has_another_percloud() {
    let cloud = TestCloud::new().await;
    let (one, two) = (cloud.sign_up("ada").await, cloud.sign_up("ada-2").await);
    assert_eq!(cloud.value::<i64>("select count(*) from accounts").await, 1);
    cloud.confirm(&one).await;
    cloud.wish(&one.id, Wish::Delete).await.unwrap();
    cloud.settle().await;
    assert_eq!(cloud.value::<i64>("select count(*) from accounts").await, 1);
    assert_eq!(cloud.find(&two.id).await.unwrap().observed, Observed::Running);
}

#[tokio::test]
async fn a_sign_up_that_nobody_confirms_lapses_and_sets_its_name_free() {
    let cloud = TestCloud::new().await;
    let (ada, bob) = (cloud.sign_up("ada").await, cloud.sign_up("bob").await);
    cloud.confirm(&bob).await;
    cloud.settle().await;
    cloud.pass_steadily(TimeDelta::hours(47)).await;
    assert!(cloud.find(&ada.id).await.is_some());
    cloud.pass_steadily(TimeDelta::hours(2)).await;
    assert!(cloud.find(&ada.id).await.is_none());
    assert!(cloud.host.spec(&ada.id).is_none());
    assert!(cloud.find(&bob.id).await.is_some());
    cloud.try_sign_up("ada", "other@example.org").await.expect("nobody ever used it");
}

#[tokio::test]
async fn an_owner_who_asked_to_leave_is_let_go_when_the_grace_is_over() {
    let cloud = TestCloud::new().await;
    let ada = cloud.sign_up("ada").await;
    cloud.confirm(&ada).await;
    cloud.settle().await;
    let after = cloud.now() + TimeDelta::days(30);
    let leaving = Status { set_up: true, used_bytes: 7, delete_after: Some(after), ..Status::default() };
    cloud.host.set_status(&ada.id, leaving);
    cloud.pass(TimeDelta::hours(1)).await;
    let tenant = cloud.find(&ada.id).await.unwrap();
    assert_eq!((tenant.delete_after, tenant.used_bytes, tenant.set_up_at.is_some()), (Some(after), 7, true));
    // She thinks again.
    cloud.host.set_status(&ada.id, Status { set_up: true, used_bytes: 7, ..Status::default() });
    cloud.pass(TimeDelta::days(40)).await;
    assert_eq!(cloud.find(&ada.id).await.unwrap().delete_after, None);
    // And again.
    let after = cloud.now() + TimeDelta::days(30);
    cloud
        .host
        .set_status(&ada.id, Status { set_up: true, used_bytes: 7, delete_after: Some(after), ..Status::default() });
    cloud.pass_steadily(TimeDelta::days(29)).await;
    assert!(cloud.find(&ada.id).await.is_some());
    cloud.pass_steadily(TimeDelta::days(1)).await;
    assert!(cloud.find(&ada.id).await.is_none());
    let actor: String = cloud.value("select actor from audit where action = 'tenant.deleted'").await;
    assert_eq!(actor, "owner");
}

#[tokio::test]
async fn a_clock_that_leaps_ahead_deletes_nobody_before_it_has_stayed_there() {
    let cloud = TestCloud::new().await;
    let (ada, bob) = (cloud.sign_up("ada").await, cloud.sign_up("bob").await);
    cloud.confirm(&ada).await;
    let after = Some(cloud.now() + TimeDelta::days(30));
    cloud.settle().await;
    cloud.host.set_status(&ada.id, Status { set_up: true, delete_after: after, ..Status::default() });
    let there = async || [cloud.find(&ada.id).await.is_some(), cloud.find(&bob.id).await.is_some()];
    cloud.pass_steadily(TimeDelta::hours(5)).await;
    cloud.pass(TimeDelta::days(40)).await;
    assert_eq!(there().await, [true, true], "nobody has added up since");
    roll::when_due(&cloud.worker, cloud.now()).await.unwrap();
    cloud.pass(TimeDelta::minutes(30)).await;
    assert_eq!(there().await, [true, true], "it leapt only just now");
    // It is set right, and later it is that late.
    cloud.pass(-TimeDelta::days(40)).await;
    assert_eq!(set_right::<Tenants>(&cloud.worker, &cloud.clock).await.unwrap(), 2, "both are looked at again");
    assert_eq!(set_right::<Tenants>(&cloud.worker, &cloud.clock).await.unwrap(), 0);
    cloud.pass_steadily(TimeDelta::hours(5)).await;
    assert_eq!(there().await, [true, true]);
    cloud.clock.advance(TimeDelta::days(40));
    cloud.pass_steadily(TimeDelta::hours(3)).await;
    assert_eq!(there().await, [false, false], "a machine that was off for so long is believed, too");
}

#[tokio::test]
async fn a_host_that_is_away_is_waited_for_and_one_that_refuses_is_told_to_a_person() {
    let cloud = TestCloud::new().await;
    cloud.host.fail_always(Call::Place, Fault::Before);
    let ada = cloud.sign_up("ada").await;
    cloud.settle().await;
    for _ in 0..3 {
        cloud.pass(TimeDelta::seconds(10)).await;
    }
    let tenant = cloud.find(&ada.id).await.unwrap();
    assert!(tenant.tries >= 3 && tenant.last_error.is_some(), "{tenant:?}");
    assert_eq!(cloud.route(&ada.domain).await.as_deref(), Some("failing"));
    cloud.host.fail_always(Call::Place, Fault::Refusal);
    cloud.pass(TimeDelta::minutes(10)).await;
    let tenant = cloud.find(&ada.id).await.unwrap();
    assert!(tenant.last_error.as_deref().is_some_and(|why| why.contains("needs a person")), "{tenant:?}");
    assert!(tenant.due_at.unwrap() > cloud.now() + TimeDelta::minutes(30));
    // The person mends it, and asks to try again.
    cloud.host.heal();
    cloud.wish(&ada.id, Wish::Resume).await.unwrap();
    cloud.settle().await;
    let tenant = cloud.find(&ada.id).await.unwrap();
    assert_eq!((tenant.observed, tenant.tries, tenant.last_error), (Observed::Running, 0, None));
}

#[tokio::test]
async fn a_runtime_that_does_not_start_shows_and_so_does_its_recovery() {
    let cloud = TestCloud::new().await;
    let ada = cloud.sign_up("ada").await;
    cloud.confirm(&ada).await;
    cloud.settle().await;
    cloud.host.set_state(&ada.id, State::Failing("exit 1".into()));
    cloud.pass(TimeDelta::minutes(20)).await;
    assert_eq!(cloud.route(&ada.domain).await.as_deref(), Some("failing"));
    assert!(cloud.find(&ada.id).await.unwrap().last_error.unwrap().contains("exit 1"));
    cloud.host.set_state(&ada.id, State::Awake);
    cloud.pass(TimeDelta::minutes(1)).await;
    assert_eq!(cloud.route(&ada.domain).await.as_deref(), Some("running"));
}

#[tokio::test]
async fn an_owner_hears_once_that_a_percloud_fills_the_disk_and_again_when_it_does_so_for_long() {
    let cloud = TestCloud::new().await;
    let (ada, bob) = (cloud.sign_up("ada").await, cloud.sign_up("bob").await);
    for one in [&ada, &bob] {
        cloud.confirm(one).await;
    }
    cloud.settle().await;
    cloud.host.set_filled(&ada.id);
    let told =
        "select coalesce(string_agg(tenant_id || ' ' || recipient, ', '), '') from mails where kind = 'disk-full'";
    // By the time that somebody looks it may run again: the owner hears all the same.
    for _ in 0..3 {
        cloud.pass(TimeDelta::minutes(20)).await;
        assert_eq!(cloud.value::<String>(told).await, format!("{} ada@example.org", ada.id));
    }
    let text: String = cloud.value("select text_body from spooled_mails where kind = 'disk-full'").await;
    assert!(text.contains("ada.percloud.localhost holds far more than it may"), "{text}");
    cloud.pass(TimeDelta::days(7)).await;
    cloud.pass(TimeDelta::minutes(20)).await;
    let again = "select count(*) from mails where kind = 'disk-full' and queued_at > (select full_told_at from tenants where name = 'ada') - interval '1 day'";
    assert_eq!(cloud.value::<i64>(again).await, 1);
}

/// A host in whose `place` something else happens first.
struct Meanwhile<F>(Arc<dyn Host>, F);

impl<F: Fn() -> BoxFuture<'static, ()> + Send + Sync> Host for Meanwhile<F> {
    fn look<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<Option<Unit>, Error>> {
        self.0.look(id)
    }
    fn place<'a>(&'a self, spec: &'a TenantSpec) -> BoxFuture<'a, Result<Unit, Error>> {
        Box::pin(async {
            (self.1)().await;
            self.0.place(spec).await
        })
    }
    fn retry<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<Option<Unit>, Error>> {
        self.0.retry(id)
    }
    fn remove<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<(), Error>> {
        self.0.remove(id)
    }
    fn usage(&self) -> BoxFuture<'_, Result<Usage, Error>> {
        self.0.usage()
    }

    fn layers(&self) -> BoxFuture<'_, Result<Vec<Layer>, Error>> {
        self.0.layers()
    }
    fn list(&self) -> BoxFuture<'_, Result<Vec<TenantId>, Error>> {
        self.0.list()
    }
}

#[tokio::test]
async fn a_wish_that_comes_during_a_turn_is_not_lost() {
    let cloud = Arc::new(TestCloud::new().await);
    let ada = cloud.sign_up("ada").await;
    let (inner, id) = (cloud.clone(), ada.id.clone());
    let host = Meanwhile(Arc::new(cloud.host.clone()), move || -> BoxFuture<'static, ()> {
        let (cloud, id) = (inner.clone(), id.clone());
        Box::pin(async move { drop(cloud.wish(&id, Wish::Suspend).await.unwrap()) })
    });
    let tenants = TestCloud::tenants(&cloud.worker, Arc::new(host), &cloud.clock);
    turn(&tenants, &cloud.worker, &cloud.clock, &Stages::default()).await.unwrap();
    assert!(cloud.host.spec(&ada.id).unwrap().suspended.is_none(), "placed as it was wanted when the turn began");
    cloud.settle().await;
    assert!(cloud.host.spec(&ada.id).unwrap().suspended.is_some());
}

#[tokio::test]
async fn a_worker_that_comes_late_cannot_write() {
    let cloud = Arc::new(TestCloud::new().await);
    let ada = cloud.sign_up("ada").await;
    let inner = cloud.clone();
    let host = Meanwhile(Arc::new(cloud.host.clone()), move || -> BoxFuture<'static, ()> {
        let cloud = inner.clone();
        Box::pin(async move {
            cloud.leases_run_out().await;
            cloud.settle().await; // another worker does it all
        })
    });
    let late = TestCloud::tenants(&cloud.worker, Arc::new(host), &cloud.clock);
    let claim = || cloud.value::<i64>("select claim from tenants");
    let went = turn(&late, &cloud.worker, &cloud.clock, &Stages::default()).await.unwrap();
    assert!(matches!(went, Turn::Lost(_)), "{went:?}");
    assert_eq!(claim().await, 2);
    assert_eq!(cloud.find(&ada.id).await.unwrap().observed, Observed::Running);
}

#[tokio::test]
async fn two_workers_never_have_the_same_row() {
    let cloud = Arc::new(TestCloud::new().await);
    for n in 0..20 {
        cloud.sign_up(&format!("percy-{n}")).await;
    }
    let work = || {
        let cloud = cloud.clone();
        tokio::spawn(async move { while cloud.turn(&Stages::default()).await != Turn::Idle {} })
    };
    for worker in [work(), work(), work(), work()] {
        worker.await.unwrap();
    }
    assert_eq!(cloud.host.calls().iter().filter(|(call, _)| *call == Call::Place).count(), 20);
    assert_eq!(cloud.value::<i64>("select count(*) from tenants where observed = 'running'").await, 20);
}

#[tokio::test]
async fn the_loop_works_by_itself_and_ends_when_told() {
    let cloud = TestCloud::new().await;
    let stop = CancellationToken::new();
    let keep = control_plane::reconcile::keep(
        cloud.tenants.clone(),
        &cloud.url,
        cloud.worker.clone(),
        cloud.clock.clone(),
        stop.clone(),
    );
    let url = cloud.url.clone();
    let story = async {
        let ada = cloud.sign_up("ada").await;
        eventually("ada", async || cloud.route(&ada.domain).await.filter(|state| state == "running")).await;
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()";
        crate::postgres::execute(&url, cut).await;
        let bob = eventually("the pool", async || cloud.try_sign_up_again("bob").await).await;
        eventually("bob", async || cloud.route(&bob.domain).await.filter(|state| state == "running")).await;
        let db = cloud.db.get().await.unwrap();
        let health = eventually("health", async || {
            control_plane::reconcile::health(&db).await.unwrap().into_iter().find(|health| health.outcome == "ok")
        });
        assert_eq!(health.await.noun, "tenants");
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(keep, story);
    ended.unwrap();
}

#[tokio::test]
async fn lists_come_in_pages_and_by_state() {
    let cloud = TestCloud::new().await;
    for name in ["ada", "bob", "carol", "cara", "dan"] {
        cloud.sign_up(name).await;
    }
    cloud.settle().await;
    let db = cloud.db.get().await.unwrap();
    let names = async |filter: Filter| -> Vec<String> {
        tenants::list(&db, &filter).await.unwrap().into_iter().map(|tenant| tenant.name).collect()
    };
    assert_eq!(names(Filter::default()).await, ["ada", "bob", "cara", "carol", "dan"]);
    assert_eq!(names(Filter { limit: 2, ..Filter::default() }).await, ["ada", "bob"]);
    let after = Some("bob.percloud.localhost".to_owned());
    assert_eq!(names(Filter { after, limit: 2, ..Filter::default() }).await, ["cara", "carol"]);
    assert_eq!(names(Filter { prefix: Some("car".into()), ..Filter::default() }).await, ["cara", "carol"]);
    assert!(names(Filter { observed: Some(Observed::Failing), ..Filter::default() }).await.is_empty());
    assert!(names(Filter { failing: true, ..Filter::default() }).await.is_empty());
    for which in ["ada", "ADA", "ada.percloud.localhost"] {
        assert_eq!(tenants::get(&db, which).await.unwrap().name, "ada", "{which}");
    }
    assert!(matches!(tenants::get(&db, "nobody").await, Err(tenants::Error::NotFound)));
}
