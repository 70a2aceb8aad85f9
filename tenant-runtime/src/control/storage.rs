//! What uses the room.

use axum::{extract::State, response::Response};
use serde::Serialize;

use crate::{
    blobs::Hash,
    quota,
    runtime::Runtime,
    services,
    web::{Request, Result, page},
};

/// What uses the room.
#[derive(Clone, Debug, Serialize)]
pub struct Storage {
    /// Bytes in use.
    pub used: u64,
    /// Bytes that may be used.
    pub quota: u64,
    /// What uses them, the largest first.
    pub parts: Vec<Part>,
}

/// One thing that uses room.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// Its name: a service's, `words` (the database), `leaving` (deleted, not swept away yet) or `you` (the picture).
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// Of a thousand parts of what is in use.
    pub share: u64,
}

impl ui::Page for Storage {
    const TEMPLATE: &'static str = "core/storage.html";
    fn samples() -> Vec<Self> {
        let part = |name: &str, bytes, share| Part { name: name.to_owned(), bytes, share };
        let parts = vec![
            part("files", 8_000_000_000, 800),
            part("posts", 1_000_000_000, 100),
            part("bookmarks", 100_000_000, 10),
            part("leaving", 700_000_000, 70),
            part("words", 199_000_000, 19),
            part("you", 1_000_000, 1),
        ];
        vec![
            Self { used: 10_000_000_000, quota: 10_000_000_000, parts },
            Self { used: 0, quota: 5_000_000, parts: vec![] },
        ]
    }
}

/// GET `/control/storage`.
pub(super) async fn show(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    let (blobs, quota_bytes) = (rt.blobs().clone(), rt.spec().quota_bytes);
    let storage = rt.store().read(move |db| {
        let used = quota::used(db)?;
        let mut parts: Vec<(&str, u64)> = Vec::new();
        for service in services::ALL {
            parts.push((service.name(), blobs.size_of(&unique(service.blobs(db)?))));
        }
        let picture = crate::settings::get(db)?.avatar.map(|picture| picture.blob.sha256);
        parts.push(("you", blobs.size_of(&Vec::from_iter(picture))));
        let named = blobs.size_of(&quota::named(db)?);
        parts.push(("leaving", blobs.used().saturating_sub(named)));
        parts.push(("words", used.saturating_sub(blobs.used())));
        Ok(Storage { used, quota: quota_bytes, parts: shares(parts, used) })
    });
    page(&rt, &req, &storage.await?)
}

fn unique(mut hashes: Vec<Hash>) -> Vec<Hash> {
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

fn shares(parts: Vec<(&str, u64)>, used: u64) -> Vec<Part> {
    let share =
        |bytes: u64| u64::try_from(u128::from(bytes) * 1000 / u128::from(used.max(1))).unwrap_or(1000).min(1000);
    let parts = parts.into_iter().filter(|(_, bytes)| *bytes > 0);
    let mut parts: Vec<Part> =
        parts.map(|(name, bytes)| Part { name: name.to_owned(), bytes, share: share(bytes) }).collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
    parts
}
