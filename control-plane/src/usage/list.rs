//! What was used, by hour, day or month.

use chrono::{DateTime, Datelike, Months, NaiveDate, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use super::{roll::begin, sql};
use crate::db::{self, GenericClient};

/// How finely it is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Hour by hour; hours are kept for 40 days at least.
    Hour,
    /// Day by day (UTC); days are kept for 13 months at least.
    Day,
    /// Month by month (UTC).
    #[default]
    Month,
}

impl By {
    /// The first day to tell of, unless somebody says another: today's hours, this month's days or this month.
    #[must_use]
    pub fn usual_from(self, now: DateTime<Utc>) -> NaiveDate {
        match self {
            Self::Hour => now.date_naive(),
            Self::Day | Self::Month => now.date_naive().with_day(1).unwrap_or_else(|| now.date_naive()),
        }
    }

    /// How a beginning is written.
    #[must_use]
    pub fn written(self, begin: DateTime<Utc>) -> String {
        match self {
            Self::Hour => begin.to_rfc3339_opts(SecondsFormat::Secs, true),
            Self::Day => begin.format("%Y-%m-%d").to_string(),
            Self::Month => begin.format("%Y-%m").to_string(),
        }
    }
}

/// What one percloud used in one hour, day or month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Used {
    /// Whose.
    pub tenant_id: String,
    /// The percloud's host name at the provider; none when it has gone.
    pub domain: Option<String>,
    /// When the hour, day or month began.
    pub begin: DateTime<Utc>,
    /// Microseconds of processor time.
    pub cpu_micros: i64,
    /// Memory in use times the time it was in use.
    pub memory_byte_seconds: i64,
    /// Seconds awake.
    pub awake_seconds: i64,
    /// Starts of its runtime.
    pub wakes: i64,
    /// Bytes on the disk: of an hour as last seen, none when they did not change; of a day as last seen; of a month the average of its days.
    pub storage_bytes: Option<i64>,
    /// Requests of visitors.
    pub requests: i64,
    /// Bytes of bodies that went out, to visitors and by the way out.
    pub egress_bytes: i64,
    /// Microseconds that it was held back for wanting more than its processor share.
    pub throttled_micros: i64,
    /// How often it was ended for memory.
    pub memory_limits: i64,
    /// How often it was refused a thread.
    pub thread_limits: i64,
    /// How often it was found with more on the disk than it may hold.
    pub disk_limits: i64,
    /// How often its runtime failed.
    pub failures: i64,
    /// How often it was started in vain once too often: it left at once, or while the connection that it was started for still waited.
    pub starts_in_vain: i64,
    /// Microseconds for which it kept processors busy beyond its share, for which it was in the slow lane.
    pub busy_micros: i64,
    /// Requests, of visitors or its own, that a limit refused.
    pub refused: i64,
    /// Connections of its own that a rule of the way out refused.
    pub forbidden: i64,
    /// Handshakes of visitors that came faster than its share, and waited for others or were sent away.
    pub crowded: i64,
}

impl Used {
    pub(super) fn from_row(row: &Row) -> Result<Self, db::Error> {
        Ok(Self {
            tenant_id: row.try_get("tenant_id")?,
            domain: row.try_get("domain")?,
            begin: row.try_get("begin")?,
            cpu_micros: row.try_get("cpu_micros")?,
            memory_byte_seconds: row.try_get("memory_byte_seconds")?,
            awake_seconds: row.try_get("awake_seconds")?,
            wakes: row.try_get("wakes")?,
            storage_bytes: row.try_get("storage_bytes")?,
            requests: row.try_get("requests")?,
            egress_bytes: row.try_get("egress_bytes")?,
            throttled_micros: row.try_get("throttled_micros")?,
            memory_limits: row.try_get("memory_limits")?,
            thread_limits: row.try_get("thread_limits")?,
            disk_limits: row.try_get("disk_limits")?,
            failures: row.try_get("failures")?,
            starts_in_vain: row.try_get("starts_in_vain")?,
            busy_micros: row.try_get("busy_micros")?,
            refused: row.try_get("refused")?,
            forbidden: row.try_get("forbidden")?,
            crowded: row.try_get("crowded")?,
        })
    }

