//! Why a request was not done.

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::problem::Problem;

/// Why a request was not done; one place turns it into a page or problem+json (RFC 9457), by Accept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing, or it is not yours.
    #[error("not found")]
    NotFound,
    /// It was here once and is gone for good.
    #[error("gone")]
    Gone,
    /// Sign in first.
    #[error("signed out")]
    SignedOut,
    /// It may not be done, whoever asks; the key of the message that says why.
    #[error("forbidden: {0}")]
    Forbidden(&'static str),
    /// The input was refused; the key of the message that says why and what to do.
    #[error("refused: {0}")]
    Invalid(&'static str),
    /// It clashes with what is there.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// More was sent than is taken.
    #[error("too large")]
    TooLarge,
    /// Too much at once; seconds to wait.
    #[error("too many requests")]
    TooMany(u64),
    /// No room: quota (or disk) is used up.
    #[error("no room left")]
    NoRoom,
    /// The rest: logged once with an id, and the visitor sees the id only.
    #[error("internal error")]
    Internal(#[source] anyhow::Error),
}

/// What handlers return.
pub type Result<T> = std::result::Result<T, Error>;

/// An [`Error`] that went through a store's transaction as an anyhow error comes out as what it was; a full disk is no
/// fault of ours either.
impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(known) => known,
            Err(error) if error.chain().any(is_full) => Self::NoRoom,
            Err(error) => Self::Internal(error),
        }
    }
}

fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    let sqlite = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    matches!(io, Some(StorageFull | QuotaExceeded | FileTooLarge)) || sqlite == Some(rusqlite::ErrorCode::DiskFull)
}

macro_rules! internal {
    ($($from:ty),+) => {$(
        impl From<$from> for Error {
            fn from(error: $from) -> Self { anyhow::Error::from(error).into() }
        }
    )+};
}
internal!(
    http::header::InvalidHeaderValue,
    rusqlite::Error,
    std::io::Error,
    serde_json::Error,
    http::Error,
    tokio::task::JoinError
);

impl Error {
    fn problem(&self) -> Problem {
        let (status, key, wait) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "error.not-found", None),
            Self::Gone => (StatusCode::GONE, "error.gone", None),
            Self::SignedOut => (StatusCode::UNAUTHORIZED, "error.signed-out", None),
            Self::Forbidden(key) => (StatusCode::FORBIDDEN, *key, None),
            Self::Invalid(key) => (StatusCode::UNPROCESSABLE_ENTITY, *key, None),
            Self::Conflict(key) => (StatusCode::CONFLICT, *key, None),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "error.too-large", None),
            Self::TooMany(wait) => (StatusCode::TOO_MANY_REQUESTS, "error.too-many", Some(*wait)),
            Self::NoRoom => (StatusCode::INSUFFICIENT_STORAGE, "error.no-room", None),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "error.internal", None),
        };
        Problem { status, key, wait, source: None }
    }
}

/// Says what went wrong to [`super::explain`], which knows who asked and writes the page.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut problem = self.problem();
        let mut response = problem.status.into_response();
        if let Self::Internal(error) = self {
            problem.source = Some(format!("{error:#}").into());
        }
        response.extensions_mut().insert(problem);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn an_error_keeps_its_meaning_on_its_way_through_a_transaction() {
        let through = |error: anyhow::Error| Error::from(error.context("while storing"));
        assert!(matches!(Error::from(anyhow::Error::from(Error::NotFound)), Error::NotFound));
        assert!(matches!(through(Error::NoRoom.into()), Error::NoRoom));
        assert!(matches!(through(std::io::Error::from_raw_os_error(28).into()), Error::NoRoom));
        assert!(matches!(through(anyhow::anyhow!("else")), Error::Internal(_)));
    }
}
