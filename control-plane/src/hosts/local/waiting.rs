//! What a unit waits for: a reason to start its runtime, and the runtime's end.

use std::{
    future::poll_fn,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags},
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

/// The end of a run, or that it has lasted.
pub(super) async fn end_of(run: &mut Run, troubles: &Troubles) -> Event {
    let end = async {
        // No answer means that the spawner is gone, and the runtime with it.
        (&mut run.running.end).await.unwrap_or(End::Killed(libc::SIGKILL))
    };
    if troubles.failing().is_none() {
        return Event::Ended(end.await);
    }
    tokio::select! {
        end = end => Event::Ended(end),
        () = tokio::time::sleep_until(run.since + SETTLED) => Event::Settled,
    }
}

/// A reason to start it: a connection; or the time that it named itself; or, when it fails, the time to try it again.
///
/// Nearly all units wait in here, and nearly all of those for a connection only: what the others need has a place of its own.
pub(super) async fn wanted(
    listener: &OwnedFd,
    troubles: &Troubles,
    gate: &Gate,
    alarm: impl Future<Output = Turn>,
) -> Event {
    let waiting = async {
        if let Some(moment) = troubles.not_before() {
            if troubles.failing().is_some() {
                // Nobody waits for one that does not start: the edge hears at once, and tells visitors in words.
                return Box::pin(turn_away(listener, Some(moment))).await.map(|()| None);
            }
            Box::pin(tokio::time::sleep_until(moment)).await;
        }
        let connections = connections(listener)?;
        tokio::select! {
            biased;
            came = poll_fn(|context| connections.poll_read_ready(context).map_ok(drop)) => came.map(|()| None),
            turn = alarm => Ok(Some(turn)),
        }
    };
    match waiting.await {
        Ok(turn) => {
            if !gate.is_open() {
                Box::pin(its_turn(listener, gate)).await;
            }
            Event::Start(turn)
        }
        Err(error) => {
            tracing::error!(%error, "a percloud's socket");
            Box::pin(tokio::time::sleep(Duration::from_secs(1))).await;
            Event::Start(None)
        }
    }
}

/// Waits in the line of those who wake while memory is short. Where that takes long, visitors hear at once: they wait for nothing, and
/// find it awake when they come again after its turn.
async fn its_turn(listener: &OwnedFd, gate: &Gate) {
    let told = async {
        if gate.is_long()
            && let Err(error) = turn_away(listener, None).await
        {
            tracing::error!(%error, "a percloud's socket");
        }
        std::future::pending().await
    };
    tokio::select! {
        () = gate.pass() => {}
        () = told => {}
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
                drop(rustix::net::accept_with(listener, SocketFlags::CLOEXEC)?);
            }
            ready.clear_ready();
        }
    };
    match until {
        Some(until) => tokio::time::timeout_at(until, away).await.unwrap_or(Ok(())),
        None => away.await,
    }
}
