//! What the kernel tells of processes: who belongs to a provider, what they use.

use std::{fs, path::Path};

use anyhow::{Context, ensure};

/// The processes of a provider that a bench looks at.
#[derive(Clone, Debug)]
pub(crate) struct Roles {
    /// `percloud host`.
    pub(crate) host: u32,
    /// Its spawner: one process, and another below it, whose children are the runtimes.
    pub(crate) spawners: Vec<u32>,
    /// `percloud edge`.
    pub(crate) edge: u32,
}

impl Roles {
    /// Those of the provider with this data folder.
    ///
    /// # Errors
    /// When one of them does not run.
    pub(crate) fn find(folder: &Path) -> anyhow::Result<Self> {
        let data = format!("PERCLOUD_DATA={}", fs::canonicalize(folder)?.display());
        let role = |name: &str| {
            let is_it = |pid: &u32| {
                let words = strings(*pid, "cmdline");
                let supervised =
                    words.iter().any(|word| word.starts_with("--supervised=")) && words.iter().any(|word| word == name);
                supervised && strings(*pid, "environ").contains(&data)
            };
            all().into_iter().find(is_it).with_context(|| format!("no process of the role {name}"))
        };
        let (host, edge) = (role("host")?, role("edge")?);
        // Two generations; those that a runtime is just made of are gone in a moment, and looked for when there is none.
        let below = |pid: u32| children(pid).into_iter().filter(|pid| is_spawner(*pid));
        let spawners: Vec<u32> = below(host).flat_map(|pid| std::iter::once(pid).chain(below(pid))).collect();
        ensure!(!spawners.is_empty(), "the host has no spawner");
        Ok(Self { host, spawners, edge })
    }

    /// All runtimes that are awake.
    pub(crate) fn runtimes(&self) -> Vec<u32> {
        let below = self.spawners.iter().flat_map(|pid| children(*pid));
        below.filter(|pid| !self.spawners.contains(pid)).collect()
    }

    /// Processor time of host, spawner and edge so far, and of all runtimes that have ended.
    ///
    /// # Errors
    /// When one of them has ended.
    pub(crate) fn cpu_us(&self) -> anyhow::Result<f64> {
        let spawners: f64 = self.spawners.iter().map(|pid| cpu_us(*pid, true)).sum::<anyhow::Result<f64>>()?;
        Ok(cpu_us(self.host, false)? + cpu_us(self.edge, false)? + spawners)
    }
}

fn is_spawner(pid: u32) -> bool {
    strings(pid, "cmdline").get(1).is_some_and(|word| word == "host-spawner")
}

fn all() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// What is told in strings that end with a nought: the command line, the environment.
fn strings(pid: u32, what: &str) -> Vec<String> {
    let all = fs::read(format!("/proc/{pid}/{what}")).unwrap_or_default();
    all.split(|byte| *byte == 0).map(|string| String::from_utf8_lossy(string).into_owned()).collect()
}

/// The fields of `/proc/PID/stat` behind the name: the first is the state, which proc(5) counts as the third.
fn stat(pid: u32) -> anyhow::Result<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name is in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(") ").context("/proc/PID/stat")?;
    Ok(rest.split(' ').map(str::to_owned).collect())
}

/// Those whose parent it is.
fn children(of: u32) -> Vec<u32> {
    let parent = of.to_string();
    all().into_iter().filter(|pid| stat(*pid).is_ok_and(|fields| fields.get(1) == Some(&parent))).collect()
}

/// Microseconds of processor time so far, of all its threads, in user and kernel; with that of children that have ended.
///
/// # Errors
/// When the process has ended.
pub(crate) fn cpu_us(pid: u32, children: bool) -> anyhow::Result<f64> {
    let fields = stat(pid)?;
    ensure!(fields.first().is_some_and(|state| state != "Z") && fields.len() > 14, "a process of the bench has ended");
    let last = if children { 14 } else { 12 };
    let ticks: f64 = fields[11..=last].iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    // A tick is a hundredth of a second on every Linux that we know.
    Ok(ticks * 10_000.0)
}

/// MiB of memory that are its own, with its share of what several have (PSS).
///
/// # Errors
/// When the process has ended, or is not ours to look at.
pub(crate) fn pss_mib(pid: u32) -> anyhow::Result<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
