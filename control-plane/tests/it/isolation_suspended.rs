//! What becomes of a percloud that its provider suspends, when its program is a changed one that knows nothing of that.

use std::fs;

use bundle::{Clock, TenantId, TenantSpec};
use chrono::{SecondsFormat, TimeDelta};
use control_plane::hosts::{Host, State, Unit};

use crate::{
    machine::{Machine, get},
    postgres::eventually,
};

async fn suspend(machine: &Machine, spec: &TenantSpec) -> Unit {
    machine.host.place(&TenantSpec { suspended: Some("unpaid".into()), ..spec.clone() }).await.unwrap()
}

async fn state(machine: &Machine, id: &TenantId) -> State {
    machine.host.look(id).await.unwrap().unwrap().state
}

async fn sleeps(machine: &Machine, id: &TenantId) {
    eventually("sleep", async || {
        (state(machine, id).await == State::Asleep && machine.runtimes(id).is_empty()).then_some(())
    })
    .await;
}

async fn wakes(machine: &Machine, id: &TenantId) -> u64 {
    machine.host.usage().await.unwrap().of.into_iter().find(|used| used.id == *id).unwrap().wakes
}

/// How often it was started although nobody came.
fn woken(machine: &Machine, id: &TenantId) -> usize {
    fs::read_to_string(machine.folder(id).join("woken")).unwrap_or_default().lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_percloud_is_started_for_visitors_only_and_by_itself_again_when_it_is_resumed() {
    for user in Machine::kinds() {
        let machine = Machine::start(user, 0).await;
        let ((ada, unit), (bob, bob_unit)) = (machine.place("ada").await, machine.place("bob").await);
        // Not before the first of them is suspended.
        let at = (Clock::system().now() + TimeDelta::seconds(5)).to_rfc3339_opts(SecondsFormat::Millis, true);
        for unit in [&unit, &bob_unit] {
            assert_eq!(get(&unit.socket, &format!("/status?wake_at={at}")).await.unwrap(), "written");
        }
        suspend(&machine, &ada).await;
        eventually("its neighbour's time", async || (woken(&machine, &bob.id) > 0).then_some(())).await;

        // Nor does it come back by crashing, for which others are tried again.
        fs::write(machine.folder(&ada.id).join("crash"), "").unwrap();
        eventually("a pattern of failures", async || {
            let _ = get(&unit.socket, "/").await;
            matches!(state(&machine, &ada.id).await, State::Failing(_)).then_some(())
        })
        .await;
        let before = wakes(&machine, &ada.id).await;
        sleeps(&machine, &ada.id).await;
        assert_eq!((wakes(&machine, &ada.id).await, woken(&machine, &ada.id)), (before, 0));

        // Who comes is let in, and what it wanted before is kept.
        fs::remove_file(machine.folder(&ada.id).join("crash")).unwrap();
        assert!(get(&unit.socket, "/").await.unwrap().contains("unpaid"), "its owner takes everything along");
        sleeps(&machine, &ada.id).await;
        assert_eq!(woken(&machine, &ada.id), 0);
        machine.host.place(&ada).await.unwrap();
        eventually("its own time", async || (woken(&machine, &ada.id) > 0).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_percloud_comes_last_and_is_put_to_sleep_after_a_while_whatever_it_does() {
    for user in Machine::kinds() {
        let machine = Machine::start_with(user, 300, &["--suspended-seconds", "3"]).await;
        let ((ada, unit), (bob, bob_unit)) = (machine.place("ada").await, machine.place("bob").await);
        let last = async |yes: bool| {
            if machine.comes_last(&ada.id).is_some() {
                eventually("its place", async || (machine.comes_last(&ada.id) == Some(yes)).then_some(())).await;
            }
        };
        // By itself it would stay for five minutes.
        suspend(&machine, &ada).await;
        for unit in [&unit, &bob_unit] {
            get(&unit.socket, "/").await.unwrap();
        }
        last(true).await;
        sleeps(&machine, &ada.id).await;
        assert_eq!(machine.runtimes(&bob.id).len(), 1, "who is not suspended stays");

        assert!(get(&unit.socket, "/").await.unwrap().contains("unpaid"), "it is awake for the next");
        machine.host.place(&ada).await.unwrap();
        get(&unit.socket, "/").await.unwrap();
        last(false).await;
    }
}
