//! A percloud's folder, from outside. What is in it was written by the percloud, so it is handled like something found on
//! the street: no symbolic link is followed, nothing is read beyond a limit, no name and no depth is trusted.

use std::{
    ffi::CString,
    fs,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    },
    path::Path,
};

use anyhow::Context;
use rustix::{
    fs::{
        AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, chmodat, fstat, openat, openat2, renameat, statat,
        unlinkat,
    },
    path::Arg,
};

use crate::hosts::Status;

/// A status is shorter than this.
const STATUS_MAX: u64 = 4096;
/// What a percloud's database is called.
const DATABASE: &str = "percloud.db";
/// One without content is smaller than this.
const DATABASE_MAX: u64 = 4 << 20;

/// Makes the folder for `uid`, with the database that it begins with, or sees that it is theirs already.
pub(super) fn ensure(folder: &Path, uid: u32, database: Option<&[u8]>) -> anyhow::Result<()> {
    let new = match fs::DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(error).context("making its folder"),
    };
    let found = fs::symlink_metadata(folder)?;
    anyhow::ensure!(found.is_dir(), "its folder is something else");
    let us = rustix::process::geteuid().as_raw();
    let unseen = found.uid() == us && uid != us;
    if let Some(database) = database.filter(|_| new || unseen) {
        put_database(folder, uid, database).context("its database")?;
    }
    if unseen {
        // Just made, or made before a crash. From here on its runtime may have been in it.
        std::os::unix::fs::chown(folder, Some(uid), Some(uid))?;
    } else {
        anyhow::ensure!(found.uid() == uid, "its folder belongs to user {}, not to {uid}", found.uid());
    }
    Ok(())
}

/// Puts the database into a folder that nobody but us has been in. It is there whole or not at all: of a part of one its
/// runtime could make nothing.
fn put_database(folder: &Path, uid: u32, content: &[u8]) -> io::Result<()> {
    let (new, path) = (folder.join("percloud.db.new"), folder.join(DATABASE));
    if path.exists() {
        return Ok(());
    }
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(content)?;
    std::os::unix::fs::fchown(&file, Some(uid), Some(uid))?;
    file.sync_all()?;
    fs::rename(new, path)
}

/// The database that a runtime has made and left in its folder; an error when it is none, or still in use.
pub(super) fn made_database(folder: &Path) -> anyhow::Result<Vec<u8>> {
    let mut content = Vec::new();
    open_file(folder, DATABASE)?.take(DATABASE_MAX + 1).read_to_end(&mut content)?;
    anyhow::ensure!(content.len() as u64 <= DATABASE_MAX, "it is too large for a new one");
    anyhow::ensure!(content.starts_with(b"SQLite format 3\0"), "it is no database");
    let log = fs::symlink_metadata(folder.join("percloud.db-wal"));
    anyhow::ensure!(log.is_err(), "it was not closed");
    Ok(content)
}

