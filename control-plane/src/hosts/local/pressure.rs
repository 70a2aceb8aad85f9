//! When the machine's memory runs short, perclouds go to sleep before their time, the idlest first and a few at a time, until
//! it does not.
//!
//! Who is idle is known in two places. The host knows when it last heard of a runtime: each request leaves a line in its log
//! ([`Activity`]); that is the order. The runtime knows whether it is answering anybody: so it is *asked* to leave (SIGUSR1),
//! and does so once nothing is going on. One that chatters to seem busy is asked last, but asked; one that does not listen
//! is told (SIGTERM, which drains) when memory is all but gone.

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bundle::TenantId;
use tokio::time::{Instant, MissedTickBehavior};

use super::{Local, desk::Order};

/// How often memory is looked at.
const EVERY: Duration = Duration::from_secs(2);
/// Who was asked to leave has so long to do it.
const ASKED: Duration = Duration::from_secs(10);
/// The share of those awake that is called at once is one in so many.
const ONE_IN: usize = 16;
/// And this many at most.
const MOST: usize = 32;
/// Percent of the time in which somebody waited for memory, from which on the machine counts as pressed.
const STALLED: f64 = 10.0;

/// What a machine says of its memory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Reading {
    /// Percent of all memory that could be had.
    available: Option<f64>,
    /// Percent of the last ten seconds in which some process waited for memory.
    stalled: Option<f64>,
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

/// The kernel: `meminfo` and, where it has them, `pressure/memory`, in this folder.
pub(super) struct Kernel(pub(super) PathBuf);

impl Machine for Kernel {
    fn read(&self) -> Reading {
        let text = |name: &str| fs::read_to_string(self.0.join(name)).unwrap_or_default();
        Reading { available: available(&text("meminfo")), stalled: stalled(&text("pressure/memory")) }
    }
}

fn available(meminfo: &str) -> Option<f64> {
    let kib = |name: &str| {
        let rest = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        rest.split_whitespace().next()?.parse::<f64>().ok()
    };
    Some(kib("MemAvailable")? * 100.0 / kib("MemTotal").filter(|total| *total > 0.0)?)
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

/// Whom to call now. Nobody is told as long as somebody can be asked: there may be one with nothing to do among them.
fn choose<T>(level: Level, awake: Vec<Awake<T>>) -> Vec<(T, Call)> {
    if level == Level::Enough {
        return Vec::new();
    }
    let few = (awake.len() / ONE_IN).clamp(1, MOST);
    let (mut asked, mut unasked): (Vec<_>, Vec<_>) = awake.into_iter().partition(|one| one.asked.is_some());
    let call = if unasked.is_empty() { Call::Tell } else { Call::Ask };
    if call == Call::Tell {
        let patient = level == Level::Severe;
        asked.retain(|one| patient && one.asked.is_some_and(|ago| ago >= ASKED));
        unasked = asked;
    }
    unasked.sort_by_key(|one| std::cmp::Reverse(one.idle));
    unasked.into_iter().take(few).map(|one| (one.who, call)).collect()
}

/// Watches the machine for as long as it is awaited.
pub(super) async fn watch(local: Arc<Local>, machine: impl Machine, low: f64) {
    let mut asked: HashMap<TenantId, (Instant, Instant)> = HashMap::new();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let level = level(machine.read(), low);
        metrics::gauge!("percloud_host_memory_short").set(f64::from(u8::from(level != Level::Enough)));
        if level == Level::Enough {
            asked.clear();
            continue;
        }
        for (id, call) in choose(level, awake(&local, &mut asked)) {
            let handle = local.units().get(&id).cloned();
            let Some(handle) = handle else { continue };
            let heard = *handle.activity.heard();
            let Some(heard) = heard else { continue };
            asked.insert(id.clone(), (heard.since, Instant::now()));
            tracing::info!(tenant.id = %id, ?level, ?call, "memory is short; a percloud is sent to sleep");
            metrics::counter!("percloud_host_sent_to_sleep_total").increment(1);
            // One that is busy with other orders is called another time.
            handle.desk.offer(Order::Sleep { firmly: call == Call::Tell });
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
        Some(Awake { who: id.clone(), idle: heard.last.elapsed(), asked })
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
        for odd in ["", "MemTotal: 0 kB\nMemAvailable: 1 kB\n", "MemAvailable: x kB\nMemTotal: 1 kB", "some"] {
            assert_eq!((available(odd), stalled(odd)), (None, None), "{odd}");
        }
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Kernel(folder.path().into()).read(), Reading::default());
        assert_eq!(level(Reading::default(), 5.0), Level::Enough);
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
            let reading = Reading { available: Some(available), stalled };
            assert_eq!(level(reading, 5.0), expected, "{available} {stalled:?}");
        }
        assert_eq!(level(Reading { available: Some(0.0), stalled: None }, 0.0), Level::Enough, "switched off");
    }

    #[test]
    fn the_idlest_sleep_first_a_few_at_a_time_and_nobody_is_told_while_somebody_can_be_asked() {
        let one = |who: &'static str, idle: u64, asked: Option<u64>| Awake {
            who,
            idle: Duration::from_secs(idle),
            asked: asked.map(Duration::from_secs),
        };
        let ask = |who| vec![(who, Call::Ask)];
        let tell = |who| vec![(who, Call::Tell)];
        let table = [
            (Level::Enough, vec![one("a", 9, None)], vec![]),
            (Level::Short, vec![], vec![]),
            (Level::Short, vec![one("a", 9, None), one("b", 90, None), one("c", 0, None)], ask("b")),
            (Level::Short, vec![one("a", 9, None), one("b", 90, Some(2)), one("c", 0, None)], ask("a")),
            (Level::Severe, vec![one("a", 90, Some(60)), one("c", 0, None)], ask("c")),
            // All were asked: short is no reason to break anything off, nor is somebody who was asked just now.
            (Level::Short, vec![one("a", 90, Some(60)), one("c", 0, Some(60))], vec![]),
            (Level::Severe, vec![one("a", 90, Some(9)), one("c", 5, Some(10)), one("d", 4, Some(60))], tell("c")),
        ];
        for (level, awake, expected) in table {
            assert_eq!(choose(level, awake.clone()), expected, "{level:?} {awake:?}");
        }
        let many: Vec<_> = (0..160).map(|n| Awake { who: n, idle: Duration::from_secs(n), asked: None }).collect();
        let called: Vec<_> = choose(Level::Short, many).into_iter().map(|(who, _)| who).collect();
        assert_eq!(called, (150..160).rev().collect::<Vec<_>>());
        let more: Vec<_> = (0..5000).map(|who| Awake { who, idle: Duration::ZERO, asked: None }).collect();
        assert_eq!(choose(Level::Severe, more).len(), MOST);
    }
}
