//! Certificate authorities that look whether a name is ours: over plain HTTP (RFC 8555 §8.3) and in the handshake (RFC 8737).

use std::sync::Arc;

use rustls::{
    DigitallySignedStruct,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::Digest;
use tokio::{io::AsyncReadExt, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::Shelf;

pub(super) const TOKEN: &str = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA";

impl Shelf {
    /// Somebody's percloud at this name: says 200 to everything.
    pub(crate) async fn percloud(&self, name: &str) {
        let socket = self.paths.root().join(format!("{name}.sock"));
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(async || "here")).await });
        let label = name.split('.').next().unwrap();
        let id = format!("t-{label:a<16}");
        let rows = [
            "insert into accounts (id, email, created_at) values ('a-aaaaaaaaaaaaaaaa', 'ada@example.org', now()) on conflict do nothing",
            &format!("insert into names values ('{label}', '{label}', '{id}', now())"),
            &format!(
                "insert into tenants (id, account_id, name, domain, quota_bytes, created_at, observed, socket)
                values ('{id}', 'a-aaaaaaaaaaaaaaaa', '{label}', '{name}', 1, now(), 'running', '{}')",
                socket.display()
            ),
        ];
        self.db.batch_execute(&rows.join(";")).await.unwrap();
    }

    /// What is at `/`, asked by somebody who trusts the root.
    pub(crate) async fn get(&self, name: &str) -> Option<reqwest::Response> {
        let root = reqwest::Certificate::from_pem(self.ca.root_pem().as_bytes()).unwrap();
        let browser = reqwest::Client::builder().tls_certs_only([root]).no_proxy().resolve(name, self.https);
        browser.build().unwrap().get(format!("https://{name}:{}/", self.https.port())).send().await.ok()
    }
}

#[tokio::test]
async fn an_authority_gets_its_answer_on_plain_http_and_is_never_sent_elsewhere() {
    let shelf = Shelf::open().await;
    shelf.challenges("http-01", "ada.example", "the answer").await;
    let path = format!("/.well-known/acme-challenge/{TOKEN}");
    assert_eq!(shelf.ask("ada.example", &path).await, (200, "the answer".into()));
    assert_eq!(shelf.ask("ADA.example:80", &path).await, (200, "the answer".into()));
    for (host, path) in [
        ("bob.example", &*path),
        ("ada.example", "/.well-known/acme-challenge/another-token-that-nobody-made"),
        ("ada.example", "/.well-known/acme-challenge/"),
        ("percloud.localhost", "/.well-known/acme-challenge/a%2Fb"),
    ] {
        assert_eq!(shelf.ask(host, path).await, (404, String::new()), "{host} {path}");
    }
    assert_eq!(shelf.ask("percloud.localhost", "/about").await.0, 308, "anything else goes to HTTPS as ever");
}

#[tokio::test]
async fn whoever_tries_tokens_and_names_costs_a_few_looks_a_second() {
    let shelf = Arc::new(Shelf::open().await);
    shelf.challenges("http-01", "ada.example", "the answer").await;
    let began = std::time::Instant::now();
    let trying: Vec<_> = (0..300)
        .map(|n| {
            let shelf = shelf.clone();
            tokio::spawn(async move {
                let path = format!("/.well-known/acme-challenge/a-token-that-was-guessed-{n}");
                shelf.ask(&format!("{n}.example"), &path).await.0
            })
        })
        .collect();
    for one in trying {
        assert_eq!(one.await.unwrap(), 404);
    }
    assert_eq!(shelf.ask("ada.example", &format!("/.well-known/acme-challenge/{TOKEN}")).await.0, 200);
    let allowed = began.elapsed().as_millis() as i64 / 200 + 2;
    let looks = shelf.looks().await;
    assert!((1..=allowed).contains(&looks), "{looks} looks, {allowed} allowed");
}

#[tokio::test]
async fn an_authority_sees_the_certificate_it_asked_for_and_nothing_else() {
    let shelf = Shelf::open().await;
    shelf.put(&["ada.example"], "local").await;
    let own = shelf.comes("ada.example").await;
    shelf.challenges("tls-alpn-01", "ada.example", "the answer").await;
    let (mut stream, shown) = shelf.look("ada.example", &["acme-tls/1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    let (_, leaf) = x509_parser::parse_x509_certificate(&shown).unwrap();
    let identifier = leaf.extensions().iter().find(|e| e.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
    assert_eq!(identifier.value[2..], sha2::Sha256::digest(b"the answer")[..]);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "it is hung up on");
    assert!(shelf.look("bob.example", &["acme-tls/1"]).await.is_err(), "no challenge, no certificate");
    let (stream, shown) = shelf.look("ada.example", &["h2", "acme-tls/1"]).await.unwrap();
    assert_eq!((stream.get_ref().1.alpn_protocol(), shown), (Some(&b"h2"[..]), own), "a browser is a browser");
}

impl Shelf {
    /// Shakes hands with whatever certificate is shown.
    async fn look(&self, name: &str, alpn: &[&str]) -> std::io::Result<(TlsStream<TcpStream>, Vec<u8>)> {
        let mut config = tls::client_config(self.ca.root_pem(), alpn).unwrap();
        config.dangerous().set_certificate_verifier(Arc::new(Anything));
        let stream = TcpStream::connect(self.https).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        Ok((stream, shown))
    }
}

/// An authority looks at a certificate that nobody vouches for, with an extension that no browser takes.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        tls::provider().signature_verification_algorithms.supported_schemes()
    }
}
