//! Answers that come in time, or not at all.

use deadpool_postgres::{Client, Object};
use tokio::time::error::Elapsed;

use super::Error;

/// What was answered on a connection that was given only so long. One that has said nothing by then may be dead without saying so (a
/// database that moved to another machine): it is closed, and so are those that lie idle, which are older; else the next would wait
/// for it as well, and so on, until the kernel gives it up after a quarter of an hour.
///
/// # Errors
/// When it was no answer, or none in time.
pub fn in_time<T, E: From<Error>>(db: Client, answer: Result<Result<T, E>, Elapsed>) -> Result<T, E> {
    answer.unwrap_or_else(|late| {
        if let Some(pool) = Object::pool(&db) {
            pool.retain(|_, _| false);
        }
        drop(Object::take(db));
        Err(Error::Unavailable(late.into()).into())
    })
}
