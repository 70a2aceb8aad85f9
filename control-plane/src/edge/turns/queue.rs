//! Who waits for a turn, and who is next.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use metrics::Gauge;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};

use super::super::company::{Company, Who};
use super::Turn;

/// What somebody waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The first step of a handshake.
    First,
    /// A later one: it ends what was begun.
    Later,
    /// To go on with a connection, of a percloud that is a crowd.
    Step,
    /// The same of one whose visitors come fast just now: it waits for no more than its turn.
    Lively,
}

impl What {
    /// Whether it is one of a connection that is through its handshake.
    fn is_held(self) -> bool {
        matches!(self, Self::Step | Self::Lively)
    }
}

/// Handshakes of one percloud in a second by one worker, beyond which others go first; as many may come at once.
const SHARE: u32 = 50;
/// The busy ones' turns take one part in so many of a worker's time while there are others: some two hundred and fifty handshakes a second.
const PART: u32 = 16;
/// A crowd's connections, which are through their handshakes, take twice as much: whoever is in is served before more come in.
const STEPS_PART: u32 = 8;
/// Of time that was left unused so much is made up for: clocks wake whoever waits a millisecond late.
const MADE_UP: Duration = Duration::from_millis(3);
/// After so much time of turns the worker looks at everything else.
pub(super) const SLICE: Duration = Duration::from_micros(50);
/// One percloud's handshakes that wait.
const WAIT_PER_NAME: usize = 4096;
/// All that wait, some five KiB each.
const WAIT: usize = 8192;
/// Names that are remembered although nobody waits, before it is looked which of them need not be. Few, so that they stay in the processor's
/// cache where each handshake is for another name.
const REMEMBERED: usize = 256;

/// Somebody who waits.
pub(super) struct Waiter {
    pub(super) call: oneshot::Sender<Turn>,
    pub(super) what: What,
}

/// What is known of one percloud: little, since it is known for a moment of whoever shook hands, and those are all others each time.
struct Name {
    /// What it has had is paid for by then.
    until: Instant,
    /// Those who wait, while any do.
    waits: Option<Box<Waits>>,
}

/// Who waits for one percloud.
#[derive(Default)]
struct Waits {
    queue: VecDeque<Waiter>,
    /// Connections that wait to go on. Each stands here once, so they are as many as there are connections, and none is sent away.
    steps: VecDeque<Waiter>,
    /// Those that wait for no more than their turn.
    lively: VecDeque<Waiter>,
    /// Where handshakes and steps wait, these are next.
    steps_next: bool,
}

impl Waits {
    fn put(&mut self, waiter: Waiter) {
        match waiter.what {
            What::First => self.queue.push_back(waiter),
            What::Later => self.queue.push_front(waiter),
            What::Step => self.steps.push_back(waiter),
            What::Lively => self.lively.push_back(waiter),
        }
    }

    /// The next of this rank; of the busy a handshake and a connection in turn.
    fn pop(&mut self, rank: Rank) -> Option<Waiter> {
        match rank {
            Rank::Handshake => return self.queue.pop_front(),
            Rank::Lively => return self.lively.pop_front(),
            Rank::Busy => {}
        }
        let steps = self.steps_next;
        self.steps_next = !steps;
        let (these, those) =
            if steps { (&mut self.steps, &mut self.queue) } else { (&mut self.queue, &mut self.steps) };
        these.pop_front().or_else(|| those.pop_front())
    }

    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.steps.is_empty() && self.lively.is_empty()
    }
}

impl Name {
    /// Whether it has had more than its share.
    fn is_busy(&self, now: Instant) -> bool {
        self.until > now + Duration::from_secs(1)
    }

    /// It gets a turn; how many times as long the busy wait for the next one of theirs, nought for a turn that is not one of them.
    fn count(&mut self, what: What, now: Instant) -> u32 {
        match (what, self.is_busy(now)) {
            (What::Lively, _) | (What::Later, false) => 0,
            (What::Step, _) => STEPS_PART,
            (_, true) => PART,
            (What::First, false) => {
                self.until = self.until.max(now) + Duration::from_secs(1) / SHARE;
                0
            }
        }
    }

    /// The next of this rank that waits.
    fn pop(&mut self, rank: Rank) -> Option<Waiter> {
        let waits = self.waits.as_mut()?;
        let next = waits.pop(rank);
        if waits.is_empty() {
            self.waits = None;
        }
        next
    }

    /// Handshakes that wait.
    fn handshakes(&self) -> usize {
        self.waits.as_ref().map_or(0, |waits| waits.queue.len())
    }

    /// As what somebody waits here who goes before the busy.
    fn before(&self, now: Instant) -> Option<Rank> {
        let waits = self.waits.as_ref()?;
        if !waits.queue.is_empty() && !self.is_busy(now) {
            return Some(Rank::Handshake);
        }
        (!waits.lively.is_empty()).then_some(Rank::Lively)
    }
}

/// Who goes before whom.
enum Rank {
    /// A handshake of one whose share is not used up.
    Handshake,
    /// A step that waits for no more than its turn.
    Lively,
    /// Whoever has had their share, and a crowd's steps.
    Busy,
}

/// Who waits, without anything that waits.
pub(super) struct Queue {
    names: HashMap<Who, Name>,
    /// Names for which somebody waits; who had a turn goes to the end.
    order: VecDeque<Who>,
    /// Handshakes that wait.
    pub(super) waiting: usize,
    /// Connections that do.
    pub(super) held: usize,
    gauges: [Gauge; 2],
    company: Arc<Company>,
    /// Time of turns since the worker last looked at everything else.
    pub(super) spent: Duration,
    /// The busy get no turn before, unless they are alone.
    busy_from: Instant,
    look_through_at: usize,
}

