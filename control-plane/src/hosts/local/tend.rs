//! What the host looks at now and then: how much those who are awake use, and what folders take of the disk. Nothing on the
//! way of a wake waits for any of it.

use std::{
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    Local,
    desk::Order,
    disk::{self, Level, Stored},
    held::{Account, Whom, held},
    unit::Handle,
    used::{Counters, Due, Verdict},
};

/// Those who are awake are looked at this often.
const OFTEN: Duration = Duration::from_secs(10);
/// What was counted is left on the disk for the next host this often.
const LEFT: Duration = Duration::from_secs(30);
/// And folders that wait for it are counted this soon; after so long, what the disk has left is looked at again before the others.
const SOON: Duration = Duration::from_secs(1);

/// Starts all tasks; they end with the host.
pub(super) fn start(local: &Arc<Local>) {
    if let Some(lane) = &local.shared.lane {
        local.shared.tasks.spawn(lane.clone().watch(local.shared.stop.clone()));
    }
    local.shared.tasks.spawn(local.shared.stop.clone().run_until_cancelled_owned(look(Arc::downgrade(local))));
    local.shared.tasks.spawn(local.shared.stop.clone().run_until_cancelled_owned(count(Arc::downgrade(local))));
    local.shared.tasks.spawn(local.shared.stop.clone().run_until_cancelled_owned(leave(Arc::downgrade(local))));
}

async fn leave(local: Weak<Local>) {
    let mut ticks = interval(LEFT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(local) = local.upgrade() else { return };
        let left = tokio::task::spawn_blocking(move || local.leave_counts()).await;
        if let Err(error) = left.map_err(anyhow::Error::from).flatten() {
            tracing::warn!(%error, "what was counted cannot be left for the next host: were this one killed, it would be lost");
        }
    }
}

async fn look(local: Weak<Local>) {
    let mut ticks = interval(OFTEN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(local) = local.upgrade() else { return };
        look_at(local.counters()).await;
    }
}

/// Looks at all who are awake.
pub(super) async fn look_at(all: Vec<Arc<Counters>>) {
    let looked = tokio::task::spawn_blocking(move || all.iter().for_each(|counters| counters.look()));
    if let Err(error) = looked.await {
        tracing::error!(%error, "what perclouds use is not counted");
    }
}

/// One folder after the other, so that a large one keeps a processor and the disk busy for nobody but itself.
async fn count(local: Weak<Local>) {
    let mut ticks = interval(SOON);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut level, mut account) = (Level::default(), Account::default());
    loop {
        ticks.tick().await;
        let Some(local) = local.upgrade() else { return };
        let free = disk::free(&local.shared.paths.tenants()).ok();
        if let Some(bytes) = free.and_then(|free| level.falls(free)) {
            account.went(bytes, Instant::now());
            local.counters().iter().for_each(|counters| counters.suspect());
        }
        let due: Vec<_> = local.counters().into_iter().filter_map(|one| Some((one.due()?, one))).collect();
        let nobody = due.is_empty();
        for counters in stretch(due, SOON) {
            account.found(count_one(&local, counters).await);
        }
        // What one takes of the disk is not to be seen by what is left there when another gives back as much, and what is
        // taken without being written is not among what a process has written.
        let turn =
            || local.counters().into_iter().filter_map(|one| Some((one.in_turn()?, one))).min_by_key(|(when, _)| *when);
        if nobody && let Some((_, counters)) = turn() {
            account.found(count_one(&local, counters).await);
        }
        if let Some([free, _]) = free {
            let counting = local.counters().iter().any(|counters| counters.is_suspected());
            let (awake, hiding) = awake(&local);
            if let Some((bytes, whom)) = account.unexplained(free, counting, !hiding.is_empty(), Instant::now()) {
                give_back(bytes, whom, if whom == Whom::All { awake } else { hiding });
            }
        }
    }
}

/// One after the other, the most urgent first, until so long has passed; who is left waits for the next time. After a start of the host
/// everybody waits, and somebody may be filling the disk meanwhile.
fn stretch<T>(mut due: Vec<(Due, T)>, longest: Duration) -> impl Iterator<Item = T> {
    let began = Instant::now();
    due.sort_by_key(|(due, _)| *due);
    let in_time = move |(n, _): &(usize, _)| *n == 0 || began.elapsed() < longest;
    due.into_iter().map(|(_, one)| one).enumerate().take_while(in_time).map(|(_, one)| one)
}

