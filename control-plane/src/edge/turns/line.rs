//! Who waits for a turn, and who is next.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use metrics::Gauge;
use tokio::sync::oneshot;
use tokio::time::{Duration, Instant};

use super::super::company::Company;
use super::Turn;

/// Handshakes of one percloud in a second by one worker, beyond which others go first; as many may come at once.
const SHARE: u32 = 50;
/// The busy ones' turns take one part in so many of a worker's time while there are others: five hundred handshakes or so, about half as many
/// as a percloud may have requests.
const PART: u32 = 8;
/// Of time that was left unused so much is made up for: clocks wake whoever waits a millisecond late.
const MADE_UP: Duration = Duration::from_millis(3);
/// After so much time of turns the worker looks at everything else.
pub(super) const SLICE: Duration = Duration::from_micros(100);
/// One percloud's handshakes that wait.
const WAIT_PER_NAME: usize = 4096;
/// All that wait, some five KiB each.
const WAIT: usize = 8192;
/// Names that are remembered although nobody waits, before it is looked which of them need not be.
const REMEMBERED: usize = 1024;

/// Somebody who waits.
pub(super) struct Waiter {
    pub(super) call: oneshot::Sender<Turn>,
    /// Its first turn; the later ones end what was begun.
    pub(super) first: bool,
}

/// What is known of one percloud.
struct Name {
    queue: VecDeque<Waiter>,
    /// What it has had is paid for by then.
    until: Instant,
}

impl Name {
    /// Whether it has had more than its share.
    fn is_busy(&self, now: Instant) -> bool {
        self.until > now + Duration::from_secs(1)
    }

    /// It gets a turn; whether that is one of those that the busy get.
    fn count(&mut self, first: bool, now: Instant) -> bool {
        let busy = self.is_busy(now);
        if first && !busy {
            self.until = self.until.max(now) + Duration::from_secs(1) / SHARE;
        }
        busy
    }
}

/// Who waits, without anything that waits.
pub(super) struct Line {
    names: HashMap<String, Name>,
    /// Names for which somebody waits; who had a turn goes to the end.
    order: VecDeque<String>,
    pub(super) waiting: usize,
    gauge: Gauge,
    company: Arc<Company>,
    /// Time of turns since the worker last looked at everything else.
    pub(super) spent: Duration,
    /// The busy get no turn before, unless they are alone.
    busy_from: Instant,
    look_through_at: usize,
}

/// What is next.
pub(super) enum Next {
    /// This one's turn; whether it is one of the busy.
    Call(oneshot::Sender<Turn>, bool),
    /// Only the busy wait, and they until then.
    At(Instant),
    /// Nobody waits.
    Nobody,
}

impl Line {
    pub(super) fn new(company: Arc<Company>, now: Instant, gauge: Gauge) -> Self {
        Self {
            names: HashMap::new(),
            order: VecDeque::new(),
            waiting: 0,
            gauge,
            company,
            spent: Duration::ZERO,
            busy_from: now,
            look_through_at: REMEMBERED,
        }
    }

    fn name(&mut self, key: &str, now: Instant) -> &mut Name {
        if self.names.len() >= self.look_through_at {
            self.names.retain(|_, name| !name.queue.is_empty() || name.until > now);
            self.look_through_at = REMEMBERED.max(self.names.len() * 2);
        }
        self.names.entry(key.to_owned()).or_insert_with(|| Name { queue: VecDeque::new(), until: now })
    }

    /// A turn at once, when nobody waits and the worker has just looked at everything else; whether it is one of the busy.
    pub(super) fn at_once(&mut self, key: &str, first: bool, now: Instant) -> Option<bool> {
        if self.waiting > 0 || self.spent >= SLICE {
            return None;
        }
        let may = !self.must_wait(key, now);
        let name = self.name(key, now);
        (may || !name.is_busy(now)).then(|| name.count(first, now))
    }

    /// Waits, unless too many do. Of all that wait, whoever came last of those who are most gives way.
    pub(super) fn wait(&mut self, key: &str, waiter: Waiter, now: Instant) -> bool {
        let length = self.name(key, now).queue.len();
        if waiter.first && length >= WAIT_PER_NAME {
            return false;
        }
        if waiter.first && self.waiting >= WAIT {
            let longest = self.names.values_mut().max_by_key(|name| name.queue.len());
            match longest.filter(|name| name.queue.len() > length + 1) {
                Some(longest) => drop(longest.queue.pop_back()),
                None => return false,
            }
            self.fewer();
        }
        self.waiting += 1;
        self.gauge.increment(1.0);
        let name = self.name(key, now);
        if waiter.first {
            name.queue.push_back(waiter)
        } else {
            name.queue.push_front(waiter)
        }
        if length == 0 {
            self.order.push_back(key.to_owned());
        }
        true
    }

