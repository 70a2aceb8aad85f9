//! What a percloud uses: counted from its process and its control group while it is awake, and at its end from what the
//! kernel says of the whole life of the process.

mod count;
mod folder;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use bundle::TenantId;
use tokio::time::Instant;

pub(super) use self::folder::{Begun, Due, Verdict};
use self::{
    count::{Count, Run},
    folder::Folder,
};
use super::{
    cgroups::Groups,
    disk::Stored,
    lane::{Busy, Lane},
    process::Process,
    wire::Spent,
};
use crate::hosts::{LimitsMet, Used};

/// The counters of one percloud. They only grow, but for what came between the last leaving of a host and its being killed.
pub(super) struct Counters {
    id: TenantId,
    groups: Option<Arc<Groups>>,
    lane: Option<Arc<Lane>>,
    busy: Busy,
    count: Mutex<Count>,
}

impl Counters {
    /// Of one that may have `quota` bytes on the disk, where that is known yet.
    pub(super) fn new(
        id: TenantId,
        groups: Option<Arc<Groups>>,
        lane: Option<Arc<Lane>>,
        quota: Option<u64>,
    ) -> Arc<Self> {
        let count = Count { folder: Folder::of(quota.unwrap_or(u64::MAX)), ..Count::default() };
        Arc::new(Self { id, groups, lane, busy: Busy::default(), count: Mutex::new(count) })
    }

    /// Goes on from what the last host has left.
    pub(super) fn go_on(&self, from: &Used) {
        self.count().go_on(from);
        self.busy.fetch_add(from.limits_met.busy_micros, Ordering::Relaxed);
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

    /// Its runtime is going to be started: from now on its group is not that of a sleeper. One that is suspended has its place in the lane.
    pub(super) fn begins(&self, suspended: bool) {
        let mut count = self.count();
        (count.starting, count.suspended) = (true, suspended);
    }

    /// It has come to nothing.
    pub(super) fn begins_not(self: &Arc<Self>) {
        self.count().starting = false;
        self.leave_group_soon();
    }

    /// Its runtime has been started.
    pub(super) fn began(self: &Arc<Self>, process: Process) {
        let process = Arc::new(process);
        let suspended = {
            let mut count = self.count();
            count.starting = false;
            count.unlimited = None;
            count.wakes += 1;
            count.kills_before = count.limits_met.memory;
            let now = Instant::now();
            count.run =
                Some(Run { process: process.clone(), since: now, looked: None, cpu: Duration::ZERO, written: 0 });
            count.suspended
        };
        let in_lane =
            self.lane.as_ref().is_some_and(|lane| lane.began(&self.id, process.clone(), &self.busy, suspended));
        if in_lane || self.groups.as_ref().is_some_and(|groups| !groups.by_birth()) {
            let this = self.clone();
            tokio::task::spawn_blocking(move || this.join(&process));
        }
    }

    /// Into its groups, and to its place in the lane or out of it.
    fn join(&self, process: &Arc<Process>) {
        if let Some(lane) = &self.lane {
            lane.keep_apart(&self.id, process);
        }
        if let Some(groups) = &self.groups
            && let Err(error) = groups.attach(&self.id, process)
        {
            tracing::error!(%error, tenant.id = %self.id, "a runtime cannot be put into its control group");
            if groups.must_hold() {
                self.count().unlimited = Some(format!(
                    "could not be put into its control group ({error}), and was ended: nothing would limit it"
                ));
                process.kill();
            }
        }
        if let Some(lane) = &self.lane {
            lane.settle(&self.id, process);
        }
    }

    /// Its runtime has ended.
    pub(super) fn ended(self: &Arc<Self>, spent: Spent) {
        if let Some(lane) = &self.lane {
            lane.ended(&self.id, Duration::from_micros(spent.cpu_micros));
        }
        self.count().end(spent, Instant::now());
        self.leave_group_soon();
    }

    fn leave_group_soon(self: &Arc<Self>) {
        if self.groups.is_some() {
            let this = self.clone();
            tokio::task::spawn_blocking(move || this.leave_group());
        }
    }

    fn leave_group(&self) {
        let Some(groups) = &self.groups else { return };
        self.look_at_group();
        let too_many = {
            let count = self.count();
            // Held until here, so that one who has begun again meanwhile, or is just about to, is seen.
            if count.starting || count.run.is_some() { Vec::new() } else { groups.asleep(&self.id) }
        };
        groups.give_up(too_many);
    }

    /// Looks at what its group says. Reads files of the kernel's.
    pub(super) fn look_at_group(&self) {
        if let Some((making, reading)) = self.groups.as_ref().and_then(|groups| groups.read(&self.id)) {
            self.count().group(making, reading);
        }
    }

    /// Why its last run was ended by us.
    pub(super) fn unlimited(&self) -> Option<String> {
        self.count().unlimited.clone()
    }

    /// MiB that it may have, if its last run was ended by the kernel for wanting more. Reads files of the kernel's.
    pub(super) fn outgrown(&self) -> Option<u64> {
        let groups = self.groups.as_ref()?;
        self.look_at_group();
        let count = self.count();
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
        self.count().folder.quota = quota;
    }

    /// Its folder is counted from now on.
    pub(super) fn count_begins(&self) -> Begun {
        self.count().folder.begins()
    }

    /// That came to nothing.
    pub(super) fn count_fails(&self, begun: &Begun) {
        self.count().folder.fails(begun);
    }

    /// It was told to stop for what its folder holds; one that runs may write on until its end.
    pub(super) fn stops(&self) {
        let mut count = self.count();
        if count.run.is_some() {
            count.folder.stops();
        }
    }

    /// Its folder was counted, which took so long.
    pub(super) fn stored(&self, stored: Stored, took: Duration) -> Verdict {
        let mut count = self.count();
        let verdict = count.folder.counted(stored, took, Instant::now());
        count.limits_met.disk += u64::from(verdict.too_much.is_some());
        verdict
    }

    /// What it held when it was counted; while that is far too much, the least since. None as long as nobody has counted it.
    pub(super) fn holds(&self) -> Option<Stored> {
        self.count().folder.before
    }

    /// The same, from the last host, unless this one has counted already.
    pub(super) fn held_before(&self, stored: Stored) {
        self.count().folder.before.get_or_insert(stored);
    }

    /// Its process may hold more of the disk than was seen, or does not; whether that is news.
    pub(super) fn hides(&self, hides: bool) -> bool {
        std::mem::replace(&mut self.count().folder.hides, hides) != hides
    }

    /// Whether it may.
    pub(super) fn is_hiding(&self) -> bool {
        self.count().folder.hides
    }

    /// Its process, while it is awake.
    pub(super) fn process(&self) -> Option<Arc<Process>> {
        self.count().run.as_ref().map(|run| run.process.clone())
    }

    /// Whether it is awake and may fill the disk, and has not been counted since.
    pub(super) fn is_suspected(&self) -> bool {
        let count = self.count();
        count.folder.suspected && count.run.is_some()
    }

    /// The disk fills: whoever is awake may be the one.
    pub(super) fn suspect(&self) {
        let mut count = self.count();
        count.folder.suspected = count.run.is_some();
    }

    /// Whether it is time to count its folder.
    pub(super) fn due(&self) -> Option<Due> {
        let count = self.count();
        count.folder.due(count.run.is_some())
    }

    /// When its folder was last counted, if it is awake and may be counted again only because its turn has come.
    pub(super) fn in_turn(&self) -> Option<Instant> {
        let count = self.count();
        count.run.as_ref().and_then(|_| count.folder.in_turn())
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
            storage_bytes: count.folder.bytes,
            limits_met: LimitsMet { busy_micros: self.busy.load(Ordering::Relaxed), ..count.limits_met },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{cgroups, reasons, wire::End},
        *,
    };

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

    #[tokio::test]
    async fn who_cannot_be_put_into_its_group_is_ended_unless_the_operator_allowed_that_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        for may_lack in [false, true] {
            let groups = cgroups::tests::played(Some(folder.path().join("nowhere")), may_lack);
            let counters = Counters::new(TenantId::random(), Some(groups), None, None);
            let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
            let pid = rustix::process::Pid::from_child(&child);
            let process = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
            let process = Arc::new(Process::new(process));
            counters.join(&process);
            let why = reasons::known_better(&End::Killed(libc::SIGKILL), &counters).await;
            if may_lack {
                assert!(!process.ended() && why.is_none(), "{why:?}");
                child.kill().unwrap();
            }
            let status = child.wait().unwrap();
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
            assert!(may_lack || why.as_ref().is_some_and(|why| why.contains("control group")), "{why:?}");
        }
    }

