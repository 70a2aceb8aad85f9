//! Children: started, logged, started again with back-off when they fall, stopped in order.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command as AsyncCommand},
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
};

use super::{logs::Log, say};
use crate::config::{Common, Paths};

/// First pause before a fallen child is started again; doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(100);
/// Longest pause before a fallen child is started again.
const LONGEST: Duration = Duration::from_secs(30);
/// A child that has stayed up this long starts with [`FIRST`] again when it falls.
const STEADY: Duration = Duration::from_secs(60);
/// How long a child may take to stop before it is killed: longer than the roles' own drain of 10 seconds.
const DRAIN: Duration = Duration::from_secs(15);
/// Falls in a row after which the start as a whole is given up.
const HOPELESS: u32 = 5;

/// What a child runs and how it is stopped.
pub(super) struct Program {
    name: &'static str,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    stop: Signal,
}

impl Program {
    /// A child called `name` in logs and messages.
    pub(super) fn new(name: &'static str, command: impl Fn() -> Command + Send + Sync + 'static) -> Self {
        Self { name, command: Box::new(command), stop: Signal::SIGTERM }
    }

    /// Another signal than SIGTERM asks it to stop.
    pub(super) fn stopped_by(mut self, stop: Signal) -> Self {
        self.stop = stop;
        self
    }
}

/// This program again, as one of the roles. Its environment holds what it needs and nothing else;
/// the database's password goes that way because command lines are public, and so does what is secret in `more`.
pub(super) fn role(
    name: &'static str,
    uid: Option<u32>,
    args: Vec<String>,
    database_url: Option<&str>,
    more: Vec<(String, String)>,
    common: &Common,
    paths: &Paths,
) -> anyhow::Result<Program> {
    let data = paths.root().to_str().context("--data: not UTF-8")?.to_owned();
    let as_root = nix::unistd::Uid::effective().is_root();
    let mut env: Vec<(String, String)> = vec![
        ("PERCLOUD_DATA".into(), data),
        ("PERCLOUD_BASE_DOMAIN".into(), common.base_domain.to_string()),
        ("PERCLOUD_PORT".into(), common.port.to_string()),
        ("PERCLOUD_PROVIDER_NAME".into(), common.provider_name.clone()),
        ("LC_ALL".into(), "C.UTF-8".into()),
    ];
    env.extend(database_url.map(|url| ("PERCLOUD_DATABASE_URL".to_owned(), url.to_owned())));
    let handed_on = |key: &str| {
        key.starts_with("OTEL_")
            || key == "PERCLOUD_LOG"
            || (key.starts_with("PERCLOUD_SMTP") || key.starts_with("PERCLOUD_MAIL"))
                && matches!(name, "reconcile" | "web")
    };
    env.extend(std::env::vars().filter(|(key, _)| handed_on(key)));
    env.extend(more);
    let drop_to = uid.filter(|_| as_root);
    Ok(Program::new(name, move || {
        let mut command = Command::new("/proc/self/exe");
        command.arg("--supervised");
        if let Some(uid) = drop_to {
            command.args(["--drop-to", &uid.to_string()]);
        }
        command.arg(name).args(&args).env_clear().envs(env.iter().cloned()).current_dir("/").stdin(Stdio::null());
        command
    }))
}

/// All children. One thread makes them, since a parent-death signal is tied to the thread.
pub(super) struct Supervisor {
    logs: PathBuf,
    keepers: Vec<Keeper>,
    hopeless: (mpsc::UnboundedSender<&'static str>, mpsc::UnboundedReceiver<&'static str>),
}

struct Keeper {
    name: &'static str,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Supervisor {
    /// None yet; their logs go to the folder.
    pub(super) fn new(logs: PathBuf) -> Self {
        Self { logs, keepers: Vec::new(), hopeless: mpsc::unbounded_channel() }
    }

