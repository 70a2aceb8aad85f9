//! What edge and egress count, and that it is in the database once: whatever ends, breaks or is replaced meanwhile.

use std::{
    path::Path,
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use bundle::Clock;
use control_plane::ledger::{Books, Ledger};
use http::Version;
use http_body_util::BodyExt;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use crate::{
    chaos_proxy::ChaosProxy,
    cloud::TestCloud,
    edge::certify,
    edge_restart::{Client, Edge, HOST, World},
    postgres::{self, Cluster, OwnCluster, eventually},
};

/// The sums of all hours: requests, bytes that went out, refused.
pub(crate) const SUMS: &str = "select concat_ws(' ', coalesce(sum(requests), 0), coalesce(sum(egress_bytes), 0), coalesce(sum(refused), 0)) from usage_hours";

/// Asks a role to end, and waits until it has.
pub(crate) async fn end(child: &mut Child) {
    kill_process(Pid::from_child(child), Signal::TERM).unwrap();
    let ended = eventually("the role to end", async || child.try_wait().unwrap()).await;
    assert!(ended.success(), "{ended}");
}

/// A cluster of one's own, and a provider in it.
async fn own_cloud(folder: &Path) -> (OwnCluster, TestCloud) {
    let cluster = Cluster::own(&folder.join("pg"));
    postgres::execute(&cluster.url("postgres"), "create database own").await;
    let url = cluster.url("own");
    postgres::prepare(&url).await;
    (cluster, TestCloud::with(url, None))
}

/// A percloud: says its name and then as many bytes as the path has it, `/300` say; or echoes, as a WebSocket would be passed on.
fn percloud(socket: &Path, name: u8) {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while let Some(head) = head(&mut stream).await {
                    if head.to_lowercase().contains("upgrade: websocket") {
                        let yes = "HTTP/1.1 101 Yes\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                        stream.write_all(yes.as_bytes()).await.unwrap();
                        let (mut from, mut to) = stream.split();
                        let _ = tokio::io::copy(&mut from, &mut to).await;
                        return;
                    }
                    let path = head.split(' ').nth(1).unwrap();
                    let body = vec![name; path.trim_start_matches('/').parse().unwrap()];
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                    stream.write_all(&[answer.as_bytes(), &body].concat()).await.unwrap();
                }
            });
        }
    });
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// Visitors who count themselves what they ask for and get.
struct Visitors {
    world: World,
    requests: u64,
    bytes: u64,
}

impl Visitors {
    /// Asks so often over either HTTP; the name of the percloud that answered last.
    async fn come(&mut self, times: usize, bytes: usize) -> u8 {
        let mut name = 0;
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let mut client: Client = self.world.client(version).await;
            for _ in 0..times {
                // An edge that has just given its place away may say that this was the last on its connection.
                let answer = match client.ask(&format!("/{bytes}")).await {
                    Some(answer) => answer,
                    None => {
                        client = self.world.client(version).await;
                        client.ask(&format!("/{bytes}")).await.unwrap()
                    }
                };
                assert_eq!(answer.status(), 200);
                let body = answer.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(body.len(), bytes);
                name = body[0];
                self.requests += 1;
                self.bytes += bytes as u64;
            }
        }
        name
    }
}

/// Something that talks and listens through the edge for as long as it likes.
struct Talk(tokio_rustls::client::TlsStream<tokio::net::TcpStream>);

impl Talk {
    async fn begin(visitors: &mut Visitors) -> Self {
        let mut stream = visitors.world.tls("http/1.1").await.unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-key: a2V5\r\nsec-websocket-version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = head(&mut stream).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        visitors.requests += 1;
        Self(stream)
    }

