//! Turns: a worker does one thing that a crowd wants, then everything else that is ready, then the next one has its turn.
//!
//! **Handshakes** take turns always. A full handshake costs as much as ten requests, and thousands may be wanted at once of one percloud. So
//! each percloud's wait in a queue of its own, and the queues take turns. Whose visitors come faster than fifty a second waits for turns
//! that others leave, and for so long after each of them that the worker spends at most a sixteenth of its time on such, unless
//! nobody else was visited within the last second.
//!
//! **Connections** are free to go on, until their percloud is lively ([`Crowd`]). Then whatever moves on one of them (a request, a piece of
//! an answer, its end) is a step that waits for its turn, so that others come in between. Once it is a crowd, all such have an eighth of the
//! worker's time; meanwhile nothing is read from them. Since a connection waits once only, nobody need be sent away.

mod crowd;
mod queue;

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use metrics::{Counter, counter, gauge};
use pin_project_lite::pin_project;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Duration, Instant, sleep_until};

use super::company::{Company, Who};
use super::routes::Visited;
use crate::ledger::Ledger;
pub(super) use crowd::Crowd;
use crowd::Crowds;
use queue::{Next, Queue, SLICE, Waiter, What};

/// The turns of one worker.
pub(super) struct Turns {
    queue: Mutex<Queue>,
    crowds: Arc<Crowds>,
    company: Arc<Company>,
    /// Where it is put down whose handshakes come too fast.
    ledger: Arc<Ledger>,
    /// There is something to do for [`Turns::run`].
    asked: Notify,
    /// The turn that it gave is over.
    over: Notify,
    given_up: Counter,
    held_back: Counter,
}

/// Somebody's turn, until dropped.
struct Turn {
    turns: Arc<Turns>,
    /// How many times as long the busy then wait.
    part: u32,
    /// [`Turns::run`] waits for its end.
    called: bool,
    /// When it was taken up.
    began: Option<Instant>,
}

impl Turn {
    fn new(turns: &Arc<Turns>, part: u32, called: bool) -> Self {
        Self { turns: turns.clone(), part, called, began: None }
    }

    fn begin(&mut self) {
        self.began = Some(Instant::now());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (mut queue, now) = (self.turns.queue(), Instant::now());
        queue.ended(self.part, self.began.map_or(Duration::ZERO, |began| now - began), now);
        if self.called {
            self.turns.over.notify_one();
        } else if queue.spent >= SLICE {
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
    pub(super) fn new(company: Arc<Company>, ledger: Arc<Ledger>) -> Arc<Self> {
        let gauges = [gauge!("percloud_edge_handshakes_waiting"), gauge!("percloud_edge_connections_waiting")];
        Arc::new(Self {
            queue: Mutex::new(Queue::new(company.clone(), Instant::now(), gauges)),
            crowds: Arc::default(),
            company,
            ledger,
            asked: Notify::new(),
            over: Notify::new(),
            given_up: counter!("percloud_edge_handshakes_given_up_total"),
            held_back: counter!("percloud_edge_steps_held_back_total"),
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives turns, for as long as the worker works.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            if self.queue().spent >= SLICE {
                // Whoever does this comes back after what is ready, and after what the kernel has meanwhile.
                tokio::task::yield_now().await;
                self.queue().spent = Duration::ZERO;
            }
            let next = self.queue().next(Instant::now());
            match next {
                Next::Call(call, part) => {
                    // One who has gone drops the turn, which ends it.
                    drop(call.send(Turn::new(&self, part, true)));
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

    /// Does `work` for whoever is visited, step by step, each step a turn; none when too many wait.
    pub(super) async fn take<F: Future>(self: &Arc<Self>, visited: &Visited, work: F) -> Option<F::Output> {
        let who = visited.who();
        if let Visited::Percloud(route) = visited
            && self.queue().is_busy(who, Instant::now())
        {
            route.account(&self.ledger).crowd();
        }
        let mut work = pin!(work);
        let mut what = What::First;
        loop {
            let mut turn = self.turn(who, what).await?;
            what = What::Later;
            let step = std::future::poll_fn(|cx| {
                turn.begin();
                Poll::Ready(work.as_mut().poll(cx))
            });
            if let Poll::Ready(done) = step.await {
                return Some(done);
            }
            drop(turn);
            woken().await;
        }
    }

    async fn turn(self: &Arc<Self>, who: Who, what: What) -> Option<Turn> {
        let mut waiting = Waiting(Some(self));
        let turn = match self.ask(who, what)? {
            Given::Now(turn) => turn,
            Given::Later(called) => called.await.ok()?,
        };
        waiting.0 = None;
        Some(turn)
    }

    /// Asks for a turn; none when too many wait.
    fn ask(self: &Arc<Self>, who: Who, what: What) -> Option<Given> {
        let (mut queue, now) = (self.queue(), Instant::now());
        if let Some(part) = queue.at_once(who, what, now) {
            return Some(Given::Now(Turn::new(self, part, false)));
        }
        let (call, called) = oneshot::channel();
        let waits = queue.wait(who, Waiter { call, what }, now).then_some(Given::Later(called));
        drop(queue);
        self.asked.notify_one();
        waits
    }

    /// What the connections of a percloud are counted in.
    pub(super) fn crowd(&self, who: Who) -> Arc<Crowd> {
        self.crowds.of(who, Instant::now())
    }

    /// Does the work of a connection: freely, and in turns while its percloud is a crowd.
    pub(super) fn along<F>(self: Arc<Self>, crowd: Arc<Crowd>, work: F) -> Along<F> {
        Along { work, turn: None, called: None, turns: self, crowd }
    }
}

pin_project! {
    /// See [`Turns::along`]. Written out, since what `async` makes would hold the work twice.
    pub(super) struct Along<F> {
        // In front of the turn, so that it ends before that does: what the end of a connection costs is part of its last turn.
        #[pin]
        work: F,
        turn: Option<Turn>,
        called: Option<oneshot::Receiver<Turn>>,
        turns: Arc<Turns>,
        crowd: Arc<Crowd>,
    }
}

impl<F: Future<Output = ()>> Future for Along<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.called.is_none()
            && let Some(what) = this.crowd.step(&this.turns.company).waits_as()
        {
            match this.turns.ask(this.crowd.who, what) {
                Some(Given::Now(turn)) => *this.turn = Some(turn),
                Some(Given::Later(called)) => {
                    this.turns.held_back.increment(u64::from(what == What::Step));
                    *this.called = Some(called);
                }
                None => {}
            }
        }
        if let Some(called) = this.called {
            // There is none once the worker gives none any more.
            *this.turn = ready!(Pin::new(called).poll(cx)).ok();
            *this.called = None;
        }
        this.turn.iter_mut().for_each(Turn::begin);
        let step = this.work.poll(cx);
        if step.is_pending() {
            *this.turn = None;
        }
        step
    }
}

/// What whoever asks for a turn gets.
enum Given {
    Now(Turn),
    Later(oneshot::Receiver<Turn>),
}

/// Returns when the task is polled again: when what it waits for has moved.
async fn woken() {
    let mut waited = false;
    std::future::poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

#[cfg(test)]
mod tests;
