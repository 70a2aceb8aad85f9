//! What an operator may say of sleeping and waking, to the host and to `percloud up`, which hands it on.

use std::path::PathBuf;

/// When perclouds sleep and wake, beside how long they may be idle.
#[derive(Clone, Debug, PartialEq, clap::Args)]
#[group(id = "naps")] // flattened into other `Options`, whose name is taken
pub struct Naps {
    /// Perclouds that want to run at the same time without a visitor are started over so long.
    #[arg(long, env = "PERCLOUD_WAKE_SPREAD_SECONDS", default_value_t = 120, value_name = "N")]
    pub wake_spread_seconds: u64,
    /// A suspended percloud is awake for so long at most, whatever it does; then until somebody comes again. An export that takes longer goes on
    /// where it was.
    #[arg(long, env = "PERCLOUD_SUSPENDED_SECONDS", default_value_t = 6 * 3600, value_name = "N")]
    pub suspended_seconds: u64,
    /// With less than this share of the memory left, the machine's or that of a control group around the host, idle perclouds go to sleep early; 0 for never.
    #[arg(long, env = "PERCLOUD_MEMORY_LOW_PERCENT", default_value_t = 5.0, value_name = "PERCENT")]
    pub memory_low_percent: f64,
    /// Where `meminfo`, `pressure/memory`, `self/cgroup` and `self/mountinfo` are found (a container may have them elsewhere).
    #[arg(long, env = "PERCLOUD_MEMORY_FROM", default_value = "/proc", value_name = "DIR")]
    pub memory_from: PathBuf,
}

impl Naps {
    /// The same as arguments of the host's.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        [
            ("--wake-spread-seconds", self.wake_spread_seconds.to_string()),
            ("--suspended-seconds", self.suspended_seconds.to_string()),
            ("--memory-low-percent", self.memory_low_percent.to_string()),
            ("--memory-from", self.memory_from.to_string_lossy().into_owned()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Told {
        #[command(flatten)]
        naps: Naps,
    }

    #[test]
    fn what_up_is_told_arrives_at_the_host() {
        let told = "up --wake-spread-seconds 7 --suspended-seconds 9 --memory-low-percent 2.5 --memory-from /box/proc";
        let naps = Told::parse_from(told.split(' ')).naps;
        let handed_on = [vec!["host".to_owned()], naps.arguments()].concat();
        assert_eq!(Told::parse_from(handed_on).naps, naps);
    }
}
