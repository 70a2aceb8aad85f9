//! What may be ordered: windows counted in the database, by all reconcilers together.

use chrono::{DateTime, TimeDelta, Utc};
use control_plane::certificates::{
    Validity,
    acme::budgets::{self, Budgets, Outcome, UsedUp, ended},
    issuer::Order,
};

use futures_util::StreamExt;

use crate::cloud::TestCloud;

const ID: &str = "c-aaaaaaaaaaaaaaaa";

/// Small enough to be used up here.
const BUDGETS: Budgets = Budgets { orders: 10, in_all: 1000, per_domain: 3, same: 2, failures: 2, per_percloud: 4 };

/// An order for names that nobody has had an order for, of a certificate that is nobody's percloud's.
pub(crate) fn first_order(names: &[String], now: DateTime<Utc>) -> Order<'_> {
    Order { id: ID, tenant: None, names, replaces: None, in_window: false, serving: None, tries: 0, now }
}

/// One order for a name, ended somehow.
async fn order(
    cloud: &TestCloud,
    name: &str,
    outcome: Outcome,
    change: impl FnOnce(&mut Order<'_>),
) -> Result<(), UsedUp> {
    order_for(cloud, None, name, outcome, change).await
}

/// The same for a percloud.
async fn order_for(
    cloud: &TestCloud,
    tenant: Option<&bundle::TenantId>,
    name: &str,
    outcome: Outcome,
    change: impl FnOnce(&mut Order<'_>),
) -> Result<(), UsedUp> {
    let (names, tenant) = ([name.to_owned()], tenant.map(bundle::TenantId::as_str));
    let mut order = Order { tenant, ..first_order(&names, cloud.now()) };
    change(&mut order);
    let attempt = BUDGETS.reserve(&cloud.worker, "ca.example", &order).await.unwrap()?;
    ended(&cloud.worker, attempt, outcome, order.in_window, None).await.unwrap();
    Ok(())
}

fn nothing(_: &mut Order<'_>) {}

/// There is one that serves.
fn serves(order: &mut Order<'_>) {
    order.serving = Some(served(order));
}

fn served(order: &Order<'_>) -> Validity {
    Validity { not_before: order.now - TimeDelta::days(60), not_after: order.now + TimeDelta::days(30) }
}

#[tokio::test]
async fn a_name_that_failed_often_waits_an_hour_and_no_other_does() {
    let cloud = TestCloud::new().await;
    let begun = cloud.now();
    for _ in 0..2 {
        order(&cloud, "a.example", Outcome::NotValidated, nothing).await.unwrap();
        cloud.clock.advance(TimeDelta::minutes(1));
    }
    let used_up = order(&cloud, "a.example", Outcome::Issued, nothing).await.unwrap_err();
    assert_eq!(used_up.until, begun + TimeDelta::hours(1));
    assert!(used_up.words.contains("failed 2 times"), "{used_up:?}");
    order(&cloud, "b.example", Outcome::Issued, nothing).await.unwrap();
    cloud.clock.advance(TimeDelta::minutes(58));
    order(&cloud, "a.example", Outcome::Issued, nothing).await.unwrap();
}

#[tokio::test]
async fn a_registered_domain_has_its_own_budget_for_a_week() {
    let cloud = TestCloud::new().await;
    let begun = cloud.now();
    for name in ["a.example.co.uk", "b.example.co.uk", "c.example.co.uk"] {
        order(&cloud, name, Outcome::Issued, nothing).await.unwrap();
    }
    let used_up = order(&cloud, "d.example.co.uk", Outcome::Issued, nothing).await.unwrap_err();
    assert_eq!(used_up.until, begun + TimeDelta::days(7));
    assert!(used_up.words.contains("example.co.uk"), "{used_up:?}");
    order(&cloud, "other.co.uk", Outcome::Issued, nothing).await.unwrap();
    // What failed is not counted there.
    cloud.clock.advance(TimeDelta::days(7));
    for _ in 0..2 {
        order(&cloud, "e.example.co.uk", Outcome::Refused, nothing).await.unwrap();
        order(&cloud, "f.example.co.uk", Outcome::Away, nothing).await.unwrap();
    }
    order(&cloud, "g.example.co.uk", Outcome::Issued, nothing).await.unwrap();
}

#[tokio::test]
async fn a_percloud_that_collects_domains_waits_and_its_renewals_do_not() {
    let cloud = TestCloud::new().await;
    let begun = cloud.now();
    let (ada, bob) = (cloud.sign_up("ada").await.id, cloud.sign_up("bob").await.id);
    let of = async |tenant: &bundle::TenantId, n: usize, serving: bool| {
        // Each below a public suffix of its own: no other window stands against them.
        let name = format!("name.example-{n}.org");
        order_for(&cloud, Some(tenant), &name, Outcome::Issued, |order| order.serving = serving.then(|| served(order)))
            .await
    };
    for n in 0..4 {
        of(&ada, n, false).await.unwrap();
    }
    let used_up = of(&ada, 4, false).await.unwrap_err();
    assert_eq!(
        (used_up.until, used_up.words.contains("its percloud has had 4 orders")),
        (begun + TimeDelta::hours(3), true)
    );
    of(&ada, 5, true).await.expect("what serves is renewed");
    of(&bob, 6, false).await.expect("nobody waits for somebody else's");
    cloud.clock.advance(TimeDelta::hours(3));
    of(&ada, 4, false).await.unwrap();
}

#[tokio::test]
async fn an_account_has_its_orders_and_renewals_find_room() {
    let cloud = TestCloud::new().await;
    let name = |n: usize| format!("name-{n}.example.org").replace("example", &format!("example-{n}"));
    let new = async |n| order(&cloud, &name(n), Outcome::Issued, nothing).await;
    let again = async |n| order(&cloud, &name(n), Outcome::Issued, |order| order.tries = 1).await;
    let renewal = async |n| order(&cloud, &name(n), Outcome::Issued, serves).await;
    for n in 0..8 {
        new(n).await.unwrap();
    }
    assert!(new(8).await.unwrap_err().words.contains("8 orders"), "new names leave a fifth");
    again(8).await.unwrap();
    assert!(again(9).await.unwrap_err().words.contains("9 orders"), "names that are tried again leave a tenth");
    renewal(9).await.unwrap();
    assert!(renewal(10).await.is_err());
    // Inside the window that its CA suggests a renewal is not counted, nor kept waiting.
    order(&cloud, &name(11), Outcome::Issued, |order| order.in_window = true).await.unwrap();
    cloud.clock.advance(TimeDelta::hours(3));
    order(&cloud, &name(12), Outcome::Issued, nothing).await.unwrap();
}

#[tokio::test]
async fn many_names_that_fail_leave_room_for_new_ones() {
    let cloud = TestCloud::new().await;
    for n in 0..5 {
        order(&cloud, &format!("lost-{n}.test"), Outcome::NotValidated, nothing).await.unwrap();
    }
    let again = order(&cloud, "lost-0.test", Outcome::NotValidated, |order| order.tries = 1).await.unwrap_err();
    assert!(again.words.contains("have failed"), "{again:?}");
    order(&cloud, "new.test", Outcome::Issued, nothing).await.unwrap();
    cloud.clock.advance(TimeDelta::hours(3));
    order(&cloud, "lost-0.test", Outcome::Issued, |order| order.tries = 1).await.unwrap();
}

#[tokio::test]
async fn a_loop_of_our_own_ends_after_a_few_certificates() {
    let cloud = TestCloud::new().await;
    for _ in 0..2 {
        order(&cloud, "a.example", Outcome::Issued, serves).await.unwrap();
    }
    let used_up = order(&cloud, "a.example", Outcome::Issued, serves).await.unwrap_err();
    assert!(used_up.words.contains("for it within seven days"), "{used_up:?}");
}

#[tokio::test]
async fn a_ca_that_names_a_time_is_not_asked_for_the_same_name_before_and_another_ca_is() {
    let cloud = TestCloud::new().await;
    let (names, now) = (["a.example".to_owned()], cloud.now());
    let again = now + TimeDelta::days(3);
    let order = |now| Order { tries: 1, ..first_order(&names, now) };
    let attempt = BUDGETS.reserve(&cloud.worker, "ca.example", &order(now)).await.unwrap().unwrap();
    ended(&cloud.worker, attempt, Outcome::Refused, false, Some(again)).await.unwrap();
    let reserve = async |account, now| BUDGETS.reserve(&cloud.worker, account, &order(now)).await.unwrap();
    let used_up = reserve("ca.example", now + TimeDelta::days(2)).await.unwrap_err();
    assert_eq!((used_up.until, used_up.words.contains("left alone")), (again, true), "{used_up:?}");
    reserve("other.example", now + TimeDelta::days(2)).await.unwrap();
    reserve("ca.example", again).await.unwrap();
}

#[tokio::test]
async fn all_accounts_together_have_a_budget_and_renewals_the_last_tenth_of_it() {
    let cloud = TestCloud::new().await;
    let budgets = Budgets { in_all: 10, ..BUDGETS };
    let reserve = async |n: usize, change: fn(&mut Order<'_>)| {
        let names = [format!("site-{n}.test")];
        let mut order = first_order(&names, cloud.now());
        change(&mut order);
        let account = ["first.example", "second.example"][n % 2];
        budgets.reserve(&cloud.worker, account, &order).await.unwrap().map(drop)
    };
    for n in 0..8 {
        reserve(n, nothing).await.unwrap();
    }
    let used_up = reserve(8, nothing).await.unwrap_err();
    assert!(used_up.words.contains("8 orders in all"), "{used_up:?}");
    for n in 8..10 {
        reserve(n, serves).await.unwrap();
    }
    let used_up = reserve(10, serves).await.unwrap_err();
    assert_eq!(used_up.until, cloud.now() + TimeDelta::hours(3));
    reserve(11, |order| order.in_window = true).await.expect("what its CA does not count is not counted");
    cloud.clock.advance(TimeDelta::hours(3));
    reserve(12, nothing).await.unwrap();
}

#[tokio::test]
async fn many_reconcilers_at_once_never_exceed_a_budget() {
    let cloud = TestCloud::new().await;
    let orders = (0..40).map(|n| {
        let (cloud, name) = (&cloud, format!("site-{n}.test"));
        async move { order(cloud, &name, Outcome::Issued, serves).await.is_ok() }
    });
    // As many as there are connections: nobody waits for one of those.
    let reserved: Vec<bool> = futures_util::stream::iter(orders).buffer_unordered(16).collect().await;
    assert_eq!(reserved.iter().filter(|made| **made).count(), 10);
    assert_eq!(cloud.value::<i64>("select count(*) from acme_attempts").await, 10);
}

#[tokio::test]
async fn what_was_ordered_by_a_clock_that_was_ahead_counts_from_now_on_and_not_until_it_is_that_late() {
    let cloud = TestCloud::new().await;
    let fails = async || order(&cloud, "ada.test", Outcome::NotValidated, |_| ()).await;
    cloud.clock.advance(TimeDelta::days(365));
    fails().await.unwrap();
    fails().await.unwrap();
    cloud.clock.advance(TimeDelta::days(-365));
    budgets::set_right(&cloud.db.get().await.unwrap(), cloud.now()).await.unwrap();
    let full = fails().await.unwrap_err();
    assert_eq!(full.until, cloud.now() + TimeDelta::hours(1), "{full:?}");
    cloud.clock.advance(TimeDelta::minutes(61));
    fails().await.unwrap();
}
