//! Counts what perclouds use, once a minute, and adds it up, once an hour: periodic work of the reconcile role, beside its turns.
//!
//! Several reconcilers may be at it: who gets the lock counts, and the others let it be. The lock comes before the question to the
//! host, so that nobody compares an older answer with newer marks.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bundle::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::{Instant, sleep};
use tokio_postgres::Row;
use tokio_util::sync::CancellationToken;

use super::{
    LOCK,
    count::{COUNTERS, Change, Changes, Counters, Mark, compare},
    hour_of, roll,
    show::Fleet,
    sql,
};
use crate::{
    db::{self, GenericClient, Pool, Transaction},
    hosts::{self, Host},
    reconcile,
};

/// At a start of everything the host comes a moment later than we do: how often it is looked for.
const FIRST: Duration = Duration::from_secs(3);
/// So long after our own start a host that is not there is no trouble that anybody must hear of.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is counted.
const EVERY: Duration = Duration::from_secs(60);
/// How soon again when the host or the database does not answer.
const SOON: Duration = Duration::from_secs(10);
/// How long the host may take to say what was used: the transaction waits meanwhile, and the server ends one that waits for 15 seconds.
pub const HOST_WITHIN: Duration = Duration::from_secs(10);
/// So many rows are written at once.
const CHUNK: usize = 5_000;
/// What `percloud doctor` knows it by.
pub const NAME: &str = "usage";

/// Why nothing was counted this time; nothing is lost by it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host does not say what was used.
    #[error("what perclouds use cannot be counted: {0}")]
    Host(#[from] hosts::Error),
    /// Whose clock is wrong a person must see.
    #[error(
        "the clock of this machine and the database's are {0} minutes apart: set them right; what perclouds use is counted then"
    )]
    Clocks(i64),
    /// The database.
    #[error("what perclouds use cannot be written down")]
    Db(#[from] db::Error),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self::Db(error.into())
    }
}

/// What came of counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Another reconciler is at it.
    Elsewhere,
    /// Counted: so many perclouds, of which so many used anything.
    Here {
        /// As many as the host has.
        perclouds: usize,
        /// As many got more in this hour.
        changed: usize,
    },
}

/// Who counts.
pub struct Meter {
    /// Where hours, days and marks are.
    pub db: Pool,
    /// Who knows what was used; must answer within [`HOST_WITHIN`].
    pub host: Arc<dyn Host>,
    /// What time it is.
    pub clock: Clock,
    /// Whether metrics name each percloud.
    pub per_percloud: bool,
    /// So far the database's clock may be from ours ([`super::APART`]); further, and nothing is counted.
    pub apart: TimeDelta,
}

impl Meter {
    /// Counts and adds up until `stop` is cancelled.
    pub async fn keep(self, stop: CancellationToken) {
        let mut fleet = Fleet::new(self.per_percloud);
        let mut last_error = None;
        tokio::select! {
            () = stop.cancelled() => return,
            () = self.until_host_is_there() => {}
        }
        loop {
            // Cut off anywhere, the transaction is taken back, and whoever counts next counts it all.
            let error = tokio::select! {
                () = stop.cancelled() => return,
                error = self.once() => error,
            };
            if let Some(error) = error.as_ref().filter(|error| last_error.as_ref() != Some(*error)) {
                tracing::warn!(error, "usage is not up to date; tried again soon, and nothing is lost");
            }
            if let Err(error) = fleet.show(&self.db, self.clock.now()).await {
                tracing::debug!(%error, "what the fleet uses cannot be shown");
            }
            let pause = if error.is_none() { EVERY } else { SOON };
            last_error = error;
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    async fn until_host_is_there(&self) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            // It has begun, and nothing is the matter.
            self.noted("later", None).await;
            sleep(FIRST).await;
            if self.host.usage().await.is_ok() {
                return;
            }
        }
    }

    /// Counts, adds up when that is due, and notes how it went for `percloud doctor`; says what failed, which is tried again the next time.
    pub async fn once(&self) -> Option<String> {
        let error = self.count_and_roll().await.err().map(|error| format!("{:#}", anyhow::Error::from(error)));
        self.noted(if error.is_some() { "later" } else { "ok" }, error.as_ref()).await;
        error
    }

    async fn count_and_roll(&self) -> Result<(), Error> {
        // By a clock that is wrong hours would be others', days nobody's, and what is young would be too old.
        self.clocks_agree().await?;
        let counted = self.count().await.map(drop);
        if counted.is_ok() {
            metrics::gauge!("percloud_usage_counted_timestamp_seconds").set(self.clock.now().timestamp() as f64);
        }
        let rolled = roll::when_due(&self.db, self.clock.now()).await.map(drop).map_err(Error::from);
        counted.and(rolled)
    }