    /// Starts a child, and again whenever it falls.
    ///
    /// # Errors
    /// When its program cannot be run at all.
    pub(super) fn start(&mut self, program: Program) -> anyhow::Result<()> {
        let child = spawn(&program, &self.logs)?;
        let name = program.name;
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(keep(program, child, self.logs.clone(), stopped, self.hopeless.0.clone()));
        self.keepers.push(Keeper { name, stop, task });
        Ok(())
    }

    /// Resolves with a child's name when it has fallen [`HOPELESS`] times in a row.
    pub(super) async fn gives_up(&mut self) -> &'static str {
        match self.hopeless.1.recv().await {
            Some(name) => name,
            None => std::future::pending().await,
        }
    }

    /// Returns when it is time to stop; children that fall meanwhile are started again for ever.
    pub(super) async fn watch(&mut self, stop: Stop) {
        stop.wait().await;
    }

    /// Stops the children, the last started first.
    pub(super) async fn stop(self) {
        for keeper in self.keepers.into_iter().rev() {
            // A keeper that is gone already has nothing to stop.
            let _ = keeper.stop.send(true);
            if keeper.task.await.is_err() {
                say(format_args!("{} could not be stopped cleanly.", keeper.name));
            }
        }
    }
}

async fn keep(
    program: Program,
    mut child: Child,
    logs: PathBuf,
    mut stopped: watch::Receiver<bool>,
    hopeless: mpsc::UnboundedSender<&'static str>,
) {
    let (mut pause, mut falls) = (FIRST, 0);
    loop {
        let since = Instant::now();
        let ended = tokio::select! {
            ended = child.wait() => ended,
            _ = stopped.changed() => return end(&program, child).await,
        };
        if since.elapsed() > STEADY {
            (pause, falls) = (FIRST, 0);
        }
        falls += 1;
        let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        say(format_args!("{} ended ({how}); starting it again in {} ms.", program.name, pause.as_millis()));
        tracing::warn!(role = program.name, how, falls, "a role ended");
        if falls == HOPELESS {
            let _ = hopeless.send(program.name);
        }
        child = loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stopped.changed() => return,
            }
            pause = (pause * 2).min(LONGEST);
            match spawn(&program, &logs) {
                Ok(child) => break child,
                Err(error) => say(format_args!("{}: {error:#}", program.name)),
            }
        };
    }
}

async fn end(program: &Program, mut child: Child) {
    let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) else { return };
    // It may have ended by itself in this very moment.
    let _ = kill(Pid::from_raw(pid), program.stop);
    if tokio::time::timeout(DRAIN, child.wait()).await.is_err() {
        say(format_args!("{} does not stop; killing it.", program.name));
        let _ = child.kill().await;
    }
}

fn spawn(program: &Program, logs: &std::path::Path) -> anyhow::Result<Child> {
    let mut command = (program.command)();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut command = AsyncCommand::from(command);
    // A group of its own: Ctrl-C at the terminal is for us, and we stop them in order.
    command.process_group(0);
    let stop = program.stop;
    // SAFETY: between fork and exec only `prctl` and `umask` are called, which are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(stop)?;
            // Sockets and files are for the owner and the group that a folder's setgid bit names.
            nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o007));
            Ok(())
        });
    }
    let mut child = command.spawn().with_context(|| format!("cannot start {}", program.name))?;
    if let Some(stdout) = child.stdout.take() {
        tokio::spawn(Log::open(logs, program.name)?.copy(stdout));
    }
    if let Some(stderr) = child.stderr.take() {
        tokio::spawn(Log::open(logs, program.name)?.copy(stderr));
    }
    Ok(child)
}

/// Tells whoever asks that it is time to stop.
#[derive(Clone)]
pub(super) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Whether it is time.
    pub(super) fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is time.
    pub(super) async fn wait(mut self) {
        // The sender lives in a task as long as the program does.
        let _ = self.0.wait_for(|set| *set).await;
    }
}

/// SIGINT or SIGTERM sets it.
///
/// # Errors
/// When signals cannot be caught.
pub(super) fn stop_signal() -> anyhow::Result<Stop> {
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        loop {
            tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
            let _ = sender.send(true);
        }
    });
    Ok(Stop(receiver))
}
