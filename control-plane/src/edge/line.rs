//! Our own way to ask a percloud, for what is asked most: requests without a body that may be asked twice.
//!
//! The library's client runs each connection in a task of its own and hands heads and bodies over through channels. Here the task
//! that serves the visitor reads and writes the percloud's socket itself, which is a third of the work of a small answer. What
//! has a body, waits for a go-ahead or becomes a WebSocket goes the library's way ([`super::upstream`]).

mod answer;

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, Sleep};

pub(super) use answer::Answer;
use answer::Left;

use super::body::RequestBody;
use super::headers::{Origin, lists};
use super::limits;
use super::upstream::{Failure, Pool};

/// Room for what comes in one read: most answers.
const ROOM: usize = 8 * 1024;

/// A connection to a percloud on which nobody waits for anything.
pub(super) struct Line {
    stream: UnixStream,
    buffer: BytesMut,
    pub(super) since: Instant,
    /// Kept with the connection: to put off a timer costs nothing, to set up one for each request does.
    patience: Pin<Box<Sleep>>,
}

impl Line {
    pub(super) fn new(stream: UnixStream) -> Self {
        let patience = Box::pin(tokio::time::sleep(limits::FIRST_BYTE));
        Self { stream, buffer: BytesMut::with_capacity(ROOM), since: Instant::now(), patience }
    }

    /// Whether the other end is still there and silent, as it should be. Costs a system call only where something has come.
    pub(super) fn is_alive(&self) -> bool {
        self.buffer.is_empty()
            && self.stream.try_read(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
    }

    /// Sends a head and waits for the head of the answer.
    async fn ask(&mut self, head: &[u8]) -> Result<Head, Failure> {
        let Self { stream, buffer, patience, .. } = self;
        patience.as_mut().reset(Instant::now() + limits::FIRST_BYTE);
        tokio::select! {
            biased;
            answer = talk(stream, buffer, head) => answer,
            () = patience => Err(Failure::Slow),
        }
    }
}

/// Sends a head and takes the head of the answer from what comes back.
async fn talk(stream: &mut UnixStream, buffer: &mut BytesMut, head: &[u8]) -> Result<Head, Failure> {
    stream.write_all(head).await.map_err(|e| Failure::Broken(e.into()))?;
    loop {
        buffer.reserve(ROOM);
        let read = stream.read_buf(buffer).await.map_err(|e| Failure::Broken(e.into()))?;
        if read == 0 {
            return Err(Failure::Broken("no answer".into()));
        }
        while let Some(head) = parse(buffer)? {
            match head.status {
                StatusCode::SWITCHING_PROTOCOLS => return Err(Failure::Unasked),
                // What it says on the way is for whoever asked for it.
                status if status.is_informational() => {}
                _ => return Ok(head),
            }
        }
    }
}

/// Asks on a kept connection if there is one, and again where a kept one was dead.
pub(super) async fn ask(
    pool: &Arc<Pool>,
    socket: &Arc<Path>,
    request: &Request<RequestBody>,
    origin: &Origin,
) -> Result<Response<Answer>, Failure> {
    let written = write(request, origin);
    let mut tries = 0;
    loop {
        let kept = if tries == 0 { pool.kept_line(socket) } else { None };
        let mut line = match kept {
            Some(line) => line,
            None => Line::new(pool.connect(socket).await?),
        };
        match line.ask(&written).await {
            Ok(head) => return head.into_response(line, pool, socket, request.method()),
            Err(Failure::Broken(_)) if tries < 2 => {
                tries += 1;
                pool.meter.retries.increment(1);
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// The request's head as HTTP/1.1 has it. Its target holds no line break: its type does not allow one.
fn write(request: &Request<RequestBody>, origin: &Origin) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let target = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    for piece in [request.method().as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
    origin.write(request.headers(), &mut out);
    out.extend_from_slice(b"\r\n");
    out
}

/// An answer's head.
struct Head {
    status: StatusCode,
    headers: HeaderMap,
    /// It speaks HTTP/1.1, where a connection stays unless it is said otherwise.
    modern: bool,
}

/// Takes a head out of the buffer, once it is whole.
fn parse(buffer: &mut BytesMut) -> Result<Option<Head>, Failure> {
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
    // One small copy, so that the buffer can be used again while the head travels on.
    let head = Bytes::copy_from_slice(&buffer[..length]);
    let start = buffer.as_ptr() as usize;
    let mut headers = HeaderMap::with_capacity(parsed.headers.len() + 4);
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| broken("a header's name"))?;
        let at = header.value.as_ptr() as usize - start;
        let value = head.slice(at..at + header.value.len());
        headers.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| broken("a header's value"))?);
    }
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(|| broken("a status"))?;
    let modern = parsed.version == Some(1);
    buffer.advance(length);
    Ok(Some(Head { status, headers, modern }))
}

impl Head {
    fn into_response(
        mut self,
        line: Line,
        pool: &Arc<Pool>,
        socket: &Arc<Path>,
        method: &Method,
    ) -> Result<Response<Answer>, Failure> {
        let left = self.left(method)?;
        let stays = self.stays() && !matches!(left, Left::UntilEnd);
        if matches!(left, Left::Chunks(_)) {
            // Two opinions on the end: the coding is the one that counts (RFC 9112 §6.3), the other must not travel on.
            self.headers.remove(CONTENT_LENGTH);
        }
        let mut response = Response::new(Answer::new(line, left, stays.then(|| (pool.clone(), socket.clone()))));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        Ok(response)
    }

