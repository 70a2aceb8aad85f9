//! What perclouds use: what edge and egress may add, and the partitions that hold it.

mod brief;
mod counted;
mod restarts;
mod rolled;
mod shown;

use crate::{
    cloud::TestCloud,
    postgres::{self, client},
};

/// One row said to `usage_add_counts`, in SQL; `{id}` is Ada's percloud.
const GOOD: &str = "select usage_add_counts(array['{id}', '{id}', 't-zzzzzzzzzzzzzzzz'], array_fill(date_trunc('hour', now(), 'UTC'), array[3]),
    array[1, 2, 9], array[100, 200, 900], array[0, 1, 9], array[3, 0, 9], array[4, 5, 9])";

#[tokio::test]
async fn edge_and_egress_add_and_what_makes_no_sense_is_refused() {
    let cloud = TestCloud::new().await;
    let ada = cloud.sign_up("ada").await;
    let good = GOOD.replace("{id}", ada.id.as_str());
    for user in ["percloud_edge", "percloud_egress"] {
        let user = client(&cloud.url.replace("percloud_owner", user)).await;
        let added: i64 = user.query_one(&good, &[]).await.unwrap().get(0);
        assert_eq!(added, 1, "what is said twice is one row, and who is not there gets none");
    }
    let sums = "select concat_ws(' ', count(*), sum(requests), sum(egress_bytes), sum(refused), sum(forbidden), sum(crowded)) from usage_hours";
    assert_eq!(cloud.value::<String>(sums).await, "1 6 600 2 6 18");
    let edge = client(&cloud.url.replace("percloud_owner", "percloud_edge")).await;
    for (from, to) in [
        ("array[1, 2, 9]", "array[1, -2, 9]"),
        ("array[1, 2, 9]", "array[1, null, 9]"),
        ("array[1, 2, 9]", "array[1, 2]"),
        ("array[100, 200, 900]", "array[100, 200, 9000000000000000000]"),
        ("array[3, 0, 9]", "array[3, -1, 9]"),
        ("array[4, 5, 9]", "array[4, 5, 9000000000000000000]"),
        ("'t-zzzzzzzzzzzzzzzz'", "null"),
        ("now()", "now() - interval '26 hours'"),
        ("now()", "now() + interval '26 hours'"),
        ("date_trunc('hour', now(), 'UTC')", "now()"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        let refused = edge.query_one(&bad, &[]).await.expect_err(&bad);
        assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("23514"), "{bad}: {refused:?}");
    }
    assert_eq!(cloud.value::<String>(sums).await, "1 6 600 2 6 18", "nothing of what is refused is there");
    // An edge of the version before says less, and is heard while both run.
    let before = good.replace("usage_add_counts", "usage_add").replace(", array[3, 0, 9], array[4, 5, 9]", "");
    edge.query_one(&before, &[]).await.unwrap();
    assert_eq!(cloud.value::<String>(sums).await, "1 9 900 3 6 18");
}

#[tokio::test]
async fn partitions_are_made_ahead_and_dropped_when_their_time_is_over() {
    let url = postgres::database().await;
    let reconcile = client(&url.replace("percloud_owner", "percloud_reconcile")).await;
    let parts = async || -> Vec<String> {
        let sql = "select inhrelid::regclass::text from pg_inherits
            where inhparent in ('usage_hours'::regclass, 'usage_days'::regclass) order by 1";
        reconcile.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    for _ in 0..2 {
        reconcile.batch_execute("select usage_partitions('2026-11-30 23:30+00')").await.unwrap();
        let made = parts().await;
        let months = ["usage_hours_202611", "usage_hours_202612", "usage_hours_202701"];
        assert_eq!(made, [&["usage_days_2026", "usage_days_2027"][..], &months].concat());
    }
    let forget = async |at: &str| -> Vec<String> {
        let sql = format!("select usage_forget('{at}')");
        reconcile.query(&sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    assert!(forget("2027-01-09 23:00+00").await.is_empty(), "the 30th of November is 40 days old, and stays");
    assert_eq!(forget("2027-01-10 01:00+00").await, ["usage_hours_202611"]);
    assert_eq!(forget("2028-02-01 01:00+00").await, ["usage_days_2026", "usage_hours_202612", "usage_hours_202701"]);
    assert_eq!(parts().await, ["usage_days_2027"]);
}
