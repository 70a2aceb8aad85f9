//! A double that stands between us and Pebble, and plays what Pebble lacks: ARI's `replaces`, limits, `Retry-After`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use tls::acme::{Account, Directory, Error, Kind};
use tls::testing::{Pebble, PebbleOptions};
use tls::{Certified, LocalCa, Resolver};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::answers::Answers;
use crate::ari::now;

const PATIENCE: Duration = Duration::from_secs(60);

/// The double, in front of one Pebble.
struct Between {
    directory: Directory,
    heard: Arc<Heard>,
    _folder: tempfile::TempDir,
}

struct Heard {
    address: String,
    pebble: String,
    client: reqwest::Client,
    /// What was asked for in new orders.
    orders: Mutex<Vec<Value>>,
    /// Whether new orders are turned away for now.
    limits: AtomicBool,
}

async fn between(pebble: &Pebble) -> Between {
    let folder = tempfile::tempdir().unwrap();
    let ca = LocalCa::open_or_create(folder.path(), "the double's HTTPS", &[], now()).unwrap();
    let issued = ca.issue(&["localhost", "127.0.0.1"], 30, now()).unwrap();
    let resolver = Resolver::new();
    resolver.replace([&Certified::new(&issued.chain_pem, issued.key_der.into()).unwrap()], Some("localhost"));
    let acceptor = TlsAcceptor::from(Arc::new(tls::server_config(Arc::new(resolver), &["http/1.1"]).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let root = reqwest::Certificate::from_pem(pebble.root_pem().as_bytes()).unwrap();
    // HTTP/1.1 lets us name the host: Pebble makes its links from it.
    let client = reqwest::Client::builder().tls_certs_only([root]).no_proxy().http1_only().build().unwrap();
    let pebble = pebble.directory().url.trim_end_matches("/dir").to_owned();
    let directory = Directory {
        url: format!("https://{address}/dir"),
        profile: None,
        eab: None,
        root_pem: Some(ca.root_pem().to_owned()),
    };
    let (orders, limits) = (Mutex::default(), AtomicBool::new(false));
    let heard = Arc::new(Heard { address, pebble, client, orders, limits });
    let serving = heard.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, acceptor.clone(), serving.clone()));
        }
    });
    Between { directory, heard, _folder: folder }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, heard: Arc<Heard>) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let header = |name: &str| {
        head.lines().find_map(|line| Some(line.split_once(": ")?).filter(|(n, _)| n.eq_ignore_ascii_case(name)))
    };
    let length = header("content-length").map_or(0, |(_, length)| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let (status, headers, answer) = heard.answer(method, path, body).await;
    let mut text = format!("HTTP/1.1 {status} OK\r\nConnection: close\r\nContent-Length: {}\r\n", answer.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = if method == "HEAD" { 0 } else { answer.len() };
    let _ = stream.write_all(&[text.as_bytes(), b"\r\n", &answer[..length]].concat()).await;
    let _ = stream.shutdown().await;
}

impl Heard {
    async fn answer(&self, method: &str, path: &str, body: Vec<u8>) -> (u16, Vec<(String, String)>, Vec<u8>) {
        let ordered = (path == "/order-plz").then(|| payload(&body));
        if let Some(ordered) = &ordered {
            self.orders.lock().unwrap().push(ordered.clone());
            if self.limits.load(Ordering::Relaxed) {
                let problem =
                    json!({ "type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many", "status": 429 });
                return (429, vec![("Retry-After".into(), "3600".into())], problem.to_string().into_bytes());
            }
        }
        let request = self.client.request(method.parse().unwrap(), format!("{}{path}", self.pebble)).body(body);
        let request = request.header("host", &self.address).header("content-type", "application/jose+json");
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let kept = ["replay-nonce", "location", "content-type"];
        let mut headers: Vec<_> = kept
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), answer.headers().get(*name)?.to_str().ok()?.to_owned())))
            .collect();
        let mut content = answer.bytes().await.unwrap().to_vec();
        if path == "/dir" {
            content = with(&content, "renewalInfo", &json!(format!("https://{}/ari", self.address)));
        } else if let Some(replaces) = ordered.as_ref().and_then(|o| o.get("replaces")) {
            content = with(&content, "replaces", replaces);
        } else if path.starts_with("/my-order/") {
            headers.push(("Retry-After".into(), "3".into()));
        }
        (status, headers, content)
    }
}

/// What a signed request says.
fn payload(body: &[u8]) -> Value {
    let signed: Value = serde_json::from_slice(body).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(signed["payload"].as_str().unwrap().as_bytes()).unwrap()).unwrap()
}

fn with(content: &[u8], name: &str, value: &Value) -> Vec<u8> {
    let mut content: Value = serde_json::from_slice(content).unwrap();
    content[name] = value.clone();
    content.to_string().into_bytes()
}

#[tokio::test]
async fn a_renewal_names_what_it_replaces() {
    let answers = Answers::start(&[Kind::Http01]).await;
    let options = PebbleOptions { http_port: answers.http_port, ..PebbleOptions::default() };
    let pebble = Pebble::start(options).await.unwrap();
    let double = between(&pebble).await;
    let (account, _) = Account::open(&double.directory, None, None).await.unwrap();
    let names = ["replaced.example".to_owned()];
    let start = std::time::Instant::now();
    let first = account.issue(&names, None, &answers, PATIENCE).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(3), "Retry-After is obeyed");
    account.issue(&names, Some(&first.chain_pem), &answers, PATIENCE).await.unwrap();
    let orders = double.heard.orders.lock().unwrap();
    assert_eq!((orders.len(), orders[0].get("replaces")), (2, None));
    let named = orders[1]["replaces"].as_str().unwrap();
    let (authority, serial) = named.split_once('.').expect("key identifier and serial number (RFC 9773, section 4.1)");
    let first = Certified::new(&first.chain_pem, first.key_der.into()).unwrap();
    let leaf = first.key().cert[0].to_vec();
    for part in [authority, serial] {
        let bytes = BASE64URL_NOPAD.decode(part.as_bytes()).unwrap();
        assert!(bytes.len() >= 8 && leaf.windows(bytes.len()).any(|w| w == bytes), "{named} is of this certificate");
    }
}

#[tokio::test]
async fn limits_are_told_with_their_time() {
    let answers = Answers::start(&[Kind::Http01]).await;
    let pebble = Pebble::start(PebbleOptions::default()).await.unwrap();
    let double = between(&pebble).await;
    let (account, _) = Account::open(&double.directory, None, None).await.unwrap();
    double.heard.limits.store(true, Ordering::Relaxed);
    let Err(error) = account.issue(&["many.example".to_owned()], None, &answers, PATIENCE).await else {
        panic!("issued")
    };
    let hour = Duration::from_secs(3600);
    assert!(matches!(error, Error::Away { after: Some(after), .. } if after == hour), "{}", error.words());
}
