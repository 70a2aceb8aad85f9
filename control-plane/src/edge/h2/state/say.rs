//! What is said on a stream, as frames.

use http::StatusCode;

use super::super::frame::{self, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEAD, HEADERS, Head, LARGEST};
use super::super::hpack::Encoder;
use super::State;

impl State {
    /// Says the head of an answer: `put` adds its headers. With it the answer `ends`, or a body follows.
    pub(in crate::edge::h2) fn head(
        &mut self,
        id: u32,
        status: StatusCode,
        ends: bool,
        put: impl FnOnce(&mut Encoder, &mut Vec<u8>),
    ) {
        self.block(id, ends, |encoder, out| {
            encoder.status(status, out);
            put(encoder, out);
        });
        if let Some(flow) = self.streams.get_mut(&id) {
            flow.answered |= !status.is_informational();
        }
    }

    /// Says a header block.
    pub(in crate::edge::h2) fn block(&mut self, id: u32, ends: bool, put: impl FnOnce(&mut Encoder, &mut Vec<u8>)) {
        let Self { out, encoder, streams, .. } = self;
        let Some(flow) = streams.get_mut(&id) else { return };
        flow.open_out = !ends;
        let at = out.len();
        out.extend_from_slice(&[0; HEAD]);
        put(encoder, out);
        let (length, flags) = (out.len() - at - HEAD, if ends { END_STREAM } else { 0 });
        if length <= LARGEST {
            let head = Head { length, kind: HEADERS, flags: flags | END_HEADERS, stream: id };
            out[at..at + HEAD].copy_from_slice(&head.written());
        } else {
            let block = out.split_off(at + HEAD);
            out.truncate(at);
            in_pieces(out, (id, flags), &block);
        }
        self.forgive();
        self.drive();
    }

    /// Says a piece of a body for which there is room.
    pub(in crate::edge::h2) fn data_out(&mut self, id: u32, piece: &[u8], ends: bool) {
        frame::put(&mut self.out, DATA, if ends { END_STREAM } else { 0 }, id, piece);
        self.sent(id, piece.len(), ends);
    }

    /// A piece of a body was said.
    pub(in crate::edge::h2) fn sent(&mut self, id: u32, bytes: usize, ends: bool) {
        self.window -= bytes as i64;
        if let Some(flow) = self.streams.get_mut(&id) {
            flow.window -= bytes as i64;
            flow.open_out &= !ends;
        }
        if self.turn == Some(id) {
            self.pass_turn();
        }
        self.forgive();
        self.drive();
    }
}

/// A header block that is larger than a frame (RFC 9113 §6.10).
fn in_pieces(out: &mut Vec<u8>, (id, mut flags): (u32, u8), block: &[u8]) {
    let (mut kind, mut pieces) = (HEADERS, block.chunks(LARGEST).peekable());
    while let Some(piece) = pieces.next() {
        flags |= if pieces.peek().is_none() { END_HEADERS } else { 0 };
        frame::put(out, kind, flags, id, piece);
        (kind, flags) = (CONTINUATION, 0);
    }
}
