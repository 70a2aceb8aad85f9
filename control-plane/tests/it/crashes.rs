//! A worker dies after any stage of any turn, and a host loses or doubles any call: it all ends as it was wanted.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bundle::TenantId;
use chrono::TimeDelta;
use control_plane::{
    hosts::{
        State,
        simulated::{Call, Fault},
    },
    reconcile::{Stages, Turn, turn},
    tenants::Observed,
};

use crate::cloud::{TestCloud, Wish};

/// Dies at the `nth` stage that is passed; from then on it lives.
fn dies_at(nth: usize) -> (Stages, Arc<AtomicUsize>) {
    let passed = Arc::new(AtomicUsize::new(0));
    let counter = passed.clone();
    (Stages::new(move |_| counter.fetch_add(1, Ordering::SeqCst) == nth), passed)
}

/// Works until nothing is due, dying once on the way; true when it did die.
async fn work_and_die(cloud: &TestCloud, nth: usize) -> bool {
    let (stages, passed) = dies_at(nth);
    for turns in 0.. {
        assert!(turns < 100, "this never ends");
        let turned = cloud.turn(&stages).await;
        let mailed = turn(&*cloud.mails, &cloud.worker, &cloud.clock, &stages).await.unwrap();
        if turned == Turn::Idle && mailed == Turn::Idle {
            break;
        }
        // What the dead worker held is free again after its lease.
        cloud.leases_run_out().await;
    }
    passed.load(Ordering::SeqCst) > nth
}

#[tokio::test]
async fn a_death_at_any_stage_still_ends_in_what_was_wanted() {
    let cloud = TestCloud::new().await;
    let mut nth = 0;
    loop {
        let ada = cloud.sign_up(&format!("ada-{nth}")).await;
        cloud.confirm(&ada).await;
        let mut died = work_and_die(&cloud, nth).await;
        assert_eq!(cloud.find(&ada.id).await.unwrap().observed, Observed::Running, "sign-up, stage {nth}");
        assert!(cloud.host.spec(&ada.id).is_some());

        cloud.wish(&ada.id, Wish::Suspend).await.unwrap();
        died |= work_and_die(&cloud, nth).await;
        assert_eq!(cloud.find(&ada.id).await.unwrap().observed, Observed::Suspended, "suspend, stage {nth}");
        assert!(cloud.host.spec(&ada.id).unwrap().suspended.is_some());

        cloud.wish(&ada.id, Wish::Delete).await.unwrap();
        died |= work_and_die(&cloud, nth).await;
        assert!(cloud.find(&ada.id).await.is_none(), "delete, stage {nth}");
        assert!(cloud.host.spec(&ada.id).is_none());

        let left: i64 = cloud.value("select count(*) from mails where observed = 'queued'").await;
        assert_eq!(left, 0, "every mail is on its way, stage {nth}");
        if !died {
            break;
        }
        nth += 1;
    }
    assert!(nth > 6, "only {nth} stages were tried");
}

#[tokio::test]
async fn a_call_that_is_lost_or_doubled_still_ends_in_what_was_wanted() {
    let cloud = TestCloud::new().await;
    for (n, (call, fault)) in [Call::Look, Call::Place, Call::Remove]
        .into_iter()
        .flat_map(|call| [Fault::Before, Fault::After, Fault::Refusal].map(|fault| (call, fault)))
        .enumerate()
    {
        let what = format!("{call:?} {fault:?}");
        let ada = cloud.sign_up(&format!("ada-{n}")).await;
        cloud.confirm(&ada).await;
        let go_on = async || {
            cloud.settle().await;
            // A refusal waits for a person, or an hour; anything else for seconds.
            cloud.pass(TimeDelta::minutes(62)).await;
        };
        cloud.host.fail_once(call, fault);
        go_on().await;
        assert_eq!(cloud.find(&ada.id).await.unwrap().observed, Observed::Running, "{what}");
        cloud.host.fail_once(call, fault);
        cloud.wish(&ada.id, Wish::Suspend).await.unwrap();
        go_on().await;
        assert_eq!(cloud.find(&ada.id).await.unwrap().observed, Observed::Suspended, "{what}");
        cloud.host.fail_once(call, fault);
        cloud.wish(&ada.id, Wish::Delete).await.unwrap();
        go_on().await;
        assert!(cloud.find(&ada.id).await.is_none(), "{what}");
        assert!(cloud.host.spec(&ada.id).is_none(), "{what}");
        cloud.host.heal();
    }
}

