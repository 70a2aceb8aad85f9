//! Answers to a certificate authority that wants to see that a name is ours (RFC 8555, RFC 8737).
//!
//! The reconciler writes what must be answered into `acme_challenges` and takes it away again; here it is read when somebody asks. However
//! many ask for whatever names, all open challenges are read together and at most five times a second: whoever tries names and
//! tokens costs nothing, and the authority, who may come a moment after the row was written, is answered a moment later.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use deadpool_postgres::Client;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use rustls::ServerConfig;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::{Duration, Instant, sleep_until, timeout};

use super::body::ResponseBody;
use super::certificates::Source;
use super::{Edge, request, sql};
use crate::db;

const PATH: &str = "/.well-known/acme-challenge/";
/// Between two looks at the table.
const PAUSE: Duration = Duration::from_millis(200);
/// For a connection, and for one look on it.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is open, as it was read last.
#[derive(Default)]
struct Open {
    /// By token: for which name, and the answer.
    http: HashMap<String, (String, String)>,
    /// By name: the answer.
    alpn: HashMap<String, String>,
}

/// All open challenges.
#[derive(Default)]
pub(super) struct Challenges {
    open: Arc<RwLock<Arc<Open>>>,
    /// When the last look began that came to an end; held while somebody looks.
    looked: Arc<Mutex<Option<Instant>>>,
}

impl Challenges {
    fn open(&self) -> Arc<Open> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is open now: nothing that was written before this call is missed.
    async fn look(&self, source: &Source) -> Arc<Open> {
        let asked = Instant::now();
        let mut looked = self.looked.clone().lock_owned().await;
        if looked.is_none_or(|began| began < asked) {
            let (source, open) = (source.clone(), self.open.clone());
            let runtime = source.runtime.clone();
            // Not in the visitor's own time: one who hangs up would let the next one look at once, without the pause.
            let look = runtime.spawn(async move {
                if let Some(began) = *looked {
                    sleep_until(began + PAUSE).await;
                }
                let began = Instant::now();
                match read(&source).await {
                    Ok(fresh) => *open.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh),
                    Err(error) => tracing::warn!(error = format!("{error:#}"), "challenges cannot be read"),
                }
                *looked = Some(began);
            });
            let _ = look.await;
        }
        self.open()
    }

    /// The answer to a token that was asked for at a name.
    async fn http(&self, source: &Source, host: &str, token: &str) -> Option<String> {
        let find =
            |open: &Open| open.http.get(token).filter(|(name, _)| name == host).map(|(_, answer)| answer.clone());
        match find(&self.open()) {
            Some(answer) => Some(answer),
            None => find(&*self.look(source).await),
        }
    }
}

async fn read(source: &Source) -> anyhow::Result<Open> {
    let db = timeout(PATIENCE, source.db.get()).await??;
    let open = timeout(PATIENCE, read_from(&db)).await;
    db::in_time(db, open)
}

async fn read_from(db: &Client) -> anyhow::Result<Open> {
    let mut open = Open::default();
    for row in db.query(sql::CHALLENGES, &[]).await? {
        let (name, answer): (String, String) = (row.try_get("name")?, row.try_get("key_authorization")?);
        match row.try_get("kind")? {
            "http-01" => drop(open.http.insert(row.try_get("token")?, (name, answer))),
            // The newest of a name comes first.
            "tls-alpn-01" => drop(open.alpn.entry(name).or_insert(answer)),
            _ => {}
        }
    }
    Ok(open)
}

/// Answers a question for a token; none when the request is about something else.
pub(super) async fn answer<B>(edge: &Edge, request: &Request<B>) -> Option<Response<ResponseBody>> {
    let token = request.uri().path().strip_prefix(PATH)?;
    let answer = match request::plain_host(request) {
        Some(host) if is_asked_for(&host, token) && request.method() == Method::GET => {
            edge.challenges.http(edge.certificates.source()?, &host, token).await
        }
        _ => None,
    };
    count("http-01", answer.is_some());
    let mut response = Response::new(ResponseBody::own(Bytes::new()));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match answer {
        Some(answer) => {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            *response.body_mut() = ResponseBody::own(Bytes::from(answer));
        }
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    Some(response)
}

/// Whether a certificate authority could ask this: a name, not an address, and a token as RFC 8555 makes them.
fn is_asked_for(host: &str, token: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    host.contains('.')
        && !host.starts_with('[')
        && host.parse::<IpAddr>().is_err()
        && (16..=256).contains(&token.len())
        && token.bytes().all(letters)
}

/// Whether a handshake is a certificate authority's: it offers this one protocol and nothing else.
pub(super) fn is_alpn<'a>(offered: Option<impl Iterator<Item = &'a [u8]>>) -> bool {
    offered.is_some_and(|mut offered| offered.next() == Some(tls::acme::ALPN) && offered.next().is_none())
}

/// What is shown to a certificate authority that asks for a name by TLS-ALPN-01.
pub(super) async fn shown(edge: &Edge, name: &str) -> Option<ServerConfig> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    // A name may have been tried before with another token: only what is open now counts.
    let open = edge.challenges.look(edge.certificates.source()?).await;
    let answer = open.alpn.get(&name);
    count("tls-alpn-01", answer.is_some());
    let digest: [u8; 32] = Sha256::digest(answer?.as_bytes()).into();
    match tls::acme::alpn_certificate(&name, digest) {
        Ok(key) => Some(tls::answering(&edge.certificates.nobody(), key, tls::acme::ALPN)),
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "a challenge cannot be answered");
            None
        }
    }
}

fn count(kind: &'static str, known: bool) {
    let outcome = if known { "answered" } else { "unknown" };
    metrics::counter!("percloud_edge_challenges_total", "kind" => kind, "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_authority_could_ask_is_looked_up() {
        let token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA";
        assert!(is_asked_for("ada.example", token));
        for (host, token) in [
            ("localhost", token),
            ("192.0.2.1", token),
            ("[2001:db8::1]", token),
            ("ada.example", ""),
            ("ada.example", "short"),
            ("ada.example", "../../../../etc/passwd"),
            ("ada.example", "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ/oA"),
            ("ada.example", &"a".repeat(257)),
        ] {
            assert!(!is_asked_for(host, token), "{host} {token}");
        }
    }

    #[test]
    fn a_handshake_is_an_authoritys_when_it_offers_nothing_else() {
        let offered = |all: &[&'static [u8]]| is_alpn(Some(all.iter().copied()));
        assert!(offered(&[b"acme-tls/1"]));
        assert!(!offered(&[b"acme-tls/1", b"h2"]) && !offered(&[b"h2"]) && !offered(&[]));
        assert!(!is_alpn(None::<std::iter::Empty<&[u8]>>));
    }
}
