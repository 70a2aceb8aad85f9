//! One connection from its first byte to its last: TLS, then HTTP/1.1 or HTTP/2 as the browser chose.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Duration, Instant, interval, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;

use super::access::Scribe;
use super::ahead::Ahead;
use super::body::{ResponseBody, Taken};
use super::ending::Ending;
use super::gather::Gather;
use super::proxy::{self, Connection};
use super::stall::Stall;
use super::turns::{Crowd, Turns};
use super::upstream::Pool;
use super::{Edge, challenge, desk, limits, plain};

/// What of an HTTP/2 connection must be seen from outside its streams: how many there are, and whether the client takes what it asked for.
pub(super) struct Watch {
    epoch: Instant,
    /// Requests so far; changes while the connection is used.
    asked: AtomicUsize,
    open: AtomicUsize,
    /// Requests that the client broke off before there was an answer.
    broken_off: AtomicUsize,
    /// It has broken off more than anybody would.
    enough: Notify,
    answers: Mutex<Vec<Weak<Taken>>>,
}

impl Watch {
    fn new() -> Self {
        Self {
            epoch: Instant::now(),
            asked: AtomicUsize::default(),
            open: AtomicUsize::default(),
            broken_off: AtomicUsize::default(),
            enough: Notify::new(),
            answers: Mutex::default(),
        }
    }

    /// Watches how an answer is taken.
    pub(super) fn over(&self, body: ResponseBody) -> ResponseBody {
        let taken = Arc::new(Taken::default());
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= 64 {
            answers.retain(|one| one.strong_count() > 0);
        }
        answers.push(Arc::downgrade(&taken));
        body.watched(taken, self.epoch)
    }

    fn is_stalled(&self) -> bool {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.retain(|one| one.strong_count() > 0);
        answers.iter().filter_map(Weak::upgrade).any(|taken| taken.is_stale(self.epoch, limits::CLIENT_TAKES))
    }

    fn is_used(&self) -> bool {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|one| one.strong_count() > 0)
            || self.open.load(Ordering::Relaxed) > 0
    }
}

/// Counts a request while it has no answer yet, and among the broken ones when it never gets one.
struct Open {
    connection: Arc<Connection>,
    answered: bool,
}

impl Open {
    fn new(connection: Arc<Connection>) -> Self {
        connection.watch.asked.fetch_add(1, Ordering::Relaxed);
        connection.watch.open.fetch_add(1, Ordering::Relaxed);
        Self { connection, answered: false }
    }

    fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let watch = &self.connection.watch;
        watch.open.fetch_sub(1, Ordering::Relaxed);
        if !self.answered {
            let broken_off = watch.broken_off.fetch_add(1, Ordering::Relaxed) + 1;
            if broken_off > limits::BROKEN_OFF && broken_off * 2 > watch.asked.load(Ordering::Relaxed) {
                watch.enough.notify_one();
            }
        }
    }
}

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
pub(super) async fn serve(inside: Inside, stream: TcpStream, client: SocketAddr) {
    // Small pieces (an event, the end of a page) must not wait for more.
    let _ = stream.set_nodelay(true);
    let began = Instant::now();
    match timeout(limits::HANDSHAKE, speaks_tls(&stream)).await {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => return plain::explain(inside.edge, stream).await,
        Ok(Err(_)) | Err(_) => return,
    }
    let shaken = timeout(limits::HANDSHAKE.saturating_sub(began.elapsed()), shake(&inside, stream)).await;
    let Inside { edge, pool, ending, tasks, scribe, turns, .. } = inside;
    let Ok(Ok(shaken)) = shaken else {
        edge.meter.handshakes_failed.increment(1);
        return;
    };
    edge.meter.handshakes.increment(1);
    let Shaken::Visitor { stream, public, key } = shaken else { return };
    let crowd = turns.crowd(&key);
    let session = stream.get_ref().1;
    let h2 = session.alpn_protocol() == Some(b"h2");
    let sni = session.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
    let strict = public && !sni.as_ref().unwrap_or(&edge.base_domain).ends_with(".localhost");
    let (client, last_call, watch) = (client.ip(), AtomicBool::new(false), Watch::new());
    let connection = Arc::new(Connection {
        edge,
        pool,
        ending,
        tasks,
        scribe,
        last_call,
        client,
        said: Mutex::default(),
        sni,
        strict,
        watch,
    });
    let io = Stall::new(stream, limits::CLIENT_TAKES);
    if h2 {
        let streams = Streams { turns: turns.clone(), crowd: crowd.clone() };
        turns.along(crowd, serve_h2(connection, Gather::new(io), streams)).await
    } else {
        turns.along(crowd, serve_h1(connection, io)).await
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

/// Who shook hands.
#[expect(
    clippy::large_enum_variant,
    reason = "made once a connection and taken apart at once; a box would cost an allocation"
)]
enum Shaken {
    /// Somebody with requests; `public`: an authority that browsers know vouches for us; `key`: whose visitor, by the name asked for.
    Visitor { stream: TlsStream<TcpStream>, public: bool, key: String },
    /// A certificate authority, which has seen what it wanted to see.
    Authority,
}

