//! Of one that fills the disk: it is stopped, and the next host shall know.

use std::sync::Arc;

use tokio::time::Instant;

use super::{LEAVE, Unit};
use crate::hosts::local::state::Filled;

impl Unit {
    /// It fills the disk.
    pub(super) async fn stop_filling(&mut self, why: String) {
        if self.run.is_none() && self.troubles.is_stopped(Instant::now()) {
            return; // what it wrote until its end, counted late
        }
        self.drain(LEAVE).await;
        metrics::counter!("percloud_host_stopped_for_disk_total").increment(1);
        tracing::warn!(tenant.id = %self.id, reason = why, "a percloud is put to sleep");
        let times = self.troubles.fills(why.clone(), Instant::now());
        if let Some(known) = &mut self.known {
            let filled = Filled { times, at: self.shared.timetable.now(), why, forgiven: false };
            Arc::make_mut(known).filled = Some(Box::new(filled));
            self.remember().await;
        }
    }

    /// For the next host. This one goes by what it knows, should there be no room to write that down.
    pub(super) async fn remember(&self) {
        if let Err(error) = self.write_down().await {
            tracing::warn!(tenant.id = %self.id, %error, "whether a percloud has filled the disk is not known after a restart");
        }
    }

    /// Waits where nobody is held up: a disk that somebody fills takes seconds for it.
    pub(super) async fn write_down(&self) -> anyhow::Result<()> {
        let (Some(known), shared) = (self.known.clone(), self.shared.clone()) else { return Ok(()) };
        tokio::task::spawn_blocking(move || shared.memory.remember(&known)).await?
    }
}
