//! Who met which limit: what an operator looks at to find abuse. Pure but for the one question.
//!
//! Limits hold by themselves, so nobody else is harmed; but a percloud that meets them again and again is broken, has outgrown its plan,
//! or does what it should not. Each kind has a *floor*, below which everyday life stays (a start may be held back for a moment), and a
//! number of *points*; the most points are the worst.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{list::Used, sql};
use crate::{
    db::{self, GenericClient},
    terminal,
};

/// A kind of limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It wanted more processor time than it may have; counted in seconds.
    Throttled,
    /// It was ended for using too much memory.
    Memory,
    /// It was refused a thread.
    Threads,
    /// It had more on the disk than it may hold.
    Disk,
    /// Its runtime failed.
    Failures,
    /// It was started in vain once too often.
    Starts,
    /// It kept processors busy for long, and was in the slow lane for it; counted in seconds.
    Busy,
    /// It used the processor for long, if never more of it than its share; counted in seconds.
    Processor,
    /// Requests, of its visitors or its own, that were refused.
    Refused,
    /// It wanted to connect to where no percloud may.
    Forbidden,
    /// Its visitors shook hands faster than one percloud's share.
    Crowded,
}

/// Points of one kind end here: a loop that is refused a million threads is not a thousand times worse than one that is refused a thousand.
const MOST: i64 = 1_000;

impl Kind {
    /// All of them, with the count from which on it is told, and how many of it make a point.
    const ALL: [(Self, i64, i64); 11] = [
        (Self::Throttled, 60, 30),
        (Self::Memory, 1, 1),
        (Self::Threads, 1, 10),
        (Self::Disk, 1, 1),
        (Self::Failures, 3, 1),
        (Self::Starts, 1, 1),
        // To take in what somebody brings along from elsewhere may take minutes; to mine takes days.
        (Self::Busy, 1_800, 300),
        // Who keeps below what leads into the slow lane may mine all day. A person's percloud uses minutes; four hours a day is none's.
        (Self::Processor, 14_400, 600),
        (Self::Refused, 100, 100),
        // A person has a bookmark or two to the box at home; a program that looks for a way in tries hundreds.
        (Self::Forbidden, 20, 5),
        // A page that is talked about has a minute of it; somebody who means harm has thousands a second.
        (Self::Crowded, 5_000, 1_000),
    ];

    fn count(self, used: &Used) -> i64 {
        match self {
            Self::Throttled => used.throttled_micros / 1_000_000,
            Self::Memory => used.memory_limits,
            Self::Threads => used.thread_limits,
            Self::Disk => used.disk_limits,
            Self::Failures => used.failures,
            Self::Starts => used.starts_in_vain,
            Self::Busy => used.busy_micros / 1_000_000,
            Self::Processor => used.cpu_micros / 1_000_000,
            Self::Refused => used.refused,
            Self::Forbidden => used.forbidden,
            Self::Crowded => used.crowded,
        }
    }

    /// What it did, in a sentence.
    fn did(self, count: i64) -> String {
        let times = |count: i64| match count {
            1 => "once".to_owned(),
            more => format!("{} times", terminal::count(more)),
        };
        match self {
            Self::Throttled => {
                let long = terminal::span(count.saturating_mul(1_000_000));
                format!("It wanted more than its share of the processor, and was held back for {long}.")
            }
            Self::Memory => format!("It was ended {} for using more memory than it may.", times(count)),
            Self::Threads => format!("It was refused another thread {}.", times(count)),
            Self::Disk => format!("It was found {} with more on the disk than it may hold.", times(count)),
            Self::Failures => format!("Its runtime failed {}.", times(count)),
            Self::Starts => {
                format!(
                    "It was started in vain {}, beyond what is forgiven: it left at once, or let its visitor wait.",
                    times(count)
                )
            }
            Self::Busy => {
                let long = terminal::span(count.saturating_mul(1_000_000));
                format!("It kept processors busy for {long}, and made way for others meanwhile.")
            }
            Self::Processor => {
                let long = terminal::span(count.saturating_mul(1_000_000));
                format!("It used {long} of processor time.")
            }
            Self::Refused => {
                format!(
                    "{} requests, of its visitors or its own, were refused for being too many or making no sense.",
                    terminal::count(count)
                )
            }
            Self::Forbidden => {
                let often = times(count);
                format!(
                    "It was refused {often} a way out to an address that is not public, or to a port or host that is not allowed."
                )
            }
            Self::Crowded => format!(
                "{} handshakes of its visitors came faster than one percloud's share, and waited for others or were sent away.",
                terminal::count(count)
            ),
        }
    }

