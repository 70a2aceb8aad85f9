//! What a percloud's folder takes of the disk, counted by the host itself: what a runtime says of itself may be a lie.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};

/// A quota is about contents; its database, and what is on the way in, come on top.
const BESIDE: u64 = 64 << 20;
/// Disks are made with room for a file in each so many bytes: who has more files takes them from others.
const BYTES_A_FILE: u64 = 16 << 10;
/// And so many files are nobody's harm.
const FILES_FREE: u64 = 4096;
/// Folders in folders in folders: ours have three.
const DEPTH: usize = 32;
/// Who has more is told as such, and not counted to the end.
const FILES_MAX: u64 = 4_000_000;

/// What is in a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    /// Bytes of the disk.
    pub(super) bytes: u64,
    /// Files and folders.
    pub(super) files: u64,
    /// There is more, which was not looked at: too deep, or too many.
    pub(super) more: bool,
}

impl Stored {
    /// Why that is more than somebody with this quota may have; none when it is not.
    pub(super) fn too_much(&self, quota: u64) -> Option<String> {
        let files = quota / BYTES_A_FILE + FILES_FREE;
        if self.more {
            return Some(format!("more than {FILES_MAX} files, or more than {DEPTH} folders in each other"));
        }
        if self.bytes > quota.saturating_add(BESIDE) {
            return Some(format!("{} bytes with a quota of {quota}", self.bytes));
        }
        (self.files > files).then(|| format!("{} files, and {files} go with its quota", self.files))
    }
}

/// Counts as long as `go_on` says so; follows no link.
pub(super) fn count(folder: &Path, go_on: &dyn Fn() -> bool) -> io::Result<Stored> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = openat(CWD, folder, flags, Mode::empty())?;
    let mut stored = Stored { bytes: on_disk(&rustix::fs::fstat(&top)?), ..Stored::default() };
    let mut open: Vec<(OwnedFd, Dir)> = Vec::new();
    let dir = Dir::read_from(&top)?;
    open.push((top, dir));
    loop {
        let depth = open.len();
        let Some((at, dir)) = open.last_mut() else { return Ok(stored) };
        let entry = match dir.read() {
            None => {
                open.pop();
                continue;
            }
            Some(entry) => entry?,
        };
        let name = entry.file_name();
        if name.to_bytes() == b"." || name.to_bytes() == b".." {
            continue;
        }
        // What has just gone is not counted.
        let Ok(found) = statat(at.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        stored.files += 1;
        if stored.files.is_multiple_of(1024) && !go_on() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if stored.files > FILES_MAX {
            stored.more = true;
            return Ok(stored);
        }
        let folder = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        // A file of two names is met twice; other folders than its own have none of them.
        let names = if folder { 1 } else { u64::from(u32::try_from(found.st_nlink).unwrap_or(u32::MAX)).max(1) };
        stored.bytes += on_disk(&found) / names;
        if folder && depth >= DEPTH {
            stored.more = true;
        } else if folder && let Ok(inner) = openat(at.as_fd(), name, flags, Mode::empty()) {
            let dir = Dir::read_from(&inner)?;
            open.push((inner, dir));
        }
    }
}

fn on_disk(found: &rustix::fs::Stat) -> u64 {
    u64::try_from(found.st_blocks).unwrap_or(0) * 512
}

/// Whether a folder is still there; one that is being removed is nobody's storage.
pub(super) fn gone(folder: &Path) -> bool {
    fs::symlink_metadata(folder).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_on_the_disk_counts_and_nothing_outside() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("large"), vec![1; 1 << 20]).unwrap();
        let tenant = folder.path().join("tenant");
        fs::create_dir_all(tenant.join("blobs/aa")).unwrap();
        symlink(&outside, tenant.join("link")).unwrap();
        fs::write(tenant.join("blobs/aa/one"), vec![1; 300_000]).unwrap();
        fs::hard_link(tenant.join("blobs/aa/one"), tenant.join("again")).unwrap();
        // Large to look at, nothing on the disk.
        fs::File::create(tenant.join("empty")).unwrap().set_len(1 << 40).unwrap();
        let stored = count(&tenant, &|| true).unwrap();
        assert!((300_000..400_000).contains(&stored.bytes), "{stored:?}");
        assert_eq!((stored.files, stored.more), (6, false));
        assert!(count(&tenant.join("link"), &|| true).is_err() && gone(&tenant.join("no")));
    }

    #[test]
    fn depth_does_not_hide_anything() {
        let folder = tempfile::tempdir().unwrap();
        let mut deep = folder.path().to_owned();
        for _ in 0..40 {
            deep.push("d");
        }
        fs::create_dir_all(&deep).unwrap();
        let stored = count(folder.path(), &|| true).unwrap();
        assert!(stored.more && stored.too_much(1 << 40).is_some());
    }

    #[test]
    fn too_much_is_bytes_or_files() {
        let quota = 1 << 30;
        let stored = |bytes, files| Stored { bytes, files, more: false }.too_much(quota);
        assert_eq!(stored(quota + BESIDE, 69_632), None);
        assert!(stored(quota + BESIDE + 1, 1).unwrap().contains("bytes"));
        assert!(stored(1, 69_633).unwrap().contains("69632 go with its quota"));
    }
}
