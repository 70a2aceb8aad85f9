//! What can be done with a descriptor: putting it where nobody sees it, and breaking what others have, too.

use std::mem::zeroed;

use libc::{EPERM, c_long, syscall};

use super::attacks::{Attacks, Outcome, Target, stopped, unlisted};

/// A message with a descriptor beside it: to the other end of a pair of its own, where it would lie open and unseen, and to nobody.
pub(crate) fn pass_one() -> Outcome {
    let mut pair = [0i32; 2];
    // SAFETY: `pair` has room for two.
    if unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()) } != 0 {
        return Err("no pair of sockets, which it may have".into());
    }
    let outcome = send_a_descriptor(pair[0]);
    for end in pair {
        // SAFETY: made above.
        unsafe { libc::close(end) };
    }
    outcome
}

fn send_a_descriptor(socket: i32) -> Outcome {
    // SAFETY: plain data, filled below.
    let mut message = unsafe { zeroed::<libc::msghdr>() };
    let mut byte = [b'x'];
    let mut bytes = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = [0u64; 3];
    message.msg_iov = &raw mut bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = 20;
    // SAFETY: the control buffer has room for one header and one descriptor; all of it outlives the call.
    let result = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = 20;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(2);
        libc::sendmsg(socket, &raw const message, libc::MSG_NOSIGNAL)
    };
    stopped(result as c_long, &[EPERM])
}

/// Its listening socket, which the host has as well: to shut it there is to shut it here.
pub(crate) fn its_listening_socket(_: &Target) -> Attacks {
    // SAFETY: no memory is passed.
    let copy = |number: c_long, to: i32| unsafe { stopped(syscall(number, 3, to, 0), &[EPERM]) };
    let more = libc::F_DUPFD_CLOEXEC;
    vec![
        // SAFETY: no memory is passed.
        ("shut its listening socket", stopped(unsafe { syscall(libc::SYS_shutdown, 3, 0) }, &[EPERM])),
        // SAFETY: no memory is passed.
        ("shut it both ways", stopped(unsafe { syscall(libc::SYS_shutdown, 3, 2) }, &[EPERM])),
        ("copy its listening socket, to shut it so", copy(libc::SYS_dup, 0)),
        ("copy it to another number", copy(libc::SYS_dup3, 99)),
        // SAFETY: no memory is passed.
        ("copy it by fcntl", stopped(unsafe { syscall(libc::SYS_fcntl, 3, more, 50) }, &[EPERM])),
        ("let it hear fewer", unlisted(libc::SYS_listen, [3, 0, 0, 0, 0])),
        ("change how it hears", {
            let zero = 0i32;
            unlisted(libc::SYS_setsockopt, [3, 1, libc::SO_RCVTIMEO as usize, (&raw const zero) as usize, 4])
        }),
    ]
}

/// Leaves a mark on its standard input; how it was before, and whether nobody has locked it.
pub(crate) fn mark_standard_input() -> String {
    // SAFETY: no memory is passed.
    let (before, free) = unsafe {
        let before = libc::fcntl(0, libc::F_GETFL);
        libc::fcntl(0, libc::F_SETFL, libc::O_NONBLOCK | libc::O_APPEND);
        (before, libc::flock(0, libc::LOCK_EX | libc::LOCK_NB) == 0)
    };
    let marked = before & (libc::O_NONBLOCK | libc::O_APPEND) != 0;
    format!("marked: {marked}, free: {free}")
}
