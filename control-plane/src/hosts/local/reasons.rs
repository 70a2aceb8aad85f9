//! Why a runtime ended, where its end alone does not say it: to the kernel, whoever is ended for memory is just killed.

use std::sync::Arc;

use super::{used::Counters, wire::End};

/// What the operator should hear instead of how it ended; none where that says it all.
pub(super) async fn known_better(end: &End, used: &Arc<Counters>) -> Option<String> {
    if !matches!(end, End::Killed(libc::SIGKILL)) {
        return None;
    }
    let used = used.clone();
    let limit = tokio::task::spawn_blocking(move || used.outgrown()).await.ok()??;
    Some(format!("wanted more memory than the {limit} MiB that it may have (--memory-max), and was ended"))
}
