//! The host's counters become hours: nothing twice, nothing never.

use std::sync::Arc;

use bundle::TenantId;
use chrono::TimeDelta;
use control_plane::{
    hosts::{
        LimitsMet, Usage, Used,
        simulated::{Call, Fault},
    },
    usage::{
        costs::Prices,
        list::Month,
        prices,
        reconcile::{Counted, Meter},
        roll,
    },
};
use tokio::sync::Notify;

use crate::{cloud::TestCloud, postgres};

/// Who counts, as the reconciler's user.
pub(crate) fn meter(cloud: &TestCloud) -> Meter {
    Meter {
        db: cloud.worker.clone(),
        host: Arc::new(cloud.host.clone()),
        clock: cloud.clock.clone(),
        per_percloud: false,
        // Clocks of tests stand where they are put.
        apart: TimeDelta::MAX,
    }
}

/// A percloud that has used `cpu` microseconds, a thousandth of it awake, and has `storage` bytes.
pub(crate) fn used(id: &TenantId, cpu: u64, storage: u64) -> Used {
    Used {
        id: id.clone(),
        cpu_micros: cpu,
        memory_byte_seconds: cpu * 10,
        awake_seconds: cpu / 1000,
        wakes: 1,
        storage_bytes: Some(storage),
        limits_met: LimitsMet::default(),
    }
}

pub(crate) fn says(cloud: &TestCloud, epoch: &str, of: Vec<Used>) {
    cloud.host.set_usage(Usage { epoch: epoch.into(), of });
}

