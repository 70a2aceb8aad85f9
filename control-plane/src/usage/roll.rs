//! Adds up hours to days, once an hour, and drops what is too old.
//!
//! Adding up is doing it anew: the days that may have changed are worked out from their hours as often as it takes. Edge and egress may
//! be a day late with what they add, so two days before the last time are done again. What a day has it never loses again: hours only
//! grow, so that a day which comes out as less is one whose hours were dropped.
//!
//! Clocks are set wrong, and set right again. One that leaps ahead by more than a day may be that, or there was nobody to add up for so
//! long: it is believed after an hour, and nothing is dropped for two days. One that goes backwards is believed at once, since all that
//! follows from it is to work out days once more.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta, Utc};

use super::{APART, LOCK, hour_of, sql};
use crate::db::{self, GenericClient, Pool, Transaction};

/// So many days before the last time are worked out again.
const AGAIN: Days = Days::new(2);
/// More than this from one time to the next is a leap.
const LEAP: TimeDelta = TimeDelta::days(1);
/// A clock that leapt is believed after so long …
const STAYS: TimeDelta = TimeDelta::hours(1);
/// … and enough to drop something by it after so long.
const STEADY: TimeDelta = TimeDelta::days(2);
/// Days are kept for so long, which is as far back as it makes sense to work them out.
const KEPT: Months = Months::new(13);

/// How far hours have been added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rolled {
    /// The hour in which that was last done.
    hour: DateTime<Utc>,
    /// Since when the clock goes steadily.
    steady_since: Option<DateTime<Utc>>,
}

/// What is to be done in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// Nothing: it was done.
    Rest,
    /// Nothing, but to note that the clock goes steadily since now only.
    Wait,
    /// Add up; steadily since then.
    Roll { steady_since: DateTime<Utc>, forget: bool },
}

/// Pure.
fn plan(rolled: Option<Rolled>, hour: DateTime<Utc>) -> Plan {
    let anew = Plan::Roll { steady_since: hour, forget: false };
    let Some(Rolled { hour: last, steady_since }) = rolled else { return anew };
    let since = hour - last;
    // What lies ahead was noted by a clock that has been set back.
    let steady_since = steady_since.filter(|since| *since <= hour);
    match steady_since {
        _ if since <= TimeDelta::zero() && since >= -APART => Plan::Rest,
        _ if since < TimeDelta::zero() => anew,
        None if since <= LEAP => anew,
        Some(steady_since) if since <= LEAP => Plan::Roll { steady_since, forget: hour - steady_since >= STEADY },
        // It leapt, and this is not the first look since.
        Some(noted) if noted > last && hour - noted <= LEAP => match hour - noted >= STAYS {
            true => Plan::Roll { steady_since: noted, forget: false },
            false => Plan::Rest,
        },
        _ => Plan::Wait,
    }
}

/// Adds up, unless that was done in this hour already or somebody else is at it; says how many days it was.
///
/// # Errors
/// When the database does not answer; nothing is done then.
pub async fn when_due(db: &Pool, now: DateTime<Utc>) -> Result<Option<usize>, db::Error> {
    let hour = hour_of(now);
    let mut db = db.get().await?;
    if plan(rolled(&db).await?, hour) == Plan::Rest {
        return Ok(None);
    }
    let first = first_day(&db, now).await?;
    partitions(&db, first, now).await?;
    let tx = db.transaction().await?;
    let free: bool = tx.query_one(sql::TAKE, &[&LOCK]).await?.try_get(0)?;
    if !free {
        return Ok(None);
    }
    let (steady_since, forget) = match plan(rolled(&tx).await?, hour) {
        Plan::Rest => return Ok(None),
        Plan::Wait => {
            tx.execute(sql::NOTE_LEAP, &[&hour]).await?;
            tx.commit().await?;
            tracing::warn!(
                "the clock leapt by more than a day; hours are added up to days once it has stayed there for an hour"
            );
            return Ok(None);
        }
        Plan::Roll { steady_since, forget } => (steady_since, forget),
    };
    let days = days(&tx, first, now.date_naive()).await?;
    tx.execute(sql::NOTE_ROLLED, &[&hour, &steady_since]).await?;
    tx.commit().await?;
    if forget {
        for row in db.query(sql::FORGET, &[&now]).await? {
            tracing::info!(table = row.try_get::<_, &str>(0)?, "what perclouds used then is too old and was dropped");
        }
    }
    Ok(Some(days))
}

/// Adds up today as far as it has come, for an operator who looks between two hours; unless somebody is at it.
///
/// # Errors
/// When the database does not answer.
pub async fn today(db: &Pool, now: DateTime<Utc>) -> Result<(), db::Error> {
    let mut db = db.get().await?;
    db.execute(sql::PARTITIONS, &[&now]).await?;
    let tx = db.transaction().await?;
    let free: bool = tx.query_one(sql::TAKE, &[&LOCK]).await?.try_get(0)?;
    if free {
        days(&tx, now.date_naive(), now.date_naive()).await?;
    }
    Ok(tx.commit().await?)
}

