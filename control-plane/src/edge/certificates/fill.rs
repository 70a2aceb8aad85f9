//! What is kept is kept up with what there is: in the background, slowly, so that visitors of quiet names find it there.
//!
//! Whoever reads what there is notes what is not kept as it is meant now: everything at first, later what was renewed. A name that nobody
//! visits in two months has its certificate at hand all the same, and when Postgres goes away it is one that lasts.

use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use tokio::sync::Notify;
use tokio::time::{Duration, sleep, timeout};

use super::load::{opened, version};
use super::{AGAIN, Certificates, Id};
use crate::db;
use crate::edge::sql;

/// Read at once.
const BATCH: usize = 200;
/// Between two batches, so that visitors come in between.
const BREATH: Duration = Duration::from_millis(10);
/// How long the answer may take: longer than a statement may.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is not kept as it is meant.
#[derive(Default)]
pub(super) struct Behind {
    ids: Mutex<Vec<Id>>,
    news: Notify,
}

impl Behind {
    /// Notes some.
    pub(super) fn add(&self, ids: impl IntoIterator<Item = Id>) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
        self.news.notify_one();
    }

    /// All that were noted since the last time; waits for some.
    pub(super) async fn all(&self) -> Vec<Id> {
        loop {
            let mut ids = std::mem::take(&mut *self.ids.lock().unwrap_or_else(PoisonError::into_inner));
            if !ids.is_empty() {
                ids.sort_unstable();
                ids.dedup();
                return ids;
            }
            self.news.notified().await;
        }
    }
}

impl Certificates {
    /// Keeps up until dropped, as far as there is room. A database that is away is waited for.
    pub(in crate::edge) async fn fill(&self) {
        loop {
            let mut ids = self.behind.all().await;
            ids.retain(|id| self.kept.has_room_for(*id));
            for batch in ids.chunks(BATCH) {
                let batch: Vec<String> =
                    batch.iter().filter(|id| self.kept.has_room_for(**id)).map(ToString::to_string).collect();
                // Whoever watches the database says why.
                while !batch.is_empty() && self.fill_in(&batch).await.is_err() {
                    sleep(AGAIN).await;
                }
                sleep(BREATH).await;
            }
            self.measure();
            tracing::debug!(certificates = self.kept.len(), "certificates are at hand");
        }
    }

    /// Those with these ids.
    async fn fill_in(&self, ids: &[String]) -> anyhow::Result<()> {
        let source = self.source.get().context("nobody said where certificates are")?;
        let db = source.db.get().await?;
        let rows = timeout(PATIENCE, async { anyhow::Ok(db.query(sql::CERTIFICATES_TO_KEEP, &[&ids]).await?) }).await;
        let rows = db::in_time(db, rows)?;
        let (seal, kept) = (source.seal.clone(), self.kept.clone());
        let put = move || -> anyhow::Result<()> {
            for row in rows {
                let (id, sealed): (&str, &[u8]) = (row.try_get("id")?, row.try_get("key_sealed")?);
                // One that cannot be opened is said so when somebody asks for it.
                if let (Some(parsed), Ok(key)) = (Id::parse(id), opened(&seal, id, sealed)) {
                    kept.put(parsed, version(sealed), row.try_get("chain_pem")?, &key);
                }
            }
            Ok(())
        };
        tokio::task::spawn_blocking(put).await?
    }
}
