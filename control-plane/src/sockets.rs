//! Unix sockets at paths: whoever finds one there may use it, and nobody finds one that is half made.

use std::{
    fs, io,
    os::unix::{
        fs::{PermissionsExt, chown},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use anyhow::Context;

/// Listens at `path` with the permissions `mode`, and `group` as its group when one is given; what listened there before is heard no more.
/// It does not wait, as tokio wants it.
///
/// # Errors
/// When it cannot be made. What was there before is there still.
pub(crate) fn listen(path: &Path, mode: u32, group: Option<u32>) -> anyhow::Result<UnixListener> {
    make(path, mode, group).with_context(|| format!("cannot listen at {}", path.display()))
}

fn make(path: &Path, mode: u32, group: Option<u32>) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = unfinished(path);
    remove(&new)?;
    let listener = UnixListener::bind(&new)?;
    listener.set_nonblocking(true)?;
    chown(&new, None, group)?;
    fs::set_permissions(&new, PermissionsExt::from_mode(mode))?;
    fs::rename(&new, path)?;
    Ok(listener)
}

/// Where one is until it is as it shall be; by one byte longer than `path`.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("~");
    name.into()
}

/// None is there any more.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn whoever_finds_a_socket_finds_it_as_it_shall_be_and_one_that_cannot_be_made_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/sock");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let old = listen(&path, 0o600, None).unwrap();
        assert_eq!(mode(), 0o600);
        // Somebody was killed half way.
        fs::write(unfinished(&path), "").unwrap();
        let new = listen(&path, 0o666, None).unwrap();
        assert_eq!(mode(), 0o666);
        UnixStream::connect(&path).unwrap();
        assert!(new.accept().is_ok() && old.accept().is_err(), "the new one hears it");
        assert!(!unfinished(&path).exists());

        fs::create_dir(unfinished(&path)).unwrap();
        let why = listen(&path, 0o600, None).unwrap_err().to_string();
        assert!(why.contains("run/sock") && mode() == 0o666, "{why}");
        UnixStream::connect(&path).unwrap();
        assert!(new.accept().is_ok());
        remove(&path).unwrap();
        assert!(remove(&path).is_ok() && !path.exists(), "twice is no error");
    }
}
