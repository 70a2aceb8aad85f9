//! HTTP/2 (RFC 9113) as the edge speaks it to visitors.
//!
//! A **driver** reads frames, and sends what there is to be said: all that is ready at one time in one go. Each request is a task of its
//! own ([`answer`]); it says its answer on its [`stream::Stream`], that is, puts frames where the driver finds them. Between them lies the
//! [`state::State`]: windows, what was heard of bodies, what waits to be sent.
//!
//! What is asked most, a GET that ends with its head, never becomes a table of headers: its fields are written for the percloud as they
//! are read, the percloud's head is put into a header block where it stands in the buffer, and a short body goes out with it. All
//! else goes the way that HTTP/1.1's odd requests go ([`super::proxy`]).
//!
//! **Against floods**: whoever breaks off most of what they ask, says much that moves nothing, or sends header blocks without end is sent away
//! (`ENHANCE_YOUR_CALM`); while more waits to be sent, or to be read by perclouds, than should, nothing is read.

mod answer;
mod body;
mod driver;
mod frame;
mod head;
mod hear;
mod hpack;
mod state;
mod stream;
mod tunnel;

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval};

pub(super) use body::Body;
pub(super) use tunnel::Tunnel;

use super::limits;
use super::proxy::Connection;
use super::turns::{Crowd, Turns};
use driver::Driver;

/// Where the requests of a connection are done: each in a task, in turns while its percloud is a crowd.
pub(super) struct Streams {
    pub(super) turns: Arc<Turns>,
    pub(super) crowd: Arc<Crowd>,
}

impl Streams {
    fn spawn(&self, stream: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.turns.clone().along(self.crowd.clone(), stream));
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<T>(connection: Arc<Connection>, io: T, streams: Streams)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let leaving = connection.ending.leaving.clone();
    let mut driver = Driver::new(connection, io, streams);
    let mut round = interval(limits::ROUND);
    // One who was not let work for a while has not been silent for several.
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut last, mut quiet) = (0, Instant::now());
    loop {
        let asked = tokio::select! {
            biased;
            () = std::future::poll_fn(|cx| driver.poll(cx)) => return,
            () = leaving.cancelled(), if !driver.is_leaving() => {
                driver.leave();
                continue;
            }
            _ = round.tick() => driver.round(),
        };
        match asked {
            // Nobody is there any more, or takes what it asked for.
            None => return,
            Some(asked) if asked != last || driver.is_used() => (last, quiet) = (asked, Instant::now()),
            Some(_) if quiet.elapsed() > limits::IDLE && !driver.is_leaving() => driver.leave(),
            Some(_) => {}
        }
    }
}
