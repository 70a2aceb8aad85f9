//! What is known of one percloud's folder: what was found in it, what is to be said of that, and when it is to be counted again.

use std::time::Duration;

use tokio::time::Instant;

use super::super::disk::{self, Stored};

/// The folder of one who does not sleep is counted this often.
const COUNTED_AWAKE: Duration = Duration::from_secs(600);
/// And this often when it was far too much last time.
const COUNTED_FAR: Duration = Duration::from_secs(5);
/// Counting one in turn, for nothing but that its turn has come, costs a hundredth of a processor at most.
const IN_TURN: u32 = 100;
/// Who has too much, and leaves it at that, is spoken of this often: an owner whose quota was made smaller has done nothing since.
const TOLD_AGAIN: Duration = Duration::from_secs(3600);

/// What is to be said of a folder.
#[derive(Debug, Default)]
pub(in crate::hosts::local) struct Verdict {
    /// Why it is too much, when it is and that is news.
    pub(in crate::hosts::local) too_much: Option<String>,
    /// Why its percloud is to be stopped, when it is.
    pub(in crate::hosts::local) stop: Option<String>,
    /// Bytes that it has more than when it was last counted.
    pub(in crate::hosts::local) grown: u64,
}

/// What was to be said of a folder when a count of it began.
#[derive(Debug)]
pub(in crate::hosts::local) struct Begun {
    changed: bool,
    suspected: bool,
}

/// How urgent it is to count a folder, the most urgent first; and among the same, who was counted when, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::hosts::local) enum Due {
    /// Its percloud may be filling the disk.
    Suspected(Option<Instant>),
    /// Its percloud is awake.
    Awake(Option<Instant>),
    /// And the others.
    Asleep(Option<Instant>),
}

/// One percloud's.
#[derive(Default)]
pub(super) struct Folder {
    /// Bytes that it may have.
    pub(super) quota: u64,
    /// Bytes that it has; none until it was counted once, by this host or by one before.
    pub(super) bytes: Option<u64>,
    /// What was found then; while that is far too much, the least that was found since.
    pub(super) before: Option<Stored>,
    /// That was far more than it may have.
    far: bool,
    /// Its percloud was to be stopped for that, and may have gone on writing until its end.
    stopped: bool,
    /// When it was last told to have too much; and what it had then, or the least that it had since.
    told: Option<(Instant, Stored)>,
    /// Somebody is filling the disk.
    pub(super) suspected: bool,
    /// Its process may hold more of the disk than was seen.
    pub(super) hides: bool,
    /// When it was last counted, and how long that took.
    counted: Option<(Instant, Duration)>,
    /// Its percloud has run since.
    pub(super) changed: bool,
}

impl Folder {
    /// One that may have `quota` bytes.
    pub(super) fn of(quota: u64) -> Self {
        Self { quota, ..Self::default() }
    }

    /// It is counted from now on: what changes meanwhile is not among what is found.
    pub(super) fn begins(&mut self) -> Begun {
        Begun { changed: std::mem::take(&mut self.changed), suspected: std::mem::take(&mut self.suspected) }
    }

    /// That came to nothing.
    pub(super) fn fails(&mut self, begun: &Begun) {
        self.changed |= begun.changed;
        self.suspected |= begun.suspected;
    }

    /// Its percloud, which runs, was told to stop for what was found: it may write on until it has ended.
    pub(super) fn stops(&mut self) {
        self.stopped = true;
    }

    /// It was counted, which took so long.
    pub(super) fn counted(&mut self, stored: Stored, took: Duration, now: Instant) -> Verdict {
        let far = stored.far_too_much(self.quota);
        self.far = far.is_some();
        // Whose quota was made smaller than what they hold has not grown, and is left alone.
        let grown = self.before.as_ref().is_some_and(|before| stored.grown_since(before, self.quota));
        let last_words = std::mem::take(&mut self.stopped);
        let stop = far.filter(|_| grown && !last_words);
        let least = self.before.filter(|_| self.far && stop.is_none() && !last_words);
        self.before = Some(least.map_or(stored, |before| before.least(stored)));
        let grown = stored.bytes.saturating_sub(self.bytes.unwrap_or(0));
        self.bytes = Some(stored.bytes);
        self.counted = Some((now, took));
        Verdict { too_much: self.news(stored, now), stop, grown }
    }

    /// Why it is too much, when it has become so, goes on growing, or has not been told of for long.
    fn news(&mut self, stored: Stored, now: Instant) -> Option<String> {
        let is_old = |(when, least): &(Instant, Stored)| {
            now.duration_since(*when) < TOLD_AGAIN && !stored.larger_than(least, self.quota)
        };
        let too_much = stored.too_much(self.quota).filter(|_| !self.told.as_ref().is_some_and(is_old));
        if too_much.is_some() {
            self.told = Some((now, stored));
        } else if let Some((_, least)) = &mut self.told {
            *least = least.least(stored);
        }
        too_much
    }

    /// Whether it is time to count it.
    pub(super) fn due(&self, awake: bool) -> Option<Due> {
        let is_due = self.counted.is_none_or(|(when, took)| {
            let since = when.elapsed();
            // Those who wake and sleep all day cost a twentieth of a processor at most.
            let again = self.suspected || since > if self.far { COUNTED_FAR } else { COUNTED_AWAKE };
            // Who may be filling the disk is looked for, whatever it costs.
            let often = if self.suspected { 2 } else { 20 };
            since > took * often && (self.changed || awake && again)
        });
        let when = self.counted.map(|(when, _)| when);
        is_due.then_some(match (awake, self.suspected) {
            (true, true) => Due::Suspected(when),
            (true, false) => Due::Awake(when),
            (false, _) => Due::Asleep(when),
        })
    }