/// The handshake in two halves: between them there is time to fetch a certificate that is not in memory.
async fn shake(inside: &Inside, stream: TcpStream) -> io::Result<Shaken> {
    let Inside { edge, pool, ahead, turns, .. } = inside;
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    let hello = start.client_hello();
    let name = hello.server_name().map(str::to_owned);
    if let (true, Some(name)) = (challenge::is_alpn(hello.alpn()), &name) {
        let config = challenge::shown(edge, name).await.map_or_else(|| edge.certificates.nobody(), Arc::new);
        start.into_stream(config).await?.shutdown().await?;
        return Ok(Shaken::Authority);
    }
    match edge.certificates.shown(name.as_deref()).await {
        Some(shown) => {
            let asked = name.as_deref().unwrap_or(&edge.base_domain);
            let (route, key) = edge.routes.of_handshake(asked, &edge.base_domain);
            if let Some(route) = route {
                ahead.connect(pool, &route, Instant::now().duration_since(edge.began));
            }
            // Where it is called it does most of its work already.
            let shaking = turns.take(&key, async { start.into_stream(shown.config).await });
            let stream = shaking.await.ok_or(io::ErrorKind::ConnectionRefused)??;
            Ok(Shaken::Visitor { stream, public: shown.public, key })
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
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service).with_upgrades());
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

/// The requests of an HTTP/2 connection, each a task of its own.
#[derive(Clone)]
struct Streams {
    turns: Arc<Turns>,
    crowd: Arc<Crowd>,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        tokio::spawn(self.turns.clone().along(self.crowd.clone(), stream));
    }
}

async fn serve_h2(connection: Arc<Connection>, io: Gather<Io>, streams: Streams) {
    let watched = connection.clone();
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (open, connection) = (Open::new(connection.clone()), connection.clone());
        // What answers is large; it comes to be where it stays.
        Box::pin(async move {
            let answer = proxy::handle(connection, request).await;
            open.answered();
            answer
        })
    });
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::STREAMS)
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .max_send_buf_size(limits::SEND_BUFFER)
        .max_header_list_size(limits::HEAD_BYTES as u32)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .enable_connect_protocol();
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(io.clone()), service));
    let mut round = interval(limits::ROUND);
    let (mut last, mut quiet) = (0, Instant::now());
    let mut going = false;
    loop {
        tokio::select! {
            () = std::future::poll_fn(|cx| io.poll_driven(served.as_mut(), cx)) => return,
            () = watched.watch.enough.notified() => {
                tracing::debug!("a client that breaks off whatever it asks");
                return;
            }
            () = watched.ending.leaving.cancelled(), if !going => {
                going = true;
                served.as_mut().graceful_shutdown();
            }
            _ = round.tick() => {
                let asked = watched.watch.asked.load(Ordering::Relaxed);
                if asked != last || watched.watch.is_used() {
                    (last, quiet) = (asked, Instant::now());
                }
                if watched.watch.is_stalled() {
                    return;
                }
                if !going && quiet.elapsed() > limits::IDLE {
                    going = true;
                    served.as_mut().graceful_shutdown();
                }
            }
        }
    }
}
