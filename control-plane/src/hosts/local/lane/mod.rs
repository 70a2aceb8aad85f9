//! The slow lane: who uses a processor for long, or has the kernel use it by writing much, makes way for whoever wakes.
//!
//! A quota says how much a percloud may use, not when: four threads with one processor's worth run on all of them half of
//! the time. Equal weights do not help whoever wakes there and has just run itself: its turn comes at the kernel's next tick, some
//! milliseconds later.
//!
//! Whoever is in the lane keeps to some of the machine's processors, so that the others are free. Its threads are told
//! one by one where they may run (`sched_setaffinity`): new threads begin where the one that made them may run, and the sandbox's
//! list of calls lets no runtime change it. Where control groups can say it, it comes last there, too (`cpu.idle`): it has what
//! nobody else wants, and gives it up to whoever wakes. A suspended percloud is there from its start to its end.

mod tally;

use std::{
    collections::HashMap,
    fs,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bundle::TenantId;
use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    cgroups::Groups,
    process::{Clock, Process},
};
pub(super) use tally::Rule;
use tally::{Place, Tally, Verdict};

/// Those who are awake are looked at this often.
const EVERY: Duration = Duration::from_millis(500);

/// Microseconds for which a percloud kept processors busy: it counts them, and the lane adds to them.
pub(super) type Busy = Arc<AtomicU64>;

/// One percloud that is awake, or sleeps and is in the lane or on its way there: to leave and come again is no way out.
struct One {
    run: Option<(Arc<Process>, Clock)>,
    /// None while its process is on its way into its groups.
    place: Option<Place>,
    tally: Tally,
    busy: Busy,
}

impl One {
    /// Whether there is anything to be seen of it: it has arrived, and has run for a while. In the first moments everybody has used little.
    fn is_due(&self, now: Instant) -> bool {
        self.place.is_some() && self.tally.since(now) >= EVERY / 2
    }

    /// Its process has used `cpu` until now.
    fn weigh(&mut self, cpu: Duration, now: Instant, rule: Rule, share: f64) -> Verdict {
        let verdict = self.tally.weigh(cpu, now, rule, share);
        self.busy.fetch_add(u64::try_from(self.tally.busy().as_micros()).unwrap_or(0), Ordering::Relaxed);
        verdict
    }
}

/// Which percloud's, its process, whether it has used little, and what becomes of it.
struct Change {
    id: TenantId,
    process: Arc<Process>,
    little: bool,
    verdict: Verdict,
}

/// The lane of a host.
pub(super) struct Lane {
    rule: Rule,
    /// Where somebody can come last in them.
    groups: Option<Arc<Groups>>,
    known: Mutex<HashMap<TenantId, One>>,
    /// Held by whoever moves somebody, so that where one stands is what is known of it.
    moves: Mutex<()>,
    /// Somebody woke.
    woke: Notify,
}

impl Lane {
    /// Of an operator who wants one.
    pub(super) fn new(rule: Rule, groups: Option<Arc<Groups>>) -> Option<Arc<Self>> {
        let groups = groups.filter(|groups| groups.has_last());
        let lane = || Self { rule, groups, known: Mutex::default(), moves: Mutex::default(), woke: Notify::new() };
        (rule.above > 0).then(|| Arc::new(lane()))
    }

    /// Never held while the kernel is asked for anything: a wake comes by here.
    fn known(&self) -> MutexGuard<'_, HashMap<TenantId, One>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is awake, and runs in the lane `always`, however quiet it is, or like everybody else; says whether it has its place in the lane, or is still in it and should not be: then [`Self::settle`] comes next, as it does for whoever is moved into its groups.
    pub(super) fn began(&self, id: &TenantId, process: Arc<Process>, busy: &Busy, always: bool) -> bool {
        let clock = process.clock();
        let groups = self.groups.as_deref();
        let (is_moved, last) = groups.map_or((false, false), |groups| (!groups.by_birth(), groups.comes_last(id)));
        let mut known = self.known();
        let one = known.entry(id.clone()).or_insert_with(|| One {
            run: None,
            place: None,
            tally: Tally::default(),
            busy: busy.clone(),
        });
        one.tally.begin(Instant::now(), self.rule, always);
        let settles = one.tally.is_slow() || last;
        one.run = clock.map(|clock| (process, clock));
        one.place = (!settles && !is_moved).then(Place::default);
        drop(known);
        self.woke.notify_one();
        settles
    }