    async fn clocks_agree(&self) -> Result<(), Error> {
        let its: DateTime<Utc> = self.db.get().await?.query_one(sql::NOW, &[]).await?.try_get(0)?;
        let apart = (self.clock.now() - its).abs();
        if apart > self.apart { Err(Error::Clocks(apart.num_minutes())) } else { Ok(()) }
    }

    /// Notes it if that can be done.
    async fn noted(&self, outcome: &str, error: Option<&String>) {
        if let Err(error) = self.note(outcome, error).await {
            tracing::debug!(%error, "how counting went cannot be noted");
        }
    }

    async fn note(&self, outcome: &str, error: Option<&String>) -> Result<(), db::Error> {
        let db = self.db.get().await?;
        db.execute(reconcile::sql::TURNED, &[&NAME, &self.clock.now(), &outcome, &error]).await?;
        Ok(())
    }

    /// Adds what is new to the hour, once.
    ///
    /// # Errors
    /// When the host or the database does not answer: then nothing is added, and all of it the next time.
    pub async fn count(&self) -> Result<Counted, Error> {
        let now = self.clock.now();
        let mut db = self.db.get().await?;
        db.execute(sql::PARTITIONS, &[&now]).await?;
        let tx = db.transaction().await?;
        let free: bool = tx.query_one(sql::TAKE, &[&LOCK]).await?.try_get(0)?;
        if !free {
            return Ok(Counted::Elsewhere);
        }
        let usage = self.host.usage().await?;
        let all = compare(&usage, &marks(&tx).await?);
        write(&tx, &usage.epoch, &all, now).await?;
        tx.commit().await?;
        if let Some(first) = all.backwards.first() {
            let first = first.as_str();
            tracing::warn!(
                perclouds = all.backwards.len(),
                first,
                "the host's counters went backwards, most likely since it was killed; taken for nought"
            );
        }
        let changed = all.changes.iter().filter(|change| change.is_of_the_hour()).count();
        Ok(Counted::Here { perclouds: usage.of.len(), changed })
    }
}

async fn marks(tx: &Transaction<'_>) -> Result<HashMap<String, Mark>, db::Error> {
    let read = |row: &Row| {
        let mut counters = [0; COUNTERS];
        // They stand after id and epoch, in the counters' order.
        for (at, counter) in counters.iter_mut().enumerate() {
            *counter = row.try_get(at + 2)?;
        }
        let mark = Mark {
            epoch: row.try_get("epoch")?,
            counters: Counters(counters),
            storage_bytes: row.try_get("storage_bytes")?,
            there: row.try_get("there")?,
        };
        Ok((row.try_get("tenant_id")?, mark))
    };
    tx.query(sql::MARKS, &[]).await?.iter().map(read).collect()
}

async fn write(tx: &Transaction<'_>, epoch: &str, all: &Changes, now: DateTime<Utc>) -> Result<(), db::Error> {
    let hour = hour_of(now);
    let of_the_hour: Vec<&Change> = all.changes.iter().filter(|change| change.is_of_the_hour()).collect();
    for chunk in of_the_hour.chunks(CHUNK) {
        let (ids, more) = columns(chunk, |change| change.more);
        let bytes: Vec<Option<i64>> = chunk.iter().map(|change| change.storage_changed).collect();
        let [a, b, c, d, e, f, g, h, i, j, k] = &more;
        tx.execute(sql::ADD, &[&hour, &ids, a, b, c, d, e, f, g, h, i, j, k, &bytes]).await?;
    }
    for chunk in all.changes.chunks(CHUNK) {
        let chunk: Vec<&Change> = chunk.iter().collect();
        let (ids, counters) = columns(&chunk, |change| change.counters);
        let bytes: Vec<i64> = chunk.iter().map(|change| change.storage_bytes).collect();
        let [a, b, c, d, e, f, g, h, i, j, k] = &counters;
        tx.execute(sql::MARK, &[&epoch, &ids, a, b, c, d, e, f, g, h, i, j, k, &bytes]).await?;
    }
    if !all.gone.is_empty() {
        tx.execute(sql::UNMARK, &[&all.gone]).await?;
    }
    Ok(())
}

/// Rows as columns, as `unnest` takes them.
fn columns<'a>(changes: &[&'a Change], of: impl Fn(&Change) -> Counters) -> (Vec<&'a str>, [Vec<i64>; COUNTERS]) {
    let ids = changes.iter().map(|change| change.id.as_str()).collect();
    let columns = std::array::from_fn(|at| changes.iter().map(|change| of(change).0[at]).collect());
    (ids, columns)
}
