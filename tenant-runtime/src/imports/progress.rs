//! How far workers are, and which are at work: in memory, because a worker that is gone begins at its row again.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

/// How far a worker is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// What it does now: `reading`, `storing`, or a section.
    pub(super) step: String,
    /// Bytes (or items) done.
    pub(super) done: u64,
    /// Of so many.
    pub(super) total: u64,
}

static WORKERS: LazyLock<Mutex<HashMap<String, Progress>>> = LazyLock::new(Mutex::default);

fn workers() -> std::sync::MutexGuard<'static, HashMap<String, Progress>> {
    WORKERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to work on one import; ends when dropped.
pub(super) struct Turn(String);

impl Turn {
    /// Takes the turn, unless another worker has it.
    pub(super) fn take(id: &str) -> Option<Self> {
        let mut workers = workers();
        if workers.contains_key(id) {
            return None;
        }
        workers.insert(id.to_owned(), Progress::default());
        Some(Self(id.to_owned()))
    }

    /// Says what is done now.
    pub(super) fn step(&self, step: &str, total: u64) {
        workers().insert(self.0.clone(), Progress { step: step.to_owned(), done: 0, total });
    }

    /// Says that more is done.
    pub(super) fn more(&self, done: u64) {
        if let Some(progress) = workers().get_mut(&self.0) {
            progress.done += done;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        workers().remove(&self.0);
    }
}

/// How far the worker of an import is; none: nobody works on it.
pub(super) fn of(id: &str) -> Option<Progress> {
    workers().get(id).cloned()
}
