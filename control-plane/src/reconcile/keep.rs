//! Turn after turn, several at once, until told to stop.

use std::{sync::Arc, time::Duration};

use bundle::Clock;
use futures_util::StreamExt;
use tokio::{task::JoinSet, time};
use tokio_util::sync::CancellationToken;

use super::{Noun, Stages, Turn, sql, turn};
use crate::db::{self, GenericClient, Pool};

/// How long at most to trust that nothing is due; also covers clocks that differ.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// How often what a wrong clock has put off is looked for.
const SET_RIGHT_EVERY: Duration = Duration::from_secs(900);

/// Keeps a noun true. Ends when `stop` is cancelled, after the turns that run have ended (10 s at most; leases cover the rest).
///
/// # Errors
/// When the database's URL cannot be read.
pub async fn keep<N: Noun>(
    noun: Arc<N>,
    url: &str,
    db: Pool,
    clock: Clock,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut news = db::listen(url, &[N::NAME])?;
    let mut running = JoinSet::new();
    let mut journal = Journal::new(N::NAME, db.clone(), clock.clone());
    let (mut hungry, mut until, mut set_right_at) = (true, time::Instant::now(), time::Instant::now());
    while !stop.is_cancelled() {
        if set_right_at <= time::Instant::now() {
            set_right_at = time::Instant::now() + SET_RIGHT_EVERY;
            hungry |= some_set_right::<N>(&db, &clock).await;
        }
        if hungry && running.len() < N::AT_ONCE {
            // Not inside the select below: a claim that is given up half-way would hold its row until the lease ends.
            match turn::claim::<N>(&db, &clock).await {
                Ok(Some(claimed)) => {
                    let (noun, db, clock) = (noun.clone(), db.clone(), clock.clone());
                    running.spawn(async move { turn::work(&*noun, &db, &clock, &Stages::default(), claimed).await });
                    continue;
                }
                Ok(None) => {
                    hungry = false;
                    until = time::Instant::now() + next::<N>(&db, &clock).await.unwrap_or(LOOK_AGAIN);
                    journal.note(&Turn::Idle).await;
                }
                Err(error) => {
                    tracing::warn!(noun = N::NAME, %error, "cannot claim");
                    hungry = false;
                    until = time::Instant::now() + Duration::from_secs(1);
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            Some(done) = running.join_next() => {
                hungry = true;
                match done {
                    Ok(turn) => journal.note(&turn).await,
                    Err(panic) => tracing::error!(noun = N::NAME, %panic, "a turn broke off"),
                }
            }
            Some(_) = news.next() => hungry = true,
            () = time::sleep_until(until), if !hungry => hungry = true,
        }
    }
    let _ = time::timeout(Duration::from_secs(10), async { while running.join_next().await.is_some() {} }).await;
    Ok(())
}

/// Rows that were written while the clock was far ahead would wait until it is that late: they are due now. Says how many.
///
/// # Errors
/// When the database does not answer.
pub async fn set_right<N: Noun>(db: &Pool, clock: &Clock) -> Result<u64, db::Error> {
    let db = db.get().await?;
    let statement = db.prepare_cached(N::SET_RIGHT).await?;
    Ok(db.execute(&statement, &[&clock.now()]).await?)
}

/// Whether there were any; what fails is done the next time.
async fn some_set_right<N: Noun>(db: &Pool, clock: &Clock) -> bool {
    let done = async {
        let client = db.get().await?;
        // By a clock that is far behind, as before the machine has set it, all would look as if it were far ahead.
        let agree: bool = client.query_one(sql::CLOCKS_AGREE, &[&clock.now()]).await?.try_get(0)?;
        drop(client);
        if agree { set_right::<N>(db, clock).await } else { Ok(0) }
    };
    match done.await {
        Ok(0) => false,
        Ok(rows) => {
            tracing::warn!(noun = N::NAME, rows, "put off by a clock that was far ahead; looked at now");
            true
        }
        Err(error) => {
            tracing::debug!(noun = N::NAME, %error, "what a wrong clock has put off cannot be looked for");
            false
        }
    }
}

/// How long until the next row is due.
async fn next<N: Noun>(db: &Pool, clock: &Clock) -> Result<Duration, db::Error> {
    let db = db.get().await?;
    let statement = db.prepare_cached(N::NEXT).await?;
    let due: Option<chrono::DateTime<chrono::Utc>> = db.query_one(&statement, &[]).await?.try_get(0)?;
    let wait = due.map_or(LOOK_AGAIN, |due| (due - clock.now()).to_std().unwrap_or(Duration::ZERO));
    // A row that is due but claimed by another worker must not make us spin.
    Ok(wait.clamp(Duration::from_millis(20), LOOK_AGAIN))
}

/// Tells the database how turns go, when that changes and now and then: `percloud doctor` reads it.
struct Journal {
    noun: &'static str,
    db: Pool,
    clock: Clock,
    last: (&'static str, Option<String>),
    written: Option<(time::Instant, &'static str)>,
}

impl Journal {
    fn new(noun: &'static str, db: Pool, clock: Clock) -> Self {
        Self { noun, db, clock, last: ("idle", None), written: None }
    }

    async fn note(&mut self, turn: &Turn) {
        // A look that found nothing to do says that we live; how the last turn went stays.
        if *turn != Turn::Idle {
            self.last = (turn.outcome(), turn.error().map(ToOwned::to_owned));
        }
        let (outcome, error) = &self.last;
        if self.written.is_some_and(|(at, written)| written == *outcome && at.elapsed() < Duration::from_secs(5)) {
            return;
        }
        let noted = async {
            let db = self.db.get().await?;
            db.execute(sql::TURNED, &[&self.noun, &self.clock.now(), outcome, error]).await?;
            Ok::<_, db::Error>(())
        };
        if noted.await.is_ok() {
            self.written = Some((time::Instant::now(), outcome));
        }
    }
}
