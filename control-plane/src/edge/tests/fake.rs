//! A percloud as the edge sees it: HTTP/1.1 on a unix socket. It notes what it was sent and answers by path.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::super::websocket::Key;
use super::{Body, empty, full};

/// What was asked of it, and levers for tests.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) requests: Mutex<Vec<Request<()>>>,
    pub(super) connections: AtomicUsize,
    /// How many bytes each body of `/count` had; none where it broke off.
    pub(super) bodies: Mutex<Vec<Option<usize>>>,
    /// Bytes that the body of `/big` has given away.
    pub(super) given: AtomicU64,
    /// Lets `/events` say the next thing.
    pub(super) next: Notify,
    /// Hangs up every connection that is open.
    pub(super) hang_up: Mutex<CancellationToken>,
}

impl Fake {
    pub(super) fn serve(socket: PathBuf) -> Arc<Self> {
        Self::answer_at(UnixListener::bind(socket).unwrap())
    }

    pub(super) fn answer_at(listener: UnixListener) -> Arc<Self> {
        let fake = Arc::new(Self::default());
        let own = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                own.connections.fetch_add(1, Ordering::SeqCst);
                let hang_up = own.hang_up.lock().unwrap().clone();
                let own = own.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| own.clone().answer(request));
                    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
                    tokio::select! { _ = served => {}, () = hang_up.cancelled() => {} }
                });
            }
        });
        fake
    }

    pub(super) fn hang_up(&self) {
        std::mem::take(&mut *self.hang_up.lock().unwrap()).cancel();
    }

    pub(super) fn seen(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub(super) fn last(&self) -> HeaderMap {
        self.requests.lock().unwrap().last().unwrap().headers().clone()
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let mut note = Request::builder().method(request.method()).uri(request.uri()).body(()).unwrap();
        *note.headers_mut() = request.headers().clone();
        self.requests.lock().unwrap().push(note);
        let answer = Response::builder();
        Ok(match request.uri().path() {
            "/echo" => answer.body(BodyExt::boxed(request.into_body().map_err(Into::into))).unwrap(),
            "/count" => {
                let bytes = request.into_body().collect().await.map(|b| b.to_bytes().len());
                self.bodies.lock().unwrap().push(bytes.as_ref().ok().copied());
                answer.body(full(format!("{bytes:?}"))).unwrap()
            }
            "/refuse" => answer.status(StatusCode::PAYLOAD_TOO_LARGE).body(full("too large")).unwrap(),
            "/events" => answer.header("content-type", "text/event-stream").body(self.events()).unwrap(),
            "/big" => answer.body(self.big()).unwrap(),
            "/film" => answer.body(full(film())).unwrap(),
            "/film-in-pieces" => answer.body(in_pieces(film())).unwrap(),
            "/half" => answer.header("content-length", "1000").body(broken()).unwrap(),
            "/half-chunked" => answer.body(broken()).unwrap(),
            "/never" => std::future::pending().await,
            "/promise" => {
                let never = StreamBody::new(futures_util::stream::pending());
                answer.header("content-length", "10").body(BodyExt::boxed(never)).unwrap()
            }
            "/range" => answer.status(206).header("content-range", "bytes 0-3/10").body(full("0123")).unwrap(),
            "/cookies" => answer
                .header("set-cookie", "own=1; Path=/")
                .header("set-cookie", "wide=1; Domain=cloud.localhost")
                .header("connection", "x-inner")
                .header("x-inner", "1")
                .header("alt-svc", "h3=\":1\"")
                .header("strict-transport-security", "max-age=1")
                .header("x-request-id", "the percloud's")
                .body(full("cookies"))
                .unwrap(),
            "/wide" => answer.header("x-wide", "y".repeat(40_000)).body(full("wide")).unwrap(),
            "/socket" => upgrade(request, |key| Key::of(key).accept),
            "/socket-of-another" => upgrade(request, |key| key),
            "/unasked" => {
                answer.status(101).header("connection", "upgrade").header("upgrade", "other").body(empty()).unwrap()
            }
            path => answer.body(full(format!("{} {path}", request.method()))).unwrap(),
        })
    }

    fn events(self: Arc<Self>) -> Body {
        let (tx, rx) = mpsc::channel(1);
        tokio::spawn(async move {
            for number in 1.. {
                let event = Bytes::from(format!("data: {number}\n\n"));
                if tx.send(Ok(Frame::data(event))).await.is_err() {
                    return;
                }
                self.next.notified().await;
            }
        });
        BodyExt::boxed(StreamBody::new(ReceiverStream::new(rx)))
    }

    fn big(self: Arc<Self>) -> Body {
        let piece = Bytes::from(vec![7; 64 * 1024]);
        let pieces = futures_util::stream::repeat(piece).take(16 * 1024).map(move |piece| {
            self.given.fetch_add(piece.len() as u64, Ordering::SeqCst);
            Ok(Frame::data(piece))
        });
        BodyExt::boxed(StreamBody::new(pieces))
    }
}

/// A few megabytes that are nowhere the same.
pub(super) fn film() -> Bytes {
    static FILM: LazyLock<Bytes> = LazyLock::new(|| (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect());
    FILM.clone()
}

/// Small and large pieces, in turn.
fn in_pieces(mut whole: Bytes) -> Body {
    let mut sizes = [1, 100, 5_000, 70_000, 3].into_iter().cycle();
    let pieces = std::iter::from_fn(move || {
        let size = sizes.next()?.min(whole.len());
        (size > 0).then(|| Ok(Frame::data(whole.split_to(size))))
    });
    BodyExt::boxed(StreamBody::new(futures_util::stream::iter(pieces)))
}

fn broken() -> Body {
    let (tx, rx) = mpsc::channel(1);
    tokio::spawn(async move {
        let _ = tx.send(Ok(Frame::data(Bytes::from_static(b"half")))).await;
        // Long enough for the first half to be on its way; what is tested does not depend on it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let _ = tx.send(Err("the runtime died".into())).await;
    });
    BodyExt::boxed(StreamBody::new(ReceiverStream::new(rx)))
}

/// Agrees to a WebSocket with what is made of its key, and echoes bytes, as a WebSocket's frames would be.
fn upgrade(mut request: Request<Incoming>, accept: impl FnOnce(String) -> String) -> Response<Body> {
    let accept = accept(request.headers()["sec-websocket-key"].to_str().unwrap().to_owned());
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let mut stream = TokioIo::new(upgraded);
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            if stream.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    });
    let answer = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "websocket");
    answer.header("sec-websocket-accept", accept).header("sec-websocket-protocol", "chat").body(empty()).unwrap()
}
