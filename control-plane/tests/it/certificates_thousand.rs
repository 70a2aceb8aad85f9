//! A thousand names of which ten never validate: the other 990 are issued, and the CA sees no more orders than budgets allow.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use control_plane::certificates::State;
use tls::acme::Kind;

use crate::ca::Scene;

const NAMES: i64 = 1000;
const BROKEN: i64 = 10;

/// The most orders of an account within three hours, by when each was made.
fn busiest(orders: &[DateTime<Utc>]) -> usize {
    let within =
        |from: &DateTime<Utc>| orders.iter().filter(|at| *at >= from && **at < *from + TimeDelta::hours(3)).count();
    orders.iter().map(within).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_names_that_never_validate_harm_none_of_a_thousand() {
    let scene = Scene::new().await;
    let ca = scene.pebble(|options| options.nonce_reject_percent = 5).await;
    let noun = scene.noun(&[&ca], &scene.shared(&[Kind::Http01], None));
    let begun = scene.cloud.now();
    for n in 0..NAMES {
        let name = format!("site-{n}.test");
        // The broken ones come first: nothing may queue up behind them.
        scene.responder.lead(&name, n >= BROKEN);
        scene.want(&name).await;
        if n == BROKEN - 1 {
            scene.cloud.clock.advance(TimeDelta::seconds(1));
        }
    }
    let (mut rounds, mut seen) = (BTreeMap::new(), 0);
    while scene.issued().await < NAMES - BROKEN {
        assert!(scene.cloud.now() < begun + TimeDelta::hours(24), "{rounds:?}");
        scene.settle(&noun).await;
        let orders = ca.count("Added order");
        if orders > seen {
            rounds.insert((scene.cloud.now() - begun).num_minutes(), orders - seen);
            seen = orders;
        }
        scene.cloud.clock.advance(TimeDelta::minutes(10));
    }
    let orders: Vec<DateTime<Utc>> = scene
        .cloud
        .db
        .get()
        .await
        .unwrap()
        .query("select at from acme_attempts order by at", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(busiest(&orders) <= 300, "{rounds:?}");
    assert_eq!(seen, orders.len(), "what we counted is what the CA saw: {rounds:?}");
    let failed = i64::try_from(orders.len()).unwrap() - (NAMES - BROKEN);
    assert!(failed <= BROKEN * 5, "{failed} orders for {BROKEN} names that fail: 1, 10 and 100 minutes, then daily");
    for n in 0..BROKEN {
        let one = scene.find(&format!("site-{n}.test")).await;
        assert_eq!(one.state, State::Failing, "{one:?}");
        assert!(one.tries >= 4 && one.last_error.is_some(), "{one:?}");
    }
    let refused: i64 = scene
        .cloud
        .value("select count(*) from certificates where last_error is not null and names[1] !~ '^site-[0-9]\\.test$'")
        .await;
    assert_eq!(refused, 0, "no other name has failed");
}
