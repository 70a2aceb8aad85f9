//! WebSockets: once both sides agreed, bytes pass in both directions until one side ends or both are silent for too long.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Duration, Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::limits;
use super::meter::Meter;
use super::routes::Busy;
use crate::ledger::Account;

/// Where what a client hears is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Here,
    /// Where it passes as the body of an answer.
    AsBody,
}

/// Joins the two sides. It ends with them, or when the edge is asked to end: it has no end of its own to wait for.
pub(super) async fn join(
    client: impl Future<Output = Option<impl AsyncRead + AsyncWrite>>,
    percloud: OnUpgrade,
    meter: Arc<Meter>,
    (busy, counted): (Busy, Counted),
    asked: CancellationToken,
) {
    let (Some(client), Some(percloud)) = tokio::join!(client, upgraded(percloud)) else { return };
    meter.tunnels.increment(1);
    let (client_in, client_out) = tokio::io::split(client);
    let (percloud_in, percloud_out) = tokio::io::split(percloud);
    let heard = Heard::default();
    let account = busy.account().filter(|_| counted == Counted::Here);
    // When one direction fails the other has nobody to talk to; when it ends in order, the other may still have something to say.
    let both = async {
        tokio::try_join!(
            one_way(client_in, percloud_out, &heard, None),
            one_way(percloud_in, client_out, &heard, account)
        )
    };
    let _ = asked.run_until_cancelled(both).await;
    meter.tunnels.decrement(1);
    drop(busy);
}

/// What the library's side of a WebSocket becomes; none when it comes to nothing.
pub(super) async fn upgraded(side: OnUpgrade) -> Option<TokioIo<Upgraded>> {
    side.await.ok().map(TokioIo::new)
}

/// When something was last heard, from either side.
struct Heard {
    began: Instant,
    millis: AtomicU64,
}

impl Default for Heard {
    fn default() -> Self {
        Self { began: Instant::now(), millis: AtomicU64::new(0) }
    }
}

impl Heard {
    fn note(&self) {
        self.millis.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    fn ago(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(self.millis.load(Ordering::Relaxed)))
    }
}

/// Passes what comes, and puts it down where somebody counts it.
async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    heard: &Heard,
    account: Option<&Account>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(read) = timeout(limits::TUNNEL.saturating_sub(heard.ago()), from.read(&mut buffer)).await else {
            if heard.ago() >= limits::TUNNEL {
                return Err(io::ErrorKind::TimedOut.into());
            }
            continue;
        };
        let read = read?;
        heard.note();
        if read == 0 {
            return to.shutdown().await;
        }
        timeout(limits::CLIENT_TAKES, to.write_all(&buffer[..read])).await??;
        timeout(limits::CLIENT_TAKES, to.flush()).await??;
        if let Some(account) = account {
            account.bytes(read as u64);
        }
    }
}
