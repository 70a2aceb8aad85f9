//! One edge after another on the same port, without a moment in which nobody listens.
//!
//! ```text
//!   new edge                                   old edge
//!   ── connects to run/edge/PORT.sock ───────▶
//!   ◀───────────────── its listening sockets ──  (and goes on serving)
//!   reads routes and certificates, starts its workers
//!   listens beside run/edge/PORT.sock
//!   ── "go" ─────────────────────────────────▶  takes no more connections; ends each after its request (`Connection: close`,
//!   makes run/edge/PORT.sock its own            GOAWAY), waits for downloads and WebSockets, leaves
//! ```
//! The sockets themselves move (`SCM_RIGHTS`), not just the port: connections that wait in their queues are nobody's to lose.
//! With `SO_REUSEPORT` alone they would die with the listener they happen to wait at. A new edge that dies before its "go"
//! has changed nothing.
//!
//! One at a time: two that had asked the same edge would both serve, and only one of them would be found by the next. So who comes holds
//! `run/edge/PORT.turn` until it is the one, and who comes after it asks it ([`turn`]).

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, socket_with, sockopt,
};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::packets::{DESCRIPTORS_MAX, receive, send};

/// What the old edge says; with each come as many descriptors as it names addresses.
#[derive(Debug, Serialize, Deserialize)]
struct Offer {
    addresses: Vec<SocketAddr>,
    /// There is another message.
    more: bool,
}

/// What the new edge says once it serves.
#[derive(Debug, Serialize, Deserialize)]
struct Go;

/// How long an old edge may take to answer; it has nothing to look up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks whether it is one's turn.
const TURN: Duration = Duration::from_millis(200);

/// Where the edge of a port hands over.
pub(super) fn socket(run: &Path, port: u16) -> PathBuf {
    run.join(format!("{port}.sock"))
}

/// Where the one that comes next listens until it is the one.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("next")
}

