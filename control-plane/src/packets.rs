//! What processes of ours say to each other over a `SOCK_SEQPACKET` unix socket: JSON, with descriptors beside it.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Serialize, de::DeserializeOwned};

/// A message is at most this long; the sockets' buffers hold several.
const MESSAGE_MAX: usize = 64 << 10;
/// With a message come at most this many descriptors.
pub(crate) const DESCRIPTORS_MAX: usize = 32;

/// Sends one message.
///
/// # Errors
/// When the other end has gone, or the message is too long.
pub(crate) fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let json = serde_json::to_vec(message)?;
    if json.len() > MESSAGE_MAX {
        return Err(io::Error::other("a message too long for its socket"));
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
///
/// # Errors
/// When a message was cut, or is not what was expected.
pub(crate) fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    take(socket, ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
}

/// The same, of a message that is worth something without what comes with it: this process may have no room for one descriptor more.
///
/// # Errors
/// As [`receive`].
pub(crate) fn receive_what_fits<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    take(socket, ReturnFlags::TRUNC)
}

fn take<T: DeserializeOwned>(socket: BorrowedFd<'_>, wrong: ReturnFlags) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
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
    if got.flags.intersects(wrong) {
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
        send(a.as_fd(), &("seven", 7), &[file.as_fd(), file.as_fd()]).unwrap();
        drop(a);
        let (message, descriptors) = receive::<(String, u8)>(b.as_fd()).unwrap().unwrap();
        assert_eq!((message, descriptors.len()), (("seven".to_owned(), 7), 2));
        assert!(receive::<(String, u8)>(b.as_fd()).unwrap().is_none());
    }
}
