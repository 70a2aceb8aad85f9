//! A worker: one thread with its own listener, runtime and pool, sharing nothing that must be waited for.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use tokio::time::{Duration, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::listen::{self, Guests};
use super::upstream::Pool;
use super::{Edge, connection, limits, plain};

/// What a worker listens on.
pub(super) struct Doors {
    pub(super) https: Vec<TcpListener>,
    pub(super) http: Vec<TcpListener>,
}

/// Starts a worker; it ends some time after `ending`.
pub(super) fn start(
    number: usize,
    edge: Arc<Edge>,
    doors: Doors,
    ending: CancellationToken,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let thread = std::thread::Builder::new().name(format!("edge-{number}"));
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = runtime.block_on(work(edge, doors, ending));
        // Whoever is still not done has had its time.
        runtime.shutdown_timeout(Duration::from_millis(100));
        served
    };
    thread.spawn(run).context("cannot start a thread")
}

async fn work(edge: Arc<Edge>, doors: Doors, ending: CancellationToken) -> anyhow::Result<()> {
    let pool = Pool::new(edge.meter.clone());
    let (tasks, guests) = (TaskTracker::new(), Guests::default());
    for listener in doors.https {
        let (edge, pool, ended) = (edge.clone(), pool.clone(), ending.clone());
        let serve = {
            let edge = edge.clone();
            move |stream, peer: SocketAddr| connection::serve(edge.clone(), pool.clone(), stream, peer, ended.clone())
        };
        tokio::spawn(listen::accept(
            tokio_listener(listener)?,
            guests.clone(),
            edge.meter.clone(),
            tasks.clone(),
            ending.clone(),
            serve,
        ));
    }
    for listener in doors.http {
        let meter = edge.meter.clone();
        let edge = edge.clone();
        let serve = move |stream, _| plain::redirect(edge.clone(), stream);
        tokio::spawn(listen::accept(
            tokio_listener(listener)?,
            guests.clone(),
            meter,
            tasks.clone(),
            ending.clone(),
            serve,
        ));
    }
    let mut round = interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            _ = round.tick() => pool.sweep(),
            () = ending.cancelled() => break,
        }
    }
    tasks.close();
    if timeout(limits::DRAIN, tasks.wait()).await.is_err() {
        tracing::info!(connections = tasks.len(), "cut off after waiting");
    }
    Ok(())
}

fn tokio_listener(listener: TcpListener) -> anyhow::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    Ok(tokio::net::TcpListener::from_std(listener)?)
}
