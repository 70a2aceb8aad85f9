//! Hours become days: over the borders of hour, day and month, and as often as anybody likes.

use chrono::{DateTime, TimeDelta, Utc};
use control_plane::usage::{APART, prices, reconcile::Meter, roll};

use super::counted::{meter, says, used};
use crate::cloud::TestCloud;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A cloud whose clock stands at `text`.
async fn cloud_at(text: &str) -> TestCloud {
    let cloud = TestCloud::new().await;
    cloud.clock.advance(at(text) - cloud.now());
    cloud
}

/// Each row: day, name of the percloud, processor time, bytes on the disk.
async fn days(cloud: &TestCloud) -> Vec<String> {
    let sql = "select concat_ws(' ', to_char(day, 'MM-DD'), coalesce(t.name, 'gone'), cpu_micros, coalesce(storage_bytes::text, 'unknown'))
        from usage_days d left join tenants t on t.id = d.tenant_id order by day, t.name";
    cloud.db.get().await.unwrap().query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Counts, and again an hour later: a clock that leapt is believed by then.
async fn believed(cloud: &TestCloud, meter: &Meter) {
    for _ in 0..2 {
        assert_eq!(meter.once().await, None);
        cloud.clock.advance(TimeDelta::hours(1));
    }
}

#[tokio::test]
async fn days_add_up_over_the_borders_of_day_and_month_and_who_sleeps_has_one_too() {
    let cloud = cloud_at("2026-03-30T22:10:00Z").await;
    let (ada, bob) = (cloud.sign_up("ada").await.id, cloud.sign_up("bob").await.id);
    let meter = meter(&cloud);
    // Twenty-seven hours, a count each: 1000 µs of Ada's an hour, while Bob sleeps on 30 bytes.
    for hour in 1..=27 {
        says(&cloud, "one", vec![used(&ada, hour * 1000, 100 + hour), used(&bob, 0, 30)]);
        meter.once().await;
        cloud.clock.advance(TimeDelta::hours(1));
    }
    // It is the 1st of April, 01:10; the last count was at 00:10.
    let all = [
        "03-30 ada 2000 102",
        "03-30 bob 0 30",
        "03-31 ada 24000 126",
        "03-31 bob 0 30",
        "04-01 ada 1000 127",
        "04-01 bob 0 30",
    ];
    assert_eq!(days(&cloud).await, all);
    assert!(roll::when_due(&cloud.worker, cloud.now()).await.unwrap().is_some(), "a new hour");
    assert_eq!(roll::when_due(&cloud.worker, cloud.now()).await.unwrap(), None, "once an hour");
    cloud.sql("delete from usage_rolled").await;
    assert_eq!(roll::when_due(&cloud.worker, cloud.now()).await.unwrap(), Some(3), "anew from the first hour");
    assert_eq!(days(&cloud).await, all, "as often as one likes");
    let hours: i64 = cloud
        .value("select count(*) from usage_hours where tenant_id in (select id from tenants where name = 'bob')")
        .await;
    assert_eq!(hours, 1, "sleeping takes no hours");
    // Ada goes; her days stay, and no new ones come.
    cloud.sql("delete from mails; delete from tenants where name = 'ada'").await;
    cloud.clock.advance(TimeDelta::days(1));
    says(&cloud, "one", vec![used(&bob, 0, 30)]);
    meter.once().await;
    let rows = days(&cloud).await;
    assert_eq!(&rows[5..], ["04-01 gone 1000 127", "04-02 bob 0 30"], "{rows:?}");
}

#[tokio::test]
async fn what_edge_adds_late_is_in_the_day_it_belongs_to() {
    let cloud = cloud_at("2026-03-30T23:50:00Z").await;
    let ada = cloud.sign_up("ada").await.id;
    let meter = meter(&cloud);
    says(&cloud, "one", vec![used(&ada, 1000, 7)]);
    meter.once().await;
    cloud.clock.advance(TimeDelta::minutes(30));
    meter.once().await;
    let late = format!(
        "insert into usage_hours (tenant_id, hour, requests, egress_bytes) values ('{ada}', '2026-03-30 23:00+00', 8, 900)
        on conflict (tenant_id, hour) do update set requests = 8, egress_bytes = 900"
    );
    cloud.sql(&late).await;
    cloud.clock.advance(TimeDelta::hours(20));
    meter.once().await;
    let sums: String = cloud
        .value("select concat_ws(' ', requests, egress_bytes, cpu_micros) from usage_days where day = '2026-03-30'")
        .await;
    assert_eq!(sums, "8 900 1000");
}

#[tokio::test]
async fn after_an_outage_of_days_each_of_them_has_its_rows() {
    let cloud = cloud_at("2026-12-30T12:00:00Z").await;
    let ada = cloud.sign_up("ada").await.id;
    let meter = meter(&cloud);
    says(&cloud, "one", vec![used(&ada, 1000, 7)]);
    meter.once().await;
    cloud.clock.advance(TimeDelta::days(4));
    let bob = cloud.sign_up("bob").await.id;
    says(&cloud, "one", vec![used(&ada, 3000, 9), used(&bob, 0, 0)]);
    believed(&cloud, &meter).await;
    let rows = days(&cloud).await;
    let of_ada: Vec<&str> = rows.iter().map(String::as_str).filter(|row| row.contains("ada")).collect();
    assert_eq!(
        of_ada,
        ["12-30 ada 1000 7", "12-31 ada 0 7", "01-01 ada 0 7", "01-02 ada 0 7", "01-03 ada 2000 9"]
            .into_iter()
            .collect::<Vec<_>>(),
        "{rows:?}"
    );
    assert!(
        rows.contains(&"01-03 bob 0 0".to_owned()) && !rows.iter().any(|row| row.starts_with("01-02 bob")),
        "{rows:?}"
    );
}

#[tokio::test]
async fn what_is_too_old_goes_when_days_are_added_up() {
    let cloud = cloud_at("2026-03-10T12:00:00Z").await;
    let ada = cloud.sign_up("ada").await.id;
    let meter = meter(&cloud);
    says(&cloud, "one", vec![used(&ada, 1000, 7)]);
    meter.once().await;
    cloud.clock.advance(TimeDelta::days(71));
    says(&cloud, "one", vec![used(&ada, 2000, 7)]);
    believed(&cloud, &meter).await;
    let old = "select count(*) from usage_hours where hour < '2026-04-01'";
    assert_eq!(cloud.value::<i64>(old).await, 1, "a clock that leapt drops nothing");
    for _ in 0..3 {
        cloud.clock.advance(TimeDelta::hours(23));
        assert_eq!(meter.once().await, None);
    }
    assert_eq!(cloud.value::<i64>("select count(*) from usage_hours where hour < '2026-04-01'").await, 0);
    assert_eq!(cloud.value::<i64>("select sum(cpu_micros)::bigint from usage_days").await, 2000, "the days are there");
}

#[tokio::test]
async fn many_add_up_at_once_and_it_is_right() {
    let cloud = cloud_at("2026-03-10T12:00:00Z").await;
    let ada = cloud.sign_up("ada").await.id;
    says(&cloud, "one", vec![used(&ada, 1000, 7)]);
    meter(&cloud).count().await.unwrap();
    let all = futures_util::future::join_all((0..8).map(|_| roll::when_due(&cloud.worker, cloud.now()))).await;
    let done: Vec<usize> = all.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(done, [1]);
    assert_eq!(days(&cloud).await, ["03-10 ada 1000 7"]);
}

#[tokio::test]
async fn a_clock_that_leaps_ahead_and_is_set_back_stops_nothing_and_loses_nothing() {
    for (ahead, stays) in [(30, 0), (30, 3), (30, 60), (75, 0), (75, 3)] {
        let cloud = cloud_at("2026-03-10T12:00:00Z").await;
        let ada = cloud.sign_up("ada").await.id;
        let meter = meter(&cloud);
        says(&cloud, "one", vec![used(&ada, 1000, 7)]);
        assert_eq!(meter.once().await, None);
        // Ahead for a moment, or for hours.
        cloud.clock.advance(TimeDelta::days(ahead));
        for hour in 0..=stays {
            assert_eq!(meter.once().await, None, "{hour}");
            cloud.clock.advance(TimeDelta::hours(1));
        }
        // And set right.
        cloud.clock.advance(at("2026-03-10T13:00:00Z") - cloud.now());
        says(&cloud, "one", vec![used(&ada, 1500, 8)]);
        assert_eq!(meter.once().await, None);
        let told = format!("{ahead} days for {stays} hours");
        assert_eq!(days(&cloud).await[0], "03-10 ada 1500 8", "{told}");
        for (hours, more) in [(1, 1700), (24, 1900), (24, 2400)] {
            cloud.clock.advance(TimeDelta::hours(hours));
            says(&cloud, "one", vec![used(&ada, more, 9)]);
            assert_eq!(meter.once().await, None);
        }
        let rows = days(&cloud).await;
        assert_eq!(rows[..3], ["03-10 ada 1700 9", "03-11 ada 200 9", "03-12 ada 500 9"], "{told}: {rows:?}");
        let hours: i64 = cloud.value("select sum(cpu_micros)::bigint from usage_hours").await;
        assert_eq!(hours, 2400, "{told}: no hour is dropped");
    }
}

#[tokio::test]
async fn a_clock_that_was_years_back_changes_no_day_that_there_is() {
    let cloud = cloud_at("2026-03-10T12:00:00Z").await;
    let ada = cloud.sign_up("ada").await.id;
    let meter = meter(&cloud);
    says(&cloud, "one", vec![used(&ada, 1000, 7)]);
    assert_eq!(meter.once().await, None);
    // As after 40 days.
    cloud.sql("delete from usage_hours").await;
    for text in ["2020-01-01T00:10:00Z", "2020-01-01T01:10:00Z", "2026-03-11T12:00:00Z", "2026-03-11T13:00:00Z"] {
        cloud.clock.advance(at(text) - cloud.now());
        assert_eq!(meter.once().await, None);
    }
    assert_eq!(days(&cloud).await, ["03-10 ada 1000 7", "03-11 ada 0 7"]);
}

#[tokio::test]
async fn after_an_outage_of_more_than_a_year_days_are_added_up_again() {
    let cloud = cloud_at("2026-06-20T12:00:00Z").await;
    let ada = cloud.sign_up("ada").await.id;
    let meter = meter(&cloud);
    says(&cloud, "one", vec![used(&ada, 1000, 7)]);
    assert_eq!(meter.once().await, None);
    cloud.clock.advance(at("2028-02-03T12:00:00Z") - cloud.now());
    says(&cloud, "one", vec![used(&ada, 3000, 9)]);
    believed(&cloud, &meter).await;
    let sums = "select concat_ws(' ', sum(cpu_micros), max(day), count(*) > 380) from usage_days";
    assert_eq!(cloud.value::<String>(sums).await, "3000 2028-02-03 t");
}

#[tokio::test]
async fn nothing_is_counted_while_the_databases_clock_is_another() {
    let cloud = cloud_at("2026-03-10T12:00:00Z").await;
    let ada = cloud.sign_up("ada").await.id;
    let strict = Meter { apart: APART, ..meter(&cloud) };
    says(&cloud, "one", vec![used(&ada, 1000, 7)]);
    let error = strict.once().await.unwrap();
    assert!(error.contains("minutes apart"), "{error}");
    assert_eq!(cloud.value::<i64>("select count(*) from usage_hours").await, 0);
    let its: DateTime<Utc> = cloud.value("select now()").await;
    cloud.clock.advance(its - cloud.now());
    assert_eq!(strict.once().await, None);
    assert_eq!(cloud.value::<i64>("select sum(cpu_micros)::bigint from usage_days").await, 1000, "nothing is lost");
}

#[tokio::test]
async fn who_signs_up_and_never_comes_is_no_percloud_that_costs_anything() {
    let cloud = cloud_at("2026-03-10T12:00:00Z").await;
    let (ada, bob) = (cloud.sign_up("ada").await.id, cloud.sign_up("bob").await.id);
    let meter = meter(&cloud);
    let confirmed = async || -> String {
        let sql = "select string_agg(concat_ws(' ', to_char(day, 'DD'), confirmed), ', ' order by day) from usage_days where tenant_id = ";
        let of = async |id| cloud.value::<String>(&format!("{sql}'{id}'")).await;
        format!("ada {}; bob {}", of(ada.clone()).await, of(bob.clone()).await)
    };
    says(&cloud, "one", vec![used(&ada, 1000, 7), used(&bob, 1000, 7)]);
    assert_eq!(meter.once().await, None);
    assert_eq!(confirmed().await, "ada 10 f; bob 10 f");
    // Ada comes the next day; Bob never does, and goes.
    cloud.sql("update tenants set confirmed_at = now() where name = 'ada'").await;
    cloud.clock.advance(TimeDelta::days(1));
    assert_eq!(meter.once().await, None);
    assert_eq!(confirmed().await, "ada 10 t, 11 t; bob 10 f, 11 f");
    cloud.sql("delete from mails; delete from tenants where name = 'bob'").await;
    cloud.clock.advance(TimeDelta::hours(1));
    assert_eq!(meter.once().await, None);
    // And Ada goes, too: hers stay what they were.
    cloud.sql("delete from tenants where name = 'ada'").await;
    cloud.clock.advance(TimeDelta::hours(1));
    assert_eq!(meter.once().await, None);
    assert_eq!(confirmed().await, "ada 10 t, 11 t; bob 10 f, 11 f");
    let db = cloud.db.get().await.unwrap();
    let prices = "insert into cost_prices values (true, 'EUR', 49000000, 1, 100, 0, 0, 0, 0, 20, 40, 40)";
    db.batch_execute(prices).await.unwrap();
    let bill = prices::bill(&db, "2026-03".parse().unwrap(), cloud.now()).await.unwrap();
    let each: Vec<_> = bill.costs.each.iter().map(|cost| cost.tenant_id.as_str()).collect();
    assert_eq!(each, [ada.as_str()]);
}
