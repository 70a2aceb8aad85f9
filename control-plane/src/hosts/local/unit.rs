//! One percloud on this machine: a task that owns its listening socket, waits for the first connection, has the runtime
//! started with that socket, and waits for its end.

mod filling;

use std::{ops::ControlFlow, os::fd::OwnedFd, sync::Arc, time::Duration};

use anyhow::Context;
use bundle::{TenantId, TenantSpec};
use tokio::time::{Instant, timeout};
use tokio_util::sync::DropGuard;

use super::{
    desk::{Desk, Order, Seen},
    logs::Log,
    pressure::Activity,
    queue, reasons,
    restart::Troubles,
    schedule::{Alarm, Turn},
    shared::Shared,
    spawn::Running,
    starts::is_hasty,
    state::Known,
    used::Counters,
    waiting::{end_of, is_deaf, wanted},
    wire::End,
};
use crate::hosts::{Error, State};

/// A runtime that was asked to end has so long.
const DRAIN: Duration = Duration::from_secs(12);
/// And less when its percloud is removed.
const LEAVE: Duration = Duration::from_secs(3);
/// One that cannot listen is tried again so often by itself.
const BROKEN_AGAIN: Duration = Duration::from_secs(300);

/// How a unit is reached.
#[derive(Clone)]
pub(super) struct Handle {
    /// Where it gets its orders; closed, once it is removed.
    pub(super) desk: Arc<Desk>,
    /// What it has used.
    pub(super) used: Arc<Counters>,
    /// When it was last heard of.
    pub(super) activity: Activity,
}

/// Starts the task of one unit.
pub(super) fn live(shared: &Arc<Shared>, id: TenantId, known: Option<Known>) -> Handle {
    let known = known.map(Arc::new);
    let desk =
        Desk::new(known.as_ref().map(|known| Seen { known: known.clone(), state: State::Asleep, filled_until: None }));
    let quota = known.as_ref().map(|known| known.spec.quota_bytes);
    let used = Counters::new(id.clone(), shared.groups.clone(), shared.lane.clone(), quota);
    let activity = Activity::default();
    let filled = known.as_ref().and_then(|known| known.filled.as_deref());
    let troubles = filled.map(|filled| Troubles::resumed(filled, shared.timetable.now(), Instant::now()));
    let unit = Unit {
        shared: shared.clone(),
        id,
        known,
        listener: None,
        run: None,
        troubles: troubles.unwrap_or_default(),
        alarm: Alarm::default(),
        activity: activity.clone(),
        broken: None,
        desk: desk.clone(),
        used: used.clone(),
    };
    shared.tasks.spawn(Box::new(unit).live());
    Handle { desk, used, activity }
}

struct Unit {
    shared: Arc<Shared>,
    id: TenantId,
    known: Option<Arc<Known>>,
    listener: Option<OwnedFd>,
    run: Option<Box<Run>>,
    troubles: Troubles,
    alarm: Alarm,
    activity: Activity,
    /// Why it has no socket.
    broken: Option<String>,
    desk: Arc<Desk>,
    used: Arc<Counters>,
}

impl Drop for Unit {
    /// However it ends: nobody waits for it in vain.
    fn drop(&mut self) {
        self.desk.close();
    }
}

/// One run of its runtime.
pub(super) struct Run {
    /// The process.
    pub(super) running: Running,
    pub(super) log: Log,
    /// When it was started.
    pub(super) since: Instant,
    /// When it has to end, whatever it does: it is suspended.
    pub(super) until: Option<Instant>,
    /// A visitor woke it, and nobody has asked it to leave.
    pub(super) may_stay: bool,
    /// Its place among those whom nobody visits.
    pub(super) _turn: Option<DropGuard>,
}

