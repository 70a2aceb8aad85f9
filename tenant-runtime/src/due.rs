//! When this percloud next wants to run although nobody asks for it. What a thing's `tidy` would find to do has a date in
//! the database; the earliest of them is told to the host, which wakes us then.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension};

use crate::{activity, auth, exports, imports, services, uploads};

/// Housekeeping wakes a percloud once in this time at most: what is past its time for some hours does no harm, since nobody
/// is shown it any more.
const HOUSEKEEPING: TimeDelta = TimeDelta::days(1);

/// The next moment of unasked work; none when there is nothing to wait for.
///
/// # Errors
/// When the store does not answer.
pub fn next(db: &Connection, now: DateTime<Utc>) -> anyhow::Result<Option<DateTime<Utc>>> {
    let from = tidied_at(db)?.map_or(now, |at| at + HOUSEKEEPING);
    let mut dates =
        vec![auth::sessions::due(db)?, activity::due(db)?, uploads::due(db)?, exports::due(db)?, imports::due(db)?];
    for service in services::ALL {
        dates.push(service.due(db)?);
    }
    // A second later, so that what is kept until then is over then.
    let first = dates.into_iter().flatten().min().and_then(|at| at.checked_add_signed(TimeDelta::seconds(1)));
    let housekeeping = first.map(|at| at.max(from));
    Ok(soonest([housekeeping, imports::unfinished(db, now)?]))
}

/// When housekeeping was last done.
///
/// # Errors
/// When the store does not answer.
pub fn tidied_at(db: &Connection) -> anyhow::Result<Option<DateTime<Utc>>> {
    Ok(db.query_row("select done_at from chores where name = 'tidy'", [], |row| row.get(0)).optional()?)
}

/// The earliest of some moments.
#[must_use]
pub fn soonest<const N: usize>(moments: [Option<DateTime<Utc>>; N]) -> Option<DateTime<Utc>> {
    moments.into_iter().flatten().min()
}

/// The first moment of a column (`select min(…) …`), so much later.
///
/// # Errors
/// When the store does not answer.
pub fn first(db: &Connection, sql: &str, later: TimeDelta) -> anyhow::Result<Option<DateTime<Utc>>> {
    let at: Option<DateTime<Utc>> = db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    // What would end after the end of all calendars never does.
    Ok(at.and_then(|at| at.checked_add_signed(later)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{services::bookmarks, testing::TestRuntime};

    async fn due(t: &TestRuntime) -> Option<DateTime<Utc>> {
        let now = t.clock.now();
        t.runtime.store().read(move |db| next(db, now)).await.unwrap()
    }

    #[tokio::test]
    async fn the_first_thing_that_is_past_its_time_is_what_it_wakes_for_but_once_a_day_at_most() {
        let mut t = TestRuntime::new();
        let start = t.clock.now();
        assert_eq!(due(&t).await, None, "nothing is in it");
        t.sign_in().await;
        let second = TimeDelta::seconds(1);
        assert_eq!(due(&t).await, Some(start + auth::sessions::LIFE + second), "the session ends");

        let trashed = start + TimeDelta::hours(2);
        t.runtime
            .store()
            .write(move |tx| {
                tx.execute(
                    "insert into bookmarks values ('b', 1, 'u', 'u', '', '', 'private', '', ?1, ?1, ?1)",
                    [trashed],
                )?;
                tx.execute("insert into files_undo values ('u', ?1, '[]')", [start])?;
                tx.execute("insert into chores values ('tidy', ?1)", [start])?;
                Ok(())
            })
            .await
            .unwrap();
        assert_eq!(due(&t).await, Some(start + TimeDelta::days(1) + second), "what Undo would put back is over");
        t.clock.advance(TimeDelta::days(3));
        assert_eq!(due(&t).await, Some(start + TimeDelta::days(1) + second), "long due");
        crate::serve::tidy::once(&t.runtime).await.unwrap();
        let trash = trashed + TimeDelta::days(bookmarks::TRASH_DAYS) + second;
        assert_eq!(due(&t).await, Some((start + auth::sessions::LIFE + second).min(trash)));
        let told: crate::status::Status =
            serde_json::from_slice(&std::fs::read(t.folder().join(crate::status::FILE)).unwrap()).unwrap();
        assert_eq!(told.wake_at, due(&t).await, "the host is told");

        // All is over at once on the same day: it wakes for the first, does both, and has a day of peace.
        t.clock.advance(TimeDelta::days(40));
        crate::serve::tidy::once(&t.runtime).await.unwrap();
        assert_eq!(due(&t).await, None, "nothing is left that ends");
    }

    #[tokio::test]
    async fn a_date_at_the_end_of_the_calendar_is_no_date_to_wake_for() {
        let t = TestRuntime::new();
        let write = |tx: &rusqlite::Transaction<'_>| {
            let sql = "insert into bookmarks values ('b', 1, 'u', 'u', '', '', 'private', '', ?1, ?1, ?1)";
            Ok(tx.execute(sql, [DateTime::<Utc>::MAX_UTC])?)
        };
        t.runtime.store().write(write).await.unwrap();
        assert_eq!(due(&t).await, None);
    }

    #[tokio::test]
    async fn an_import_that_was_broken_off_is_gone_on_with_at_once_and_once_a_day_when_that_does_not_help() {
        let t = TestRuntime::new();
        let start = t.clock.now();
        t.runtime
            .store()
            .write(move |tx| {
                let sql = "insert into imports (id, file_name, sha256, size, state, created_at)
                    values ('i', 'ada.zip', zeroblob(32), 1, 'importing', ?1)";
                Ok(tx.execute(sql, [start])?)
            })
            .await
            .unwrap();
        t.clock.advance(TimeDelta::hours(1));
        assert_eq!(due(&t).await, Some(t.clock.now()));
        t.clock.advance(TimeDelta::days(2));
        assert_eq!(due(&t).await, Some(t.clock.now() + TimeDelta::days(1)));
    }
}
