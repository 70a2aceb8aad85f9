//! Usage: what each percloud takes of the machine, hour by hour and day by day, and what that costs.
//!
//! The host counts what its perclouds use and keeps it in memory. Once a minute [`reconcile`] asks for these counters, compares them with
//! how far they were added last time (the *marks*) and adds the difference to the hour, marks and hours in one transaction: a death
//! in between neither loses nor doubles anything. Edge and egress add requests and bytes that go out themselves (`usage_add`). Once an
//! hour, hours are added up to days ([`roll`]); what is too old is dropped by the month.
//!
//! Reading is by hour, day or month ([`mod@list`]); [`costs`] says what a percloud costs, [`abuse`] who met which limit.

pub mod abuse;
pub mod costs;
pub mod count;
pub mod list;
pub mod prices;
pub mod reconcile;
pub mod roll;
mod show;
pub mod sql;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

/// The hour in which a moment is.
#[must_use]
pub fn hour_of(at: DateTime<Utc>) -> DateTime<Utc> {
    // It fails beyond the years that anybody's clock shows; a whole hour is asked for by the database, which then says so.
    at.duration_trunc(TimeDelta::hours(1)).unwrap_or(at)
}

/// So far apart clocks may be for what is counted by them to go to the right hours, more or less.
pub const APART: TimeDelta = TimeDelta::hours(1);

/// Whoever counts or adds up holds this advisory lock of the transaction: any constant.
const LOCK: i64 = 0x7065_7263_7573;
