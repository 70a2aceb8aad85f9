//! One stream as its task sees it: what is said on it, and whether anybody still listens.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::Body as _;

use super::super::body::ResponseBody;
use super::body::Body;
use super::frame::{Code, DATA, END_STREAM, Head};
use super::hpack::Encoder;
use super::state::Shared;

/// Bodies up to this size, and all there, go out with their heads.
const SHORT: u64 = 4 * 1024;

/// The stream is over: the client or the connection has gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone;

/// Whoever holds this answers on a stream. When it is dropped, the stream ends: in order if the answer did.
pub(super) struct Stream {
    shared: Arc<Shared>,
    id: u32,
}

impl Stream {
    pub(super) fn new(shared: Arc<Shared>, id: u32) -> Self {
        Self { shared, id }
    }

    /// The request's body: so many bytes, where that was said; the client may wait for a go-ahead before it sends them.
    pub(super) fn request(&self, length: Option<u64>, waits: bool) -> Body {
        Body::new(self.shared.clone(), self.id, length, waits)
    }

    /// Does the work for as long as anybody waits for what comes of it.
    pub(super) async fn while_there(&self, work: impl Future<Output = ()>) {
        let mut work = pin!(work);
        let step = std::future::poll_fn(|cx| {
            if !self.is_there(cx) {
                return Poll::Ready(());
            }
            work.as_mut().poll(cx)
        });
        step.await;
    }

    fn is_there(&self, cx: &Context<'_>) -> bool {
        let mut state = self.shared.lock();
        let Some(flow) = state.streams.get_mut(&self.id) else { return false };
        if flow.task.is_none() {
            flow.task = Some(cx.waker().clone());
        }
        true
    }

    /// Says the head of an answer: `put` adds its headers. With it the answer `ends`, or a body follows.
    pub(super) fn head(&self, status: StatusCode, ends: bool, put: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        self.shared.lock().head(self.id, status, ends, put);
    }

    /// Says all of a body behind its head, if it is a short one and all there.
    pub(super) fn short(&self, body: &mut ResponseBody) -> bool {
        let Some(length) = body.size_hint().exact().filter(|length| (1..=SHORT).contains(length)) else { return false };
        let mut state = self.shared.lock();
        if state.room(self.id).is_none_or(|room| (room as u64) < length) {
            return false;
        }
        let at = state.out.len();
        let head = Head { length: length as usize, kind: DATA, flags: END_STREAM, stream: self.id };
        state.out.extend_from_slice(&head.written());
        if body.take_whole(&mut state.out).is_none() {
            state.out.truncate(at);
            return false;
        }
        state.sent(self.id, length as usize, true);
        true
    }

    /// Says a piece of a body, the last one if it `ends`, as the client takes it.
    pub(super) async fn body(&self, mut piece: Bytes, ends: bool) -> Result<(), Gone> {
        std::future::poll_fn(|_| self.poll_body(&mut piece, ends)).await
    }

    fn poll_body(&self, piece: &mut Bytes, ends: bool) -> Poll<Result<(), Gone>> {
        let mut state = self.shared.lock();
        if !state.streams.contains_key(&self.id) {
            return Poll::Ready(Err(Gone));
        }
        while !piece.is_empty() {
            let Some(room) = state.may_send(self.id) else { return Poll::Pending };
            let part = piece.split_to(piece.len().min(room));
            state.data_out(self.id, &part, ends && piece.is_empty());
            if piece.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        if ends {
            state.data_out(self.id, &[], true);
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the answer with trailers.
    pub(super) fn trailers(&self, trailers: &HeaderMap) {
        self.shared.lock().block(self.id, true, |encoder, out| {
            encoder.begin(out);
            for (name, value) in trailers {
                encoder.put(name.as_str().as_bytes(), value.as_bytes(), out);
            }
        });
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        match state.streams.get(&self.id).map(|flow| (flow.open_out, flow.open_in)) {
            None => {}
            Some((false, false)) => {
                state.close(self.id);
                state.drive();
            }
            // There was an answer, so nobody needs the rest of the question (RFC 9113 §8.1).
            Some((false, true)) => state.reset(self.id, Code::No),
            // Half an answer must not look like a whole one.
            Some((true, _)) => state.reset(self.id, Code::Internal),
        }
    }
}
