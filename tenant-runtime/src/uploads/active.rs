//! One request at a time per upload, and the newest wins: a client that comes back after a cut line must not wait
//! until the dead connection is noticed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// Who writes to which upload.
#[derive(Clone, Default)]
pub(super) struct Active(Arc<Mutex<HashMap<String, Slot>>>);

#[derive(Default)]
struct Slot {
    lock: Arc<tokio::sync::Mutex<()>>,
    newest: CancellationToken,
}

/// The right to work on one upload, until dropped.
pub(super) struct Turn {
    _guard: tokio::sync::OwnedMutexGuard<()>,
    /// Fires when a newer request wants the turn.
    pub(super) over: CancellationToken,
}

impl Active {
    /// Asks whoever works on this upload to stop, and waits for it.
    pub(super) async fn enter(&self, id: &str) -> Turn {
        let (lock, over) = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            slots.retain(|key, slot| key == id || Arc::strong_count(&slot.lock) > 1);
            let slot = slots.entry(id.to_owned()).or_default();
            slot.newest.cancel();
            slot.newest = CancellationToken::new();
            (slot.lock.clone(), slot.newest.clone())
        };
        Turn { _guard: lock.lock_owned().await, over }
    }
}
