//! Control groups, version 2: one hierarchy, in which only groups without groups below them hold processes. A process can
//! be born in its group, which costs nothing.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use anyhow::Context;
use rustix::fs::{CWD, Mode, OFlags};

use super::{
    Limits, Reading, TRIAL, disk::Ceiling, field, limits::PERIOD, make, number, place::At, remove, text, told, write,
};

const WANTED: [&str; 3] = ["memory", "cpu", "pids"];
/// Where our own roles go, when the group that we are in becomes the one above them and the perclouds.
const ROLES: &str = "percloud-roles";

/// The group of all perclouds.
pub(super) struct Tree {
    folder: PathBuf,
    /// What each may do with the disk, where that can be said.
    ceiling: Option<Ceiling>,
}

/// What is written into a percloud's group: file, value, and whether the kernel must take it when the controller is there. No soft
/// limit: above `memory.high`, whoever has nothing to give back sleeps up to two seconds for each piece, and hangs instead of ending.
pub(super) fn words(limits: &Limits, ceiling: Option<&Ceiling>) -> Vec<(&'static str, String, bool)> {
    let memory = limits.memory_max_bytes();
    let mut words = vec![
        ("memory.max", memory.to_string(), true),
        ("memory.swap.max", memory.to_string(), false),
        ("cpu.weight", "100".into(), true),
        ("cpu.max", format!("{} {PERIOD}", limits.cpu_quota()), true),
        ("pids.max", limits.threads_max.to_string(), true),
        // What is there depends on the disk's scheduler.
        ("io.weight", "default 100".into(), false),
        ("io.bfq.weight", "default 100".into(), false),
    ];
    // It was tried: what the kernel has taken once it takes again.
    words.extend(ceiling.map(|ceiling| ("io.max", ceiling.v2(), true)));
    words
}

/// What the files of a group say.
pub(super) fn reading(current: &str, stat: &str, events: &str, cpu_stat: &str, pids_events: &str) -> Reading {
    Reading {
        memory: number(current).saturating_sub(field(stat, "inactive_file")),
        throttled_micros: field(cpu_stat, "throttled_usec"),
        memory_kills: field(events, "oom_kill"),
        threads_refused: field(pids_events, "max"),
    }
}

/// What is known of the group that we are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// It is the topmost that we can see.
    topmost: bool,
    /// The topmost is the machine's own and not a container's.
    machine: bool,
    /// systemd has given it to us for good (`Delegate=yes`).
    delegated: bool,
    /// systemd has given us the one above.
    delegated_above: bool,
    /// We are root.
    root: bool,
}

/// Below which group ours is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Below {
    /// The topmost of the machine, which may hold processes and groups.
    Top,
    /// Our own; what runs there moves one further down.
    Own,
    /// The one above our own.
    Above,
}

/// Chooses; an error says what to do.
pub(super) fn choose(seen: Seen) -> Result<Below, &'static str> {
    match seen {
        Seen { topmost: true, machine: true, root: true, .. } => Ok(Below::Top),
        Seen { delegated_above: true, .. } => Ok(Below::Above),
        Seen { delegated: true, .. } => Ok(Below::Own),
        // A container's topmost is the container's, and so ours.
        Seen { topmost: true, machine: false, root: true, .. } => Ok(Below::Own),
        Seen { machine: true, root: true, .. } => Ok(Below::Top),
        Seen { root: true, .. } => Err("this container may not make groups; start percloud in its topmost group"),
        Seen { root: false, .. } => {
            Err("no groups were given to this user: start percloud by systemd with Delegate=yes, \
             as in `systemd-run --user --scope -p Delegate=yes percloud up …`")
        }
    }
}