    async fn say(&mut self, visitors: &mut Visitors) {
        let mut heard = [0; 1000];
        self.0.write_all(&[7; 1000]).await.unwrap();
        self.0.read_exact(&mut heard).await.unwrap();
        visitors.bytes += 1000;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_visitors_were_sent_is_in_the_hours_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, cloud) = own_cloud(folder.path()).await;
    let root = Arc::new(certify(&cloud).await);
    cloud.sign_up("ada").await;
    cloud.settle().await;
    let moves_to = |name: u8| {
        let socket = cloud.common.data.join(format!("percloud-{name}.sock"));
        percloud(&socket, name);
        format!("update tenants set socket = '{}'", socket.display())
    };
    postgres::execute(&cloud.url, &moves_to(b'a')).await;
    let port = tls::testing::free_port().unwrap();
    let mut visitors = Visitors { world: World::new(port, root), requests: 0, bytes: 0 };
    let mut first = Edge::start(&cloud, port, 0, &["--take-over"]);
    first.says("the edge listens").await;
    eventually("a first connection", async || visitors.world.tls("h2").await.ok()).await;

    let mut talk = Talk::begin(&mut visitors).await;
    talk.say(&mut visitors).await;
    assert_eq!(visitors.come(20, 1000).await, b'a');
    visitors.come(3, 300_000).await;
    // The route is replaced, under what goes on.
    postgres::execute(&cloud.url, &moves_to(b'b')).await;
    eventually("the new route", async || (visitors.come(1, 100).await == b'b').then_some(())).await;
    talk.say(&mut visitors).await;
    cluster.kill();
    visitors.come(5, 10_000).await;
    talk.say(&mut visitors).await;
    cluster.start();
    eventually("Postgres", async || cloud.db.get().await.ok()?.query_one("select 1", &[]).await.ok()).await;
    // Another edge takes over; the first stays for who still talks.
    let mut second = Edge::start(&cloud, port, 1, &["--take-over"]);
    second.says("the edge listens").await;
    first.says("another edge has taken over").await;
    visitors.come(7, 500).await;
    let mut refused = visitors.world.tls("http/1.1").await.unwrap();
    let large = format!("POST /1 HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {}\r\n\r\n", 1_u64 << 40);
    refused.write_all(large.as_bytes()).await.unwrap();
    assert!(head(&mut refused).await.unwrap().starts_with("HTTP/1.1 413 "));
    end(&mut second.child).await;
    talk.say(&mut visitors).await;
    drop(talk);
    let left = eventually("the first to leave", async || first.child.try_wait().unwrap()).await;
    assert!(left.success(), "{left}");

    let Visitors { requests, bytes, .. } = visitors;
    assert_eq!(cloud.value::<String>(SUMS).await, format!("{requests} {bytes} 1"));
    let late = "select count(*) from usage_hours where hour < now() - interval '2 hours' or hour > now()";
    assert_eq!(cloud.value::<i64>(late).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_waits_and_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, cloud) = own_cloud(folder.path()).await;
    let way = ChaosProxy::before(&cluster.socket());
    let ids = [cloud.sign_up("ada").await.id, cloud.sign_up("bob").await.id];
    let ledger = Arc::new(Ledger::new(Clock::system()));
    let url = way.url(&cluster.url("own")).replace("percloud_owner", "percloud_egress");
    let books = Books::new(ledger.clone(), &url).unwrap();
    let accounts = ids.map(|id| ledger.account(id.as_str()));
    // More than one transaction takes, of perclouds that are not there any more.
    let gone: Vec<_> = (0..6000).map(|n| ledger.account(&format!("t-{n:a>16}"))).collect();
    let count = || {
        gone.iter().for_each(|account| account.request());
        accounts.iter().for_each(|account| {
            account.request();
            account.bytes(10);
        });
    };
    count();
    books.write().await.unwrap();
    assert_eq!(cloud.value::<String>(SUMS).await, "2 20 0");
    books.write().await.unwrap();
    count();
    way.cut();
    books.write().await.unwrap_err();
    count();
    books.write().await.unwrap_err();
    way.mend();
    books.write().await.unwrap();
    assert_eq!(cloud.value::<String>(SUMS).await, "6 60 0");
    count();
    cluster.kill();
    books.write().await.unwrap_err();
    cluster.start();
    books.write().await.unwrap();
    let again = async || cloud.db.get().await.ok()?.query_one(SUMS, &[]).await.ok();
    let sums: String = eventually("Postgres", again).await.get(0);
    assert_eq!(sums, "8 80 0");
    // Killed whatever it does, while there is always something to write.
    let (cluster, mut times) = (Arc::new(cluster), 4);
    for _ in 0..4 {
        let own = cluster.clone();
        let killing = tokio::task::spawn_blocking(move || own.kill());
        while !killing.is_finished() {
            count();
            times += 1;
            // Whether this one got through is what the next has to find out.
            let _ = books.write().await;
        }
        cluster.start();
    }
    eventually("all to be written", async || books.write().await.ok()).await;
    let sums: String = eventually("Postgres", again).await.get(0);
    assert_eq!(sums, format!("{} {} 0", 2 * times, 20 * times));
}

