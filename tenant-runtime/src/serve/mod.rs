//! Serving: under a host ([`hosted`]) and at home ([`home`]); one way to accept, drain and leave ([`connections`]).

mod connections;
pub mod home;
pub mod hosted;
pub(crate) mod lock;
mod sleep;
#[cfg(test)]
mod tests;
pub(crate) mod tidy;
mod visits;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{home::keepsake, imports, router, runtime::Runtime, status};
use connections::{Accept, Connections};
use sleep::Sleep;

/// How long requests that are being answered may go on after we were told to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// How long connections that were accepted may take to hand us their first request. Nobody is let in meanwhile: whoever comes waits for the
/// next start.
const LAST_CALL: Duration = Duration::from_millis(250);

/// Why serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Told to stop.
    Told,
    /// Nothing was going on for long enough.
    Idle,
    /// Nothing is going on, and the host needs the memory.
    Hurried,
    /// The owner asked for it and the time of grace is over (at home only).
    Deleted,
}

impl End {
    /// It goes by itself, and comes again for whoever asks next.
    fn is_sleep(self) -> bool {
        matches!(self, Self::Idle | Self::Hurried)
    }
}

/// How a process is told to stop.
struct Told {
    term: Signal,
    int: Signal,
}

impl Told {
    fn listen() -> anyhow::Result<Self> {
        let term = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let int = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
        Ok(Self { term, int })
    }
}

/// Runs `serving` to its end. Work that still blocks a thread then (a bundle that is being read) ends with the process: it may be
/// killed at any moment anyway, and who was told to stop is quick.
fn run<T>(serving: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let executor = crate::cli::executor()?;
    let end = executor.block_on(serving);
    executor.shutdown_background();
    end
}

/// Serves until told to stop, asleep by its own rules (`sleep`; none: never), or deleted; then drains and closes the store.
async fn until_the_end(rt: &Runtime, listeners: Vec<Box<dyn Accept>>, sleep: Option<Sleep>) -> anyhow::Result<End> {
    let connections = Arc::new(Connections::new(rt.clone(), router::router(rt)));
    // Once for all: what is told between two looks must not be lost.
    let mut told = Told::listen()?;
    let mut open = connections.open(listeners);
    imports::resume(rt)?;
    let end = loop {
        let end = wait(rt, sleep, &mut told).await?;
        // Those of whom the kernel has told us already are let in.
        tokio::task::yield_now().await;
        let listeners = open.close().await?;
        connections.hear(LAST_CALL).await;
        if !(end.is_sleep() && rt.is_busy()) {
            break end;
        }
        // Somebody came at the last moment, and nobody has told us to stop: what they asked for may take longer than a drain.
        open = connections.open(listeners);
    };
    // At once: who told us to stop does not wait for long.
    let tries = async {
        if end == End::Told
            && let Err(error) = imports::told_to_stop(rt).await
        {
            tracing::error!(error = format!("{error:#}"), "the tries of imports cannot be taken back");
        }
    };
    tokio::join!(connections.drain(DRAIN), tries);
    leave(rt, end.is_sleep()).await;
    tracing::info!(why = ?end, "stopped");
    Ok(end)
}

/// Tells the host what there is to tell and closes the store. Who falls asleep keeps Home for whoever comes next; who was told to
/// stop is quick.
pub(crate) async fn leave(rt: &Runtime, falls_asleep: bool) {
    if let Err(error) = status::write(rt).await {
        tracing::error!(error = format!("{error:#}"), "status.json cannot be written");
    }
    let fresh = if falls_asleep { keepsake::gather(rt).await } else { Ok(None) };
    rt.store().close().await;
    if let Err(error) = fresh.and_then(|fresh| keepsake::put(rt, fresh)) {
        tracing::error!(error = format!("{error:#}"), "Home cannot be kept for the next visitor");
    }
}

async fn wait(rt: &Runtime, sleep: Option<Sleep>, told: &mut Told) -> anyhow::Result<End> {
    let idle = async {
        match sleep {
            Some(sleep) => sleep.time_to_leave(rt).await,
            None => std::future::pending().await,
        }
    };
    Ok(tokio::select! {
        _ = told.term.recv() => End::Told,
        _ = told.int.recv() => End::Told,
        why = idle => why?,
        () = tidy::forever(rt, sleep.is_some_and(|sleep| sleep.scheduled)) => End::Deleted,
    })
}
