//! When a percloud under a host goes to sleep: nobody has come for a while, nothing is going on, and nothing is due soon.

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::signal::unix::{SignalKind, signal};

use super::{End, tidy};
use crate::{due, pulse::Patience, runtime::Runtime, status};

/// How long nobody may have come before we leave, when the host does not say.
const PATIENCE: Duration = Duration::from_secs(300);
/// Whoever made the host start us asks within this time; who is no person then does not keep us.
const UNVISITED: Duration = Duration::from_secs(10);
/// Started by the timetable, we leave so soon after the work is done.
const SCHEDULED: Duration = Duration::from_secs(1);
/// For what is due within this time it is not worth going to sleep.
const SOON: TimeDelta = TimeDelta::minutes(2);

/// How this process goes to sleep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sleep {
    patience: Patience,
    /// The host started us since we had said that we want to run now.
    pub(super) scheduled: bool,
}

impl Sleep {
    /// With this patience; for tests.
    #[cfg(test)]
    pub(super) fn after(patience: Patience) -> Self {
        Self { patience, scheduled: false }
    }

    /// As the host says: `PERCLOUD_IDLE_SECONDS`, and `PERCLOUD_WOKEN=schedule` when nobody has come.
    pub(super) fn from_environment() -> anyhow::Result<Self> {
        let usual = match std::env::var("PERCLOUD_IDLE_SECONDS") {
            Err(_) => PATIENCE,
            Ok(seconds) => {
                let seconds: f64 = seconds.parse().context("PERCLOUD_IDLE_SECONDS is not a number")?;
                Duration::try_from_secs_f64(seconds.max(0.05)).context("PERCLOUD_IDLE_SECONDS is out of range")?
            }
        };
        let scheduled = std::env::var_os("PERCLOUD_WOKEN").is_some_and(|by| by == "schedule");
        let unvisited = if scheduled { SCHEDULED } else { UNVISITED }.min(usual);
        Ok(Self { patience: Patience { usual, unvisited }, scheduled })
    }

    /// Returns when it is time to leave. The host asks for it early, by SIGUSR1, when memory is short.
    pub(super) async fn time_to_leave(self, rt: &Runtime) -> anyhow::Result<End> {
        let mut asked = signal(SignalKind::user_defined1()).context("cannot listen for SIGUSR1")?;
        let hurry = async {
            while asked.recv().await.is_some() {
                rt.hurry();
            }
            std::future::pending().await
        };
        tokio::select! {
            end = self.idle(rt) => Ok(end),
            never = hurry => never,
        }
    }

    async fn idle(self, rt: &Runtime) -> End {
        loop {
            rt.idle(self.patience).await;
            if rt.is_hurried() {
                return End::Hurried;
            }
            let Some(wait) = soon(rt).await else { return End::Idle };
            rt.pause(wait).await;
            if rt.is_hurried() {
                // Somebody may have come meanwhile. What is due soon is told to the host, and it starts us for it.
                continue;
            }
            let _busy = rt.at_chores();
            if let Err(error) = tidy::once(rt).await {
                tracing::error!(error = format!("{error:#}"), "housekeeping failed");
                return End::Idle;
            }
        }
    }
}

/// How long it is until work that is due soon. What is due already has had its turn.
async fn soon(rt: &Runtime) -> Option<Duration> {
    let now = rt.clock().now();
    let next = match next(rt, now).await {
        Ok(next) => next?,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "what is due next cannot be read");
            return None;
        }
    };
    (next > now && next <= now + SOON).then(|| (next - now).to_std().unwrap_or_default())
}

/// When it next wants to run. What was told to the host last is still true when nobody has looked at the store since.
async fn next(rt: &Runtime, now: DateTime<Utc>) -> anyhow::Result<Option<DateTime<Utc>>> {
    if rt.store().is_untouched() {
        return Ok(status::read(rt.folder()).and_then(|told| told.wake_at));
    }
    rt.store().read(move |db| due::next(db, now)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRuntime;

    #[tokio::test]
    async fn it_stays_for_what_is_due_within_two_minutes_and_for_nothing_else() {
        let mut t = TestRuntime::new();
        assert_eq!(soon(&t.runtime).await, None, "nothing is due");
        t.sign_in().await;
        t.clock.advance(crate::auth::sessions::LIFE - TimeDelta::minutes(3));
        assert_eq!(soon(&t.runtime).await, None, "in three minutes");
        t.clock.advance(TimeDelta::minutes(1));
        assert_eq!(soon(&t.runtime).await, None, "in two minutes and a second");
        t.clock.advance(TimeDelta::seconds(1));
        assert_eq!(soon(&t.runtime).await, Some(Duration::from_secs(120)));
        t.clock.advance(TimeDelta::minutes(2));
        assert_eq!(soon(&t.runtime).await, None, "it is due now, and housekeeping sees to it");
    }

    #[tokio::test]
    async fn in_a_hurry_it_does_not_wait_for_what_is_due_soon() {
        let mut t = TestRuntime::new();
        t.sign_in().await;
        t.clock.advance(crate::auth::sessions::LIFE - TimeDelta::seconds(100));
        assert!(soon(&t.runtime).await.is_some_and(|wait| wait > Duration::from_secs(90)));
        let sleep = Sleep::after(Patience::of(Duration::ZERO));
        let mut leaves = std::pin::pin!(sleep.idle(&t.runtime));
        let a_while = tokio::time::timeout(Duration::from_millis(500), &mut leaves).await;
        assert!(a_while.is_err(), "it stays for it");
        t.runtime.hurry();
        let end = tokio::time::timeout(Duration::from_secs(60), leaves).await;
        assert!(matches!(end, Ok(End::Hurried)), "at once, not when it has come");
    }
}
