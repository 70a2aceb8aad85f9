//! Writes the ledger into the database, each thing once: what is not written waits, and what nobody knows of is asked for.
//!
//! A connection may break just when a transaction is being committed, and then nobody here knows whether it was. So the
//! transaction's number is kept before the word is given; the next connection asks the server for its fate, and only what was
//! not committed is written again. Where the server has no answer (a number so old that it was forgotten) it counts as
//! written: this errs on the side of a minute's use that nobody is charged for, never of the same use twice. The same holds for
//! a server that crashed, lost the transaction and has given its number to another one by the time that it is asked.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::{ClientWrapper, Object, Pool};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_postgres::error::SqlState;
use tokio_util::task::AbortOnDropHandle;

use super::{Counts, Ledger, Row, sql};
use crate::{db, usage::hour_of};

/// How often it is written, a fifth more or less, so that several roles do not come together.
const PAUSE: Duration = Duration::from_secs(60);
/// Rows in one transaction; the database takes twice as many.
const CHUNK: usize = 5000;
/// How long one round of writing may take.
const PATIENCE: Duration = Duration::from_secs(45);
/// How long the last one may take: somebody waits for the end.
const LAST: Duration = Duration::from_secs(3);
/// What the database takes of requests in a row, and of bytes; far more than there is in an hour.
const MOST: (u64, u64) = (1_000_000_000_000, 1_000_000_000_000_000);

/// Writes a ledger.
#[derive(Debug)]
pub struct Books {
    ledger: Arc<Ledger>,
    pool: Pool,
    sent: Mutex<Sent>,
}

/// What has left the ledger and is not known to be written.
#[derive(Debug, Default)]
struct Sent {
    rows: Vec<Row>,
    /// The number of the transaction that wrote them, if it did.
    doubt: Option<String>,
}

impl Sent {
    /// Whether there is something to write.
    fn refill(&mut self, ledger: &Ledger) -> bool {
        if self.rows.is_empty() {
            self.rows = ledger.next(CHUNK);
        }
        !self.rows.is_empty()
    }
}

impl Books {
    /// Into this database; nothing is asked yet.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn new(ledger: Arc<Ledger>, url: &str) -> anyhow::Result<Self> {
        Ok(Self { ledger, pool: db::pool(url)?, sent: Mutex::default() })
    }

    /// Writes now and then, until [`Keeping::end`].
    #[must_use]
    pub fn keep(self) -> Keeping {
        let books = Arc::new(self);
        let own = books.clone();
        Keeping { books, task: AbortOnDropHandle::new(tokio::spawn(async move { own.run().await })) }
    }

    async fn run(&self) {
        let pause = || PAUSE.mul_f64(rand::random_range(0.8..1.2));
        let mut due = Instant::now() + pause();
        let mut failing: Option<Instant> = None;
        loop {
            sleep_until(due.min(Instant::now() + self.ledger.hour_ends_in())).await;
            self.ledger.gather();
            if Instant::now() < due {
                continue;
            }
            match self.write().await {
                Ok(()) => {
                    if let Some(since) = failing.take() {
                        tracing::info!(seconds = since.elapsed().as_secs(), "what perclouds use is written again");
                    }
                }
                Err(error) if failing.is_none() => {
                    failing = Some(Instant::now());
                    let error = format!("{:#}", anyhow::Error::new(error));
                    tracing::warn!(error, "what perclouds use cannot be written now; it is kept and tried again");
                }
                Err(_) => {}
            }
            due = Instant::now() + pause();
        }
    }

    /// Writes everything that was counted so far.
    ///
    /// # Errors
    /// When the database does not take it; what was not written is kept for the next time.
    pub async fn write(&self) -> Result<(), db::Error> {
        let late = || db::Error::Unavailable("no answer in time".into());
        timeout(PATIENCE, self.write_all()).await.unwrap_or_else(|_| Err(late()))
    }

    async fn write_all(&self) -> Result<(), db::Error> {
        self.ledger.gather();
        let mut sent = self.sent.lock().await;
        if !sent.refill(&self.ledger) {
            return Ok(());
        }
        // A connection a time: none lies idle in between, and none that got stuck is used again.
        let mut db = Object::take(self.pool.get().await?);
        while sent.refill(&self.ledger) {
            write(&mut db, &mut sent).await?;
        }
        Ok(())
    }
}

/// Books that are being kept.
#[derive(Debug)]
pub struct Keeping {
    books: Arc<Books>,
    task: AbortOnDropHandle<()>,
}

