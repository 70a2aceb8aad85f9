//! The way out for all services: fetching what is elsewhere on the Internet.
//!
//! Under a host there is no network; connections are asked for at `/egress/sock`, where the provider decides what may be
//! reached ([`dial`]). At home they are made directly, to public addresses only, and to none of the networks that we are in ([`bundle::links`]): a
//! page that redirects to the router must not be able to have us ask it. TLS is ours in both cases, so that a provider sees which host, and nothing of what is said.

mod dial;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use url::Url;

use crate::runtime::Place;

/// The variable in which the host says who we are at the way out.
const TOKEN: &str = "PERCLOUD_EGRESS";
/// Where the way out is, in the sandbox.
const SOCKET: &str = "/egress/sock";
/// Pages that lead on to others are followed so often.
const REDIRECTS: usize = 5;
/// What we call ourselves.
const AGENT: &str = concat!("percloud/", env!("CARGO_PKG_VERSION"));

/// Fetches things. Clones share what they have.
#[derive(Clone)]
pub struct Client {
    way: Way,
    tls: Arc<OnceLock<Arc<ClientConfig>>>,
}

#[derive(Clone)]
enum Way {
    /// Through the provider's.
    Proxy { socket: PathBuf, token: String },
    /// By ourselves.
    Direct,
    /// There is none.
    Closed,
}

/// How much one fetch may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In all, redirects included.
    pub patience: Duration,
    /// Bytes of the body; of a longer one the beginning is given.
    pub most: usize,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it was in the end.
    pub url: Url,
    /// Its media type, as the server says it.
    pub media_type: String,
    /// The body, or its beginning.
    pub body: Vec<u8>,
    /// There is more of it.
    pub cut: bool,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This percloud may not connect to anything.
    #[error("this percloud has no way to the Internet")]
    Closed,
    /// The address is not one that can be fetched.
    #[error("only http and https addresses without a password can be fetched")]
    Address,
    /// The provider's way out says no.
    #[error("the provider refuses the connection: {0}")]
    Refused(String),
    /// The name leads to no public address.
    #[error("the name leads to no public address")]
    NotPublic,
    /// No connection.
    #[error("the host cannot be reached")]
    Unreachable(#[source] std::io::Error),
    /// It answers what is no HTTP.
    #[error("the host answers nonsense")]
    Nonsense(#[source] hyper::Error),
    /// It answers something else than what was asked for.
    #[error("the host answers {0}")]
    Status(StatusCode),
    /// It leads from one place to another.
    #[error("the address leads on more than {REDIRECTS} times")]
    Redirects,
    /// It took too long.
    #[error("the host did not answer in time")]
    TooSlow,
}

impl Client {
    /// The way out of here.
    #[must_use]
    pub fn of(place: Place) -> Self {
        let way = match (place, std::env::var(TOKEN)) {
            (Place::Home, _) => Way::Direct,
            (Place::Hosted, Ok(token)) => Way::Proxy { socket: SOCKET.into(), token },
            (Place::Hosted, Err(_)) => Way::Closed,
        };
        Self { way, tls: Arc::default() }
    }

    /// Through another socket, trusting a private root; for tests.
    #[must_use]
    pub fn through(socket: PathBuf, token: String, tls: Option<Arc<ClientConfig>>) -> Self {
        let tls = Arc::new(tls.map_or_else(OnceLock::new, OnceLock::from));
        Self { way: Way::Proxy { socket, token }, tls }
    }

    /// Whether there is a way at all.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.way, Way::Closed)
    }

    /// Fetches what is at an address; `accept` says what would be welcome. Every step of a redirect is a new connection, which is
    /// judged like the first.
    ///
    /// # Errors
    /// When there is no answer of 200 within the limits.
    pub async fn get(&self, url: &Url, accept: &str, limits: Limits) -> Result<Found, Error> {
        tokio::time::timeout(limits.patience, self.follow(url.clone(), accept, limits.most))
            .await
            .unwrap_or(Err(Error::TooSlow))
    }

    async fn follow(&self, mut url: Url, accept: &str, most: usize) -> Result<Found, Error> {
        for _ in 0..=REDIRECTS {
            let response = self.ask(&url, accept).await?;
            let status = response.status();
            if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return if status == StatusCode::OK {
                    read(url, response, most).await
                } else {
                    Err(Error::Status(status))
                };
            }
            let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
            url = to.and_then(|to| url.join(to).ok()).ok_or(Error::Status(status))?;
        }
        Err(Error::Redirects)
    }

    async fn ask(&self, url: &Url, accept: &str) -> Result<http::Response<Incoming>, Error> {
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(Error::Address),
        };
        let host = url.host_str().filter(|_| url.username().is_empty() && url.password().is_none());
        let (Some(host), Some(port)) = (host, url.port_or_known_default()) else { return Err(Error::Address) };
        let request = Request::get(&url[url::Position::BeforePath..url::Position::AfterQuery])
            .header(header::HOST, &url[url::Position::BeforeHost..url::Position::AfterPort])
            .header(header::USER_AGENT, AGENT)
            .header(header::ACCEPT, accept)
            .header(header::CONNECTION, "close")
            .body(Empty::new())
            .map_err(|_| Error::Address)?;
        match &self.way {
            Way::Closed => Err(Error::Closed),
            Way::Proxy { socket, token } => {
                self.speak(dial::proxy(socket, token, host, port).await?, https, host, request).await
            }
            Way::Direct => self.speak(dial::direct(url, port).await?, https, host, request).await,
        }
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        https: bool,
        host: &str,
        request: Request<Empty<Bytes>>,
    ) -> Result<http::Response<Incoming>, Error> {
        if !https {
            return send(stream, request).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Error::Address)?;
        let connector = TlsConnector::from(self.tls.get_or_init(public_roots).clone());
        send(connector.connect(name, stream).await.map_err(Error::Unreachable)?, request).await
    }
}

/// What the Internet's certificates are checked against: Mozilla's roots, since a sandbox has no files to read others from.
fn public_roots() -> Arc<ClientConfig> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs has TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<http::Response<Incoming>, Error> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(Error::Nonsense)?;
    // It ends with the answer, or when nobody wants that any more.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(Error::Nonsense)
}

async fn read(url: Url, response: http::Response<Incoming>, most: usize) -> Result<Found, Error> {
    let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().to_owned();
    let (mut stream, mut body, mut cut) = (response.into_body(), Vec::new(), false);
    while let Some(frame) = stream.frame().await {
        let Ok(data) = frame.map_err(Error::Nonsense)?.into_data() else { continue };
        let room = most - body.len();
        body.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            cut = true;
            break;
        }
    }
    Ok(Found { url, media_type, body, cut })
}
