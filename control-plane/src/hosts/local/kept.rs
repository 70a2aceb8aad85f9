//! What perclouds have used until now, left on the disk for the next host: when this one ends, and twice a minute besides, since it may be
//! killed. The next one goes on from there, under the same epoch. So an upgrade loses nothing, and a crash what came since the last
//! leaving, however long nobody has asked for any of it.
//!
//! Beside the counters lies what each folder held when it was counted: who fills the disk while the host starts again has grown all the same.
//!
//! What was left may be older than what has been asked for since. Then counters are lower than the marks of whoever keeps the books, which
//! takes them for nought ([`crate::usage::count::compare`]): so nothing counts twice, however often the same is taken up.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::Context;
use bundle::TenantId;
use serde::{Deserialize, Serialize};

use super::{disk::Stored, state::write_whole};
use crate::hosts::Usage;

/// In the host's folder.
const FILE: &str = "used.json";

/// What a host leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Left {
    /// The counters.
    #[serde(flatten)]
    pub(super) usage: Usage,
    /// What was in the folders, by which it is seen who grows.
    #[serde(default)]
    pub(super) folders: Vec<(TenantId, Stored)>,
}

/// Leaves it for the next host; one at a time, and only what is new.
#[derive(Debug, Default)]
pub(super) struct Keeper(Mutex<Option<u64>>);

impl Keeper {
    /// `left` is asked for when nobody else is at it, so that what is newer is never replaced by what is older.
    pub(super) fn leave(&self, folder: &Path, left: impl FnOnce() -> Left) -> anyhow::Result<()> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let json = serde_json::to_vec(&left())?;
        let mut hasher = DefaultHasher::new();
        json.hash(&mut hasher);
        let this = Some(hasher.finish());
        if *last != this {
            write_whole(&folder.join(FILE), &json)?;
            *last = this;
        }
        Ok(())
    }
}

/// What the last host has left; where that was nothing, or nothing that can be read, an epoch of its own.
pub(super) fn take(folder: &Path) -> anyhow::Result<Left> {
    let epoch = || hex::encode(rand::random::<[u8; 16]>());
    let anew = || Left { usage: Usage { epoch: epoch(), of: Vec::new() }, folders: Vec::new() };
    let left = match fs::read(folder.join(FILE)) {
        Ok(left) => left,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(anew()),
        Err(error) => return Err(error).context("what the last host has counted"),
    };
    Ok(serde_json::from_slice(&left).unwrap_or_else(|error| {
        tracing::warn!(%error, "what the last host has left of its counts cannot be read; what nobody has asked for yet is lost");
        anew()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_has_left_is_taken_up_however_often_and_written_when_it_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let (mut first, second) = (take(folder.path()).unwrap(), take(folder.path()).unwrap());
        assert_ne!(first.usage.epoch, second.usage.epoch);
        first.folders.push((TenantId::random(), Stored { bytes: 7, files: 1, more: true }));
        let keeper = Keeper::default();
        keeper.leave(folder.path(), || first.clone()).unwrap();
        assert_eq!(take(folder.path()).unwrap(), first);
        assert_eq!(take(folder.path()).unwrap(), first, "that host was killed");
        fs::write(folder.path().join(FILE), "nonsense").unwrap();
        assert_ne!(take(folder.path()).unwrap().usage.epoch, first.usage.epoch);
        keeper.leave(folder.path(), || first.clone()).unwrap();
        assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), b"nonsense", "nothing is new");
        keeper.leave(folder.path(), || second.clone()).unwrap();
        assert_eq!(take(folder.path()).unwrap(), second);
        fs::write(folder.path().join(FILE), r#"{"epoch":"of an earlier version","of":[]}"#).unwrap();
        assert_eq!(take(folder.path()).unwrap().usage.epoch, "of an earlier version");
    }
}
