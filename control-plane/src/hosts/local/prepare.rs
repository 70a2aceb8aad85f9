//! What a new percloud begins with is made once, when the host starts: its runtime makes an empty database in the sandbox,
//! and each new folder gets a copy. So the first wake need not make one. The host itself knows nothing of databases.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    time::Duration,
};

use anyhow::Context;
use bundle::TenantId;

use super::{
    folders, logs,
    spawn::Spawner,
    uids,
    used::Counters,
    wire::{End, Errand, Start},
};

/// Nobody's id: the folder in which it is made.
const NOBODY: &str = "t-aaaaaaaaaaaaaaaa";
/// It takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// A database without content is much smaller.
const FILE_MAX: u64 = 64 << 20;

/// The database; none when it cannot be made, which is told: perclouds then make their own when they first wake.
pub(super) async fn database(spawner: &Spawner, tenants: &Path, root: bool) -> Option<Vec<u8>> {
    match make(spawner, tenants, root).await {
        Ok(content) => Some(content),
        Err(why) => {
            tracing::warn!("no database can be made ready, so that first visits take longer: {why:#}");
            None
        }
    }
}

async fn make(spawner: &Spawner, tenants: &Path, root: bool) -> anyhow::Result<Vec<u8>> {
    let id: TenantId = NOBODY.parse()?;
    let folder = tenants.join(NOBODY);
    let uid = if root { uids::trial() } else { rustix::process::geteuid().as_raw() };
    folders::wipe(&folder)?;
    folders::ensure(&folder, uid, None)?;
    let made = run(spawner, id, uid).await.and_then(|()| folders::made_database(&folder));
    folders::wipe(&folder)?;
    made
}

async fn run(spawner: &Spawner, id: TenantId, uid: u32) -> anyhow::Result<()> {
    let errand = Errand::Prepare;
    let start =
        Start { key: 0, id, uid, spec: String::new(), idle_seconds: 0, errand, egress: None, file_max: FILE_MAX };
    // It gets a socket that leads nowhere.
    let (socket, _other) = UnixStream::pair()?;
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let used = Counters::new(start.id.clone(), None, None, None);
    let mut running = spawner.start(start, &OwnedFd::from(socket), write, None, used).await?;
    let end = match tokio::time::timeout(PATIENCE, &mut running.end).await {
        Ok(end) => end.context("the spawner is gone")?,
        Err(_) => {
            spawner.kill(running.key).await;
            running.end.await.context("the spawner is gone")?
        }
    };
    anyhow::ensure!(end == End::Left(0), "the runtime: {end:?} {}", last_words(read));
    Ok(())
}

/// What it wrote last, of the first few thousand bytes.
fn last_words(log: OwnedFd) -> String {
    let mut buffer = [0; 4096];
    let _ = rustix::io::ioctl_fionbio(&log, true);
    let read = rustix::io::read(&log, &mut buffer).unwrap_or(0);
    logs::reason(String::from_utf8_lossy(&buffer[..read]).lines().last().unwrap_or_default())
}
