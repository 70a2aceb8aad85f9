//! What a percloud uses: counted from its process and its control group while it is awake, and at its end from what the
//! kernel says of the whole life of the process.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use bundle::TenantId;
use tokio::time::Instant;

use super::{
    cgroups::{Groups, Reading},
    disk::{self, Stored},
    lane::{Busy, Lane},
    process::Process,
    wire::Spent,
};
use crate::hosts::{LimitsMet, Used};

/// The folder of one who does not sleep is counted this often.
const COUNTED_AWAKE: Duration = Duration::from_secs(600);
/// And this often when it was far too much last time.
const COUNTED_FAR: Duration = Duration::from_secs(5);
/// Counting one in turn, for nothing but that its turn has come, costs a hundredth of a processor at most.
const IN_TURN: u32 = 100;

/// What is to be said of a folder.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Why it is too much, when it is.
    pub(super) too_much: Option<String>,
    /// Why its percloud is to be stopped, when it is.
    pub(super) stop: Option<String>,
    /// Bytes that it has more than when it was last counted.
    pub(super) grown: u64,
}

/// The counters of one percloud. They only grow as long as the host lives.
pub(super) struct Counters {
    id: TenantId,
    groups: Option<Arc<Groups>>,
    lane: Option<Arc<Lane>>,
    busy: Busy,
    count: Mutex<Count>,
}

#[derive(Default)]
struct Count {
    /// Of all runs that have ended.
    cpu: Duration,
    byte_seconds: f64,
    awake: Duration,
    wakes: u64,
    storage_bytes: u64,
    limits_met: LimitsMet,
    quota: u64,
    /// What was found then; while that is far too much, the least that was found since.
    before: Option<Stored>,
    /// That was far more than it may have.
    far: bool,
    /// Somebody is filling the disk.
    suspected: bool,
    /// When the folder was last counted, and how long that took.
    counted: Option<(Instant, Duration)>,
    /// It has run since.
    changed: bool,
    run: Option<Run>,
    /// The last look at the group, and which making of it that was.
    seen: (u64, Reading),
    /// How often it had been ended for memory when its last run began.
    kills_before: u64,
}

/// A process that runs now.
struct Run {
    process: Arc<Process>,
    since: Instant,
    /// When its memory was last looked at.
    looked: Option<Instant>,
    /// Its processor time then.
    cpu: Duration,
    /// Bytes that it had written when it was last suspected.
    written: u64,
}

impl Count {
    /// The percloud had `bytes` in memory since it was last looked at.
    fn memory(&mut self, bytes: u64, now: Instant) {
        let Some(run) = &mut self.run else { return };
        let since = run.looked.replace(now).unwrap_or(run.since);
        self.byte_seconds += bytes as f64 * now.saturating_duration_since(since).as_secs_f64();
    }

    /// It has written so many bytes in this run. Who writes much may be filling the disk: on a large one nobody would see that by what is left.
    fn wrote(&mut self, bytes: u64) {
        let much = disk::much(self.quota);
        if let Some(run) = &mut self.run
            && bytes.saturating_sub(run.written) > much
        {
            run.written = bytes;
            self.suspected = true;
        }
    }

    /// What the group says more than last time.
    fn group(&mut self, making: u64, now: Reading) {
        let before = if self.seen.0 == making { self.seen.1 } else { Reading::default() };
        self.limits_met.throttled_micros += now.throttled_micros.saturating_sub(before.throttled_micros);
        self.limits_met.memory += now.memory_kills.saturating_sub(before.memory_kills);
        self.limits_met.threads += now.threads_refused.saturating_sub(before.threads_refused);
        self.seen = (making, now);
    }

    fn end(&mut self, spent: Spent, now: Instant) {
        // Whoever was too short to be looked at is taken for what it had at most.
        if self.run.as_ref().is_some_and(|run| run.looked.is_none()) {
            self.memory(spent.most_memory, now);
        } else {
            self.memory(self.seen.1.memory, now);
        }
        if let Some(run) = self.run.take() {
            self.changed = true;
            self.awake += now.saturating_duration_since(run.since);
            self.cpu += Duration::from_micros(spent.cpu_micros).max(run.cpu);
        }
    }
}

