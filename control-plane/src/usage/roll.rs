//! Adds up hours to days, once an hour, and drops what is too old.
//!
//! Adding up is doing it anew: the days that may have changed are worked out from their hours as often as it takes. Edge and egress may
//! be a day late with what they add, so two days before the last time are done again.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};

use super::{LOCK, hour_of, sql};
use crate::db::{self, GenericClient, Pool, Transaction};

/// So many days before the last time are worked out again.
const AGAIN: Days = Days::new(2);

/// Adds up, unless that was done in this hour already or somebody else is at it; says how many days it was.
///
/// # Errors
/// When the database does not answer; nothing is done then.
pub async fn when_due(db: &Pool, now: DateTime<Utc>) -> Result<Option<usize>, db::Error> {
    let hour = hour_of(now);
    let mut db = db.get().await?;
    if rolled(&db).await?.is_some_and(|rolled| rolled >= hour) {
        return Ok(None);
    }
    let first = first_day(&db, now).await?;
    for at in [begin(first), now] {
        db.execute(sql::PARTITIONS, &[&at]).await?;
    }
    let tx = db.transaction().await?;
    let free: bool = tx.query_one(sql::TAKE, &[&LOCK]).await?.try_get(0)?;
    if !free || rolled(&tx).await?.is_some_and(|rolled| rolled >= hour) {
        return Ok(None);
    }
    let days = days(&tx, first, now.date_naive()).await?;
    tx.execute(sql::NOTE_ROLLED, &[&hour]).await?;
    tx.commit().await?;
    for row in db.query(sql::FORGET, &[&now]).await? {
        tracing::info!(table = row.try_get::<_, &str>(0)?, "what perclouds used then is too old and was dropped");
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

async fn days(tx: &Transaction<'_>, first: NaiveDate, last: NaiveDate) -> Result<usize, db::Error> {
    let mut done = 0;
    for day in first.iter_days().take_while(|day| *day <= last) {
        tx.execute(sql::ROLL, &[&day, &begin(day), &begin(day + Days::new(1)), &(day == last)]).await?;
        done += 1;
    }
    Ok(done)
}

async fn rolled(db: &impl GenericClient) -> Result<Option<DateTime<Utc>>, db::Error> {
    Ok(db.query_opt(sql::ROLLED, &[]).await?.map(|row| row.try_get(0)).transpose()?)
}

/// The first day that may have changed.
async fn first_day(db: &impl GenericClient, now: DateTime<Utc>) -> Result<NaiveDate, db::Error> {
    if let Some(rolled) = rolled(db).await? {
        return Ok(rolled.date_naive() - AGAIN);
    }
    let first: Option<DateTime<Utc>> = db.query_one(sql::FIRST_HOUR, &[]).await?.try_get(0)?;
    Ok(first.unwrap_or(now).date_naive())
}

/// When a day begins.
pub(super) fn begin(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}
