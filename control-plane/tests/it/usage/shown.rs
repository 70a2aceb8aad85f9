//! What the operator and programs see of it: tables, CSV, API, the list of abuse.

use chrono::{DateTime, TimeDelta, Utc};
use control_plane::{api_tokens::Scope, usage::roll};
use serde_json::Value;

use crate::{
    api::{call, token},
    cloud::TestCloud,
    operator::{done, json, refused},
    portal::Portal,
};

/// Ada and Bob on the two days before today (the commands ask the machine's clock), with known sums; Carol has gone.
async fn cloud() -> (TestCloud, String, DateTime<Utc>) {
    let cloud = TestCloud::new().await;
    let now: DateTime<Utc> = cloud.value("select now()").await;
    let today = now.date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
    cloud.clock.advance(today - TimeDelta::days(3) - cloud.now());
    let (ada, bob) = (cloud.sign_up("ada").await.id, cloud.sign_up("bob").await.id);
    cloud.clock.advance(now - cloud.now());
    let partitions = format!("select usage_partitions(to_timestamp({}))", (today - TimeDelta::days(2)).timestamp());
    cloud.sql(&partitions).await;
    for (id, day, cpu, storage) in [
        (ada.as_str(), 2, 1_500_000, 700),
        (ada.as_str(), 1, 2_000_000, 900),
        (bob.as_str(), 2, 60_000_000, 30),
        ("t-cccccccccccccccc", 1, 1, 1),
    ] {
        let hour = (today - TimeDelta::days(day) + TimeDelta::hours(5)).timestamp();
        cloud
            .sql(&format!(
                "insert into usage_hours (tenant_id, hour, cpu_micros, memory_byte_seconds, awake_seconds, wakes, storage_bytes, requests, egress_bytes)
                values ('{id}', to_timestamp({hour}), {cpu}, 2000000, 2, 3, {storage}, 1234, 5000000)"
            ))
            .await;
    }
    cloud.sql("update tenants set confirmed_at = created_at").await;
    roll::when_due(&cloud.worker, cloud.now()).await.unwrap();
    (cloud, ada.to_string(), today)
}

