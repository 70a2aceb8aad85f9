//! An answer written as HTTP/1.1 has it (RFC 9112 §6): its head and all of its body that is there go out together.

use std::io;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use http::header;
use http::{Method, Response, StatusCode, Version};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use httparse::Header;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::super::access::Scribe;
use super::super::body::{BodyError, ResponseBody};
use super::super::headers::{Outward, put};
use super::super::line::Framing;
use super::super::passing::{self, Heads, Passed, Plain};
use super::super::proxy::Connection;
use super::Visitor;

/// Pieces up to this size are gathered; a larger one goes out at once, with what was gathered before it.
const SMALL: usize = 4 * 1024;
/// What is gathered goes out when it is more than this: a TLS record holds no more.
const RECORD: usize = 16 * 1024;

/// What comes after an answer.
pub(super) enum Then {
    Next,
    End,
}

/// An answer whose head is written.
pub(super) struct Reply {
    head: Vec<u8>,
    framing: Framing,
    body: ResponseBody,
    /// The connection ends with it.
    ends: bool,
}

/// Answers a plain request.
pub(super) async fn of(connection: &Arc<Connection>, asked: Plain) -> Reply {
    let method = asked.method.clone();
    match passing::answer(connection, asked, &Written(&connection.scribe)).await {
        Passed::Percloud((head, framing), body) => Reply { head, framing, body, ends: false },
        Passed::Own(response) => made(response, connection, &method),
    }
}

/// Writes a head for a visitor of what a percloud says.
struct Written<'a>(&'a Scribe);

/// More than most heads and a short body take.
const ROOM: usize = 2048;

impl Heads for Written<'_> {
    const VERSION: Version = Version::HTTP_11;
    type Head = (Vec<u8>, Framing);

    fn take(&self, outward: &Outward<'_>, status: StatusCode, headers: &[Header<'_>], framing: Framing) -> Self::Head {
        let mut head = Vec::with_capacity(ROOM);
        begin(&mut head, status);
        let dated = outward.write(headers, &mut head);
        end(&mut head, framing, dated, self.0);
        (head, framing)
    }
}

/// Writes an answer to its end. An error means that it is not whole.
pub(super) async fn write<T>(visitor: &mut Visitor<T>, reply: Reply) -> io::Result<Then>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let Reply { head: mut out, framing, body: content, ends } = reply;
    if framing != Framing::Nothing {
        body(visitor, content, framing, &mut out).await?;
    }
    visitor.io.write_all(&out).await?;
    visitor.io.flush().await?;
    Ok(if ends { Then::End } else { Then::Next })
}

/// Writes the head of an answer that was made here.
fn made(response: Response<ResponseBody>, connection: &Connection, method: &Method) -> Reply {
    let head_only = *method == Method::HEAD;
    let framing = passing::framing(response.status(), response.body(), head_only);
    let ends = response.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
    let mut head = Vec::with_capacity(ROOM);
    begin(&mut head, response.status());
    for (name, value) in response.headers() {
        // A length is said by who frames the body. Without one, it is what a GET would say.
        if *name != header::CONTENT_LENGTH || head_only {
            put(&mut head, name.as_str(), value.as_bytes());
        }
    }
    end(&mut head, framing, response.headers().contains_key(header::DATE), &connection.scribe);
    Reply { head, framing, body: response.into_body(), ends }
}

/// The first line of a head.
fn begin(out: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    for piece in ["HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or_default(), "\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// The end of a head: how its body ends, and when this is.
fn end(out: &mut Vec<u8>, framing: Framing, dated: bool, scribe: &Scribe) {
    match framing {
        Framing::Nothing => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            super::super::access::digits(out, length, 1);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Open => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    if !dated {
        scribe.date(|date| put(out, "date", date.as_bytes()));
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a body but for its last bytes, which are left in `out`. What is there already waits for nothing but a record's worth; before the
/// percloud is waited for, all is sent.
async fn body<T>(
    visitor: &mut Visitor<T>,
    mut body: ResponseBody,
    framing: Framing,
    out: &mut Vec<u8>,
) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut left = if let Framing::Length(length) = framing { length } else { u64::MAX };
    // Most are short and came with their heads.
    left -= if left <= SMALL as u64 { body.take_whole(out).unwrap_or_default() } else { 0 };
    while !body.is_end_stream() {
        let frame = match body.frame().now_or_never() {
            Some(frame) => frame,
            None => awaited(visitor, &mut body, out).await?,
        };
        let Some(frame) = frame else { break };
        // What is no data are trailers, and nobody asked for them here.
        let Ok(piece) = frame.map_err(io::Error::other)?.into_data() else { continue };
        if piece.is_empty() {
            continue;
        }
        left = left.checked_sub(piece.len() as u64).ok_or_else(|| io::Error::other("more than was said"))?;
        if framing == Framing::Open {
            size(out, piece.len());
        }
        pass_on(&mut visitor.io, out, piece).await?;
        if framing == Framing::Open {
            out.extend_from_slice(b"\r\n");
        }
    }
    match framing {
        Framing::Length(_) if left > 0 => return Err(io::Error::other("less than was said")),
        Framing::Length(_) | Framing::Nothing => {}
        Framing::Open => out.extend_from_slice(b"0\r\n\r\n"),
    }
    Ok(())
}

/// Sends what there is and waits for more, as long as the visitor does.
async fn awaited<T>(
    visitor: &mut Visitor<T>,
    body: &mut ResponseBody,
    out: &mut Vec<u8>,
) -> io::Result<Option<Result<Frame<Bytes>, BodyError>>>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    visitor.io.write_all(out).await?;
    visitor.io.flush().await?;
    out.clear();
    tokio::select! {
        biased;
        frame = body.frame() => Ok(frame),
        () = visitor.gone() => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

/// A piece of the body: gathered if it is small, else sent behind what was gathered.
async fn pass_on<T: AsyncWrite + Unpin>(io: &mut T, out: &mut Vec<u8>, piece: Bytes) -> io::Result<()> {
    if piece.len() <= SMALL {
        out.extend_from_slice(&piece);
        if out.len() < RECORD {
            return Ok(());
        }
        io.write_all(out).await?;
    } else {
        io.write_all_buf(&mut out.as_slice().chain(piece)).await?;
    }
    out.clear();
    Ok(())
}

/// A chunk's size as its first line has it.
fn size(out: &mut Vec<u8>, size: usize) {
    use std::io::Write as _;
    // Writing to memory does not fail.
    let _ = write!(out, "{size:x}\r\n");
}
