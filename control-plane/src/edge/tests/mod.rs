//! The edge as a whole: a real TLS client in front, sockets of made-up perclouds behind.

mod ahead;
mod balancers;
mod counts;
mod crowd;
mod desk;
mod drain;
mod fake;
mod flow;
mod frames;
mod h2;
mod refuse;
mod stream;
mod trouble;
mod upgrade;
mod ways;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use clap::Parser;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tls::{Certified, LocalCa};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ending::Ending;
use super::routes::{Row, State};
use super::{Edge, Network, Rooms, listen, worker};
use fake::Fake;

/// Long enough for a busy machine: what takes it is broken.
const PATIENCE: Duration = Duration::from_secs(60);
const BASE: &str = "cloud.localhost";
const ADA: &str = "ada.cloud.localhost";

type Body = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

#[expect(clippy::disallowed_methods, reason = "the TLS client verifies against the machine's clock")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

/// An edge with one worker on a port of its own, and the folder for the made-up perclouds' sockets.
struct House {
    edge: Arc<Edge>,
    ca: LocalCa,
    at: SocketAddr,
    plain: SocketAddr,
    ending: Ending,
    folder: tempfile::TempDir,
}

#[derive(clap::Parser)]
struct Told {
    #[command(flatten)]
    common: crate::config::Common,
}

/// What each percloud here may hold.
const QUOTA: u64 = 64 << 20;
/// And how many requests it may have in a second: more than these tests ask for, unless they are about that.
const PER_SECOND: u32 = 100_000;

impl House {
    fn new() -> Self {
        Self::behind(Vec::new())
    }

    /// One that believes these balancers.
    fn behind(balancers: Vec<Network>) -> Self {
        let house = Self::build(balancers);
        let certified = |names: &[&str]| {
            let issued = house.ca.issue(names, 30, now()).unwrap();
            Certified::new(&issued.chain_pem, issued.key_der.into()).unwrap()
        };
        let all = [certified(&[BASE, "*.cloud.localhost"]), certified(&["own.example"])];
        house.edge.certificates.keep(&all);
        house
    }

    /// One that has read nothing yet.
    fn unknowing() -> Self {
        Self::build(Vec::new())
    }

    fn build(balancers: Vec<Network>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap();
        let mut common = Told::parse_from(["edge", "--data", data, "--base-domain", BASE]).common;
        let bind = || {
            let mut all = listen::open(&listen::addresses(&[Ipv4Addr::LOCALHOST.into()], BASE, 0), 1, None).unwrap();
            all.remove(0)
        };
        let (https, http) = (bind(), bind());
        let (at, plain) = (https[0].local_addr().unwrap(), http[0].local_addr().unwrap());
        common.port = at.port();
        std::fs::create_dir_all(folder.path().join("run/web")).unwrap();
        let (rooms, pace) = (Rooms { certificates: 16, sealed: 0 }, super::pace::Pace::new(PER_SECOND));
        let standing = super::headers::Standing::new(Some("h3=\":4443\"".parse().unwrap()));
        let edge = Edge::new(&common, 1, balancers, standing, rooms, pace).unwrap();
        let ca = LocalCa::open_or_create(&folder.path().join("keys"), "Test", &[], now()).unwrap();
        let ending = Ending::new();
        worker::start(0, edge.clone(), worker::Doors { https, http }, ending.clone()).unwrap();
        Self { edge, ca, at, plain, ending, folder }
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.sock"))
    }

    fn row(&self, host: &str, state: State, socket: Option<PathBuf>) -> Row {
        let socket = socket.map(Into::into);
        let tenant_id = format!("t-{host}").into();
        Row { host: host.into(), tenant_id, state, socket, redirect_to: None, quota_bytes: QUOTA }
    }

    fn route(&self, host: &str, state: State, socket: Option<PathBuf>) {
        self.edge.routes.set(host, Some(self.row(host, state, socket)));
    }

    /// Ada's percloud, running, as `Fake` plays it.
    fn ada(&self) -> Arc<Fake> {
        let socket = self.socket("ada");
        self.route(ADA, State::Running, Some(socket.clone()));
        Fake::serve(socket)
    }

    async fn tls(&self, sni: &str, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = tls::client_config(self.ca.root_pem(), alpn).unwrap();
        config.enable_sni = !sni.is_empty();
        let name = if sni.is_empty() { BASE } else { sni };
        let stream = TcpStream::connect(self.at).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
    }

    async fn client(&self, version: Version, sni: &str) -> Client {
        match version {
            Version::H1 => {
                let io = TokioIo::new(self.tls(sni, &["http/1.1"]).await.unwrap());
                let (client, connection) = http1::handshake(io).await.unwrap();
                tokio::spawn(connection.with_upgrades());
                Client::H1(client)
            }
            Version::H2 => {
                let io = TokioIo::new(self.tls(sni, &["h2"]).await.unwrap());
                let (client, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
                tokio::spawn(connection);
                Client::H2(client)
            }
        }
    }

    /// One request on a connection of its own.
    async fn ask(&self, version: Version, request: Request<Body>) -> Response<Incoming> {
        let host = request.uri().host().unwrap().to_owned();
        self.client(version, &host).await.ask(request).await.unwrap()
    }

    async fn get(&self, host: &str, path: &str) -> Response<Incoming> {
        self.ask(Version::H1, get(host, path)).await
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.ending.asked.cancel();
        self.ending.over.cancel();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    H1,
    H2,
}

const BOTH: [Version; 2] = [Version::H1, Version::H2];

enum Client {
    H1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>),
}

impl Client {
    async fn ask(&mut self, mut request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::H1(client) => {
                let uri = request.uri().clone();
                let authority = uri.authority().unwrap().as_str().parse().unwrap();
                request.headers_mut().entry("host").or_insert(authority);
                *request.uri_mut() = uri.path_and_query().unwrap().as_str().parse().unwrap();
                client.ready().await?;
                client.send_request(request).await
            }
            Self::H2(client) => {
                client.ready().await?;
                client.send_request(request).await
            }
        }
    }
}

fn get(host: &str, path: &str) -> Request<Body> {
    Request::get(format!("https://{host}{path}")).body(empty()).unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// A header of an answer, as text; empty when it is not there.
fn said<'a>(response: &'a Response<Incoming>, name: &str) -> &'a str {
    response.headers().get(name).map(|v| v.to_str().unwrap()).unwrap_or_default()
}
