//! When the machine's memory runs short, or that of a control group that we are in, perclouds go to sleep before their time, the idlest first, until it does not: a few at a time while
//! it is short, as many as make up for what is missing when it is all but gone. Whoever wakes meanwhile comes in one by one ([`Gate`]).
//!
//! Who is idle is known in two places. The host knows when it last heard of a runtime: each request leaves a line in its log
//! ([`Activity`]); that is the order. The runtime knows whether it is answering anybody: so it is *asked* to leave (SIGUSR1),
//! and does so once nothing is going on. One that chatters to seem busy is asked last, but asked; one that does not listen
//! is told (SIGTERM, which drains) when memory is all but gone.
//!
//! [`Gate`]: super::gate::Gate

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bundle::TenantId;
use tokio::time::Instant;

use super::{
    Local,
    cgroups::{Room, room},
    desk::Order,
};

/// How often memory is looked at.
const EVERY: Duration = Duration::from_secs(2);
/// And when it is all but gone.
const EVERY_SEVERE: Duration = Duration::from_millis(500);
/// Who was asked to leave has so long to do it. Then it may not have heard: it is asked again, or told.
const ASKED: Duration = Duration::from_secs(10);
/// Who was called so lately is on the way out: what it has need not be found elsewhere.
const LEAVING: Duration = Duration::from_secs(2);
/// The share of those awake that is called at once is one in so many.
const ONE_IN: usize = 16;
/// And this many at most, where less than what is missing will do.
const MOST: usize = 32;
/// So many at once where that is not enough: each has a thing or two to write down before it leaves.
const MOST_SEVERE: usize = 256;
/// What one is thought to give back that nobody has looked at yet, and the least for any: the kernel has some of its own for each.
const USUAL: u64 = 8 << 20;
/// Percent of the time in which somebody waited for memory, from which on the machine counts as pressed.
const STALLED: f64 = 10.0;
/// From one wake to the next while memory is short: nobody notices.
const PACE_SHORT: Duration = Duration::from_millis(50);
/// And when it is all but gone: at first, and at most.
const PACE_SEVERE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];

/// What a machine says of its memory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Reading {
    /// Bytes of all memory.
    total: u64,
    /// Percent of it that could be had.
    available: Option<f64>,
    /// Percent of the last ten seconds in which some process waited for memory.
    stalled: Option<f64>,
}

impl Reading {
    /// The same, or of a group that we are in, where less is left.
    fn within(self, room: Room) -> Self {
        match self.available {
            Some(available) if available <= room.percent() => self,
            _ => Self { total: room.limit, available: Some(room.percent()), ..self },
        }
    }

    /// Bytes that `low` percent are more than what could be had.
    fn missing(&self, low: f64) -> u64 {
        let percent = self.available.map_or(0.0, |available| (low - available).max(0.0));
        (self.total as f64 * percent / 100.0) as u64
    }

