//! The body of an answer, read straight from the percloud's socket.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};
use tokio_util::io::poll_read_buf;

use super::super::body::BodyError;
use super::super::limits;
use super::super::upstream::Pool;
use super::{Line, ROOM};

/// Pieces up to this size are copied out, so that the buffer stays with its connection.
const SMALL: usize = 4 * 1024;

/// What is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Bytes(u64),
    Chunks(Chunks),
    UntilEnd,
}

/// Where in a chunked body we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunks {
    /// Before a chunk's size.
    Size,
    /// Before this many bytes of a chunk.
    Data(u64),
    /// Before the line break behind a chunk.
    Break,
    /// Before the trailers, which may be none.
    Trailers,
}

/// A body with its connection, which goes back to where it came from once all has been read.
pub(crate) struct Answer {
    line: Option<Line>,
    left: Left,
    home: Option<(Arc<Pool>, Arc<Path>)>,
}

impl Answer {
    pub(super) fn new(line: Line, left: Left, home: Option<(Arc<Pool>, Arc<Path>)>) -> Self {
        let mut answer = Self { line: Some(line), left, home };
        if left == Left::Bytes(0) {
            answer.end();
        }
        answer
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.line.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match (self.left, &self.line) {
            (_, None) => SizeHint::with_exact(0),
            (Left::Bytes(left), _) => SizeHint::with_exact(left),
            _ => SizeHint::default(),
        }
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let Some(line) = &mut self.line else { return Poll::Ready(None) };
            match next(&mut self.left, &mut line.buffer) {
                Ok(Next::Frame(frame)) => {
                    if self.left == Left::Bytes(0) {
                        self.end();
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(Next::End) => {
                    self.end();
                    return Poll::Ready(None);
                }
                Ok(Next::More) => {}
                Err(what) => {
                    self.line = None;
                    return Poll::Ready(Some(Err(what.into())));
                }
            }
            line.buffer.reserve(ROOM);
            let read = ready!(poll_read_buf(Pin::new(&mut line.stream), cx, &mut line.buffer));
            if let Ok(1..) = read {
                continue;
            }
            self.line = None;
            return match read {
                Ok(_) if self.left == Left::UntilEnd => Poll::Ready(None),
                Ok(_) => Poll::Ready(Some(Err("the percloud broke off".into()))),
                Err(error) => Poll::Ready(Some(Err(error.into()))),
            };
        }
    }

    /// Puts the body behind what is written, where it is a short one and all there; says how long it was.
    pub(crate) fn take_whole(&mut self, out: &mut Vec<u8>) -> Option<u64> {
        let (Left::Bytes(left @ 1..), Some(line)) = (self.left, &mut self.line) else { return None };
        let length = usize::try_from(left).ok().filter(|length| *length <= SMALL.min(line.buffer.len()))?;
        out.extend_from_slice(&line.buffer[..length]);
        line.buffer.advance(length);
        self.left = Left::Bytes(0);
        self.end();
        Some(left)
    }

    /// All has been read. A connection on which more has come than was asked for is not kept.
    fn end(&mut self) {
        if let (Some(line), Some((pool, socket))) = (self.line.take(), self.home.take())
            && line.buffer.is_empty()
        {
            pool.keep_line(&socket, line);
        }
    }
}

/// What the buffer holds next.
enum Next {
    Frame(Frame<Bytes>),
    /// Nothing more will come.
    End,
    /// Not enough.
    More,
}

fn next(left: &mut Left, buffer: &mut BytesMut) -> Result<Next, &'static str> {
    loop {
        match left {
            Left::UntilEnd if buffer.is_empty() => return Ok(Next::More),
            Left::UntilEnd => return Ok(Next::Frame(take(buffer, u64::MAX))),
            Left::Bytes(0) => return Ok(Next::End),
            Left::Bytes(_) | Left::Chunks(Chunks::Data(1..)) if buffer.is_empty() => return Ok(Next::More),
            Left::Bytes(count) | Left::Chunks(Chunks::Data(count @ 1..)) => {
                let frame = take(buffer, *count);
                *count -= frame.data_ref().map_or(0, Bytes::len) as u64;
                return Ok(Next::Frame(frame));
            }
            Left::Chunks(chunks) => match step(*chunks, buffer)? {
                Step::To(next) => *chunks = next,
                Step::More => return Ok(Next::More),
                Step::End(trailers) => {
                    // Nothing is left; whoever asks again is told so.
                    *left = Left::Bytes(0);
                    return Ok(trailers.map_or(Next::End, |trailers| Next::Frame(Frame::trailers(trailers))));
                }
            },
        }
    }
}

