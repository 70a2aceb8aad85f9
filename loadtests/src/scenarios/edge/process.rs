//! Processes of the bench: held on one processor, killed when dropped, and what they cost.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

use crate::processes;

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
    on_cores(&core.to_string(), program)
}

/// The same for several, as `taskset` takes them.
pub(crate) fn on_cores(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.arg("--cpu-list").arg(cores).arg(program).stdin(Stdio::null());
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
        processes::cpu_us(self.0.id(), false)
    }

    /// MiB of memory that are its own (PSS).
    ///
    /// # Errors
    /// When the process has ended, or is not ours to look at.
    pub(crate) fn pss_mib(&self) -> anyhow::Result<f64> {
        processes::pss_mib(self.0.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
