//! What the whole fleet uses, as metrics. No label per percloud unless the operator asks for it (`--metrics-per-percloud`): ten thousand of
//! them are seventy thousand series, and show every reader of a dashboard who is awake when.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use tokio_postgres::Row;

use super::{hour_of, sql};
use crate::db::{self, GenericClient, Pool};

/// Hours that are looked at each time: what is added later than this is in the days, not in the metrics.
const BACK: TimeDelta = TimeDelta::hours(2);

/// What can be added up, and how it is shown: the column, the counter, its unit, and the kind of limit.
const SHOWN: [(&str, &str, u64, Option<&str>); 16] = [
    ("cpu_micros", "percloud_usage_cpu_seconds_total", 1_000_000, None),
    ("memory_byte_seconds", "percloud_usage_memory_byte_seconds_total", 1, None),
    ("awake_seconds", "percloud_usage_awake_seconds_total", 1, None),
    ("wakes", "percloud_usage_wakes_total", 1, None),
    ("requests", "percloud_usage_requests_total", 1, None),
    ("egress_bytes", "percloud_usage_egress_bytes_total", 1, None),
    ("throttled_micros", "percloud_usage_throttled_seconds_total", 1_000_000, None),
    ("busy_micros", "percloud_usage_busy_seconds_total", 1_000_000, None),
    ("memory_limits", "percloud_usage_limits_met_total", 1, Some("memory")),
    ("thread_limits", "percloud_usage_limits_met_total", 1, Some("threads")),
    ("disk_limits", "percloud_usage_limits_met_total", 1, Some("disk")),
    ("failures", "percloud_usage_limits_met_total", 1, Some("failures")),
    ("starts_in_vain", "percloud_usage_limits_met_total", 1, Some("starts")),
    ("refused", "percloud_usage_limits_met_total", 1, Some("refused")),
    ("forbidden", "percloud_usage_limits_met_total", 1, Some("forbidden")),
    ("crowded", "percloud_usage_limits_met_total", 1, Some("crowded")),
];

type Sums = [u64; SHOWN.len()];

/// What this process has seen the fleet use since it began. Every reconcile role shows the whole fleet: they are not to be added up.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    /// The last hours as they were last seen; none before the first look, which only sets the beginning.
    hours: Option<BTreeMap<DateTime<Utc>, Sums>>,
    totals: Sums,
    /// The names that were shown last, when each percloud is.
    named: Option<BTreeSet<String>>,
}

impl Fleet {
    pub(super) fn new(per_percloud: bool) -> Self {
        Self { named: per_percloud.then(BTreeSet::new), ..Self::default() }
    }

    /// Looks at the last hours and shows them.
    pub(super) async fn show(&mut self, db: &Pool, now: DateTime<Utc>) -> Result<(), db::Error> {
        let db = db.get().await?;
        let rows = db.query(sql::FLEET, &[&(hour_of(now) - BACK)]).await?;
        self.add(rows.iter().map(read).collect::<Result<_, _>>()?);
        let stored = db.query_one(sql::STORED, &[]).await?;
        let (perclouds, bytes): (i64, i64) = (stored.try_get(0)?, stored.try_get(1)?);
        metrics::gauge!("percloud_usage_perclouds").set(perclouds as f64);
        metrics::gauge!("percloud_usage_storage_bytes").set(bytes as f64);
        for ((_, name, unit, limit), total) in SHOWN.iter().zip(self.totals) {
            match limit {
                Some(limit) => metrics::counter!(*name, "limit" => *limit).absolute(total / unit),
                None => metrics::counter!(*name).absolute(total / unit),
            }
        }
        if let Some(named) = &mut self.named {
            let used = each::<5>(&db.query(sql::EACH, &[]).await?)?;
            let passed =
                each::<2>(&db.query(sql::PASSED, &[&now.duration_trunc(TimeDelta::days(1)).unwrap_or(now)]).await?)?;
            *named = name(&used, &passed, named);
        }
        Ok(())
    }

    /// Adds what has come to these hours since they were last seen.
    fn add(&mut self, hours: BTreeMap<DateTime<Utc>, Sums>) {
        if let Some(seen) = &self.hours {
            for (hour, sums) in &hours {
                let before = seen.get(hour).copied().unwrap_or_default();
                for (total, (now, before)) in self.totals.iter_mut().zip(sums.iter().zip(before)) {
                    *total += now.saturating_sub(before);
                }
            }
        }
        self.hours = Some(hours);
    }
}

/// Figures of perclouds by their name.
type Each<const N: usize> = BTreeMap<String, [i64; N]>;

fn each<const N: usize>(rows: &[Row]) -> Result<Each<N>, db::Error> {
    let read = |row: &Row| -> Result<_, db::Error> {
        let mut values = [0; N];
        for (at, value) in values.iter_mut().enumerate() {
            *value = row.try_get(at + 1)?;
        }
        Ok((row.try_get(0)?, values))
    };
    rows.iter().map(read).collect()
}

/// Shows each percloud, and nothing any more of those that have gone: what it used since the host's epoch began, and what edge and way
/// out have passed on for it today.
fn name(used: &Each<5>, passed: &Each<2>, before: &BTreeSet<String>) -> BTreeSet<String> {
    let show = |percloud: &str, values: [f64; 7]| {
        let names = [
            "percloud_usage_each_cpu_seconds",
            "percloud_usage_each_memory_byte_seconds",
            "percloud_usage_each_awake_seconds",
            "percloud_usage_each_wakes",
            "percloud_usage_each_storage_bytes",
            "percloud_usage_each_requests_today",
            "percloud_usage_each_egress_bytes_today",
        ];
        for (name, value) in names.into_iter().zip(values) {
            metrics::gauge!(name, "percloud" => percloud.to_owned()).set(value);
        }
    };
    for (percloud, [cpu, memory, awake, wakes, storage]) in used {
        let [requests, egress] = passed.get(percloud).copied().unwrap_or_default();
        let [memory, awake, wakes, storage, requests, egress] =
            [*memory, *awake, *wakes, *storage, requests, egress].map(|value| value as f64);
        show(percloud, [*cpu as f64 / 1e6, memory, awake, wakes, storage, requests, egress]);
    }
    let now: BTreeSet<String> = used.keys().cloned().collect();
    for gone in before.difference(&now) {
        show(gone, [f64::NAN; 7]);
    }
    now
}

fn read(row: &Row) -> Result<(DateTime<Utc>, Sums), db::Error> {
    let mut sums = Sums::default();
    for (sum, (column, ..)) in sums.iter_mut().zip(SHOWN) {
        *sum = u64::try_from(row.try_get::<_, i64>(column)?).unwrap_or_default();
    }
    Ok((row.try_get("hour")?, sums))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_grow_by_what_is_new_whichever_hour_it_is_in() {
        let hour = |hour: i64, cpu: u64| {
            let mut sums = Sums::default();
            sums[0] = cpu;
            (DateTime::from_timestamp(hour * 3600, 0).unwrap(), sums)
        };
        let mut fleet = Fleet::default();
        for (hours, total) in [
            (vec![hour(1, 500), hour(2, 100)], 0),
            (vec![hour(1, 500), hour(2, 150)], 50),
            (vec![hour(1, 510), hour(2, 150)], 60),
            (vec![hour(2, 170), hour(3, 5)], 85),
            (vec![hour(3, 5)], 85),
        ] {
            fleet.add(hours.into_iter().collect());
            assert_eq!(fleet.totals[0], total);
        }
    }
}
