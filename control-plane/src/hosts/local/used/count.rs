//! What is known of one percloud's use.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    super::{cgroups::Reading, process::Process, wire::Spent},
    folder::Folder,
};
use crate::hosts::{LimitsMet, Used};

#[derive(Default)]
pub(super) struct Count {
    /// Of all runs that have ended.
    pub(super) cpu: Duration,
    pub(super) byte_seconds: f64,
    pub(super) awake: Duration,
    pub(super) wakes: u64,
    pub(super) limits_met: LimitsMet,
    pub(super) folder: Folder,
    /// It is being started: it has a group already, and no process yet.
    pub(super) starting: bool,
    /// It is suspended, since it was last started.
    pub(super) suspended: bool,
    pub(super) run: Option<Run>,
    /// Why its last run was ended by us.
    pub(super) unlimited: Option<String>,
    /// The last look at the group, and which making of it that was.
    pub(super) seen: (u64, Reading),
    /// How often it had been ended for memory when its last run began.
    pub(super) kills_before: u64,
}

/// A process that runs now.
pub(super) struct Run {
    pub(super) process: Arc<Process>,
    pub(super) since: Instant,
    /// When its memory was last looked at.
    pub(super) looked: Option<Instant>,
    /// Its processor time then.
    pub(super) cpu: Duration,
    /// Bytes that it had written when it was last suspected.
    pub(super) written: u64,
}

impl Count {
    /// Goes on from what was counted before; it may run already.
    pub(super) fn go_on(&mut self, from: &Used) {
        self.cpu += Duration::from_micros(from.cpu_micros);
        self.byte_seconds += from.memory_byte_seconds as f64;
        self.awake += Duration::from_secs(from.awake_seconds);
        self.wakes += from.wakes;
        self.folder.bytes = self.folder.bytes.or(from.storage_bytes);
        let (met, before) = (&mut self.limits_met, &from.limits_met);
        met.throttled_micros += before.throttled_micros;
        met.memory += before.memory;
        met.threads += before.threads;
        met.disk += before.disk;
        met.failures += before.failures;
        met.starts += before.starts;
        // A run that has begun was not ended for memory by what was before it.
        self.kills_before += before.memory;
    }

    /// The percloud had `bytes` in memory since it was last looked at.
    pub(super) fn memory(&mut self, bytes: u64, now: Instant) {
        let Some(run) = &mut self.run else { return };
        let since = run.looked.replace(now).unwrap_or(run.since);
        self.byte_seconds += bytes as f64 * now.saturating_duration_since(since).as_secs_f64();
    }

    /// It has written so many bytes in this run. Who writes much may be filling the disk.
    pub(super) fn wrote(&mut self, bytes: u64) {
        if let Some(run) = &mut self.run
            && self.folder.wrote(bytes.saturating_sub(run.written))
        {
            run.written = bytes;
        }
    }

    /// What the group says more than last time.
    pub(super) fn group(&mut self, making: u64, now: Reading) {
        let before = if self.seen.0 == making { self.seen.1 } else { Reading::default() };
        self.limits_met.throttled_micros += now.throttled_micros.saturating_sub(before.throttled_micros);
        self.limits_met.memory += now.memory_kills.saturating_sub(before.memory_kills);
        self.limits_met.threads += now.threads_refused.saturating_sub(before.threads_refused);
        self.seen = (making, now);
    }

    /// Its runtime has ended, or was not started after all.
    pub(super) fn end(&mut self, spent: Spent, now: Instant) {
        self.starting = false;
        // Whoever was too short to be looked at is taken for what it had at most.
        if self.run.as_ref().is_some_and(|run| run.looked.is_none()) {
            self.memory(spent.most_memory, now);
        } else {
            self.memory(self.seen.1.memory, now);
        }
        if let Some(run) = self.run.take() {
            self.folder.changed = true;
            self.awake += now.saturating_duration_since(run.since);
            self.cpu += Duration::from_micros(spent.cpu_micros).max(run.cpu);
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
    fn who_writes_much_is_counted_soon_and_who_writes_little_is_not() {
        let (mib, start) = (1_u64 << 20, Instant::now());
        let mut count = Count { run: Some(run(start)), ..Count::default() };
        count.folder.quota = 4096 * mib;
        for (written, suspected) in [(200, false), (204, false), (205, true), (300, false), (409, false), (410, true)] {
            count.wrote(written * mib);
            assert_eq!(std::mem::take(&mut count.folder.suspected), suspected, "{written}");
        }
        count.run = None;
        count.wrote(u64::MAX);
        assert!(!count.folder.suspected, "who sleeps writes nothing");
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
}