/// Each hour's sums: hour, rows, processor time, wakes, bytes on the disk.
async fn hours(cloud: &TestCloud) -> Vec<String> {
    let sql = "select concat_ws(' ', to_char(hour at time zone 'UTC', 'DD HH24'), count(*), sum(cpu_micros), sum(wakes), sum(storage_bytes))
        from usage_hours group by hour order by hour";
    cloud.db.get().await.unwrap().query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_minute_adds_what_is_new_and_a_host_that_began_anew_loses_nothing() {
    let cloud = TestCloud::new().await;
    let (ada, bob) = (cloud.sign_up("ada").await.id, cloud.sign_up("bob").await.id);
    let meter = meter(&cloud);
    says(&cloud, "one", vec![used(&ada, 5000, 70), used(&bob, 0, 30)]);
    assert_eq!(meter.count().await.unwrap(), Counted::Here { perclouds: 2, changed: 2 });
    assert_eq!(meter.count().await.unwrap(), Counted::Here { perclouds: 2, changed: 0 }, "twice is once");
    assert_eq!(hours(&cloud).await, ["01 12 2 5000 2 100"]);
    says(&cloud, "one", vec![used(&ada, 8000, 70), used(&bob, 0, 30)]);
    meter.count().await.unwrap();
    cloud.clock.advance(TimeDelta::hours(1));
    says(&cloud, "one", vec![used(&ada, 9000, 90), used(&bob, 0, 30)]);
    meter.count().await.unwrap();
    assert_eq!(hours(&cloud).await, ["01 12 2 8000 2 100", "01 13 1 1000 0 90"], "who slept has no row in the hour");
    // The host starts again: its counters begin at nought, and what they say is all new, more or less than before.
    says(&cloud, "two", vec![used(&ada, 9500, 90), used(&bob, 10, 30)]);
    meter.count().await.unwrap();
    meter.count().await.unwrap();
    assert_eq!(hours(&cloud).await[1], "01 13 2 10510 2 90");
    // Within an epoch they only grow. One that does not is taken for nought, and goes on from there.
    says(&cloud, "two", vec![used(&ada, 500, 90), used(&bob, 10, 30)]);
    meter.count().await.unwrap();
    says(&cloud, "two", vec![used(&ada, 600, 90), used(&bob, 10, 30)]);
    meter.count().await.unwrap();
    assert_eq!(hours(&cloud).await[1], "01 13 2 10610 2 90");
    let limits: String =
        cloud.value("select concat_ws(' ', sum(memory_byte_seconds), sum(awake_seconds)) from usage_hours").await;
    assert_eq!(limits, "186100 18", "the other columns are not mixed up");
}

#[tokio::test]
async fn what_is_on_the_disk_does_not_fall_while_a_host_that_began_anew_counts_it_again() {
    let cloud = TestCloud::new().await;
    let (ada, bob) = (cloud.sign_up("ada").await.id, cloud.sign_up("bob").await.id);
    let meter = meter(&cloud);
    says(&cloud, "one", vec![used(&ada, 5000, 70), used(&bob, 100, 30)]);
    meter.count().await.unwrap();
    cloud.clock.advance(TimeDelta::hours(1));
    let uncounted = |id, cpu| Used { storage_bytes: None, ..used(id, cpu, 0) };
    says(&cloud, "two", vec![uncounted(&ada, 10), uncounted(&bob, 20)]);
    meter.count().await.unwrap();
    let stored = "select concat_ws(' ', sum(storage_bytes), count(*)) from usage_marks";
    assert_eq!(cloud.value::<String>(stored).await, "100 2");
    assert_eq!(hours(&cloud).await, ["01 12 2 5100 2 100", "01 13 2 30 2"], "what is not known stands nowhere");
    says(&cloud, "two", vec![used(&ada, 10, 71), uncounted(&bob, 20)]);
    meter.count().await.unwrap();
    assert_eq!(cloud.value::<String>(stored).await, "101 2", "one after the other");
    roll::today(&cloud.worker, cloud.now()).await.unwrap();
    assert_eq!(cloud.value::<i64>("select sum(storage_bytes)::bigint from usage_days").await, 101);
}

#[tokio::test]
async fn each_limit_met_stands_in_its_own_column() {
    let cloud = TestCloud::new().await;
    let ada = cloud.sign_up("ada").await.id;
    let limits_met =
        LimitsMet { throttled_micros: 1, memory: 2, threads: 3, disk: 4, failures: 5, starts: 6, busy_micros: 7 };
    says(&cloud, "one", vec![Used { limits_met, ..used(&ada, 0, 0) }]);
    meter(&cloud).count().await.unwrap();
    let columns = "throttled_micros, memory_limits, thread_limits, disk_limits, failures, starts_in_vain, busy_micros";
    let hour = format!("select concat_ws(' ', {columns}, refused) from usage_hours");
    assert_eq!(cloud.value::<String>(&hour).await, "1 2 3 4 5 6 7 0");
    let marked = format!("select concat_ws(' ', {columns}) from usage_marks");
    assert_eq!(cloud.value::<String>(&marked).await, "1 2 3 4 5 6 7");
    roll::today(&cloud.worker, cloud.now()).await.unwrap();
    let day = format!("select concat_ws(' ', {columns}, refused) from usage_days");
    assert_eq!(cloud.value::<String>(&day).await, "1 2 3 4 5 6 7 0");
}

#[tokio::test]
async fn a_host_that_is_away_loses_nothing_and_the_doctor_hears_of_it() {
    let cloud = TestCloud::new().await;
    let ada = cloud.sign_up("ada").await.id;
    let meter = meter(&cloud);
    says(&cloud, "one", vec![used(&ada, 1000, 7)]);
    cloud.host.fail_always(Call::Usage, Fault::Before);
    meter.once().await;
    assert_eq!(cloud.value::<i64>("select count(*) from usage_hours").await, 0);
    let noted = "select concat_ws(' ', outcome, last_error) from reconcilers where noun = 'usage'";
    let said = cloud.value::<String>(noted).await;
    assert!(said.starts_with("later what perclouds use cannot be counted: the host does not answer"), "{said}");
    cloud.host.heal();
    says(&cloud, "one", vec![used(&ada, 3000, 7)]);
    meter.once().await;
    assert_eq!(hours(&cloud).await, ["01 12 1 3000 1 7"]);
    assert_eq!(cloud.value::<String>(noted).await, "ok");
}

#[tokio::test]
async fn who_is_killed_between_hours_and_marks_has_done_neither() {
    let cloud = TestCloud::new().await;
    let ada = cloud.sign_up("ada").await.id;
    let meter = meter(&cloud);
    says(&cloud, "one", vec![used(&ada, 1000, 7)]);
    // The marks cannot be written: as if the connection broke off after the hours.
    cloud.sql("alter table usage_marks add constraint no_marks check (false) not valid").await;
    meter.count().await.unwrap_err();
    assert_eq!(cloud.value::<i64>("select count(*) from usage_hours").await, 0);
    cloud.sql("alter table usage_marks drop constraint no_marks").await;
    meter.count().await.unwrap();
    assert_eq!(hours(&cloud).await, ["01 12 1 1000 1 7"]);
}

#[tokio::test]
async fn of_two_reconcilers_one_counts() {
    let cloud = TestCloud::new().await;
    let ada = cloud.sign_up("ada").await.id;
    says(&cloud, "one", vec![used(&ada, 1000, 7)]);
    let slow = Arc::new(Slow { host: cloud.host.clone(), asked: Notify::new(), go_on: Notify::new() });
    let first = Meter { host: slow.clone(), ..meter(&cloud) };
    let counting = tokio::spawn(async move { first.count().await });
    slow.asked.notified().await;
    assert_eq!(meter(&cloud).count().await.unwrap(), Counted::Elsewhere);
    slow.go_on.notify_one();
    assert_eq!(counting.await.unwrap().unwrap(), Counted::Here { perclouds: 1, changed: 1 });
    says(&cloud, "one", vec![used(&ada, 2000, 7)]);
    let all = futures_util::future::join_all((0..8).map(|_| async { meter(&cloud).count().await.unwrap() })).await;
    assert!(all.contains(&Counted::Here { perclouds: 1, changed: 1 }), "{all:?}");
    assert_eq!(hours(&cloud).await, ["01 12 1 2000 1 7"]);
}

#[tokio::test]
async fn a_mark_stays_as_long_as_anybody_has_the_percloud() {
    let cloud = TestCloud::new().await;
    let ada = cloud.sign_up("ada").await;
    let meter = meter(&cloud);
    says(&cloud, "one", vec![used(&ada.id, 1000, 7)]);
    meter.count().await.unwrap();
    let marks = "select count(*) from usage_marks";
    says(&cloud, "one", Vec::new());
    meter.count().await.unwrap();
    assert_eq!(cloud.value::<i64>(marks).await, 1, "the host may not have looked at its folders yet");
    cloud.sql("delete from mails; delete from tenants").await;
    says(&cloud, "one", vec![used(&ada.id, 1500, 7)]);
    meter.count().await.unwrap();
    assert_eq!(cloud.value::<i64>(marks).await, 1, "the host still removes it");
    says(&cloud, "one", Vec::new());
    meter.count().await.unwrap();
    assert_eq!(cloud.value::<i64>(marks).await, 0);
    assert_eq!(hours(&cloud).await, ["01 12 1 1500 1 7"], "what it used stays");
}

#[tokio::test]
async fn ten_thousand_are_counted_added_up_and_billed_in_one_go() {
    let cloud = TestCloud::new().await;
    let ids: Vec<TenantId> = (0..10_000).map(|_| TenantId::random()).collect();
    let meter = meter(&cloud);
    says(&cloud, "one", ids.iter().map(|id| used(id, 1000, 7)).collect());
    assert_eq!(meter.count().await.unwrap(), Counted::Here { perclouds: 10_000, changed: 10_000 });
    assert_eq!(hours(&cloud).await, ["01 12 10000 10000000 10000 70000"]);
    says(&cloud, "one", ids.iter().map(|id| used(id, 3000, 7)).collect());
    meter.count().await.unwrap();
    assert_eq!(hours(&cloud).await, ["01 12 10000 30000000 10000 70000"]);
    let all: String = cloud.value("select concat_ws(' ', count(*), sum(cpu_micros)) from usage_marks").await;
    assert_eq!(all, "10000 30000000");
    assert_eq!(roll::when_due(&cloud.worker, cloud.now()).await.unwrap(), Some(1));
    let prices = Prices {
        currency: "EUR".into(),
        machine_micros: 49_000_000,
        machines: 1,
        share_percent: 100,
        watts: 60,
        kwh_micros: 300_000,
        storage_gb_micros: 20_000,
        egress_gb_micros: 10_000,
        weight_base: 20,
        weight_cpu: 40,
        weight_memory: 40,
    };
    let db = cloud.db.get().await.unwrap();
    prices::set(&db, &prices).await.unwrap();
    let month = Month::of(cloud.now());
    let bill = prices::bill(&db, month, cloud.now() + TimeDelta::days(40)).await.unwrap();
    let sum: i64 = bill.costs.each.iter().map(|cost| cost.total).sum();
    // 49 € and 60 W for 31 days at 0.30 € a kilowatt-hour; their 70 kB on the disk cost nothing.
    assert_eq!((bill.costs.each.len(), sum), (10_000, 49_000_000 + 13_392_000));
}

#[tokio::test]
async fn edge_and_host_add_to_the_same_hour() {
    let cloud = TestCloud::new().await;
    let ada = cloud.sign_up("ada").await.id;
    let now: chrono::DateTime<chrono::Utc> = cloud.value("select now()").await;
    cloud.clock.advance(now - cloud.now());
    let meter = meter(&cloud);
    let edge = postgres::client(&cloud.url.replace("percloud_owner", "percloud_edge")).await;
    let add = format!(
        "select usage_add(array['{ada}'], array[to_timestamp({})], array[5::bigint], array[500::bigint], array[1::bigint])",
        control_plane::usage::hour_of(now).timestamp()
    );
    for cpu in [1000, 2000] {
        says(&cloud, "one", vec![used(&ada, cpu, 7)]);
        meter.count().await.unwrap();
        edge.query_one(&add, &[]).await.unwrap();
    }
    let row = "select concat_ws(' ', count(*), sum(cpu_micros), sum(requests), sum(egress_bytes), sum(refused)) from usage_hours";
    assert_eq!(cloud.value::<String>(row).await, "1 2000 10 1000 2");
}

/// The host grows, restarts and is away, the database refuses, time passes, and two reconcilers count in between, in any order.
#[tokio::test]
async fn whatever_happens_each_microsecond_is_counted_once() {
    let cloud = TestCloud::new().await;
    let ids = [cloud.sign_up("ada").await.id, cloud.sign_up("bob").await.id, cloud.sign_up("carol").await.id];
    let meters = [meter(&cloud), meter(&cloud)];
    let (mut counters, mut total, mut epoch) = ([0_u64; 3], 0_u64, 0);
    let mut story = Vec::new();
    for _ in 0..150 {
        let (step, meter) = (rand::random_range(0..8), &meters[rand::random_range(0..2)]);
        story.push(step);
        match step {
            0..3 => {
                let more = rand::random_range(0..1_000_000);
                counters[rand::random_range(0..3)] += more;
                total += more;
            }
            3 => drop(meter.count().await.unwrap()),
            4 => {
                cloud.host.fail_once(Call::Usage, Fault::After);
                meter.count().await.unwrap_err();
            }
            5 => {
                cloud.sql("alter table usage_marks add constraint no_marks check (false) not valid").await;
                drop(meter.count().await);
                cloud.sql("alter table usage_marks drop constraint no_marks").await;
            }
            6 => {
                cloud.clock.advance(TimeDelta::minutes(rand::random_range(1..400)));
                roll::when_due(&cloud.worker, cloud.now()).await.unwrap();
            }
            _ => {
                meter.count().await.unwrap();
                (counters, epoch) = ([0; 3], epoch + 1);
            }
        }
        let of = ids.iter().zip(counters).map(|(id, cpu)| used(id, cpu, cpu)).collect();
        says(&cloud, &format!("epoch {epoch}"), of);
    }
    meters[0].count().await.unwrap();
    cloud.clock.advance(TimeDelta::hours(1));
    roll::when_due(&cloud.worker, cloud.now()).await.unwrap();
    let sums =
        "select concat_ws(' ', (select sum(cpu_micros) from usage_hours), (select sum(cpu_micros) from usage_days))";
    assert_eq!(cloud.value::<String>(sums).await, format!("{total} {total}"), "{story:?}");
}

#[tokio::test]
async fn it_counts_and_shows_the_fleet_until_it_is_told_to_stop() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let shown = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let cloud = TestCloud::new().await;
    let (ada, bob) = (cloud.sign_up("ada").await.id, cloud.sign_up("bob").await.id);
    says(&cloud, "one", vec![used(&ada, 5_000_000, 70), used(&bob, 0, 30)]);
    let stop = tokio_util::sync::CancellationToken::new();
    let keep = |per_percloud| tokio::spawn(Meter { per_percloud, ..meter(&cloud) }.keep(stop.clone()));
    let plain = keep(false);
    let look = async || Some(shown.render()).filter(|text| text.contains("percloud_usage_perclouds 2"));
    let text = postgres::eventually("the fleet is shown", look).await;
    for line in [
        "percloud_usage_storage_bytes 100",
        "percloud_usage_requests_total 0",
        "percloud_usage_limits_met_total{limit=\"disk\"} 0",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("ada"), "nobody is named unless the operator asks for it: {text}");
    cloud.sql(&format!("update usage_hours set requests = 3, egress_bytes = 70 where tenant_id = '{ada}'")).await;
    let named = keep(true);
    let lines = [("cpu_seconds", 5), ("requests_today", 3), ("egress_bytes_today", 70)]
        .map(|(what, figure)| format!("percloud_usage_each_{what}{{percloud=\"ada.percloud.localhost\"}} {figure}"));
    let each = async || Some(()).filter(|()| lines.iter().all(|line| shown.render().contains(line)));
    postgres::eventually("each is shown", each).await;
    stop.cancel();
    plain.await.unwrap();
    named.await.unwrap();
}

