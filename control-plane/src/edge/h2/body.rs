//! A request's body, as whoever passes it on reads it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Frame, SizeHint};

use super::super::body::BodyError;
use super::state::Shared;

/// The body of the request on one stream. What is read of it makes room for more.
pub(in crate::edge) struct Body {
    shared: Arc<Shared>,
    id: u32,
    /// Bytes that are not read yet, where it was said how many there are.
    left: Option<u64>,
    /// The client waits for a go-ahead (RFC 9110 §10.1.1).
    waits: bool,
}

impl Body {
    pub(super) fn new(shared: Arc<Shared>, id: u32, left: Option<u64>, waits: bool) -> Self {
        Self { shared, id, left, waits }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let mut state = this.shared.lock();
        let Some(flow) = state.streams.get_mut(&this.id) else {
            return Poll::Ready(Some(Err("the client broke off".into())));
        };
        if let Some(piece) = flow.heard.pop_front() {
            this.left = this.left.map(|left| left.saturating_sub(piece.len() as u64));
            state.let_go(piece.len());
            state.read(this.id, piece.len());
            return Poll::Ready(Some(Ok(Frame::data(piece.freeze()))));
        }
        if let Some(trailers) = flow.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        if !flow.open_in {
            return Poll::Ready(None);
        }
        flow.reader = Some(cx.waker().clone());
        if std::mem::take(&mut this.waits) && !flow.answered {
            state.head(this.id, StatusCode::CONTINUE, false, |_, _| ());
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let state = self.shared.lock();
        let ended = |flow: &super::state::Flow| !flow.open_in && flow.heard.is_empty() && flow.trailers.is_none();
        state.streams.get(&self.id).is_some_and(ended)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
