//! A connection that ends when its peer takes nothing, or next to nothing, for too long.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::patience::Patience;

/// Wraps a stream; a write fails when its peer has been waited for for `limit` in all, less what it has taken since. Reading has its own limits where it is known what is awaited.
pub(super) struct Stall<T> {
    inner: T,
    limit: Duration,
    patience: Patience,
}

impl<T> Stall<T> {
    pub(super) fn new(inner: T, limit: Duration) -> Self {
        Self { inner, limit, patience: Patience::default() }
    }

    /// Passes on what a write said, which took `bytes` of what it returned; the clock runs while it must wait.
    fn watch<R>(
        &mut self,
        cx: &mut Context<'_>,
        said: Poll<io::Result<R>>,
        bytes: impl FnOnce(&R) -> usize,
    ) -> Poll<io::Result<R>> {
        match said {
            Poll::Ready(said) => {
                self.patience.goes_on(said.as_ref().map_or(0, bytes));
                Poll::Ready(said)
            }
            Poll::Pending => {
                ready!(self.patience.poll(cx, self.limit));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes next to nothing")))
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Stall<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Stall<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let said = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watch(cx, said, |bytes| *bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let said = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.watch(cx, said, |bytes| *bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let said = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch(cx, said, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let said = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.watch(cx, said, |()| 0)
    }
}
