//! Postgres, the only coordinator: a pool per role, [`fn@listen`] for news, [`migrate`] for the schema, [`roles`] for who may what.
//!
//! SQL stands in each noun's `sql.rs`, one const per statement, declared with [`statements!`](crate::statements!) so that one test can prepare
//! every one of them against the real schema. Functions take `&impl GenericClient`; the caller decides on the transaction.

mod answer;
pub mod listen;
pub mod migrate;
mod pool;
pub mod roles;
pub mod statements;
mod words;

pub use answer::in_time;
pub use deadpool_postgres::{GenericClient, Pool, Transaction};
pub use listen::{Wake, listen};
pub use pool::{config, pool};

use tokio_postgres::error::SqlState;

/// What Postgres, or the way to it, said.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection; it may come back.
    #[error("the database does not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A unique constraint, by name, stands against it.
    #[error("there is one already ({0})")]
    Unique(String),
    /// Another number of rows than meant.
    #[error("{0} rows instead of {1}")]
    Rows(u64, u64),
    /// Everything else: a programmer's mistake or a damaged database.
    #[error("the database refused")]
    Refused(#[source] tokio_postgres::Error),
    /// A row that the code cannot read.
    #[error("column {0} holds what it must not")]
    Column(&'static str),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) if *db.code() == SqlState::UNIQUE_VIOLATION => {
                Self::Unique(db.constraint().unwrap_or_default().to_owned())
            }
            Some(db) if passing(db.code()) => Self::Unavailable(error.into()),
            Some(_) => Self::Refused(error),
            // No answer of the server's: closed, cut off, or a value that does not fit. Only the last is our mistake.
            None if std::error::Error::source(&error).is_some_and(|s| s.is::<std::io::Error>())
                || error.is_closed() =>
            {
                Self::Unavailable(error.into())
            }
            None => Self::Refused(error),
        }
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self::Unavailable(error.into())
    }
}

/// Whether a server that says this may say something else a moment later.
fn passing(code: &SqlState) -> bool {
    let class = &code.code()[..2];
    matches!(class, "08" | "53" | "57" | "40")
}

/// A new id: `prefix`, a hyphen and 16 characters of lower-case base 32 (80 random bits).
#[must_use]
pub fn random_id(prefix: char) -> String {
    format!("{prefix}-{}", data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 10]>()).to_lowercase())
}

/// Refuses when a statement touched another number of rows than meant.
///
/// # Errors
/// When it did.
pub fn ensure_affected(affected: u64, meant: u64) -> Result<(), Error> {
    if affected == meant { Ok(()) } else { Err(Error::Rows(affected, meant)) }
}
