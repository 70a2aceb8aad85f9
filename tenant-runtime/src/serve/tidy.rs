//! Housekeeping, once an hour: what is past its time goes, unnamed content is swept, the status is written.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    activity, auth, due, exports, imports, quota,
    runtime::{Place, Runtime},
    services, status, uploads,
};

/// How often.
const EVERY: TimeDelta = TimeDelta::hours(1);
/// The first page comes before the broom.
const AFTER_START: Duration = Duration::from_secs(3);

/// Keeps house; ends only when the percloud is to be wiped, which is for whoever runs it at home to do. `at_once`: that is what
/// it was started for.
pub(super) async fn forever(rt: &Runtime, at_once: bool) {
    let mut first = at_once.then(|| rt.at_chores());
    if first.is_none() {
        tokio::time::sleep(AFTER_START).await;
    }
    loop {
        let busy = first.take().unwrap_or_else(|| rt.at_chores());
        match once(rt).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => tracing::error!(error = format!("{error:#}"), "housekeeping failed"),
        }
        give_back(rt).await;
        drop(busy);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(600)) => {}
            () = rt.sweep_wanted() => {
                let _busy = rt.at_chores();
                sweep(rt).await;
            }
        }
    }
}

/// What start and housekeeping needed and nobody needs now goes back to the machine: a runtime that waits holds little.
async fn give_back(rt: &Runtime) {
    if let Err(error) = rt.store().rest().await {
        tracing::error!(error = format!("{error:#}"), "the database cannot rest");
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: may be called at any time, by any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Keeps house if it is time. Answers true when the percloud's days are over.
pub(crate) async fn once(rt: &Runtime) -> anyhow::Result<bool> {
    let now = rt.clock().now();
    if rt.store().read(move |db| is_due(db, now)).await? {
        rt.store().write(move |tx| chores(tx, now)).await?;
        sweep(rt).await;
    }
    status::write(rt).await?;
    let owner = rt.store().read(auth::owner).await?;
    let over = owner.and_then(|owner| owner.delete_after).is_some_and(|after| after <= now);
    Ok(over && rt.place() == Place::Home)
}

fn is_due(db: &rusqlite::Connection, now: DateTime<Utc>) -> anyhow::Result<bool> {
    Ok(due::tidied_at(db)?.is_none_or(|done| now - done >= EVERY || done > now))
}

fn chores(tx: &rusqlite::Transaction<'_>, now: DateTime<Utc>) -> anyhow::Result<()> {
    auth::sessions::tidy(tx, now)?;
    activity::tidy(tx, now)?;
    uploads::tidy(tx, now)?;
    exports::tidy(tx, now)?;
    imports::tidy(tx, now)?;
    for service in services::ALL {
        service.tidy(tx, now)?;
    }
    let done = "insert into chores (name, done_at) values ('tidy', ?1)
        on conflict (name) do update set done_at = excluded.done_at";
    tx.execute(done, [now])?;
    Ok(())
}

async fn sweep(rt: &Runtime) {
    let blobs = rt.blobs().clone();
    let swept = rt.store().read(move |db| {
        uploads::sweep(db, &blobs)?;
        // No row names what an import has stored before its section is in, and that may take longer than any time of grace.
        if imports::is_any_at_work(db)? {
            return Ok(0);
        }
        Ok(blobs.sweep_incoming() + blobs.sweep(&quota::named(db)?))
    });
    let swept = swept.await;
    match swept {
        Ok(0) => {}
        Ok(freed) => tracing::info!(freed, "swept"),
        Err(error) => tracing::error!(error = format!("{error:#}"), "cannot sweep"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRuntime;

    #[tokio::test]
    async fn what_a_stop_left_half_written_goes_once_nobody_can_be_writing_to_it() {
        let t = TestRuntime::new();
        let incoming = t.folder().join("blobs/incoming");
        let (left, written) = (incoming.join("left"), incoming.join("written"));
        for file in [&left, &written] {
            std::fs::write(file, "half").unwrap();
        }
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        std::fs::File::options().write(true).open(&left).unwrap().set_modified(long_ago).unwrap();
        once(&t.runtime).await.unwrap();
        assert_eq!((left.exists(), written.exists()), (false, true));
    }
}
