//! The host's end of the spawner.

use std::{
    collections::HashMap,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;

use super::{
    layers::Finding,
    process::Process,
    used::Counters,
    wire::{self, End, Order, Prepare, Report, Start},
};

/// The first word on the command line of a spawner.
pub(super) const NAME: &str = "host-spawner";

/// A running spawner.
pub(super) struct Spawner {
    socket: AsyncFd<OwnedFd>,
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, Waiting>>,
    gone: CancellationToken,
}

/// Who wants to hear of a runtime.
struct Waiting {
    end: oneshot::Sender<End>,
    used: Arc<Counters>,
}

/// A runtime that was ordered.
pub(super) struct Running {
    /// The host's number for it.
    pub(super) key: u64,
    /// Its end.
    pub(super) end: oneshot::Receiver<End>,
}

impl Spawner {
    /// Starts one, from this same program, and has it look at the sandbox's layers. It keeps `lock` until all its
    /// runtimes are gone; `group` is a control group for the trial.
    pub(super) async fn launch(
        prepare: Prepare,
        lock: OwnedFd,
        group: Option<OwnedFd>,
    ) -> anyhow::Result<(Arc<Self>, Vec<Finding>)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("percloud").arg(NAME).env_clear().stdin(Stdio::from(theirs)).stdout(Stdio::null());
        // It ends by itself when our end of the socket is closed; until then it belongs to nobody else.
        let mut child = command.spawn().context("starting the spawner")?;
        drop(command);
        let along: Vec<_> = [Some(&lock), group.as_ref()].into_iter().flatten().map(AsFd::as_fd).collect();
        wire::send(ours.as_fd(), &Order::Prepare(prepare), &along)?;
        drop((lock, group));
        rustix::io::ioctl_fionbio(&ours, true)?;
        // SAFETY: it owns the descriptor, which stays the same until it is dropped.
        let socket = unsafe { AsyncFd::register_with_interest(ours, Interest::READABLE | Interest::WRITABLE) }?;
        let gone = CancellationToken::new();
        let spawner = Arc::new(Self { socket, next: AtomicU64::new(1), waiting: Mutex::default(), gone });
        let findings = match spawner.hear().await?.map(|(report, _)| report) {
            Some(Report::Ready(findings)) => findings,
            Some(Report::Hopeless(why)) => anyhow::bail!("the spawner: {why}"),
            Some(Report::Began(_) | Report::Ended(..)) | None => anyhow::bail!("the spawner ended before it began"),
        };
        let listening = spawner.clone();
        tokio::spawn(async move {
            listening.listen().await;
            // Its end is the end of all runtimes; nobody will be told by it any more.
            listening.waiting().clear();
            listening.gone.cancel();
            let _ = tokio::task::spawn_blocking(move || child.wait()).await;
        });
        Ok((spawner, findings))
    }

    async fn hear(&self) -> io::Result<Option<(Report, Vec<OwnedFd>)>> {
        self.socket.async_io(Interest::READABLE, |socket| wire::receive_what_fits(socket.as_fd())).await
    }

    async fn listen(&self) {
        loop {
            match self.hear().await {
                Ok(Some((Report::Began(key), mut descriptors))) => {
                    let used = self.waiting().get(&key).map(|waiting| waiting.used.clone());
                    match (used, descriptors.pop()) {
                        (Some(used), Some(process)) => used.began(Process::new(process)),
                        (_, Some(_)) => {}
                        (_, None) => {
                            // Nobody could hold it to anything.
                            tracing::error!("the host has no descriptor left for a runtime, which is ended");
                            self.kill(key).await;
                        }
                    }
                }
                Ok(Some((Report::Ended(key, end, spent), _))) => {
                    let waiting = self.waiting().remove(&key);
                    if let Some(waiting) = waiting {
                        waiting.used.ended(spent);
                        let _ = waiting.end.send(end);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(%error, "the spawner");
                    return;
                }
            }
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn say(&self, order: &Order, descriptors: &[std::os::fd::BorrowedFd<'_>]) -> io::Result<()> {
        self.socket.async_io(Interest::WRITABLE, |socket| wire::send(socket.as_fd(), order, descriptors)).await
    }

    /// Orders a start; `start` gets its key here. `group` is where it is born, `used` what it is counted in.
    pub(super) async fn start(
        &self,
        mut start: Start,
        listener: &OwnedFd,
        log: OwnedFd,
        group: Option<OwnedFd>,
        used: Arc<Counters>,
    ) -> io::Result<Running> {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        start.key = key;
        let (tell, end) = oneshot::channel();
        self.waiting().insert(key, Waiting { end: tell, used });
        let along: Vec<_> =
            [Some(listener), Some(&log), group.as_ref()].into_iter().flatten().map(AsFd::as_fd).collect();
        let said = self.say(&Order::Start(Box::new(start)), &along).await;
        if said.is_err() {
            self.waiting().remove(&key);
        }
        said.map(|()| Running { key, end })
    }

    /// Asks a runtime to end when nothing is going on.
    pub(super) async fn hurry(&self, key: u64) {
        let _ = self.say(&Order::Hurry(key), &[]).await;
    }

    /// Asks a runtime to end.
    pub(super) async fn term(&self, key: u64) {
        // When the spawner is gone, so is the runtime.
        let _ = self.say(&Order::Term(key), &[]).await;
    }

    /// Ends a runtime.
    pub(super) async fn kill(&self, key: u64) {
        let _ = self.say(&Order::Kill(key), &[]).await;
    }

    /// Returns when the spawner is gone, and all runtimes with it.
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }
}
