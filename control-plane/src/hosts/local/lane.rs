//! The slow lane: who uses a processor for long makes way for whoever wakes.
//!
//! A quota says how much a percloud may use, not when: four threads with one processor's worth run on all of them half of
//! the time. Equal weights do not help whoever wakes there and has just run itself: its turn comes at the kernel's next tick, some
//! milliseconds later.
//!
//! Whoever is in the lane keeps to some of the machine's processors, so that the others are free. Its threads are told
//! one by one where they may run (`sched_setaffinity`): new threads begin where the one that made them may run, and the sandbox's
//! list of calls lets no runtime change it. Where control groups can say it, it comes last there, too (`cpu.idle`): it has what
//! nobody else wants, and gives it up to whoever wakes.

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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

/// Those who are awake are looked at this often.
const EVERY: Duration = Duration::from_millis(500);
/// So much more processor time than its share one may use before it counts: a page full of pictures, a password.
const GRACE: Duration = Duration::from_millis(200);
/// It is not remembered for more, so that one who has become quiet soon counts as quiet.
const MOST: Duration = Duration::from_millis(400);

/// Who comes last, has used less between two looks and wanted to run at both, is left nothing by others who are busy: then it has its
/// share until the next look.
const LITTLE: Duration = Duration::from_millis(50);

/// Who goes into the lane, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// Percent of one processor; 0 for nobody.
    pub(super) above: u64,
    /// So long after it was last above.
    pub(super) stay: Duration,
}

/// What is known of one percloud's use of the processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    /// When it was last looked at, and the processor time of its process until then.
    seen: Option<(Instant, Duration)>,
    /// What it has used since the look before.
    used: Duration,
    /// What it has used lately beyond its share.
    over: Duration,
    /// It is in the lane until then.
    slow_until: Option<Instant>,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It runs where it wants.
    Free,
    /// Into the lane.
    Enter,
    /// It is there and stays.
    Stay,
    /// Out of the lane.
    Leave,
}

impl Tally {
    /// Its process has used `cpu` until now. In the lane, where others may have a part of the few processors, `share` of the usual counts as
    /// much: else many busy ones together would make each of them look quiet.
    fn weigh(&mut self, cpu: Duration, now: Instant, rule: Rule, share: f64) -> Verdict {
        let (then, before) = self.seen.replace((now, cpu)).unwrap_or((now, cpu));
        let free = now.saturating_duration_since(then).mul_f64(rule.above as f64 / 100.0 * share);
        self.used = cpu.saturating_sub(before);
        self.over = (self.over + self.used).saturating_sub(free).min(MOST);
        let was = self.slow_until.is_some();
        if self.over > GRACE {
            self.slow_until = Some(now + rule.stay);
        } else if self.slow_until.is_some_and(|until| until <= now) {
            self.slow_until = None;
        }
        match (was, self.slow_until.is_some()) {
            (false, false) => Verdict::Free,
            (false, true) => Verdict::Enter,
            (true, true) => Verdict::Stay,
            (true, false) => Verdict::Leave,
        }
    }
}

/// One percloud that is awake, or is in the lane while it sleeps: to leave and come again is no way out.
struct One {
    run: Option<(Arc<Process>, Clock)>,
    place: Place,
    tally: Tally,
}

/// How a run stands in the lane.
#[derive(Clone, Copy, Default)]
struct Place {
    /// It comes last already.
    last: bool,
    /// It did, had used little and wanted to run when it was last looked at.
    waited: bool,
}

impl Place {
    /// Where it stands from now on, when it has used `little` since then, and is `ready` to run or not.
    fn next(self, little: bool, ready: bool) -> Self {
        let waited = self.last && little && ready;
        // One that has just begun may still be on its way into its usual group: it is moved once it has used something.
        let last = if self.last { !(waited && self.waited) } else { !little };
        Self { last, waited }
    }
}

/// Which percloud's, its process, how that stands, whether it has used little, and what becomes of it.
struct Change {
    id: TenantId,
    process: Arc<Process>,
    place: Place,
    little: bool,
    verdict: Verdict,
}

/// The lane of a host.
pub(super) struct Lane {
    rule: Rule,
    /// Where somebody can come last in them.
    groups: Option<Arc<Groups>>,
    known: Mutex<HashMap<TenantId, One>>,
    /// Somebody woke.
    woke: Notify,
}

impl Lane {
    /// Of an operator who wants one.
    pub(super) fn new(rule: Rule, groups: Option<Arc<Groups>>) -> Option<Arc<Self>> {
        let groups = groups.filter(|groups| groups.has_last());
        (rule.above > 0).then(|| Arc::new(Self { rule, groups, known: Mutex::default(), woke: Notify::new() }))
    }