impl Counters {
    /// Of one that may have `quota` bytes on the disk, where that is known yet.
    pub(super) fn new(
        id: TenantId,
        groups: Option<Arc<Groups>>,
        lane: Option<Arc<Lane>>,
        quota: Option<u64>,
    ) -> Arc<Self> {
        let count = Count { quota: quota.unwrap_or(u64::MAX), ..Count::default() };
        Arc::new(Self { id, groups, lane, busy: Busy::default(), count: Mutex::new(count) })
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its runtime failed, or has been started `in_vain` once too often.
    pub(super) fn failed(&self, in_vain: bool) {
        let met = &mut self.count().limits_met;
        if in_vain {
            met.starts += 1;
            metrics::counter!("percloud_host_starts_in_vain_total").increment(1);
        } else {
            met.failures += 1;
            metrics::counter!("percloud_host_failures_total").increment(1);
        }
    }

    /// Its runtime has been started.
    pub(super) fn began(self: &Arc<Self>, process: Process) {
        let process = Arc::new(process);
        {
            let mut count = self.count();
            count.wakes += 1;
            count.kills_before = count.limits_met.memory;
            let now = Instant::now();
            count.run =
                Some(Run { process: process.clone(), since: now, looked: None, cpu: Duration::ZERO, written: 0 });
        }
        let in_lane = self.lane.as_ref().is_some_and(|lane| lane.began(&self.id, process.clone(), &self.busy));
        if in_lane || self.groups.as_ref().is_some_and(|groups| !groups.by_birth()) {
            let this = self.clone();
            tokio::task::spawn_blocking(move || this.join(&process, in_lane));
        }
    }

    /// Into its groups, and to its place in the lane or out of it.
    fn join(&self, process: &Arc<Process>, in_lane: bool) {
        let lane = self.lane.as_ref().filter(|_| in_lane);
        if let Some(lane) = lane {
            lane.keep_apart(&self.id, process);
        }
        if let Some(Err(error)) = self.groups.as_ref().map(|groups| groups.attach(&self.id, process)) {
            tracing::error!(%error, tenant.id = %self.id, "a runtime cannot be put into its control group");
        }
        if let Some(lane) = lane {
            lane.settle(&self.id, process);
        }
    }

    /// Its runtime has ended.
    pub(super) fn ended(self: &Arc<Self>, spent: Spent) {
        if let Some(lane) = &self.lane {
            lane.ended(&self.id, Duration::from_micros(spent.cpu_micros));
        }
        self.count().end(spent, Instant::now());
        if self.groups.is_some() {
            let this = self.clone();
            tokio::task::spawn_blocking(move || this.leave_group());
        }
    }

    fn leave_group(&self) {
        let Some(groups) = &self.groups else { return };
        let read = groups.read(&self.id);
        let mut count = self.count();
        if let Some((making, reading)) = read {
            count.group(making, reading);
        }
        // Held until here, so that one who has begun again meanwhile is seen.
        if count.run.is_none() {
            groups.asleep(&self.id);
        }
    }

    /// MiB that it may have, if its last run was ended by the kernel for wanting more. Reads files of the kernel's.
    pub(super) fn outgrown(&self) -> Option<u64> {
        let groups = self.groups.as_ref()?;
        let read = groups.read(&self.id);
        let mut count = self.count();
        if let Some((making, reading)) = read {
            count.group(making, reading);
        }
        (count.limits_met.memory > count.kills_before).then(|| groups.memory_max())
    }

    /// Looks at it, if it is awake. Reads files of the kernel's.
    pub(super) fn look(&self) {
        let Some(process) = self.count().run.as_ref().map(|run| run.process.clone()) else { return };
        let cpu = process.cpu();
        let read = self.groups.as_ref().and_then(|groups| groups.read(&self.id));
        let (memory, written) = (process.memory(), process.written());
        let mut count = self.count();
        // One that has ended meanwhile has nothing to be seen, and is accounted for at its end.
        if process.ended() || !count.run.as_ref().is_some_and(|run| Arc::ptr_eq(&run.process, &process)) {
            return;
        }
        let now = Instant::now();
        if let (Some(cpu), Some(run)) = (cpu, &mut count.run) {
            run.cpu = run.cpu.max(cpu);
        }
        count.wrote(written.unwrap_or(0));
        let group = read.map_or(0, |(making, reading)| {
            count.group(making, reading);
            reading.memory
        });
        // Where processes are moved into their group, what they had before is not counted there.
        let bytes = group.max(memory.unwrap_or(0));
        count.seen.1.memory = bytes;
        count.memory(bytes, now);
    }

    /// Bytes that it had in memory when it was last looked at.
    pub(super) fn memory(&self) -> u64 {
        self.count().seen.1.memory
    }

    /// It may have so much on the disk.
    pub(super) fn may_store(&self, quota: u64) {
        self.count().quota = quota;
    }

    /// Its folder was counted, which took so long.
    pub(super) fn stored(&self, stored: Stored, took: Duration) -> Verdict {
        let mut count = self.count();
        let far = stored.far_too_much(count.quota);
        count.far = far.is_some();
        count.suspected = false;
        // Whose quota was made smaller than what they hold has not grown, and is left alone.
        let grows = |before: &Stored| stored.grown_since(before, count.quota);
        let stop = far.filter(|_| count.before.as_ref().is_some_and(grows));
        let least = count.before.filter(|_| count.far && stop.is_none());
        count.before = Some(least.map_or(stored, |before| before.least(stored)));
        let grown = stored.bytes.saturating_sub(count.storage_bytes);
        count.storage_bytes = stored.bytes;
        count.counted = Some((Instant::now(), took));
        count.changed = false;
        let too_much = stored.too_much(count.quota);
        count.limits_met.disk += u64::from(too_much.is_some());
        Verdict { too_much, stop, grown }
    }

    /// Its process, while it is awake.
    pub(super) fn process(&self) -> Option<Arc<Process>> {
        self.count().run.as_ref().map(|run| run.process.clone())
    }

    /// Whether it is awake and may fill the disk, and has not been counted since.
    pub(super) fn is_suspected(&self) -> bool {
        let count = self.count();
        count.suspected && count.run.is_some()
    }

    /// The disk fills: whoever is awake may be the one.
    pub(super) fn suspect(&self) {
        let mut count = self.count();
        count.suspected = count.run.is_some();
    }

    /// Whether it is time to count its folder.
    pub(super) fn to_be_counted(&self) -> bool {
        let count = self.count();
        count.counted.is_none_or(|(when, took)| {
            let since = when.elapsed();
            // Those who wake and sleep all day cost a twentieth of a processor at most.
            let awake = count.suspected || since > if count.far { COUNTED_FAR } else { COUNTED_AWAKE };
            since > took * 20 && (count.changed || count.run.is_some() && awake)
        })
    }

    /// When its folder was last counted, if it is awake and may be counted again only because its turn has come.
    pub(super) fn in_turn(&self) -> Option<Instant> {
        let count = self.count();
        let (when, took) = count.counted.filter(|_| count.run.is_some())?;
        (when.elapsed() > took * IN_TURN).then_some(when)
    }

    /// Which percloud's they are.
    pub(super) fn id(&self) -> &TenantId {
        &self.id
    }

    /// What it has used until now, as far as it was looked at.
    pub(super) fn used(&self) -> Used {
        let count = self.count();
        let (cpu, awake) =
            count.run.as_ref().map_or((Duration::ZERO, Duration::ZERO), |run| (run.cpu, run.since.elapsed()));
        Used {
            id: self.id.clone(),
            cpu_micros: u64::try_from((count.cpu + cpu).as_micros()).unwrap_or(u64::MAX),
            memory_byte_seconds: count.byte_seconds as u64,
            awake_seconds: (count.awake + awake).as_secs(),
            wakes: count.wakes,
            storage_bytes: count.storage_bytes,
            limits_met: LimitsMet { busy_micros: self.busy.load(Ordering::Relaxed), ..count.limits_met },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(since: Instant) -> Run {
        let pid = rustix::process::getpid();
        let process = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
        Run { process: Arc::new(Process::new(process)), since, looked: None, cpu: Duration::ZERO, written: 0 }
    }

    fn after(seconds: u64, since: Instant) -> Instant {
        since + Duration::from_secs(seconds)
    }

    #[test]
    fn memory_counts_for_as_long_as_it_was_in_use() {
        let start = Instant::now();
        let mut count = Count { run: Some(run(start)), ..Count::default() };
        count.memory(100, after(10, start));
        count.memory(50, after(20, start));
        count.seen.1.memory = 50;
        count.end(Spent { cpu_micros: 7, most_memory: 9999 }, after(22, start));
        assert_eq!((count.byte_seconds as u64, count.awake.as_secs(), count.cpu.as_micros()), (1600, 22, 7));
        // One that nobody looked at.
        count.run = Some(run(after(30, start)));
        count.end(Spent { cpu_micros: 1, most_memory: 1000 }, after(31, start));
        assert_eq!((count.byte_seconds as u64, count.awake.as_secs(), count.cpu.as_micros()), (2600, 23, 8));
    }

    #[test]
    fn who_grows_far_beyond_is_stopped_and_who_holds_much_or_makes_room_is_not() {
        let (gib, took) = (1_u64 << 30, Duration::ZERO);
        let counters = Counters::new(TenantId::random(), None, None, Some(4 * gib));
        let stops = |bytes: u64| {
            let stored = Stored { bytes, files: 9, more: false };
            counters.stored(stored, took).stop.is_some()
        };
        assert!(!stops(3 * gib));
        counters.may_store(gib);
        assert!(!stops(3 * gib) && !stops(3 * gib), "it may have less than it has from now on");
        assert!(!stops(3 * gib - (30 << 20)) && !stops(3 * gib), "its database grows and shrinks");
        assert!(stops(4 * gib) && !stops(4 * gib), "it goes on, and is stopped once");
        assert!(!stops(3 * gib) && !stops(gib), "its owner makes room");
        assert!(!stops(2 * gib), "too much, but not far too much");
        assert!(stops(3 * gib));
    }

    #[test]
    fn who_writes_much_is_counted_soon_and_who_writes_little_is_not() {
        let (mib, start) = (1_u64 << 20, Instant::now());
        let mut count = Count { run: Some(run(start)), quota: 4096 * mib, ..Count::default() };
        for (written, suspected) in [(200, false), (204, false), (205, true), (300, false), (409, false), (410, true)] {
            count.wrote(written * mib);
            assert_eq!(std::mem::take(&mut count.suspected), suspected, "{written}");
        }
        count.run = None;
        count.wrote(u64::MAX);
        assert!(!count.suspected, "who sleeps writes nothing");
    }

    #[test]
    fn a_group_that_is_made_anew_begins_at_nought_and_the_counters_do_not() {
        let mut count = Count::default();
        let kills = |memory_kills| Reading { memory_kills, threads_refused: 2 * memory_kills, ..Reading::default() };
        for (making, read, total) in [(1, 0, 0), (1, 2, 2), (1, 2, 2), (2, 0, 2), (2, 1, 3), (3, 1, 4)] {
            count.group(making, kills(read));
            assert_eq!((count.limits_met.memory, count.limits_met.threads), (total, 2 * total), "making {making}");
        }
    }

    #[tokio::test]
    async fn what_was_counted_while_it_ran_is_not_lost_at_its_end() {
        let counters = Counters::new(TenantId::random(), None, None, None);
        let pid = rustix::process::getpid();
        let own = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
        counters.began(Process::new(own));
        counters.look();
        let before = counters.used();
        assert!(before.cpu_micros > 0 && before.wakes == 1);
        counters.ended(Spent::default());
        assert!(counters.used().cpu_micros >= before.cpu_micros);
    }
}
