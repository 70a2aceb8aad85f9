//! Handshakes take turns: a worker makes one, then does everything else that is ready, then the next one makes its turn.
//!
//! A full handshake costs as much as ten requests, and thousands may be wanted at once of one percloud. So each percloud's wait in a queue of its own,
//! and the queues take turns. Whose visitors come faster than fifty a second waits for turns that others leave, and for so long after each of
//! them that the worker spends at most an eighth of its time on such, unless nobody else was visited within the last second.

mod line;

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use metrics::{Counter, counter, gauge};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Duration, Instant, sleep_until};

use super::company::Company;
use line::{Line, Next, SLICE, Waiter};

/// The handshakes of one worker.
pub(super) struct Turns {
    line: Mutex<Line>,
    /// There is something to do for [`Turns::run`].
    asked: Notify,
    /// The turn that it gave is over.
    over: Notify,
    given_up: Counter,
}

/// Somebody's turn, until dropped.
struct Turn {
    turns: Arc<Turns>,
    busy: bool,
    /// [`Turns::run`] waits for its end.
    called: bool,
    took: Duration,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut line = self.turns.line();
        line.ended(self.busy, self.took, Instant::now());
        if self.called {
            self.turns.over.notify_one();
        } else if line.spent >= SLICE {
            self.turns.asked.notify_one();
        }
    }
}

/// Who waits, until it has what it waited for.
struct Waiting<'a>(Option<&'a Turns>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(turns) = self.0 {
            turns.given_up.increment(1);
        }
    }
}

impl Turns {
    pub(super) fn new(company: Arc<Company>) -> Arc<Self> {
        Arc::new(Self {
            line: Mutex::new(Line::new(company, Instant::now(), gauge!("percloud_edge_handshakes_waiting"))),
            asked: Notify::new(),
            over: Notify::new(),
            given_up: counter!("percloud_edge_handshakes_given_up_total"),
        })
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives turns, for as long as the worker works.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            if self.line().spent >= SLICE {
                // Whoever does this comes back after what is ready, and after what the kernel has meanwhile.
                tokio::task::yield_now().await;
                self.line().spent = Duration::ZERO;
            }
            let next = self.line().next(Instant::now());
            match next {
                Next::Call(call, busy) => {
                    let turn = Turn { turns: self.clone(), busy, called: true, took: Duration::ZERO };
                    // One who has gone drops the turn, which ends it.
                    drop(call.send(turn));
                    self.over.notified().await;
                }
                Next::At(when) => tokio::select! {
                    () = sleep_until(when) => {}
                    () = self.asked.notified() => {}
                },
                Next::Nobody => self.asked.notified().await,
            }
        }
    }

    /// Does `work` of the percloud `key`, step by step, each step a turn; none when too many wait.
    pub(super) async fn take<F: Future>(self: &Arc<Self>, key: &str, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        let mut first = true;
        loop {
            let mut turn = self.turn(key, first).await?;
            first = false;
            let step = std::future::poll_fn(|cx| {
                let began = Instant::now();
                let step = work.as_mut().poll(cx);
                turn.took = began.elapsed();
                Poll::Ready(step)
            });
            if let Poll::Ready(done) = step.await {
                return Some(done);
            }
            drop(turn);
            woken().await;
        }
    }

    async fn turn(self: &Arc<Self>, key: &str, first: bool) -> Option<Turn> {
        let mut waiting = Waiting(Some(self));
        let called = {
            let (mut line, now) = (self.line(), Instant::now());
            if let Some(busy) = line.at_once(key, first, now) {
                waiting.0 = None;
                return Some(Turn { turns: self.clone(), busy, called: false, took: Duration::ZERO });
            }
            let (call, called) = oneshot::channel();
            line.wait(key, Waiter { call, first }, now).then_some(called)
        }?;
        self.asked.notify_one();
        let turn = called.await.ok()?;
        waiting.0 = None;
        Some(turn)
    }
}

/// Returns when the task is polled again: when what it waits for has moved.
async fn woken() {
    let mut waited = false;
    std::future::poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn between_two_turns_whatever_is_ready_is_done() {
        let turns = Turns::new(Arc::new(Company::new(Instant::now())));
        tokio::spawn(turns.clone().run());
        let log = Arc::new(Mutex::new(Vec::new()));
        let note = |what| {
            let log = log.clone();
            move || log.lock().unwrap().push(what)
        };
        let busy = |note: Box<dyn Fn() + Send>| async move {
            note();
            let began = Instant::now();
            while began.elapsed() < SLICE * 2 {}
        };
        let shaking: Vec<_> = (0..20)
            .map(|_| {
                let (turns, work) = (turns.clone(), busy(Box::new(note("turn"))));
                tokio::spawn(async move { turns.take("a", work).await })
            })
            .collect();
        let other = note("other");
        let others = tokio::spawn(async move {
            loop {
                other();
                tokio::task::yield_now().await;
            }
        });
        for one in shaking {
            assert_eq!(one.await.unwrap(), Some(()));
        }
        others.abort();
        let log = log.lock().unwrap();
        let together = log.windows(2).filter(|pair| pair == &["turn", "turn"]).count();
        assert_eq!(together, 0, "{log:?}");
    }

    #[tokio::test]
    async fn a_step_that_waits_leaves_the_turn_to_others() {
        let turns = Turns::new(Arc::new(Company::new(Instant::now())));
        tokio::spawn(turns.clone().run());
        let (tell, told) = oneshot::channel::<()>();
        let waiting = tokio::spawn({
            let turns = turns.clone();
            async move { turns.take("slow", told).await }
        });
        tokio::task::yield_now().await;
        for _ in 0..10 {
            assert_eq!(turns.take("quick", std::future::ready(7)).await, Some(7));
        }
        tell.send(()).unwrap();
        assert_eq!(waiting.await.unwrap(), Some(Ok(())));
        assert_eq!(turns.line().waiting, 0);
    }
}
