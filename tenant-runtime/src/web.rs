//! What handlers share: errors and how a page is answered.

use axum::response::{IntoResponse, Response};
use http::StatusCode;

/// Why a request was not done; one place turns it into a page or problem+json (RFC 9457), by Accept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing, or it is not yours.
    #[error("not found")]
    NotFound,
    /// Sign in first.
    #[error("signed out")]
    SignedOut,
    /// The input was refused; the key of the message that says why and what to do.
    #[error("refused: {0}")]
    Invalid(&'static str),
    /// It clashes with what is there.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// Too much at once; seconds to wait.
    #[error("too many requests")]
    TooMany(u64),
    /// No room: quota (or disk) is used up.
    #[error("no room left")]
    NoRoom,
    /// The rest: logged once with an id, and the visitor sees the id only.
    #[error(transparent)]
    Internal(#[from] anyhow::Error),
}

/// What handlers return.
pub type Result<T> = std::result::Result<T, Error>;

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::SignedOut => StatusCode::UNAUTHORIZED,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NoRoom => StatusCode::INSUFFICIENT_STORAGE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        status.into_response()
    }
}
