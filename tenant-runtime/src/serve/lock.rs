//! One process for one folder of data: counters and caches are kept in memory, so a second one must not write beside us.

use std::{
    fs::File,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};

/// Takes the folder for this process, as long as the file lives; waits up to `patience` for a predecessor to leave.
///
/// # Errors
/// When another process keeps it, or the folder cannot be written.
pub(crate) fn take(folder: &Path, patience: Duration) -> anyhow::Result<File> {
    let path = folder.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot write into {}", folder.display()))?;
    let start = Instant::now();
    while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        anyhow::ensure!(start.elapsed() < patience, "{} is in use by another percloud-runtime", folder.display());
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(file)
}
