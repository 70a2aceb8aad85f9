//! How much more the host's counters say than last time. Pure.

use std::collections::{BTreeMap, HashMap};

use bundle::TenantId;

use crate::hosts::{Usage, Used};

/// How many counters the host has of each percloud.
pub const COUNTERS: usize = 11;

/// No real difference comes near this; a host that says more must not fill a column to the brim, where adding ends.
const MOST: i64 = 10_i64.pow(16);

/// The host's counters of one percloud, in the order of the columns: processor time, memory-time, time awake, wakes, time held back,
/// memory, threads, disk, failures, starts in vain, time in which it was busy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters(pub [i64; COUNTERS]);

impl Counters {
    /// What the host says of one.
    #[must_use]
    pub fn of(used: &Used) -> Self {
        let met = &used.limits_met;
        let all = [
            used.cpu_micros,
            used.memory_byte_seconds,
            used.awake_seconds,
            used.wakes,
            met.throttled_micros,
            met.memory,
            met.threads,
            met.disk,
            met.failures,
            met.starts,
            met.busy_micros,
        ];
        Self(all.map(|counter| i64::try_from(counter).unwrap_or(i64::MAX)))
    }

    /// What has come since `before`, and whether one of them went backwards, which counters do not: that one is taken for nought.
    fn since(&self, before: &Self) -> (Self, bool) {
        let mut backwards = false;
        let mut more = [0; COUNTERS];
        for (more, (now, before)) in more.iter_mut().zip(self.0.iter().zip(&before.0)) {
            backwards |= now < before;
            *more = now.saturating_sub(*before).clamp(0, MOST);
        }
        (Self(more), backwards)
    }

    /// Whether all of them are nought.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|counter| *counter == 0)
    }
}

/// How far the counters of one percloud have been added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The host's epoch then.
    pub epoch: String,
    /// The counters then.
    pub counters: Counters,
    /// Bytes on the disk then.
    pub storage_bytes: i64,
    /// Whether the control plane still has the percloud.
    pub there: bool,
}

/// What is new of one percloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub id: TenantId,
    /// To be added to the hour.
    pub more: Counters,
    /// Bytes on the disk, when they are others than before.
    pub storage_changed: Option<i64>,
    /// The mark's counters from now on.
    pub counters: Counters,
    /// The mark's bytes on the disk from now on.
    pub storage_bytes: i64,
}

impl Change {
    /// Whether there is anything to say of the hour; a host that began anew only moves the mark.
    #[must_use]
    pub fn is_of_the_hour(&self) -> bool {
        !self.more.is_zero() || self.storage_changed.is_some()
    }
}

/// What is new of all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// By id, so that everybody who writes these rows comes in the same order.
    pub changes: Vec<Change>,
    /// Those with a counter that went backwards without another epoch.
    pub backwards: Vec<TenantId>,
    /// Marks that nobody needs any more: neither the host nor the control plane has the percloud.
    pub gone: Vec<String>,
}