    /// What the operator can do about it.
    fn to_do(self, name: &str) -> String {
        let stop = format!("`percloud admin suspend {name} --reason …` closes it");
        match self {
            Self::Throttled => format!("Its neighbours keep their share. Ask its owner what runs there; {stop}."),
            Self::Memory => {
                format!(
                    "See its log in log/tenants/. If large uploads or imports need it, give all more (--memory-max); else {stop}."
                )
            }
            Self::Threads => {
                format!("A percloud needs some twenty threads: this one does something else. See its log; {stop}.")
            }
            Self::Disk => format!(
                "Ask its owner to make room. Where it goes on growing, {stop}; the owner can still take everything along."
            ),
            Self::Failures => {
                format!(
                    "`percloud admin show {name}` and its log in log/tenants/ say why; `percloud admin resume {name}` tries at once."
                )
            }
            Self::Starts => format!(
                "It is started less and less often, and its visitors are told so. See its log in log/tenants/, and what it uses (`percloud admin usage`); {stop}."
            ),
            Self::Busy => format!(
                "Its neighbours go first (docs/decisions/0018-fair-neighbours.md). Ask its owner what runs there; {stop}."
            ),
            Self::Processor => format!(
                "Its neighbours keep their share. To take in a large collection may take so long once; who goes on at it day after day works for somebody else. Ask its owner; {stop}."
            ),
            Self::Refused => format!(
                "Somebody asks too fast, or it asks too much of others: log/edge.log and log/egress.log say which; {stop}."
            ),
            Self::Forbidden => format!(
                "Nothing was reached. log/egress.log has the hosts and ports that it tried: a few of one home's are a mistake, many are somebody who looks for a way into networks; {stop}."
            ),
            Self::Crowded => format!(
                "Other perclouds' visitors go first. Ask its owner whether it is talked about just now; against a flood your network's provider or a firewall can do more; {stop}."
            ),
        }
    }
}

/// One that met limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Case {
    /// Which.
    pub tenant_id: String,
    /// Its host name; none when it has gone.
    pub domain: Option<String>,
    /// How bad it is; the most is the worst.
    pub points: i64,
    /// Which limits and how often (seconds where it was held back or busy), the worst first.
    pub met: Vec<(Kind, i64)>,
    /// What it did, in plain words.
    pub did: String,
    /// What the operator can do.
    #[serde(rename = "do")]
    pub to_do: String,
}

/// Judges what one used in so many hours; none where nothing is to be told.
#[must_use]
pub fn judge(used: &Used, hours: i64) -> Option<Case> {
    // What adds up in everyday life, too, does so for as long as is looked back.
    let longer =
        |kind, floor: i64| if kind == Kind::Processor { floor.saturating_mul(hours.max(24)) / 24 } else { floor };
    let mut met: Vec<(i64, Kind, i64)> = Kind::ALL
        .into_iter()
        .map(|(kind, floor, per_point)| (kind, kind.count(used), floor, per_point))
        .filter(|(kind, count, floor, _)| *count >= longer(*kind, *floor))
        .map(|(kind, count, _, per_point)| ((count / per_point).clamp(1, MOST), kind, count))
        .collect();
    met.sort_by_key(|(points, ..)| std::cmp::Reverse(*points));
    let (_, worst, _) = *met.first()?;
    let name = used.domain.as_deref().unwrap_or(&used.tenant_id);
    let did: Vec<String> = met.iter().map(|(_, kind, count)| kind.did(*count)).collect();
    let to_do = match &used.domain {
        Some(_) => worst.to_do(name),
        None => "It has gone: nothing.".to_owned(),
    };
    Some(Case {
        tenant_id: used.tenant_id.clone(),
        domain: used.domain.clone(),
        points: met.iter().map(|(points, ..)| points).sum(),
        did: did.join(" "),
        to_do,
        met: met.into_iter().map(|(_, kind, count)| (kind, count)).collect(),
    })
}

