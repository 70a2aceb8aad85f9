//! Who answers an authority's challenges in these tests: port 80, port 443 and a name server of one's own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tls::acme::dns::Txt;
use tls::acme::{ALPN, Challenge, Kind, Solver, alpn_certificate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A machine that answers challenges of the kinds that it is told to like.
pub(crate) struct Answers {
    pub(crate) http_port: u16,
    pub(crate) tls_port: u16,
    /// What is liked, best first.
    pub(crate) kinds: Vec<Kind>,
    pub(crate) txt: Option<Box<dyn Txt>>,
    shown: Arc<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    files: Mutex<HashMap<String, String>>,
    certificates: Mutex<HashMap<String, Arc<CertifiedKey>>>,
    records: Mutex<Vec<Challenge>>,
    presented: Mutex<Vec<Kind>>,
}

impl Answers {
    pub(crate) async fn start(kinds: &[Kind]) -> Self {
        let shown = Arc::new(Shown::default());
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tls = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (http_port, tls_port) = (http.local_addr().unwrap().port(), tls.local_addr().unwrap().port());
        tokio::spawn(serve_files(http, shown.clone()));
        tokio::spawn(serve_certificates(tls, shown.clone()));
        Self { http_port, tls_port, kinds: kinds.to_vec(), txt: None, shown }
    }

    /// Which kinds were presented so far, in turn.
    pub(crate) fn presented(&self) -> Vec<Kind> {
        self.shown.presented.lock().unwrap().clone()
    }

    /// Whether nothing is left of what was presented.
    pub(crate) fn is_clean(&self) -> bool {
        self.shown.files.lock().unwrap().is_empty()
            && self.shown.certificates.lock().unwrap().is_empty()
            && self.shown.records.lock().unwrap().is_empty()
    }
}

impl Solver for Answers {
    fn kinds(&self, _name: &str, wildcard: bool) -> Vec<Kind> {
        self.kinds.iter().copied().filter(|k| !wildcard || *k == Kind::Dns01).collect()
    }

    fn present<'a>(&'a self, challenge: &'a Challenge) -> BoxFuture<'a, anyhow::Result<()>> {
        let shown = &self.shown;
        shown.presented.lock().unwrap().push(challenge.kind);
        Box::pin(async move {
            match challenge.kind {
                Kind::Http01 => {
                    let answer = challenge.key_authorization.clone();
                    shown.files.lock().unwrap().insert(challenge.token.clone(), answer);
                }
                Kind::TlsAlpn01 => {
                    let key = alpn_certificate(&challenge.name, challenge.alpn_digest())?;
                    shown.certificates.lock().unwrap().insert(challenge.name.clone(), key);
                }
                Kind::Dns01 => {
                    shown.records.lock().unwrap().push(challenge.clone());
                    let txt = self.txt.as_ref().unwrap();
                    txt.publish(&challenge.dns_name(), &challenge.dns_value()).await?;
                }
            }
            Ok(())
        })
    }

    fn withdraw<'a>(&'a self, challenge: &'a Challenge) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            match challenge.kind {
                Kind::Http01 => drop(self.shown.files.lock().unwrap().remove(&challenge.token)),
                Kind::TlsAlpn01 => drop(self.shown.certificates.lock().unwrap().remove(&challenge.name)),
                Kind::Dns01 => {
                    let txt = self.txt.as_ref().unwrap();
                    txt.remove(&challenge.dns_name(), &challenge.dns_value()).await?;
                    self.shown.records.lock().unwrap().retain(|c| c != challenge);
                }
            }
            Ok(())
        })
    }
}

async fn serve_files(listener: TcpListener, shown: Arc<Shown>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve_file(stream, shown.clone()));
    }
}

async fn serve_file(mut stream: TcpStream, shown: Arc<Shown>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        request.push(byte);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let token = path.strip_prefix("/.well-known/acme-challenge/").unwrap_or_default();
    let (status, body) = match shown.files.lock().unwrap().get(token) {
        Some(answer) => ("200 OK", answer.clone()),
        None => ("404 Not Found", String::new()),
    };
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let _ = stream.write_all(answer.as_bytes()).await;
}

async fn serve_certificates(listener: TcpListener, shown: Arc<Shown>) {
    let builder = rustls::ServerConfig::builder_with_provider(tls::provider());
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut config = builder.with_cert_resolver(shown);
    config.alpn_protocols = vec![ALPN.to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move { acceptor.accept(stream).await.is_ok() });
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certificates.lock().unwrap().get(hello.server_name()?).cloned()
    }
}
