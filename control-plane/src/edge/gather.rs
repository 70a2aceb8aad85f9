//! What an HTTP/2 connection has to say, gathered: one write for all that is ready at one time.
//!
//! The library writes and flushes after each frame with data in it. With a dozen answers ready at once that is a dozen TLS records
//! and system calls. Here a flush is a promise only; it is kept when the connection has said all that it has to say for now, or
//! when a record's worth has been gathered.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are written without waiting for more: a TLS record.
const ROOM: usize = 16 * 1024;

/// One stream, held by the connection and by whoever drives it. No two threads ever meet here.
pub(super) struct Gather<T>(Arc<Mutex<Gathered<T>>>);

struct Gathered<T> {
    inner: T,
    out: Vec<u8>,
    written: usize,
    /// Something was written that the stream has not been told to send off.
    unsent: bool,
    /// The connection was told to wait until there is room.
    waits: bool,
}

impl<T> Clone for Gather<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: AsyncWrite + Unpin> Gathered<T> {
    /// Writes what there is and sends it off.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            let wrote = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.out[self.written..]))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            (self.written, self.unsent) = (self.written + wrote, true);
        }
        if self.unsent {
            // A connection that is silent needs no memory for what it may say.
            (self.out, self.written) = (Vec::new(), 0);
            ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
            self.unsent = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Makes room when there is none.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.out.len() < ROOM {
            return Poll::Ready(Ok(()));
        }
        let sent = self.poll_send(cx);
        self.waits = sent.is_pending();
        sent
    }

    /// Adds as much of a piece as there is room for.
    fn add(&mut self, piece: &[u8]) -> usize {
        let taken = piece.len().min(ROOM - self.out.len());
        if self.out.capacity() == 0 {
            self.out.reserve(ROOM);
        }
        self.out.extend_from_slice(&piece[..taken]);
        taken
    }
}

impl<T: AsyncWrite + Unpin> Gather<T> {
    pub(super) fn new(inner: T) -> Self {
        Self(Arc::new(Mutex::new(Gathered { inner, out: Vec::new(), written: 0, unsent: false, waits: false })))
    }

    fn lock(&self) -> MutexGuard<'_, Gathered<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drives a connection that writes here: lets it say what it has to say, then sends that off.
    pub(super) fn poll_driven<F: Future>(&self, mut connection: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut gathered = self.lock();
            match gathered.poll_send(cx) {
                // It has more to say, and nobody else will tell it that there is room.
                Poll::Ready(Ok(())) if std::mem::take(&mut gathered.waits) => {}
                Poll::Ready(Ok(())) | Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gather<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Gather<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut gathered = self.lock();
        ready!(gathered.poll_room(cx))?;
        Poll::Ready(Ok(gathered.add(bytes)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut gathered = self.lock();
        ready!(gathered.poll_room(cx))?;
        Poll::Ready(Ok(pieces.iter().map(|piece| gathered.add(piece)).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut gathered = self.lock();
        ready!(gathered.poll_send(cx))?;
        Pin::new(&mut gathered.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    /// Says all pieces with a flush after each, as the library does, and drives that.
    async fn say(gather: &Gather<DuplexStream>, pieces: &[&[u8]]) {
        let mut writer = gather.clone();
        let mut connection = Box::pin(async move {
            for piece in pieces {
                writer.write_all(piece).await.unwrap();
                writer.flush().await.unwrap();
            }
            std::future::pending::<()>().await
        });
        let sent = std::future::poll_fn(|cx| {
            let driven = gather.poll_driven(connection.as_mut(), cx);
            assert!(driven.is_pending());
            let gathered = gather.lock();
            if gathered.out.is_empty() && !gathered.waits { Poll::Ready(()) } else { Poll::Pending }
        });
        sent.await;
    }

    #[tokio::test]
    async fn what_is_ready_at_one_time_is_one_write() {
        let (near, mut far) = duplex(1 << 20);
        let gather = Gather::new(near);
        say(&gather, &[b"one ", b"two ", b"three"]).await;
        let mut all = [0; 64];
        let read = far.read(&mut all).await.unwrap();
        assert_eq!(&all[..read], b"one two three");
        assert_eq!(gather.lock().out.capacity(), 0, "a silent connection keeps no buffer");
    }

    #[tokio::test]
    async fn more_than_has_room_arrives_whole_and_in_order_however_slowly_it_is_taken() {
        let (near, mut far) = duplex(1000);
        let gather = Gather::new(near);
        let text: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        let pieces: Vec<&[u8]> = text.chunks(7000).collect();
        let expected = text.len();
        let taken = tokio::spawn(async move {
            let mut all = vec![0; expected];
            far.read_exact(&mut all).await.unwrap();
            all
        });
        say(&gather, &pieces).await;
        assert!(taken.await.unwrap() == text);
        assert!(gather.lock().out.len() <= ROOM);
    }

    #[tokio::test]
    async fn the_last_words_are_sent_before_the_end() {
        let (near, mut far) = duplex(100);
        let mut gather = Gather::new(near);
        gather.write_all(b"goodbye").await.unwrap();
        gather.shutdown().await.unwrap();
        let mut all = String::new();
        far.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "goodbye");
    }
}
