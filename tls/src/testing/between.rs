//! A double that stands between us and Pebble, and plays what Pebble lacks: renewal information, limits, `Retry-After`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Pebble;
use super::pebble::machine_time;
use crate::acme::Directory;
use crate::{Certified, LocalCa, Resolver};

/// How it turns somebody away.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The problem's kind, without its namespace.
    pub kind: &'static str,
    /// What it says.
    pub detail: String,
    /// When to come again, in seconds.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// A limit (HTTP 429) in these words.
    #[must_use]
    pub fn limit(detail: &str, retry_after: Option<u64>) -> Self {
        Self { status: 429, kind: "rateLimited", detail: detail.to_owned(), retry_after }
    }

    /// Away (HTTP 503).
    #[must_use]
    pub fn away(retry_after: Option<u64>) -> Self {
        Self { status: 503, kind: "serverInternal", detail: "it rests".to_owned(), retry_after }
    }
}

/// A window in which it wants a certificate renewed, and a page that says why.
#[derive(Clone, Debug)]
pub struct Suggestion {
    /// From when to when.
    pub window: [DateTime<Utc>; 2],
    /// The page.
    pub explanation: Option<String>,
}

/// The double, in front of one Pebble.
pub struct Between {
    directory: Directory,
    played: Arc<Played>,
    _tasks: JoinSet<()>,
    _folder: tempfile::TempDir,
}

/// What one new order is turned away with: the name that it must have, and how.
type Turned = (String, Refusal);

struct Played {
    address: String,
    pebble: String,
    client: reqwest::Client,
    orders: Mutex<Vec<Value>>,
    turned: Mutex<Vec<Turned>>,
    suggests: Mutex<Option<Result<Suggestion, Refusal>>>,
    asked: Mutex<usize>,
    looked: Mutex<HashSet<String>>,
    again: Mutex<u64>,
}

impl Between {
    /// Stands in front of a Pebble from now on.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn start(pebble: &Pebble) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let ca = LocalCa::open_or_create(folder.path(), "the double's HTTPS", &[], machine_time())?;
        let issued = ca.issue(&["localhost", "127.0.0.1"], 30, machine_time())?;
        let resolver = Resolver::new();
        resolver.replace([&Certified::new(&issued.chain_pem, issued.key_der.into())?], Some("localhost"));
        let acceptor = TlsAcceptor::from(Arc::new(crate::server_config(Arc::new(resolver), &["http/1.1"])?));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let root = reqwest::Certificate::from_pem(pebble.root_pem().as_bytes())?;
        // HTTP/1.1 lets us name the host: Pebble makes its links from it.
        let client = reqwest::Client::builder().tls_certs_only([root]).no_proxy().http1_only().build()?;
        let directory = Directory {
            url: format!("https://{address}/dir"),
            root_pem: Some(ca.root_pem().to_owned()),
            ..pebble.directory()
        };
        let pebble = pebble.directory().url.trim_end_matches("/dir").to_owned();
        let played = Played {
            address,
            pebble,
            client,
            orders: Mutex::default(),
            turned: Mutex::default(),
            suggests: Mutex::default(),
            asked: Mutex::default(),
            looked: Mutex::default(),
            again: Mutex::new(3),
        };
        let played = Arc::new(played);
        let (serving, mut tasks) = (played.clone(), JoinSet::new());
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, serving) = (acceptor.clone(), serving.clone());
                tokio::spawn(async move { serve(stream, acceptor, &serving).await }); // who hangs up hears no more
            }
        });
        Ok(Self { directory, played, _tasks: tasks, _folder: folder })
    }

    /// Where it is, and how to be known there.
    #[must_use]
    pub fn directory(&self) -> Directory {
        self.directory.clone()
    }

    /// What it was asked for in new orders, in turn.
    #[must_use]
    pub fn orders(&self) -> Vec<Value> {
        lock(&self.played.orders).clone()
    }

    /// Turns away new orders with a name that ends so, from now on.
    pub fn turn_away(&self, name: &str, refusal: Refusal) {
        lock(&self.played.turned).push((name.to_owned(), refusal));
    }

    /// Whoever looks at an order shall come again after so many seconds; 3 until this is said.
    pub fn come_again(&self, seconds: u64) {
        *lock(&self.played.again) = seconds;
    }

    /// Turns away nobody any more.
    pub fn let_in(&self) {
        lock(&self.played.turned).clear();
    }

    /// What it says when it is asked when to renew; until then it knows no certificate.
    pub fn suggest(&self, says: Result<Suggestion, Refusal>) {
        *lock(&self.played.suggests) = Some(says);
    }

    /// How often it was asked when to renew.
    #[must_use]
    pub fn asked_when(&self) -> usize {
        *lock(&self.played.asked)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Status, headers, content.
type Answer = (u16, Vec<(String, String)>, Vec<u8>);

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, played: &Played) -> Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    let length = head.lines().filter_map(|line| line.split_once(": "));
    let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).map(|(_, value)| value).next();
    let mut body = vec![0; length.map_or(Ok(0), str::parse)?];
    stream.read_exact(&mut body).await?;
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, headers, answer) = played.answer(method, path, body).await?;
    let mut text = format!("HTTP/1.1 {status} OK\r\nConnection: close\r\nContent-Length: {}\r\n", answer.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = if method == "HEAD" { 0 } else { answer.len() };
    stream.write_all(&[text.as_bytes(), b"\r\n", &answer[..length]].concat()).await?;
    Ok(stream.shutdown().await?)
}

