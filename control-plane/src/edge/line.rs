//! Our own way to ask a percloud, for what is asked most: requests without a body that may be asked twice.
//!
//! The library's client runs each connection in a task of its own and hands heads and bodies over through channels. Here the task
//! that serves the visitor reads and writes the percloud's socket itself, which is a third of the work of a small answer. What
//! has a body, waits for a go-ahead or becomes a WebSocket goes the library's way ([`super::upstream`]).

mod answer;

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Response, StatusCode};
use httparse::Header;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, Sleep};

pub(super) use answer::Answer;
use answer::Left;

use super::batch;
use super::headers::{Origin, Outward, holds};
use super::limits;
use super::request::Asked;
use super::slots::Place;
use super::upstream::{Failure, Pool};

/// Room for what comes in one read: most answers.
const ROOM: usize = 8 * 1024;

/// A connection to a percloud on which nobody waits for anything.
pub(super) struct Line {
    stream: UnixStream,
    buffer: BytesMut,
    pub(super) since: Instant,
    /// While it is kept.
    pub(super) place: Option<Place>,
    /// Kept with the connection: to put off a timer costs nothing, to set up one for each request does.
    patience: Pin<Box<Sleep>>,
}

impl Line {
    pub(super) fn new(stream: UnixStream) -> Self {
        let patience = Box::pin(tokio::time::sleep(limits::FIRST_BYTE));
        Self { stream, buffer: BytesMut::with_capacity(ROOM), since: Instant::now(), place: None, patience }
    }

    /// Whether the other end is still there and silent, as it should be. Costs a system call only where something has come.
    pub(super) fn is_alive(&self) -> bool {
        self.buffer.is_empty()
            && self.stream.try_read(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Sends a head and waits for the head of the answer.
    async fn ask<T: Taker>(&mut self, question: Question<'_>, taker: &T) -> Result<Head<T::Taken>, Failure> {
        let Self { stream, buffer, patience, .. } = self;
        patience.as_mut().reset(Instant::now() + limits::FIRST_BYTE);
        tokio::select! {
            biased;
            answer = talk(stream, buffer, question, taker) => answer,
            () = patience => Err(Failure::Slow),
        }
    }
}

/// A request's head as HTTP/1.1 has it, and whether it is one of HEAD: then an answer has no body.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) head: &'a [u8],
    pub(super) head_only: bool,
}

/// Who takes an answer's head from the buffer, and makes of it what they need.
pub(super) trait Taker {
    type Taken;

