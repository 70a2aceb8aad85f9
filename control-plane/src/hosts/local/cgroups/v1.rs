//! Control groups, version 1: a hierarchy for each controller, and a process can only be moved into a group.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    Limits, Reading, TRIAL, disk::Ceiling, field, limits::PERIOD, make, number, place::Stand, remove, text, told, write,
};
use crate::hosts::local::process::Process;

/// Each controller that we want, whether it must be there, and what for.
const CONTROLLERS: [(&str, bool); 4] = [("memory", true), ("cpu", true), ("pids", true), ("blkio", false)];

/// How the group of those who come last is called, behind the name of the usual one.
pub(super) const LAST: &str = "-last";

/// The group of all perclouds in each hierarchy.
pub(super) struct Tree {
    /// Controller and folder.
    folders: Vec<(&'static str, PathBuf)>,
    /// Beside it, for the processor only: the group of those who come last. None where the kernel knows no such thing.
    last: Option<PathBuf>,
    /// What each may do with the disk, where that can be said.
    ceiling: Option<Ceiling>,
}

/// What is written into a percloud's groups: controller, file, value, and whether the kernel must take it.
pub(super) fn words(limits: &Limits, ceiling: Option<&Ceiling>) -> Vec<(&'static str, &'static str, String, bool)> {
    let memory = limits.memory_max_bytes();
    let mut words = vec![
        ("memory", "memory.limit_in_bytes", memory.to_string(), true),
        // Memory and swap together; only where the kernel counts swap.
        ("memory", "memory.memsw.limit_in_bytes", (2 * memory).to_string(), false),
        ("memory", "memory.soft_limit_in_bytes", limits.memory_soft_bytes().to_string(), true),
        ("cpu", "cpu.shares", "1024".into(), true),
        ("cpu", "cpu.cfs_period_us", PERIOD.to_string(), true),
        ("cpu", "cpu.cfs_quota_us", limits.cpu_quota().to_string(), true),
        ("pids", "pids.max", limits.threads_max.to_string(), true),
        // What is there depends on the disk's scheduler.
        ("blkio", "blkio.bfq.weight", "100".into(), false),
        ("blkio", "blkio.weight", "500".into(), false),
    ];
    // It was tried: what the kernel has taken once it takes again.
    words.extend(ceiling.into_iter().flat_map(Ceiling::v1).map(|(file, value)| ("blkio", file, value, true)));
    words
}

/// What the files of a group say.
pub(super) fn reading(usage: &str, stat: &str, oom_control: &str, cpu_stat: &str, pids_events: &str) -> Reading {
    Reading {
        memory: number(usage).saturating_sub(field(stat, "total_inactive_file")),
        throttled_micros: throttled(cpu_stat),
        memory_kills: field(oom_control, "oom_kill"),
        threads_refused: field(pids_events, "max"),
    }
}

fn throttled(cpu_stat: &str) -> u64 {
    field(cpu_stat, "throttled_time") / 1000
}

impl Tree {
    /// Makes the group of all perclouds in each hierarchy, below our own, so that limits that we are under hold for them; and
    /// what is missing, in words.
    pub(super) fn open(stand: &Stand, name: &str) -> anyhow::Result<(Self, Option<String>)> {
        let (mut folders, mut missing) = (Vec::new(), Vec::new());
        for (controller, wanted) in CONTROLLERS {
            let made = match stand.v1_of(controller) {
                None => Err("the kernel has none".to_owned()),
                Some(own) => make(&own.join(name)).map(|()| own.join(name)).map_err(|error| match error.kind() {
                    io::ErrorKind::PermissionDenied => "only root may make groups here (version 1)".to_owned(),
                    _ => format!("{}: {error}", own.display()),
                }),
            };
            match made {
                Ok(folder) => folders.push((controller, folder)),
                Err(why) if wanted => missing.push(format!("{controller}: {why}")),
                Err(_) => {}
            }
        }
        let missing = missing.join("; ");
        anyhow::ensure!(!folders.is_empty(), "{missing}");
        let last = stand.v1_of("cpu").and_then(|own| last(&own.join(format!("{name}{LAST}"))));
        let tree = Self { folders, last, ceiling: None };
        // All perclouds together count as much as a busy task on each processor, not as a single one.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        for (file, value) in [("memory.use_hierarchy", "1".to_owned()), ("cpu.shares", (1024 * processors).to_string())]
        {
            let controller = file.split('.').next().unwrap_or_default();
            if let Some(folder) = tree.folder(controller) {
                let _ = write(folder, file, &value);
            }
        }
        Ok((tree, (!missing.is_empty()).then_some(missing)))
    }