impl Keeping {
    /// Writes what is left. To be called when nothing is counted any more.
    pub async fn end(self) {
        drop(self.task);
        let why = match timeout(LAST, self.books.write()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!("{:#}", anyhow::Error::new(error)),
            Err(_) => "no answer in time".to_owned(),
        };
        let mut lost = Counts::default();
        let sent = std::mem::take(&mut self.books.sent.lock().await.rows);
        sent.into_iter().chain(self.books.ledger.next(usize::MAX)).for_each(|row| lost.add(row.counts));
        let Counts { requests, bytes, refused, forbidden, crowded } = lost;
        tracing::warn!(
            error = why,
            requests,
            bytes,
            refused,
            forbidden,
            crowded,
            "these were counted and could not be written: they are lost"
        );
    }
}

/// Writes what was sent, unless it was written already.
async fn write(db: &mut ClientWrapper, sent: &mut Sent) -> Result<(), db::Error> {
    if let Some(number) = &sent.doubt {
        if committed(db, number).await? {
            *sent = Sent::default();
            return Ok(());
        }
        sent.doubt = None;
    }
    let transaction = db.transaction().await?;
    let begun = transaction.query_one(sql::BEGUN, &[]).await?;
    let number: String = begun.try_get(0)?;
    let columns = Columns::of(&sent.rows, begun.try_get(1)?);
    let Columns { tenants, hours, requests, bytes, refused, forbidden, crowded } = &columns;
    transaction.query_one(sql::ADD, &[tenants, hours, requests, bytes, refused, forbidden, crowded]).await?;
    // Until there is an answer nobody knows, whatever the error says: a server that is being shut down may say so after the deed.
    sent.doubt = Some(number);
    transaction.commit().await?;
    *sent = Sent::default();
    Ok(())
}

/// Whether a transaction was committed, or must be taken for it.
async fn committed(db: &ClientWrapper, number: &str) -> Result<bool, db::Error> {
    let fate = match db.query_one(sql::FATE, &[&number]).await {
        Ok(row) => row.try_get::<_, Option<String>>(0)?,
        // A number that is still to come: the server went back to before it.
        Err(error) if error.code() == Some(&SqlState::INVALID_PARAMETER_VALUE) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    match fate.as_deref() {
        Some("aborted") => Ok(false),
        Some("in progress") => Err(db::Error::Unavailable("the last transaction is still under way".into())),
        _ => Ok(true),
    }
}

/// Rows as the database takes them.
struct Columns<'a> {
    tenants: Vec<&'a str>,
    hours: Vec<DateTime<Utc>>,
    requests: Vec<i64>,
    bytes: Vec<i64>,
    refused: Vec<i64>,
    forbidden: Vec<i64>,
    crowded: Vec<i64>,
}

impl<'a> Columns<'a> {
    /// `now` is the database's. What is older than it takes (it was away for more than a day) goes down for the oldest hour that it
    /// does, and what a wrong clock of ours puts into its future for the next: the sums stay.
    fn of(rows: &'a [Row], now: DateTime<Utc>) -> Self {
        let now = hour_of(now);
        let (oldest, newest) = (now - TimeDelta::hours(24), now + TimeDelta::hours(1));
        let number = |count: u64, most: u64| i64::try_from(count.min(most)).unwrap_or(i64::MAX);
        Self {
            tenants: rows.iter().map(|row| &*row.tenant).collect(),
            hours: rows.iter().map(|row| row.hour.clamp(oldest, newest)).collect(),
            requests: rows.iter().map(|row| number(row.counts.requests, MOST.0)).collect(),
            bytes: rows.iter().map(|row| number(row.counts.bytes, MOST.1)).collect(),
            refused: rows.iter().map(|row| number(row.counts.refused, MOST.0)).collect(),
            forbidden: rows.iter().map(|row| number(row.counts.forbidden, MOST.0)).collect(),
            crowded: rows.iter().map(|row| number(row.counts.crowded, MOST.0)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_that_the_database_does_not_take_becomes_the_nearest_that_it_does() {
        let now: DateTime<Utc> = "2026-11-27T12:34:56Z".parse().unwrap();
        let row = |hour: &str| Row { hour: hour.parse().unwrap(), tenant: "t".into(), counts: Counts::default() };
        let rows = ["2026-11-01T00:00:00Z", "2026-11-27T11:00:00Z", "2027-11-27T12:00:00Z"].map(row);
        let hours = Columns::of(&rows, now).hours;
        let said = ["2026-11-26T12:00:00Z", "2026-11-27T11:00:00Z", "2026-11-27T13:00:00Z"];
        assert_eq!(hours, said.map(|hour| hour.parse::<DateTime<Utc>>().unwrap()));
    }
}
