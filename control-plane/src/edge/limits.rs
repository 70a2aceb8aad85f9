//! How long and how much: every number that keeps a slow, broken or hostile peer from holding what others need.
//!
//! An upload may be as large as the percloud's quota, and last as long as it moves.

use std::time::Duration;

/// Tests wait for some of these to pass.
const fn seconds(real: u64, in_tests: u64) -> Duration {
    Duration::from_secs(if cfg!(test) { in_tests } else { real })
}

/// From the connection to the end of the TLS handshake.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);
/// For the head of a request, and for silence between two requests on one HTTP/1.1 connection.
pub(super) const REQUEST_HEAD: Duration = seconds(30, 5);
/// An HTTP/2 connection on which nothing is asked.
pub(super) const IDLE: Duration = Duration::from_secs(180);
/// One on which an answer is waited for and the client says nothing: then it is asked whether it is there, and after as long again it is not.
pub(super) const SILENT: Duration = Duration::from_secs(30);
/// Bytes a second of a body, at least, from who sends or takes one, over what it is waited for in all: less than any line has had since
/// modems, and enough that nobody holds a place for next to nothing.
pub(super) const SLOWEST: u64 = 256;
/// A client that sends a body, and sends nothing of it, or hardly anything ([`SLOWEST`]).
pub(super) const REQUEST_BODY: Duration = seconds(60, 5);
/// A client that takes nothing of what it asked for, or hardly anything. A paused film may take this long; the player asks again with a range.
pub(super) const CLIENT_TAKES: Duration = seconds(300, 3);
/// For the first byte of an answer, once the request is all there.
pub(super) const FIRST_BYTE: Duration = Duration::from_secs(120);
/// Between two pieces of an answer: event streams may be silent for long.
pub(super) const RESPONSE_BODY: Duration = Duration::from_secs(900);
/// A WebSocket on which neither side says a thing.
pub(super) const TUNNEL: Duration = Duration::from_secs(900);
/// For a percloud's socket to take a connection; its listener queues while the runtime starts, so only a full queue waits.
pub(super) const CONNECT: Duration = Duration::from_secs(10);
/// How long a client that said `Expect: 100-continue` waits for a runtime that does not answer that.
pub(super) const CONTINUE: Duration = Duration::from_secs(1);
/// How long a connection to a percloud is kept for the next request. Short: it must not look like use.
pub(super) const POOLED: Duration = Duration::from_secs(20);
/// Connections kept for one percloud by all workers: as many as one busy HTTP/2 connection asks for at once.
pub(super) const POOLED_PER_SOCKET: usize = 104;
/// Requests of one percloud at the same time: its crowd must not take the edge from all others, and whoever has all that it may must
/// leave others something of the percloud. With those that are kept they are not more than a runtime takes at the same time (512), however
/// many workers an edge has.
pub(super) const BUSY_PER_TENANT: usize = 400;
/// And of those from one address: half, which is all that two HTTP/2 connections may ask ([`STREAMS`]). A library's readers share one.
pub(super) const BUSY_PER_ADDRESS: usize = BUSY_PER_TENANT / 2;
/// Requests of the portal at the same time, by one worker. One address has a fourth of them.
pub(super) const BUSY_PORTAL: usize = 512;
/// How much larger than a percloud's quota a body may be: a form says something around the file.
pub(super) const BODY_EXTRA: u64 = 1024 * 1024;
/// Connections of one address (an IPv6 network) at the same time, by one worker. Whole villages share an address, so it is high.
pub(super) const CONNECTIONS_PER_ADDRESS: usize = 512;
/// Connections that a worker takes before it looks at everything else.
pub(super) const TAKEN_AT_ONCE: usize = 4;
/// How often a worker looks at its connections.
pub(super) const ROUND: Duration = seconds(15, 1);
/// How long requests in flight may take to end once the edge was asked to.
pub(super) const DRAIN: Duration = Duration::from_secs(10);
/// How long they may take when another edge has its place: nobody waits for the old one, and a large download may be on its way.
pub(super) const LEAVING: Duration = Duration::from_secs(3600);
/// Then, how long a silent HTTP/1.1 connection is kept for one last request, whose answer says that it was the last: hanging up
/// on a client that is just asking would lose its request.
pub(super) const LAST_CALL: Duration = seconds(15, 5);

/// Bytes of a request's head.
pub(super) const HEAD_BYTES: usize = 32 * 1024;
/// Headers of a request: what the HTTP library takes without being told.
pub(super) const HEADERS: usize = 100;
/// Requests at the same time on one HTTP/2 connection: as few as RFC 9113 (§6.5.2) recommends.
pub(super) const STREAMS: u32 = 100;
/// Requests that one HTTP/2 connection may break off before their answer, when they are most of what it asked: each costs us and
/// a percloud a beginning, and the client nothing. Who leaves pages in a hurry breaks off some.
pub(super) const BROKEN_OFF: usize = 200;
/// Frames of one HTTP/2 connection in a [`ROUND`] that move neither a request nor an answer: settings, pings, empty pieces.
pub(super) const CHATTER: usize = 2_000;
/// Frames of one header block: each costs us a look, and may hold nothing.
pub(super) const BLOCK_FRAMES: usize = 32;
/// What a client may send ahead on one HTTP/2 stream, so that uploads are fast over long ways.
pub(super) const STREAM_WINDOW: u32 = 1024 * 1024;
/// The same for all streams of a connection together; it bounds what a slow percloud makes us keep.
pub(super) const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// What all HTTP/2 connections together may have sent ahead of perclouds that do not read: beyond that, nothing more is read from a connection…
pub(super) const UNREAD: usize = if cfg!(test) { 2 << 20 } else { 64 << 20 };
/// …of which more than this waits. Those are looked at again after [`UNREAD_PAUSE`], or when their own has been read.
pub(super) const UNREAD_FREE: usize = 64 * 1024;
pub(super) const UNREAD_PAUSE: Duration = Duration::from_millis(100);
/// Buffer of an HTTP/1.1 connection.
pub(super) const H1_BUFFER: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_percloud_is_asked_more_at_once_than_its_runtime_serves_and_one_address_takes_it_from_nobody() {
        let runtime = include_str!("../../../tenant-runtime/src/serve/connections.rs");
        let said = runtime.lines().find_map(|line| line.strip_prefix("const AT_ONCE: usize = ")?.strip_suffix(';'));
        let serves: usize = said.expect("how many connections a runtime has").parse().unwrap();
        assert!(BUSY_PER_TENANT + POOLED_PER_SOCKET <= serves);
        assert!(BUSY_PER_ADDRESS < serves / 2);
        assert!(STREAMS as usize * 2 <= BUSY_PER_ADDRESS, "a page full of pictures comes whole, beside another one");
    }
}
