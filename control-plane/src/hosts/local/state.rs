//! What the host remembers of each percloud across restarts: a small file each, written whole or not at all.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::Context;
use bundle::{TenantId, TenantSpec};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::uids::{END, FIRST_UID};

/// So many numbers are set aside with one write; a crash skips what is left of them.
const BLOCK: u32 = 256;

/// One percloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Its user and group; the host's own where the host is not root.
    pub(super) uid: u32,
    /// What it shall be.
    pub(super) spec: TenantSpec,
    /// It is being removed, and that must be finished.
    #[serde(default)]
    pub(super) leaving: bool,
    /// It has filled the disk.
    #[serde(default)]
    pub(super) filled: Option<Box<Filled>>,
}

/// When and why a percloud was last put to sleep for filling the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Filled {
    /// How often that happened lately.
    pub(super) times: u32,
    /// When it last did.
    pub(super) at: DateTime<Utc>,
    /// Why.
    pub(super) why: String,
    /// It has more room since, or an operator has said so: it need not wait any more.
    pub(super) forgiven: bool,
}

impl Known {
    /// As it is from now on.
    pub(super) fn becomes(&self, spec: TenantSpec) -> Self {
        let mut known = Self { spec, ..self.clone() };
        if known.spec.quota_bytes > self.spec.quota_bytes {
            known.forgive();
        }
        known
    }

    /// Nothing of it waits for having filled the disk any more; whether it might have.
    pub(super) fn forgive(&mut self) -> bool {
        self.filled.as_mut().is_some_and(|filled| !std::mem::replace(&mut filled.forgiven, true))
    }

    /// The provider holds it back, which its runtime may know nothing of: it may be a changed one.
    pub(super) fn is_suspended(&self) -> bool {
        self.spec.suspended.is_some()
    }
}

/// The folder with all of them.
#[derive(Debug)]
pub(super) struct Memory {
    folder: PathBuf,
    uids: Mutex<std::ops::Range<u32>>,
}

impl Memory {
    /// Opens the folder, and makes it if needed. User numbers from `at_least` up are given out: those below are seen in use.
    pub(super) fn open(folder: PathBuf, at_least: u32) -> anyhow::Result<Self> {
        fs::create_dir_all(folder.join("t"))?;
        let counter = folder.join("next-uid");
        let next = match fs::read_to_string(&counter) {
            Ok(text) => text.trim().parse().with_context(|| format!("{} is not a number", counter.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => FIRST_UID,
            Err(error) => return Err(error).context("the next user number"),
        };
        let next = next.max(at_least).max(FIRST_UID);
        Ok(Self { folder, uids: Mutex::new(next..next) })
    }

    /// A number that no percloud of this host has had before.
    pub(super) fn new_uid(&self) -> anyhow::Result<u32> {
        let mut uids = self.uids.lock().unwrap_or_else(PoisonError::into_inner);
        if uids.is_empty() {
            let end = uids.start + BLOCK;
            anyhow::ensure!(end < END, "all user numbers have been used");
            write_whole(&self.folder.join("next-uid"), end.to_string().as_bytes())?;
            uids.end = end;
        }
        uids.next().context("no user number")
    }

    /// Writes one down whose folder is there already and has a user, as one that was restored has: a user whom no other percloud has, and
    /// none will get.
    pub(super) fn adopt(&self, known: &Known) -> anyhow::Result<()> {
        let (uid, id) = (known.uid, &known.spec.id);
        let another = || anyhow::Ok(self.all()?.into_iter().find(|one| one.uid == uid && one.spec.id != *id));
        if let Some(another) = another()? {
            let free = self.new_uid()?;
            anyhow::bail!(
                "its folder belongs to user {uid}, and so does {}: give it to one of its own, chown -R {free}:{free}",
                another.spec.id
            );
        }
        let mut uids = self.uids.lock().unwrap_or_else(PoisonError::into_inner);
        // Of two that come at once with the same user, the second finds the first one here.
        if let Some(another) = another()? {
            anyhow::bail!("its folder belongs to user {uid}, and so does {}", another.spec.id);
        }
        anyhow::ensure!(uid < END, "its folder belongs to user {uid}, which no percloud can be");
        if uid >= uids.end {
            write_whole(&self.folder.join("next-uid"), (uid + 1).to_string().as_bytes())?;
            uids.end = uid + 1;
        }
        uids.start = uids.start.max(uid + 1);
        self.remember(known)
    }

    fn file(&self, id: &TenantId) -> PathBuf {
        self.folder.join("t").join(format!("{id}.json"))
    }

    /// Writes one down; it is on the disk when this returns.
    pub(super) fn remember(&self, known: &Known) -> anyhow::Result<()> {
        write_whole(&self.file(&known.spec.id), &serde_json::to_vec(known)?)
    }

    /// Forgets one.
    pub(super) fn forget(&self, id: &TenantId) -> anyhow::Result<()> {
        Ok(tls::files::remove(&self.file(id))?)
    }

    /// All of them. A file that cannot be read stops the host: a percloud must not be forgotten in silence.
    pub(super) fn all(&self) -> anyhow::Result<Vec<Known>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(self.folder.join("t"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "json") {
                let bytes = fs::read(&path)?;
                all.push(serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display()))?);
            }
        }
        Ok(all)
    }
}

