//! Accepting connections, serving them, and letting go of them without losing a request.

use std::{
    convert::Infallible,
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, response::Response};
use futures_util::future::BoxFuture;
use http::Request;
use http_body::Frame;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::visits;
use crate::{pulse::Busy, runtime::Runtime, web::Client};

/// How many connections are open at once; further ones wait in the listener's queue.
const AT_ONCE: usize = 512;
/// How long a browser may take to send a request's head; an idle connection is closed after the same time.
const HEAD: Duration = Duration::from_secs(30);

/// A connection's two directions.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Which HTTP a connection speaks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Version {
    /// The first bytes tell.
    Guess,
    One,
    Two,
}

/// A connection, ready for HTTP.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    pub(super) client: Option<IpAddr>,
    pub(super) version: Version,
}

/// Where connections come from. What takes time (a TLS handshake) is left to the second future, so that the next
/// connection can be accepted meanwhile.
pub(super) trait Accept: Send {
    fn accept(&mut self) -> BoxFuture<'_, std::io::Result<BoxFuture<'static, Option<Connection>>>>;
}

/// All open connections.
pub(super) struct Connections {
    rt: Runtime,
    router: Router,
    http: Builder<TokioExecutor>,
    room: Arc<Semaphore>,
    graceful: Mutex<Option<GracefulShutdown>>,
    /// How many have not handed us a request yet.
    fresh: watch::Sender<usize>,
}

impl Connections {
    pub(super) fn new(rt: Runtime, router: Router) -> Self {
        let mut http = Builder::new(TokioExecutor::new());
        http.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(64 << 10).half_close(false);
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            .max_concurrent_streams(128)
            .max_header_list_size(32 << 10)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20);
        let graceful = Mutex::new(Some(GracefulShutdown::new()));
        Self { rt, router, http, room: Arc::new(Semaphore::new(AT_ONCE)), graceful, fresh: watch::Sender::new(0) }
    }

    /// Accepts from all these until told to stop.
    pub(super) fn open(self: &Arc<Self>, listeners: Vec<Box<dyn Accept>>) -> Open {
        let over = CancellationToken::new();
        let accept = |mut listener: Box<dyn Accept>| {
            let (connections, over) = (self.clone(), over.clone());
            tokio::spawn(async move {
                let _stopped = over.run_until_cancelled(connections.accept(&mut *listener)).await;
                listener
            })
        };
        let tasks = listeners.into_iter().map(accept).collect();
        Open { over, tasks }
    }

    /// Accepts until dropped.
    async fn accept(&self, listener: &mut dyn Accept) {
        loop {
            let Ok(room) = self.room.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok(connection) => {
                    let serving = self.serve(connection);
                    tokio::spawn(async move {
                        serving.await;
                        drop(room);
                    });
                }
                Err(error) => {
                    // Out of descriptors or memory: others go on, and it may be better in a moment.
                    tracing::warn!(error = error.to_string(), "cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn serve(&self, connection: BoxFuture<'static, Option<Connection>>) -> impl Future<Output = ()> + Send + use<> {
        let (rt, router, http) = (self.rt.clone(), self.router.clone(), self.http.clone());
        let graceful = self.graceful.lock().unwrap_or_else(PoisonError::into_inner);
        let watcher = graceful.as_ref().map(GracefulShutdown::watcher);
        let fresh = Mutex::new(Some(Fresh::new(&self.fresh)));
        async move {
            let (Some(connection), Some(watcher)) = (connection.await, watcher) else { return };
            let client = connection.client;
            let service = hyper::service::service_fn(move |request| {
                let answer = answer(rt.clone(), router.clone(), client, request);
                drop(fresh.lock().unwrap_or_else(PoisonError::into_inner).take());
                answer
            });
            let http = match connection.version {
                Version::Guess => http,
                Version::One => http.http1_only(),
                Version::Two => http.http2_only(),
            };
            let io = TokioIo::new(connection.stream);
            // An error here is the peer's: it went away, or did not speak HTTP.
            let _ended = watcher.watch(http.serve_connection(io, service).into_owned()).await;
        }
    }

    /// Waits until each connection has handed us its first request or is gone, for `patience` at most.
    pub(super) async fn hear(&self, patience: Duration) {
        let mut fresh = self.fresh.subscribe();
        let _late = tokio::time::timeout(patience, fresh.wait_for(|fresh| *fresh == 0)).await;
    }

    /// Closes idle connections and lets the others finish what they are at, for `patience` at most.
    pub(super) async fn drain(&self, patience: Duration) {
        let graceful = self.graceful.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(graceful) = graceful
            && tokio::time::timeout(patience, graceful.shutdown()).await.is_err()
        {
            tracing::warn!("some requests were cut off");
        }
    }
}

/// Listeners from which connections are accepted.
pub(super) struct Open {
    over: CancellationToken,
    tasks: Vec<JoinHandle<Box<dyn Accept>>>,
}

impl Open {
    /// Lets nobody in any more, and gives the listeners back: whoever comes waits in their queues.
    pub(super) async fn close(self) -> anyhow::Result<Vec<Box<dyn Accept>>> {
        self.over.cancel();
        Ok(futures_util::future::try_join_all(self.tasks).await?)
    }
}

/// A connection that has not handed us a request yet.
struct Fresh(watch::Sender<usize>);

impl Fresh {
    fn new(all: &watch::Sender<usize>) -> Self {
        all.send_modify(|fresh| *fresh += 1);
        Self(all.clone())
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.0.send_modify(|fresh| *fresh -= 1);
    }
}

async fn answer(
    rt: Runtime,
    router: Router,
    client: Option<IpAddr>,
    request: Request<Incoming>,
) -> Result<Response<Guarded>, Infallible> {
    let busy = if visits::keeps_awake(&request) { rt.busy() } else { rt.at_chores() };
    let mut request = request.map(Body::new);
    if let Some(client) = client {
        request.extensions_mut().insert(Client(client));
    }
    let response = router.oneshot(request).await?;
    Ok(response.map(|body| Guarded { body, _busy: busy }))
}

/// A body during which the process stays awake.
struct Guarded {
    body: Body,
    _busy: Busy,
}

impl http_body::Body for Guarded {
    type Data = bytes::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
