//! The unzipped folder is the same bag.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use unicode_normalization::UnicodeNormalization;

use super::{Found, Place};
use crate::{
    paths,
    refusal::{Error, Why},
    zip::Limits,
};

/// `O_NOFOLLOW` and `O_NONBLOCK` of Linux: a link or a pipe that took a file's place since it was looked at is not followed.
#[cfg(target_os = "linux")]
const CAREFULLY: i32 = 0o400_000 | 0o4_000;
#[cfg(not(target_os = "linux"))]
const CAREFULLY: i32 = 0;

/// Every file below `root`. Names are compared in their composed form: some disks decompose them.
pub(super) fn walk(root: &Path, limits: &Limits) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    let mut clashes = paths::Clashes::default();
    let mut todo: Vec<(PathBuf, String)> = vec![(root.to_owned(), String::new())];
    let mut bytes = 0_u64;
    let mut seen = 0_u64;
    while let Some((folder, prefix)) = todo.pop() {
        for item in std::fs::read_dir(&folder)? {
            let item = item?;
            seen += 1;
            if seen > limits.entries {
                return Err(Why::TooMany.into());
            }
            let name = item.file_name();
            let name = name.to_str().ok_or_else(|| Why::NotUtf8.at(item.file_name().to_string_lossy()))?;
            let path = format!("{prefix}{}", name.nfc().collect::<String>());
            paths::check(&path)?;
            let meta = std::fs::symlink_metadata(item.path())?;
            if meta.is_dir() {
                todo.push((item.path(), format!("{path}/")));
                continue;
            }
            if !meta.is_file() {
                return Err(Why::Link.at(path).into());
            }
            clashes.file(&path)?;
            bytes = bytes.checked_add(meta.len()).filter(|b| *b <= limits.bytes).ok_or(Why::TooBig)?;
            found.push(Found { path, size: meta.len(), place: Place::Disk(item.path()) });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Opens a file that [`walk`] found.
pub(super) fn open(path: &Path, size: u64) -> io::Result<io::Take<File>> {
    let file = OpenOptions::new().read(true).custom_flags(CAREFULLY).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(super::content::io_error(Why::Link.at(path.to_string_lossy())));
    }
    Ok(file.take(size.saturating_add(1)))
}