    /// How much of a body follows (RFC 9112 §6.3).
    fn left(&self, method: &Method) -> Result<Left, Failure> {
        if *method == Method::HEAD || matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Ok(Left::Bytes(0));
        }
        let mut codings = self.headers.get_all(TRANSFER_ENCODING).iter();
        match (codings.next(), codings.next()) {
            (None, _) => {}
            (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"chunked") => {
                return Ok(Left::Chunks(answer::Chunks::Size));
            }
            _ => return Err(Failure::Nonsense("a coding that nobody asked for")),
        }
        let mut lengths = self.headers.get_all(CONTENT_LENGTH).iter();
        let Some(first) = lengths.next() else { return Ok(Left::UntilEnd) };
        let digits = first.to_str().ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        match digits.and_then(|text| text.parse().ok()) {
            Some(length) if lengths.all(|other| other == first) => Ok(Left::Bytes(length)),
            _ => Err(Failure::Nonsense("a length that is none")),
        }
    }

    fn stays(&self) -> bool {
        let says = |word| lists(&self.headers, &CONNECTION, word);
        if self.modern { !says("close") } else { says("keep-alive") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Option<Head>, Failure> {
        parse(&mut BytesMut::from(text))
    }

    fn left(text: &str, method: &Method) -> Option<Left> {
        head(text).ok()??.left(method).ok()
    }

    #[test]
    fn an_answers_end_is_where_http_says() {
        let get = Method::GET;
        assert_eq!(left("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", &get), Some(Left::Bytes(5)));
        assert_eq!(left("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", &Method::HEAD), Some(Left::Bytes(0)));
        assert_eq!(left("HTTP/1.1 304 x\r\ncontent-length: 5\r\n\r\n", &get), Some(Left::Bytes(0)));
        assert_eq!(left("HTTP/1.1 200 OK\r\n\r\n", &get), Some(Left::UntilEnd));
        for coded in ["", "content-length: 5\r\n"] {
            let chunks = left(&format!("HTTP/1.1 200 OK\r\n{coded}transfer-encoding: chunked\r\n\r\n"), &get);
            assert_eq!(chunks, Some(Left::Chunks(answer::Chunks::Size)));
        }
        for odd in [
            "content-length: 5\r\ncontent-length: 6\r\n",
            "content-length: +5\r\n",
            "content-length: 99999999999999999999999\r\n",
            "transfer-encoding: gzip, chunked\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        ] {
            assert_eq!(left(&format!("HTTP/1.1 200 OK\r\n{odd}\r\n"), &get), None, "{odd}");
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
        assert!(head("HTTP/1.1 200 OK\r\n\r\n").unwrap().unwrap().stays());
        assert!(!head("HTTP/1.1 200 OK\r\nconnection: Close\r\n\r\n").unwrap().unwrap().stays());
        assert!(!head("HTTP/1.0 200 OK\r\n\r\n").unwrap().unwrap().stays());
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(limits::H1_BUFFER));
        assert!(head(&endless).is_err());
    }
}
