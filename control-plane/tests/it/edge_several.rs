//! More than one edge at a time: one that takes over what another has begun, and several that go on side by side.

use std::{convert::Infallible, path::Path, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Incoming, client::conn, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tls::testing::free_port;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixListener},
    sync::mpsc,
};
use tokio_rustls::client::TlsStream;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    chaos_proxy::ChaosProxy,
    cloud::TestCloud,
    edge::certify,
    edge_restart::{Edge, HOST, World},
    postgres::{self, eventually},
};

/// A percloud: says how long a request's body was, and echoes on a WebSocket.
fn percloud(socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(async |request| Ok::<_, Infallible>(answer(request).await));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move { connection.with_upgrades().await });
        }
    });
}

async fn answer(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    if !request.headers().contains_key("upgrade") {
        let length = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
        return Response::new(length.to_string().into());
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let (mut from, mut to) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
        let _ = tokio::io::copy(&mut from, &mut to).await;
    });
    let answer = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "websocket");
    // What belongs to the key below (RFC 6455 §4.2.2).
    answer.header("sec-websocket-accept", "acoMowsaMs4gzl5sy2uaF1804GA=").body(Full::default()).unwrap()
}

type Tls = TlsStream<TcpStream>;

/// Says this over HTTP/1.1; the connection, and the head of what is answered.
async fn asked(world: &World, request: &str) -> (Tls, String) {
    let mut stream = world.tls("http/1.1").await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("an answer"));
    }
    (stream, String::from_utf8(head).unwrap())
}

/// An upload of which more is to come.
struct Upload {
    more: mpsc::Sender<Result<Frame<Bytes>, Infallible>>,
    answer: tokio::task::JoinHandle<Bytes>,
    sent: usize,
}

impl Upload {
    async fn begin(world: &World, version: Version) -> Self {
        let (more, pieces) = mpsc::channel(1);
        let body = StreamBody::new(ReceiverStream::new(pieces));
        let request = |uri: &str| Request::post(uri).header("host", HOST);
        let answer = if version == Version::HTTP_2 {
            let io = TokioIo::new(world.tls("h2").await.unwrap());
            let (mut client, connection) = conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            let request = request(&format!("https://{HOST}/")).body(body).unwrap();
            tokio::spawn(async move { whole(client.send_request(request).await).await })
        } else {
            let io = TokioIo::new(world.tls("http/1.1").await.unwrap());
            let (mut client, connection) = conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            let request = request("/").body(body).unwrap();
            tokio::spawn(async move { whole(client.send_request(request).await).await })
        };
        Self { more, answer, sent: 0 }
    }

    async fn go_on(&mut self) {
        const PIECE: usize = 100_000;
        self.more.send(Ok(Frame::data(vec![7; PIECE].into()))).await.expect("the upload was cut off");
        self.sent += PIECE;
    }

    async fn end(self) {
        drop(self.more);
        assert_eq!(self.answer.await.unwrap(), self.sent.to_string(), "all of it arrived");
    }
}

async fn whole(answer: hyper::Result<Response<Incoming>>) -> Bytes {
    answer.expect("an answer").into_body().collect().await.expect("a whole one").to_bytes()
}

/// A provider with a certificate and Ada's percloud, which is ours; and the root that visitors trust.
async fn provider() -> (TestCloud, Arc<String>) {
    let cloud = TestCloud::new().await;
    let root = Arc::new(certify(&cloud).await);
    cloud.sign_up("ada").await;
    cloud.settle().await;
    let socket = cloud.common.data.join("ours.sock");
    percloud(&socket);
    postgres::execute(&cloud.url, &format!("update tenants set socket = '{}'", socket.display())).await;
    (cloud, root)
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_and_websockets_outlive_the_edges_that_they_came_to() {
    let (cloud, root) = provider().await;
    let world = World::new(free_port().unwrap(), root);
    let mut running = Edge::start(&cloud, world.port(), 0, &["--take-over"]);
    running.says("the edge listens").await;
    eventually("a first connection", async || world.tls("h2").await.ok()).await;

    let mut uploads = Vec::new();
    for version in [Version::HTTP_11, Version::HTTP_2] {
        uploads.push(Upload::begin(&world, version).await);
    }
    let open = format!(
        "GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-key: a2V5\r\nsec-websocket-version: 13\r\n\r\n"
    );
    let (mut socket, head) = asked(&world, &open).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut go_on = async || {
        for upload in &mut uploads {
            upload.go_on().await;
        }
        let mut heard = [0; 1000];
        socket.write_all(&[5; 1000]).await.unwrap();
        socket.read_exact(&mut heard).await.expect("the WebSocket was cut off");
        assert_eq!(heard, [5; 1000]);
    };
    go_on().await;
    let mut old = Vec::new();
    for number in 1..=2 {
        let mut next = Edge::start(&cloud, world.port(), number, &["--take-over"]);
        next.says("the edge listens").await;
        old.push(std::mem::replace(&mut running, next));
        go_on().await;
    }
    assert!(old[0].child.try_wait().unwrap().is_none(), "it waits for what it has begun");
    for upload in uploads {
        upload.end().await;
    }
    drop(socket);
    for mut edge in old {
        let ended = eventually("an old edge to leave", async || edge.child.try_wait().unwrap()).await;
        assert!(ended.success(), "{ended}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_edges_learn_of_changes_and_read_all_anew_after_a_lost_connection() {
    let (cloud, root) = provider().await;
    let worlds = [World::new(free_port().unwrap(), root.clone()), World::new(free_port().unwrap(), root)];
    let mut edges = Vec::new();
    for (number, world) in worlds.iter().enumerate() {
        let mut edge = Edge::start(&cloud, world.port(), number, &[]);
        edge.says("the edge listens").await;
        edges.push(edge);
    }
    let ask = format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    let all_say = async |status: &str| {
        for world in &worlds {
            eventually(status, async || asked(world, &ask).await.1.starts_with(status).then_some(())).await;
        }
    };
    all_say("HTTP/1.1 200 ").await;
    let socket = cloud.common.data.join("ours.sock");
    let moves_to = |socket: &Path| format!("update tenants set socket = '{}'", socket.display());
    postgres::execute(&cloud.url, &moves_to(Path::new("/nowhere"))).await;
    all_say("HTTP/1.1 503 ").await;
    // In one transaction: by the time they could hear of the change, nobody listens.
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()";
    postgres::execute(&cloud.url, &format!("{cut}; {}", moves_to(&socket))).await;
    all_say("HTTP/1.1 200 ").await;
    for edge in &mut edges {
        assert!(edge.child.try_wait().unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_would_take_over_while_the_database_is_away_one_is_left_when_it_is_back() {
    let (cloud, root) = provider().await;
    let world = World::new(free_port().unwrap(), root);
    let way = ChaosProxy::before(&postgres::shared().socket());
    let url = way.url(&cloud.url);
    let start = |number| Edge::start_with(&cloud, &url, world.port(), number, &["--take-over"]);
    let mut edges = vec![start(0)];
    edges[0].says("the edge listens").await;
    way.cut();
    edges.extend([start(1), start(2)]);
    for edge in &mut edges[1..] {
        edge.says("cannot be read").await;
    }
    way.mend();
    for edge in &mut edges {
        edge.says("the edge listens").await;
    }
    eventually("two to leave", async || {
        let ended: Vec<_> = edges.iter_mut().filter_map(|edge| edge.child.try_wait().unwrap()).collect();
        assert!(ended.iter().all(std::process::ExitStatus::success), "{ended:?}");
        (ended.len() == 2).then_some(())
    })
    .await;
    world.tls("h2").await.expect("it serves");
}