fn take(buffer: &mut BytesMut, most: u64) -> Frame<Bytes> {
    let length = buffer.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    if length > SMALL {
        return Frame::data(buffer.split_to(length).freeze());
    }
    let piece = Bytes::copy_from_slice(&buffer[..length]);
    buffer.advance(length);
    Frame::data(piece)
}

enum Step {
    To(Chunks),
    More,
    End(Option<HeaderMap>),
}

/// One step through what stands between the chunks.
fn step(at: Chunks, buffer: &mut BytesMut) -> Result<Step, &'static str> {
    match at {
        Chunks::Data(_) => Ok(Step::To(Chunks::Break)),
        Chunks::Size => match httparse::parse_chunk_size(buffer) {
            Ok(httparse::Status::Complete((length, size))) => {
                buffer.advance(length);
                Ok(Step::To(if size == 0 { Chunks::Trailers } else { Chunks::Data(size) }))
            }
            Ok(httparse::Status::Partial) if buffer.len() < ROOM => Ok(Step::More),
            _ => Err("a chunk without a size"),
        },
        Chunks::Break if buffer.len() < 2 => Ok(Step::More),
        Chunks::Break if buffer.starts_with(b"\r\n") => {
            buffer.advance(2);
            Ok(Step::To(Chunks::Size))
        }
        Chunks::Break => Err("a chunk that is longer than it said"),
        Chunks::Trailers => trailers(buffer),
    }
}

fn trailers(buffer: &mut BytesMut) -> Result<Step, &'static str> {
    let mut space = [httparse::EMPTY_HEADER; 32];
    let (length, found) = match httparse::parse_headers(buffer, &mut space) {
        Ok(httparse::Status::Complete(complete)) => complete,
        Ok(httparse::Status::Partial) if buffer.len() < limits::HEAD_BYTES => return Ok(Step::More),
        _ => return Err("trailers that cannot be read"),
    };
    let mut trailers = HeaderMap::new();
    for header in found {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| "a trailer's name")?;
        trailers.append(name, HeaderValue::from_bytes(header.value).map_err(|_| "a trailer's value")?);
    }
    buffer.advance(length);
    Ok(Step::End(Some(trailers).filter(|trailers| !trailers.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds bytes in pieces of a size and gives data, trailers and whether it came to its end.
    fn read(text: &[u8], piece: usize, mut left: Left) -> Result<(Vec<u8>, usize, bool), &'static str> {
        let (mut data, mut trailers, mut buffer) = (Vec::new(), 0, BytesMut::new());
        let mut pieces = text.chunks(piece);
        loop {
            match next(&mut left, &mut buffer)? {
                Next::Frame(frame) => match frame.into_data() {
                    Ok(bytes) => data.extend_from_slice(&bytes),
                    Err(frame) => trailers += frame.trailers_ref().map_or(0, HeaderMap::len),
                },
                Next::End => return Ok((data, trailers, true)),
                Next::More => match pieces.next() {
                    Some(more) => buffer.extend_from_slice(more),
                    None => return Ok((data, trailers, false)),
                },
            }
        }
    }

    #[test]
    fn chunks_come_out_the_same_however_they_are_cut() {
        let text = b"5\r\nhello\r\n1;why=not\r\n,\r\nA\r\n0123456789\r\n0\r\nx-sum: 42\r\nx: y\r\n\r\n";
        for piece in 1..=text.len() {
            let read = read(text, piece, Left::Chunks(Chunks::Size)).unwrap();
            assert_eq!(read, (b"hello,0123456789".to_vec(), 2, true), "pieces of {piece}");
        }
        for end in 0..text.len() {
            assert!(!read(&text[..end], 7, Left::Chunks(Chunks::Size)).unwrap().2, "cut off after {end}");
        }
        assert_eq!(read(b"0\r\n\r\n", 1, Left::Chunks(Chunks::Size)).unwrap(), (Vec::new(), 0, true));
        for odd in [
            &b"x\r\n"[..],
            b"-1\r\n",
            b"5\r\nhello!\r\n",
            b"fffffffffffffffff\r\n",
            b"1\r\nab\r\n",
            b"0\r\nx y: z\r\n\r\n",
        ] {
            assert!(read(odd, 3, Left::Chunks(Chunks::Size)).is_err(), "{}", String::from_utf8_lossy(odd));
        }
    }

    #[test]
    fn a_length_is_kept_to_the_byte() {
        for piece in [1, 3, 100] {
            assert_eq!(read(b"hello", piece, Left::Bytes(5)).unwrap(), (b"hello".to_vec(), 0, true));
            assert_eq!(read(b"hell", piece, Left::Bytes(5)).unwrap(), (b"hell".to_vec(), 0, false));
        }
        assert_eq!(read(&[7; 100_000], 50_000, Left::Bytes(100_000)).unwrap().0.len(), 100_000);
    }
}