/// What happens to a unit.
pub(super) enum Event {
    /// It is told something.
    Order(Order),
    /// A connection waits, or it is time to try again; or its time has come although nobody has.
    Start(Option<Turn>),
    /// Its runtime has ended.
    Ended(End),
    /// It has run long enough to be called well.
    Settled,
    /// It has waited long enough after a failure, and is started for visitors only.
    Waited,
    /// It has run as long as it may.
    Overstays,
    /// Its socket hears nobody any more, for this reason.
    Deaf(String),
    /// It cannot listen, and what is in the way may be gone.
    Mend,
    /// The host ends.
    Stop,
}

impl Unit {
    /// Ten thousand of these wait for [`Self::next`], so that nothing else is kept in here: what happens then has its room
    /// while it happens.
    async fn live(mut self: Box<Self>) {
        if let Err(why) = Box::pin(self.resume()).await {
            tracing::error!(tenant.id = %self.id, "{why:#}");
            self.broken = Some(format!("{why:#}"));
        }
        self.tell();
        loop {
            let event = self.next().await;
            if Box::pin(self.happens(event)).await.is_break() {
                return;
            }
            self.tell();
        }
    }

    async fn happens(&mut self, event: Event) -> ControlFlow<()> {
        match event {
            Event::Stop => {
                self.drain(DRAIN).await;
                return ControlFlow::Break(());
            }
            Event::Order(Order::Place(spec, answer)) => {
                let done = self.place(*spec).await;
                let _ = answer.send(done.map_err(|why| Error::Refused(format!("{why:#}"))));
            }
            Event::Order(Order::Remove(answer)) => {
                let done = self.remove().await;
                let gone = done.is_ok();
                if gone {
                    // Before anybody hears of it: what is wanted next is for another one.
                    self.desk.close();
                }
                let _ = answer.send(done.map_err(refusal));
                if gone {
                    return ControlFlow::Break(());
                }
            }
            Event::Order(Order::Retry(answer)) => {
                let done = self.retry().await;
                let _ = answer.send(done.map_err(|why| Error::Refused(format!("{why:#}"))));
            }
            Event::Order(Order::Sleep { firmly }) => self.sleep(firmly).await,
            Event::Order(Order::StopFilling(why)) => self.stop_filling(why).await,
            Event::Start(turn) => self.start(turn).await,
            Event::Ended(end) => self.ended(end).await,
            Event::Settled => self.troubles.forget(),
            Event::Waited => self.troubles.waited(),
            Event::Overstays => self.overstays().await,
            Event::Deaf(why) => self.hear_again(&why).await,
            Event::Mend => self.mend().await,
        }
        ControlFlow::Continue(())
    }

    /// Shows what is; nothing on the way of a wake waits for this.
    fn tell(&self) {
        let state = match (&self.broken, self.troubles.failing(), &self.run) {
            (Some(why), ..) => State::Failing(why.clone()),
            (None, Some(why), _) => State::Failing(why.to_owned()),
            (None, None, Some(_)) => State::Awake,
            (None, None, None) => State::Asleep,
        };
        let filled_until = self.troubles.has_filled_until();
        self.desk.show(self.known.clone().map(|known| Seen { known, state, filled_until }));
    }

