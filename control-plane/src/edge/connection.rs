//! One connection from its first byte to its last: TLS, then HTTP/1.1 or HTTP/2 as the browser chose.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;

use super::access::Scribe;
use super::ahead::Ahead;
use super::company::Who;
use super::ending::Ending;
use super::proxy::{self, Connection};
use super::routes::Visited;
use super::slots::Whence;
use super::stall::Stall;
use super::turns::Turns;
use super::upstream::Pool;
use super::{Edge, challenge, desk, h2, limits, plain};

/// What a worker lends to each of its connections.
#[derive(Clone)]
pub(super) struct Inside {
    pub(super) edge: Arc<Edge>,
    pub(super) pool: Arc<Pool>,
    pub(super) ahead: Arc<Ahead>,
    pub(super) ending: Ending,
    pub(super) tasks: TaskTracker,
    pub(super) scribe: Arc<Scribe>,
    pub(super) turns: Arc<Turns>,
}

/// Serves one connection until it ends, or until the edge does: requests in flight end, no new ones begin.
///
/// Each half of its life is in a box of its own. What a handshake needs is gone with it, and the task that is made for a connection is
/// small: it is moved several times on its way, whole.
pub(super) async fn serve(inside: Inside, stream: TcpStream, client: SocketAddr) {
    let talk = match Box::pin(enter(&inside, stream)).await {
        Some(visitor) => talk(inside, visitor, client.ip()),
        None => return,
    };
    talk.await;
}

/// Somebody with requests.
struct Visitor {
    stream: TlsStream<TcpStream>,
    /// An authority that browsers know vouches for us.
    public: bool,
    /// Who is visited, by the name asked for.
    who: Who,
}

/// The handshake; none when there is nobody to talk to after it.
async fn enter(inside: &Inside, stream: TcpStream) -> Option<Visitor> {
    // Small pieces (an event, the end of a page) must not wait for more.
    let _ = stream.set_nodelay(true);
    let began = Instant::now();
    if !timeout(limits::HANDSHAKE, speaks_tls(&stream)).await.ok()?.ok()? {
        plain::explain(inside.edge.clone(), stream).await;
        return None;
    }
    let shaken = timeout(limits::HANDSHAKE.saturating_sub(began.elapsed()), shake(inside, stream)).await;
    let meter = &inside.edge.meter;
    let Ok(Ok(visitor)) = shaken else {
        meter.handshakes_failed.increment(1);
        return None;
    };
    meter.handshakes.increment(1);
    visitor
}

/// What comes after the handshake.
fn talk(inside: Inside, visitor: Visitor, client: IpAddr) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let Inside { edge, pool, ending, tasks, scribe, turns, .. } = inside;
    let Visitor { stream, public, who } = visitor;
    let crowd = turns.crowd(who);
    let session = stream.get_ref().1;
    let multiplexed = session.alpn_protocol() == Some(b"h2");
    let sni = session.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
    let strict = public && !sni.as_ref().unwrap_or(&edge.base_domain).ends_with(".localhost");
    let whence = Whence::of(&edge.addresses, client);
    let connection = Arc::new(Connection {
        edge,
        pool,
        ending,
        tasks,
        scribe,
        last_call: AtomicBool::new(false),
        client,
        whence,
        said: Mutex::default(),
        sni,
        strict,
    });
    let io = Stall::new(stream, limits::CLIENT_TAKES);
    if multiplexed {
        let streams = h2::Streams { turns: turns.clone(), crowd: crowd.clone() };
        Box::pin(turns.along(crowd, h2::serve(connection, io, streams)))
    } else {
        Box::pin(turns.along(crowd, serve_h1(connection, io)))
    }
}

/// A TLS connection begins with a handshake record (22); anything else is somebody speaking plain HTTP, or nonsense.
async fn speaks_tls(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(first[0] == 22),
    }
}

/// The handshake in two halves: between them there is time to fetch a certificate that is not in memory. None when it was a certificate
/// authority's, which has seen what it wanted to see.
async fn shake(inside: &Inside, stream: TcpStream) -> io::Result<Option<Visitor>> {
    let Inside { edge, pool, ahead, turns, .. } = inside;
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    let hello = start.client_hello();
    let name = hello.server_name().map(str::to_owned);
    if let (true, Some(name)) = (challenge::is_alpn(hello.alpn()), &name) {
        let config = challenge::shown(edge, name).await.map_or_else(|| edge.certificates.nobody(), Arc::new);
        start.into_stream(config).await?.shutdown().await?;
        return Ok(None);
    }
    match edge.certificates.shown(name.as_deref()).await {
        Some(shown) => {
            let asked = name.as_deref().unwrap_or(&edge.base_domain);
            let visited = edge.routes.of_handshake(asked, &edge.base_domain);
            if let Visited::Percloud(route) = &visited {
                ahead.connect(pool, route, Instant::now().duration_since(edge.began));
            }
            // Where it is called it does most of its work already.
            let shaking = pin!(async { start.into_stream(shown.config).await });
            let stream = turns.take(&visited, shaking).await.ok_or(io::ErrorKind::ConnectionRefused)??;
            Ok(Some(Visitor { stream, public: shown.public, who: visited.who() }))
        }
        // An alert says so.
        None => {
            Err(start.into_stream(edge.certificates.nobody()).await.err().unwrap_or(io::ErrorKind::NotFound.into()))
        }
    }
}

type Io = Stall<TlsStream<TcpStream>>;

async fn serve_h1(connection: Arc<Connection>, io: Io) {
    let Some(io) = desk::serve(&connection, io).await else { return };
    let watched = connection.clone();
    // Boxed: the library moves the future around, and it is large.
    let service =
        service_fn(move |request: http::Request<Incoming>| Box::pin(proxy::handle(connection.clone(), request)));
    let mut builder = http1::Builder::new();
    // The library has room for as many headers as we take; told so, it would clear that room anew for each request.
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits::REQUEST_HEAD)
        .max_header_size(limits::HEAD_BYTES)
        .max_buf_size(limits::H1_BUFFER);
    let mut served = pin!(builder.serve_connection(TokioIo::new(io), service).with_upgrades());
    // A connection that breaks is the client's affair; what was lost is in the access log.
    tokio::select! {
        _ = served.as_mut() => return,
        () = watched.ending.leaving.cancelled() => watched.last_call.store(true, Ordering::Relaxed),
    }
    let last_call = watched.ending.asked.run_until_cancelled(tokio::time::sleep(limits::LAST_CALL));
    tokio::select! {
        _ = served.as_mut() => return,
        _ = last_call => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}