    /// How long whoever wakes waits for the next turn; the less there is the longer.
    fn pace(&self, low: f64) -> Option<Duration> {
        match level(*self, low) {
            Level::Enough => None,
            Level::Short => Some(PACE_SHORT),
            Level::Severe => {
                let [first, longest] = PACE_SEVERE;
                let times = low / 2.0 / self.available.unwrap_or_default().max(f64::MIN_POSITIVE);
                Some(first.mul_f64(times.clamp(1.0, longest.as_secs_f64() / first.as_secs_f64())))
            }
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Enough,
    Short,
    Severe,
}

/// `low` percent of memory is little, three times as much is little when processes wait for it already. Waiting alone says
/// nothing of the machine: a percloud at its own limit waits, too.
fn level(reading: Reading, low: f64) -> Level {
    let Some(available) = reading.available else { return Level::Enough };
    let stalled = reading.stalled.is_some_and(|percent| percent >= STALLED);
    match available {
        little if little < low / 2.0 => Level::Severe,
        little if little < low || stalled && little < 3.0 * low => Level::Short,
        _ => Level::Enough,
    }
}

/// What tells of memory; handed in, so that a test can play a machine without any.
pub(super) trait Machine: Send + 'static {
    /// What is so now.
    fn read(&self) -> Reading;
}

/// The kernel: `meminfo` and, where it has them, `pressure/memory` and the control groups that `self/cgroup` names, in this folder.
pub(super) struct Kernel(pub(super) PathBuf);

impl Machine for Kernel {
    fn read(&self) -> Reading {
        let text = |name: &str| fs::read_to_string(self.0.join(name)).unwrap_or_default();
        let meminfo = text("meminfo");
        let total = kib(&meminfo, "MemTotal").unwrap_or(0).saturating_mul(1024);
        let machine = Reading { total, available: available(&meminfo), stalled: stalled(&text("pressure/memory")) };
        room(&self.0).map_or(machine, |room| machine.within(room))
    }
}

fn kib(meminfo: &str, name: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn available(meminfo: &str) -> Option<f64> {
    let total = kib(meminfo, "MemTotal").filter(|total| *total > 0)?;
    Some(kib(meminfo, "MemAvailable")? as f64 * 100.0 / total as f64)
}

fn stalled(pressure: &str) -> Option<f64> {
    let some = pressure.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
}

/// When a percloud was last heard of; shared by its unit, its log and this.
#[derive(Clone, Debug, Default)]
pub(super) struct Activity(Arc<Mutex<Option<Heard>>>);

#[derive(Clone, Copy, Debug)]
struct Heard {
    /// When it was started: names the run.
    since: Instant,
    last: Instant,
}

impl Activity {
    fn heard(&self) -> MutexGuard<'_, Option<Heard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is awake.
    pub(super) fn awake(&self) {
        let now = Instant::now();
        *self.heard() = Some(Heard { since: now, last: now });
    }

    /// It has said something.
    pub(super) fn sign(&self) {
        if let Some(heard) = &mut *self.heard() {
            heard.last = Instant::now();
        }
    }

    /// It sleeps.
    pub(super) fn asleep(&self) {
        *self.heard() = None;
    }
}

/// One that is awake.
#[derive(Clone, Debug)]
struct Awake<T> {
    who: T,
    /// For so long nothing was heard of it.
    idle: Duration,
    /// Bytes that it has in memory.
    bytes: u64,
    /// So long ago it was asked to leave.
    asked: Option<Duration>,
}

/// What is said to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// Leave when nothing is going on.
    Ask,
    /// Leave: finish what is going on, and take no more.
    Tell,
}

/// Whom to call now, where so many bytes are missing. Nobody is told as long as somebody can be asked: there may be one with nothing to do
/// among them.
fn choose<T>(level: Level, missing: u64, awake: Vec<Awake<T>>) -> Vec<(T, Call)> {
    if level == Level::Enough {
        return Vec::new();
    }
    let few = (awake.len() / ONE_IN).clamp(1, MOST);
    let leaving = awake.iter().filter(|one| one.asked.is_some_and(|ago| ago < LEAVING)).map(|one| one.bytes).sum();
    let (mut asked, mut unasked): (Vec<_>, Vec<_>) = awake.into_iter().partition(|one| one.asked.is_some());
    let call = if unasked.is_empty() && level == Level::Severe { Call::Tell } else { Call::Ask };
    asked.retain(|one| one.asked.is_some_and(|ago| ago >= ASKED));
    unasked.sort_by_key(|one| std::cmp::Reverse(one.idle));
    asked.sort_by_key(|one| std::cmp::Reverse(one.idle));
    // Those who were asked come after all who were not. A runtime that had hardly begun when it was asked has heard nothing.
    if call == Call::Tell || level == Level::Short {
        unasked.append(&mut asked);
    }
    let mut missing = missing.saturating_sub(leaving);
    let mut is_due = |(n, one): &(usize, Awake<T>)| match level {
        Level::Severe => {
            let due = missing > 0 && *n < MOST_SEVERE;
            missing = missing.saturating_sub(one.bytes);
            due
        }
        _ => *n < few,
    };
    unasked.into_iter().enumerate().take_while(|one| is_due(one)).map(|(_, one)| (one.who, call)).collect()
}

/// Watches the machine for as long as it is awaited.
pub(super) async fn watch(local: Arc<Local>, machine: impl Machine, low: f64) {
    let mut asked: HashMap<TenantId, (Instant, Instant)> = HashMap::new();
    loop {
        let reading = machine.read();
        let level = level(reading, low);
        local.shared.gate.set(reading.pace(low));
        metrics::gauge!("percloud_host_memory_short").set(f64::from(u8::from(level != Level::Enough)));
        if level == Level::Enough {
            asked.clear();
        } else {
            send_to_sleep(&local, level, reading.missing(low), &mut asked);
        }
        tokio::time::sleep(if level == Level::Severe { EVERY_SEVERE } else { EVERY }).await;
    }
}

fn send_to_sleep(local: &Local, level: Level, missing: u64, asked: &mut HashMap<TenantId, (Instant, Instant)>) {
    for (id, call) in choose(level, missing, awake(local, asked)) {
        let handle = local.units().get(&id).cloned();
        let Some(handle) = handle else { continue };
        let heard = *handle.activity.heard();
        let Some(heard) = heard else { continue };
        // One that is busy with other orders is called another time.
        if handle.desk.offer(Order::Sleep { firmly: call == Call::Tell }) {
            asked.insert(id.clone(), (heard.since, Instant::now()));
            tracing::info!(tenant.id = %id, ?level, ?call, "memory is short; a percloud is sent to sleep");
            metrics::counter!("percloud_host_sent_to_sleep_total").increment(1);
        }
    }
}

/// Those who are awake, and when they were asked. Who has slept since has not been.
fn awake(local: &Local, asked: &mut HashMap<TenantId, (Instant, Instant)>) -> Vec<Awake<TenantId>> {
    let units = local.units();
    let run = |id: &TenantId| units.get(id).and_then(|handle| handle.activity.heard().map(|heard| heard.since));
    asked.retain(|id, (since, _)| run(id) == Some(*since));
    let one = |(id, handle): (&TenantId, &super::Handle)| {
        let heard = (*handle.activity.heard())?;
        let asked = asked.get(id).map(|(_, at)| at.elapsed());
        let bytes = handle.used.memory().max(USUAL);
        Some(Awake { who: id.clone(), idle: heard.last.elapsed(), bytes, asked })
    };
    units.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       24684084 kB\nMemFree:          123456 kB\nMemAvailable:    6171021 kB\n";
    const PRESSURE: &str =
        "some avg10=12.50 avg60=1.00 avg300=0.20 total=1\nfull avg10=3.00 avg60=0.00 avg300=0.00 total=1\n";

    #[test]
    fn the_kernels_words_are_understood_and_a_kernel_without_them_is_no_reason_to_sleep() {
        assert_eq!(available(MEMINFO), Some(25.0));
        assert_eq!(stalled(PRESSURE), Some(12.5));
        assert_eq!(kib(MEMINFO, "MemTotal"), Some(24_684_084));
        for odd in ["", "MemTotal: 0 kB\nMemAvailable: 1 kB\n", "MemAvailable: x kB\nMemTotal: 1 kB", "some"] {
            assert_eq!((available(odd), stalled(odd)), (None, None), "{odd}");
        }
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Kernel(folder.path().into()).read(), Reading::default());
        assert_eq!(level(Reading::default(), 5.0), Level::Enough);
    }