    fn is_slow(&self, id: &TenantId) -> bool {
        self.known().get(id).is_some_and(|one| one.tally.is_slow())
    }

    /// One that has just begun has been put into its groups, and goes to its place, in the lane or out of it, before any look: it may live
    /// for less. Asks the kernel for things.
    pub(super) fn settle(&self, id: &TenantId, process: &Arc<Process>) {
        self.put(id, process, |_| Place::first(self.is_slow(id)));
    }

    /// One that has just begun runs in the lane from the first, if that is its place; before [`Self::settle`], which comes some milliseconds later.
    pub(super) fn keep_apart(&self, id: &TenantId, process: &Process) {
        if let (true, Some(few)) = (self.is_slow(id), sched_getaffinity(None).ok().as_ref().and_then(last_half)) {
            keep_to(process, &few);
        }
    }

    /// It sleeps. Its process has used `cpu` in its whole life, which may have been too short to be looked at.
    pub(super) fn ended(&self, id: &TenantId, cpu: Duration) {
        let now = Instant::now();
        let mut known = self.known();
        let Some(one) = known.get_mut(id) else { return };
        one.run = None;
        let verdict = one.weigh(cpu, now, self.rule, 1.0);
        if !one.tally.counts(now, self.rule) {
            known.remove(id);
        }
        drop(known);
        if verdict == Verdict::Enter {
            enters(id);
        }
    }

    /// Watches until `stop`. With nobody awake it does nothing at all.
    pub(super) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let rounds = async {
            loop {
                if self.known().is_empty() {
                    self.woke.notified().await;
                }
                let this = self.clone();
                if let Err(error) = tokio::task::spawn_blocking(move || this.round(Instant::now())).await {
                    tracing::error!(%error, "nobody looks at who is busy");
                }
                tokio::time::sleep(EVERY).await;
            }
        };
        stop.run_until_cancelled(rounds).await;
    }

    /// Looks at all who are awake, and lets those who are busy make way.
    fn round(&self, now: Instant) {
        let Ok(all) = sched_getaffinity(None) else { return };
        let few = last_half(&all);
        for change in self.weigh_all(now, few.as_ref().map_or(1, CpuSet::count)) {
            match change.verdict {
                Verdict::Enter => {
                    self.hold_back(&change, few.as_ref());
                    enters(&change.id);
                }
                Verdict::Stay => self.hold_back(&change, few.as_ref()),
                Verdict::Free | Verdict::Leave => self.let_go(&change, &all),
            }
        }
    }

    /// Keeps it to few processors, where there are, and lets it come last.
    fn hold_back(&self, change: &Change, few: Option<&CpuSet>) {
        if let Some(few) = few {
            keep_to(&change.process, few);
        }
        let Change { id, process, little, .. } = change;
        self.put(id, process, |place| place.next(*little, place.last && *little && wants_to_run(process)));
    }

    fn let_go(&self, change: &Change, all: &CpuSet) {
        keep_to(&change.process, all);
        self.put(&change.id, &change.process, |_| Place::default());
    }

    /// Puts it where it comes last, or back: to what is `next` after where it stands. Unless another one runs by now.
    fn put(&self, id: &TenantId, process: &Arc<Process>, next: impl FnOnce(Place) -> Place) {
        let _moves = self.moves.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = self.of(id, process, |one| one.place) else { return };
        // Who has just come stands where the run before it did.
        let last = || self.groups.as_ref().is_some_and(|groups| groups.comes_last(id));
        let from = place.unwrap_or_else(|| Place::first(last()));
        let next = next(from);
        let moved = match (&self.groups, from.last, next.last) {
            (Some(groups), false, true) => groups.put_last(id, process),
            (Some(groups), true, false) => groups.put_back(id, process),
            _ => Ok(()),
        };
        let place = match moved {
            Ok(()) => next,
            Err(error) => {
                tracing::warn!(tenant.id = %id, %error, last = next.last, "a busy percloud cannot be put elsewhere");
                from
            }
        };
        self.of(id, process, |one| one.place = Some(place));
    }

    /// What is known of it, if it is still this one that runs.
    fn of<T>(&self, id: &TenantId, process: &Arc<Process>, what: impl FnOnce(&mut One) -> T) -> Option<T> {
        let mut known = self.known();
        let same = |one: &&mut One| one.run.as_ref().is_some_and(|(now, _)| Arc::ptr_eq(now, process));
        known.get_mut(id).filter(same).map(what)
    }

    /// What becomes of all that run, in a lane of so many processors.
    fn weigh_all(&self, now: Instant, processors: u32) -> Vec<Change> {
        let (mut running, mut slow) = (Vec::new(), 0_u32);
        for (id, one) in &*self.known() {
            slow += u32::from(one.tally.is_slow());
            if let (Some((process, clock)), true) = (&one.run, one.is_due(now)) {
                running.push((id.clone(), process.clone(), *clock, one.tally));
            }
        }
        let read = running.into_iter().map(|(id, process, clock, tally)| {
            let cpu = clock.read();
            let written = cpu.filter(|cpu| tally.may_have_written(*cpu)).and_then(|_| process.written());
            (id, process, cpu, written)
        });
        let read: Vec<_> = read.collect();
        let share = f64::from(processors.min(slow.max(1))) / f64::from(slow.max(1));
        let mut known = self.known();
        let mut weigh = |(id, process, cpu, written): (TenantId, Arc<Process>, Option<Duration>, Option<u64>)| {
            let one = known.get_mut(&id)?;
            // Another one runs by now.
            let same = one.run.as_ref().is_some_and(|(now, _)| Arc::ptr_eq(now, &process));
            let share = if one.tally.is_slow() { share } else { 1.0 };
            let cpu = cpu.filter(|_| same)?;
            if let Some(bytes) = written {
                one.tally.wrote(bytes);
            }
            let verdict = one.weigh(cpu, now, self.rule, share);
            // Whoever could not be put back is tried again.
            let (last, little) = (one.place.is_some_and(|place| place.last), one.tally.used_little());
            (verdict != Verdict::Free || last).then_some(Change { id, process, little, verdict })
        };
        let changes = read.into_iter().filter_map(&mut weigh).collect();
        known.retain(|_, one| one.run.is_some() || one.tally.counts(now, self.rule));
        let slow = known.values().filter(|one| one.tally.is_slow()).count();
        metrics::gauge!("percloud_host_slow_lane").set(slow as f64);
        changes
    }
}