    /// How often it met a limit that ends, refuses or fails; not how long it was held back or busy, nor what its visitors waited for.
    #[must_use]
    pub fn limits_met(&self) -> i64 {
        let own = self.memory_limits + self.thread_limits + self.disk_limits + self.failures + self.starts_in_vain;
        own + self.refused + self.forbidden
    }
}

/// Where a page of [`list`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    begin: DateTime<Utc>,
    tenant_id: String,
}

impl Place {
    /// After this row.
    #[must_use]
    pub fn after(used: &Used) -> Self {
        Self { begin: used.begin, tenant_id: used.tenant_id.clone() }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.begin.format("%Y%m%dT%H"), self.tenant_id)
    }
}

impl std::str::FromStr for Place {
    type Err = NotAPlace;
    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let (begin, id) = text.split_once('.').ok_or(NotAPlace)?;
        let begin = format!("{begin}0000Z");
        let begin = chrono::NaiveDateTime::parse_from_str(&begin, "%Y%m%dT%H%M%SZ").map_err(|_| NotAPlace)?;
        let id: bundle::TenantId = id.parse().map_err(|_| NotAPlace)?;
        Ok(Self { begin: begin.and_utc(), tenant_id: id.to_string() })
    }
}

/// Not the end of a page.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("that is not what the page before said")]
pub struct NotAPlace;

/// What to tell.
#[derive(Clone, Debug)]
pub struct Filter {
    /// How finely.
    pub by: By,
    /// From this day on (UTC) …
    pub from: NaiveDate,
    /// … to the end of this one.
    pub to: NaiveDate,
    /// Of this percloud only, by its id.
    pub tenant_id: Option<String>,
    /// Only what comes after this place.
    pub after: Option<Place>,
    /// How many at most; 0 means 100.
    pub limit: u16,
}

/// What was used, oldest first, a page at a time.
///
/// # Errors
/// When the database does not answer.
pub async fn list(db: &impl GenericClient, filter: &Filter) -> Result<Vec<Used>, db::Error> {
    let limit = i64::from(if filter.limit == 0 { 100 } else { filter.limit.min(1000) });
    let (after, after_id) = match &filter.after {
        Some(place) => (Some(place.begin), Some(place.tenant_id.as_str())),
        None => (None, None),
    };
    let (from, to) = (begin(filter.from), begin(filter.to.succ_opt().unwrap_or(filter.to)));
    let sql = match filter.by {
        By::Hour => sql::HOURS,
        By::Day => sql::DAYS,
        By::Month => sql::MONTHS,
    };
    let statement = db.prepare_cached(sql).await?;
    let rows = db.query(&statement, &[&from, &to, &filter.tenant_id, &after, &after_id, &limit]).await?;
    rows.iter().map(Used::from_row).collect()
}

/// A calendar month, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(NaiveDate);

impl Month {
    /// The one in which a moment is.
    #[must_use]
    pub fn of(at: DateTime<Utc>) -> Self {
        Self(By::Month.usual_from(at))
    }

    /// Its first day.
    #[must_use]
    pub fn first(self) -> NaiveDate {
        self.0
    }

    /// The first day of the next one.
    #[must_use]
    pub fn end(self) -> NaiveDate {
        self.0 + Months::new(1)
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m"))
    }
}

impl std::str::FromStr for Month {
    type Err = NotAMonth;
    fn from_str(text: &str) -> Result<Self, NotAMonth> {
        let digits = |part: &str, count: usize| part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit());
        let (year, month) = text.split_once('-').ok_or(NotAMonth)?;
        if !digits(year, 4) || !digits(month, 2) {
            return Err(NotAMonth);
        }
        NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").map(Self).map_err(|_| NotAMonth)
    }
}

/// Not a month.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a month is written like 2026-11")]
pub struct NotAMonth;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_places_are_read_as_they_are_written() {
        let november: Month = "2026-11".parse().unwrap();
        assert_eq!((november.to_string(), november.end().to_string()), ("2026-11".into(), "2026-12-01".into()));
        for wrong in ["", "2026", "2026-13", "2026-1", "11-2026", "2026-11-01", "+026-11"] {
            assert!(wrong.parse::<Month>().is_err(), "{wrong}");
        }
        let place = Place { begin: "2026-11-01T05:00:00Z".parse().unwrap(), tenant_id: "t-aaaaaaaaaaaaaaaa".into() };
        assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        for wrong in ["", ".", "20261101T05.x", "20261101.t-aaaaaaaaaaaaaaaa", "20261101T05"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
