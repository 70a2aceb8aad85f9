//! How much one percloud may take of the machine.

use std::time::Duration;

use super::super::{lane::Rule, wire::Ceilings};

/// So many threads a process may have, even where its control group allows fewer.
const THREADS: u64 = 256;
/// And so much memory of its own, with room for the stacks of those threads.
const DATA: u64 = 1 << 30;
/// A stack of Rust's threads.
const STACK: u64 = 2 << 20;
/// Address space.
const ADDRESSES: u64 = 64 << 30;

/// What one percloud may take. All have the same weight: a smaller one would make whoever wakes lose to those who are busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct Limits {
    /// MiB of memory at which a percloud is ended.
    #[arg(long, env = "PERCLOUD_MEMORY_MAX", default_value_t = 512, value_name = "MIB", value_parser = clap::value_parser!(u64).range(32..=1 << 20))]
    pub memory_max: u64,
    /// MiB of memory above which a percloud's is taken back first when the machine has little (control groups 1; nothing in 2).
    #[arg(long, env = "PERCLOUD_MEMORY_SOFT", default_value_t = 256, value_name = "MIB", value_parser = clap::value_parser!(u64).range(16..=1 << 20))]
    pub memory_soft: u64,
    /// Percent of one processor that a percloud may use; 200 are two processors.
    #[arg(long, env = "PERCLOUD_CPU_MAX", default_value_t = 100, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub cpu_max: u64,
    /// Threads that a percloud may have.
    #[arg(long, env = "PERCLOUD_THREADS_MAX", default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u64).range(24..=100_000))]
    pub threads_max: u64,
    /// MiB a second that a percloud may read from the disk, and as many that it may write; 0 for no end.
    #[arg(long, env = "PERCLOUD_IO_MAX", default_value_t = 200, value_name = "MIB", value_parser = clap::value_parser!(u64).range(..=1 << 20))]
    pub io_max: u64,
    /// Operations a second each way that it may have the disk do; 0 for no end.
    #[arg(long, env = "PERCLOUD_IO_OPS_MAX", default_value_t = 5_000, value_name = "N", value_parser = clap::value_parser!(u64).range(..=100_000_000))]
    pub io_ops_max: u64,
    /// Percent of one processor above which a percloud keeps to the last half of the machine's processors for a while and comes last
    /// there, so that whoever else wakes finds one; 0 for never.
    #[arg(long, env = "PERCLOUD_SLOW_LANE_ABOVE", default_value_t = 50, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(..=100_000))]
    pub slow_lane_above: u64,
    /// Seconds for which it does, after it was last above.
    #[arg(long, env = "PERCLOUD_SLOW_LANE_SECONDS", default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u64).range(..=86_400))]
    pub slow_lane_seconds: u64,
}

impl Limits {
    /// As they are given to another process on its command line.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let all = [
            ("--memory-max", self.memory_max),
            ("--memory-soft", self.memory_soft),
            ("--cpu-max", self.cpu_max),
            ("--threads-max", self.threads_max),
            ("--io-max", self.io_max),
            ("--io-ops-max", self.io_ops_max),
            ("--slow-lane-above", self.slow_lane_above),
            ("--slow-lane-seconds", self.slow_lane_seconds),
        ];
        all.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_string()]).collect()
    }

    /// Who must keep to some processors.
    pub(in crate::hosts::local) fn lane(&self) -> Rule {
        Rule { above: self.slow_lane_above, stay: Duration::from_secs(self.slow_lane_seconds) }
    }

    /// What its process may use. Wide enough not to be met before the control group's limits, which count what is used instead of what is
    /// set aside; and an end where there are no control groups.
    pub(in crate::hosts::local) fn of_process(&self) -> Ceilings {
        let stacks = self.threads_max.saturating_sub(THREADS) * STACK;
        let data = DATA.max(2 * self.memory_max_bytes()) + stacks;
        Ceilings { data, addresses: ADDRESSES.max(2 * data), threads: THREADS.max(self.threads_max) }
    }

    pub(super) fn memory_max_bytes(&self) -> u64 {
        self.memory_max << 20
    }

    /// Never above the hard limit, where it would say nothing.
    pub(super) fn memory_soft_bytes(&self) -> u64 {
        self.memory_soft.min(self.memory_max) << 20
    }

    /// Microseconds of processor time in each [`PERIOD`].
    pub(super) fn cpu_quota(&self) -> u64 {
        PERIOD * self.cpu_max / 100
    }
}

/// Microseconds over which use of the processor is measured; the kernel's own default.
pub(super) const PERIOD: u64 = 100_000;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::hosts::local::cgroups) const LIMITS: Limits = Limits {
        memory_max: 512,
        memory_soft: 128,
        cpu_max: 150,
        threads_max: 64,
        io_max: 100,
        io_ops_max: 2000,
        slow_lane_above: 70,
        slow_lane_seconds: 5,
    };

    #[test]
    fn limits_are_handed_on_as_they_are_read() {
        #[derive(clap::Parser)]
        struct Program {
            #[command(flatten)]
            limits: Limits,
        }
        let line = [vec!["program".to_owned()], LIMITS.arguments()].concat();
        assert_eq!(<Program as clap::Parser>::parse_from(line).limits, LIMITS);
        let none = <Program as clap::Parser>::parse_from(["program"]).limits;
        assert!(none.memory_soft <= none.memory_max);
        assert_eq!(Limits { memory_soft: 9999, ..LIMITS }.memory_soft_bytes(), LIMITS.memory_max_bytes());
    }

    #[test]
    fn a_process_may_use_what_its_percloud_may_whatever_that_is() {
        let gib = 1 << 30;
        for (memory_max, threads_max, data, addresses, threads) in [
            (32, 24, gib, 64 * gib, 256),
            (512, 64, gib, 64 * gib, 256),
            (513, 256, gib + (2 << 20), 64 * gib, 256),
            (4096, 512, 8 * gib + (512 << 20), 64 * gib, 512),
            (1 << 20, 100_000, 2048 * gib + (199_488 << 20), 2 * (2048 * gib + (199_488 << 20)), 100_000),
        ] {
            let limits = Limits { memory_max, threads_max, ..LIMITS };
            assert_eq!(limits.of_process(), Ceilings { data, addresses, threads }, "{memory_max} {threads_max}");
        }
    }
}
