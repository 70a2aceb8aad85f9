//! A plain request on its way to a percloud and back. Its head was made a text when it was read, and the answer's head becomes the visitor's where
//! it stands in the percloud's buffer: in between, no header is put into a table or taken out of one.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, Version};
use http_body::Body as _;
use httparse::Header;
use tokio::time::Instant;

use super::answers::{Asker, Own};
use super::body::{Coming, ResponseBody};
use super::headers::{Origin, Outward, Said};
use super::ids::RequestId;
use super::limits;
use super::line::{self, Framing, Question, Taker};
use super::meter::Entry;
use super::proxy::{self, Connection};
use super::upstream::Failure;
use super::way;

/// A request that plainly reads something and has no body.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) method: Method,
    /// What a percloud is told of it: all but what we say ourselves.
    pub(super) text: Vec<u8>,
    /// Bytes of its target, which stands behind the method.
    target: usize,
    pub(super) said: Arc<Said>,
}

/// The beginning of one: its headers are put behind its text.
pub(super) struct Begun {
    method: Method,
    pub(super) text: Vec<u8>,
    target: usize,
}

impl Begun {
    /// A GET or HEAD, if no two programs read its target in two ways; its headers take about so many bytes.
    pub(super) fn of(method: Method, target: &[u8], headers: usize) -> Option<Self> {
        if target.first() != Some(&b'/') || !target.iter().all(|byte| is_plain_in_target(*byte)) {
            return None;
        }
        let mut text = Vec::with_capacity(headers + target.len() + 512);
        for piece in [method.as_str().as_bytes(), b" ", target, b" HTTP/1.1\r\n"] {
            text.extend_from_slice(piece);
        }
        Some(Self { method, text, target: target.len() })
    }

    /// Whole, now that it is known of which host it is.
    pub(super) fn at(self, said: Arc<Said>) -> Plain {
        let Self { method, text, target } = self;
        Plain { method, text, target, said }
    }
}

impl Plain {
    /// What it asks for: without its query and with it.
    pub(super) fn target(&self) -> (&str, &str) {
        let start = self.method.as_str().len() + 1;
        // It was looked at when it was put there.
        let whole = std::str::from_utf8(&self.text[start..start + self.target]).unwrap_or("/");
        (whole.split_once('?').map_or(whole, |(path, _)| path), whole)
    }

    /// Who gets an answer of the edge's own; looked for only when there is one.
    fn asker(&self) -> Asker {
        let mut space = [httparse::EMPTY_HEADER; 2 * limits::HEADERS];
        let mut parsed = httparse::Request::new(&mut space);
        let mut headers = HeaderMap::new();
        let ended = [&self.text[..], b"\r\n"].concat();
        if parsed.parse(&ended).is_ok() {
            for one in parsed.headers.iter() {
                let name = HeaderName::from_bytes(one.name.as_bytes());
                if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(one.value)) {
                    headers.append(name, value);
                }
            }
        }
        Asker::of(&self.method, &headers)
    }
}

/// What no two programs read in two ways.
fn is_plain_in_target(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

/// Who makes the head for a visitor of what a percloud says.
pub(super) trait Heads {
    /// The visitor's HTTP.
    const VERSION: Version;
    type Head;

    /// Makes it of a percloud's headers, of which not all pass.
    fn take(&self, outward: &Outward<'_>, status: StatusCode, headers: &[Header<'_>], framing: Framing) -> Self::Head;
}

/// What came of a request.
pub(super) enum Passed<T> {
    /// The percloud's answer, its head taken.
    Percloud(T, ResponseBody),
    /// One of the edge's own.
    Own(Response<ResponseBody>),
}

/// Passes a plain request on.
pub(super) async fn answer<H: Heads>(connection: &Arc<Connection>, asked: Plain, heads: &H) -> Passed<H::Head> {
    let began = Instant::now();
    proxy::called(connection, |id, trace_parent| pass(connection, asked, heads, id, trace_parent, began)).await
}

async fn pass<H: Heads>(
    connection: &Arc<Connection>,
    mut asked: Plain,
    heads: &H,
    id: RequestId,
    trace_parent: Option<HeaderValue>,
    began: Instant,
) -> Passed<H::Head> {
    let (path, whole) = asked.target();
    let mut note = proxy::begin(connection, id, began, (&asked.method, H::VERSION, path));
    let (socket, busy) = match way::find(connection, &asked.said.name, (path, whole), 0, &mut note) {
        Ok(way) => way,
        Err(why) => {
            return match connection.edge.pages.asset(&asked.method, path).await {
                Some(asset) => Passed::Own(proxy::finish(note, connection, proxy::standing(asset, connection))),
                None => own(connection, note, &asked, &why),
            };
        }
    };
    let origin = Origin { said: asked.said.clone(), request_id: id, trace_parent };
    let headers = asked.text.len();
    origin.finish(&mut asked.text);
    let head_only = asked.method == Method::HEAD;
    let question = Question { head: &asked.text, head_only };
    let outward = Outward { host: &asked.said.name, request_id: &id, standing: connection.standing(), head_only };
    match line::ask(&connection.pool, &socket, question, &Taking { outward, heads }).await {
        Ok(((status, head), coming)) => {
            let body = ResponseBody::percloud(Coming::Line(coming), busy);
            note.answered(status, &body);
            Passed::Percloud(head, body.with_entry(note))
        }
        Err(failure) => {
            let why = proxy::failed(&mut note, &failure);
            asked.text.truncate(headers);
            own(connection, note, &asked, &why)
        }
    }
}

fn own<T>(connection: &Connection, note: Box<Entry>, asked: &Plain, why: &Own) -> Passed<T> {
    Passed::Own(proxy::own(connection, note, &asked.asker(), &asked.said.name, why))
}

/// Knows what of a percloud's head may pass, and who makes another one of that.
struct Taking<'a, H> {
    outward: Outward<'a>,
    heads: &'a H,
}

impl<H: Heads> Taker for Taking<'_, H> {
    type Taken = (StatusCode, H::Head);

    fn take(
        &self,
        status: StatusCode,
        headers: &[Header<'_>],
        _: &[u8],
        framing: Framing,
    ) -> Result<Self::Taken, Failure> {
        Ok((status, self.heads.take(&self.outward, status, headers, framing)))
    }
}

/// How the end of an answer's body is said.
pub(super) fn framing(status: StatusCode, body: &ResponseBody, head_only: bool) -> Framing {
    if head_only || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Framing::Nothing;
    }
    body.size_hint().exact().map_or(Framing::Open, Framing::Length)
}
