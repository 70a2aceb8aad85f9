//! What a client says, frame by frame (RFC 9113 §6).

use bytes::{Buf, BytesMut};
use http::StatusCode;

use super::super::limits;
use super::answer;
use super::driver::{Block, Driver, Leaving};
use super::frame::{
    self, ACK, CONTINUATION, Code, DATA, END_HEADERS, END_STREAM, GOAWAY, HEAD, HEADERS, Head, LARGEST, PADDED, PING,
    PREFACE, PRIORITIZED, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WIDEST, WINDOW_UPDATE, setting, unpadded,
};
use super::head;
use super::state::{Fault, SMALL, State};
use super::stream::Stream;

impl<T> Driver<T> {
    /// Takes all that is whole.
    ///
    /// # Errors
    /// With the code that ends the connection.
    pub(super) fn hear(&mut self, heard: &mut BytesMut) -> Result<(), Code> {
        if !self.greeted.0 {
            let most = heard.len().min(PREFACE.len());
            if heard[..most] != PREFACE[..most] {
                return Err(Code::Protocol);
            }
            if most < PREFACE.len() {
                return Ok(());
            }
            heard.advance(most);
            self.greeted.0 = true;
        }
        let mut at = 0;
        while let Some(head) = Head::of(&heard[at..]) {
            if head.length > LARGEST {
                return Err(Code::FrameSize);
            }
            let (start, end) = (at + HEAD, at + HEAD + head.length);
            if end > heard.len() {
                break;
            }
            self.fits(head)?;
            let done = if head.kind == DATA && head.length > SMALL {
                heard.advance(start);
                at = 0;
                let payload = heard.split_to(head.length);
                self.data(head, payload)
            } else {
                at = end;
                self.frame(head, &heard[start..end])
            };
            match done {
                Ok(()) => {}
                Err(Fault::Connection(code)) => return Err(code),
                Err(Fault::Stream(id, code)) => self.give_up(id, code)?,
            }
        }
        heard.advance(at);
        Ok(())
    }

    /// Ends a stream after a mistake of the client's, who cannot make too many.
    fn give_up(&self, id: u32, code: Code) -> Result<(), Code> {
        let mut state = self.shared.lock();
        let answered = state.streams.get(&id).is_some_and(|flow| flow.answered);
        state.reset(id, code);
        let done = match code {
            _ if answered => Ok(()),
            // It may not have heard yet how many we take.
            Code::RefusedStream => state.chatter(),
            _ => state.breaks_off(),
        };
        done.map_err(|_| Code::EnhanceYourCalm)
    }

    /// Does what a frame says.
    fn frame(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        match head.kind {
            DATA => self.data(head, payload.into()),
            HEADERS => self.headers(head, payload),
            CONTINUATION => self.continuation(head, payload),
            SETTINGS => self.settings(head, payload),
            PING => self.ping(head, payload),
            WINDOW_UPDATE => self.window_update(head, payload),
            RST_STREAM => self.rst_stream(head, payload),
            GOAWAY => self.goaway(head, payload),
            PRIORITY if head.stream == 0 => Err(Code::Protocol.into()),
            PRIORITY if payload.len() != 5 => Err(Code::FrameSize.into()),
            PUSH_PROMISE => Err(Code::Protocol.into()),
            // Priorities are not followed, and what is not known is nothing (§5.5).
            _ => self.shared.lock().chatter(),
        }
    }

    /// Whether a frame may come where it comes.
    fn fits(&mut self, head: Head) -> Result<(), Code> {
        if !std::mem::replace(&mut self.greeted.1, true) && (head.kind != SETTINGS || head.has(ACK)) {
            return Err(Code::Protocol);
        }
        // Nothing may stand between the frames of a header block (§4.3).
        let amid = self.block.as_ref().is_some_and(|block| head.kind != CONTINUATION || head.stream != block.stream);
        if amid { Err(Code::Protocol) } else { Ok(()) }
    }

    fn data(&self, head: Head, mut payload: BytesMut) -> Result<(), Fault> {
        self.begun(head)?;
        let framed = payload.len();
        if head.has(PADDED) {
            let piece = unpadded(head, &payload).ok_or(Code::Protocol)?.len();
            payload.advance(1);
            payload.truncate(piece);
        }
        self.shared.lock().data(head.stream, payload, framed, head.has(END_STREAM))
    }

    /// Refuses what is said of a stream that never was.
    fn begun(&self, head: Head) -> Result<(), Code> {
        if head.stream == 0 || head.stream > self.last { Err(Code::Protocol) } else { Ok(()) }
    }

    fn headers(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream.is_multiple_of(2) {
            return Err(Code::Protocol.into());
        }
        let mut block = unpadded(head, payload).ok_or(Code::Protocol)?;
        if head.has(PRIORITIZED) {
            block = block.get(5..).ok_or(Code::FrameSize)?;
        }
        let (stream, ends) = (head.stream, head.has(END_STREAM));
        if head.has(END_HEADERS) {
            return self.whole_block(stream, ends, block);
        }
        self.block = Some(Block { stream, ends, bytes: block.to_vec(), frames: 1 });
        Ok(())
    }

