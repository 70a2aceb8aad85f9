//! A worker: one thread with its own listener, runtime and pool, sharing nothing that must be waited for.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use tokio::time::{Duration, interval};
use tokio_util::task::TaskTracker;

use super::access::Scribe;
use super::ahead::Ahead;
use super::connection::{self, Inside};
use super::ending::Ending;
use super::listen::{self, Doorman};
use super::seat::Seat;
use super::turns::Turns;
use super::upstream::Pool;
use super::{Edge, plain};

/// What a worker listens on.
pub(super) struct Doors {
    pub(super) https: Vec<TcpListener>,
    pub(super) http: Vec<TcpListener>,
}

/// Starts a worker; it leaves when `ending` says so.
pub(super) fn start(
    number: usize,
    edge: Arc<Edge>,
    doors: Doors,
    ending: Ending,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let thread = std::thread::Builder::new().name(format!("edge-{number}"));
    let run = move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        // What has come meanwhile is looked at often: with thousands of tasks ready, the usual 61 of them take a millisecond.
        runtime.enable_all().event_interval(32);
        if let Some(seat) = Seat::of(number, edge.workers) {
            seat.take();
            // What it has others do need not wait for it.
            runtime.on_thread_start(move || seat.leave());
        }
        let runtime = runtime.build()?;
        let served = runtime.block_on(work(edge, doors, ending));
        // Whoever is still not done has had its time.
        runtime.shutdown_timeout(Duration::from_millis(100));
        served
    };
    thread.spawn(run).context("cannot start a thread")
}

async fn work(edge: Arc<Edge>, doors: Doors, ending: Ending) -> anyhow::Result<()> {
    let pool = Pool::new(edge.meter.clone(), edge.kept.clone());
    let ahead = Arc::new(Ahead::new());
    let tasks = TaskTracker::new();
    let doorman = Doorman::new(edge.clone(), tasks.clone());
    let scribe = Scribe::new(edge.meter.clone(), edge.log.clone());
    tokio::spawn(scribe.clone().run());
    let turns = Turns::new(edge.company.clone(), edge.ledger.clone());
    tokio::spawn(turns.clone().run());
    for listener in doors.https {
        let inside = Inside {
            edge: edge.clone(),
            pool: pool.clone(),
            ahead: ahead.clone(),
            ending: ending.clone(),
            tasks: tasks.clone(),
            scribe: scribe.clone(),
            turns: turns.clone(),
        };
        let serve = move |stream, client: SocketAddr| connection::serve(inside.clone(), stream, client);
        tokio::spawn(listen::accept(tokio_listener(listener)?, doorman.clone(), ending.leaving.clone(), serve));
    }
    for listener in doors.http {
        let edge = edge.clone();
        let serve = move |stream, _| plain::redirect(edge.clone(), stream);
        tokio::spawn(listen::accept(tokio_listener(listener)?, doorman.clone(), ending.leaving.clone(), serve));
    }
    let mut round = interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            _ = round.tick() => pool.sweep(),
            () = ending.leaving.cancelled(), if !tasks.is_closed() => drop(tasks.close()),
            // All are done, and no more come.
            () = tasks.wait() => break,
            () = ending.over.cancelled() => {
                tracing::info!(connections = tasks.len(), "cut off after waiting");
                break;
            }
        }
    }
    scribe.give_away();
    Ok(())
}

fn tokio_listener(listener: TcpListener) -> anyhow::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    Ok(tokio::net::TcpListener::from_std(listener)?)
}
