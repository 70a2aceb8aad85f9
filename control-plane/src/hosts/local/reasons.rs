//! Why a runtime ended, where its end alone does not say it: whoever is ended for memory, or by us, is just killed.

use std::sync::Arc;

use super::{used::Counters, wire::End};

/// What the operator should hear instead of how it ended; none where that says it all.
pub(super) async fn known_better(end: &End, used: &Arc<Counters>) -> Option<String> {
    if !matches!(end, End::Killed(libc::SIGKILL)) {
        return None;
    }
    if let Some(why) = used.unlimited() {
        return Some(why);
    }
    let used = used.clone();
    let limit = tokio::task::spawn_blocking(move || used.outgrown()).await.ok()??;
    Some(format!("wanted more memory than the {limit} MiB that it may have (--memory-max), and was ended"))
}