    /// Holds each percloud to this from now on, if the kernel takes it; else says why not.
    pub(super) fn hold_to(&mut self, ceiling: Ceiling) -> Result<(), String> {
        let folder = self.folder("blkio").ok_or("there is no group for the disk (blkio)")?.join(TRIAL);
        let tried =
            make(&folder).and_then(|()| ceiling.v1().iter().try_for_each(|(file, value)| write(&folder, file, value)));
        let _ = remove(&folder);
        tried.map_err(|error| error.to_string())?;
        self.ceiling = Some(ceiling);
        Ok(())
    }

    pub(super) fn ceiling(&self) -> Option<&Ceiling> {
        self.ceiling.as_ref()
    }

    /// Those that are there.
    pub(super) fn controllers(&self) -> Vec<String> {
        let weights = ["blkio.bfq.weight", "blkio.weight"];
        self.folders.iter().filter_map(|(controller, folder)| told(controller, folder, weights)).collect()
    }

    pub(super) fn folders(&self) -> Vec<PathBuf> {
        self.folders.iter().map(|(_, folder)| folder).chain(&self.last).cloned().collect()
    }

    fn folder(&self, controller: &str) -> Option<&Path> {
        self.folders.iter().find(|(name, _)| *name == controller).map(|(_, folder)| folder.as_path())
    }

    pub(super) fn make(&self, name: &str, limits: &Limits) -> io::Result<()> {
        for (_, folder) in &self.folders {
            make(&folder.join(name))?;
        }
        for (controller, file, value, must) in words(limits, self.ceiling()) {
            let Some(folder) = self.folder(controller) else { continue };
            let written = write(&folder.join(name), file, &value);
            if must {
                written?;
            }
        }
        Ok(())
    }

    /// Moves the process into the percloud's group in each hierarchy.
    pub(super) fn attach(&self, name: &str, process: &Process) -> io::Result<()> {
        self.folders.iter().try_for_each(|(_, folder)| put(folder, name, process))
    }

    /// Whether the kernel knows such a thing as coming last.
    pub(super) fn has_last(&self) -> bool {
        self.last.is_some()
    }

    /// Makes the percloud's group among those who come last, with its usual quota.
    pub(super) fn make_last(&self, name: &str, limits: &Limits) -> io::Result<()> {
        let Some(folder) = &self.last else { return Ok(()) };
        make(&folder.join(name))?;
        let words = words(limits, None);
        let mut of_processor = words.iter().filter(|(controller, ..)| *controller == "cpu");
        of_processor.try_for_each(|(_, file, value, _)| write(&folder.join(name), file, value))
    }

    /// Moves the process there.
    pub(super) fn put_last(&self, name: &str, process: &Process) -> io::Result<()> {
        self.last.as_ref().map_or(Ok(()), |folder| put(folder, name, process))
    }

    /// Moves it back to where it has its share of the processors.
    pub(super) fn put_back(&self, name: &str, process: &Process) -> io::Result<()> {
        self.folder("cpu").map_or(Ok(()), |folder| put(folder, name, process))
    }