    #[test]
    fn the_group_of_one_who_is_just_waking_is_not_a_sleepers() {
        let groups = cgroups::tests::played(None, false);
        let counters = Counters::new(TenantId::random(), Some(groups.clone()), None, None);
        groups.prepare(counters.id()).unwrap();
        assert!(cgroups::tests::sleeps(&groups, counters.id()));
        // Its next run is ordered, and only now the one before is found to have left its group.
        counters.begins(false);
        cgroups::tests::wakes(&groups, counters.id());
        counters.leave_group();
        assert!(!cgroups::tests::sleeps(&groups, counters.id()));
        counters.count().end(Spent::default(), Instant::now());
        counters.leave_group();
        assert!(cgroups::tests::sleeps(&groups, counters.id()), "it was not started after all");
    }

    #[test]
    fn who_fills_the_disk_while_the_host_starts_again_has_grown_and_who_held_as_much_before_has_not() {
        let (gib, quota) = (1 << 30, Some(1 << 30));
        let stored = |bytes| Stored { bytes, ..Stored::default() };
        for (before, stops) in [(Some(gib), true), (Some(3 * gib), false), (None, false)] {
            let [last, next] = [(); 2].map(|()| Counters::new(TenantId::random(), None, None, quota));
            before.map(|bytes| last.stored(stored(bytes), Duration::ZERO));
            last.holds().into_iter().for_each(|holds| next.held_before(holds));
            assert_eq!(next.stored(stored(3 * gib), Duration::ZERO).stop.is_some(), stops, "{before:?}");
            next.held_before(stored(0));
            assert_eq!(next.holds(), Some(stored(3 * gib)), "what was counted here is newer");
        }
    }

    #[test]
    fn what_was_counted_before_goes_on() {
        let counters = Counters::new(TenantId::random(), None, None, None);
        let limits_met =
            LimitsMet { throttled_micros: 1, memory: 2, threads: 3, disk: 4, failures: 5, starts: 6, busy_micros: 7 };
        let before = Used {
            id: counters.id().clone(),
            cpu_micros: 10,
            memory_byte_seconds: 20,
            awake_seconds: 30,
            wakes: 40,
            storage_bytes: Some(50),
            limits_met,
        };
        assert_eq!(counters.used().storage_bytes, None, "nobody has counted it");
        counters.go_on(&before);
        assert_eq!(counters.used(), before);
        counters.stored(Stored { bytes: 60, ..Stored::default() }, Duration::ZERO);
        counters.failed(false);
        let limits_met = LimitsMet { failures: 6, ..limits_met };
        assert_eq!(counters.used(), Used { storage_bytes: Some(60), limits_met, ..before });
    }
}
