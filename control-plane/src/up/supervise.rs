//! Children: started, logged, started again with back-off when they fall, stopped in order.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
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
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};

use super::{logs::Log, say};
use crate::config::{Common, Paths, SEAL_KEY_COMMAND};

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
    command: Box<dyn Fn(&Path) -> Command + Send + Sync>,
    stop: Signal,
    /// Where this program's file was when it was started; an upgrade puts another one there.
    file: PathBuf,
}

/// This very program, whatever has become of its file.
const OURSELVES: &str = "/proc/self/exe";

impl Program {
    /// A child called `name` in logs and messages. The command is told our own program's file, should it want that.
    pub(super) fn new(name: &'static str, command: impl Fn(&Path) -> Command + Send + Sync + 'static) -> Self {
        let file = std::env::current_exe().unwrap_or_else(|_| OURSELVES.into());
        Self { name, command: Box::new(command), stop: Signal::SIGTERM, file }
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
    env.extend(common.public_port.map(|port| ("PERCLOUD_PUBLIC_PORT".to_owned(), port.to_string())));
    env.extend(database_url.map(|url| ("PERCLOUD_DATABASE_URL".to_owned(), url.to_owned())));
    let handed_on = |key: &str| {
        key.starts_with("OTEL_")
            || key == "PERCLOUD_LOG"
            || (key == SEAL_KEY_COMMAND && matches!(name, "reconcile" | "edge"))
            || (key.starts_with("PERCLOUD_SMTP") || key.starts_with("PERCLOUD_MAIL"))
                && matches!(name, "reconcile" | "web")
    };
    env.extend(std::env::vars().filter(|(key, _)| handed_on(key)));
    env.extend(more);
    let drop_to = uid.filter(|_| as_root);
    Ok(Program::new(name, move |file| {
        let mut command = Command::new(file);
        command.arg(format!("--supervised={}", std::process::id()));
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
    replace: Arc<Notify>,
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
        let child = spawn(&program, Path::new(OURSELVES), &self.logs)?;
        let name = program.name;
        let (stop, stopped) = watch::channel(false);
        let replace = Arc::new(Notify::new());
        let orders = Orders { stopped, replace: replace.clone(), hopeless: self.hopeless.0.clone() };
        let task = tokio::spawn(keep(program, child, self.logs.clone(), orders));
        self.keepers.push(Keeper { name, stop, replace, task });
        Ok(())
    }

    /// Starts the child `name` beside the one that runs, from our program's file as it is on the disk now; the old one leaves
    /// when the new one tells it to.
    pub(super) fn replace(&self, name: &str) {
        self.keepers.iter().filter(|keeper| keeper.name == name).for_each(|keeper| keeper.replace.notify_one());
    }

    /// Resolves with a child's name when it has fallen [`HOPELESS`] times in a row.
    pub(super) async fn gives_up(&mut self) -> &'static str {
        match self.hopeless.1.recv().await {
            Some(name) => name,
            None => std::future::pending().await,
        }
    }

    /// What was started so far answers: that it was given up before is forgotten. A server that was killed may be in the way of its successor until it
    /// has written what it had in memory.
    pub(super) fn is_well(&mut self) {
        while self.hopeless.1.try_recv().is_ok() {}
    }

    /// Returns when it is time to stop; children that fall meanwhile are started again for ever, and SIGUSR2 replaces the edge.
    pub(super) async fn watch(&mut self, stop: Stop, mut replace: tokio::signal::unix::Signal) {
        let mut stop = std::pin::pin!(stop.wait());
        loop {
            tokio::select! {
                () = stop.as_mut() => return,
                _ = replace.recv() => self.replace("edge"),
            }
        }
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

/// What a keeper hears, and whom it tells.
struct Orders {
    stopped: watch::Receiver<bool>,
    replace: Arc<Notify>,
    hopeless: mpsc::UnboundedSender<&'static str>,
}

async fn keep(program: Program, mut child: Child, logs: PathBuf, mut orders: Orders) {
    let (mut pause, mut falls) = (FIRST, 0);
    let mut file = Path::new(OURSELVES);
    // Those that were replaced and are not gone yet. One that was never relieved, since the new one does not start, serves on.
    let mut leaving = JoinSet::new();
    loop {
        let since = Instant::now();
        let ended = tokio::select! {
            ended = child.wait() => ended,
            _ = orders.stopped.changed() => {
                end(&program, child).await;
                while leaving.join_next().await.is_some() {}
                return;
            }
            () = orders.replace.notified() => {
                file = &program.file;
                match spawn(&program, file, &logs) {
                    Ok(next) => {
                        say(format_args!("{} is being replaced.", program.name));
                        let old = std::mem::replace(&mut child, next);
                        leaving.spawn(leave(program.stop, old, orders.stopped.clone()));
                    }
                    Err(error) => say(format_args!("{} stays: {error:#}", program.name)),
                }
                continue;
            }
        };
        if since.elapsed() > STEADY {
            (pause, falls) = (FIRST, 0);
        }
        falls += 1;
        let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        say(format_args!("{} ended ({how}); starting it again in {} ms.", program.name, pause.as_millis()));
        tracing::warn!(role = program.name, how, falls, "a role ended");
        if falls == HOPELESS {
            let _ = orders.hopeless.send(program.name);
        }
        child = loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = orders.stopped.changed() => {
                    while leaving.join_next().await.is_some() {}
                    return;
                }
            }
            pause = (pause * 2).min(LONGEST);
            match spawn(&program, file, &logs) {
                Ok(child) => break child,
                Err(error) => say(format_args!("{}: {error:#}", program.name)),
            }
        };
    }
}

/// Waits until a replaced child has gone.
async fn leave(stop: Signal, mut child: Child, mut stopped: watch::Receiver<bool>) {
    tokio::select! {
        _ = child.wait() => {}
        _ = stopped.changed() => end_by(stop, "the edge before", child).await,
    }
}

async fn end(program: &Program, child: Child) {
    end_by(program.stop, program.name, child).await;
}

async fn end_by(stop: Signal, name: &str, mut child: Child) {
    let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) else { return };
    // It may have ended by itself in this very moment.
    let _ = kill(Pid::from_raw(pid), stop);
    if tokio::time::timeout(DRAIN, child.wait()).await.is_err() {
        say(format_args!("{name} does not stop; killing it."));
        let _ = child.kill().await;
    }
}

fn spawn(program: &Program, file: &Path, logs: &Path) -> anyhow::Result<Child> {
    let mut command = (program.command)(file);
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn what_fell_five_times_and_answers_then_is_not_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let starts = folder.path().join("starts");
        let script =
            format!("echo >> {0}; [ $(wc -l < {0}) -gt {HOPELESS} ] && exec sleep 1000; exit 1", starts.display());
        let mut supervisor = Supervisor::new(folder.path().to_owned());
        let program = Program::new("postgres", move |_| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", &script]);
            command
        });
        supervisor.start(program).unwrap();
        let started =
            || std::fs::read_to_string(&starts).is_ok_and(|starts| starts.lines().count() > HOPELESS as usize);
        let stays = async {
            while !started() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), stays).await.unwrap();
        supervisor.is_well();
        assert_eq!(supervisor.gives_up().now_or_never(), None);
        supervisor.stop().await;
    }
}