fn day(today: DateTime<Utc>, back: i64) -> String {
    (today - TimeDelta::days(back)).format("%Y-%m-%d").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_what_each_percloud_used() {
    let (cloud, ada, today) = cloud().await;
    let (from, to) = (day(today, 2), day(today, 1));
    let table = done(&cloud, &["admin", "usage", "--by", "day", "--from", &from, "--to", &to]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("PERCLOUD") && lines.len() == 6, "{table}");
    let line = lines.iter().find(|line| line.starts_with("ada.percloud.localhost") && line.contains(&from)).unwrap();
    for said in ["1.5 s", "2.0 s", "1.0 MB", "700 B", "1,234", "5.0 MB"] {
        assert!(line.contains(said), "{said}: {line}");
    }
    assert!(table.contains("t-cccccccccccccccc (gone)"), "{table}");
    let words = ["admin", "usage", "--by", "day", "--from", &from, "--to", &to, "--csv"];
    let csv = done(&cloud, &words);
    let records: Vec<&str> = csv.split("\r\n").collect();
    assert!(records[0].starts_with("percloud,id,begin,cpu_seconds,"), "{csv}");
    let record = format!(
        "ada.percloud.localhost,{ada},{from},1.500000,2000000,2,3,700,1234,5000000,0.000000,0,0,0,0,0,0,0.000000,0,0"
    );
    assert!(records.contains(&record.as_str()), "{csv}");
    assert_eq!((records.len(), records.last()), (7, Some(&"")), "{csv}");
    let hours = json(&cloud, &["admin", "usage", "--by", "hour", "--from", &from, "--percloud", "ada"]);
    assert_eq!(hours.as_array().unwrap().len(), 2, "{hours}");
    let page = done(&cloud, &["admin", "usage", "--by", "day", "--from", &from, "--to", &to, "--limit", "2"]);
    let after = page.trim().rsplit(' ').next().unwrap();
    let rest = json(&cloud, &["admin", "usage", "--by", "day", "--from", &from, "--to", &to, "--after", after]);
    assert_eq!(rest.as_array().unwrap().len(), 3, "{page} {rest}");
    assert!(
        done(&cloud, &["admin", "usage", "--to", "2020-01-31", "--from", "2020-01-01"]).starts_with("Nothing was used")
    );
    assert!(refused(&cloud, &["admin", "usage", "--from", &to, "--to", &from]).contains("is after"));
    assert!(refused(&cloud, &["admin", "usage", "--percloud", "nobody"]).contains("no such percloud"));
}

#[tokio::test]
async fn programs_see_the_same_page_by_page() {
    let (cloud, ada, today) = cloud().await;
    let portal = Portal::of(&cloud).await;
    let token = token(&cloud, &[Scope::UsageRead]).await;
    let path = format!("/api/v1/usage?by=day&from={}&to={}&limit=2", day(today, 2), day(today, 1));
    let (mut seen, mut next) = (Vec::new(), String::new());
    loop {
        let (status, page) = call(&portal, "GET", &format!("{path}{next}"), &token, None).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(page["usage"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(after) => next = format!("&after={after}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
    let order: Vec<(&str, &str)> =
        seen.iter().map(|used| (used["begin"].as_str().unwrap(), used["tenant_id"].as_str().unwrap())).collect();
    assert!(order.is_sorted(), "{order:?}");
    let from = day(today, 2);
    for which in ["ada", "ada.percloud.localhost", &ada] {
        let path = format!("/api/v1/tenants/{which}/usage?by=month&from={from}");
        let (status, page) = call(&portal, "GET", &path, &token, None).await;
        let cpu: i64 = page["usage"].as_array().unwrap().iter().map(|used| used["cpu_micros"].as_i64().unwrap()).sum();
        assert_eq!((status, cpu), (200, 3_500_000), "{which} {page}");
    }
    let (_, gone) =
        call(&portal, "GET", &format!("/api/v1/tenants/t-cccccccccccccccc/usage?by=day&from={from}"), &token, None)
            .await;
    assert_eq!(
        (gone["usage"][0]["cpu_micros"].as_i64(), &gone["usage"][0]["domain"]),
        (Some(1), &Value::Null),
        "{gone}"
    );
    for (path, status) in [
        ("/api/v1/tenants/nobody/usage", 404),
        ("/api/v1/usage?after=nonsense", 422),
        ("/api/v1/usage?from=2026-02-02&to=2026-02-01", 422),
        ("/api/v1/usage?by=year", 400),
        ("/api/v1/costs?month=nonsense", 422),
        ("/api/v1/costs?month=2999-01", 422),
        ("/api/v1/costs", 409),
    ] {
        let (got, problem) = call(&portal, "GET", path, &token, None).await;
        assert_eq!(got, status, "{path} {problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_met_limits_is_on_the_list_and_in_the_doctors_report() {
    let (cloud, ada, _) = cloud().await;
    assert!(done(&cloud, &["admin", "abuse"]).starts_with("All is quiet"));
    let report = |cloud: &TestCloud| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_percloud"))
            .args(["doctor", "--json", "--data", cloud.common.data.to_str().unwrap(), "--database-url", &cloud.url])
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = report["findings"].as_array().unwrap().iter().find(|one| one["about"] == "limits").cloned();
        found.unwrap_or_else(|| panic!("{report:#}"))
    };
    assert_eq!(report(&cloud)["state"], "well");
    let hour = control_plane::usage::hour_of(cloud.now()).timestamp();
    cloud
        .sql(&format!(
            "insert into usage_hours (tenant_id, hour, thread_limits) values ('t-dddddddddddddddd', to_timestamp({hour}), 7);
            insert into usage_hours (tenant_id, hour, throttled_micros, failures) values ('{ada}', to_timestamp({hour}), 7200000000, 2)"
        ))
        .await;
    let said = done(&cloud, &["admin", "abuse"]);
    let (worst, other) =
        (said.find("ada.percloud.localhost").unwrap(), said.find("t-dddddddddddddddd (gone)").unwrap());
    assert!(worst < other && said.contains("held back for 2 h 0 min") && said.contains("→ "), "{said}");
    assert!(!said.contains("failed"), "two failures are everyday life: {said}");
    let csv = done(&cloud, &["admin", "abuse", "--hours", "1", "--csv"]);
    assert!(csv.starts_with("percloud,id,points,did,do\r\nada.percloud.localhost,"), "{csv}");
    assert_eq!(json(&cloud, &["admin", "abuse"])[0]["points"], 240);
    let found = report(&cloud);
    assert!(
        found["state"] == "warning" && found["found"].as_str().unwrap().contains("ada.percloud.localhost"),
        "{found}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_says_prices_and_sees_what_a_percloud_costs() {
    let (cloud, _, today) = cloud().await;
    let unsaid = refused(&cloud, &["admin", "costs"]);
    assert!(unsaid.contains("`percloud admin costs set --currency EUR --machine 49.00`"), "{unsaid}");
    for (words, why) in [
        (&["--currency", "euro", "--machine", "1"][..], "three letters"),
        (&["--currency", "EUR", "--machine", "1,50"], "49.00"),
        (&["--currency", "EUR", "--machine", "1", "--weights", "20,40,50"], "make 100"),
        (&["--currency", "EUR", "--machine", "1", "--weights", "20,-20,100"], "make 100"),
        (&["--currency", "EUR", "--machine", "1", "--share", "0"], "share"),
        (&["--currency", "EUR", "--machine", "1", "--kwh", "1001"], "at most"),
    ] {
        let said = refused(&cloud, &[&["admin", "costs", "set"], words].concat());
        assert!(said.contains(why), "{words:?}: {said}");
    }
    let set = [
        "admin",
        "costs",
        "set",
        "--currency",
        "eur",
        "--machine",
        "49.00",
        "--machines",
        "2",
        "--share",
        "80",
        "--watts",
        "60",
        "--kwh",
        "0.30",
        "--storage-gb",
        "0.02",
        "--egress-gb",
        "0.01",
    ];
    assert!(done(&cloud, &set).starts_with("Noted."));
    done(&cloud, &set);
    let actions: i64 = cloud.value("select count(*) from audit where action = 'costs.set'").await;
    assert_eq!(actions, 2);
    // The month of the day before yesterday: it runs, or has ended a day ago.
    let month = (today - TimeDelta::days(2)).format("%Y-%m").to_string();
    let bill = json(&cloud, &["admin", "costs", "--month", &month]);
    let each = bill["perclouds"].as_array().unwrap();
    let sum: i64 = each.iter().map(|cost| cost["total"].as_i64().unwrap()).sum();
    assert!(sum > 0 && Some(sum) == bill["total"].as_i64(), "{bill:#}");
    let said = done(&cloud, &["admin", "costs", "--month", &month]);
    for words in [
        "in EUR",
        "machines, borne alike (20 %)",
        "half of them cost at most (median)",
        "▇",
        "PERCLOUD",
        "ada.percloud.localhost",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let csv = done(&cloud, &["admin", "costs", "--month", &month, "--csv"]);
    assert!(
        csv.starts_with("percloud,id,month,so_far,days,currency,base,") && csv.split("\r\n").count() == each.len() + 2,
        "{csv}"
    );
    let empty = done(&cloud, &["admin", "costs", "--month", "2020-02"]);
    assert!(empty.contains("no perclouds then") && !empty.contains("so far"), "{empty}");
    assert!(refused(&cloud, &["admin", "costs", "--month", "2999-01"]).contains("has not begun"));
    assert!(refused(&cloud, &["admin", "costs", "--month", "January"]).contains("2026-11"));

    let portal = Portal::of(&cloud).await;
    let token = token(&cloud, &[Scope::UsageRead]).await;
    let (status, page) = call(&portal, "GET", &format!("/api/v1/costs?month={month}&limit=1"), &token, None).await;
    assert_eq!((status, page["count"].as_u64()), (200, Some(each.len() as u64)), "{page}");
    let path = format!("/api/v1/costs?month={month}&after={}", page["next"].as_str().unwrap());
    let (_, rest) = call(&portal, "GET", &path, &token, None).await;
    assert_eq!((rest["perclouds"].as_array().unwrap().len(), &rest["next"]), (each.len() - 1, &Value::Null), "{rest}");
    let together = |page: &Value| {
        page["perclouds"].as_array().unwrap().iter().map(|cost| cost["total"].as_i64().unwrap()).sum::<i64>()
    };
    assert_eq!(Some(together(&page) + together(&rest)), page["total"].as_i64(), "this clock stands still");
}
