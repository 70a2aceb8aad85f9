//! What a percloud's folder takes of the disk, counted by the host itself: what a runtime says of itself may be a lie.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, statat},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use super::folders;

/// A quota is about contents; its database, and what is on the way in, come on top.
const BESIDE: u64 = 64 << 20;
/// Disks are made with room for a file in each so many bytes: who has more files takes them from others.
const BYTES_A_FILE: u64 = 16 << 10;
/// And so many files are nobody's harm.
const FILES_FREE: u64 = 4096;
/// So many times what it may: an import holds what it was given beside what comes out of it, and nothing honest holds more.
const FAR: u64 = 2;
/// Folders in folders in folders: ours have three.
const DEPTH: usize = 32;
/// Who has more is told as such, and not counted to the end.
const FILES_MAX: u64 = 4_000_000;

/// What is in a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    /// Bytes of the disk.
    pub(super) bytes: u64,
    /// Files and folders.
    pub(super) files: u64,
    /// There is more, which was not looked at: too deep, too many, or locked again and again.
    pub(super) more: bool,
}

impl Stored {
    /// Why that is more than somebody with this quota may have; none when it is not.
    pub(super) fn too_much(&self, quota: u64) -> Option<String> {
        let files = quota / BYTES_A_FILE + FILES_FREE;
        if self.more {
            return Some(format!(
                "more than {FILES_MAX} files, more than {DEPTH} folders in each other, or folders that are kept locked"
            ));
        }
        if self.bytes > quota.saturating_add(BESIDE) {
            return Some(format!("{} bytes with a quota of {quota}", self.bytes));
        }
        (self.files > files).then(|| format!("{} files, and {files} go with its quota", self.files))
    }

    /// The same, for so much more that nothing honest needs it.
    pub(super) fn far_too_much(&self, quota: u64) -> Option<String> {
        let (mib, files, may) = (self.bytes >> 20, self.files, quota >> 20);
        self.too_much(quota.saturating_mul(FAR))?;
        Some(format!(
            "holds {mib} MiB in {files} files on the disk, may hold {may} MiB, and goes on; it is started now and then, so that its owner can make room"
        ))
    }

    /// Whether that is much more than a moment ago; of whoever has what nobody counts, nobody knows.
    pub(super) fn grown_since(&self, before: &Self, quota: u64) -> bool {
        self.more || self.larger_than(before, quota)
    }

    /// Whether that is much more than `other`.
    pub(super) fn larger_than(&self, other: &Self, quota: u64) -> bool {
        self.more && !other.more
            || self.bytes > other.bytes.saturating_add(much(quota))
            || self.files > other.files.saturating_add(FILES_FREE)
    }

    /// With what is held elsewhere.
    pub(super) fn and(self, other: Self) -> Self {
        let (bytes, files) = (self.bytes + other.bytes, self.files + other.files);
        Self { bytes, files, more: self.more || other.more }
    }

    /// What both have.
    pub(super) fn least(self, other: Self) -> Self {
        Self { bytes: self.bytes.min(other.bytes), files: self.files.min(other.files), more: self.more && other.more }
    }
}

/// Bytes that are much for whoever has this quota: more than a database needs for what it does.
pub(super) fn much(quota: u64) -> u64 {
    (quota / 20).max(BESIDE)
}

/// Whether much went within a short time, of all that the disk has.
#[derive(Debug, Default)]
pub(super) struct Level(Option<[u64; 2]>);

impl Level {
    /// `free` are bytes and files that there is room for; so many bytes went, when much did.
    pub(super) fn falls(&mut self, free: [u64; 2]) -> Option<u64> {
        let most = self.0.get_or_insert(free);
        let much = [(most[0] / 1000).max(256 << 20), (most[1] / 1000).max(50_000)];
        *most = [0, 1].map(|i| most[i].max(free[i]));
        let went = [0, 1].map(|i| most[i] - free[i]);
        if went[0] <= much[0] && went[1] <= much[1] {
            return None;
        }
        *most = free;
        Some(went[0])
    }
}

/// Bytes and files that the disk of a folder has room for.
pub(super) fn free(folder: &Path) -> io::Result<[u64; 2]> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok([disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_favail])
}

/// Counts as long as `go_on` says so; follows no link, and no lock of its owner's hides anything.
pub(super) fn count(folder: &Path, go_on: &dyn Fn() -> bool) -> io::Result<Stored> {
    let top = folders::enter(CWD, folder)?;
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
        let found = match statat(at.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            Err(why) => {
                stored.more |= !has_gone(why);
                continue;
            }
        };
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
        } else if folder {
            match folders::enter(at.as_fd(), name) {
                Ok(inner) => {
                    let dir = Dir::read_from(&inner)?;
                    open.push((inner, dir));
                }
                Err(why) => stored.more |= !has_gone(why),
            }
        }
    }
}

/// What has just gone, or is something else by now, is not counted.
fn has_gone(why: Errno) -> bool {
    matches!(why, Errno::NOENT | Errno::NOTDIR)
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
    fn a_disk_that_fills_is_noticed_and_one_that_empties_is_not() {
        let (mut level, gib, files) = (Level::default(), 1 << 30, 1 << 20);
        let bytes = [100, 100, 90, 90, 120, 119].map(|free| level.falls([free * gib, files]));
        assert_eq!(bytes, [None, None, Some(10 * gib), None, None, Some(gib)]);
        assert_eq!(level.falls([119 * gib - (200 << 20), files]), None);
        assert_eq!(level.falls([119 * gib - (300 << 20), files]), Some(300 << 20));
        assert!(level.falls([119 * gib, files - 60_000]).is_some());
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
