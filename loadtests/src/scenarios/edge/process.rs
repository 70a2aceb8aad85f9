//! Processes of the bench: held on one processor, killed when dropped, and what they cost.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};

/// Which processor the proxies get, and which everybody else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) proxy: usize,
    pub(crate) client: usize,
}

impl Cores {
    /// The first for the proxy, the last for the others; on a machine with one processor they share it.
    pub(crate) fn of_this_machine() -> Self {
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        Self { proxy: 0, client: all - 1 }
    }
}

/// A command held on one processor. `taskset` becomes the program, so the process id is the program's.
pub(crate) fn on_core(core: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.arg("--cpu-list").arg(core.to_string()).arg(program).stdin(Stdio::null());
    command
}

/// A process that ends with the bench.
pub(crate) struct Running(Child);

impl Running {
    /// Starts it; what it says goes to the file `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command.stdout(file.try_clone()?).stderr(file);
        Ok(Self(command.spawn().with_context(|| format!("cannot start {command:?}"))?))
    }

    /// Microseconds of processor time so far, of all its threads, in user and kernel.
    ///
    /// # Errors
    /// When the process has ended.
    pub(crate) fn cpu_us(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // The second field is a name in parentheses that may hold anything; user and system time are the 14th and 15th.
        let (_, rest) = stat.rsplit_once(") ").context("/proc/PID/stat")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        ensure!(fields.first() != Some(&"Z") && fields.len() > 12, "a process of the bench has ended");
        let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks * 1_000_000.0 / 100.0)
    }

    /// MiB of memory that are its own (PSS).
    ///
    /// # Errors
    /// When the process has ended, or is not ours to look at.
    pub(crate) fn pss_mib(&self) -> anyhow::Result<f64> {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0.id()))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
