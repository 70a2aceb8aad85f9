//! A plain request on its way to a percloud and back. Its head was made a text when it was read, and the answer's head becomes the visitor's where
//! it stands in the percloud's buffer: in between, no header is put into a table or taken out of one.

use std::sync::Arc;

use http::header::HeaderValue;
use http::{StatusCode, Version};
use httparse::Header;
use tokio::time::Instant;

use super::super::access::Scribe;
use super::super::answers::Own;
use super::super::body::{Coming, ResponseBody};
use super::super::headers::{Origin, Outward};
use super::super::ids::RequestId;
use super::super::line::{self, Framing, Question, Taker};
use super::super::meter::Entry;
use super::super::proxy::{self, Connection};
use super::super::upstream::Failure;
use super::super::way;
use super::answer;
use super::head::Plain;

/// An answer whose head is written.
pub(super) struct Reply {
    pub(super) head: Vec<u8>,
    pub(super) framing: Framing,
    pub(super) body: ResponseBody,
    /// The connection ends with it.
    pub(super) ends: bool,
}

/// Answers a plain request.
pub(super) async fn answer(connection: &Arc<Connection>, asked: Plain) -> Reply {
    let began = Instant::now();
    proxy::called(connection, |id, trace_parent| pass(connection, asked, id, trace_parent, began)).await
}

async fn pass(
    connection: &Arc<Connection>,
    mut asked: Plain,
    id: RequestId,
    trace_parent: Option<HeaderValue>,
    began: Instant,
) -> Reply {
    let (path, whole) = asked.target();
    let mut note = proxy::begin(connection, id, began, (&asked.method, Version::HTTP_11, path));
    let (socket, busy) = match way::find(connection, &asked.said.name, (path, whole), 0, &mut note) {
        Ok(way) => way,
        Err(why) => {
            return match connection.edge.pages.asset(&asked.method, path).await {
                Some(asset) => {
                    let asset = proxy::strictly(asset, connection);
                    answer::made(proxy::finish(note, connection, asset), connection, &asked.method)
                }
                None => own(connection, note, &asked, &why),
            };
        }
    };
    let origin = Origin { said: asked.said.clone(), request_id: id, trace_parent };
    origin.finish(&mut asked.text);
    let head_only = asked.method == http::Method::HEAD;
    let question = Question { head: &asked.text, head_only };
    let outward = Outward { host: &asked.said.name, request_id: &id, strict: connection.strict, head_only };
    let written = Written { outward, scribe: &connection.scribe };
    match line::ask(&connection.pool, &socket, question, &written).await {
        Ok(((status, head, framing), coming)) => {
            let body = ResponseBody::percloud(Coming::Line(coming), busy);
            note.answered(status, &body);
            Reply { head, framing, body: body.with_entry(note), ends: false }
        }
        Err(failure) => {
            let why = proxy::failed(&mut note, &failure);
            own(connection, note, &asked, &why)
        }
    }
}

fn own(connection: &Connection, note: Box<Entry>, asked: &Plain, why: &Own) -> Reply {
    let said = proxy::own(connection, note, &asked.asker(), &asked.said.name, why);
    answer::made(said, connection, &asked.method)
}

/// Makes the head for a visitor of what a percloud says.
struct Written<'a> {
    outward: Outward<'a>,
    scribe: &'a Scribe,
}

/// More than most heads and a short body take.
const ROOM: usize = 2048;

impl Taker for Written<'_> {
    type Taken = (StatusCode, Vec<u8>, Framing);

    fn take(
        &self,
        status: StatusCode,
        headers: &[Header<'_>],
        _: &[u8],
        body: Framing,
    ) -> Result<Self::Taken, Failure> {
        let mut head = Vec::with_capacity(ROOM);
        answer::begin(&mut head, status);
        let dated = self.outward.write(headers, &mut head);
        answer::end(&mut head, body, dated, self.scribe);
        Ok((status, head, body))
    }
}