/// What is next.
pub(super) enum Next {
    /// This one's turn, and how many times as long the busy then wait.
    Call(oneshot::Sender<Turn>, u32),
    /// Only the busy wait, and they until then.
    At(Instant),
    /// Nobody waits.
    Nobody,
}

impl Queue {
    /// The gauges say how many handshakes wait, and how many connections.
    pub(super) fn new(company: Arc<Company>, now: Instant, gauges: [Gauge; 2]) -> Self {
        Self {
            names: HashMap::new(),
            order: VecDeque::new(),
            waiting: 0,
            held: 0,
            gauges,
            company,
            spent: Duration::ZERO,
            busy_from: now,
            look_through_at: REMEMBERED,
        }
    }

    fn name(&mut self, who: Who, now: Instant) -> &mut Name {
        if self.names.len() >= self.look_through_at {
            self.names.retain(|_, name| name.waits.is_some() || name.until > now);
            self.look_through_at = REMEMBERED.max(self.names.len() * 2);
        }
        self.names.entry(who).or_insert(Name { until: now, waits: None })
    }

    /// Whether a percloud's handshakes have come faster than its share.
    pub(super) fn is_busy(&self, who: Who, now: Instant) -> bool {
        self.names.get(&who).is_some_and(|name| name.is_busy(now))
    }

    /// A turn at once, when nobody waits who goes before and the worker has just looked at everything else; how many times as long the
    /// busy then wait.
    pub(super) fn at_once(&mut self, who: Who, what: What, now: Instant) -> Option<u32> {
        if self.waiting > 0 || self.spent >= SLICE {
            return None;
        }
        let may = self.held == 0 && (what == What::Lively || !self.must_wait(who, now));
        let name = self.name(who, now);
        let goes_before = !what.is_held() && !name.is_busy(now);
        (may || goes_before).then(|| name.count(what, now))
    }

    /// Waits, unless too many do. Of all handshakes that wait, whichever came last of those who have most gives way.
    pub(super) fn wait(&mut self, who: Who, waiter: Waiter, now: Instant) -> bool {
        let name = self.name(who, now);
        let (length, new) = (name.handshakes(), name.waits.is_none());
        let first = waiter.what == What::First;
        if first && length >= WAIT_PER_NAME {
            return false;
        }
        if first && self.waiting >= WAIT {
            let longest = self.names.values_mut().filter_map(|name| name.waits.as_mut());
            match longest.max_by_key(|waits| waits.queue.len()).filter(|waits| waits.queue.len() > length + 1) {
                Some(longest) => drop(longest.queue.pop_back()),
                None => return false,
            }
            self.fewer(What::First);
        }
        let held = waiter.what.is_held();
        *(if held { &mut self.held } else { &mut self.waiting }) += 1;
        self.gauges[usize::from(held)].increment(1.0);
        self.name(who, now).waits.get_or_insert_default().put(waiter);
        if new {
            self.order.push_back(who);
        }
        true
    }

    /// The first handshake whose percloud is not busy; else the first step that waits for no more than its turn; else the first of the
    /// busy, when it is time for one.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        loop {
            let busy = || self.order.iter().position(|who| !self.must_wait(*who, now)).map(|at| (Rank::Busy, at));
            let Some((rank, first)) = self.before(now).or_else(busy) else {
                return if self.order.is_empty() { Next::Nobody } else { Next::At(self.busy_from) };
            };
            let Some(who) = self.order.remove(first) else { return Next::Nobody };
            let Some(name) = self.names.get_mut(&who) else { continue };
            let Some(waiter) = name.pop(rank) else { continue };
            // Who has given up meanwhile is passed over, and has not had anything.
            let part = (!waiter.call.is_closed()).then(|| name.count(waiter.what, now));
            if name.waits.is_some() {
                self.order.push_back(who);
            }
            self.fewer(waiter.what);
            if let Some(part) = part {
                return Next::Call(waiter.call, part);
            }
        }
    }

    /// Who goes before the busy, and at which place of the order.
    fn before(&self, now: Instant) -> Option<(Rank, usize)> {
        let mut lively = None;
        for (at, who) in self.order.iter().enumerate() {
            match self.names.get(who).and_then(|name| name.before(now)) {
                Some(Rank::Handshake) => return Some((Rank::Handshake, at)),
                rank => lively = lively.or(rank.map(|rank| (rank, at))),
            }
        }
        lively
    }

    /// Whether one of the busy waits for others.
    fn must_wait(&self, who: Who, now: Instant) -> bool {
        self.busy_from > now && self.company.beside(who, now)
    }

    fn fewer(&mut self, what: What) {
        let held = what.is_held();
        *(if held { &mut self.held } else { &mut self.waiting }) -= 1;
        self.gauges[usize::from(held)].decrement(1.0);
    }

    /// A turn is over, which took so long.
    pub(super) fn ended(&mut self, part: u32, took: Duration, now: Instant) {
        self.spent += took;
        if part > 0 {
            let from = now.checked_sub(MADE_UP).map_or(self.busy_from, |earliest| self.busy_from.max(earliest));
            self.busy_from = from + took * part;
        }
    }
}

#[cfg(test)]
mod tests;