    pub(super) fn read(&self, name: &str) -> Reading {
        let read = |controller: &str, file: &str| {
            self.folder(controller).map(|folder| text(&folder.join(name), file)).unwrap_or_default()
        };
        let usual = reading(
            &read("memory", "memory.usage_in_bytes"),
            &read("memory", "memory.stat"),
            &read("memory", "memory.oom_control"),
            &read("cpu", "cpu.stat"),
            &read("pids", "pids.events"),
        );
        let last = self.last.as_ref().map(|folder| text(&folder.join(name), "cpu.stat")).unwrap_or_default();
        Reading { throttled_micros: usual.throttled_micros + throttled(&last), ..usual }
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        self.folders().iter().try_for_each(|folder| remove(&folder.join(name)))
    }
}

/// Makes the group of those who come last. Among the groups beside it: whoever of others wakes takes the processor over at once, which
/// a small weight alone does not do.
fn last(folder: &Path) -> Option<PathBuf> {
    make(folder).and_then(|()| write(folder, "cpu.idle", "1")).ok().map(|()| folder.to_owned()).or_else(|| {
        // Linux before 5.15.
        let _ = fs::remove_dir(folder);
        None
    })
}

/// Moves the process into the percloud's group in one hierarchy.
fn put(folder: &Path, name: &str, process: &Process) -> io::Result<()> {
    let Some(number) = process.number() else { return Ok(()) };
    match fs::write(folder.join(name).join("cgroup.procs"), number.to_string()) {
        // It has ended, and its group may have gone with it.
        Err(_) if process.ended() => return Ok(()),
        moved => moved?,
    }
    if process.ended() {
        // Its number may have become another's, who does not belong here.
        let inside = text(&folder.join(name), "cgroup.procs");
        if let (true, Some(ours)) = (inside.lines().any(|line| line == number.to_string()), folder.parent()) {
            let _ = fs::write(ours.join("cgroup.procs"), number.to_string());
        }
    }
    Ok(())
}

#[cfg(test)]
impl Tree {
    /// One in other folders than the kernel's.
    pub(super) fn played(folders: Vec<(&'static str, PathBuf)>, last: Option<PathBuf>) -> Self {
        Self { folders, last, ceiling: None }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{disk::tests::CEILING, limits::tests::LIMITS},
        *,
    };

    #[test]
    fn limits_are_said_as_version_1_wants_them() {
        let words: Vec<_> =
            words(&LIMITS, Some(&CEILING)).into_iter().map(|(_, file, value, _)| (file, value)).collect();
        let expected = [
            ("memory.limit_in_bytes", "536870912"),
            ("memory.memsw.limit_in_bytes", "1073741824"),
            ("memory.soft_limit_in_bytes", "134217728"),
            ("cpu.shares", "1024"),
            ("cpu.cfs_period_us", "100000"),
            ("cpu.cfs_quota_us", "150000"),
            ("pids.max", "64"),
            ("blkio.bfq.weight", "100"),
            ("blkio.weight", "500"),
            ("blkio.throttle.read_bps_device", "254:0 2097152"),
            ("blkio.throttle.write_bps_device", "254:0 2097152"),
            ("blkio.throttle.read_iops_device", "254:0 9"),
            ("blkio.throttle.write_iops_device", "254:0 9"),
        ];
        assert_eq!(words, expected.map(|(file, value)| (file, value.to_owned())));
    }

    #[test]
    fn what_version_1_says_is_understood() {
        let read = reading(
            "10485760\n",
            "cache 9\ninactive_file 1\ntotal_inactive_file 4194304\n",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
            "nr_periods 9\nnr_throttled 3\nthrottled_time 1234567\n",
            "max 7\n",
        );
        assert_eq!(read, Reading { memory: 6_291_456, throttled_micros: 1234, memory_kills: 2, threads_refused: 7 });
        assert_eq!(reading("", "", "", "", ""), Reading::default());
        assert_eq!(reading("5", "total_inactive_file 9", "", "", "").memory, 0);
    }
}
