//! One provider per data folder: a record lock whose holder the kernel names, and lets go with the process.

use std::{fs::File, os::fd::AsRawFd, path::PathBuf};

use anyhow::{Context, bail};
use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
};

use crate::config::Paths;

/// Holds the data folder for as long as it lives.
pub(super) struct Lock(#[expect(dead_code, reason = "closing the file lets go of the lock")] File);

fn file(paths: &Paths) -> PathBuf {
    paths.root().join("up.lock")
}

fn record(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Takes the folder.
///
/// # Errors
/// When another provider holds it; its process id is in the error.
pub(super) fn take(paths: &Paths) -> anyhow::Result<Lock> {
    let path = file(paths);
    let handle = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    if fcntl(&handle, FcntlArg::F_SETLK(&record(libc::F_WRLCK))).is_err() {
        let who = holder(paths)?.map_or_else(String::new, |pid| format!(" (process {pid})"));
        let data = paths.root().display();
        bail!("a provider runs on {data} already{who}. `infra/down --data {data}` ends it.");
    }
    debug_assert!(handle.as_raw_fd() > 2);
    Ok(Lock(handle))
}

/// The process that holds the folder, if any.
///
/// # Errors
/// When the lock cannot be looked at.
pub(crate) fn holder(paths: &Paths) -> anyhow::Result<Option<i32>> {
    let path = file(paths);
    if !path.exists() {
        return Ok(None);
    }
    let handle = File::options().write(true).open(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut seen = record(libc::F_WRLCK);
    fcntl(&handle, FcntlArg::F_GETLK(&mut seen))?;
    Ok((libc::c_int::from(seen.l_type) != libc::F_UNLCK).then_some(seen.l_pid))
}
