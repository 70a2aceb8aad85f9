//! Unix sockets at paths.

use std::{
    fs, io,
    os::unix::{
        fs::{PermissionsExt, chown},
        net::UnixListener,
    },
    path::Path,
};

use anyhow::Context;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen as hear, socket_with};

/// Listens at `path` with the permissions `mode`, and `group` as its group when one is given; what listened there before is heard no more.
/// Until it has both, nobody but its owner is let in. It does not wait, as tokio wants it.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn listen(path: &Path, mode: u32, group: Option<u32>) -> anyhow::Result<UnixListener> {
    make(path, mode, group).with_context(|| format!("cannot listen at {}", path.display()))
}

fn make(path: &Path, mode: u32, group: Option<u32>) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    tls::files::remove(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // What it has before it has a place is what it has there, whatever this process gives to its files.
    rustix::fs::fchmod(&socket, rustix::fs::Mode::from_raw_mode(0o600))?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    // As many may wait to be let in as the kernel has room for.
    hear(&socket, -1)?;
    chown(path, None, group)?;
    fs::set_permissions(path, PermissionsExt::from_mode(mode))?;
    Ok(socket.into())
}

/// Listens at `path` for its owner, and for `group` when one is given.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn listen_for(path: &Path, group: Option<u32>) -> anyhow::Result<UnixListener> {
    listen(path, if group.is_some() { 0o660 } else { 0o600 }, group)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn one_that_was_there_is_replaced_and_nobody_else_is_let_in_before_it_is_as_it_shall_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/sock");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let old = listen(&path, 0o600, None).unwrap();
        assert_eq!(mode(), 0o600);
        let new = listen(&path, 0o666, None).unwrap();
        assert_eq!(mode(), 0o666);
        UnixStream::connect(&path).unwrap();
        assert!(new.accept().is_ok() && old.accept().is_err(), "the new one hears it");
        // A group that it cannot be given: it stays shut.
        if !rustix::process::geteuid().is_root() {
            assert!(listen(&path, 0o666, Some(0)).is_err() && mode() == 0o600);
        }
        tls::files::remove(&path).unwrap();
        assert!(tls::files::remove(&path).is_ok() && !path.exists(), "twice is no error");
        let why = listen(&folder.path().join("long".repeat(40)), 0o600, None).unwrap_err();
        assert!(format!("{why:#}").contains("longlong"), "{why:#}");
    }
}
