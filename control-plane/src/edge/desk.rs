//! Our own way to serve a visitor over HTTP/1.1, for what is asked most: requests without a body.
//!
//! The library's way is ready for everything: bodies, upgrades, half a head, an older version. Here a request is a head that is whole when it
//! is first seen, and nothing behind it; reading it and writing the answer is then half of the library's work. Whatever is not plainly
//! that is given to the library, with the bytes that were read ([`Again`]) and with all that follows on that connection.

mod answer;
mod head;

use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, sleep};

use super::limits;
use super::proxy::Connection;

/// Room for what comes in one read: most heads.
const ROOM: usize = 8 * 1024;

/// Serves requests one after the other. What comes back is a connection on which the library goes on, with what was read of its next
/// request; none when the connection has ended.
pub(super) async fn serve<T>(connection: &Arc<Connection>, io: T) -> Option<Again<T>>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut visitor = Visitor { io, heard: Bytes::new() };
    let mut patience = pin!(sleep(limits::REQUEST_HEAD));
    let mut leaving = pin!(connection.ending.leaving.cancelled());
    loop {
        if visitor.heard.is_empty() {
            patience.as_mut().reset(Instant::now() + limits::REQUEST_HEAD);
            let heard = tokio::select! {
                biased;
                heard = visitor.hear() => heard,
                () = patience.as_mut() => return None,
                () = leaving.as_mut() => return Some(visitor.again()),
            };
            if !heard.is_ok_and(|()| !visitor.heard.is_empty()) {
                // It has said all that it had to say, or is gone.
                let _ = visitor.io.shutdown().await;
                return None;
            }
        }
        // Which answer is the last is for the library to say.
        if connection.ending.leaving.is_cancelled() {
            return Some(visitor.again());
        }
        let said = |host: &[u8]| connection.said(host);
        let Some(asked) = head::take(&mut visitor.heard, said) else { return Some(visitor.again()) };
        // Boxed: it is large, and a silent connection needs no room for it.
        let mut answer = Box::pin(answer::of(connection, asked));
        let reply = tokio::select! {
            biased;
            reply = answer.as_mut() => reply,
            () = visitor.gone() => return None,
        };
        drop(answer);
        match answer::write(&mut visitor, reply).await {
            Ok(answer::Then::Next) => {}
            Ok(answer::Then::End) => {
                let _ = visitor.io.shutdown().await;
                return None;
            }
            // Half an answer must not look like a whole one: no farewell.
            Err(_) => return None,
        }
    }
}

/// Who asks, and what was read of them but not looked at.
struct Visitor<T> {
    io: T,
    heard: Bytes,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Visitor<T> {
    /// Reads what there is. A silent connection holds no buffer: what came is copied out of one that is gone afterwards.
    fn poll_hear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [const { MaybeUninit::uninit() }; ROOM];
        let mut room = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut room))?;
        self.heard = Bytes::copy_from_slice(room.filled());
        Poll::Ready(Ok(()))
    }

    async fn hear(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_hear(cx)).await
    }

    /// Ready when the visitor has hung up. One who has asked already for what comes next is there.
    async fn gone(&mut self) {
        let there = std::future::poll_fn(|cx| {
            if !self.heard.is_empty() {
                return Poll::Pending;
            }
            match ready!(self.poll_hear(cx)) {
                Ok(()) if !self.heard.is_empty() => Poll::Pending,
                _ => Poll::Ready(()),
            }
        });
        there.await;
    }

    fn again(self) -> Again<T> {
        Again { before: self.heard, io: self.io }
    }
}

/// A stream of which something was read: that comes first.
pub(super) struct Again<T> {
    before: Bytes,
    io: T,
}

impl<T: AsyncRead + Unpin> AsyncRead for Again<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.before.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let most = self.before.len().min(buf.remaining());
        let piece = self.before.split_to(most);
        buf.put_slice(&piece);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Again<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
