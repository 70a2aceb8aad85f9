//! What a unit waits for: a reason to start its runtime, and the runtime's end.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags},
    net::SocketFlags,
};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
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
pub(super) async fn wanted(listener: &OwnedFd, troubles: &Troubles, alarm: impl Future<Output = Turn>) -> Event {
    let moment = troubles.not_before();
    let pause = async {
        if let Some(moment) = moment {
            tokio::time::sleep_until(moment).await;
        }
    };
    let waiting = async {
        if troubles.failing().is_some() {
            // Nobody waits for one that does not start: the edge hears at once, and tells visitors in words.
            tokio::select! { () = pause => Ok(None), turned = turn_away(listener) => turned.map(|()| None) }
        } else {
            pause.await;
            let connections = connections(listener)?;
            tokio::select! {
                biased;
                came = connections.readable() => came.map(|_| None),
                turn = alarm => Ok(Some(turn)),
            }
        }
    };
    match waiting.await {
        Ok(turn) => Event::Start(turn),
        Err(error) => {
            tracing::error!(%error, "a percloud's socket");
            tokio::time::sleep(Duration::from_secs(1)).await;
            Event::Start(None)
        }
    }
}

fn connections(listener: &OwnedFd) -> io::Result<AsyncFd<BorrowedFd<'_>>> {
    // SAFETY: the listener is borrowed for longer than what is returned lives.
    Ok(unsafe { AsyncFd::register_with_interest(listener.as_fd(), Interest::READABLE) }?)
}

/// Takes and closes every connection that comes; ends only by an error.
async fn turn_away(listener: &OwnedFd) -> io::Result<()> {
    let connections = connections(listener)?;
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        let mut ready = connections.readable().await?;
        // Asked each time: the socket's own mode belongs to the runtime, so taking one too many would wait.
        while rustix::event::poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&now))? > 0 {
            drop(rustix::net::accept_with(listener, SocketFlags::CLOEXEC)?);
        }
        ready.clear_ready();
    }
}
