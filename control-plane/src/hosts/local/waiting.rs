//! What a unit waits for: a reason to start its runtime, and the runtime's end.

use std::{
    future::poll_fn,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
    net::SocketFlags,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::Instant,
};

use super::{
    gate::Gate,
    restart::{SETTLED, Troubles},
    schedule::Turn,
    unit::{Event, Run},
    wire::End,
};

/// The socket of one who is awake is looked at this often: it is in the runtime's hands.
const LOOKED_AT: Duration = Duration::from_secs(5);
/// How long the host waits for descriptors or memory when it has none to let somebody in with.
const RELIEF: Duration = Duration::from_millis(50);

/// The end of a run, or that it has lasted, or for too long, or that its socket has become deaf.
pub(super) async fn end_of(run: &mut Run, listener: Option<&OwnedFd>, troubles: &Troubles) -> Event {
    let settled = run.since + SETTLED;
    let tried_again = is_another_try(troubles, run.since);
    let until = run.until;
    let mut end = std::pin::pin!(async {
        // No answer means that the spawner is gone, and the runtime with it.
        (&mut run.running.end).await.unwrap_or(End::Killed(libc::SIGKILL))
    });
    loop {
        tokio::select! {
            end = &mut end => return Event::Ended(end),
            () = tokio::time::sleep_until(settled), if tried_again => return Event::Settled,
            () = tokio::time::sleep_until(until.unwrap_or(settled)), if until.is_some() => return Event::Overstays,
            () = tokio::time::sleep(LOOKED_AT) => {}
        }
        if listener.is_some_and(is_deaf) {
            return Event::Deaf(DEAF.to_owned());
        }
    }
}

/// Whether a run since then is one after a failure: not the one that is told to end for it, and takes its time.
fn is_another_try(troubles: &Troubles, since: Instant) -> bool {
    troubles.failing().is_some() && troubles.not_before() <= Some(since)
}

/// A reason to start it: a connection; or the time that it named itself; or, when it fails, the time to try it again. Without an alarm the first only.
///
/// Nearly all units wait in here, and nearly all of those for a connection only: what the others need has a place of its own.
pub(super) async fn wanted(
    listener: &OwnedFd,
    troubles: &Troubles,
    gate: &Gate,
    alarm: Option<impl Future<Output = Turn>>,
) -> Event {
    let waiting = async {
        let moment = troubles.not_before();
        let turn = match moment.filter(|_| troubles.failing().is_some()) {
            Some(moment) => {
                // Nobody waits for one that does not start: the edge hears at once, and tells visitors in words. It is tried again though
                // nobody comes, but in its turn: it may have failed for want of memory.
                Box::pin(turn_away(listener, Some(moment))).await?;
                if alarm.is_none() {
                    return Ok(Event::Waited);
                }
                None
            }
            None => {
                if let Some(moment) = moment {
                    Box::pin(tokio::time::sleep_until(moment)).await;
                }
                let connections = connections(listener)?;
                tokio::select! {
                    biased;
                    came = poll_fn(|context| connections.poll_read_ready(context).map_ok(drop)) => came.map(|()| None)?,
                    turn = rings(alarm) => Some(turn),
                }
            }
        };
        if is_deaf(listener) {
            return Err(io::Error::other(DEAF));
        }
        if !gate.is_open() {
            Box::pin(its_turn(listener, gate)).await?;
        }
        Ok(Event::Start(turn))
    };
    // Never a start: whoever breaks its own socket would be started without end, whatever it waits for.
    waiting.await.unwrap_or_else(|error: io::Error| Event::Deaf(error.to_string()))
}

async fn rings(alarm: Option<impl Future<Output = Turn>>) -> Turn {
    match alarm {
        Some(alarm) => alarm.await,
        None => std::future::pending().await,
    }
}

const DEAF: &str = "it was shut down";

/// Whether a socket hears nobody any more. Whoever shuts it down, shuts it for all who have it; then it looks for ever as if somebody waited.
pub(super) fn is_deaf(listener: &OwnedFd) -> bool {
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut [PollFd::new(listener, PollFlags::RDHUP)], Some(&now)) != Ok(0)
}

/// Waits in the line of those who wake while memory is short. Where that takes long, visitors hear at once: they wait for nothing, and
/// find it awake when they come again after its turn.
async fn its_turn(listener: &OwnedFd, gate: &Gate) -> io::Result<()> {
    let told = async {
        if gate.is_long() {
            turn_away(listener, None).await?;
        }
        std::future::pending().await
    };
    tokio::select! {
        () = gate.pass() => Ok(()),
        told = told => told,
    }
}

fn connections(listener: &OwnedFd) -> io::Result<AsyncFd<BorrowedFd<'_>>> {
    // SAFETY: the listener is borrowed for longer than what is returned lives.
    Ok(unsafe { AsyncFd::register_with_interest(listener.as_fd(), Interest::READABLE) }?)
}

