//! What a percloud notices comes one after the other, instead of one here and one there.
//!
//! Whoever is written to and sleeps must be woken, which costs more than the write; and to read what it wrote wakes it, too, since it
//! has room again. Where each request is read, looked at and passed on in one go, a percloud has answered it and sleeps again
//! before the next one comes. So before a task writes to a percloud, and when it has read from one, it lets all others that
//! are ready come as far; then the percloud is woken once for many.

use std::future::poll_fn;
use std::task::Poll;

/// Lets every other task that is ready now go first; where none is, that is nothing. Unlike tokio's own `yield_now` it does not look
/// for what has come meanwhile: that is a system call, and what has just come is not as far.
pub(super) async fn after_others() {
    let mut waited = false;
    let once = poll_fn(|context| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    });
    once.await;
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[tokio::test]
    async fn all_come_to_the_same_point_before_one_goes_on() {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let set = tokio::task::LocalSet::new();
        for name in ["a", "b", "c"] {
            let seen = seen.clone();
            set.spawn_local(async move {
                seen.borrow_mut().push(format!("{name} reads"));
                after_others().await;
                seen.borrow_mut().push(format!("{name} writes"));
            });
        }
        set.await;
        assert_eq!(*seen.borrow(), ["a reads", "b reads", "c reads", "a writes", "b writes", "c writes"]);
    }
}
