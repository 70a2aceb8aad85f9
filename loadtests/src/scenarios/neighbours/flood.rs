//! A part of `neighbours`: thousands of connections at once to one percloud, each of which asks once a second, from many addresses.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::process::{Resource, getrlimit, setrlimit};
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::TlsConnector;

use crate::scenarios::edge::handshakes;

/// One address may have a few hundred connections: a real crowd comes from many.
const PER_ADDRESS: usize = 400;
/// Handshakes at once.
const AT_ONCE: usize = 128;

/// Whom, and how many.
#[derive(clap::Args)]
pub(crate) struct Options {
    host: String,
    port: u16,
    connections: usize,
}

/// Floods until its standard input ends; says how many connections it had.
///
/// # Errors
/// When it cannot begin.
pub(crate) async fn run(options: &Options) -> anyhow::Result<serde_json::Value> {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files)?;
    let connector = TlsConnector::from(Arc::new(handshakes::config()?));
    let (turns, had) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(AtomicUsize::new(0)));
    let mut crowd = JoinSet::new();
    for n in 0..options.connections {
        if n % AT_ONCE == 0 {
            // To begin with ten thousand takes its time, too.
            giving_way(tokio::task::yield_now()).await;
        }
        let (connector, turns, had) = (connector.clone(), turns.clone(), had.clone());
        let (host, port) = (options.host.clone(), options.port);
        crowd.spawn(giving_way(async move {
            loop {
                // Whoever is thrown out comes again.
                let _ = stay(&connector, &turns, &had, address(n), &host, port).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }));
    }
    let mut input = Vec::new();
    tokio::io::stdin().read_to_end(&mut input).await?;
    Ok(json!({ "connections": had.load(Ordering::Relaxed) }))
}

/// After each step, whoever else wants this processor has it: a crowd of other machines would not be in anybody's way here, and
/// some kernels let a low priority run on until their next tick.
async fn giving_way<F: Future>(work: F) -> F::Output {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| {
        let step = work.as_mut().poll(cx);
        rustix::thread::sched_yield();
        step
    })
    .await
}

/// All of 127.0.0.0/8 is this machine.
fn address(n: usize) -> Ipv4Addr {
    let number = u8::try_from(n / PER_ADDRESS % 250).unwrap_or(0);
    Ipv4Addr::new(127, 0, 1, number + 1)
}

async fn stay(
    connector: &TlsConnector,
    turns: &Semaphore,
    had: &AtomicUsize,
    from: Ipv4Addr,
    host: &str,
    port: u16,
) -> anyhow::Result<()> {
    let turn = turns.acquire().await?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let stream = socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let mut stream = connector.connect(ServerName::try_from(host.to_owned())?, stream).await?;
    drop(turn);
    had.fetch_add(1, Ordering::Relaxed);
    let request = format!("GET / HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n");
    let mut answer = [0; 4096];
    loop {
        stream.write_all(request.as_bytes()).await?;
        // The answers are short; what is left of one is read with the next.
        anyhow::ensure!(stream.read(&mut answer).await? > 0, "thrown out");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
