//! Plain forms, for browsers without JavaScript: one request, not resumable.

use axum::extract::multipart::Field;

use crate::{blobs::Blob, blobs::Blobs, web};

/// Stores one field's content as a blob; `limit` is the most it may be.
///
/// # Errors
/// When it is longer than `limit`, when the line is cut, and when the disk is full; nothing is left behind.
pub async fn store(blobs: &Blobs, field: Field<'_>, limit: u64) -> web::Result<Blob> {
    super::receive::store(blobs, field, limit).await
}