    async fn next(&mut self) -> Event {
        let Self { id, desk, shared, run, listener, troubles, alarm, known, broken, .. } = self;
        let suspended = known.as_ref().is_some_and(|known| known.is_suspended());
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => Event::Stop,
            order = desk.next() => order.map_or(Event::Stop, Event::Order),
            event = async {
                match (run, listener) {
                    (Some(run), listener) => Box::pin(end_of(run, listener.as_ref(), troubles)).await,
                    (None, Some(listener)) => {
                        let alarm = (!suspended).then(|| alarm.rings(shared, id));
                        wanted(listener, troubles, &shared.gate, alarm).await
                    }
                    (None, None) if broken.is_some() => {
                        Box::pin(tokio::time::sleep(BROKEN_AGAIN)).await;
                        Event::Mend
                    }
                    (None, None) => std::future::pending().await,
                }
            } => event,
        }
    }

    /// After a restart of the host: as it was. What was being removed is gone.
    async fn resume(&mut self) -> anyhow::Result<()> {
        let Some(known) = self.known.clone() else { return Ok(()) };
        if known.leaving {
            self.remove().await?;
            self.desk.close();
            return Ok(());
        }
        let shared = self.shared.clone();
        self.listener = Some(tokio::task::spawn_blocking(move || shared.prepare(&known)).await??);
        Ok(())
    }

    async fn place(&mut self, spec: TenantSpec) -> anyhow::Result<Seen> {
        anyhow::ensure!(!self.known.as_ref().is_some_and(|known| known.leaving), "it is being removed");
        let same = self.known.as_ref().is_some_and(|known| known.spec == spec);
        if !same || self.listener.is_none() {
            let (shared, before) = (self.shared.clone(), self.known.clone());
            let more_room = before.as_ref().is_none_or(|known| spec.quota_bytes > known.spec.quota_bytes);
            let listening = self.listener.is_some();
            let settled = tokio::task::spawn_blocking(move || {
                let known = Arc::new(shared.settle(spec, before.as_deref())?);
                let listener = (!listening).then(|| shared.prepare(&known));
                anyhow::Ok((known, listener))
            });
            let (known, listener) = settled.await??;
            self.used.may_store(known.spec.quota_bytes);
            self.known = Some(known);
            match listener {
                Some(Ok(listener)) => {
                    self.listener = Some(listener);
                    self.broken = None;
                }
                Some(Err(why)) => {
                    // It is placed, and nobody is heard: that is what everybody shall see, and what is tried again.
                    self.broken = Some(format!("{why:#}"));
                    return Err(why);
                }
                None => {}
            }
            // Connections that come meanwhile wait in the socket's queue for the next one.
            self.drain(DRAIN).await;
            self.troubles.placed(more_room, Instant::now());
        }
        self.tell();
        self.desk.seen().context("it was just placed")
    }

    /// An operator says that what kept it from starting is mended: nothing is waited for any more.
    async fn retry(&mut self) -> anyhow::Result<Option<Seen>> {
        self.troubles.forget();
        if self.known.as_mut().is_some_and(|known| Arc::make_mut(known).forgive()) {
            self.remember().await;
        }
        if self.listener.is_none() {
            self.resume().await?;
            self.broken = None;
        }
        if self.run.is_none() {
            self.start(None).await;
        }
        self.tell();
        Ok(self.desk.seen())
    }

    async fn remove(&mut self) -> anyhow::Result<()> {
        self.listener = None;
        if let Some(known) = &mut self.known {
            Arc::make_mut(known).leaving = true;
        }
        self.write_down().await?;
        // As long as it runs it can put into its folder what was just taken out, and where we look.
        if !self.drain(LEAVE).await {
            return Err(Error::Unavailable("its runtime has not ended yet".into()).into());
        }
        let (shared, id) = (self.shared.clone(), self.id.clone());
        tokio::task::spawn_blocking(move || shared.wipe(&id)).await??;
        self.known = None;
        self.broken = None;
        self.tell();
        Ok(())
    }

    async fn start(&mut self, turn: Option<Turn>) {
        let (Some(known), Some(listener)) = (&self.known, &self.listener) else { return };
        self.alarm.started(turn.is_some());
        if turn.is_some() {
            metrics::counter!("percloud_host_scheduled_starts_total").increment(1);
        }
        self.troubles.began(Instant::now(), || queue::first(listener));
        // Before anything can be heard of it.
        self.activity.awake();
        match self.shared.order_start(known, listener, turn, self.activity.clone(), &self.used).await {
            Ok(run) => {
                metrics::counter!("percloud_host_starts_total").increment(1);
                metrics::gauge!("percloud_host_awake").increment(1.0);
                self.run = Some(Box::new(run));
            }
            Err(error) => {
                self.activity.asleep();
                let end = End::NotStarted(error.to_string());
                self.troubles.ended(&end, Duration::ZERO, "", Instant::now());
            }
        }
    }

    async fn ended(&mut self, end: End) {
        let Some(run) = self.run.take() else { return };
        self.activity.asleep();
        metrics::gauge!("percloud_host_awake").decrement(1.0);
        let last = run.log.last_line().await;
        if self.listener.as_ref().is_some_and(is_deaf) {
            return self.hear_again("it was shut down").await;
        }
        if self.troubles.is_stopped(Instant::now()) {
            return; // it was asked to end, and took its time: it waits on
        }
        let hasty =
            matches!(end, End::Left(0)) && run.may_stay && is_hasty(run.since.elapsed(), self.shared.idle_seconds);
        self.troubles.left(self.listener.as_ref().and_then(queue::first), hasty, Instant::now());
        let in_vain = matches!(end, End::Left(0)) && self.troubles.in_vain();
        self.troubles.ended(&end, run.since.elapsed(), &last, Instant::now());
        if let Some(why) = reasons::known_better(&end, &self.used).await {
            self.troubles.because(why);
        }
        if in_vain || !matches!(end, End::Left(0)) {
            self.used.failed(in_vain);
            tracing::warn!(tenant.id = %self.id, reason = self.troubles.reason(), "a runtime failed");
        }
    }

    /// Its socket is of no use any more, by whatever its runtime did to it, or by an error of the kernel's: it gets another one.
    async fn hear_again(&mut self, why: &str) {
        self.drain(LEAVE).await;
        self.used.failed(false);
        tracing::warn!(tenant.id = %self.id, reason = why, "a percloud's socket is made anew");
        self.listener = None;
        if let Err(why) = self.resume().await {
            tracing::error!(tenant.id = %self.id, "{why:#}");
            self.broken = Some(format!("{why:#}"));
        }
        // From when there is one on.
        self.troubles.deaf(why, Instant::now());
    }

    /// What kept it from listening may be mended.
    async fn mend(&mut self) {
        self.broken = self.resume().await.err().map(|why| format!("{why:#}"));
    }

    /// The machine needs the memory.
    async fn sleep(&mut self, firmly: bool) {
        match &mut self.run {
            Some(_) if firmly => drop(self.drain(DRAIN).await),
            Some(run) => {
                run.may_stay = false;
                self.shared.spawner.hurry(run.running.key).await;
            }
            None => {}
        }
    }

    /// Whoever comes next has it started again.
    async fn overstays(&mut self) {
        tracing::info!(tenant.id = %self.id, "a suspended percloud has been awake for long, and is put to sleep");
        self.drain(DRAIN).await;
    }

    /// Asks the runtime to end, and ends it when it takes longer than `patience`; whether it has ended, which even then takes its time
    /// where the kernel is at something for it.
    async fn drain(&mut self, patience: Duration) -> bool {
        let Some(run) = &mut self.run else { return true };
        self.activity.asleep();
        let until = Instant::now() + patience;
        let mut ended = false;
        while !ended && Instant::now() < until {
            // Again and again: the first process of a namespace does not get a signal before it has said how to handle it.
            self.shared.spawner.term(run.running.key).await;
            ended = timeout(Duration::from_millis(500), &mut run.running.end).await.is_ok();
        }
        if !ended {
            tracing::warn!(tenant.id = %self.id, "a runtime does not end when asked; it is ended");
            self.shared.spawner.kill(run.running.key).await;
            ended = timeout(LEAVE, &mut run.running.end).await.is_ok();
        }
        if ended {
            self.run = None;
            metrics::gauge!("percloud_host_awake").decrement(1.0);
        }
        ended
    }
}

/// Somebody must look at it, unless it says itself that it passes.
fn refusal(why: anyhow::Error) -> Error {
    why.downcast::<Error>().unwrap_or_else(|why| Error::Refused(format!("{why:#}")))
}
