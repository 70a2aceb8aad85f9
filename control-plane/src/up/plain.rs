//! Files in folders that others may write to, or could: opened as what they are, whatever was made of their names.

use std::{fs::File, io, os::unix::fs::MetadataExt, path::Path};

use rustix::fs::{CWD, Mode, OFlags, openat};

/// Opens the file of this name. None when there is something else: a link, a pipe, or a file that has another name besides, so that it may
/// be one of quite another place. The folder itself must be in folders of ours.
pub(super) fn open(path: &Path, how: OFlags) -> io::Result<Option<File>> {
    // A pipe would be waited for.
    let flags = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(CWD, path, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let seen = file.metadata()?;
    Ok((seen.is_file() && seen.nlink() == 1).then_some(file))
}
