//! Plain HTTP: on the HTTPS port an explanation, on its own port (`--http-port`) the way to HTTPS. Nothing else is ever served without TLS,
//! but what a certificate authority asks for ([`super::challenge`]).

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use super::answers::{self, Asker, Own};
use super::body::ResponseBody;
use super::stall::Stall;
use super::{Edge, challenge, limits, request};

/// Tells somebody who speaks HTTP on the HTTPS port what to do, and ends.
pub(super) async fn explain(edge: Arc<Edge>, stream: TcpStream) {
    serve(edge, stream, |_, to| Own::PlainHttp(to)).await;
}

/// Sends everybody to HTTPS.
pub(super) async fn redirect(edge: Arc<Edge>, stream: TcpStream) {
    let say = |edge: &Edge, to: Option<String>| match to {
        Some(to) => Own::Moved(to),
        None if edge.certificates.are_known() => Own::NoSuchPercloud,
        None => Own::Unready,
    };
    serve(edge, stream, say).await;
}

/// The same address with TLS, when the host is one of ours: an open redirect would lend our name to anybody. Who asks before it is known which
/// are ours waits for that, as in a handshake.
async fn elsewhere(edge: &Edge, request: &Request<Incoming>) -> Option<String> {
    let host = request::plain_host(request)?;
    let known = host == edge.base_domain || {
        let _late = timeout(limits::HANDSHAKE, edge.certificates.until_known()).await;
        edge.routes.find(&host).is_some()
    };
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    (known && path.starts_with('/')).then(|| format!("{}{path}", bundle::spec::origin(host, edge.public_port)))
}

/// Says something to everybody who asks, given where to go instead.
async fn serve(edge: Arc<Edge>, stream: TcpStream, say: fn(&Edge, Option<String>) -> Own) {
    let service = service_fn(move |request: Request<Incoming>| {
        let edge = edge.clone();
        async move {
            if let Some(answer) = challenge::answer(&edge, &request).await {
                return Ok(answer);
            }
            // The page below would look bare without its style; the same bytes are there for everybody.
            if let Some(asset) = edge.pages.asset(request.method(), request.uri().path()).await {
                return Ok::<Response<ResponseBody>, Infallible>(asset);
            }
            let asker = Asker::of(request.method(), request.headers());
            let own = say(&edge, elsewhere(&edge, &request).await);
            let host = request::plain_host(&request).unwrap_or_default();
            let id = format!("{:032x}", rand::random::<u128>());
            Ok(answers::answer(&edge.pages, &own, &asker, &host, &id))
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HANDSHAKE)
        .keep_alive(false)
        .max_headers(limits::HEADERS)
        .max_header_size(limits::HEAD_BYTES)
        .max_buf_size(limits::H1_BUFFER);
    let io = TokioIo::new(Stall::new(stream, limits::HANDSHAKE));
    // Whoever speaks the wrong language may hang up in the middle of it.
    let _ = timeout(Duration::from_secs(30), builder.serve_connection(io, service)).await;
}