    fn continuation(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let mut block = self.block.take().ok_or(Code::Protocol)?;
        block.frames += 1;
        if block.bytes.len() + payload.len() > limits::HEAD_BYTES || block.frames > limits::BLOCK_FRAMES {
            return Err(Code::EnhanceYourCalm.into());
        }
        block.bytes.extend_from_slice(payload);
        if head.has(END_HEADERS) {
            return self.whole_block(block.stream, block.ends, &block.bytes);
        }
        self.block = Some(block);
        Ok(())
    }

    /// A request begins, or ends with trailers.
    fn whole_block(&mut self, id: u32, ends: bool, block: &[u8]) -> Result<(), Fault> {
        self.fields.clear();
        // Whatever becomes of it: the next block builds on it.
        self.decoder.decode(block, &mut self.fields).map_err(|_| Code::Compression)?;
        if id <= self.last {
            let trailers = head::trailers(&self.fields).filter(|_| ends && !self.fields.is_too_large());
            return self.shared.lock().trailed(id, trailers);
        }
        self.last = id;
        let mut state = self.shared.lock();
        state.asked += 1;
        // One that was on its way when the client heard that nothing new begins asks elsewhere.
        if self.leaving == Leaving::Known || state.streams.len() >= limits::STREAMS as usize {
            return Err(Fault::Stream(id, Code::RefusedStream));
        }
        drop(state);
        self.ask(id, ends)
    }

    /// Has a request answered.
    fn ask(&self, id: u32, ends: bool) -> Result<(), Fault> {
        if self.fields.is_too_large() {
            self.shared.lock().open(id, !ends, None);
            let refused = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            Stream::new(self.shared.clone(), id).head(refused, true, |encoder, out| encoder.length(0, out));
            return Ok(());
        }
        let said = |host: &[u8]| self.connection.said(host);
        let asked = head::read(&self.fields, ends, said).ok_or(Fault::Stream(id, Code::Protocol))?;
        let length = if let head::Parsed::Other { length, .. } = &asked { *length } else { None };
        self.shared.lock().open(id, !ends, length);
        let stream = Stream::new(self.shared.clone(), id);
        self.streams.spawn(answer::answer(stream, self.connection.clone(), asked));
        Ok(())
    }

    fn settings(&self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Code::Protocol.into());
        }
        let mut state = self.shared.lock();
        if head.has(ACK) {
            return if payload.is_empty() { Ok(()) } else { Err(Code::FrameSize.into()) };
        }
        let (settings, []) = payload.as_chunks::<6>() else { return Err(Code::FrameSize.into()) };
        for [a, b, value @ ..] in settings {
            set(&mut state, u16::from_be_bytes([*a, *b]), u32::from_be_bytes(*value))?;
        }
        frame::put(&mut state.out, SETTINGS, ACK, 0, &[]);
        state.chatter()
    }

    fn ping(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Code::Protocol.into());
        }
        if payload.len() != 8 {
            return Err(Code::FrameSize.into());
        }
        if head.has(ACK) {
            self.pong(payload);
            return Ok(());
        }
        let mut state = self.shared.lock();
        frame::put(&mut state.out, PING, ACK, 0, payload);
        state.chatter()
    }

    fn window_update(&self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let by = frame::number(payload).ok_or(Code::FrameSize)?;
        if head.stream != 0 {
            self.begun(head)?;
        }
        let mut state = self.shared.lock();
        state.chatter()?;
        state.widen(head.stream, by)
    }

    fn rst_stream(&self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        frame::number(payload).ok_or(Code::FrameSize)?;
        self.begun(head)?;
        let mut state = self.shared.lock();
        let answered = state.streams.get(&head.stream).map(|flow| flow.answered);
        state.close(head.stream);
        match answered {
            None => state.chatter(),
            Some(true) => Ok(()),
            Some(false) => state.breaks_off(),
        }
    }

    fn goaway(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Code::Protocol.into());
        }
        if payload.len() < 8 {
            return Err(Code::FrameSize.into());
        }
        // It asks nothing more.
        self.leaving = self.leaving.max(Leaving::Known);
        Ok(())
    }
}

/// One setting of the client's (§6.5.2).
fn set(state: &mut State, id: u16, value: u32) -> Result<(), Fault> {
    match id {
        setting::HEADER_TABLE_SIZE => state.encoder.resize(value as usize),
        setting::ENABLE_PUSH if value > 1 => return Err(Code::Protocol.into()),
        setting::INITIAL_WINDOW_SIZE if i64::from(value) > WIDEST => return Err(Code::FlowControl.into()),
        setting::INITIAL_WINDOW_SIZE => state.widen_all(value.into())?,
        setting::MAX_FRAME_SIZE if !(LARGEST as u32..1 << 24).contains(&value) => return Err(Code::Protocol.into()),
        // What is not known is nothing. Frames larger than they need be would gain nothing.
        _ => {}
    }
    Ok(())
}
