//! Bodies on their way through: piece by piece, never gathered, each direction with a limit on silence.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::h2;
use super::limits;
use super::line;
use super::meter::{Entry, Progress};
use super::patience::Patience;
use super::routes::Busy;
use super::upstream::Lent;

/// Why a body ended early.
pub(super) type BodyError = Box<dyn StdError + Send + Sync>;

/// Holds back a body until the percloud has said `100 Continue`, so that it can refuse an upload before a byte of it is sent.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

const SHUT: u8 = 0;
const OPEN: u8 = 1;
const GONE: u8 = 2;

impl Gate {
    /// Lets the body go.
    pub(super) fn open(&self) {
        self.turn(OPEN);
    }

    /// The answer is there and the body was never wanted.
    pub(super) fn close(&self) {
        self.turn(GONE);
    }

    fn turn(&self, to: u8) {
        // Only the first word counts: a body that goes is not called back.
        let _ = self.state.compare_exchange(SHUT, to, Ordering::AcqRel, Ordering::Acquire);
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        match self.state.load(Ordering::Acquire) {
            SHUT => Poll::Pending,
            OPEN => Poll::Ready(Ok(())),
            _ => Poll::Ready(Err("the body is not wanted".into())),
        }
    }
}

/// What a percloud gets: nothing, or the client's body as it comes.
pub(super) enum RequestBody {
    /// No body.
    Empty,
    /// The client's.
    Client(Box<ClientBody>),
}

/// A body as it comes from a client: read by the library's server, or by ours.
pub(super) enum Sent {
    Library(Incoming),
    Frames(h2::Body),
}

impl Body for Sent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Library(incoming) => Pin::new(incoming).poll_frame(cx).map(|f| f.map(|f| f.map_err(Into::into))),
            Self::Frames(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Library(incoming) => incoming.is_end_stream(),
            Self::Frames(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Library(incoming) => incoming.size_hint(),
            Self::Frames(body) => body.size_hint(),
        }
    }
}

/// A client's body, counted and timed.
pub(super) struct ClientBody {
    incoming: Sent,
    progress: Arc<Progress>,
    gate: Option<Arc<Gate>>,
    patience: Patience,
}

impl ClientBody {
    pub(super) fn new(incoming: Sent, progress: Arc<Progress>, gate: Option<Arc<Gate>>) -> Box<Self> {
        Box::new(Self { incoming, progress, gate, patience: Patience::default() })
    }

    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let Some(gate) = &self.gate else { return Poll::Ready(Ok(())) };
        let said = match gate.poll(cx) {
            Poll::Pending if self.patience.poll(cx, limits::CONTINUE).is_ready() => {
                gate.open();
                Poll::Ready(Ok(()))
            }
            other => other,
        };
        ready!(said)?;
        self.gate = None;
        self.patience.rest();
        Poll::Ready(Ok(()))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Client(body) = self.get_mut() else { return Poll::Ready(None) };
        ready!(body.poll_gate(cx))?;
        let frame = match Pin::new(&mut body.incoming).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(body.patience.poll(cx, limits::REQUEST_BODY));
                return Poll::Ready(Some(Err("the client sends nothing".into())));
            }
        };
        match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                body.patience.goes_on(bytes);
                body.progress.add(bytes);
                if body.progress.is_too_large() {
                    return Poll::Ready(Some(Err("more than the percloud may hold".into())));
                }
            }
            Some(Err(_)) | None => body.progress.finish(),
        }
        if body.incoming.is_end_stream() {
            body.progress.finish();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client(body) => body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client(body) => body.incoming.size_hint(),
        }
    }
}

/// What a client gets: a page of the edge's own, or a percloud's answer as it comes.
pub(super) struct ResponseBody {
    source: Source,
    entry: Option<Box<Entry>>,
}

enum Source {
    Own(Option<Bytes>),
    Percloud(Box<Answer>),
    /// What a percloud says on a WebSocket.
    Tunnel(mpsc::Receiver<Bytes>),
}

/// A percloud's answer, and what is given back when it has ended.
struct Answer {
    coming: Coming,
    patience: Patience,
    _busy: Busy,
}

/// A body on its way from a percloud, by the library's client or by our own.
pub(super) enum Coming {
    Library { incoming: Incoming, lent: Option<Lent> },
    Line(line::Answer),
}

impl Coming {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Library { incoming, .. } => {
                Pin::new(incoming).poll_frame(cx).map(|f| f.map(|f| f.map_err(Into::into)))
            }
            Self::Line(answer) => answer.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Library { incoming, .. } => incoming.is_end_stream(),
            Self::Line(answer) => answer.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Library { incoming, .. } => incoming.size_hint(),
            Self::Line(answer) => answer.size_hint(),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Coming::Library { incoming, lent } = &mut self.coming
            && incoming.is_end_stream()
            && let Some(lent) = lent.take()
        {
            lent.give_back();
        }
    }
}

impl ResponseBody {
    pub(super) fn own(bytes: Bytes) -> Self {
        let source = Source::Own(Some(bytes).filter(|b| !b.is_empty()));
        Self { source, entry: None }
    }

    pub(super) fn percloud(coming: Coming, busy: Busy) -> Self {
        let answer = Answer { coming, patience: Patience::default(), _busy: busy };
        Self { source: Source::Percloud(Box::new(answer)), entry: None }
    }

    /// All that comes on a channel, until its sender is gone.
    pub(super) fn tunnel(saying: mpsc::Receiver<Bytes>) -> Self {
        Self { source: Source::Tunnel(saying), entry: None }
    }

    /// The entry is written when this body ends.
    pub(super) fn with_entry(mut self, entry: Box<Entry>) -> Self {
        self.entry = Some(entry);
        self
    }

    /// Puts all of it behind what is written, where it is a percloud's short answer and all there; says how long it was.
    pub(super) fn take_whole(&mut self, out: &mut Vec<u8>) -> Option<u64> {
        let Source::Percloud(answer) = &mut self.source else { return None };
        let Coming::Line(coming) = &mut answer.coming else { return None };
        let length = coming.take_whole(out)?;
        if let Some(entry) = &mut self.entry {
            entry.passes(length);
            entry.whole = true;
        }
        Some(length)
    }

    fn note(&mut self, frame: &Poll<Option<Result<Frame<Bytes>, BodyError>>>) {
        let ended = self.is_end_stream();
        let Some(entry) = &mut self.entry else { return };
        match frame {
            Poll::Ready(Some(Ok(frame))) => {
                entry.passes(frame.data_ref().map_or(0, |d| d.len() as u64));
                entry.whole = ended;
            }
            Poll::Ready(None) => entry.whole = true,
            Poll::Ready(Some(Err(_))) => entry.whole = false,
            Poll::Pending => {}
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.source {
            Source::Own(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Source::Tunnel(saying) => saying.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
            Source::Percloud(answer) => match answer.coming.poll_frame(cx) {
                Poll::Ready(frame) => {
                    answer.patience.rest();
                    Poll::Ready(frame)
                }
                Poll::Pending => match answer.patience.poll(cx, limits::RESPONSE_BODY) {
                    Poll::Ready(()) => Poll::Ready(Some(Err("the percloud sends nothing".into()))),
                    Poll::Pending => Poll::Pending,
                },
            },
        };
        self.note(&frame);
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(bytes) => bytes.is_none(),
            Source::Percloud(answer) => answer.coming.is_end_stream(),
            Source::Tunnel(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Source::Percloud(answer) => answer.coming.size_hint(),
            Source::Tunnel(_) => SizeHint::default(),
        }
    }
}
