//! Bytes in both directions, counted, until one side ends or a limit is met. Nobody looks at them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

use super::limits::{Tenant, Tenants, Way};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Both sides said so.
    Done,
    /// One side was lost.
    Broken,
    /// Nothing was said for too long.
    Idle,
    /// It went on for too long.
    TooLong,
    /// It carried as much as one connection may.
    TooMuch,
    /// The percloud has moved as much today as it may.
    DayUsed,
}

impl End {
    /// The word for it in logs and metrics.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Broken => "broken",
            Self::Idle => "idle",
            Self::TooLong => "too-long",
            Self::TooMuch => "too-much",
            Self::DayUsed => "day-used-up",
        }
    }
}

/// One connection's account.
pub(super) struct Flow<'a> {
    tenants: &'a Tenants,
    tenant: &'a Tenant,
    began: Instant,
    /// When something was last heard, in milliseconds since it began.
    heard: AtomicU64,
    /// Bytes sent and received.
    bytes: [AtomicU64; 2],
}

impl<'a> Flow<'a> {
    pub(super) fn new(tenants: &'a Tenants, tenant: &'a Tenant) -> Self {
        Self { tenants, tenant, began: Instant::now(), heard: AtomicU64::new(0), bytes: Default::default() }
    }

    /// Bytes that went this way.
    pub(super) fn bytes(&self, way: Way) -> u64 {
        self.bytes[way as usize].load(Ordering::Relaxed)
    }

    /// Passes bytes until the end; `early` came behind the request.
    pub(super) async fn pass(&self, percloud: &mut UnixStream, host: TcpStream, early: BytesMut) -> End {
        let (from_percloud, to_percloud) = percloud.split();
        let (from_host, to_host) = host.into_split();
        let sending = self.one_way(Way::Sent, from_percloud, to_host, early);
        let receiving = self.one_way(Way::Received, from_host, to_percloud, BytesMut::new());
        let whole = Duration::from_secs(self.tenants.limits().connection_seconds);
        match timeout(whole, async { tokio::try_join!(sending, receiving) }).await {
            Err(_) => End::TooLong,
            Ok(Err(end)) => end,
            Ok(Ok(_)) => End::Done,
        }
    }

    async fn one_way(
        &self,
        way: Way,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        mut buffer: BytesMut,
    ) -> Result<(), End> {
        loop {
            if buffer.is_empty() {
                buffer.reserve(16 << 10);
                if self.in_time(from.read_buf(&mut buffer)).await? == 0 {
                    return to.shutdown().await.map_err(|_| End::Broken);
                }
            }
            self.count(way, buffer.len() as u64)?;
            self.in_time(to.write_all_buf(&mut buffer)).await?;
        }
    }

    fn count(&self, way: Way, bytes: u64) -> Result<(), End> {
        let carried = self.bytes[way as usize].fetch_add(bytes, Ordering::Relaxed) + bytes;
        metrics::counter!("percloud_egress_bytes_total", "way" => way.word()).increment(bytes);
        if !self.tenants.count(self.tenant, way, bytes) {
            return Err(End::DayUsed);
        }
        if carried > self.tenants.limits().connection_bytes { Err(End::TooMuch) } else { Ok(()) }
    }

    /// Waits, as long as either direction has something to say now and then.
    async fn in_time<T>(&self, work: impl Future<Output = std::io::Result<T>>) -> Result<T, End> {
        let patience = Duration::from_secs(self.tenants.limits().idle_seconds);
        let mut work = std::pin::pin!(work);
        loop {
            let heard = Duration::from_millis(self.heard.load(Ordering::Relaxed));
            let left = (heard + patience).saturating_sub(self.began.elapsed());
            if left.is_zero() {
                return Err(End::Idle);
            }
            if let Ok(done) = timeout(left, work.as_mut()).await {
                let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.heard.store(now, Ordering::Relaxed);
                return done.map_err(|_| End::Broken);
            }
        }
    }
}
