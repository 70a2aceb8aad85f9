//! The way in for perclouds that wake. It is open; when the machine's memory runs short they come in one after the other, in the order in
//! which they came, and the less memory there is the longer it takes from one to the next. So those who sleep early make room before it is
//! used again, and nobody drives the machine to where the kernel ends processes. Whoever waits comes in, if slowly.
//!
//! A place in the line is the percloud's and not its visitor's: who gives up and comes again has lost nothing.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex as Line, Notify},
    time::Instant,
};

/// Those who waited do not all come in at once when there is enough again.
const DISPERSE: Duration = Duration::from_millis(20);
/// Whoever would wait for longer hears so at once: the edge gives up after two minutes, and a visitor long before.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where whoever wakes comes by.
#[derive(Debug)]
pub(super) struct Gate {
    /// From one to the next; none while it is open.
    pace: Mutex<Option<Duration>>,
    /// Changes of that, for whoever is first in the line.
    changed: Notify,
    /// When the last one came in. The line is that of this lock, which is fair.
    line: Line<Option<Instant>>,
    waiting: AtomicUsize,
}

impl Gate {
    pub(super) fn new() -> Self {
        let (pace, line) = (Mutex::new(None), Line::new(None));
        Self { pace, changed: Notify::new(), line, waiting: AtomicUsize::new(0) }
    }

    fn pace(&self) -> Option<Duration> {
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, so long from one to the next; all at once when none is given.
    pub(super) fn set(&self, pace: Option<Duration>) {
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner) = pace;
        self.changed.notify_one();
    }

    /// Whether everybody comes in at once: what nearly all ever meet.
    pub(super) fn is_open(&self) -> bool {
        self.pace().is_none()
    }

    /// Whether whoever comes now would wait for longer than a visitor does.
    pub(super) fn is_long(&self) -> bool {
        let waiting = u32::try_from(self.waiting.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        self.pace().is_some_and(|pace| pace.saturating_mul(waiting) > PATIENCE)
    }

    /// Waits for one's turn. Whoever drops this has left the line.
    pub(super) async fn pass(&self) {
        if self.is_open() {
            return;
        }
        let _counted = Counted::new(&self.waiting);
        let mut last = self.line.lock().await;
        loop {
            let pace = self.pace().unwrap_or_default().max(DISPERSE);
            let turn = last.map_or_else(Instant::now, |last| last + pace);
            if turn <= Instant::now() {
                *last = Some(Instant::now());
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(turn) => {}
                () = self.changed.notified() => {}
            }
        }
    }
}

/// One who waits.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        metrics::gauge!("percloud_host_wakes_waiting").increment(1.0);
        Self(waiting)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("percloud_host_wakes_waiting").decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Sends so many to the gate, in this order; what they say when they are in.
    fn come(gate: &Arc<Gate>, count: u32) -> tokio::sync::mpsc::UnboundedReceiver<(u32, Instant)> {
        let (tell, told) = tokio::sync::mpsc::unbounded_channel();
        for who in 0..count {
            let (gate, tell) = (gate.clone(), tell.clone());
            tokio::spawn(async move {
                gate.pass().await;
                tell.send((who, Instant::now())).unwrap();
            });
        }
        told
    }

    #[tokio::test]
    async fn whoever_wakes_comes_in_one_by_one_when_memory_is_short_and_nobody_is_left_out() {
        const PACE: Duration = Duration::from_millis(50);
        let gate = Arc::new(Gate::new());
        let mut all = come(&gate, 5);
        for _ in 0..5 {
            all.recv().await.unwrap();
        }
        assert!(gate.line.lock().await.is_none(), "with enough, nobody stands in the line");
        gate.set(Some(PACE));
        let (began, mut all) = (Instant::now(), come(&gate, 20));
        for expected in 0..5 {
            let (who, at) = all.recv().await.unwrap();
            assert!(who == expected && at - began >= PACE * who, "one after the other, in their order: {who}");
        }
        assert!(!gate.is_long());
        // It becomes worse: less often.
        gate.set(Some(PATIENCE));
        assert!(gate.is_long(), "who comes now hears at once that it takes long");
        let nobody = tokio::time::timeout(2 * PACE, all.recv()).await;
        assert!(nobody.is_err() && gate.waiting.load(Ordering::Relaxed) == 15, "{nobody:?}");
        // There is enough again: those who wait need not wait for what was said before, and do not come all at once.
        let (again, mut next) = (Instant::now(), 5);
        gate.set(None);
        while let Some((who, at)) = all.recv().await {
            assert!(who == next && at - again >= DISPERSE * (who - 5), "{who} for {next}");
            next += 1;
        }
        assert_eq!((next, gate.waiting.load(Ordering::Relaxed), gate.is_long()), (20, 0, false));
    }

    #[tokio::test]
    async fn who_is_called_away_leaves_the_line_and_does_not_hold_it_up() {
        let gate = Gate::new();
        gate.set(Some(Duration::from_millis(200)));
        gate.pass().await;
        let began = Instant::now();
        assert!(tokio::time::timeout(Duration::from_millis(50), gate.pass()).await.is_err());
        assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
        gate.pass().await;
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}
