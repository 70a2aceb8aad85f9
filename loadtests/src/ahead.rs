//! A client that stands for people at other machines: it does not wait for a processor of this one.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether all threads so far were allowed to go ahead.
static ALLOWED: AtomicBool = AtomicBool::new(true);

/// From now on this thread goes ahead of all that run as usual (`SCHED_RR`); what it starts does not. Who may not do that measures a
/// client that waits like everybody.
pub(crate) fn go() {
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: the call reads what it is given, and changes this thread only.
    if unsafe { libc::sched_setscheduler(0, policy, &raw const priority) } != 0 {
        ALLOWED.store(false, Ordering::Relaxed);
    }
}

/// Whether threads that asked for it go ahead.
pub(crate) fn allowed() -> bool {
    ALLOWED.load(Ordering::Relaxed)
}
