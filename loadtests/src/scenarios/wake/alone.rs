//! Starts without a host: the bare runtime in the environment that the host gives it, and the least program there is.

use std::{
    ffi::OsString,
    fs,
    mem::ManuallyDrop,
    os::{
        fd::{BorrowedFd, FromRawFd, OwnedFd},
        unix::{ffi::OsStringExt, net::UnixListener, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use tokio::net::UnixStream;

use super::Sleepers;
use crate::visitor::first_byte;

/// What is needed to start them.
pub(super) struct Alone {
    floor: PathBuf,
    runtime: PathBuf,
    folder: PathBuf,
    environment: Vec<(OsString, OsString)>,
    host: String,
}

impl Alone {
    /// Looks at how the host starts a runtime. The bare one gets a folder of its own, and is started once to fill it.
    pub(super) async fn new(sleepers: &Sleepers) -> anyhow::Result<Self> {
        let exe = std::env::current_exe()?;
        let beside = exe.parent().context("this program is in a folder")?;
        let folder = sleepers.provider.folder().join("bare");
        fs::create_dir_all(folder.join("data"))?;
        let (name, _) = &sleepers.perclouds[0];
        let mut environment = environment(sleepers, name).await?;
        let data = environment.iter_mut().find(|(key, _)| key == "PERCLOUD_DATA").context("PERCLOUD_DATA")?;
        data.1 = folder.join("data").into();
        let (floor, runtime) = (beside.join("examples/floor"), beside.join("percloud-runtime"));
        for program in [&floor, &runtime] {
            ensure!(program.exists(), "{} is not built; infra/bench wake builds it", program.display());
        }
        let alone = Self { floor, runtime, folder, environment, host: sleepers.visitor.host(name) };
        alone.bare().await?;
        Ok(alone)
    }

    /// Fork, exec and accept of a program that does nothing else. The library does not fork, if it need not: it lends the child its
    /// memory until the program starts, which takes less.
    pub(super) async fn floor(&self) -> anyhow::Result<Duration> {
        let mut command = Command::new(&self.floor);
        command.env_clear();
        self.start(command).await
    }

    /// The same by a fork, as the bare runtime is started.
    pub(super) async fn floor_forked(&self) -> anyhow::Result<Duration> {
        let mut command = Command::new(&self.floor);
        // SAFETY: nothing is done between fork and exec; that there might be makes the library fork.
        unsafe { command.env_clear().pre_exec(|| Ok(())) };
        self.start(command).await
    }

    /// The runtime with its socket and its environment, and no sandbox.
    pub(super) async fn bare(&self) -> anyhow::Result<Duration> {
        let mut command = Command::new(&self.runtime);
        command.args(["serve", "--activated"]).env_clear().envs(self.environment.iter().cloned());
        // SAFETY: dup2 is allowed between fork and exec. Number 3 is taken over from whoever had it in the child, and not
        // closed here: it is the runtime's.
        unsafe {
            command.pre_exec(|| {
                let mut third = ManuallyDrop::new(OwnedFd::from_raw_fd(3));
                Ok(rustix::io::dup2(BorrowedFd::borrow_raw(0), &mut third)?)
            });
        }
        self.start(command).await
    }

    /// From before the fork to the first byte.
    async fn start(&self, mut command: Command) -> anyhow::Result<Duration> {
        let socket = self.folder.join("socket");
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        command.stdin(Stdio::from(OwnedFd::from(listener))).stdout(Stdio::null()).stderr(Stdio::null());
        let start = Instant::now();
        let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
        let took = ask(&socket, &self.host).await.map(|()| start.elapsed());
        let status = tokio::task::spawn_blocking(move || {
            // Both leave by themselves, the runtime once it is idle; the answer's rest must not be cut.
            child.wait()
        });
        let (took, status) = (took.with_context(|| format!("{command:?}"))?, status.await??);
        ensure!(status.success(), "{command:?}: {status}");
        Ok(took)
    }
}

async fn ask(socket: &Path, host: &str) -> anyhow::Result<()> {
    let mut stream = UnixStream::connect(socket).await?;
    first_byte(&mut stream, host, "/").await.map(drop)
}

/// The environment of a runtime that the host started.
async fn environment(sleepers: &Sleepers, name: &str) -> anyhow::Result<Vec<(OsString, OsString)>> {
    for _ in 0..100 {
        sleepers.visitor.visit(name).await?;
        for pid in sleepers.roles.runtimes() {
            let all = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let pairs = all.split(|byte| *byte == 0).filter_map(|pair| {
                let at = pair.iter().position(|byte| *byte == b'=')?;
                Some((OsString::from_vec(pair[..at].to_vec()), OsString::from_vec(pair[at + 1..].to_vec())))
            });
            let pairs: Vec<_> = pairs.collect();
            if pairs.iter().any(|(key, _)| key == "PERCLOUD_SPEC") {
                return Ok(pairs);
            }
        }
    }
    anyhow::bail!("no runtime could be looked at; is this root, or the user whose provider it is?")
}