    #[test]
    fn a_container_or_a_service_that_has_little_left_is_short_of_memory_whatever_the_machine_has() {
        let folder = tempfile::tempdir().unwrap();
        let (proc, at) = (folder.path().join("proc"), folder.path().join("groups"));
        for folder in [proc.join("self"), at.clone()] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(proc.join("meminfo"), MEMINFO).unwrap();
        let mount = format!("33 23 0:28 / {} rw - cgroup2 cgroup2 rw\n", at.display());
        fs::write(proc.join("self/mountinfo"), mount).unwrap();
        fs::write(proc.join("self/cgroup"), "0::/\n").unwrap();
        let machine = Reading { total: 24_684_084 << 10, available: Some(25.0), stalled: None };
        for (max, current, reading, short) in [
            ("max", 960, machine, Level::Enough),
            ("1048576000", 100, machine, Level::Enough),
            ("1048576000", 960, left(4.0, None), Level::Short),
            ("1048576000", 1000, left(0.0, None), Level::Severe),
        ] {
            fs::write(at.join("memory.max"), max).unwrap();
            fs::write(at.join("memory.current"), (current << 20).to_string()).unwrap();
            let read = Kernel(proc.clone()).read();
            assert_eq!((read, level(read, 5.0)), (reading, short), "{max} {current}");
        }
        assert_eq!(left(4.0, None).missing(5.0), 10 << 20, "of what the group may have");
    }

    #[test]
    fn memory_is_short_when_little_is_left_or_when_processes_wait_for_it() {
        let table = [
            (50.0, None, Level::Enough),
            (50.0, Some(90.0), Level::Enough),
            (14.9, Some(9.9), Level::Enough),
            (14.9, Some(10.0), Level::Short),
            (5.0, None, Level::Enough),
            (4.9, None, Level::Short),
            (2.4, None, Level::Severe),
            (2.4, Some(90.0), Level::Severe),
        ];
        for (available, stalled, expected) in table {
            assert_eq!(level(left(available, stalled), 5.0), expected, "{available} {stalled:?}");
        }
        assert_eq!(level(left(0.0, None), 0.0), Level::Enough, "switched off");
    }

    fn left(available: f64, stalled: Option<f64>) -> Reading {
        Reading { total: 1000 << 20, available: Some(available), stalled }
    }

