//! A percloud that sleeps is woken while its visitor still shakes hands.
//!
//! Whose visitor somebody is stands in the first bytes of their connection. From there to the request are the handshake's work
//! and a way there and back, which over the Internet takes longer than a percloud needs to begin. The connection is kept with
//! the others, and the request finds it there.

use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tokio::net::UnixStream;
use tokio::time::Duration;

use super::line::Line;
use super::pace::{Pace, Share};
use super::routes::Route;
use super::upstream::Pool;

/// Who shakes hands and asks for nothing makes a worker start no more perclouds than this in a second.
const PER_SECOND: u32 = 50;

/// What a worker may do ahead of requests.
pub(super) struct Ahead {
    pace: Pace,
    taken: Share,
}

impl Ahead {
    pub(super) fn new() -> Self {
        Self { pace: Pace::new(PER_SECOND), taken: Share::default() }
    }

    /// A visitor of this route shakes hands: unless a connection to its percloud waits already, or somebody is being answered,
    /// there is one from now on. That there is none in the end is the request's affair. `now` is the time since the edge began.
    pub(super) fn connect(&self, pool: &Pool, route: &Route, now: Duration) {
        let Some(socket) = route.wakes() else { return };
        if pool.has_line(socket) || !self.taken.take(self.pace, now) {
            return;
        }
        if let Ok(stream) = connect_at_once(socket) {
            pool.meter.ahead.increment(1);
            pool.keep_line(socket, Line::new(stream));
        }
    }
}

/// Connects, or fails where that would have to wait.
fn connect_at_once(socket: &Path) -> std::io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&stream, &SocketAddrUnix::new(socket)?)?;
    UnixStream::from_std(std::os::unix::net::UnixStream::from(stream))
}
