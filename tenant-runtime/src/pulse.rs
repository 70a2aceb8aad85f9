//! Whether anything is going on, and since when nobody has come: what a process under a host must know to go to sleep.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// How long nothing may be going on before the process leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Since the last visit of a person.
    pub usual: Duration,
    /// Since the start, while no person has come: it was started by its timetable, a crawler or a health check.
    pub unvisited: Duration,
}

impl Patience {
    /// The same with and without visitors.
    #[must_use]
    pub const fn of(usual: Duration) -> Self {
        Self { usual, unvisited: usual }
    }
}

/// What is going on.
#[derive(Debug)]
pub(crate) struct Pulse {
    busy: AtomicUsize,
    /// Since when it is looked whether somebody comes: what came before was the start, which may take its time.
    born: OnceLock<Instant>,
    visited: Mutex<Option<Instant>>,
    hurried: AtomicBool,
    changed: Notify,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            busy: AtomicUsize::new(0),
            born: OnceLock::new(),
            visited: Mutex::new(None),
            hurried: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }
}

impl Pulse {
    fn visit(&self) {
        *self.visited.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// From now on there is no patience: it is over as soon as nothing is going on.
    pub(crate) fn hurry(&self) {
        self.hurried.store(true, Ordering::SeqCst);
        self.changed.notify_one();
    }

    pub(crate) fn hurried(&self) -> bool {
        self.hurried.load(Ordering::SeqCst)
    }

    /// The moment to leave at, if nothing happens before.
    fn leave_at(&self, patience: Patience) -> Instant {
        let visited = *self.visited.lock().unwrap_or_else(PoisonError::into_inner);
        let born = *self.born.get_or_init(Instant::now);
        visited.map_or(born + patience.unvisited, |last| last + patience.usual)
    }

    /// Whether something is going on.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::SeqCst) > 0
    }

    /// Waits so long, or until somebody is in a hurry.
    pub(crate) async fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        loop {
            let changed = self.changed.notified();
            if self.hurried() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                () = changed => {}
            }
        }
    }

    /// Waits until nothing is going on, and has not for as long as `patience` says.
    pub(crate) async fn idle(&self, patience: Patience) {
        loop {
            // What changes between the looks below and the waiting is kept for the waiting.
            let changed = self.changed.notified();
            if self.is_busy() {
                changed.await;
                continue;
            }
            let leave = self.leave_at(patience);
            if self.hurried() || Instant::now() >= leave {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(leave) => {}
                () = changed => {}
            }
        }
    }
}

/// Something is going on as long as this lives.
#[derive(Debug)]
pub struct Busy {
    pulse: Arc<Pulse>,
    visit: bool,
}

impl Busy {
    /// Somebody is here, or waits for this: the process stays on for a while afterwards.
    pub(crate) fn visit(pulse: Arc<Pulse>) -> Self {
        Self::new(pulse, true)
    }

    /// Work that nobody waits for: it is finished, and then the process may leave.
    pub(crate) fn chore(pulse: Arc<Pulse>) -> Self {
        Self::new(pulse, false)
    }

    fn new(pulse: Arc<Pulse>, visit: bool) -> Self {
        pulse.busy.fetch_add(1, Ordering::SeqCst);
        Self { pulse, visit }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.visit {
            self.pulse.visit();
        }
        if self.pulse.busy.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.pulse.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { usual: Duration::from_secs(300), unvisited: Duration::from_secs(10) };

    #[tokio::test]
    async fn a_visit_keeps_it_awake_and_what_nobody_waits_for_does_not() {
        let pulse = Arc::new(Pulse::default());
        drop(Busy::chore(pulse.clone()));
        let born = || *pulse.born.get().unwrap();
        assert_eq!(pulse.leave_at(PATIENCE), born() + PATIENCE.unvisited, "a crawler came, and nobody else");
        let before = Instant::now();
        drop(Busy::visit(pulse.clone()));
        let leave = pulse.leave_at(PATIENCE);
        assert!(leave >= before + PATIENCE.usual);
        drop(Busy::chore(pulse.clone()));
        assert_eq!(pulse.leave_at(PATIENCE), leave, "since the visit, not since the crawler");
    }

    #[tokio::test]
    async fn it_does_not_leave_while_something_is_going_on() {
        let pulse = Arc::new(Pulse::default());
        let (visit, chore) = (Busy::visit(pulse.clone()), Busy::chore(pulse.clone()));
        let mut leaves = std::pin::pin!(pulse.idle(Patience::of(Duration::ZERO)));
        assert!(futures_util::poll!(&mut leaves).is_pending());
        drop(visit);
        assert!(futures_util::poll!(&mut leaves).is_pending(), "something is");
        drop(chore);
        leaves.await;
    }

    #[tokio::test]
    async fn in_a_hurry_it_leaves_as_soon_as_nothing_is_going_on() {
        let pulse = Arc::new(Pulse::default());
        drop(Busy::visit(pulse.clone()));
        let visit = Busy::visit(pulse.clone());
        let mut leaves = std::pin::pin!(pulse.idle(PATIENCE));
        pulse.hurry();
        assert!(futures_util::poll!(&mut leaves).is_pending(), "somebody is still being served");
        drop(visit);
        leaves.await;
    }
}