/// Replaces a file by one with these bytes, which nobody else may read, and waits for the disk.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let folder = path.parent().context("a file without a folder")?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_number_is_never_given_out_twice_not_even_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..3 {
            let memory = Memory::open(folder.path().into(), 0).unwrap();
            for _ in 0..300 {
                let uid = memory.new_uid().unwrap();
                assert!(uid >= FIRST_UID && seen.insert(uid));
            }
        }
        let memory = Memory::open(folder.path().into(), 900_000).unwrap();
        assert!(memory.new_uid().unwrap() >= 900_000);
    }

    #[test]
    fn a_folder_that_was_restored_shares_its_user_with_nobody_who_is_there_or_comes() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::open(folder.path().into(), 300_000).unwrap();
        let known = |uid, name: &str| Known {
            uid,
            spec: crate::hosts::simulated::tests::spec(name),
            leaving: false,
            filled: None,
        };
        let first = memory.new_uid().unwrap();
        let (ada, bob) = (known(first, "ada"), known(first, "bob"));
        memory.remember(&ada).unwrap();
        memory.adopt(&ada).unwrap();
        let error = memory.adopt(&bob).unwrap_err().to_string();
        assert!(error.contains(ada.spec.id.as_str()) && error.ends_with("chown -R 300001:300001"), "{error}");
        assert_eq!(memory.all().unwrap(), [ada], "it is not written down");
        // Below, among and far above the numbers that were set aside.
        for (uid, next) in [(250_000, 300_002), (300_005, 300_006), (400_000, 400_001)] {
            memory.adopt(&known(uid, &format!("of-{uid}"))).unwrap();
            assert_eq!(memory.new_uid().unwrap(), next);
        }
        memory.adopt(&known(500_000, "last")).unwrap();
        assert!(Memory::open(folder.path().into(), 0).unwrap().new_uid().unwrap() > 500_000, "not even after a crash");
        assert!(memory.adopt(&known(END, "odd")).is_err());
    }

    #[test]
    fn what_was_remembered_is_there_after_a_restart_and_gone_when_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::open(folder.path().into(), 0).unwrap();
        let spec = crate::hosts::simulated::tests::spec("ada");
        let known = Known { uid: 200_001, spec, leaving: false, filled: None };
        memory.remember(&known).unwrap();
        let again = Memory::open(folder.path().into(), 0).unwrap();
        assert_eq!(again.all().unwrap(), std::slice::from_ref(&known));
        again.forget(&known.spec.id).unwrap();
        again.forget(&known.spec.id).unwrap();
        assert_eq!(again.all().unwrap(), []);
    }
}