    /// Takes the headers of a head; `whole` is all of it.
    fn take(
        &self,
        status: StatusCode,
        headers: &[Header<'_>],
        whole: &[u8],
        body: Framing,
    ) -> Result<Self::Taken, Failure>;
}

/// How an answer's body ends, as whoever passes it on may say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none, whatever the head says.
    Nothing,
    /// So many bytes.
    Length(u64),
    /// Nobody knows yet.
    Open,
}

/// Sends a head and takes the head of the answer from what comes back.
async fn talk<T: Taker>(
    stream: &mut UnixStream,
    buffer: &mut BytesMut,
    question: Question<'_>,
    taker: &T,
) -> Result<Head<T::Taken>, Failure> {
    batch::after_others().await;
    stream.write_all(question.head).await.map_err(|e| Failure::Broken(e.into()))?;
    loop {
        buffer.reserve(ROOM);
        let read = stream.read_buf(buffer).await.map_err(|e| Failure::Broken(e.into()))?;
        if read == 0 {
            return Err(Failure::Broken("no answer".into()));
        }
        batch::after_others().await;
        // What it says on the way is for whoever asked for it.
        while let Some(heard) = parse(buffer, question.head_only, taker)? {
            if let Reading::Head(head) = heard {
                return Ok(head);
            }
        }
    }
}

/// Asks on a kept connection if there is one, and again where a kept one was dead.
pub(super) async fn ask<T: Taker>(
    pool: &Arc<Pool>,
    socket: &Arc<Path>,
    question: Question<'_>,
    taker: &T,
) -> Result<(T::Taken, Answer), Failure> {
    let mut tries = 0;
    loop {
        let kept = if tries == 0 { pool.kept_line(socket) } else { None };
        let mut line = match kept {
            Some(line) => line,
            None => Line::new(pool.connect(socket).await?),
        };
        match line.ask(question, taker).await {
            Ok(Head { taken, left, stays }) => {
                return Ok((taken, Answer::new(line, left, stays.then(|| (pool.clone(), socket.clone())))));
            }
            Err(Failure::Broken(_)) if tries < 2 => {
                tries += 1;
                pool.meter.retries.increment(1);
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// The head of a request that is checked, as HTTP/1.1 has it. Its target holds no line break: its type does not allow one.
pub(super) fn head(parts: &Parts, asked: &Asked, origin: &Origin) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    for piece in [parts.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
    origin.write(&parts.headers, asked, &mut out);
    out
}

/// An answer's head.
struct Head<T> {
    taken: T,
    left: Left,
    /// The connection can be used again.
    stays: bool,
}

enum Reading<T> {
    Head(Head<T>),
    /// One that is followed by another (1xx).
    Informational,
}

/// Takes a head out of the buffer, once it is whole.
fn parse<T: Taker>(buffer: &mut BytesMut, head_only: bool, taker: &T) -> Result<Option<Reading<T::Taken>>, Failure> {
    let broken = |what: &'static str| Failure::Nonsense(what);
    let mut space = [const { std::mem::MaybeUninit::uninit() }; limits::HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let status = config.parse_response_with_uninit_headers(&mut parsed, buffer, &mut space);
    let length = match status.map_err(|_| broken("its answer is no HTTP"))? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial if buffer.len() > limits::H1_BUFFER => {
            return Err(broken("its answer's head has no end"));
        }
        httparse::Status::Partial => return Ok(None),
    };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(|| broken("a status"))?;
    let heard = match status {
        StatusCode::SWITCHING_PROTOCOLS => return Err(Failure::Unasked),
        status if status.is_informational() => Reading::Informational,
        _ => {
            let follows = Follows::of(parsed.headers);
            let left = follows.left(status, head_only)?;
            let stays = follows.stays(parsed.version == Some(1)) && left != Left::UntilEnd;
            let framing = match left {
                _ if head_only || is_bare(status) => Framing::Nothing,
                Left::Bytes(length) => Framing::Length(length),
                Left::Chunks(_) | Left::UntilEnd => Framing::Open,
            };
            let taken = taker.take(status, parsed.headers, &buffer[..length], framing)?;
            Reading::Head(Head { taken, left, stays })
        }
    };
    buffer.advance(length);
    Ok(Some(heard))
}

/// An answer that never has a body.
fn is_bare(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// What an answer's head says of what follows it, found in one walk.
#[derive(Default)]
struct Follows<'a> {
    codings: usize,
    chunked: bool,
    length: Option<&'a [u8]>,
    /// Two lengths that are not the same.
    contradicts: bool,
    closes: bool,
    keeps: bool,
}

impl<'a> Follows<'a> {
    fn of(headers: &[Header<'a>]) -> Self {
        let mut follows = Self::default();
        for one in headers {
            // Most names are of another length.
            match one.name.len() {
                14 if one.name.eq_ignore_ascii_case("content-length") => {
                    follows.contradicts |= follows.length.is_some_and(|length| length != one.value);
                    follows.length = Some(one.value);
                }
                17 if one.name.eq_ignore_ascii_case("transfer-encoding") => {
                    follows.codings += 1;
                    follows.chunked = one.value.eq_ignore_ascii_case(b"chunked");
                }
                10 if one.name.eq_ignore_ascii_case("connection") => {
                    follows.closes |= holds(one.value, b"close");
                    follows.keeps |= holds(one.value, b"keep-alive");
                }
                _ => {}
            }
        }
        follows
    }

    /// How much of a body follows (RFC 9112 §6.3).
    fn left(&self, status: StatusCode, head_only: bool) -> Result<Left, Failure> {
        if head_only || is_bare(status) {
            return Ok(Left::Bytes(0));
        }
        match (self.codings, self.chunked) {
            (0, _) => {}
            (1, true) => return Ok(Left::Chunks(answer::Chunks::Size)),
            _ => return Err(Failure::Nonsense("a coding that nobody asked for")),
        }
        let Some(length) = self.length else { return Ok(Left::UntilEnd) };
        let digits = std::str::from_utf8(length).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        match digits.and_then(|text| text.parse().ok()) {
            Some(length) if !self.contradicts => Ok(Left::Bytes(length)),
            _ => Err(Failure::Nonsense("a length that is none")),
        }
    }

    /// Whether the connection stays; HTTP/1.1 is modern: there it does unless it is said otherwise.
    fn stays(&self, modern: bool) -> bool {
        if modern { !self.closes } else { self.keeps }
    }
}

/// Makes a head for the library's server of what a percloud says.
pub(super) struct Mapped<'a>(pub(super) Outward<'a>);

impl Taker for Mapped<'_> {
    type Taken = Response<()>;

    fn take(
        &self,
        status: StatusCode,
        headers: &[Header<'_>],
        whole: &[u8],
        body: Framing,
    ) -> Result<Response<()>, Failure> {
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = self.0.map(headers, whole).ok_or(Failure::Nonsense("a header"))?;
        if body == Framing::Open {
            // Two opinions on the end: the coding is the one that counts (RFC 9112 §6.3), the other must not travel on.
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ids::RequestId;
    use super::*;

    fn asked(text: &str, head_only: bool) -> Result<Option<Head<Response<()>>>, Failure> {
        let request_id = RequestId::fresh();
        let mapped = Mapped(Outward { host: "ada.example", request_id: &request_id, standing: &[], head_only });
        Ok(parse(&mut BytesMut::from(text), head_only, &mapped)?.map(|heard| match heard {
            Reading::Head(head) => head,
            Reading::Informational => panic!("{text} is no last word"),
        }))
    }

    fn head(text: &str) -> Result<Option<Head<Response<()>>>, Failure> {
        asked(text, false)
    }

    fn left(text: &str, head_only: bool) -> Option<Left> {
        Some(asked(text, head_only).ok()??.left)
    }

    #[test]
    fn an_answers_end_is_where_http_says() {
        let get = false;
        assert_eq!(left("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", get), Some(Left::Bytes(5)));
        assert_eq!(left("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", true), Some(Left::Bytes(0)));
        assert_eq!(left("HTTP/1.1 304 x\r\ncontent-length: 5\r\n\r\n", get), Some(Left::Bytes(0)));
        assert_eq!(left("HTTP/1.1 200 OK\r\n\r\n", get), Some(Left::UntilEnd));
        for coded in ["", "content-length: 5\r\n"] {
            let chunks = left(&format!("HTTP/1.1 200 OK\r\n{coded}transfer-encoding: chunked\r\n\r\n"), get);
            assert_eq!(chunks, Some(Left::Chunks(answer::Chunks::Size)));
        }
        for odd in [
            "content-length: 5\r\ncontent-length: 6\r\n",
            "content-length: +5\r\n",
            "content-length: 99999999999999999999999\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        ] {
            assert_eq!(left(&format!("HTTP/1.1 200 OK\r\n{odd}\r\n"), get), None, "{odd}");
        }
    }

    #[test]
    fn a_head_is_taken_when_it_is_whole_and_nonsense_never() {
        assert!(head("HTTP/1.1 200 OK\r\nx: y\r\n").unwrap().is_none());
        for odd in
            ["HTTX/1.1 200 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nx : y\r\n\r\n", "\0\r\n\r\n"]
        {
            assert!(matches!(head(odd), Err(Failure::Nonsense(_))), "{odd:?}");
        }
        assert!(head("HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap().stays);
        assert!(!head("HTTP/1.1 200 OK\r\nconnection: Close\r\n\r\n").unwrap().unwrap().stays);
        assert!(!head("HTTP/1.0 200 OK\r\n\r\n").unwrap().unwrap().stays);
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(limits::H1_BUFFER));
        assert!(head(&endless).is_err());
    }
}