/// Compares what the host says with the marks. In another epoch, and of a percloud without a mark, all that the counters say is new.
#[must_use]
pub fn compare(usage: &Usage, marks: &HashMap<String, Mark>) -> Changes {
    let of: BTreeMap<&str, &Used> = usage.of.iter().map(|used| (used.id.as_str(), used)).collect();
    let mut all = Changes::default();
    for (id, used) in &of {
        let mark = marks.get(*id);
        let same_epoch = mark.filter(|mark| mark.epoch == usage.epoch);
        let counters = Counters::of(used);
        let (more, backwards) = counters.since(&same_epoch.map(|mark| mark.counters).unwrap_or_default());
        // A host that has begun anew has yet to count folders; until then what was last known holds.
        let seen = used.storage_bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        let storage_changed = seen.filter(|bytes| mark.is_none_or(|mark| mark.storage_bytes != *bytes));
        let storage_bytes = seen.or(mark.map(|mark| mark.storage_bytes)).unwrap_or(0);
        if backwards {
            all.backwards.push(used.id.clone());
        }
        if same_epoch.is_none_or(|mark| mark.counters != counters) || storage_changed.is_some() {
            all.changes.push(Change { id: used.id.clone(), more, storage_changed, counters, storage_bytes });
        }
    }
    all.gone = marks
        .iter()
        .filter(|(id, mark)| !mark.there && !of.contains_key(id.as_str()))
        .map(|(id, _)| id.clone())
        .collect();
    all.gone.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::LimitsMet;

    const ADA: &str = "t-aaaaaaaaaaaaaaaa";

    fn said(epoch: &str, cpu: u64, storage: u64) -> Usage {
        let limits_met = LimitsMet { failures: cpu / 100, ..LimitsMet::default() };
        let used = Used {
            id: ADA.parse().unwrap(),
            cpu_micros: cpu,
            memory_byte_seconds: 0,
            awake_seconds: 0,
            wakes: 0,
            storage_bytes: Some(storage),
            limits_met,
        };
        Usage { epoch: epoch.into(), of: vec![used] }
    }

    fn marked(epoch: &str, cpu: i64, storage_bytes: i64) -> HashMap<String, Mark> {
        let counters = Counters([cpu, 0, 0, 0, 0, 0, 0, 0, cpu / 100, 0, 0]);
        HashMap::from([(ADA.to_owned(), Mark { epoch: epoch.into(), counters, storage_bytes, there: true })])
    }

    #[test]
    fn only_what_is_new_is_added() {
        // What the host says, what the mark says; what is added of processor time, the bytes if they changed, whether it went backwards.
        for (usage, marks, added, bytes, backwards) in [
            (said("e", 500, 7), HashMap::new(), Some(500), Some(7), false),
            (said("e", 0, 0), HashMap::new(), Some(0), Some(0), false),
            (said("e", 500, 7), marked("e", 300, 7), Some(200), None, false),
            (said("e", 500, 7), marked("e", 500, 7), None, None, false),
            (said("e", 500, 8), marked("e", 500, 7), Some(0), Some(8), false),
            (said("f", 500, 7), marked("e", 300, 7), Some(500), None, false),
            (said("f", 300, 7), marked("e", 300, 7), Some(300), None, false),
            (said("f", 0, 7), marked("e", 300, 7), Some(0), None, false),
            (said("e", 200, 7), marked("e", 300, 7), Some(0), None, true),
            (said("e", u64::MAX, 7), marked("e", 300, 7), Some(MOST), None, false),
        ] {
            let all = compare(&usage, &marks);
            let change = all.changes.first();
            let got = (
                change.map(|one| one.more.0[0]),
                change.and_then(|one| one.storage_changed),
                !all.backwards.is_empty(),
            );
            assert_eq!(got, (added, bytes, backwards), "{usage:?} {marks:?}");
            assert!(
                change.is_none_or(|one| one.counters == Counters::of(&usage.of[0])),
                "the mark follows, whatever is added"
            );
        }
    }

    #[test]
    fn what_a_folder_takes_stays_as_it_was_until_it_has_been_counted() {
        let mut usage = said("f", 500, 0);
        usage.of[0].storage_bytes = None;
        let known = &compare(&usage, &marked("e", 300, 7)).changes[0];
        assert_eq!((known.storage_changed, known.storage_bytes, known.more.0[0]), (None, 7, 500));
        let new = &compare(&usage, &HashMap::new()).changes[0];
        assert_eq!((new.storage_changed, new.storage_bytes), (None, 0));
    }

    #[test]
    fn a_mark_goes_when_neither_host_nor_control_plane_has_the_percloud() {
        let mut marks = marked("e", 300, 7);
        let nobody = Usage { epoch: "e".into(), of: Vec::new() };
        assert!(compare(&nobody, &marks).gone.is_empty(), "the host may have begun anew and not know it yet");
        marks.get_mut(ADA).unwrap().there = false;
        assert!(compare(&said("e", 300, 7), &marks).gone.is_empty(), "else all of it would be new a minute later");
        assert_eq!(compare(&nobody, &marks).gone, [ADA]);
    }
}
