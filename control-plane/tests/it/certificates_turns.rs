//! Whose turn it is: what takes long, or fails again and again, keeps nobody else waiting.

use chrono::{DateTime, TimeDelta, Utc};
use control_plane::certificates::sql;

use crate::{cloud::TestCloud, postgres};

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
