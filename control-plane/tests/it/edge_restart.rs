//! The edge replaced under load: processes as an operator runs them, clients that never ask twice.

use std::{
    convert::Infallible,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::{body::Incoming, client::conn, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::{
    net::{TcpStream, UnixListener},
    sync::mpsc,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    cloud::TestCloud,
    edge::certify,
    postgres::{self, eventually},
};

pub(crate) const HOST: &str = "ada.percloud.localhost";

/// An edge in a process of its own, and what it said.
pub(crate) struct Edge {
    pub(crate) child: Child,
    log: PathBuf,
}

impl Edge {
    pub(crate) fn start(cloud: &TestCloud, port: u16, number: usize, more: &[&str]) -> Self {
        Self::start_with(cloud, &cloud.url, port, number, more)
    }

    /// One that finds the database there.
    pub(crate) fn start_with(cloud: &TestCloud, url: &str, port: u16, number: usize, more: &[&str]) -> Self {
        std::fs::create_dir_all(cloud.common.data.join("run/metrics")).unwrap();
        let log = cloud.common.data.join(format!("edge-{number}.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_percloud"))
            .args(["edge", "--listen", "127.0.0.1", "--workers", "2", "--port", &port.to_string()])
            // These clients never pause, and are to be told apart from those who are turned away for that.
            .args(["--requests-per-second", "1000000"])
            .args(more)
            .arg("--data")
            .arg(&cloud.common.data)
            .env("PERCLOUD_DATABASE_URL", url)
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn said(&self, what: &str) -> bool {
        std::fs::read_to_string(&self.log).unwrap_or_default().contains(what)
    }

    pub(crate) async fn says(&mut self, what: &str) {
        let log = self.log.clone();
        eventually(&format!("{what:?} in {}", log.display()), async || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() || self.said(what), "{ended:?}: {}", std::fs::read_to_string(&log).unwrap());
            self.said(what).then_some(())
        })
        .await;
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A percloud: `/slow` goes on until the test has nothing more to say, everything else is answered at once.
struct Slow(Mutex<Vec<Listener>>);

type Listener = mpsc::Sender<Result<Frame<Bytes>, Infallible>>;

impl Slow {
    fn serve(socket: &Path) -> Arc<Self> {
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).unwrap();
        let slow = Arc::new(Self(Mutex::default()));
        let own = slow.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let own = own.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let body = own.answer(request.uri().path());
                    async move { Ok::<_, Infallible>(Response::new(body)) }
                });
                let io = TokioIo::new(stream);
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
            }
        });
        slow
    }

    fn answer(&self, path: &str) -> BoxBody<Bytes, Infallible> {
        if path != "/slow" {
            return Full::new(Bytes::from_static(b"quick")).boxed();
        }
        let (tx, rx) = mpsc::channel(16);
        self.0.lock().unwrap().push(tx);
        StreamBody::new(ReceiverStream::new(rx)).boxed()
    }

    /// A piece for everybody who listens; how many do.
    async fn piece(&self) -> usize {
        let all = self.0.lock().unwrap().clone();
        for one in &all {
            one.send(Ok(Frame::data(Bytes::from_static(b"piece;")))).await.expect("a download was cut off");
        }
        all.len()
    }
}

/// A client that asks each thing once. Only where HTTP says that nothing of a request was looked at does it ask again.
pub(crate) enum Client {
    H1(conn::http1::SendRequest<Empty<Bytes>>),
    H2(conn::http2::SendRequest<Empty<Bytes>>),
}