/// Tells the operator.
fn enters(id: &TenantId) {
    tracing::info!(tenant.id = %id, "a percloud that uses much processor time makes way for others");
    metrics::counter!("percloud_host_slow_lane_total").increment(1);
}

/// The processors of the slow lane: the last half. None where there is but one.
fn last_half(all: &CpuSet) -> Option<CpuSet> {
    let numbers: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).collect();
    let few = numbers.len() / 2;
    let mut set = CpuSet::new();
    numbers[numbers.len() - few..].iter().for_each(|cpu| set.set(*cpu));
    (few > 0).then_some(set)
}

/// Whether a thread of a process is ready to run just now, as `/proc` says (proc_pid_stat(5): the state behind the name).
fn wants_to_run(process: &Process) -> bool {
    let Some(number) = process.number() else { return false };
    let ready = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('R'))
    };
    fs::read_dir(format!("/proc/{number}/task")).into_iter().flatten().flatten().any(ready)
}

/// Tells all threads of a process where they may run. One that is just being made may have been missed: it is told next time.
fn keep_to(process: &Process, processors: &CpuSet) {
    let Some(number) = process.number() else { return };
    for entry in fs::read_dir(format!("/proc/{number}/task")).into_iter().flatten().flatten() {
        let thread = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        // Its number could be another's once the process has ended.
        if let (Some(_), false) = (thread, process.ended()) {
            let _ = sched_setaffinity(thread, processors);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::cgroups, *};

    const RULE: Rule = Rule { above: 50, stay: Duration::from_secs(60) };

    #[test]
    fn the_lane_is_the_last_half_and_there_is_none_with_one_processor() {
        let table: [(&[usize], Option<&[usize]>); 5] = [
            (&[], None),
            (&[3], None),
            (&[0, 1], Some(&[1])),
            (&[0, 2, 4], Some(&[4])),
            (&[0, 1, 2, 3], Some(&[2, 3])),
        ];
        let set = |numbers: &[usize]| {
            let mut set = CpuSet::new();
            numbers.iter().for_each(|cpu| set.set(*cpu));
            set
        };
        for (all, few) in table {
            assert_eq!(last_half(&set(all)), few.map(set), "{all:?}");
        }
    }

    fn own() -> Arc<Process> {
        let pid = rustix::process::getpid();
        let own = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
        Arc::new(Process::new(own))
    }

    #[tokio::test]
    async fn to_leave_and_come_again_is_no_way_out_and_nobody_else_is_remembered() {
        let lane = Lane::new(RULE, None).unwrap();
        let (busy, quiet, now) = (TenantId::random(), TenantId::random(), Instant::now());
        let counted = Busy::default();
        for id in [&busy, &quiet] {
            assert!(!lane.began(id, own(), &counted, false));
        }
        lane.known().get_mut(&busy).unwrap().tally.slow_until = Some(now + RULE.stay);
        for id in [&busy, &quiet] {
            lane.ended(id, Duration::ZERO);
        }
        assert!(lane.weigh_all(now, 1).is_empty());
        assert_eq!(lane.known().keys().collect::<Vec<_>>(), [&busy]);
        let process = own();
        assert!(lane.began(&busy, process.clone(), &counted, false), "it is there from the first");
        assert!(lane.weigh_all(now + EVERY, 1).is_empty(), "it is on its way");
        lane.settle(&busy, &process);
        assert!(lane.weigh_all(now + EVERY / 4, 1).is_empty(), "nothing is to be seen yet");
        let changes = lane.weigh_all(now + EVERY, 1);
        assert_eq!((changes.len(), changes[0].verdict), (1, Verdict::Stay));
        lane.ended(&busy, Duration::ZERO);
        lane.weigh_all(now + RULE.stay * 2, 1);
        assert!(lane.known().is_empty());
        // One that lives for less than it takes to be looked at.
        lane.began(&quiet, own(), &counted, false);
        lane.ended(&quiet, Duration::from_secs(2));
        assert!(lane.known().get(&quiet).is_some_and(|one| one.tally.is_slow()) && lane.weigh_all(now, 1).is_empty());
        assert!(lane.began(&quiet, own(), &counted, false), "it is there when it comes again");
        assert!(Lane::new(Rule { above: 0, ..RULE }, None).is_none(), "switched off");
    }

    #[tokio::test]
    async fn who_is_suspended_is_in_the_lane_from_the_first_and_out_of_it_when_resumed() {
        let (lane, ada, now) = (Lane::new(RULE, None).unwrap(), TenantId::random(), Instant::now());
        let process = own();
        assert!(lane.began(&ada, process.clone(), &Busy::default(), true));
        lane.settle(&ada, &process);
        let changes = lane.weigh_all(now + RULE.stay * 2, 1);
        assert_eq!((changes.len(), changes[0].verdict), (1, Verdict::Stay), "it does nothing, and stays");
        lane.ended(&ada, Duration::ZERO);
        assert!(lane.known().is_empty(), "nobody looks at it while it sleeps");
        assert!(lane.began(&ada, own(), &Busy::default(), true), "the next time, too");
        lane.ended(&ada, Duration::ZERO);
        assert!(!lane.began(&ada, own(), &Busy::default(), false));
    }

    #[tokio::test]
    async fn a_look_just_after_the_start_takes_nobody_out_of_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let lane = Lane::new(RULE, Some(cgroups::tests::played_with_last(folder.path()))).unwrap();
        let (ada, process, now) = (TenantId::random(), own(), Instant::now());
        let comes_last = || folder.path().join("last").join(ada.as_str()).join("cgroup.procs").exists();
        lane.groups.as_ref().unwrap().prepare(&ada).unwrap();
        for suspended in [false, true] {
            assert_eq!(lane.began(&ada, process.clone(), &Busy::default(), suspended), suspended);
            lane.round(now + EVERY);
            assert!(!comes_last(), "it is on its way into its usual group, and would be moved there afterwards");
            lane.settle(&ada, &process);
            assert_eq!(comes_last(), suspended);
        }
        let stands = || lane.known()[&ada].place.unwrap();
        for (look, seen) in [(now, false), (now + EVERY, true), (now + EVERY * 2, true)] {
            assert_eq!(lane.weigh_all(look, 1).len(), usize::from(seen));
        }
        assert!(stands().last);
        lane.put(&ada, &process, |place| place.next(true, true));
        assert!(!stands().last, "it starves at its start: it has its share");
        lane.put(&ada, &own(), |_| Place::LAST);
        assert!(!stands().last, "that was another process of it");
        lane.put(&ada, &process, |place| place.next(true, false));
        assert!(stands().last, "until the next look, however little it uses");
        let change = Change { id: ada.clone(), process, little: true, verdict: Verdict::Leave };
        lane.let_go(&change, &sched_getaffinity(None).unwrap());
        assert!(!stands().last);
    }
}
