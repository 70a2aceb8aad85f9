//! Where a worker runs: each on a processor of its own, where there are as many of both.
//!
//! Left to the kernel, two that are woken at the same time are often put on one processor, where one waits for the other, up to a
//! tick of some milliseconds, while another processor is free.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// One worker's processor, among all that the edge may use.
#[derive(Clone, Copy)]
pub(super) struct Seat {
    own: CpuSet,
    all: CpuSet,
}

impl Seat {
    /// That of the worker with this number; none where there are more or fewer processors than workers.
    pub(super) fn of(number: usize, workers: usize) -> Option<Self> {
        Self::among(sched_getaffinity(None).ok()?, number, workers)
    }

    fn among(all: CpuSet, number: usize, workers: usize) -> Option<Self> {
        let processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).collect();
        let cpu = processors.get(number).filter(|_| processors.len() == workers)?;
        let mut own = CpuSet::new();
        own.set(*cpu);
        Some(Self { own, all })
    }

    /// This thread stays there from now on, and so do those that it makes.
    pub(super) fn take(&self) {
        // Who may not is put somewhere by the kernel, as before.
        let _ = sched_setaffinity(None, &self.own);
    }

    /// This thread runs wherever there is room.
    pub(super) fn leave(&self) {
        let _ = sched_setaffinity(None, &self.all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(numbers: &[usize]) -> CpuSet {
        let mut set = CpuSet::new();
        numbers.iter().for_each(|cpu| set.set(*cpu));
        set
    }

    #[test]
    fn each_worker_has_one_where_there_are_as_many() {
        let table: [(&[usize], usize, usize, Option<usize>); 6] = [
            (&[0, 1], 0, 2, Some(0)),
            (&[0, 1], 1, 2, Some(1)),
            (&[3, 5, 8], 2, 3, Some(8)),
            (&[0, 1], 0, 1, None),
            (&[0, 1], 1, 3, None),
            (&[], 0, 0, None),
        ];
        for (all, number, workers, expected) in table {
            let seat = Seat::among(set(all), number, workers);
            assert_eq!(seat.map(|seat| seat.own), expected.map(|cpu| set(&[cpu])), "{number} of {workers} on {all:?}");
        }
    }

    #[test]
    fn a_thread_that_a_worker_makes_can_leave() {
        let all = sched_getaffinity(None).unwrap();
        let seat = Seat::of(0, all.count() as usize).unwrap();
        let seen = std::thread::spawn(move || {
            seat.take();
            let own = sched_getaffinity(None).unwrap();
            let other = std::thread::spawn(move || {
                seat.leave();
                sched_getaffinity(None).unwrap()
            });
            (own.count(), other.join().unwrap())
        });
        let (own, other) = seen.join().unwrap();
        assert_eq!((own, other), (1, all));
    }
}
