//! What is asked on a stream, answered.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{Method, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt;
use httparse::Header;

use super::super::access::Scribe;
use super::super::body::{ResponseBody, Sent};
use super::super::headers::{Outward, belongs_to_connection};
use super::super::line::Framing;
use super::super::passing::{self, Heads, Passed};
use super::super::proxy::{self, Connection};
use super::head::Parsed;
use super::hpack::Encoder;
use super::stream::Stream;

/// Answers, as long as somebody waits for it.
pub(super) async fn answer(stream: Stream, connection: Arc<Connection>, asked: Parsed) {
    let work = async {
        match asked {
            Parsed::Plain(plain) => {
                let head_only = plain.method == Method::HEAD;
                match passing::answer(&connection, plain, &Spoken { stream: &stream, connection: &connection }).await {
                    Passed::Percloud(framing, body) => whole(&stream, framing, body).await,
                    Passed::Own(response) => made(&stream, &connection, response, head_only).await,
                }
            }
            // Boxed, so that what is asked most needs no room for it.
            Parsed::Other { parts, length, waits } => {
                Box::pin(async {
                    let head_only = parts.method == Method::HEAD;
                    let body = Sent::Frames(stream.request(length, waits));
                    let response = proxy::answer(connection.clone(), *parts, body).await;
                    made(&stream, &connection, response, head_only).await;
                })
                .await
            }
        }
    };
    stream.while_there(work).await;
}

/// Says a percloud's head on a stream where it stands in the percloud's buffer.
struct Spoken<'a> {
    stream: &'a Stream,
    connection: &'a Connection,
}

impl Heads for Spoken<'_> {
    const VERSION: Version = Version::HTTP_2;
    type Head = Framing;

    fn take(&self, outward: &Outward<'_>, status: StatusCode, headers: &[Header<'_>], framing: Framing) -> Framing {
        self.stream.head(status, is_empty(framing), |encoder, out| {
            let dated = outward.pass(headers, |name, value| encoder.put(name, value, out));
            end(encoder, out, framing, dated, &self.connection.scribe);
        });
        framing
    }
}

fn is_empty(framing: Framing) -> bool {
    matches!(framing, Framing::Nothing | Framing::Length(0))
}

/// The end of a head: how long its body is, and when this is.
fn end(encoder: &mut Encoder, out: &mut Vec<u8>, framing: Framing, dated: bool, scribe: &Scribe) {
    if let Framing::Length(length) = framing {
        encoder.length(length, out);
    }
    if !dated {
        scribe.date(|date| encoder.put(b"date", date.as_bytes(), out));
    }
}

/// Says an answer that was made elsewhere.
async fn made(stream: &Stream, connection: &Connection, response: Response<ResponseBody>, head_only: bool) {
    let framing = passing::framing(response.status(), response.body(), head_only);
    stream.head(response.status(), is_empty(framing), |encoder, out| {
        // A length is said by who frames the body. Without one, it is what a GET would say.
        let stays = |name: &HeaderName| match *name {
            header::CONTENT_LENGTH => head_only,
            _ => !belongs_to_connection(name.as_str().as_bytes()),
        };
        for (name, value) in response.headers().iter().filter(|(name, _)| stays(name)) {
            encoder.put(name.as_str().as_bytes(), value.as_bytes(), out);
        }
        end(encoder, out, framing, response.headers().contains_key(header::DATE), &connection.scribe);
    });
    whole(stream, framing, response.into_body()).await;
}

/// Says the body behind a head.
async fn whole(stream: &Stream, framing: Framing, mut body: ResponseBody) {
    if is_empty(framing) || stream.short(&mut body) {
        return;
    }
    loop {
        let frame = match body.frame().await {
            Some(Ok(frame)) => frame,
            // Whoever holds the stream ends it, and not in order.
            Some(Err(_)) => return,
            None => {
                let _ = stream.body(Bytes::new(), true).await;
                return;
            }
        };
        let ends = body.is_end_stream();
        let piece = match frame.into_data() {
            Ok(piece) => piece,
            Err(frame) => return frame.trailers_ref().into_iter().for_each(|trailers| stream.trailers(trailers)),
        };
        if stream.body(piece, ends).await.is_err() || ends {
            return;
        }
    }
}
