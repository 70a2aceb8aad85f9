//! The least that a woken program can do, for `infra/bench wake`: its standard input is a listening unix socket; it takes one
//! connection, answers one request, and leaves. Linked statically, as the runtime is.

use std::{
    io::{Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
};

fn main() -> std::io::Result<()> {
    let input: OwnedFd = std::io::stdin().as_fd().try_clone_to_owned()?;
    let (mut stream, _) = UnixListener::from(input).accept()?;
    // The request's head comes in one piece: it is short.
    let read = stream.read(&mut [0; 4096])?;
    assert!(read > 0, "nobody asks");
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
}