/// Makes those of all months that are worked out.
async fn partitions(db: &impl GenericClient, first: NaiveDate, now: DateTime<Utc>) -> Result<(), db::Error> {
    let month = first.with_day(1).unwrap_or(first);
    let months = (0..).map_while(|month_of| month.checked_add_months(Months::new(month_of)));
    for at in months.map(begin).take_while(|at| *at < now).chain([now]) {
        db.execute(sql::PARTITIONS, &[&at]).await?;
    }
    Ok(())
}

async fn days(tx: &Transaction<'_>, first: NaiveDate, last: NaiveDate) -> Result<usize, db::Error> {
    let mut done = 0;
    for day in first.iter_days().take_while(|day| *day <= last) {
        tx.execute(sql::ROLL, &[&day, &begin(day), &begin(day + Days::new(1)), &(day == last)]).await?;
        done += 1;
    }
    Ok(done)
}

async fn rolled(db: &impl GenericClient) -> Result<Option<Rolled>, db::Error> {
    let row = db.query_opt(sql::ROLLED, &[]).await?;
    let read = |row: tokio_postgres::Row| {
        Ok::<_, db::Error>(Rolled { hour: row.try_get("hour")?, steady_since: row.try_get("steady_since")? })
    };
    row.map(read).transpose()
}

/// The first day that may have changed. What a clock that was wrong has noted says nothing of that: where it is far from now, the last
/// day that there is says it, too.
async fn first_day(db: &impl GenericClient, now: DateTime<Utc>) -> Result<NaiveDate, db::Error> {
    let today = now.date_naive();
    let last = match rolled(db).await? {
        None => {
            let first: Option<DateTime<Utc>> = db.query_one(sql::FIRST_HOUR, &[]).await?.try_get(0)?;
            return Ok(earliest(first.map_or(today, |first| first.date_naive()), today));
        }
        Some(rolled) if (TimeDelta::zero()..=LEAP).contains(&(now - rolled.hour)) => rolled.hour.date_naive(),
        Some(rolled) => {
            let noted = Some(rolled.hour.date_naive()).filter(|noted| *noted <= today);
            let found: Option<NaiveDate> = db.query_one(sql::LAST_DAY, &[&today]).await?.try_get(0)?;
            noted.max(found).unwrap_or(today)
        }
    };
    Ok(earliest(last - AGAIN, today))
}

/// No day before those that are kept.
fn earliest(day: NaiveDate, today: NaiveDate) -> NaiveDate {
    day.max(today - KEPT).min(today)
}

/// When a day begins.
pub(super) fn begin(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_leaps_is_believed_after_an_hour_and_nothing_is_dropped_by_it_for_two_days() {
        let start: DateTime<Utc> = "2026-11-26T12:00:00Z".parse().unwrap();
        let at = |hours: i64| start + TimeDelta::hours(hours);
        let rolled = |hour: i64, steady: Option<i64>| Some(Rolled { hour: at(hour), steady_since: steady.map(at) });
        let roll = |steady: i64, forget| Plan::Roll { steady_since: at(steady), forget };
        let (month, year) = (30 * 24, 365 * 24);
        let table = [
            // What was noted, the hour, what is done.
            (None, 0, roll(0, false)),
            (rolled(0, None), 0, Plan::Rest),
            (rolled(0, None), 1, roll(1, false)),
            (rolled(0, Some(-5)), 1, roll(-5, false)),
            (rolled(0, Some(-47)), 1, roll(-47, true)),
            (rolled(0, Some(-year)), 24, roll(-year, true)),
            // Ahead by a month: noted, waited for, believed; and a day with nobody there in between is another leap.
            (rolled(0, Some(-year)), month, Plan::Wait),
            (rolled(0, Some(month)), month, Plan::Rest),
            (rolled(0, Some(month)), month + 1, roll(month, false)),
            (rolled(0, Some(month)), month + 25, Plan::Wait),
            (rolled(month + 1, Some(month)), month + 2, roll(month, false)),
            (rolled(month + 47, Some(month)), month + 48, roll(month, true)),
            // Right again before it was believed.
            (rolled(0, Some(month)), 0, Plan::Rest),
            (rolled(0, Some(month)), 1, roll(1, false)),
            // And after. An hour is what clocks may be apart.
            (rolled(month, Some(month - 1)), 1, roll(1, false)),
            (rolled(year * 10, Some(-year)), 1, roll(1, false)),
            (rolled(1, Some(-year)), 0, Plan::Rest),
            (rolled(2, Some(-year)), 0, roll(0, false)),
        ];
        for (noted, hour, expected) in table {
            assert_eq!(plan(noted, at(hour)), expected, "{noted:?} at {hour}");
        }
    }
}
