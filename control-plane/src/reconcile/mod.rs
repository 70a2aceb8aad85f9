//! The loop that makes what is wanted true, once for all nouns. How to read it:
//!
//! A *noun* (perclouds, mails, certificates) is a table whose rows say what is wanted and when to look next (`due_at`). One **turn**:
//! claim a due row → [`Noun::look`] at the world → [`Noun::plan`] (pure) → [`Noun::perform`] *one* step → [`Noun::write`] what was observed,
//! and when to look next. A turn takes no input but its row and never retries: the next turn is the retry.
//!
//! - A claim is a lease with a fencing number. A worker that died lets go by itself; a late one cannot write. A noun whose steps are slow
//!   holds on to its rows meanwhile ([`Noun::HOLD`]), and is cut off when a row is another worker's.
//! - A wish that comes during a turn counts up `wish`; the turn that ends then leaves the row due at once.
//! - Workers are woken by NOTIFY, and by the clock when that was lost. They subscribe before they look.
//! - Every step *ensures*, so that a turn cut off anywhere is mended by doing it again. Undo is a new wish, not a second code path.
//! - An error says what happens next: [`StepError::Later`] waits for its time, [`StepError::Stuck`] asks for a person, and is looked at
//!   hourly meanwhile, so that mending the cause is enough. A noun with a timetable of its own says so ([`Noun::pause`]).

mod backoff;
mod keep;
mod run;
pub mod sql;
mod turn;

use std::{fmt::Debug, time::Duration};

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use crate::{db, hosts};

pub use keep::{keep, set_right};
pub use run::{Options, run};
pub use turn::{Stage, Stages, Turn, turn};

/// How long looking and performing may take together: less than the lease in every `CLAIM` (20 s), which is short enough to be waited for
/// after a crash.
pub const TURN_LIMIT: Duration = Duration::from_secs(15);

/// Something that is made true row by row.
pub trait Noun: Send + Sync + 'static {
    /// Its table and NOTIFY channel.
    const NAME: &'static str;
    /// Claims the next due row: `$1` is now; gives what [`Noun::read`] reads and the fencing number `claim`.
    const CLAIM: &'static str;
    /// Lets go after a failure: `$1` id, `$2` claim, `$3` wish, `$4` now, `$5` due_at, `$6` last_error.
    const FAIL: &'static str;
    /// When the next row is due.
    const NEXT: &'static str;
    /// Makes due at `$1`, which is now, whatever is due later than anything can be: a clock that was far ahead for a while has left that.
    const SET_RIGHT: &'static str;
    /// The longest pause between two tries.
    const PATIENCE: Duration = Duration::from_secs(300);
    /// How long a turn may take; longer than the lease only where there is [`Noun::HOLD`].
    const TURN_LIMIT: Duration = TURN_LIMIT;
    /// Prolongs the lease: `$1` id, `$2` claim.
    const HOLD: Option<&'static str> = None;
    /// How many turns run at once in one process.
    const AT_ONCE: usize = 8;

    /// What is wanted of one.
    type Row: Send + Sync;
    /// What one is.
    type Seen: Send + Sync;
    /// One thing that can be done.
    type Step: Debug + Send + Sync;

    /// Reads a claimed row.
    ///
    /// # Errors
    /// When the row holds what it must not.
    fn read(row: &Row) -> Result<Claimed<Self::Row>, db::Error>;

    /// Looks at the world.
    fn look(&self, row: &Self::Row) -> impl Future<Output = Result<Self::Seen, StepError>> + Send;

    /// The next thing to do; nothing, once all is as it should be. Pure: no I/O, no clock.
    fn plan(row: &Self::Row, seen: &Self::Seen) -> Option<Self::Step>;

    /// Does one step, in such a way that doing it twice is doing it once.
    fn perform(
        &self,
        row: &Claimed<Self::Row>,
        seen: Self::Seen,
        step: Self::Step,
    ) -> impl Future<Output = Result<After<Self::Seen>, StepError>> + Send;

    /// How long to wait after a failure; `chance` is between 0 and 1.
    fn pause(claimed: &Claimed<Self::Row>, error: &StepError, now: DateTime<Utc>, chance: f64) -> Duration {
        let _ = now;
        match error {
            StepError::Later { after, .. } => {
                backoff::pause(claimed.tries, Self::PATIENCE, chance).max(after.unwrap_or_default())
            }
            StepError::Stuck(_) => Duration::from_secs(3600),
        }
    }

    /// Writes what was observed and when to look next, and lets go; only while the claim holds (else [`db::Error::Rows`]).
    fn write(
        &self,
        row: &Claimed<Self::Row>,
        after: After<Self::Seen>,
    ) -> impl Future<Output = Result<(), db::Error>> + Send;
}