/// Who met limits from the hour of `since` until now, the worst first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(db: &impl GenericClient, since: DateTime<Utc>, now: DateTime<Utc>) -> Result<Vec<Case>, db::Error> {
    let rows = db.query(sql::MET, &[&super::hour_of(since)]).await?;
    let used = rows.iter().map(Used::from_row).collect::<Result<Vec<_>, _>>()?;
    let hours = (now - since).num_hours();
    let mut cases: Vec<Case> = used.iter().filter_map(|used| judge(used, hours)).collect();
    cases.sort_by(|a, b| b.points.cmp(&a.points).then_with(|| a.tenant_id.cmp(&b.tenant_id)));
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used() -> Used {
        Used {
            tenant_id: "t-aaaaaaaaaaaaaaaa".into(),
            domain: Some("ada.example".into()),
            begin: DateTime::UNIX_EPOCH,
            cpu_micros: 0,
            memory_byte_seconds: 0,
            awake_seconds: 0,
            wakes: 0,
            storage_bytes: None,
            requests: 0,
            egress_bytes: 0,
            throttled_micros: 0,
            memory_limits: 0,
            thread_limits: 0,
            disk_limits: 0,
            failures: 0,
            starts_in_vain: 0,
            busy_micros: 0,
            refused: 0,
            forbidden: 0,
            crowded: 0,
        }
    }

    #[test]
    fn everyday_life_is_no_abuse_and_the_worst_comes_first() {
        let everyday = Used {
            throttled_micros: 59_999_999,
            busy_micros: 1_799_999_999,
            failures: 2,
            refused: 99,
            forbidden: 19,
            crowded: 4_999,
            cpu_micros: 14_399_999_999,
            requests: 1_000_000,
            ..used()
        };
        assert_eq!(judge(&everyday, 24), None);
        let one =
            judge(&Used { throttled_micros: 12_000_000_000, memory_limits: 1, refused: 1_234, ..used() }, 24).unwrap();
        assert_eq!(one.met, [(Kind::Throttled, 12_000), (Kind::Refused, 1_234), (Kind::Memory, 1)]);
        assert_eq!(one.points, 400 + 12 + 1);
        assert_eq!(
            one.did,
            "It wanted more than its share of the processor, and was held back for 3 h 20 min. \
            1,234 requests, of its visitors or its own, were refused for being too many or making no sense. \
            It was ended once for using more memory than it may."
        );
        assert!(one.to_do.contains("`percloud admin suspend ada.example --reason …`"), "{}", one.to_do);
        let bomb = judge(&Used { thread_limits: 50_000_000, ..used() }, 24).unwrap();
        assert_eq!(bomb.points, MOST);
        // A day long on one processor, where nothing holds it back; and one that lets its visitors wait.
        let spins = judge(&Used { busy_micros: 86_400_000_000, starts_in_vain: 3, ..used() }, 24).unwrap();
        assert_eq!(spins.met, [(Kind::Busy, 86_400), (Kind::Starts, 3)]);
        assert_eq!(
            spins.did,
            "It kept processors busy for 24 h 0 min, and made way for others meanwhile. \
            It was started in vain 3 times, beyond what is forgiven: it left at once, or let its visitor wait."
        );
        // One that looks for a way into the provider's network, and one at whose door a crowd stands.
        let pries = judge(&Used { forbidden: 1_700, crowded: 90_000, ..used() }, 24).unwrap();
        assert_eq!(pries.met, [(Kind::Forbidden, 1_700), (Kind::Crowded, 90_000)]);
        assert_eq!(
            pries.did,
            "It was refused 1,700 times a way out to an address that is not public, or to a port or host that is not allowed. \
            90,000 handshakes of its visitors came faster than one percloud's share, and waited for others or were sent away."
        );
        assert!(pries.to_do.contains("log/egress.log"), "{}", pries.to_do);
        // One that keeps just below what is noticed at once: for a day, and the same in a week.
        let mines = Used { cpu_micros: 40_000_000_000, ..used() };
        let said = judge(&mines, 24).unwrap();
        assert_eq!((said.met, said.points), (vec![(Kind::Processor, 40_000)], 66));
        assert_eq!(said.did, "It used 11 h 6 min of processor time.");
        assert!(judge(&mines, 1).is_some(), "an hour's look shows no less");
        assert_eq!(judge(&mines, 7 * 24), None, "over a week that is everyday life");
        let gone = judge(&Used { domain: None, disk_limits: 1, ..used() }, 24).unwrap();
        assert_eq!(gone.to_do, "It has gone: nothing.");
    }
}