    #[test]
    fn the_less_memory_there_is_the_longer_whoever_wakes_waits_and_never_for_ever() {
        let seconds = |seconds: f64| Some(Duration::from_secs_f64(seconds));
        for (available, stalled, pace) in [
            (50.0, Some(90.0), None),
            (14.0, Some(10.0), Some(PACE_SHORT)),
            (2.5, None, Some(PACE_SHORT)),
            (2.0, None, seconds(1.25)),
            (1.25, None, seconds(2.0)),
            (0.5, None, seconds(5.0)),
            (0.1, None, seconds(10.0)),
            (0.0, None, seconds(10.0)),
        ] {
            assert_eq!(left(available, stalled).pace(5.0), pace, "{available} {stalled:?}");
        }
        assert_eq!((Reading::default().pace(5.0), left(0.0, None).pace(0.0)), (None, None));
        assert_eq!([4.0, 5.0, 50.0].map(|percent| left(percent, None).missing(5.0)), [10 << 20, 0, 0]);
    }

    fn one<T>(who: T, idle: u64, asked: Option<u64>) -> Awake<T> {
        Awake { who, idle: Duration::from_secs(idle), bytes: USUAL, asked: asked.map(Duration::from_secs) }
    }

    #[test]
    fn the_idlest_sleep_first_a_few_at_a_time_and_nobody_is_told_while_somebody_can_be_asked() {
        let ask = |who| vec![(who, Call::Ask)];
        let tell = |who| vec![(who, Call::Tell)];
        let table = [
            (Level::Enough, vec![one("a", 9, None)], vec![]),
            (Level::Short, vec![], vec![]),
            (Level::Short, vec![one("a", 9, None), one("b", 90, None), one("c", 0, None)], ask("b")),
            (Level::Short, vec![one("a", 9, None), one("b", 90, Some(2)), one("c", 0, None)], ask("a")),
            (Level::Severe, vec![one("a", 90, Some(60)), one("c", 0, None)], ask("c")),
            // All were asked: short is no reason to break anything off, nor is somebody who was asked just now; but some may not have heard.
            (Level::Short, vec![one("a", 90, Some(9)), one("c", 0, Some(9))], vec![]),
            (Level::Short, vec![one("a", 90, Some(60)), one("c", 0, Some(60))], ask("a")),
            (Level::Short, vec![one("a", 90, Some(60)), one("c", 0, None)], ask("c")),
            (Level::Short, vec![one("a", 90, Some(9)), one("c", 0, Some(10))], ask("c")),
            (Level::Severe, vec![one("a", 90, Some(9)), one("c", 5, Some(10)), one("d", 4, Some(60))], tell("c")),
        ];
        for (level, awake, expected) in table {
            assert_eq!(choose(level, 1, awake.clone()), expected, "{level:?} {awake:?}");
        }
        let many: Vec<_> = (0..160).map(|n| one(n, n, None)).collect();
        let called: Vec<_> = choose(Level::Short, 0, many).into_iter().map(|(who, _)| who).collect();
        assert_eq!(called, (150..160).rev().collect::<Vec<_>>());
        let more: Vec<_> = (0..5000).map(|who| one(who, 0, None)).collect();
        assert_eq!(choose(Level::Short, u64::MAX, more).len(), MOST);
    }

    #[test]
    fn when_memory_is_all_but_gone_as_many_are_called_as_make_up_for_what_is_missing() {
        let awake = || (0..1000).map(|n| one(n, n, None)).collect::<Vec<_>>();
        let called = |missing: u64, awake: Vec<Awake<u64>>| {
            choose(Level::Severe, missing, awake).into_iter().map(|(who, _)| who).collect::<Vec<_>>()
        };
        assert_eq!(called(40 * USUAL, awake()), (960..1000).rev().collect::<Vec<_>>());
        assert_eq!(called(u64::MAX, awake()).len(), MOST_SEVERE, "in several looks");
        // One that holds much makes up for many.
        let mut one_large = awake();
        one_large[999].bytes = 39 * USUAL;
        assert_eq!(called(40 * USUAL, one_large), [999, 998]);
        // Those who are just leaving count; those who were called and stay do not.
        let leaving = |ago: u64| {
            let mut awake = awake();
            awake.iter_mut().rev().take(30).for_each(|one| one.asked = Some(Duration::from_secs(ago)));
            awake
        };
        assert_eq!(called(40 * USUAL, leaving(1)), (960..970).rev().collect::<Vec<_>>());
        assert_eq!(called(30 * USUAL, leaving(1)), [0; 0]);
        assert_eq!(called(40 * USUAL, leaving(2)), (930..970).rev().collect::<Vec<_>>());
    }
}