/// A percloud whose host has found that it does not start, which the provider knows.
async fn failing(cloud: &TestCloud, name: &str) -> TenantId {
    let ada = cloud.sign_up(name).await;
    cloud.confirm(&ada).await;
    cloud.settle().await;
    cloud.host.set_state(&ada.id, State::Failing("no table".into()));
    cloud.pass(TimeDelta::minutes(20)).await;
    assert_eq!(cloud.find(&ada.id).await.unwrap().observed, Observed::Failing);
    ada.id
}

fn retries(cloud: &TestCloud, id: &TenantId) -> usize {
    cloud.host.calls().iter().filter(|(call, of)| *call == Call::Retry && of.as_ref() == Some(id)).count()
}

#[tokio::test]
async fn who_is_to_be_tried_at_once_is_tried_whenever_a_worker_dies_and_whatever_call_is_lost() {
    let cloud = TestCloud::new().await;
    for nth in 0.. {
        let ada = failing(&cloud, &format!("ada-{nth}")).await;
        assert_eq!(retries(&cloud, &ada), 0, "nobody wanted that");
        cloud.wish(&ada, Wish::Resume).await.unwrap();
        let died = work_and_die(&cloud, nth).await;
        let found = cloud.find(&ada).await.unwrap();
        assert_eq!((found.observed, found.last_error, found.retry), (Observed::Running, None, false), "stage {nth}");
        assert_eq!(retries(&cloud, &ada), 1, "stage {nth}");
        if !died {
            assert!(nth > 3, "only {nth} stages were tried");
            break;
        }
    }
    for (n, fault) in [Fault::Before, Fault::After, Fault::Refusal].into_iter().enumerate() {
        let bob = failing(&cloud, &format!("bob-{n}")).await;
        cloud.host.fail_once(Call::Retry, fault);
        cloud.wish(&bob, Wish::Resume).await.unwrap();
        cloud.settle().await;
        cloud.pass(TimeDelta::minutes(62)).await;
        let found = cloud.find(&bob).await.unwrap();
        assert_eq!((found.observed, found.retry), (Observed::Running, false), "{fault:?}");
        assert!(retries(&cloud, &bob) > 0, "{fault:?}");
    }
}

#[tokio::test]
async fn who_fails_and_is_not_known_to_is_tried_at_once_too_and_who_does_not_is_left_alone() {
    let cloud = TestCloud::new().await;
    let (ada, bob) = (cloud.sign_up("ada").await, cloud.sign_up("bob").await);
    cloud.settle().await;
    // Its row says that it runs.
    cloud.host.set_state(&ada.id, State::Failing("no table".into()));
    for one in [&ada, &bob] {
        cloud.wish(&one.id, Wish::Resume).await.unwrap();
    }
    cloud.settle().await;
    assert_eq!((retries(&cloud, &ada.id), retries(&cloud, &bob.id)), (1, 0));
    // It fails again: that is heard soon, and nobody tries it again and again.
    cloud.host.set_state(&ada.id, State::Failing("no table".into()));
    cloud.pass(TimeDelta::minutes(1)).await;
    assert_eq!(cloud.find(&ada.id).await.unwrap().observed, Observed::Failing);
    cloud.pass(TimeDelta::hours(1)).await;
    assert_eq!(retries(&cloud, &ada.id), 1);
}
