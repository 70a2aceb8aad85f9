//! Control groups: what all processes of a percloud together may take of the machine, and what they took.
//!
//! One group holds all perclouds, below it is one for each that is awake or was lately; percloud's own roles are in none of
//! them. A group costs the kernel some 50 KiB, so that those of the longest asleep are given up: ten thousand sleepers would
//! take half a gigabyte. What is wanted is in [`Limits`], what is seen in [`Reading`]; [`v2`] and [`v1`] put it into words.

mod disk;
mod files;
mod limits;
mod place;
mod room;
mod v1;
mod v2;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use bundle::TenantId;
use sha2::{Digest, Sha256};

use disk::Ceiling;
use files::{clear, field, make, number, remove, text, told, write};
pub use limits::Limits;
pub(super) use room::{Room, room};

use super::{
    layers::{Finding, Kind},
    process::Process,
};

/// Groups of so many perclouds that sleep are kept: some 25 MiB of the kernel's memory, and a wake that need not make one.
const KEPT: usize = 512;

const NO_GROUPS: &str = "there are no control groups";

/// The group of the trial run.
const TRIAL: &str = "trial";

/// What a group says of its percloud. All but the memory only grow, from the making of the group on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Bytes in use now, without those of files that nobody has touched lately.
    pub(super) memory: u64,
    /// Microseconds for which it was held back.
    pub(super) throttled_micros: u64,
    /// Processes that were ended for the memory.
    pub(super) memory_kills: u64,
    /// Threads that were refused.
    pub(super) threads_refused: u64,
}

/// What was found on this machine.
pub(super) struct Found {
    /// What can be used.
    pub(super) groups: Option<Groups>,
    /// What is missing, in words; none when all is there.
    pub(super) missing: Option<String>,
    /// Why nobody is held to a share of the disk; none when everybody is.
    pub(super) no_ceiling: Option<String>,
}

impl Found {
    /// What can be used; says so among the findings, unless the trial has found that nothing can. With `may_lack`, whoever cannot be put into
    /// a group runs on without.
    pub(super) fn into_groups(self, findings: &mut Vec<Finding>, may_lack: bool) -> Option<Groups> {
        if findings.iter().any(|finding| finding.kind == Kind::ControlGroups) {
            findings.push(Finding { kind: Kind::Io, missing: Some(NO_GROUPS.into()) });
            return None;
        }
        findings.push(Finding { kind: Kind::ControlGroups, missing: self.missing });
        findings.push(Finding { kind: Kind::Io, missing: self.no_ceiling });
        let groups = self.groups.map(|groups| Groups { may_lack, ..groups })?;
        groups.end_trial();
        Some(groups)
    }
}

enum Tree {
    V1(v1::Tree),
    V2(v2::Tree),
}

/// The groups of all perclouds of a host.
pub(super) struct Groups {
    tree: Tree,
    limits: Limits,
    /// The operator has allowed by name that there are none.
    may_lack: bool,
    known: Mutex<Known>,
    /// A group that was being given up is gone.
    gone: Condvar,
}

#[derive(Default)]
struct Known {
    /// Groups that are there, with the number of their making.
    made: HashMap<TenantId, u64>,
    makings: u64,
    /// Those of sleeping perclouds; the longest asleep in front.
    asleep: VecDeque<TenantId>,
    /// Those in which whoever runs comes last (version 2).
    last: HashSet<TenantId>,
    /// Those that are just being given up, by somebody who does not hold this meanwhile.
    going: HashSet<TenantId>,
}