/// All who are awake; and those of them of whose processes not all could be seen. When that is so of everybody, it says nothing of anybody.
fn awake(local: &Local) -> (Vec<Handle>, Vec<Handle>) {
    let awake: Vec<_> = local.units().values().filter(|handle| handle.used.process().is_some()).cloned().collect();
    let mut hiding: Vec<_> = awake.iter().filter(|handle| handle.used.is_hiding()).cloned().collect();
    if awake.len() > 1 && hiding.len() == awake.len() {
        hiding.clear();
    }
    (awake, hiding)
}

/// The last resort: what somebody holds that no count finds goes with its process. Whoever is asked wakes again.
fn give_back(bytes: u64, whom: Whom, handles: Vec<Handle>) {
    let who = match whom {
        Whom::Hiding => "those that hold what cannot be seen",
        Whom::All => "all that are awake",
    };
    tracing::warn!(
        mib = bytes >> 20,
        perclouds = handles.len(),
        "much went from the disk, and no percloud is found to have it; {who} are put to sleep"
    );
    for handle in handles {
        if handle.desk.offer(Order::Sleep { firmly: true }) {
            metrics::counter!("percloud_host_sent_to_sleep_total").increment(1);
        }
    }
}

/// Counts one, and what its process holds besides; bytes that it has more than before.
async fn count_one(local: &Local, counters: Arc<Counters>) -> u64 {
    let folder = local.shared.paths.tenants().join(counters.id().as_str());
    let stop = local.shared.stop.clone();
    let one = counters.clone();
    let begun = counters.count_begins();
    let counted = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let stored = disk::count(&folder, &|| !stop.is_cancelled());
        let stored = stored.map(|stored| stored.and(nameless(&counters, &folder)));
        let took = began.elapsed();
        match stored {
            Ok(stored) => {
                let verdict = counters.stored(stored, took);
                if let Some(why) = &verdict.too_much {
                    tracing::warn!(tenant.id = %counters.id(), why, "a percloud has more on the disk than it may");
                }
                return verdict;
            }
            Err(_) if disk::gone(&folder) || stop.is_cancelled() => {}
            Err(error) => {
                counters.count_fails(&begun);
                tracing::warn!(tenant.id = %counters.id(), %error, "a percloud's folder cannot be counted");
            }
        }
        Verdict::default()
    });
    match counted.await {
        Ok(Verdict { stop, grown, .. }) => {
            if let Some(why) = stop
                && local.stop_filling(one.id(), why)
            {
                one.stops();
            }
            grown
        }
        Err(error) => {
            tracing::error!(%error, "what folders take is not counted");
            0
        }
    }
}

/// What its process keeps on the disk that is in no folder any more, as far as that can be seen.
fn nameless(counters: &Counters, folder: &Path) -> Stored {
    let held = counters.process().map(|process| held(&process, folder)).unwrap_or_default();
    if counters.hides(held.unseen.is_some())
        && let Some(why) = held.unseen
    {
        tracing::warn!(tenant.id = %counters.id(), why, "what a runtime holds of the disk cannot all be seen");
    }
    held.stored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_be_filling_the_disk_is_counted_first_and_nobody_waits_for_all_who_were_never_counted() {
        let before = Some(Instant::now());
        let mut all: Vec<_> = (0..10_000).map(|n| (Due::Asleep(None), n)).collect();
        all.extend([(Due::Asleep(before), 10_001), (Due::Awake(before), 10_002), (Due::Awake(None), 10_003)]);
        all.push((Due::Suspected(before), 10_004));
        let counted: Vec<_> = stretch(all.clone(), Duration::from_secs(600)).collect();
        assert!(counted.starts_with(&[10_004, 10_003, 10_002, 0, 1]) && counted.ends_with(&[9_999, 10_001]));
        let slow: Vec<_> = stretch(all, Duration::ZERO).collect();
        assert_eq!(slow, [10_004], "the disk is looked at again first");
    }
}
