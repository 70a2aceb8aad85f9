//! When a percloud is started although nobody comes: at the moment that its runtime named in its `status.json` before it
//! left. The word is a stranger's, so it has bounds: it cannot wake often, and not all at once with the others.

use std::{sync::Arc, time::Duration};

use bundle::{Clock, TenantId};
use chrono::{DateTime, Utc};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{folders, shared::Shared};

/// From one such start of a percloud to its next.
const PAUSE: Duration = Duration::from_secs(15 * 60);
/// What lies further ahead is read again by then: clocks are set, machines are suspended (which our own waiting does not notice), folders are copied.
const HORIZON: Duration = Duration::from_secs(15 * 60);
/// So many are at it at once; the others wait for their turn.
const AT_ONCE: usize = 8;
/// Whoever takes longer does not keep the others waiting.
const TURN: Duration = Duration::from_secs(30);
/// So many files are read at once after a start of the host.
const LOOKS: usize = 4;

/// What all perclouds of a host share.
pub(super) struct Timetable {
    clock: Clock,
    /// Starts are spread over this time: many want to run at the same round hour.
    spread: Duration,
    turns: Arc<Semaphore>,
    looks: Semaphore,
}

impl Timetable {
    pub(super) fn new(clock: Clock, spread: Duration) -> Self {
        Self { clock, spread, turns: Arc::new(Semaphore::new(AT_ONCE)), looks: Semaphore::new(LOOKS) }
    }

    /// What time it is for people.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The first turn that is free from this moment on.
    async fn turn(&self, at: Instant) -> Option<Turn> {
        tokio::time::sleep_until(at).await;
        self.turns.clone().acquire_owned().await.ok().map(Turn)
    }
}

/// What to do about a wish.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// There is none.
    Rest,
    /// Start it after so long.
    Start(Duration),
    /// See after so long what it then is.
    LookAgain(Duration),
}

/// `since` the last start by the timetable; `late` is this percloud's share of the spread.
fn plan(wish: Option<DateTime<Utc>>, now: DateTime<Utc>, since: Option<Duration>, late: Duration) -> Plan {
    let Some(wish) = wish else { return Plan::Rest };
    // What is past has a negative distance: it is due.
    let wait = (wish - now).to_std().unwrap_or_default();
    let pause = since.map_or(Duration::ZERO, |since| PAUSE.saturating_sub(since));
    let wait = wait.max(pause);
    // By its own time, and not by its place in the spread, which may be beyond what is looked ahead.
    if wait > HORIZON { Plan::LookAgain(HORIZON) } else { Plan::Start(wait.saturating_add(late)) }
}

/// A percloud's own place within the spread: always the same, and different from its neighbours'.
fn lateness(id: &TenantId, spread: Duration) -> Duration {
    // FNV-1a; ids are random, so that anything that mixes them does.
    let mixed = id
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    spread.mul_f64((mixed >> 11) as f64 / (1_u64 << 53) as f64)
}

/// What is known of the next start of one that sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    /// Its word has not been read since it fell asleep.
    #[default]
    Unread,
    Never,
    Start(Instant),
    LookAgain(Instant),
}

/// One percloud's next start. Dropping a wait loses nothing.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    next: Next,
    last: Option<Instant>,
}

impl Alarm {
    /// It was started; `scheduled` by us. What it wanted before is past.
    pub(super) fn started(&mut self, scheduled: bool) {
        self.next = Next::Unread;
        if scheduled {
            self.last = Some(Instant::now());
        }
    }

    /// Waits until it wants to run, and for its turn. Most never want to: what those who do need has a place of its own.
    pub(super) async fn rings(&mut self, shared: &Shared, id: &TenantId) -> Turn {
        loop {
            match self.next {
                Next::Unread => self.next = Box::pin(self.read(shared, id)).await,
                Next::Never => std::future::pending().await,
                Next::LookAgain(at) => {
                    Box::pin(tokio::time::sleep_until(at)).await;
                    self.next = Next::Unread;
                }
                Next::Start(at) => match Box::pin(shared.timetable.turn(at)).await {
                    Some(turn) => return turn,
                    None => self.next = Next::Never,
                },
            }
        }
    }

    async fn read(&self, shared: &Shared, id: &TenantId) -> Next {
        let table = &shared.timetable;
        let Ok(_room) = table.looks.acquire().await else { return Next::Never };
        let folder = shared.folder(id);
        let status = tokio::task::spawn_blocking(move || folders::status(&folder)).await.unwrap_or_default();
        let since = self.last.map(|last| last.elapsed());
        match plan(status.wake_at, table.clock.now(), since, lateness(id, table.spread)) {
            Plan::Rest => Next::Never,
            Plan::Start(wait) => Next::Start(Instant::now() + wait),
            Plan::LookAgain(wait) => Next::LookAgain(Instant::now() + wait),
        }
    }
}

/// The right to run by the timetable now.
pub(super) struct Turn(OwnedSemaphorePermit);

impl Turn {
    /// It is over when what is returned is dropped, or after a while.
    pub(super) fn begin(self) -> DropGuard {
        let over = CancellationToken::new();
        let waits = over.clone();
        tokio::spawn(async move {
            let _late = tokio::time::timeout(TURN, waits.cancelled()).await;
            drop(self.0);
        });
        over.drop_guard()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_wish_to_run_is_taken_within_bounds() {
        let now: DateTime<Utc> = "2026-11-26T12:00:00Z".parse().unwrap();
        let at = |minutes: i64| Some(now + TimeDelta::minutes(minutes));
        let start = |minutes: u32| Plan::Start(MINUTE * minutes);
        let (never, long_ago) = (None, Some(MINUTE * 1000));
        let table = [
            (None, never, 0, Plan::Rest),
            (at(5), never, 0, start(5)),
            (at(5), never, 1, start(6)),
            // The past means now …
            (at(-5), never, 0, start(0)),
            (Some(DateTime::<Utc>::MIN_UTC), long_ago, 0, start(0)),
            // … but it was let run just before, or a while ago.
            (at(-5), Some(Duration::ZERO), 0, start(15)),
            (at(0), Some(MINUTE * 4), 0, start(11)),
            (at(12), Some(MINUTE * 4), 0, start(12)),
            (at(0), Some(MINUTE * 15), 0, start(0)),
            (at(15), never, 0, start(15)),
            // Ahead, far ahead, and as far as there are dates.
            (at(15), never, 1, start(16)),
            (at(16), never, 1, Plan::LookAgain(HORIZON)),
            (at(-5), never, 20, start(20)),
            (at(5), never, 30, start(35)),
            (at(24 * 60), never, 0, Plan::LookAgain(HORIZON)),
            (at(60 * 24 * 365), never, 0, Plan::LookAgain(HORIZON)),
            (Some(DateTime::<Utc>::MAX_UTC), never, 0, Plan::LookAgain(HORIZON)),
        ];
        for (wish, since, late, expected) in table {
            assert_eq!(plan(wish, now, since, MINUTE * late), expected, "{wish:?} {since:?} {late}");
        }
    }

    #[test]
    fn ten_thousand_that_want_to_run_at_the_same_second_are_spread_evenly() {
        let spread = Duration::from_secs(100);
        let mut seconds = [0; 100];
        for _ in 0..10_000 {
            let id = TenantId::random();
            assert_eq!(lateness(&id, spread), lateness(&id, spread), "always the same for one");
            seconds[lateness(&id, spread).as_secs() as usize] += 1;
        }
        // A hundred each, give or take chance: six standard deviations.
        assert!(seconds.iter().all(|count| (40..160).contains(count)), "{seconds:?}");
    }
}