/// Finds out what the machine has, makes the group for all perclouds, and empties it of what an earlier host left. `data`
/// tells providers of one machine apart; in `notes` is written where the groups are, so that the next host finds them even
/// when it stands elsewhere itself. Perclouds are in `folders`.
pub(super) fn open(data: &Path, folders: &Path, notes: &Path, limits: Limits) -> Found {
    let name = format!("percloud-{}", &hex::encode(Sha256::digest(data.as_os_str().as_encoded_bytes()))[..12]);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let stand = place::stand(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
    for old in read_notes(notes) {
        // Should somebody have written another path there: only what is called like ours is ours.
        let found = old.file_name().and_then(|found| found.to_str());
        if found.is_some_and(|found| found.strip_suffix(v1::LAST).unwrap_or(found) == name) {
            clear(&old);
        }
    }
    let (mut tree, missing) = match &stand.v2 {
        Some(at) if stand.v1_of("memory").is_none() => match v2::Tree::open(at, &name) {
            Ok((tree, missing)) => (Some(Tree::V2(tree)), missing),
            Err(why) => (None, Some(format!("{why:#}"))),
        },
        _ => match v1::Tree::open(&stand, &name) {
            Ok((tree, missing)) => (Some(Tree::V1(tree)), missing),
            Err(why) => (None, Some(format!("{why:#}"))),
        },
    };
    let no_ceiling = match (&mut tree, Ceiling::new(&limits, folders)) {
        (None, _) => Some(NO_GROUPS.to_owned()),
        (Some(Tree::V1(tree)), Ok(ceiling)) => tree.hold_to(ceiling).err(),
        (Some(Tree::V2(tree)), Ok(ceiling)) => tree.hold_to(ceiling).err(),
        (Some(_), Err(why)) => Some(why),
    };
    let groups = tree.map(|tree| Groups::new(tree, limits));
    if let Some(groups) = &groups {
        let lines: Vec<_> = groups.folders().iter().map(|folder| folder.display().to_string()).collect();
        if let Err(error) = fs::write(notes, lines.join("\n")) {
            tracing::warn!(%error, "where the control groups are cannot be written down");
        }
    }
    Found { groups, missing, no_ceiling }
}

fn read_notes(notes: &Path) -> Vec<PathBuf> {
    fs::read_to_string(notes).unwrap_or_default().lines().map(PathBuf::from).collect()
}

impl Groups {
    fn new(tree: Tree, limits: Limits) -> Self {
        Self { tree, limits, may_lack: false, known: Mutex::default(), gone: Condvar::new() }
    }

    /// Whether nobody may run outside of a group.
    pub(super) fn must_hold(&self) -> bool {
        !self.may_lack
    }

    /// What is known of all, once this one's group is not just being given up.
    fn known_of(&self, id: &TenantId) -> MutexGuard<'_, Known> {
        self.gone.wait_while(self.known(), |known| known.going.contains(id)).unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folders(&self) -> Vec<PathBuf> {
        match &self.tree {
            Tree::V1(tree) => tree.folders(),
            Tree::V2(tree) => vec![tree.folder().to_owned()],
        }
    }

    /// Their version, and the controllers that are there: what is really limited.
    pub(super) fn words(&self) -> String {
        let (version, controllers) = match &self.tree {
            Tree::V1(tree) => (1, tree.controllers()),
            Tree::V2(tree) => (2, tree.controllers()),
        };
        format!("version {version}: {}", if controllers.is_empty() { "nothing".into() } else { controllers.join(", ") })
    }

    /// What a percloud may do with the disk, in words; none where nobody is held to anything.
    pub(super) fn ceiling(&self) -> Option<String> {
        let ceiling = match &self.tree {
            Tree::V1(tree) => tree.ceiling(),
            Tree::V2(tree) => tree.ceiling(),
        };
        ceiling.map(Ceiling::words)
    }

    /// MiB of memory that a percloud may have.
    pub(super) fn memory_max(&self) -> u64 {
        self.limits.memory_max
    }

    /// Makes the group of a percloud that is placed, so that its first wake finds it.
    pub(super) fn prepare(&self, id: &TenantId) -> io::Result<()> {
        self.make(&mut self.known_of(id), id)?;
        let too_many = self.asleep(id);
        self.give_up(too_many);
        Ok(())
    }

    /// A group for the trial run of the sandbox, where processes can be born in one.
    pub(super) fn trial(&self) -> Option<OwnedFd> {
        let Tree::V2(tree) = &self.tree else { return None };
        tree.make(TRIAL, &self.limits).and_then(|()| tree.door(TRIAL)).ok()
    }

    fn end_trial(&self) {
        if let Tree::V2(tree) = &self.tree {
            let _ = tree.remove(TRIAL);
        }
    }

    fn make(&self, known: &mut Known, id: &TenantId) -> io::Result<()> {
        if known.made.contains_key(id) {
            return Ok(());
        }
        match &self.tree {
            Tree::V1(tree) => tree.make(id.as_str(), &self.limits)?,
            Tree::V2(tree) => tree.make(id.as_str(), &self.limits)?,
        }
        known.makings += 1;
        let making = known.makings;
        known.made.insert(id.clone(), making);
        Ok(())
    }

    /// What a process needs in order to be born in the group, where the kernel can do that.
    pub(super) fn door(&self, id: &TenantId) -> io::Result<Option<OwnedFd>> {
        let Tree::V2(tree) = &self.tree else { return Ok(None) };
        let mut known = self.known_of(id);
        known.asleep.retain(|other| other != id);
        self.make(&mut known, id)?;
        // That was the run before.
        if known.last.remove(id) {
            tree.set_last(id.as_str(), false)?;
        }
        tree.door(id.as_str()).map(Some)
    }

    /// Puts a process that runs already into the group, where it could not be born in it. Takes some milliseconds: the
    /// kernel waits for all its processors.
    pub(super) fn attach(&self, id: &TenantId, process: &Process) -> io::Result<()> {
        let Tree::V1(tree) = &self.tree else { return Ok(()) };
        {
            let mut known = self.known_of(id);
            // Of one that is removed already, nothing is made again.
            if process.ended() {
                return Ok(());
            }
            known.asleep.retain(|other| other != id);
            self.make(&mut known, id)?;
        }
        tree.attach(id.as_str(), process)
    }

    /// Whether somebody can come last where processors are given out.
    pub(super) fn has_last(&self) -> bool {
        match &self.tree {
            Tree::V1(tree) => tree.has_last(),
            Tree::V2(tree) => tree.has_last(),
        }
    }

    /// From now on a percloud's process has of the processors what no other percloud wants, and in version 1 nobody else at all; up to its
    /// usual quota.
    pub(super) fn put_last(&self, id: &TenantId, process: &Process) -> io::Result<()> {
        let mut known = self.known_of(id);
        // Of one that is removed already, nothing is made again.
        if process.ended() || !known.made.contains_key(id) {
            return Ok(());
        }
        match &self.tree {
            Tree::V1(tree) => {
                tree.make_last(id.as_str(), &self.limits)?;
                // To move takes some milliseconds, for which a wake need not wait.
                drop(known);
                tree.put_last(id.as_str(), process)
            }
            Tree::V2(tree) => {
                known.last.insert(id.clone());
                tree.set_last(id.as_str(), true)
            }
        }
    }

    /// It has its share of them again.
    pub(super) fn put_back(&self, id: &TenantId, process: &Process) -> io::Result<()> {
        match &self.tree {
            Tree::V1(tree) => tree.put_back(id.as_str(), process),
            Tree::V2(tree) if self.known().last.remove(id) => tree.set_last(id.as_str(), false),
            Tree::V2(_) => Ok(()),
        }
    }

    /// Whether whoever begins now comes last, because the run before it did (version 2).
    pub(super) fn comes_last(&self, id: &TenantId) -> bool {
        self.known().last.contains(id)
    }

    /// Whether processes are born in their group.
    pub(super) fn by_birth(&self) -> bool {
        matches!(self.tree, Tree::V2(_))
    }

    /// What the group says, and which making of it; none when there is no group.
    pub(super) fn read(&self, id: &TenantId) -> Option<(u64, Reading)> {
        let making = *self.known().made.get(id)?;
        let reading = match &self.tree {
            Tree::V1(tree) => tree.read(id.as_str()),
            Tree::V2(tree) => tree.read(id.as_str()),
        };
        Some((making, reading))
    }

    /// Nothing runs in the group now. Says whose groups are too many, so that the caller has them given up, once nobody waits for anything
    /// that it holds.
    #[must_use]
    pub(super) fn asleep(&self, id: &TenantId) -> Vec<TenantId> {
        let mut known = self.known();
        if !known.made.contains_key(id) || known.going.contains(id) {
            return Vec::new();
        }
        known.asleep.retain(|other| other != id);
        known.asleep.push_back(id.clone());
        let more = known.asleep.len().saturating_sub(KEPT);
        let longest: Vec<_> = known.asleep.drain(..more).collect();
        known.going.extend(longest.iter().cloned());
        longest
    }

    /// Removes the groups of those who sleep too long, as [`Groups::asleep`] says.
    pub(super) fn give_up(&self, going: Vec<TenantId>) {
        for id in going {
            let _ = self.drop_group(&id);
        }
    }

    /// Removes one that is going: each may take a tenth of a second, in which others make theirs.
    fn drop_group(&self, id: &TenantId) -> io::Result<()> {
        let removed = match &self.tree {
            Tree::V1(tree) => tree.remove(id.as_str()),
            Tree::V2(tree) => tree.remove(id.as_str()),
        };
        let mut known = self.known();
        known.going.remove(id);
        if removed.is_ok() {
            known.made.remove(id);
            known.last.remove(id);
        }
        drop(known);
        self.gone.notify_all();
        removed
    }

    /// The group of a percloud that is removed.
    pub(super) fn remove(&self, id: &TenantId) -> io::Result<()> {
        {
            let mut known = self.known_of(id);
            known.asleep.retain(|other| other != id);
            known.going.insert(id.clone());
        }
        self.drop_group(id)
    }

    /// All groups, when the host ends and no runtime is left. After a crash the next host does it.
    pub(super) fn close(&self) {
        self.folders().iter().for_each(|folder| clear(folder));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use super::*;

    /// Groups that are nowhere: they are made and given up, and nobody can be put into one where `folder` is said and is not there.
    pub(in crate::hosts::local) fn played(folder: Option<PathBuf>, may_lack: bool) -> Arc<Groups> {
        let tree = v1::Tree::played(folder.map(|folder| ("pids", folder)).into_iter().collect(), None);
        Arc::new(Groups { may_lack, ..Groups::new(Tree::V1(tree), limits::tests::LIMITS) })
    }

    /// Groups for the processor that are folders like others.
    pub(in crate::hosts::local) fn played_with_last(folder: &Path) -> Arc<Groups> {
        let [usual, last] = ["usual", "last"].map(|name| folder.join(name));
        [&usual, &last].into_iter().for_each(|folder| fs::create_dir(folder).unwrap());
        let tree = v1::Tree::played(vec![("cpu", usual)], Some(last));
        Arc::new(Groups::new(Tree::V1(tree), limits::tests::LIMITS))
    }

    /// Whether its group is among those that may be given up.
    pub(in crate::hosts::local) fn sleeps(groups: &Groups, id: &TenantId) -> bool {
        groups.known().asleep.contains(id)
    }

    /// As [`Groups::door`] does it, in version 2.
    pub(in crate::hosts::local) fn wakes(groups: &Groups, id: &TenantId) {
        groups.known().asleep.retain(|other| other != id);
    }

    #[test]
    fn a_group_that_is_given_up_holds_up_nobody_but_its_own_percloud() {
        let groups = played(None, false);
        let ids: Vec<TenantId> = (0..=KEPT).map(|_| TenantId::random()).collect();
        for id in &ids {
            groups.prepare(id).unwrap();
        }
        assert!(groups.read(&ids[0]).is_none() && groups.read(&ids[1]).is_some(), "the longest asleep is given up");
        groups.make(&mut groups.known(), &ids[0]).unwrap();
        let going = groups.asleep(&ids[0]);
        assert_eq!(going, [ids[1].clone()]);
        // Nobody has removed it yet.
        groups.prepare(&TenantId::random()).unwrap();
        let (tell, heard) = mpsc::channel();
        let (own, id) = (groups.clone(), ids[1].clone());
        let waits = std::thread::spawn(move || tell.send(own.prepare(&id).is_ok()));
        assert!(heard.recv_timeout(Duration::from_millis(200)).is_err(), "it would be removed under its feet");
        groups.give_up(going);
        assert!(heard.recv_timeout(Duration::from_secs(60)).unwrap());
        waits.join().unwrap().unwrap();
        assert!(groups.read(&ids[1]).is_some());
    }
}