/// A row and the right to write it.
#[derive(Clone, Debug)]
pub struct Claimed<R> {
    /// Its id, as SQL takes it.
    pub id: Id,
    /// The fencing number.
    pub claim: i64,
    /// How many wishes it had when it was claimed; 0 where wishes are not counted.
    pub wish: i64,
    /// Failures in a row so far.
    pub tries: i32,
    /// The trace that wants it.
    pub trace_parent: Option<String>,
    /// The row.
    pub row: R,
}

/// A row's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// Text, like a percloud's.
    Text(String),
    /// A number, like a mail's.
    Number(i64),
}

impl Id {
    pub(crate) fn as_sql(&self) -> &(dyn tokio_postgres::types::ToSql + Sync) {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number,
        }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// How things are after a step, or without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After<S> {
    /// Like this.
    Seen(S),
    /// The row has gone, or the step has written it itself; there is nothing to write.
    Written,
}

/// What shall happen next after a failure; where it came from is its source.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It is tried again: a time-out, a rate limit, a host that restarts. `after` obeys whoever named a time.
    #[error("will be tried again")]
    Later {
        /// Not before this long.
        after: Option<Duration>,
        /// Where it came from.
        source: anyhow::Error,
    },
    /// A person must look.
    #[error("needs a person")]
    Stuck(#[source] anyhow::Error),
}

impl StepError {
    /// [`StepError::Later`] without a time.
    pub fn later(source: impl Into<anyhow::Error>) -> Self {
        Self::Later { after: None, source: source.into() }
    }

    /// What the operator reads: the chain, joined.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Later { source, .. } => format!("{source:#}"),
            Self::Stuck(source) => format!("needs a person: {source:#}"),
        }
    }
}

impl From<hosts::Error> for StepError {
    fn from(error: hosts::Error) -> Self {
        match error {
            hosts::Error::Unavailable(_) => Self::later(error),
            hosts::Error::Refused(_) => Self::Stuck(error.into()),
        }
    }
}

impl From<db::Error> for StepError {
    fn from(error: db::Error) -> Self {
        match error {
            db::Error::Unavailable(_) | db::Error::Rows(..) => Self::later(error),
            other => Self::Stuck(other.into()),
        }
    }
}

/// When each reconciler last turned and how that went.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Health {
    /// The noun.
    pub noun: String,
    /// When it last turned, or looked and found nothing to do.
    pub turned_at: DateTime<Utc>,
    /// `ok`, `later`, `stuck` or `idle`.
    pub outcome: String,
    /// What the last turn that failed said; none after a success.
    pub last_error: Option<String>,
}

/// How the reconcilers are, for `percloud doctor`.
///
/// # Errors
/// When the database does not answer.
pub async fn health(db: &impl db::GenericClient) -> Result<Vec<Health>, db::Error> {
    let read = |row: &Row| {
        Ok(Health {
            noun: row.try_get("noun")?,
            turned_at: row.try_get("turned_at")?,
            outcome: row.try_get("outcome")?,
            last_error: row.try_get("last_error")?,
        })
    };
    db.query(sql::HEALTH, &[]).await?.iter().map(read).collect()
}
