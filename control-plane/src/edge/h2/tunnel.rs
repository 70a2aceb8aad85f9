//! A stream that has become a WebSocket (RFC 8441): the request's body is what the client says, the answer's what it hears.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use super::super::body::ResponseBody;
use super::body::Body;

/// Pieces that may wait to be said.
const WAITING: usize = 4;
/// Bytes of a piece.
const PIECE: usize = 16 * 1024;

/// The client's side of a tunnel.
pub(in crate::edge) struct Tunnel {
    heard: Body,
    /// What was heard and not taken yet.
    rest: Bytes,
    said: PollSender<Bytes>,
}

impl Tunnel {
    /// Makes one of a request's body; the other half is the body of its answer.
    pub(in crate::edge) fn new(heard: Body) -> (Self, ResponseBody) {
        let (said, saying) = mpsc::channel(WAITING);
        (Self { heard, rest: Bytes::new(), said: PollSender::new(said) }, ResponseBody::tunnel(saying))
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.heard).poll_frame(cx)) {
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let most = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..most]);
        self.rest.advance(most);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        ready!(self.said.poll_reserve(cx)).map_err(gone)?;
        let piece = &bytes[..bytes.len().min(PIECE)];
        self.said.send_item(Bytes::copy_from_slice(piece)).map_err(gone)?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.said.close();
        Poll::Ready(Ok(()))
    }
}
