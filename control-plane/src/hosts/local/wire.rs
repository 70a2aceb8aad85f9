//! What host and spawner say to each other over a pair of sockets: JSON, with descriptors beside it.

use std::{
    collections::BTreeSet,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use bundle::TenantId;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::layers::{Finding, Kind};

/// A message is at most this long; the sockets' buffers hold several.
const MESSAGE_MAX: usize = 64 << 10;
/// With a message come at most this many descriptors.
const DESCRIPTORS_MAX: usize = 2;

/// What the host tells the spawner.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// First of all. Comes with the descriptor of the lock that says a host is running.
    Prepare(Prepare),
    /// Start a runtime. Comes with its listening socket and the writing end of its log.
    Start(Box<Start>),
    /// Ask a runtime to end.
    Term(u64),
    /// End a runtime.
    Kill(u64),
}

/// What the spawner must know once.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Prepare {
    /// The folder of all perclouds' folders.
    pub(super) tenants: PathBuf,
    /// An empty folder to mount things on.
    pub(super) stage: PathBuf,
    /// The runtime's program.
    pub(super) runtime: PathBuf,
    /// Layers that may be missing.
    pub(super) allow_missing: BTreeSet<Kind>,
    /// The user (and group) that the trial run of the sandbox uses, when the host is root.
    pub(super) probe_uid: u32,
    /// The folder in `tenants` that the trial run uses.
    pub(super) probe_folder: String,
}

/// One start.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    /// The host's number for it, never reused.
    pub(super) key: u64,
    /// Whose.
    pub(super) id: TenantId,
    /// Its user and group, when the host is root.
    pub(super) uid: u32,
    /// The value of `PERCLOUD_SPEC`.
    pub(super) spec: String,
    /// The value of `PERCLOUD_IDLE_SECONDS`.
    pub(super) idle_seconds: u64,
    /// No file of its may become larger.
    pub(super) file_max: u64,
}

/// What the spawner tells the host.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// It is ready; this is what it found.
    Ready(Vec<Finding>),
    /// It cannot do its work.
    Hopeless(String),
    /// A runtime has ended.
    Ended(u64, End),
}

/// How a runtime ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    /// By itself, with this code.
    Left(i32),
    /// By this signal.
    Killed(i32),
    /// It never began.
    NotStarted(String),
}

/// Sends one message.
pub(super) fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    if json.len() > MESSAGE_MAX {
        return Err(io::Error::other("a message too long for the spawner"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors"));
    }
    loop {
        match sendmsg(socket, &[IoSlice::new(&json)], &mut control, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(()),
        }
    }
}

/// The next message; none when the other end has gone.
pub(super) fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; MESSAGE_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        match recvmsg(socket.as_fd(), &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            // What a dead peer leaves behind when it had not read everything.
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            other => break other?,
        }
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(these) = message {
            descriptors.extend(these);
        }
    }
    if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::other("a message was cut"));
    }
    if got.bytes == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&bytes[..got.bytes])?, descriptors)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[test]
    fn a_message_arrives_with_its_descriptors_and_then_the_end() {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let file = tempfile::tempfile().unwrap();
        send(a.as_fd(), &Order::Term(7), &[file.as_fd(), file.as_fd()]).unwrap();
        drop(a);
        let (order, descriptors) = receive::<Order>(b.as_fd()).unwrap().unwrap();
        assert!(matches!(order, Order::Term(7)));
        assert_eq!(descriptors.len(), 2);
        assert!(receive::<Order>(b.as_fd()).unwrap().is_none());
    }
}