/// Opens a folder that a percloud may have locked or put something else in the place of. It is the very one whose lock is opened: a link
/// is not followed, not even one that takes its place just then.
pub(super) fn enter(at: impl AsFd, name: impl Arg) -> rustix::io::Result<OwnedFd> {
    let folder =
        openat(at, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let mode = Mode::from_raw_mode(fstat(&folder)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        // Where it is not ours to open, what is asked of it below says so.
        let _ = chmodat(CWD, format!("/proc/self/fd/{}", folder.as_raw_fd()), mode | Mode::RWXU, AtFlags::empty());
    }
    openat(&folder, c".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Opens a file of a percloud's, whatever it may have put there instead.
fn open_file(folder: &Path, name: &str) -> io::Result<fs::File> {
    let at = enter(CWD, folder)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let limits = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let file = openat2(at, name, flags, Mode::empty(), limits)?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("not a file"));
    }
    Ok(fs::File::from(file))
}

/// The user that a folder belongs to, when that is a percloud's.
pub(super) fn owner(folder: &Path) -> Option<u32> {
    fs::symlink_metadata(folder).ok().map(|found| found.uid()).filter(|uid| *uid >= super::uids::FIRST_UID)
}

/// What the percloud says of itself; nothing, when it says nothing sensible.
pub(super) fn status(folder: &Path) -> Status {
    let read = || -> io::Result<Status> {
        let mut json = Vec::new();
        open_file(folder, "status.json")?.take(STATUS_MAX).read_to_end(&mut json)?;
        Ok(serde_json::from_slice(&json)?)
    };
    read().unwrap_or_default()
}

/// Removes the folder and all that is in it; well if there is none.
pub(super) fn wipe(folder: &Path) -> io::Result<()> {
    let top = match enter(CWD, folder) {
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        other => other?,
    };
    flatten(&top)?;
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Empties a folder. However deep it is, at most two levels are open: folders inside a folder are moved to the top first.
fn flatten(top: &OwnedFd) -> io::Result<()> {
    let mut moved: u64 = 0;
    loop {
        let names = entries(top.as_fd())?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            let Some(folder) = open_folder(top.as_fd(), &name)? else {
                unlinkat(top, name.as_c_str(), AtFlags::empty())?;
                continue;
            };
            loop {
                let inner = entries(folder.as_fd())?;
                if inner.is_empty() {
                    break;
                }
                for inside in inner {
                    if !is_folder(folder.as_fd(), &inside)? {
                        unlinkat(&folder, inside.as_c_str(), AtFlags::empty())?;
                        continue;
                    }
                    if unlinkat(&folder, inside.as_c_str(), AtFlags::REMOVEDIR).is_err() {
                        // A folder that may not be written to cannot be moved either, where we are not root.
                        drop(enter(&folder, inside.as_c_str())?);
                        move_up(&folder, &inside, top, &mut moved)?;
                    }
                }
            }
            unlinkat(top, name.as_c_str(), AtFlags::REMOVEDIR)?;
        }
    }
}

/// Moves a folder to the top under a name that is free.
fn move_up(from: &OwnedFd, name: &CString, top: &OwnedFd, moved: &mut u64) -> io::Result<()> {
    loop {
        *moved += 1;
        let new = format!(".wipe-{moved}");
        if statat(top, new.as_str(), AtFlags::SYMLINK_NOFOLLOW).is_err() {
            return Ok(renameat(from, name.as_c_str(), top, new.as_str())?);
        }
    }
}

fn is_folder(at: BorrowedFd<'_>, name: &CString) -> io::Result<bool> {
    let found = statat(at, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(found.st_mode) == FileType::Directory)
}

fn open_folder(at: BorrowedFd<'_>, name: &CString) -> io::Result<Option<OwnedFd>> {
    if !is_folder(at, name)? {
        return Ok(None);
    }
    Ok(Some(enter(at, name.as_c_str())?))
}

/// Some names in a folder; none only when it is empty.
fn entries(at: BorrowedFd<'_>) -> io::Result<Vec<CString>> {
    const SOME: usize = 4096;
    let mut names = Vec::new();
    for entry in Dir::read_from(at)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes() != b"." && name.to_bytes() != b".." {
            names.push(name.to_owned());
        }
        if names.len() == SOME {
            break;
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn wiping_is_not_led_away_by_links_and_not_stopped_by_depth() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "x").unwrap();
        let tenant = folder.path().join("tenant");
        fs::create_dir(&tenant).unwrap();
        symlink(&outside, tenant.join("link")).unwrap();
        symlink("/etc/passwd", tenant.join("status.json")).unwrap();
        let mut at = openat(CWD, &tenant, OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..1200 {
            rustix::fs::mkdirat(&at, "deep", Mode::RWXU).unwrap();
            at = openat(&at, "deep", OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        fs::create_dir_all(tenant.join("locked/inner")).unwrap();
        fs::set_permissions(tenant.join("locked"), PermissionsExt::from_mode(0o000)).unwrap();

        assert_eq!(status(&tenant), Status::default());
        wipe(&tenant).unwrap();
        wipe(&tenant).unwrap();
        assert!(!tenant.exists());
        assert!(outside.join("precious").exists());
    }

    #[test]
    fn a_locked_folder_is_entered_and_a_link_in_its_place_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o7777;
        for (name, is) in [("locked", 0o000), ("blind", 0o300), ("dead", 0o600), ("outside", 0o500)] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(is)).unwrap();
        }
        symlink("outside", folder.path().join("link")).unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let at = openat(CWD, folder.path(), OFlags::DIRECTORY, Mode::empty()).unwrap();
        for name in ["locked", "blind", "dead"] {
            assert!(entries(enter(&at, name).unwrap().as_fd()).unwrap().is_empty());
            assert_eq!(mode(name), 0o700);
        }
        for name in ["link", "file"] {
            assert_eq!(enter(&at, name).unwrap_err(), rustix::io::Errno::NOTDIR);
        }
        assert_eq!((mode("outside"), enter(&at, "no").unwrap_err()), (0o500, rustix::io::Errno::NOENT));
    }

    #[test]
    fn a_status_is_read_and_nonsense_is_not() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(status(folder.path()), Status::default());
        fs::write(folder.path().join("status.json"), r#"{"set_up":true,"used_bytes":7,"new":1}"#).unwrap();
        assert_eq!(status(folder.path()), Status { set_up: true, used_bytes: 7, ..Status::default() });
        fs::write(folder.path().join("status.json"), format!("{{\"set_up\":true,\"x\":\"{}\"}}", "x".repeat(9000)))
            .unwrap();
        assert_eq!(status(folder.path()), Status::default());
        fs::remove_file(folder.path().join("status.json")).unwrap();
        rustix::fs::mknodat(CWD, folder.path().join("status.json"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(status(folder.path()), Status::default());
    }

    #[test]
    fn a_folder_of_someone_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let us = rustix::process::geteuid().as_raw();
        let tenant = folder.path().join("t");
        ensure(&tenant, us, None).unwrap();
        ensure(&tenant, us, None).unwrap();
        assert_eq!(fs::metadata(&tenant).unwrap().permissions().mode() & 0o777, 0o700);
        if us == 0 {
            ensure(&tenant, 200_123, None).unwrap();
            assert!(ensure(&tenant, 200_124, None).is_err());
            assert_eq!(owner(&tenant), Some(200_123));
        }
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(ensure(&folder.path().join("file"), us, None).is_err());
    }

    #[test]
    fn a_new_folder_has_its_database_and_one_that_somebody_was_in_is_left_alone() {
        const READY: &[u8] = b"SQLite format 3\0 and so on";
        let folder = tempfile::tempdir().unwrap();
        let us = rustix::process::geteuid().as_raw();
        let database = |tenant: &Path| fs::read(tenant.join(DATABASE)).ok();
        let tenant = folder.path().join("t");
        ensure(&tenant, us, Some(READY)).unwrap();
        assert_eq!(database(&tenant).as_deref(), Some(READY));
        assert_eq!(made_database(&tenant).unwrap(), READY);
        fs::write(tenant.join(DATABASE), "hers").unwrap();
        ensure(&tenant, us, Some(READY)).unwrap();
        assert_eq!(database(&tenant).as_deref(), Some(&b"hers"[..]));
        assert!(made_database(&tenant).is_err(), "that is no database");
        fs::remove_file(tenant.join(DATABASE)).unwrap();
        ensure(&tenant, us, Some(READY)).unwrap();
        assert_eq!(database(&tenant), None, "she may have had a reason");
        if us == 0 {
            // The host was killed before it gave the folder away.
            let tenant = folder.path().join("u");
            fs::create_dir(&tenant).unwrap();
            fs::write(tenant.join("percloud.db.new"), "half of").unwrap();
            ensure(&tenant, 200_123, Some(READY)).unwrap();
            assert_eq!(database(&tenant).as_deref(), Some(READY));
            assert_eq!(fs::metadata(tenant.join(DATABASE)).unwrap().uid(), 200_123);
            ensure(&tenant, 200_123, Some(b"another")).unwrap();
            assert_eq!(database(&tenant).as_deref(), Some(READY));
        }
    }
}
