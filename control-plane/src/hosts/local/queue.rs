//! Who waits in a percloud's socket to be accepted.
//!
//! Whether *anybody* waits is soon asked. Whether it is *the same one* as before tells a runtime that never looked at its visitor from one
//! that went to sleep in the moment in which the next came; only the kernel's account of its sockets (`sock_diag(7)`) says that.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::fstat,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with},
};

/// `SOCK_DIAG_BY_FAMILY`: the kind of the question, and of its answer.
const BY_FAMILY: u16 = 20;
/// `UDIAG_SHOW_ICONS`: tell who waits to be accepted.
const SHOW_WAITING: u32 = 0x8;
/// `UNIX_DIAG_ICONS`: they are in this part of the answer.
const WAITING: u16 = 3;
/// Bytes of each of the two heads of an answer.
const HEADER: usize = 16;
/// `NLM_F_REQUEST`
const REQUEST: u16 = 1;
/// Bytes of a question.
const LENGTH: u32 = 40;

/// The first of those who wait: all others came later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// The number of its end of the connection; 0 when it has hung up since.
    Known(u32),
    /// The kernel does not say.
    Unknown,
}

impl First {
    /// Whether both may be the same. One that has hung up may have been anybody: who wants to pass for another must not gain by that.
    /// Of a kernel that says nothing at all (one without `unix_diag`) nothing is concluded: where somebody waits always, each run would
    /// look like one in vain. There only counts how long a run was.
    pub(super) fn may_be(self, other: Self) -> bool {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => false,
            (Self::Known(0), _) | (_, Self::Known(0)) => true,
            (one, other) => one == other,
        }
    }
}

/// Who waits first; none where nobody does. Some 30 µs, and next to nothing when nobody does.
pub(super) fn first(listener: &OwnedFd) -> Option<First> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&now)) == Ok(0) {
        return None;
    }
    match ask(listener) {
        Ok(answer) => first_of(&answer).map_or(Some(First::Unknown), |number| number.map(First::Known)),
        Err(_) => Some(First::Unknown),
    }
}

/// Asks the kernel for the one socket. It answers while the question is sent: nothing here waits.
fn ask(listener: &OwnedFd) -> io::Result<Vec<u8>> {
    let number = u32::try_from(fstat(listener)?.st_ino).map_err(io::Error::other)?;
    let kernel = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))?;
    send(&kernel, &question(number), SendFlags::empty())?;
    let mut answer = vec![0; 4096];
    let (_, length) = recv(kernel.as_fd(), &mut answer[..], RecvFlags::DONTWAIT)?;
    answer.truncate(length);
    Ok(answer)
}

/// `nlmsghdr` and `unix_diag_req`: in any state, this number, whoever waits there, whichever time this number was given out.
fn question(number: u32) -> Vec<u8> {
    let family = AddressFamily::UNIX.as_raw() as u8;
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<_>>();
    let mut bytes = words(&[LENGTH]);
    bytes.extend([BY_FAMILY, REQUEST].iter().flat_map(|short| short.to_ne_bytes()));
    bytes.extend(words(&[0, 0]));
    bytes.extend([family, 0, 0, 0]);
    bytes.extend(words(&[u32::MAX, number, SHOW_WAITING, u32::MAX, u32::MAX]));
    bytes
}

/// `nlmsghdr`, `unix_diag_msg`, and what was asked for, each with its length and its kind. None where it is no such answer.
fn first_of(answer: &[u8]) -> Option<Option<u32>> {
    let short = |bytes: &[u8], at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    if short(answer, 4)? != BY_FAMILY {
        return None;
    }
    let mut parts = answer.get(2 * HEADER..)?;
    while let (Some(length), Some(kind)) = (short(parts, 0), short(parts, 2)) {
        if kind == WAITING {
            return Some(parts.get(4..8).and_then(|first| first.try_into().ok()).map(u32::from_ne_bytes));
        }
        parts = parts.get(usize::from(length).max(4).next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::{
        fs::MetadataExt,
        net::{UnixListener, UnixStream},
    };

    #[test]
    fn the_kernel_says_who_waits_first_and_whether_it_is_the_same_as_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sock");
        let listener = UnixListener::bind(&path).unwrap();
        let ours = OwnedFd::from(listener.try_clone().unwrap());
        assert_eq!(first(&ours), None);
        let visitors = [(); 3].map(|()| UnixStream::connect(&path).unwrap());
        let number = |visitor: &UnixStream| {
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(visitor));
            u32::try_from(std::fs::metadata(path).unwrap().ino()).unwrap()
        };
        let [one, two, three] = visitors;
        let before = first(&ours).unwrap();
        assert_eq!(before, First::Known(number(&one)));
        assert!(before.may_be(first(&ours).unwrap()), "nobody was let in");
        listener.accept().unwrap();
        let after = first(&ours).unwrap();
        assert!(after == First::Known(number(&two)) && !before.may_be(after), "the first was let in");
        drop(two);
        assert!(first(&ours).unwrap().may_be(after), "it has hung up, and waits all the same");
        listener.accept().unwrap();
        assert_eq!(first(&ours), Some(First::Known(number(&three))));
        listener.accept().unwrap();
        assert_eq!(first(&ours), None);
    }

    #[test]
    fn an_answer_that_is_none_says_nothing() {
        let answer = |kind: u16, parts: &[u16]| {
            let mut bytes = vec![0; 2 * HEADER];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes.extend(parts.iter().flat_map(|short| short.to_ne_bytes()));
            bytes
        };
        let seven = u32::to_ne_bytes(7);
        let seven = [0, 2].map(|at| u16::from_ne_bytes([seven[at], seven[at + 1]]));
        for (bytes, expected) in [
            (answer(BY_FAMILY, &[8, WAITING, seven[0], seven[1]]), Some(Some(7))),
            (answer(BY_FAMILY, &[5, 6, 0, 0, 8, WAITING, seven[0], seven[1]]), Some(Some(7))),
            (answer(BY_FAMILY, &[4, WAITING]), Some(None)),
            (answer(BY_FAMILY, &[5, 6, 0, 0]), None),
            (answer(BY_FAMILY, &[0, 0, 0, 0]), None),
            (answer(2, &[8, WAITING, seven[0], seven[1]]), None),
            (Vec::new(), None),
        ] {
            assert_eq!(first_of(&bytes), expected, "{bytes:?}");
        }
    }
}