/// Waits for one's turn to take the place of the edge at `path`: it lasts for as long as what is given back is kept.
///
/// # Errors
/// When there can be no turns there.
pub(super) async fn turn(path: &Path) -> io::Result<File> {
    make_folder(path);
    let turns = File::options().create(true).append(true).open(path.with_extension("turn"))?;
    let mut waits = false;
    loop {
        match turns.try_lock() {
            Ok(()) => return Ok(turns),
            Err(TryLockError::WouldBlock) if !waits => {
                tracing::info!("another edge is about to take this place; it is waited for");
                waits = true;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        tokio::time::sleep(TURN).await;
    }
}

/// `percloud up` has made it; who starts an edge alone may not have.
fn make_folder(path: &Path) {
    if let Some(folder) = path.parent() {
        let _ = std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(folder);
    }
}

/// An edge that is ready to leave, and what it listened on.
pub(super) struct Predecessor {
    line: OwnedFd,
    listeners: HashMap<SocketAddr, Vec<TcpListener>>,
}

impl Predecessor {
    /// Asks whoever hands over at `path` for its listeners; none when nobody does.
    ///
    /// # Errors
    /// When it is there and does not answer as it should.
    pub(super) fn find(path: &Path) -> anyhow::Result<Option<Self>> {
        let line = packets_socket()?;
        match connect(&line, &SocketAddrUnix::new(path)?) {
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED) => return Ok(None),
            other => other.with_context(|| format!("cannot ask at {}", path.display()))?,
        }
        anyhow::ensure!(is_ours(&line)?, "somebody else's program is at {}", path.display());
        sockopt::set_socket_timeout(&line, sockopt::Timeout::Recv, Some(PATIENCE))?;
        let mut listeners: HashMap<SocketAddr, Vec<TcpListener>> = HashMap::new();
        loop {
            let offer = receive::<Offer>(line.as_fd()).context("the edge that runs does not hand over")?;
            // It is leaving already: what it had is another's.
            let Some((offer, descriptors)) = offer else { return Ok(None) };
            anyhow::ensure!(offer.addresses.len() == descriptors.len(), "listeners were lost on the way");
            for (address, listener) in offer.addresses.into_iter().zip(descriptors) {
                listeners.entry(address).or_default().push(listener.into());
            }
            if !offer.more {
                return Ok(Some(Self { line, listeners }));
            }
        }
    }

    /// What it listened on at this address.
    pub(super) fn take(&mut self, address: SocketAddr) -> Vec<TcpListener> {
        self.listeners.remove(&address).unwrap_or_default()
    }

    /// Tells it to leave: we serve.
    pub(super) fn relieve(self) {
        if let Err(error) = send(self.line.as_fd(), &Go, &[]) {
            // It has died meanwhile; then nobody is to be told.
            tracing::warn!(%error, "the edge before us is gone already");
        }
    }
}

/// Copies of what this edge listens on, for the next one.
#[derive(Clone)]
pub(super) struct Offered(Arc<Mutex<Option<Vec<TcpListener>>>>);

impl Offered {
    /// Lets go of them: a copy that stayed would go on queueing connections that nobody takes. False when they are gone already.
    pub(super) fn withdraw(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    fn is_there(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// Offers `listeners` to the next edge, until they are withdrawn; cancels `leaving` when one has taken them. It is found at `path` from
/// [`announce`] on: should we die before, the edge before us is found there still.
///
/// # Errors
/// When the socket cannot be made.
pub(super) fn offer(path: &Path, listeners: Vec<TcpListener>, leaving: CancellationToken) -> anyhow::Result<Offered> {
    let door = packets_socket()?;
    make_folder(path);
    let beside = beside(path);
    // One who died at this very point left it.
    let _ = std::fs::remove_file(&beside);
    bind(&door, &SocketAddrUnix::new(&beside)?).with_context(|| format!("cannot listen on {}", beside.display()))?;
    listen(&door, 8)?;
    let offered = Offered(Arc::new(Mutex::new(Some(listeners))));
    let ours = offered.clone();
    std::thread::Builder::new().name("handover".to_owned()).spawn(move || {
        while ours.is_there() {
            let line = match accept_with(&door, SocketFlags::CLOEXEC) {
                Ok(line) => line,
                Err(error) => {
                    // Descriptors have run out: to ask again at once would take a processor until some are given back.
                    tracing::warn!(%error, "the next edge cannot be let in");
                    std::thread::sleep(Duration::from_millis(100));
                    continue;
                }
            };
            let (ours, leaving) = (ours.clone(), leaving.clone());
            // Whoever connects may think for long, or die: the next must not wait for it.
            let spawned = std::thread::Builder::new().name("handover-line".to_owned()).spawn(move || {
                match hand_over(&line, &ours) {
                    Ok(true) => leaving.cancel(),
                    Ok(false) => {}
                    Err(error) => tracing::warn!(%error, "a handover that came to nothing"),
                }
            });
            if let Err(error) = spawned {
                tracing::warn!(%error, "no thread for a handover");
            }
        }
    })?;
    Ok(offered)
}

/// Has the next edge find what is offered: in the place of the edge before us, which needs it no more, or of a dead one.
///
/// # Errors
/// When nothing is offered, or the folder cannot be written.
pub(super) fn announce(path: &Path) -> io::Result<()> {
    std::fs::rename(beside(path), path)
}

/// Gives copies away and waits for the word; true once they are the other's.
fn hand_over(line: &OwnedFd, offered: &Offered) -> io::Result<bool> {
    if !is_ours(line)? {
        return Ok(false);
    }
    {
        let ours = offered.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(listeners) = &*ours else { return Ok(false) };
        let mut pieces = listeners.chunks(DESCRIPTORS_MAX).peekable();
        while let Some(piece) = pieces.next() {
            let addresses = piece.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
            let descriptors: Vec<BorrowedFd<'_>> = piece.iter().map(AsFd::as_fd).collect();
            send(line.as_fd(), &Offer { addresses, more: pieces.peek().is_some() }, &descriptors)?;
        }
    }
    if receive::<Go>(line.as_fd())?.is_none() {
        return Ok(false);
    }
    Ok(offered.withdraw())
}

/// The process that hands over at `path` now, as the kernel knows it; none when nobody does.
///
/// # Errors
/// When the socket may not be reached.
pub(crate) fn process_at(run: &Path, port: u16) -> anyhow::Result<Option<i32>> {
    let line = packets_socket()?;
    match connect(&line, &SocketAddrUnix::new(socket(run, port))?) {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED) => Ok(None),
        other => {
            other?;
            Ok(Some(sockopt::socket_peercred(&line)?.pid.as_raw_nonzero().get()))
        }
    }
}

fn packets_socket() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Whether the other end is a process of our own user, or root's.
fn is_ours(line: &OwnedFd) -> io::Result<bool> {
    let uid = sockopt::socket_peercred(line)?.uid;
    Ok(uid.is_root() || uid == rustix::process::geteuid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    fn listeners(count: usize) -> (Vec<TcpListener>, SocketAddr) {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = first.local_addr().unwrap();
        let mut all = vec![first];
        (1..count).for_each(|_| all.push(all[0].try_clone().unwrap()));
        (all, at)
    }

    #[test]
    fn listeners_move_with_whoever_waits_in_their_queues() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.sock");
        assert!(Predecessor::find(&path).unwrap().is_none(), "nobody is there yet");
        // More than go with one message.
        let (all, at) = listeners(DESCRIPTORS_MAX + 3);
        let leaving = CancellationToken::new();
        offer(&path, all, leaving.clone()).unwrap();
        announce(&path).unwrap();
        let mut waiting = TcpStream::connect(at).unwrap();
        waiting.write_all(b"?").unwrap();
        let mut old = Predecessor::find(&path).unwrap().expect("one who hands over");
        let taken = old.take(at);
        assert_eq!(taken.len(), DESCRIPTORS_MAX + 3);
        assert!(!leaving.is_cancelled(), "it leaves when it is told to");
        old.relieve();
        wait(|| leaving.is_cancelled());
        let (mut served, _) = taken[0].accept().unwrap();
        served.write_all(b"!").unwrap();
        let mut answer = [0];
        waiting.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"!");
        drop(taken);
        assert!(TcpStream::connect(at).is_err(), "the old one has kept no copy");
        assert!(Predecessor::find(&path).unwrap().is_none(), "and has nothing to hand over any more");
    }

    #[test]
    fn a_successor_that_dies_first_has_changed_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.sock");
        let (all, at) = listeners(1);
        let leaving = CancellationToken::new();
        offer(&path, all, leaving.clone()).unwrap();
        announce(&path).unwrap();
        drop(Predecessor::find(&path).unwrap().unwrap());
        // Another one comes as far as to offer what it has got, and dies before it has said that it serves.
        let taken = Predecessor::find(&path).unwrap().unwrap().take(at);
        offer(&path, taken, CancellationToken::new()).unwrap().withdraw();
        let mut old = Predecessor::find(&path).unwrap().expect("it is still there");
        assert_eq!(old.take(at).len(), 1);
        assert!(!leaving.is_cancelled());
        old.relieve();
        wait(|| leaving.is_cancelled());
    }

    fn wait(mut look: impl FnMut() -> bool) {
        let end = std::time::Instant::now() + Duration::from_secs(10);
        while !look() {
            assert!(std::time::Instant::now() < end, "waited in vain");
            std::thread::yield_now();
        }
    }
}
