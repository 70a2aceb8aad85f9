//! Control groups: what all processes of a percloud together may take of the machine, and what they took.
//!
//! One group holds all perclouds, below it is one for each that is awake or was lately; percloud's own roles are in none of
//! them. A group costs the kernel some 50 KiB, so that those of the longest asleep are given up: ten thousand sleepers would
//! take half a gigabyte. What is wanted is in [`Limits`], what is seen in [`Reading`]; [`v2`] and [`v1`] put it into words.

mod disk;
mod limits;
mod place;
mod v1;
mod v2;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bundle::TenantId;
use sha2::{Digest, Sha256};

use disk::Ceiling;
pub use limits::Limits;

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
    /// What can be used; says so among the findings, unless the trial has found that nothing can.
    pub(super) fn into_groups(self, findings: &mut Vec<Finding>) -> Option<Groups> {
        if findings.iter().any(|finding| finding.kind == Kind::ControlGroups) {
            findings.push(Finding { kind: Kind::Io, missing: Some(NO_GROUPS.into()) });
            return None;
        }
        findings.push(Finding { kind: Kind::ControlGroups, missing: self.missing });
        findings.push(Finding { kind: Kind::Io, missing: self.no_ceiling });
        if let Some(groups) = &self.groups {
            groups.end_trial();
        }
        self.groups
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
    known: Mutex<Known>,
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
    let groups = tree.map(|tree| Groups { tree, limits, known: Mutex::default() });
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

/// The names of controllers as they are told: of the disk, all have the same weight, and only where its scheduler knows weights.
fn told(controller: &'static str, group: &Path, weights: [&str; 2]) -> Option<String> {
    match controller {
        "io" | "blkio" => {
            let weighs = weights.iter().any(|file| group.join(file).exists());
            weighs.then(|| format!("{controller} (equal weights)"))
        }
        limits => Some(limits.to_owned()),
    }
}

/// Removes a group and those in it, as far as nobody runs in them. The files of a group are the kernel's and go with it.
fn clear(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}

/// Makes one folder of the kernel's; well if it is there.
fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

impl Groups {
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
        self.make(&mut self.known(), id)?;
        self.asleep(id);
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
        let mut known = self.known();
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
            let mut known = self.known();
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
        let mut known = self.known();
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

    /// Nothing runs in the group now.
    pub(super) fn asleep(&self, id: &TenantId) {
        let mut known = self.known();
        if !known.made.contains_key(id) {
            return;
        }
        known.asleep.retain(|other| other != id);
        known.asleep.push_back(id.clone());
        while known.asleep.len() > KEPT {
            if let Some(longest) = known.asleep.pop_front() {
                let _ = self.drop_group(&mut known, &longest);
            }
        }
    }

    fn drop_group(&self, known: &mut Known, id: &TenantId) -> io::Result<()> {
        match &self.tree {
            Tree::V1(tree) => tree.remove(id.as_str())?,
            Tree::V2(tree) => tree.remove(id.as_str())?,
        }
        known.made.remove(id);
        known.last.remove(id);
        Ok(())
    }

    /// The group of a percloud that is removed.
    pub(super) fn remove(&self, id: &TenantId) -> io::Result<()> {
        let mut known = self.known();
        known.asleep.retain(|other| other != id);
        self.drop_group(&mut known, id)
    }

    /// All groups, when the host ends and no runtime is left. After a crash the next host does it.
    pub(super) fn close(&self) {
        self.folders().iter().for_each(|folder| clear(folder));
    }
}

/// The number behind `key` in lines of `key value`; 0 when there is none.
fn field(text: &str, key: &str) -> u64 {
    let value = |line: &str| line.split_once(' ').filter(|(name, _)| *name == key)?.1.trim().parse().ok();
    text.lines().find_map(value).unwrap_or(0)
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

fn text(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap_or_default()
}

/// Writes what the kernel must take.
fn write(folder: &Path, file: &str, value: &str) -> io::Result<()> {
    let path = folder.join(file);
    fs::write(&path, value).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// A group whose last process has just ended may be busy for a moment.
fn remove(folder: &Path) -> io::Result<()> {
    for _ in 0..50 {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => return other,
        }
    }
    fs::remove_dir(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name_and_nonsense_is_nought() {
        let text = "nr_throttled 3\nthrottled_usec 700\noom 1\noom_kill 2\nodd\nbad x\n";
        for (key, value) in [("throttled_usec", 700), ("oom", 1), ("oom_kill", 2), ("bad", 0), ("none", 0), ("odd", 0)]
        {
            assert_eq!(field(text, key), value, "{key}");
        }
    }
}
