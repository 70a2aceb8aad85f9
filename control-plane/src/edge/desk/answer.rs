//! An answer written as HTTP/1.1 has it (RFC 9112 §6): its head and all of its body that is there go out together.

use std::io;

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::super::access::Scribe;
use super::super::body::{BodyError, ResponseBody};
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

/// How the end of a body is said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// There is none, whatever the head says.
    Nothing,
    /// So many bytes.
    Length(u64),
    Chunks,
}

impl Framing {
    fn of(status: StatusCode, body: &ResponseBody, head_only: bool) -> Self {
        if head_only || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Self::Nothing;
        }
        body.size_hint().exact().map_or(Self::Chunks, Self::Length)
    }
}

/// Writes an answer to its end. An error means that it is not whole.
pub(super) async fn write<T>(
    visitor: &mut Visitor<T>,
    scribe: &Scribe,
    response: Response<ResponseBody>,
    head_only: bool,
) -> io::Result<Then>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let framing = Framing::of(response.status(), response.body(), head_only);
    let ends = response.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
    let mut out = Vec::with_capacity(2048);
    head(&response, scribe, framing, head_only, &mut out);
    if framing != Framing::Nothing {
        body(visitor, response.into_body(), framing, &mut out).await?;
    }
    visitor.io.write_all(&out).await?;
    visitor.io.flush().await?;
    Ok(if ends { Then::End } else { Then::Next })
}

fn head(response: &Response<ResponseBody>, scribe: &Scribe, framing: Framing, head_only: bool, out: &mut Vec<u8>) {
    let status = response.status();
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        for piece in ["HTTP/1.1 ", status.as_str(), " ", status.canonical_reason().unwrap_or_default(), "\r\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
    }
    let mut dated = false;
    for (name, value) in response.headers() {
        // A length is said by who frames the body. Without one, it is what a GET would say, or nothing that could be believed.
        if *name == header::CONTENT_LENGTH && !head_only {
            continue;
        }
        dated |= *name == header::DATE;
        line(out, name.as_str(), value);
    }
    match framing {
        Framing::Nothing => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            super::super::access::digits(out, length, 1);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunks => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    if !dated {
        scribe.date(out);
    }
    out.extend_from_slice(b"\r\n");
}

/// A line of a head. Names and values hold no line break: their types do not allow one.
fn line(out: &mut Vec<u8>, name: &str, value: &HeaderValue) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
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
        if framing == Framing::Chunks {
            size(out, piece.len());
        }
        put(&mut visitor.io, out, piece).await?;
        if framing == Framing::Chunks {
            out.extend_from_slice(b"\r\n");
        }
    }
    match framing {
        Framing::Length(_) if left > 0 => return Err(io::Error::other("less than was said")),
        Framing::Length(_) | Framing::Nothing => {}
        Framing::Chunks => out.extend_from_slice(b"0\r\n\r\n"),
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
async fn put<T: AsyncWrite + Unpin>(io: &mut T, out: &mut Vec<u8>, piece: Bytes) -> io::Result<()> {
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
