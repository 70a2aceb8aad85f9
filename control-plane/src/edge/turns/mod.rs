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

    /// The turn for a step of a connection. There is none once the worker gives none any more.
    fn poll_turn(
        self: &Arc<Self>,
        who: Who,
        what: What,
        called: &mut Option<oneshot::Receiver<Turn>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Turn>> {
        let mut turn = match called {
            Some(called) => ready!(Pin::new(called).poll(cx)).ok(),
            None => match self.ask(who, what) {
                Some(Given::Now(turn)) => Some(turn),
                Some(Given::Later(later)) => {
                    self.held_back.increment(u64::from(what == What::Step));
                    ready!(Pin::new(called.insert(later)).poll(cx)).ok()
                }
                None => None,
            },
        };
        *called = None;
        turn.iter_mut().for_each(Turn::begin);
        Poll::Ready(turn)
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
        let what =
            if this.called.is_some() { Some(What::Step) } else { this.crowd.step(&this.turns.company).waits_as() };
        if let Some(what) = what {
            *this.turn = ready!(this.turns.poll_turn(this.crowd.who, what, this.called, cx));
        }
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
mod tests {
    use super::super::routes::Route;
    use super::crowd::Bustle;
    use super::*;

    #[tokio::test]
    async fn between_two_turns_whatever_is_ready_is_done() {
        let turns = alone();
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
                tokio::spawn(async move { turns.take(&Visited::Nobody, work).await })
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
        let turns = alone();
        tokio::spawn(turns.clone().run());
        let (tell, told) = oneshot::channel::<()>();
        let waiting = tokio::spawn({
            let turns = turns.clone();
            async move { turns.take(&Visited::Portal, told).await }
        });
        tokio::task::yield_now().await;
        for _ in 0..10 {
            assert_eq!(turns.take(&Visited::Nobody, std::future::ready(7)).await, Some(7));
        }
        tell.send(()).unwrap();
        assert_eq!(waiting.await.unwrap(), Some(Ok(())));
        assert_eq!(turns.queue().waiting, 0);
    }

    /// A worker's turns, with nobody there.
    fn alone() -> Arc<Turns> {
        Turns::new(Arc::new(Company::new(Instant::now())), Arc::new(Ledger::new(bundle::Clock::system())))
    }

    #[tokio::test]
    async fn handshakes_that_come_faster_than_a_perclouds_share_are_put_down_for_its_operator() {
        let turns = alone();
        tokio::spawn(turns.clone().run());
        let began = Instant::now();
        let [ada, bob] = ["ada", "bob"].map(|id| Visited::Percloud(Route::of_tenant(id)));
        for (visited, times) in [(&ada, 300), (&bob, 40), (&Visited::Portal, 300), (&Visited::Nobody, 300)] {
            for _ in 0..times {
                assert!(turns.take(visited, async {}).await.is_some());
            }
        }
        let crowded = |id| turns.ledger.account(id).take().crowded;
        // Fifty are its share of each second, and fifty may come at once.
        let (held, had) = (crowded("ada"), 51 + 50 * (began.elapsed().as_secs() + 1));
        assert!(held < 250 && held + had >= 300, "{held} {had}");
        assert_eq!(crowded("bob"), 0);
    }

    /// A worker's turns, at which the percloud "a" is a crowd: it has come fast, and somebody else is there.
    fn crowded() -> (Arc<Turns>, Arc<Crowd>) {
        let turns = alone();
        tokio::spawn(turns.clone().run());
        turns.company.visited(Who::of("b"), Instant::now());
        let crowd = turns.crowd(Who::of("a"));
        assert!((0..10_000).any(|_| crowd.step(&turns.company) == Bustle::Crowded), "a crowd");
        (turns, crowd)
    }

    /// Two steps that take time, and what comes between them.
    async fn steps(name: usize, log: Arc<Mutex<Vec<usize>>>) {
        for _ in 0..2 {
            log.lock().unwrap().push(name);
            let began = std::time::Instant::now();
            while began.elapsed() < SLICE {}
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_crowds_connections_go_on_one_by_one_in_their_order_and_who_has_gone_is_passed_over() {
        let (turns, crowd) = crowded();
        let log = Arc::new(Mutex::new(Vec::new()));
        let begin = |name| tokio::spawn(turns.clone().along(crowd.clone(), steps(name, log.clone())));
        let mut all: Vec<_> = (0..20).map(begin).collect();
        tokio::task::yield_now().await;
        assert!(turns.queue().held > 0, "they wait");
        for gone in all.drain(15..) {
            gone.abort();
        }
        for one in all {
            one.await.unwrap();
        }
        let log = log.lock().unwrap();
        assert_eq!(log[..], [(0..15).collect::<Vec<_>>(), (0..15).collect()].concat());
        assert_eq!(turns.queue().held, 0);
    }

    #[tokio::test]
    async fn who_is_no_crowd_never_waits_and_each_percloud_is_counted_once_for_all_its_connections() {
        let (turns, crowd) = crowded();
        let (first, second) = (turns.crowd(Who::of("c")), turns.crowd(Who::of("c")));
        assert!(Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&crowd, &turns.crowd(Who::of("a"))));
        let busy: Vec<_> =
            (0..20).map(|name| tokio::spawn(turns.clone().along(crowd.clone(), steps(name, Arc::default())))).collect();
        tokio::task::yield_now().await;
        let held = turns.queue().held;
        assert!(held > 0);
        let quiet = futures_util::FutureExt::now_or_never(turns.clone().along(first, async {}));
        assert_eq!((quiet, turns.queue().held), (Some(()), held));
        assert_eq!(turns.crowds.len(), 2);
        drop(turns.clone().along(second, async {}));
        assert_eq!(turns.crowds.len(), 1, "forgotten with the last of its connections");
        busy.iter().for_each(tokio::task::JoinHandle::abort);
        for n in 0..1000 {
            turns.crowd(Who::of(&n.to_string()));
        }
        assert_eq!(turns.crowds.len(), 1, "who has no connection is forgotten");
    }
}