#[derive(Clone)]
pub(crate) struct World {
    port: u16,
    root: Arc<String>,
    done: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl World {
    pub(crate) fn new(port: u16, root: Arc<String>) -> Self {
        Self { port, root, done: Arc::default(), stop: Arc::default() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) async fn tls(&self, alpn: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let config = tls::client_config(&self.root, &[alpn]).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(HOST).unwrap(), stream).await
    }

    pub(crate) async fn client(&self, version: Version) -> Client {
        if version == Version::HTTP_2 {
            let io = TokioIo::new(self.tls("h2").await.expect("a connection"));
            let (client, connection) = conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            return Client::H2(client);
        }
        let io = TokioIo::new(self.tls("http/1.1").await.expect("a connection"));
        let (client, connection) = conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        Client::H1(client)
    }

    /// Asks until it is told to stop; anything but an answer ends the test.
    async fn load(self, version: Version) {
        let mut client = self.client(version).await;
        while !self.stop.load(Ordering::Relaxed) {
            let Some(response) = client.ask("/quick").await else {
                client = self.client(version).await;
                continue;
            };
            assert_eq!(response.status(), 200, "{:?}", response.headers());
            let last = response.headers().get("connection").is_some_and(|v| v == "close");
            let body = response.into_body().collect().await.expect("a whole body").to_bytes();
            assert_eq!(body, "quick");
            self.done.fetch_add(1, Ordering::Relaxed);
            if last {
                client = self.client(version).await;
            }
        }
    }

    async fn more(&self, requests: usize) {
        let from = self.done.load(Ordering::Relaxed);
        let grown = || self.done.load(Ordering::Relaxed) >= from + requests;
        eventually(&format!("{requests} requests more"), async || grown().then_some(())).await;
    }
}

impl Client {
    /// The answer; none when the connection was closed in order, before this request was sent on it.
    pub(crate) async fn ask(&mut self, path: &str) -> Option<Response<Incoming>> {
        let request = |uri: String| Request::get(uri).header("host", HOST).body(Empty::new()).unwrap();
        match self {
            Self::H1(client) => {
                client.ready().await.ok()?;
                Some(client.send_request(request(path.to_owned())).await.expect("an answer over HTTP/1.1"))
            }
            Self::H2(client) => {
                client.ready().await.ok()?;
                match client.try_send_request(request(format!("https://{HOST}{path}"))).await {
                    Ok(response) => Some(response),
                    Err(mut error) => match error.take_message() {
                        Some(_) => None,
                        None => {
                            let error = error.into_error();
                            assert!(was_not_looked_at(&error), "no answer over HTTP/2: {error:?}");
                            None
                        }
                    },
                }
            }
        }
    }
}

/// Whether a request met the other side's farewell on its way: nothing of it was looked at, and it may be sent again (RFC 9113 §6.8).
fn was_not_looked_at(error: &hyper::Error) -> bool {
    let h2 = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    h2.is_some_and(|h2| h2.is_go_away() && h2.is_remote() && h2.reason() == Some(h2::Reason::NO_ERROR))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_is_replaced_under_load_loses_no_request() {
    let cloud = TestCloud::new().await;
    let root = Arc::new(certify(&cloud).await);
    cloud.sign_up("ada").await;
    cloud.settle().await;
    let socket = cloud.common.data.join("slow.sock");
    let slow = Slow::serve(&socket);
    let update = format!("update tenants set socket = '{}'", socket.display());
    postgres::execute(&cloud.url, &update).await;
    let port = tls::testing::free_port().unwrap();
    let world = World::new(port, root);
    let options = ["--take-over"];
    let mut running = Edge::start(&cloud, port, 0, &options);
    running.says("the edge listens").await;
    eventually("a first connection", async || world.tls("h2").await.ok()).await;

    let mut downloads = Vec::new();
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut client = world.client(version).await;
        let body = client.ask("/slow").await.unwrap().into_body();
        downloads.push(tokio::spawn(async move {
            // The client lives as long as its download.
            let whole = body.collect().await.expect("the whole download").to_bytes();
            drop(client);
            whole
        }));
    }
    eventually("both downloads", async || (slow.piece().await == 2).then_some(())).await;
    let load: Vec<_> = [Version::HTTP_11, Version::HTTP_11, Version::HTTP_11, Version::HTTP_2, Version::HTTP_2]
        .map(|version| tokio::spawn(world.clone().load(version)))
        .into();
    let mut old = Vec::new();
    for number in 1..=3 {
        world.more(100).await;
        let mut next = Edge::start(&cloud, port, number, &options);
        next.says("the edge listens").await;
        running.says("another edge has taken over").await;
        old.push(std::mem::replace(&mut running, next));
        world.more(100).await;
        slow.piece().await;
    }
    assert!(old[0].child.try_wait().unwrap().is_none(), "it waits for its downloads");
    world.stop.store(true, Ordering::Relaxed);
    for one in load {
        one.await.expect("no failed request");
    }
    slow.0.lock().unwrap().clear();
    for download in downloads {
        let whole = download.await.expect("a whole download");
        assert!(whole.len() >= 4 * 6 && whole.chunks(6).all(|piece| piece == b"piece;"));
    }
    for mut edge in old {
        let ended = eventually("an old edge to leave", async || edge.child.try_wait().unwrap()).await;
        assert!(ended.success(), "{ended}");
    }
}

#[tokio::test]
async fn a_second_edge_is_refused_unless_it_was_told_to_take_over() {
    let cloud = TestCloud::new().await;
    certify(&cloud).await;
    let port = tls::testing::free_port().unwrap();
    let mut first = Edge::start(&cloud, port, 0, &[]);
    first.says("the edge listens").await;
    let mut second = Edge::start(&cloud, port, 1, &[]);
    let ended = eventually("the second to give up", async || second.child.try_wait().unwrap()).await;
    assert!(!ended.success());
    assert!(first.child.try_wait().unwrap().is_none());
    let mut third = Edge::start(&cloud, port, 2, &["--take-over"]);
    third.says("the edge listens").await;
    let left = eventually("the first to leave", async || first.child.try_wait().unwrap()).await;
    assert!(left.success(), "it had nobody to wait for: {left}");
}