    /// When it was last counted, if it may be counted again only because its turn has come.
    pub(super) fn in_turn(&self) -> Option<Instant> {
        let (when, took) = self.counted?;
        (when.elapsed() > took * IN_TURN).then_some(when)
    }

    /// Its percloud has written so many bytes since it was last suspected; whether that is so much that it is now. On a large disk nobody
    /// would see that by what is left.
    pub(super) fn wrote(&mut self, bytes: u64) -> bool {
        let much = bytes > disk::much(self.quota);
        self.suspected |= much;
        much
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn stored(bytes: u64) -> Stored {
        Stored { bytes, files: 9, more: false }
    }

    #[test]
    fn who_grows_far_beyond_is_stopped_and_who_holds_much_or_makes_room_is_not() {
        let (mut folder, now) = (Folder::of(4 * GIB), Instant::now());
        assert!(folder.counted(stored(3 * GIB), Duration::ZERO, now).stop.is_none());
        folder.quota = GIB;
        let mut stops = |bytes: u64| folder.counted(stored(bytes), Duration::ZERO, now).stop.is_some();
        assert!(!stops(3 * GIB) && !stops(3 * GIB), "it may have less than it has from now on");
        assert!(!stops(3 * GIB - (30 << 20)) && !stops(3 * GIB), "its database grows and shrinks");
        assert!(stops(4 * GIB) && !stops(4 * GIB), "it goes on, and is stopped once");
        assert!(!stops(3 * GIB) && !stops(GIB), "its owner makes room");
        assert!(!stops(2 * GIB), "too much, but not far too much");
        assert!(stops(3 * GIB));
    }

    #[test]
    fn what_is_written_until_the_end_is_no_second_time_and_who_did_not_run_has_no_end() {
        let (mut folder, now) = (Folder::of(GIB), Instant::now());
        assert!(folder.counted(stored(GIB), Duration::ZERO, now).stop.is_none());
        assert!(folder.counted(stored(3 * GIB), Duration::ZERO, now).stop.is_some());
        folder.stops();
        assert!(folder.counted(stored(4 * GIB), Duration::ZERO, now).stop.is_none(), "it wrote on until its end");
        assert!(folder.counted(stored(4 * GIB), Duration::ZERO, now).stop.is_none());
        assert!(folder.counted(stored(5 * GIB), Duration::ZERO, now).stop.is_some(), "and what it writes then is new");
        assert!(folder.counted(stored(6 * GIB), Duration::ZERO, now).stop.is_some(), "it slept: nothing was its end");
    }

    #[test]
    fn what_changes_while_a_folder_is_counted_is_counted_again() {
        let (mut folder, now) = (Folder::of(GIB), Instant::now());
        folder.counted(stored(1), Duration::ZERO, now);
        folder.changed = true;
        let begun = folder.begins();
        assert_eq!(folder.due(false), None, "it is being counted");
        folder.changed = true;
        folder.counted(stored(1), Duration::ZERO, now);
        assert!(folder.due(false).is_some(), "it was awake meanwhile");
        folder.changed = false;
        folder.fails(&begun);
        assert!(folder.due(false).is_some(), "nothing came of it");
    }

    #[test]
    fn who_has_very_much_is_looked_at_soon_all_the_same_when_the_disk_fills() {
        let (mut folder, took) = (Folder::of(GIB), Duration::from_secs(20));
        let before = Instant::now().checked_sub(Duration::from_secs(60)).expect("a machine that is up for a minute");
        folder.counted(stored(1), took, before);
        assert_eq!(folder.due(true), None);
        assert!(folder.wrote(GIB) && folder.due(true).is_some());
    }

    #[test]
    fn who_has_too_much_is_told_of_once_and_again_when_it_goes_on_or_an_hour_later() {
        let (mut folder, now) = (Folder::of(4 * GIB), Instant::now());
        assert!(folder.counted(stored(3 * GIB), Duration::ZERO, now).too_much.is_none());
        folder.quota = GIB;
        let mut told = |found: Stored, seconds: u64| {
            folder.counted(found, Duration::ZERO, now + Duration::from_secs(seconds)).too_much.is_some()
        };
        assert!(told(stored(3 * GIB), 0), "it may have less than it has from now on");
        assert!((1..3000).all(|n| !told(stored(3 * GIB), n)), "it is counted each second, and nothing is new");
        assert!(!told(stored(GIB + (30 << 20)), 3000), "its owner makes room");
        assert!(!told(stored(GIB + (64 << 20) + 1), 3001), "hardly more than it may");
        assert!(told(stored(GIB + (130 << 20)), 3002) && !told(stored(GIB + (130 << 20)), 3003), "it goes on");
        let locked = Stored { more: true, ..stored(GIB) };
        assert!(told(locked, 3004) && !told(locked, 3005), "nobody can count it");
        assert!(!told(locked, 3004 + 3599) && told(locked, 3004 + 3600) && !told(locked, 3004 + 3601));
    }
}
