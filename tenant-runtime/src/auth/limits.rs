//! Guessing is slow: failed sign-ins are counted for an hour, by visitor and in all.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, Transaction};
use sha2::Digest;

const WINDOW: TimeDelta = TimeDelta::hours(1);
/// Failures that a visitor has free; each further one doubles the wait.
const FREE: u32 = 5;
/// The longest wait.
const LONGEST: TimeDelta = TimeDelta::minutes(15);
/// Failures of all visitors in an hour, after which everybody waits a little: a botnet guesses no faster than that.
const IN_ALL: u32 = 300;

/// Who tries, as the counter knows them: a keyed hash of the address (of the network, for IPv6).
#[derive(Clone, Debug)]
pub struct Visitor(Vec<u8>);

impl Visitor {
    /// The visitor with this address; `key` is something that only this percloud knows.
    #[must_use]
    pub fn new(address: Option<IpAddr>, key: &str) -> Self {
        let address = match address {
            Some(IpAddr::V6(v6)) => hex::encode(&v6.octets()[..8]),
            Some(IpAddr::V4(v4)) => v4.to_string(),
            None => String::new(),
        };
        Self(sha2::Sha256::digest(format!("visitor:{key}:{address}"))[..16].to_vec())
    }
}

/// How long this visitor must wait before the next try; none: not at all.
///
/// # Errors
/// When the store does not answer.
pub fn wait(db: &Connection, visitor: &Visitor, now: DateTime<Utc>) -> anyhow::Result<Option<TimeDelta>> {
    // What happened when the clock was ahead counts, but nobody waits until it is as late again.
    let sql =
        "select count(*), max(case when at <= ?3 then at end) from sign_in_failures where at > ?1 and visitor = ?2";
    let (failures, last): (u32, Option<DateTime<Utc>>) =
        db.query_row(sql, (now - WINDOW, &visitor.0, now), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let all: u32 =
        db.query_row("select count(*) from sign_in_failures where at > ?1", [now - WINDOW], |row| row.get(0))?;
    let mut pause = TimeDelta::zero();
    if failures >= FREE {
        pause = TimeDelta::seconds(1 << (failures - FREE + 1).min(12)).min(LONGEST);
    }
    if all >= IN_ALL {
        pause = pause.max(TimeDelta::seconds(30));
    }
    let until = last.map(|last| last + pause);
    Ok(until.filter(|until| *until > now).map(|until| until - now))
}

/// Counts a failure; answers how many there were in the last hour, of all visitors.
///
/// # Errors
/// When the store does not answer.
pub fn failed(tx: &Transaction<'_>, visitor: &Visitor, now: DateTime<Utc>) -> anyhow::Result<u32> {
    tx.execute("delete from sign_in_failures where at <= ?1", [now - WINDOW])?;
    tx.execute("insert into sign_in_failures (at, visitor) values (?1, ?2)", (now, &visitor.0))?;
    Ok(tx.query_row("select count(*) from sign_in_failures", [], |row| row.get(0))?)
}

/// Takes back what was counted last for a visitor.
///
/// # Errors
/// When the store does not answer.
pub fn take_back(tx: &Transaction<'_>, visitor: &Visitor) -> anyhow::Result<()> {
    let sql = "delete from sign_in_failures where rowid =
        (select max(rowid) from sign_in_failures where visitor = ?1)";
    tx.execute(sql, [&visitor.0])?;
    Ok(())
}

/// Forgets a visitor's failures: they have proved who they are.
///
/// # Errors
/// When the store does not answer.
pub fn forget(tx: &Transaction<'_>, visitor: &Visitor) -> anyhow::Result<()> {
    tx.execute("delete from sign_in_failures where visitor = ?1", [&visitor.0])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestRuntime, start};

    #[tokio::test]
    async fn a_clock_that_is_set_back_makes_nobody_wait_until_it_is_as_late_again() {
        let t = TestRuntime::new();
        let visitor = Visitor::new(None, "key");
        let look = move |tx: &Transaction<'_>| {
            let mut waits = Vec::new();
            for _ in 0..FREE {
                failed(tx, &visitor, start())?;
                waits.push(wait(tx, &visitor, start() - TimeDelta::days(1))?);
            }
            let before = start() - TimeDelta::days(1);
            failed(tx, &visitor, before)?;
            Ok((waits, wait(tx, &visitor, before)?, wait(tx, &visitor, before + TimeDelta::seconds(4))?))
        };
        let (waits, slow, over) = t.runtime.store().write(look).await.unwrap();
        assert_eq!(waits, [None; FREE as usize]);
        assert_eq!((slow, over), (Some(TimeDelta::seconds(4)), None), "guessing is as slow as ever");
    }
}
