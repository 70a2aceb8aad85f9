//! The disk that perclouds' folders are on, and how much of it one percloud may keep busy.
//!
//! The kernel counts what goes to a whole disk, which it knows by a number. A file system that is on none (an overlay, a network's) has
//! nothing that could be limited.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::Limits;

/// A disk's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Disk {
    major: u32,
    minor: u32,
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl Disk {
    fn of_number(device: u64) -> Self {
        Self { major: rustix::fs::major(device), minor: rustix::fs::minor(device) }
    }

    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }

    /// The one that a folder is on; or why there is none.
    fn of(folder: &Path) -> Result<Self, String> {
        let found = fs::metadata(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut own = Self::of_number(found.dev());
        if own.major == 0 {
            // Some file systems (btrfs) have a number of their own, and say in the list of mounts which disk they are on.
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            let (kind, source) = source(&mounts, own).ok_or("nothing is known of its file system")?;
            let device = fs::metadata(&source).ok().filter(|_| source.starts_with("/dev/"));
            let number = device.map(|device| device.rdev()).filter(|number| *number != 0);
            own = Self::of_number(number.ok_or_else(|| format!("its file system ({kind}) is on no disk"))?);
        }
        Ok(own.whole())
    }

    /// The disk that a partition is of; itself when it is none.
    fn whole(self) -> Self {
        let folder = PathBuf::from(format!("/sys/dev/block/{self}"));
        if !folder.join("partition").exists() {
            return self;
        }
        let above = fs::canonicalize(folder).ok().and_then(|folder| folder.parent().map(Path::to_owned));
        let number = above.and_then(|above| fs::read_to_string(above.join("dev")).ok());
        number.and_then(|number| Self::parse(&number)).unwrap_or(self)
    }
}

/// Kind and source of the mount with this number: `36 35 0:31 / /at rw - kind source rw`.
fn source(mounts: &str, number: Disk) -> Option<(String, PathBuf)> {
    let number = number.to_string();
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut words = after.split(' ');
        let (kind, source) = (words.next()?, words.next()?);
        (before.split(' ').nth(2)? == number).then(|| (kind.to_owned(), source.into()))
    })
}

/// What a percloud may do with it in a second, in each direction; none where there is no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ceiling {
    disk: Disk,
    mib: Option<u64>,
    operations: Option<u64>,
}

impl Ceiling {
    /// On the disk of this folder; or why there is none.
    pub(super) fn new(limits: &Limits, folder: &Path) -> Result<Self, String> {
        let some = |number: u64| (number > 0).then_some(number);
        let (mib, operations) = (some(limits.io_max), some(limits.io_ops_max));
        if mib.is_none() && operations.is_none() {
            return Err("switched off (--io-max 0, --io-ops-max 0)".into());
        }
        Ok(Self { disk: Disk::of(folder)?, mib, operations })
    }

    /// As version 2 wants it, in `io.max`.
    pub(super) fn v2(&self) -> String {
        let [bytes, operations] =
            [self.bytes(), self.operations].map(|max| max.map_or("max".into(), |n| n.to_string()));
        format!("{} rbps={bytes} wbps={bytes} riops={operations} wiops={operations}", self.disk)
    }

    /// As version 1 wants it: file and value.
    pub(super) fn v1(&self) -> Vec<(&'static str, String)> {
        let files = [
            ("blkio.throttle.read_bps_device", self.bytes()),
            ("blkio.throttle.write_bps_device", self.bytes()),
            ("blkio.throttle.read_iops_device", self.operations),
            ("blkio.throttle.write_iops_device", self.operations),
        ];
        files.into_iter().filter_map(|(file, max)| Some((file, format!("{} {}", self.disk, max?)))).collect()
    }

    fn bytes(&self) -> Option<u64> {
        self.mib.map(|mib| mib << 20)
    }

    /// For people.
    pub(super) fn words(&self) -> String {
        let mib = self.mib.map(|mib| format!("{mib} MiB/s"));
        let operations = self.operations.map(|operations| format!("{operations} operations/s"));
        let both: Vec<_> = [mib, operations].into_iter().flatten().collect();
        format!("{} each way on {}", both.join(" and "), self.disk)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::limits::tests::LIMITS, *};

    pub(in crate::hosts::local::cgroups) const CEILING: Ceiling =
        Ceiling { disk: Disk { major: 254, minor: 0 }, mib: Some(2), operations: Some(9) };

    #[test]
    fn the_disks_ceiling_is_said_as_each_version_wants_it_and_no_end_is_an_end_of_none() {
        assert_eq!(CEILING.v2(), "254:0 rbps=2097152 wbps=2097152 riops=9 wiops=9");
        assert_eq!(CEILING.words(), "2 MiB/s and 9 operations/s each way on 254:0");
        let bytes_only = Ceiling { operations: None, ..CEILING };
        assert_eq!(bytes_only.v2(), "254:0 rbps=2097152 wbps=2097152 riops=max wiops=max");
        assert_eq!(bytes_only.words(), "2 MiB/s each way on 254:0");
        let said = |file: &str| (format!("blkio.throttle.{file}_bps_device"), "254:0 2097152".to_owned());
        let v1: Vec<_> = bytes_only.v1().into_iter().map(|(file, value)| (file.to_owned(), value)).collect();
        assert_eq!(v1, [said("read"), said("write")]);
        let off = Limits { io_max: 0, io_ops_max: 0, ..LIMITS };
        assert!(Ceiling::new(&off, Path::new("/")).unwrap_err().contains("switched off"));
    }

    #[test]
    fn the_disk_of_a_folder_is_found_and_what_is_on_none_says_so() {
        let mounts = "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n41 24 0:45 /@ /srv rw shared:2 - btrfs /dev/sdb2 rw\n";
        let number = |text| Disk::parse(text).unwrap();
        assert_eq!(source(mounts, number("0:45")), Some(("btrfs".into(), "/dev/sdb2".into())));
        assert_eq!(source(mounts, number("0:46")), None);
        assert!(Disk::parse("8").is_none() && Disk::parse("8:x").is_none());
        let why = Disk::of(Path::new("/proc")).unwrap_err();
        assert_eq!(why, "its file system (proc) is on no disk");
        assert_eq!(number("1:3").whole(), number("1:3"), "it is no partition");
    }
}