fn look(at: &At) -> Seen {
    let above = at.own.parent().filter(|_| at.own != at.top);
    Seen {
        topmost: at.own == at.top,
        // Only the machine's own topmost group has no type.
        machine: !at.top.join("cgroup.type").exists(),
        delegated: delegated(&at.own),
        delegated_above: above.is_some_and(delegated)
            || (at.own.file_name().is_some_and(|name| name == ROLES) && rustix::process::geteuid().is_root()),
        root: rustix::process::geteuid().is_root(),
    }
}

/// The mark that systemd leaves on a group that it gives away; newer ones leave one that everybody can read.
fn delegated(folder: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].into_iter().any(|name| {
        let mut value = [0u8; 8];
        rustix::fs::getxattr(folder, name, &mut value).is_ok_and(|length| value.get(..length) == Some(b"1"))
    })
}

impl Tree {
    /// Makes the group of all perclouds; and what is missing, in words.
    pub(super) fn open(at: &At, name: &str) -> anyhow::Result<(Self, Option<String>)> {
        let seen = look(at);
        let below = choose(seen).map_err(anyhow::Error::msg)?;
        let parent = match below {
            Below::Top => at.top.clone(),
            Below::Own => at.own.clone(),
            Below::Above => at.own.parent().context("no group above our own")?.to_owned(),
        };
        if below != Below::Top {
            move_roles(&parent).context("moving our own roles out of the way")?;
        }
        let offered = text(&parent, "cgroup.controllers");
        let has = |name: &str| offered.split_whitespace().any(|offer| offer == name);
        let folder = parent.join(name);
        make(&folder).with_context(|| folder.display().to_string())?;
        let mut missing = Vec::new();
        for controller in WANTED.into_iter().chain(["io"]) {
            let enabled = if has(controller) {
                let plus = format!("+{controller}");
                let above = write(&parent, "cgroup.subtree_control", &plus);
                above.and_then(|()| write(&folder, "cgroup.subtree_control", &plus)).map_err(|error| error.to_string())
            } else {
                Err("not offered here; the kernel was started without it, or it was not delegated".to_owned())
            };
            if let (Err(why), true) = (enabled, WANTED.contains(&controller)) {
                missing.push(format!("{controller}: {why}"));
            }
        }
        Ok((Self { folder, ceiling: None }, (!missing.is_empty()).then(|| missing.join("; "))))
    }

    /// Holds each percloud to this from now on, if the kernel takes it; else says why not.
    pub(super) fn hold_to(&mut self, ceiling: Ceiling) -> Result<(), String> {
        let group = self.folder.join(TRIAL);
        let tried = make(&group).and_then(|()| write(&group, "io.max", &ceiling.v2()));
        let _ = remove(&group);
        tried.map_err(|error| error.to_string())?;
        self.ceiling = Some(ceiling);
        Ok(())
    }

    pub(super) fn ceiling(&self) -> Option<&Ceiling> {
        self.ceiling.as_ref()
    }

