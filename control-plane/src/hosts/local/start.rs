//! What a start is made of.

use std::{io, os::fd::OwnedFd, sync::Arc};

use tokio::time::Instant;

use super::{
    logs::Log,
    pressure::Activity,
    schedule::Turn,
    shared::Shared,
    spawn::Running,
    state::Known,
    unit::Run,
    used::Counters,
    wire::{Errand, Start},
};

/// A runtime's files may be as large as its quota, and its database's log has to fit too.
const FILE_EXTRA: u64 = 256 << 20;

impl Shared {
    /// Orders a start of a runtime; whoever visits waits for this.
    pub(super) async fn order_start(
        &self,
        known: &Known,
        listener: &OwnedFd,
        turn: Option<Turn>,
        activity: Activity,
        used: &Arc<Counters>,
    ) -> io::Result<Run> {
        used.may_store(known.spec.quota_bytes);
        let suspended = known.is_suspended();
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let start = Start {
            key: 0,
            id: known.spec.id.clone(),
            uid: known.uid,
            spec: serde_json::to_string(&known.spec)?,
            idle_seconds: self.idle_seconds,
            errand: if turn.is_some() { Errand::Schedule } else { Errand::Visitors },
            egress: self.egress.as_ref().filter(|_| !suspended).map(|key| key.token(&known.spec.id, known.uid)),
            file_max: known.spec.quota_bytes.saturating_add(FILE_EXTRA),
        };
        let since = Instant::now();
        // Before the order: a runtime whose start was called a failure would run, and nobody would hear of its end.
        let log = Log::take(read, self.log(&known.spec.id), activity)?;
        used.begins(suspended);
        let running = match self.in_group(start, listener, write, used).await {
            Ok(running) => running,
            Err(error) => {
                used.begins_not();
                return Err(error);
            }
        };
        let until = suspended.then(|| since + self.suspended);
        Ok(Run { running, log, since, until, may_stay: turn.is_none(), _turn: turn.map(Turn::begin) })
    }

    async fn in_group(
        &self,
        start: Start,
        listener: &OwnedFd,
        log: OwnedFd,
        used: &Arc<Counters>,
    ) -> io::Result<Running> {
        let group = self.groups.as_ref().map_or(Ok(None), |groups| groups.door(&start.id))?;
        self.spawner.start(start, listener, log, group, used.clone()).await
    }
}