impl Played {
    async fn answer(&self, method: &str, path: &str, body: Vec<u8>) -> Result<Answer> {
        if path.starts_with("/ari/") {
            *lock(&self.asked) += 1;
            return Ok(self.suggestion());
        }
        let ordered = (path == "/order-plz").then(|| payload(&body)).transpose()?;
        if let Some(ordered) = &ordered {
            lock(&self.orders).push(ordered.clone());
            if let Some(refusal) = self.turns_away(ordered) {
                return Ok(refused(&refusal));
            }
        }
        let request = self.client.request(method.parse()?, format!("{}{path}", self.pebble)).body(body);
        let request = request.header("host", &self.address).header("content-type", "application/jose+json");
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let kept = ["replay-nonce", "location", "content-type"];
        let mut headers: Vec<_> = kept
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), answer.headers().get(*name)?.to_str().ok()?.to_owned())))
            .collect();
        let mut content = answer.bytes().await?.to_vec();
        if path == "/dir" {
            content = with(&content, "renewalInfo", &json!(format!("https://{}/ari", self.address)))?;
        } else if let Some(replaces) = ordered.as_ref().and_then(|o| o.get("replaces")) {
            content = with(&content, "replaces", replaces)?;
        } else if path.starts_with("/my-order/") {
            // Who looks once is never too late to have to come again.
            if lock(&self.looked).insert(path.to_owned()) {
                content = with(&content, "status", &json!("pending"))?;
            }
            headers.push(("Retry-After".into(), lock(&self.again).to_string()));
        }
        Ok((status, headers, content))
    }

    fn turns_away(&self, ordered: &Value) -> Option<Refusal> {
        let names = ordered["identifiers"].as_array()?.iter().filter_map(|one| one["value"].as_str());
        let names: Vec<&str> = names.collect();
        let turned = lock(&self.turned);
        let found = turned.iter().find(|(end, _)| names.iter().any(|name| name.ends_with(end.as_str())));
        found.map(|(_, refusal)| refusal.clone())
    }

    fn suggestion(&self) -> Answer {
        match &*lock(&self.suggests) {
            Some(Ok(Suggestion { window: [start, end], explanation })) => {
                let window = json!({ "start": start.to_rfc3339(), "end": end.to_rfc3339() });
                let mut says = json!({ "suggestedWindow": window });
                if let Some(page) = explanation {
                    says["explanationURL"] = json!(page);
                }
                (200, vec![("Retry-After".into(), "3600".into())], says.to_string().into_bytes())
            }
            Some(Err(refusal)) => refused(refusal),
            None => refused(&Refusal { status: 404, kind: "malformed", detail: "unknown".into(), retry_after: None }),
        }
    }
}

fn refused(refusal: &Refusal) -> Answer {
    let kind = format!("urn:ietf:params:acme:error:{}", refusal.kind);
    let problem = json!({ "type": kind, "detail": refusal.detail, "status": refusal.status });
    let after = refusal.retry_after.map(|seconds| ("Retry-After".to_owned(), seconds.to_string()));
    (refusal.status, after.into_iter().collect(), problem.to_string().into_bytes())
}

/// What a signed request says.
fn payload(body: &[u8]) -> Result<Value> {
    let signed: Value = serde_json::from_slice(body)?;
    let payload = signed["payload"].as_str().context("a request that is not signed")?;
    Ok(serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes())?)?)
}

fn with(content: &[u8], name: &str, value: &Value) -> Result<Vec<u8>> {
    let mut content: Value = serde_json::from_slice(content)?;
    content[name] = value.clone();
    Ok(content.to_string().into_bytes())
}
