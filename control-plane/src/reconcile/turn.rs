//! One turn: claim, look, plan, perform, write.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bundle::Clock;
use tracing::Instrument;

use super::{After, Claimed, Id, Noun, StepError};
use crate::{
    db::{self, GenericClient, Pool},
    telemetry,
};

/// How often a lease of 20 seconds is prolonged: three may be lost.
const HOLD_EVERY: Duration = Duration::from_secs(5);

/// How a turn went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing was due.
    Idle,
    /// A row is as it should be, or one step nearer.
    Ok(Id),
    /// It failed and is tried again.
    Later(Id, String),
    /// It failed and needs a person.
    Stuck(Id, String),
    /// It was cut off, or another worker has the row by now; whoever comes next begins anew.
    Lost(Id),
}

impl Turn {
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Ok(_) => "ok",
            Self::Later(..) | Self::Lost(_) => "later",
            Self::Stuck(..) => "stuck",
        }
    }

    pub(super) fn error(&self) -> Option<&str> {
        match self {
            Self::Later(_, words) | Self::Stuck(_, words) => Some(words),
            Self::Idle | Self::Ok(_) | Self::Lost(_) => None,
        }
    }
}

/// A place in a turn after which a worker may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The row is claimed.
    Claimed,
    /// The world was looked at.
    Looked,
    /// A step was performed, nothing of it is written.
    Performed,
    /// All is written.
    Written,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Claimed, Self::Looked, Self::Performed, Self::Written];
}

/// For tests: asked at every stage whether the worker dies there (true). Nobody asks in earnest.
#[derive(Clone, Default)]
pub struct Stages(Option<Arc<dyn Fn(Stage) -> bool + Send + Sync>>);

impl Stages {
    /// Asks `dies`.
    pub fn new(dies: impl Fn(Stage) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(dies)))
    }

    fn pass(&self, stage: Stage) -> Result<(), Died> {
        if self.0.as_ref().is_some_and(|dies| dies(stage)) { Err(Died) } else { Ok(()) }
    }
}

struct Died;

/// Claims the next due row, if any.
pub(super) async fn claim<N: Noun>(db: &Pool, clock: &Clock) -> Result<Option<Claimed<N::Row>>, db::Error> {
    let db = db.get().await?;
    let statement = db.prepare_cached(N::CLAIM).await?;
    db.query_opt(&statement, &[&clock.now()]).await?.as_ref().map(N::read).transpose()
}

/// One whole turn; what tests call, and what [`keep`](fn@super::keep) does many of at once.
///
/// # Errors
/// When the database does not answer to the claim.
pub async fn turn<N: Noun>(noun: &N, db: &Pool, clock: &Clock, stages: &Stages) -> Result<Turn, db::Error> {
    match claim::<N>(db, clock).await? {
        None => Ok(Turn::Idle),
        Some(claimed) => Ok(work(noun, db, clock, stages, claimed).await),
    }
}

/// The turn from the claim on.
pub(super) async fn work<N: Noun>(
    noun: &N,
    db: &Pool,
    clock: &Clock,
    stages: &Stages,
    claimed: Claimed<N::Row>,
) -> Turn {
    let span = tracing::info_span!("reconcile", noun = N::NAME, id = %claimed.id, step = tracing::field::Empty);
    telemetry::join_trace(&span, claimed.trace_parent.as_deref());
    async {
        let began = Instant::now();
        let turn =
            inside(noun, db, clock, stages, &claimed).await.unwrap_or_else(|Died| Turn::Lost(claimed.id.clone()));
        metrics::histogram!("percloud_reconcile_seconds", "noun" => N::NAME).record(began.elapsed().as_secs_f64());
        metrics::counter!("percloud_reconcile_turns_total", "noun" => N::NAME, "outcome" => turn.outcome())
            .increment(1);
        turn
    }
    .instrument(span)
    .await
}

async fn inside<N: Noun>(
    noun: &N,
    db: &Pool,
    clock: &Clock,
    stages: &Stages,
    claimed: &Claimed<N::Row>,
) -> Result<Turn, Died> {
    stages.pass(Stage::Claimed)?;
    let stepped = tokio::select! {
        stepped = tokio::time::timeout(N::TURN_LIMIT, step(noun, stages, claimed)) => match stepped {
            Ok(stepped) => stepped?,
            Err(_) => Err(StepError::later(anyhow::anyhow!("it took longer than {} s", N::TURN_LIMIT.as_secs()))),
        },
        () = hold::<N>(db, claimed) => {
            tracing::warn!("another worker has it by now; this turn is cut off");
            return Ok(Turn::Lost(claimed.id.clone()));
        }
    };
    stages.pass(Stage::Performed)?;
    let written = match stepped {
        Ok(after) => noun.write(claimed, after).await.map(|()| Turn::Ok(claimed.id.clone())),
        Err(error) => fail::<N>(db, clock, claimed, &error).await,
    };
    stages.pass(Stage::Written)?;
    Ok(written.unwrap_or_else(|error| {
        tracing::warn!(error = words(&error), "what a turn did could not be written; the next one looks anew");
        Turn::Lost(claimed.id.clone())
    }))
}

/// Prolongs the lease again and again; returns when it is another's. A database that is away is no reason to let go: whoever comes late
/// cannot write.
async fn hold<N: Noun>(db: &Pool, claimed: &Claimed<N::Row>) {
    let Some(statement) = N::HOLD else { return std::future::pending().await };
    loop {
        tokio::time::sleep(HOLD_EVERY).await;
        let held = async {
            let db = db.get().await?;
            let statement = db.prepare_cached(statement).await?;
            Ok::<_, db::Error>(db.execute(&statement, &[claimed.id.as_sql(), &claimed.claim]).await?)
        };
        match held.await {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "a lease cannot be prolonged"),
        }
    }
}

async fn step<N: Noun>(
    noun: &N,
    stages: &Stages,
    claimed: &Claimed<N::Row>,
) -> Result<Result<After<N::Seen>, StepError>, Died> {
    let seen = match noun.look(&claimed.row).await {
        Ok(seen) => seen,
        Err(error) => return Ok(Err(error)),
    };
    stages.pass(Stage::Looked)?;
    let Some(step) = N::plan(&claimed.row, &seen) else { return Ok(Ok(After::Seen(seen))) };
    tracing::Span::current().record("step", tracing::field::debug(&step));
    tracing::debug!("step");
    Ok(noun.perform(claimed, seen, step).await)
}

/// Writes the failure down and when to try again.
async fn fail<N: Noun>(
    db: &Pool,
    clock: &Clock,
    claimed: &Claimed<N::Row>,
    error: &StepError,
) -> Result<Turn, db::Error> {
    let (now, words) = (clock.now(), error.words());
    let pause = N::pause(claimed, error, now, rand::random());
    let due = now + chrono::TimeDelta::from_std(pause).unwrap_or(chrono::TimeDelta::hours(1));
    tracing::warn!(error = words, tries = claimed.tries + 1, "a turn failed");
    let db = db.get().await?;
    let affected =
        db.execute(N::FAIL, &[claimed.id.as_sql(), &claimed.claim, &claimed.wish, &now, &due, &words]).await?;
    db::ensure_affected(affected, 1)?;
    Ok(match error {
        StepError::Later { .. } => Turn::Later(claimed.id.clone(), words),
        StepError::Stuck(_) => Turn::Stuck(claimed.id.clone(), words),
    })
}

fn words(error: &db::Error) -> String {
    format!(
        "{:#}",
        anyhow::anyhow!("{error}").context(format!("{:?}", std::error::Error::source(error).map(ToString::to_string)))
    )
}