/// Takes and closes every connection that comes before this moment; without one, for as long as it is awaited.
async fn turn_away(listener: &OwnedFd, until: Option<Instant>) -> io::Result<()> {
    let connections = connections(listener)?;
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    let away = async {
        loop {
            let mut ready = connections.readable().await?;
            // Asked each time: the socket's own mode belongs to the runtime, so taking one too many would wait.
            while rustix::event::poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&now))? > 0 {
                match rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
                    Ok(connection) => drop(connection),
                    // The machine's trouble, and none of this socket's.
                    Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => tokio::time::sleep(RELIEF).await,
                    Err(error) => return Err(error.into()),
                }
            }
            ready.clear_ready();
        }
    };
    match until {
        Some(until) => tokio::time::timeout_at(until, away).await.unwrap_or(Ok(())),
        None => away.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    /// Where it listens, and its socket.
    fn socket() -> (tempfile::TempDir, OwnedFd) {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("sock")).unwrap();
        listener.set_nonblocking(true).unwrap();
        (folder, listener.into())
    }

    async fn next(listener: &OwnedFd, troubles: &Troubles, gate: &Gate) -> Event {
        let waits = wanted(listener, troubles, gate, Some(std::future::pending()));
        tokio::time::timeout(Duration::from_secs(20), waits).await.expect("something happens")
    }

    #[tokio::test]
    async fn a_socket_that_was_shut_starts_nothing_whatever_is_waited_for() {
        let (open, short, well) = (Gate::new(), Gate::new(), Troubles::default());
        short.set(Some(Duration::from_secs(3600)));
        let (mut failed, mut stopped) = (well.clone(), well.clone());
        failed.ended(&End::Left(3), Duration::ZERO, "", Instant::now());
        stopped.fills("holds much".into(), Instant::now());
        for (gate, troubles) in [(&open, &well), (&open, &failed), (&open, &stopped), (&short, &well)] {
            let (folder, listener) = socket();
            let visitor = UnixStream::connect(folder.path().join("sock")).unwrap();
            assert!(!is_deaf(&listener), "somebody waits");
            drop(visitor);
            rustix::net::shutdown(&listener, rustix::net::Shutdown::Read).unwrap();
            assert!(is_deaf(&listener));
            assert!(matches!(next(&listener, troubles, gate).await, Event::Deaf(_)), "{troubles:?}");
        }
        let (folder, listener) = socket();
        let _visitor = UnixStream::connect(folder.path().join("sock")).unwrap();
        assert!(matches!(next(&listener, &well, &open).await, Event::Start(None)));
    }

    #[test]
    fn one_that_is_told_to_end_and_takes_its_time_is_not_called_well() {
        let now = Instant::now();
        let mut troubles = Troubles::default();
        assert!(!is_another_try(&troubles, now));
        troubles.fills("holds much".into(), now);
        assert!(!is_another_try(&troubles, now), "this is the run that was stopped");
        assert!(is_another_try(&troubles, now + Duration::from_secs(3600)), "this is the next one");
    }

    #[tokio::test]
    async fn one_that_is_suspended_is_started_for_visitors_only() {
        let ((folder, listener), gate) = (socket(), Gate::new());
        let next = async |troubles: &Troubles| {
            let waits = wanted(&listener, troubles, &gate, None::<std::future::Pending<Turn>>);
            tokio::time::timeout(Duration::from_millis(300), waits).await.ok()
        };
        let (well, mut failed) = (Troubles::default(), Troubles::default());
        let before = Instant::now().checked_sub(Duration::from_secs(60)).expect("a machine that is up for a minute");
        failed.ended(&End::NotStarted("no".into()), Duration::ZERO, "", before);
        assert!(matches!(next(&failed).await, Some(Event::Waited)), "it is not tried again by itself");
        failed.waited();
        for troubles in [&well, &failed] {
            assert!(next(troubles).await.is_none(), "nobody is there");
        }
        let _visitor = UnixStream::connect(folder.path().join("sock")).unwrap();
        assert!(matches!(next(&failed).await, Some(Event::Start(None))));
    }

    #[tokio::test]
    async fn one_that_failed_is_tried_again_in_its_turn_when_memory_is_short() {
        let gate = Gate::new();
        gate.set(Some(Duration::from_secs(3600)));
        // Somebody came in just now.
        gate.pass().await;
        let mut failed = Troubles::default();
        let before = Instant::now().checked_sub(Duration::from_secs(60)).expect("a machine that is up for a minute");
        failed.ended(&End::NotStarted("no memory".into()), Duration::ZERO, "", before);
        assert!(failed.failing().is_some() && failed.not_before() < Some(Instant::now()), "{failed:?}");
        let (_folder, listener) = socket();
        let mut waits = std::pin::pin!(wanted(&listener, &failed, &gate, Some(std::future::pending())));
        let starts = tokio::time::timeout(Duration::from_millis(300), &mut waits).await;
        assert!(starts.is_err(), "its back-off is over, and its turn has not come");
        gate.set(None);
        let starts = tokio::time::timeout(Duration::from_secs(20), waits).await.expect("its turn");
        assert!(matches!(starts, Event::Start(None)));
    }
}
