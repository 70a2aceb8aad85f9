//! Small files that must be whole or absent, and secret ones that only their owner may read.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use anyhow::{Context, Result};

/// Writes `bytes` to `path` so that a reader sees the old content or the new, never a part, also after a power cut.
///
/// # Errors
/// When the folder cannot be written to.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let temporary = prepare(path, bytes, mode)?;
    temporary.persist(path).map_err(|e| e.error).with_context(|| format!("cannot write {}", path.display()))?;
    sync_folder(path)
}

/// Like [`write()`], but never replaces: false when there is such a file already, made by us or by another process meanwhile.
///
/// # Errors
/// When the folder cannot be written to.
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<bool> {
    let temporary = prepare(path, bytes, mode)?;
    match temporary.persist_noclobber(path) {
        Ok(_) => sync_folder(path).map(|()| true),
        Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e.error).with_context(|| format!("cannot write {}", path.display())),
    }
}

/// Removes what is at `path`; well if there is nothing.
///
/// # Errors
/// When it is there still.
pub fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Like [`write()`], over a file that is there: who may read it and whose it is stay as they are.
///
/// # Errors
/// When there is none, or we may not give the new one to the old one's owner.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let old = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    let temporary = prepare(path, bytes, old.permissions().mode() & 0o7777)?;
    let new = temporary.as_file().metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(temporary.as_file(), Some(old.uid()), Some(old.gid()))
            .with_context(|| format!("{} belongs to somebody else: do this as them, or as root", path.display()))?;
    }
    temporary.persist(path).map_err(|e| e.error).with_context(|| format!("cannot write {}", path.display()))?;
    sync_folder(path)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn prepare(path: &Path, bytes: &[u8], mode: u32) -> Result<tempfile::NamedTempFile> {
    let folder = folder(path);
    let mut temporary = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(folder)
        .with_context(|| format!("cannot write into {}", folder.display()))?;
    temporary.write_all(bytes)?;
    temporary.as_file().set_permissions(Permissions::from_mode(mode))?;
    temporary.as_file().sync_all()?;
    Ok(temporary)
}

fn sync_folder(path: &Path) -> Result<()> {
    File::open(folder(path))?.sync_all()?;
    Ok(())
}

/// Makes a folder that only its owner may enter, unless there is one.
///
/// # Errors
/// When it cannot be made.
pub fn private_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).with_context(|| format!("cannot make the folder {}", path.display()))?;
    fs::set_permissions(path, Permissions::from_mode(0o700))?;
    Ok(())
}

/// Reads a secret; refuses one that everybody on the machine may read, since then it is no secret any more.
///
/// # Errors
/// When it is not there, not readable, or readable by all.
pub fn read_secret(path: &Path) -> Result<Vec<u8>> {
    let mode = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.permissions().mode();
    anyhow::ensure!(
        mode & 0o007 == 0,
        "{} may be read by everybody on this machine (mode {:o}); it must be 600 or 640, and what it protected should be renewed",
        path.display(),
        mode & 0o777
    );
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