    /// Never held while the kernel is asked for anything: a wake comes by here.
    fn known(&self) -> MutexGuard<'_, HashMap<TenantId, One>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is awake.
    pub(super) fn began(&self, id: &TenantId, process: Arc<Process>) {
        let Some(clock) = process.clock() else { return };
        let mut known = self.known();
        let one = known.entry(id.clone()).or_insert_with(|| One {
            run: None,
            place: Place::default(),
            tally: Tally::default(),
        });
        (one.run, one.place) = (Some((process, clock)), Place::default());
        one.tally.seen = None;
        drop(known);
        self.woke.notify_one();
    }

    /// It sleeps.
    pub(super) fn ended(&self, id: &TenantId) {
        let mut known = self.known();
        if let Some(one) = known.get_mut(id) {
            one.run = None;
            if one.tally.slow_until.is_none() {
                known.remove(id);
            }
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
                    tracing::info!(tenant.id = %change.id, "a percloud that uses much processor time makes way for others");
                    metrics::counter!("percloud_host_slow_lane_total").increment(1);
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
        let ready = change.place.last && change.little && wants_to_run(&change.process);
        self.put(change, change.place.next(change.little, ready));
    }

    fn let_go(&self, change: &Change, all: &CpuSet) {
        keep_to(&change.process, all);
        self.put(change, Place::default());
    }

    /// Puts it where it comes last, or back.
    fn put(&self, change: &Change, place: Place) {
        let Some(groups) = &self.groups else { return };
        let (id, process, last) = (&change.id, &change.process, place.last);
        let moved = match (change.place.last, last) {
            (false, true) => groups.put_last(id, process),
            (true, false) => groups.put_back(id, process),
            _ => Ok(()),
        };
        match moved {
            Ok(()) => self.note(change, place),
            Err(error) => tracing::warn!(tenant.id = %id, %error, last, "a busy percloud cannot be put elsewhere"),
        }
    }

    /// Unless another one runs by now.
    fn note(&self, change: &Change, place: Place) {
        if let Some(one) = self.known().get_mut(&change.id)
            && one.run.as_ref().is_some_and(|(now, _)| Arc::ptr_eq(now, &change.process))
        {
            one.place = place;
        }
    }

    /// What becomes of all that run, in a lane of so many processors.
    fn weigh_all(&self, now: Instant, processors: u32) -> Vec<Change> {
        let (mut running, mut slow) = (Vec::new(), 0_u32);
        for (id, one) in &*self.known() {
            slow += u32::from(one.tally.slow_until.is_some());
            if let Some((process, clock)) = &one.run {
                running.push((id.clone(), process.clone(), *clock));
            }
        }
        let read: Vec<_> = running.into_iter().map(|(id, process, clock)| (id, process, clock.read())).collect();
        let share = f64::from(processors.min(slow.max(1))) / f64::from(slow.max(1));
        let mut known = self.known();
        let mut weigh = |(id, process, cpu): (TenantId, Arc<Process>, Option<Duration>)| {
            let one = known.get_mut(&id)?;
            // Another one runs by now.
            let same = one.run.as_ref().is_some_and(|(now, _)| Arc::ptr_eq(now, &process));
            let share = if one.tally.slow_until.is_some() { share } else { 1.0 };
            let verdict = one.tally.weigh(cpu.filter(|_| same)?, now, self.rule, share);
            // Whoever could not be put back is tried again.
            let (place, little) = (one.place, one.tally.used < LITTLE);
            (verdict != Verdict::Free || place.last).then_some(Change { id, process, place, little, verdict })
        };
        let changes = read.into_iter().filter_map(&mut weigh).collect();
        known.retain(|_, one| one.run.is_some() || one.tally.slow_until.is_some_and(|until| until > now));
        let slow = known.values().filter(|one| one.tally.slow_until.is_some()).count();
        metrics::gauge!("percloud_host_slow_lane").set(slow as f64);
        changes
    }
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
    use super::*;

    const RULE: Rule = Rule { above: 50, stay: Duration::from_secs(60) };

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Half a second after half a second, in each of which so many milliseconds were used.
    fn verdicts(used: &[u64], share: f64, tally: &mut Tally, start: Instant) -> Vec<Verdict> {
        let (mut cpu, mut now) = (Duration::ZERO, start);
        tally.weigh(cpu, now, RULE, share);
        let look = |used: &u64| {
            (cpu, now) = (cpu + millis(*used), now + EVERY);
            tally.weigh(cpu, now, RULE, share)
        };
        used.iter().map(look).collect()
    }

    #[test]
    fn who_uses_more_than_its_share_for_long_goes_into_the_lane() {
        use Verdict::{Enter, Free, Stay};
        let table: [(&str, &[u64], &[Verdict]); 6] = [
            ("nothing", &[0, 0, 0], &[Free, Free, Free]),
            ("its share", &[250, 250, 250], &[Free, Free, Free]),
            ("one busy moment", &[450, 0, 450], &[Free, Free, Free]),
            ("a processor", &[500, 500], &[Enter, Stay]),
            ("four processors", &[2000], &[Enter]),
            ("a little more than its share", &[350, 350, 350], &[Free, Free, Enter]),
        ];
        for (who, used, expected) in table {
            assert_eq!(verdicts(used, 1.0, &mut Tally::default(), Instant::now()), expected, "{who}");
        }
    }

    #[test]
    fn it_leaves_the_lane_so_long_after_it_was_last_busy() {
        let (start, mut tally) = (Instant::now(), Tally::default());
        assert_eq!(verdicts(&[500, 500, 500], 1.0, &mut tally, start).last(), Some(&Verdict::Stay));
        let quiet = verdicts(&[0; 130], 1.0, &mut tally, start + EVERY * 3);
        let left = quiet.iter().position(|verdict| *verdict == Verdict::Leave).unwrap();
        assert!((119..=121).contains(&left), "{left} half seconds");
        assert_eq!(quiet[left + 1], Verdict::Free);
    }

    #[test]
    fn who_is_starved_for_two_looks_has_its_share_until_the_next_and_nobody_else() {
        // Used little? Ready to run? Last from then on?
        let table: [(&str, &[(bool, bool, bool)]); 5] = [
            ("has just begun", &[(true, true, false), (true, true, false), (false, true, true)]),
            ("has enough", &[(false, true, true), (false, true, true), (false, false, true)]),
            ("is quiet", &[(false, true, true), (true, false, true), (true, false, true)]),
            (
                "begins just before a look",
                &[(false, true, true), (true, false, true), (true, true, true), (false, true, true)],
            ),
            (
                "starves",
                &[
                    (false, true, true),
                    (true, true, true),
                    (true, true, false),
                    (false, true, true),
                    (true, true, true),
                ],
            ),
        ];
        for (who, looks) in table {
            let mut place = Place::default();
            for (number, (little, ready, last)) in looks.iter().enumerate() {
                place = place.next(*little, *ready);
                assert_eq!(place.last, *last, "who {who}, look {number}");
            }
        }
    }

    #[test]
    fn what_was_used_since_the_last_look_is_known() {
        let (start, mut tally) = (Instant::now(), Tally::default());
        for (cpu, used) in [(700, 0), (1200, 500), (1210, 10)] {
            tally.weigh(millis(cpu), start, RULE, 1.0);
            assert_eq!((tally.used, tally.used < LITTLE), (millis(used), used < 50), "{cpu}");
        }
    }

    #[test]
    fn many_in_the_lane_count_as_busy_with_less() {
        let (start, mut tally) = (Instant::now(), Tally::default());
        verdicts(&[500, 500], 1.0, &mut tally, start);
        // Four on one processor: each has 125 ms of 500.
        let shared = verdicts(&[125; 130], 0.25, &mut tally, start + EVERY * 2);
        assert!(shared.iter().all(|verdict| *verdict == Verdict::Stay), "{shared:?}");
    }

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

    #[tokio::test]
    async fn to_leave_and_come_again_is_no_way_out_and_nobody_else_is_remembered() {
        let lane = Lane::new(RULE, None).unwrap();
        let (busy, quiet, now) = (TenantId::random(), TenantId::random(), Instant::now());
        let own = || {
            let pid = rustix::process::getpid();
            let own = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
            Arc::new(Process::new(own))
        };
        for id in [&busy, &quiet] {
            lane.began(id, own());
        }
        lane.known().get_mut(&busy).unwrap().tally.slow_until = Some(now + RULE.stay);
        for id in [&busy, &quiet] {
            lane.ended(id);
        }
        assert!(lane.weigh_all(now, 1).is_empty());
        assert_eq!(lane.known().keys().collect::<Vec<_>>(), [&busy]);
        lane.began(&busy, own());
        let changes = lane.weigh_all(now, 1);
        assert_eq!((changes.len(), changes[0].verdict), (1, Verdict::Stay));
        lane.ended(&busy);
        lane.weigh_all(now + RULE.stay, 1);
        assert!(lane.known().is_empty());
        assert!(Lane::new(Rule { above: 0, ..RULE }, None).is_none(), "switched off");
    }
}