    /// Those that are there.
    pub(super) fn controllers(&self) -> Vec<String> {
        let given = text(&self.folder, "cgroup.subtree_control");
        let here = WANTED.into_iter().chain(["io"]).filter(|name| given.split_whitespace().any(|given| given == *name));
        here.filter_map(|name| told(name, &self.folder, ["io.weight", "io.bfq.weight"])).collect()
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn make(&self, name: &str, limits: &Limits) -> io::Result<()> {
        let group = self.folder.join(name);
        make(&group)?;
        for (file, value, must) in words(limits, self.ceiling()) {
            // A controller that is missing is told as such; its files are not there.
            if let (Err(error), true) = (write(&group, file, &value), must && group.join(file).exists()) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// The group, as clone3() wants it.
    pub(super) fn door(&self, name: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(CWD, self.folder.join(name), flags, Mode::empty())?)
    }

    /// Whether the kernel knows such a thing as coming last: Linux 5.15.
    pub(super) fn has_last(&self) -> bool {
        self.folder.join("cpu.idle").exists()
    }

    /// Whether who is in the group comes last among the groups beside it. The groups of whoever else is on the machine are weighed
    /// against that of all perclouds: to come after those, too, a process would have to move, and would take a second measure of memory.
    pub(super) fn set_last(&self, name: &str, last: bool) -> io::Result<()> {
        write(&self.folder.join(name), "cpu.idle", if last { "1" } else { "0" })
    }

    pub(super) fn read(&self, name: &str) -> Reading {
        let group = self.folder.join(name);
        let read = |file| text(&group, file);
        reading(
            &read("memory.current"),
            &read("memory.stat"),
            &read("memory.events"),
            &read("cpu.stat"),
            &read("pids.events"),
        )
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        remove(&self.folder.join(name))
    }
}

/// A group that others are below may hold no process: all that are in it go into one below. More may come meanwhile.
fn move_roles(group: &Path) -> anyhow::Result<()> {
    let roles = group.join(ROLES);
    for _ in 0..100 {
        let inside = fs::read_to_string(group.join("cgroup.procs"))?;
        if inside.trim().is_empty() {
            return Ok(());
        }
        make(&roles)?;
        for process in inside.lines() {
            match fs::write(roles.join("cgroup.procs"), process) {
                Err(error) if error.raw_os_error() != Some(libc::ESRCH) => return Err(error.into()),
                _ => {}
            }
        }
    }
    anyhow::bail!("more and more processes come into {}", group.display())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{disk::tests::CEILING, limits::tests::LIMITS},
        *,
    };

    #[test]
    fn limits_are_said_as_version_2_wants_them() {
        let words: Vec<_> = words(&LIMITS, Some(&CEILING)).into_iter().map(|(file, value, _)| (file, value)).collect();
        let expected = [
            ("memory.max", "536870912"),
            ("memory.swap.max", "536870912"),
            ("cpu.weight", "100"),
            ("cpu.max", "150000 100000"),
            ("pids.max", "64"),
            ("io.weight", "default 100"),
            ("io.bfq.weight", "default 100"),
            ("io.max", "254:0 rbps=2097152 wbps=2097152 riops=9 wiops=9"),
        ];
        assert_eq!(words, expected.map(|(file, value)| (file, value.to_owned())));
    }

    #[test]
    fn what_version_2_says_is_understood() {
        let read = reading(
            "10485760\n",
            "anon 1\nfile 2\ninactive_file 4194304\n",
            "low 0\nhigh 4\nmax 3\noom 1\noom_kill 1\noom_group_kill 0\n",
            "usage_usec 77\nnr_throttled 3\nthrottled_usec 1234\n",
            "max 7\n",
        );
        assert_eq!(read, Reading { memory: 6_291_456, throttled_micros: 1234, memory_kills: 1, threads_refused: 7 });
        assert_eq!(reading("", "", "", "", ""), Reading::default());
    }

    #[test]
    fn groups_are_made_where_they_are_ours_to_make() {
        let seen = Seen { topmost: false, machine: true, delegated: false, delegated_above: false, root: true };
        let table = [
            ("root in a session's shell", seen, Ok(Below::Top)),
            ("root without systemd", Seen { topmost: true, ..seen }, Ok(Below::Top)),
            ("a service with Delegate=yes", Seen { delegated: true, ..seen }, Ok(Below::Own)),
            ("one that was moved, or has DelegateSubgroup=", Seen { delegated_above: true, ..seen }, Ok(Below::Above)),
            ("a user's scope with Delegate=yes", Seen { delegated: true, root: false, ..seen }, Ok(Below::Own)),
            ("a container", Seen { topmost: true, machine: false, ..seen }, Ok(Below::Own)),
        ];
        for (who, seen, below) in table {
            assert_eq!(choose(seen), below, "{who}");
        }
        assert!(choose(Seen { root: false, ..seen }).unwrap_err().contains("Delegate=yes"));
        assert!(choose(Seen { root: false, topmost: true, ..seen }).is_err());
        assert!(choose(Seen { machine: false, ..seen }).is_err());
    }
}
