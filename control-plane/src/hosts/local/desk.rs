//! Where a unit gets its orders, and where everybody sees what it is without asking it.
//!
//! Ten thousand of these are there, and a handful has anything to do. A channel of the library's has room for thirty-two
//! orders before the first one comes, and keeps it; this one has none.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bundle::TenantSpec;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::state::Known;
use crate::hosts::{Error, State};

/// With so many orders waiting, a unit is busy.
const BUSY: usize = 4;

/// What a unit can be told.
pub(super) enum Order {
    /// [`crate::hosts::Host::place`]
    Place(Box<TenantSpec>, oneshot::Sender<Result<Seen, Error>>),
    /// [`crate::hosts::Host::retry`]
    Retry(oneshot::Sender<Result<Option<Seen>, Error>>),
    /// [`crate::hosts::Host::remove`]
    Remove(oneshot::Sender<Result<(), Error>>),
    /// Go to sleep: when nothing is going on, or `firmly` as soon as what is going on is done.
    Sleep { firmly: bool },
    /// Go to sleep, for this reason, and do not wake soon.
    StopFilling(String),
}

/// What can be seen of a unit without asking it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// What it is placed with.
    pub(super) known: Arc<Known>,
    /// Whether it runs.
    pub(super) state: State,
    /// Until when it counts as one that has filled the disk ([`crate::hosts::Unit::filled`]).
    pub(super) filled_until: Option<Instant>,
}

/// The desk of one unit.
pub(super) struct Desk {
    on_it: Mutex<OnIt>,
    /// There is an order, or there will be none any more.
    news: Notify,
}

struct OnIt {
    orders: VecDeque<Order>,
    closed: bool,
    seen: Option<Seen>,
}

impl Desk {
    /// Of a unit that is seen as this; not at all until it is placed.
    pub(super) fn new(seen: Option<Seen>) -> Arc<Self> {
        let on_it = OnIt { orders: VecDeque::new(), closed: false, seen };
        Arc::new(Self { on_it: Mutex::new(on_it), news: Notify::new() })
    }

    fn on_it(&self) -> MutexGuard<'_, OnIt> {
        self.on_it.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an order behind those that wait. On a closed desk it is lost, and whoever waits for its answer learns that.
    pub(super) fn put(&self, order: Order) {
        self.put_if(order, |on_it| !on_it.closed);
    }

    /// The same, unless the unit is busy with others; whether it was taken.
    pub(super) fn offer(&self, order: Order) -> bool {
        self.put_if(order, |on_it| !on_it.closed && on_it.orders.len() < BUSY)
    }

    fn put_if(&self, order: Order, takes: impl FnOnce(&OnIt) -> bool) -> bool {
        let mut on_it = self.on_it();
        let taken = takes(&on_it);
        if taken {
            on_it.orders.push_back(order);
            drop(on_it);
            self.news.notify_one();
        }
        taken
    }

    /// The next order, for the unit; none once the desk is closed. An order is not lost when this is not awaited to the end.
    pub(super) async fn next(&self) -> Option<Order> {
        loop {
            {
                let mut on_it = self.on_it();
                if let Some(order) = on_it.orders.pop_front() {
                    if on_it.orders.is_empty() {
                        // Gives its room back.
                        on_it.orders = VecDeque::new();
                    }
                    return Some(order);
                }
                if on_it.closed {
                    return None;
                }
            }
            self.news.notified().await;
        }
    }

    /// Takes no more orders; those that wait are lost.
    pub(super) fn close(&self) {
        let mut on_it = self.on_it();
        on_it.closed = true;
        let lost = std::mem::take(&mut on_it.orders);
        drop(on_it);
        drop(lost);
        self.news.notify_one();
    }

    /// Its unit is gone, or is just going.
    pub(super) fn is_closed(&self) -> bool {
        self.on_it().closed
    }

    /// What the unit is now.
    pub(super) fn show(&self, seen: Option<Seen>) {
        self.on_it().seen = seen;
    }

    /// The same, for whoever wants to know; none until it is placed.
    pub(super) fn seen(&self) -> Option<Seen> {
        self.on_it().seen.clone()
    }

    /// Whether it is placed.
    pub(super) fn is_placed(&self) -> bool {
        self.on_it().seen.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn word(order: Option<Order>) -> String {
        match order {
            Some(Order::StopFilling(why)) => why,
            Some(_) => "another".into(),
            None => "none".into(),
        }
    }

    #[tokio::test]
    async fn orders_are_obeyed_in_turn_and_none_is_lost_by_looking_away() {
        let desk = Desk::new(None);
        assert!(desk.next().now_or_never().is_none(), "nothing to do");
        let waiting = tokio::spawn({
            let desk = desk.clone();
            async move { desk.next().await }
        });
        tokio::task::yield_now().await;
        desk.put(Order::StopFilling("first".into()));
        assert_eq!(word(waiting.await.unwrap()), "first");
        for n in 0..2 * BUSY {
            assert_eq!(desk.offer(Order::StopFilling(n.to_string())), n < BUSY);
        }
        desk.put(Order::StopFilling("urgent".into()));
        for expected in ["0", "1", "2", "3", "urgent"] {
            assert_eq!(word(desk.next().await), expected);
        }
        assert!(desk.next().now_or_never().is_none(), "who is busy is not offered more");
    }

    #[tokio::test]
    async fn whoever_gave_an_order_to_a_unit_that_leaves_hears_that_it_is_gone() {
        let desk = Desk::new(None);
        let (answer, before) = oneshot::channel();
        desk.put(Order::Remove(answer));
        assert!(!desk.is_closed());
        desk.close();
        let (answer, after) = oneshot::channel();
        desk.put(Order::Remove(answer));
        assert!(before.await.is_err() && after.await.is_err());
        assert!(desk.is_closed() && desk.next().await.is_none());
    }
}