/// What becomes of the word to commit.
const PASSED: u8 = 0;
const LOST: u8 = 1;
const ARRIVES_BUT_NOBODY_HEARS: u8 = 2;

/// A way to Postgres that breaks just at the commit.
fn breaking(folder: &Path, to: &Path, fate: Arc<AtomicU8>) {
    let listener = UnixListener::bind(folder.join(".s.PGSQL.5432")).unwrap();
    let to = to.to_owned();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (mut far, fate) = (UnixStream::connect(&to).await.unwrap(), fate.clone());
            tokio::spawn(async move {
                let (mut said, mut heard) = (vec![0; 1 << 20], vec![0; 1 << 20]);
                loop {
                    tokio::select! {
                        Ok(read @ 1..) = near.read(&mut said) => {
                            let commits = said[..read].windows(7).any(|word| word == b"COMMIT\0");
                            let fate = if commits { fate.load(Ordering::SeqCst) } else { PASSED };
                            if fate != LOST {
                                far.write_all(&said[..read]).await.unwrap();
                            }
                            // It has been done once the server says so; what it still had to say before is not that.
                            let mut done = fate != ARRIVES_BUT_NOBODY_HEARS;
                            while !done {
                                let read = far.read(&mut heard).await.unwrap();
                                assert!(read > 0, "the server hung up");
                                done = heard[..read].windows(7).any(|word| word == b"COMMIT\0");
                            }
                            if fate != PASSED {
                                return;
                            }
                        }
                        Ok(read @ 1..) = far.read(&mut heard) => if near.write_all(&heard[..read]).await.is_err() { return },
                        else => return,
                    }
                }
            });
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_nobody_heard_of_counts_once_and_one_that_never_was_is_made_good() {
    let cloud = TestCloud::new().await;
    let id = cloud.sign_up("ada").await.id;
    let folder = tempfile::tempdir().unwrap();
    let fate = Arc::new(AtomicU8::new(PASSED));
    breaking(folder.path(), &postgres::shared().socket(), fate.clone());
    let rest = cloud.url.replace("percloud_owner", "percloud_edge");
    let url = format!("host={} {}", folder.path().display(), rest.split_once(' ').unwrap().1);
    let ledger = Arc::new(Ledger::new(Clock::system()));
    let books = Books::new(ledger.clone(), &url).unwrap();
    let ada = ledger.account(id.as_str());
    let mut requests = 0;
    for (turn, (breaks, there_at_once)) in
        [(LOST, false), (ARRIVES_BUT_NOBODY_HEARS, true)].into_iter().cycle().take(6).enumerate()
    {
        ada.request();
        fate.store(breaks, Ordering::SeqCst);
        books.write().await.expect_err("it broke");
        let sums = cloud.value::<String>(SUMS).await;
        requests += 1;
        assert_eq!(sums == format!("{requests} 0 0"), there_at_once, "{turn}: {sums}");
        // What is counted meanwhile goes with the next.
        ada.request();
        requests += 1;
        fate.store(PASSED, Ordering::SeqCst);
        eventually("the transaction to be settled", async || books.write().await.ok()).await;
        assert_eq!(cloud.value::<String>(SUMS).await, format!("{requests} 0 0"));
    }
}