    /// The first whose percloud is not busy; else the first of the busy, when it is time for one.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        loop {
            let quiet = self.order.iter().position(|key| self.names.get(key).is_some_and(|name| !name.is_busy(now)));
            let first = quiet.or_else(|| self.order.iter().position(|key| !self.must_wait(key, now)));
            let Some(first) = first else {
                return if self.order.is_empty() { Next::Nobody } else { Next::At(self.busy_from) };
            };
            let Some(key) = self.order.remove(first) else { return Next::Nobody };
            let Some(name) = self.names.get_mut(&key) else { continue };
            let Some(waiter) = name.queue.pop_front() else { continue };
            // Who has given up meanwhile is passed over, and has not had anything.
            let busy = (!waiter.call.is_closed()).then(|| name.count(waiter.first, now));
            if !name.queue.is_empty() {
                self.order.push_back(key);
            }
            self.fewer();
            if let Some(busy) = busy {
                return Next::Call(waiter.call, busy);
            }
        }
    }

    /// Whether one of the busy waits for others.
    fn must_wait(&self, key: &str, now: Instant) -> bool {
        self.busy_from > now && self.company.beside(key, now)
    }

    fn fewer(&mut self) {
        self.waiting -= 1;
        self.gauge.decrement(1.0);
    }

    /// A turn is over, which took so long.
    pub(super) fn ended(&mut self, busy: bool, took: Duration, now: Instant) {
        self.spent += took;
        if busy {
            let from = now.checked_sub(MADE_UP).map_or(self.busy_from, |earliest| self.busy_from.max(earliest));
            self.busy_from = from + took * PART;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    struct Crowd {
        line: Line,
        now: Instant,
        /// Who waits, with the ends that hear of it.
        called: Vec<(String, oneshot::Receiver<Turn>)>,
    }

    impl Crowd {
        fn new() -> Self {
            let now = Instant::now();
            let company = Arc::new(Company::new(now));
            Self { line: Line::new(company, now, Gauge::noop()), now, called: Vec::new() }
        }

        fn wait(&mut self, key: &str, first: bool) -> bool {
            let (call, called) = oneshot::channel();
            self.called.push((format!("{key}{}", self.called.len()), called));
            self.line.wait(key, Waiter { call, first }, self.now)
        }

        /// Who is next, and whether it is one of the busy.
        fn next(&mut self) -> Option<(String, bool)> {
            let Next::Call(call, busy) = self.line.next(self.now) else { return None };
            let sent_away = |called: &mut oneshot::Receiver<Turn>| {
                called.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Closed)
            };
            self.called.retain_mut(|(_, called)| !sent_away(called));
            drop(call);
            let at = self.called.iter_mut().position(|(_, called)| sent_away(called)).unwrap();
            Some((self.called.remove(at).0, busy))
        }

        fn all(&mut self) -> Vec<String> {
            std::iter::from_fn(|| self.next()).map(|(who, _)| who).collect()
        }
    }

    #[test]
    fn perclouds_take_turns_and_what_was_begun_is_ended_first() {
        let mut crowd = Crowd::new();
        for key in ["a", "a", "a", "b", "b", "c"] {
            assert!(crowd.wait(key, true));
        }
        assert!(crowd.wait("a", false));
        assert_eq!(crowd.all(), ["a6", "b3", "c5", "a0", "b4", "a1", "a2"]);
        assert_eq!(crowd.line.waiting, 0);
    }

    #[test]
    fn who_has_given_up_is_passed_over() {
        let mut crowd = Crowd::new();
        for _ in 0..4 {
            crowd.wait("a", true);
        }
        crowd.called.drain(1..3);
        assert_eq!(crowd.all(), ["a0", "a3"]);
        assert_eq!(crowd.line.waiting, 0);
    }

    #[test]
    fn the_busy_have_an_eighth_of_the_time_and_nobody_else_waits_for_them() {
        let mut crowd = Crowd::new();
        for _ in 0..WAIT_PER_NAME {
            crowd.wait("busy", true);
        }
        assert!(!crowd.wait("busy", true), "so many wait and no more");
        let (start, took) = (crowd.now, Duration::from_micros(250));
        let (mut had, mut others) = (0, 0);
        let visitor = |others: u64| start + millis(100 * (others + 1));
        while crowd.now < start + Duration::from_secs(1) {
            crowd.line.company.visited("quiet", crowd.now);
            if crowd.now >= visitor(others) {
                crowd.wait("quiet", true);
                // One of the crowd's own share at most comes before.
                let next = [crowd.next(), crowd.next()].into_iter().flatten();
                let visits = next.filter(|(who, busy)| who.starts_with("quiet") && !busy).count();
                assert_eq!(visits, 1);
                others += 1;
            } else if let Some((_, busy)) = crowd.next() {
                crowd.line.ended(busy, took, crowd.now + took);
                crowd.now += took;
                had += 1;
            } else {
                // A clock that wakes late.
                crowd.now += millis(1);
            }
        }
        assert!(others >= 8, "{others}");
        // Its share of the beginning, then five hundred; the others are its share of this second.
        assert!((500..650).contains(&had), "{had}");
        // An hour later nobody else is there, and nobody waits for nobody.
        crowd.now += Duration::from_secs(3600);
        for _ in 0..SHARE + 1000 {
            crowd.wait("busy", true);
            let (_, busy) = crowd.next().unwrap();
            crowd.line.ended(busy, took, crowd.now);
        }
    }

    #[test]
    fn when_too_many_wait_the_longest_queue_gives_way() {
        let mut crowd = Crowd::new();
        for _ in 0..WAIT / 2 {
            assert!(crowd.wait("a", true) && crowd.wait("b", true));
        }
        assert!(crowd.wait("quiet", true));
        assert_eq!(crowd.line.waiting, WAIT);
        assert_eq!((0..3).filter(|_| crowd.next().unwrap().0.starts_with("quiet")).count(), 1);
        let mut many = Crowd::new();
        for n in 0..WAIT {
            assert!(many.wait(&n.to_string(), true));
        }
        assert!(!many.wait("one more", true), "nobody has more than it");
    }

    #[test]
    fn names_are_forgotten_once_their_turns_are_paid_for() {
        let mut crowd = Crowd::new();
        for n in 0..10 * REMEMBERED {
            assert_eq!(crowd.line.at_once(&n.to_string(), true, crowd.now), Some(false));
            crowd.now += millis(1);
        }
        assert!(crowd.line.names.len() <= REMEMBERED, "{}", crowd.line.names.len());
    }
}
