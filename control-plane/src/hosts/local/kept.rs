//! What perclouds have used until a host ends in order. The next one goes on from there, so that an upgrade loses nothing.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use anyhow::Context;

use super::state::write_whole;
use crate::hosts::Usage;

/// In the host's folder, from the end of a host to the beginning of the next.
const FILE: &str = "used.json";

/// Leaves it for the next host.
pub(super) fn leave(folder: &Path, usage: &Usage) -> anyhow::Result<()> {
    write_whole(&folder.join(FILE), &serde_json::to_vec(usage)?)
}

/// What the last host has left; after a crash nothing, with an epoch of its own. It is gone from the disk before anything goes on from it:
/// whoever found it later, after a crash, would count all of it once more.
pub(super) fn take(folder: &Path) -> anyhow::Result<Usage> {
    let anew = || Usage { epoch: hex::encode(rand::random::<[u8; 16]>()), of: Vec::new() };
    let path = folder.join(FILE);
    let left = match fs::read(&path) {
        Ok(left) => left,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(anew()),
        Err(error) => return Err(error).context("what the last host has counted"),
    };
    fs::remove_file(&path).and_then(|()| File::open(folder)?.sync_all()).context("what the last host has counted")?;
    Ok(serde_json::from_slice(&left).unwrap_or_else(|error| {
        tracing::warn!(%error, "what the last host has counted in its last minute is lost");
        anew()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_has_left_is_taken_up_once() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (take(folder.path()).unwrap(), take(folder.path()).unwrap());
        assert_ne!(first.epoch, second.epoch);
        leave(folder.path(), &first).unwrap();
        assert_eq!(take(folder.path()).unwrap(), first);
        assert_ne!(take(folder.path()).unwrap().epoch, first.epoch, "that host was killed");
        fs::write(folder.path().join(FILE), "nonsense").unwrap();
        assert_ne!(take(folder.path()).unwrap().epoch, first.epoch);
    }
}