/// A host that takes its time to say what was used.
struct Slow {
    host: control_plane::hosts::simulated::Simulated,
    asked: Notify,
    go_on: Notify,
}

mod slow {
    use bundle::{TenantId, TenantSpec};
    use control_plane::hosts::{Error, Host, Layer, Unit, Usage};
    use futures_util::future::BoxFuture;

    impl Host for super::Slow {
        fn look<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<Option<Unit>, Error>> {
            self.host.look(id)
        }
        fn place<'a>(&'a self, spec: &'a TenantSpec) -> BoxFuture<'a, Result<Unit, Error>> {
            self.host.place(spec)
        }
        fn retry<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<Option<Unit>, Error>> {
            self.host.retry(id)
        }
        fn remove<'a>(&'a self, id: &'a TenantId) -> BoxFuture<'a, Result<(), Error>> {
            self.host.remove(id)
        }
        fn layers(&self) -> BoxFuture<'_, Result<Vec<Layer>, Error>> {
            self.host.layers()
        }
        fn usage(&self) -> BoxFuture<'_, Result<Usage, Error>> {
            Box::pin(async {
                self.asked.notify_one();
                self.go_on.notified().await;
                self.host.usage().await
            })
        }
        fn list(&self) -> BoxFuture<'_, Result<Vec<TenantId>, Error>> {
            self.host.list()
        }
    }
}
