//! What is heard of requests' bodies, and how much more may be sent.

use std::sync::atomic::Ordering::Relaxed;

use bytes::BytesMut;
use http::HeaderMap;

use super::super::super::limits;
use super::super::frame::{self, Code, WINDOW_UPDATE};
use super::{Fault, State};

/// Pieces of a request's body up to this size are put together while nobody reads them.
pub(in crate::edge::h2) const SMALL: usize = 4 * 1024;

impl State {
    /// So many bytes wait to be read.
    fn hold(&mut self, bytes: usize) {
        self.held += bytes;
        self.unread.fetch_add(bytes, Relaxed);
    }

    /// So many have been read, or nobody will.
    pub(in crate::edge::h2) fn let_go(&mut self, bytes: usize) {
        // As a rule: what all share is not touched for nothing.
        if bytes == 0 {
            return;
        }
        self.unread.fetch_sub(bytes, Relaxed);
        let waited = self.holds_much();
        self.held -= bytes;
        if waited && !self.holds_much() {
            self.drive();
        }
    }

    fn holds_much(&self) -> bool {
        self.held > limits::UNREAD_FREE
    }

    /// Whether more should not be read from this connection: much of it waits, as it does everywhere.
    pub(in crate::edge::h2) fn is_sated(&self) -> bool {
        self.holds_much() && self.unread.load(Relaxed) > limits::UNREAD
    }

    /// The client may send so many bytes more, over all streams. It is told when it is worth a frame.
    pub(super) fn release(&mut self, bytes: usize) {
        // No more than a window.
        self.taken += bytes as u32;
        if self.taken >= limits::CONNECTION_WINDOW / 2 {
            frame::put(&mut self.out, WINDOW_UPDATE, 0, 0, &self.taken.to_be_bytes());
            self.room += i64::from(std::mem::take(&mut self.taken));
            self.drive();
        }
    }

    /// The same on a stream, of what was read of its body.
    pub(in crate::edge::h2) fn read(&mut self, id: u32, bytes: usize) {
        self.release(bytes);
        let Some(flow) = self.streams.get_mut(&id) else { return };
        flow.taken += bytes as u32;
        if flow.open_in && flow.taken >= limits::STREAM_WINDOW / 2 {
            frame::put(&mut self.out, WINDOW_UPDATE, 0, id, &flow.taken.to_be_bytes());
            flow.room += i64::from(std::mem::take(&mut flow.taken));
            self.drive();
        }
    }

    /// A piece of a request's body came in a frame of so many bytes, the last one if it `ends`.
    pub(in crate::edge::h2) fn data(
        &mut self,
        id: u32,
        piece: BytesMut,
        framed: usize,
        ends: bool,
    ) -> Result<(), Fault> {
        self.room -= framed as i64;
        if self.room < 0 {
            return Err(Code::FlowControl.into());
        }
        if piece.is_empty() && !ends {
            self.chatter()?;
        } else {
            self.forgive();
        }
        let Some(flow) = self.streams.get_mut(&id) else {
            self.release(framed);
            return self.late(id);
        };
        let (length, fault) = (piece.len(), |code| Err(Fault::Stream(id, code)));
        if !flow.open_in {
            self.release(framed);
            return fault(Code::StreamClosed);
        }
        flow.room -= framed as i64;
        let left = flow.left.map_or(Some(None), |left| left.checked_sub(length as u64).map(Some));
        let good = left.filter(|left| !ends || left.is_none_or(|left| left == 0));
        let Some(left) = good.filter(|_| flow.room >= 0) else {
            let code = if flow.room < 0 { Code::FlowControl } else { Code::Protocol };
            self.release(framed);
            return fault(code);
        };
        flow.left = left;
        flow.open_in = !ends;
        match flow.heard.back_mut() {
            _ if length == 0 => {}
            // Else each byte could come as a piece of its own, and cost as much as fifty.
            Some(last) if last.len() + length <= SMALL => last.extend_from_slice(&piece),
            _ => flow.heard.push_back(piece),
        }
        if let Some(reader) = flow.reader.take() {
            reader.wake();
        }
        self.hold(length);
        // What only fills up is read by nobody.
        self.read(id, framed - length);
        Ok(())
    }

    /// A request's body ends with trailers.
    pub(in crate::edge::h2) fn trailed(&mut self, id: u32, trailers: Option<HeaderMap>) -> Result<(), Fault> {
        let Some(flow) = self.streams.get_mut(&id) else {
            return self.late(id);
        };
        if !flow.open_in {
            return Err(Fault::Stream(id, Code::StreamClosed));
        }
        let good = trailers.filter(|_| flow.left.is_none_or(|left| left == 0));
        flow.trailers = Some(good.ok_or(Fault::Stream(id, Code::Protocol))?);
        flow.open_in = false;
        if let Some(reader) = flow.reader.take() {
            reader.wake();
        }
        Ok(())
    }
}
