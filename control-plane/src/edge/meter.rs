//! One event and a few numbers per request. Neither holds an address, a name of a file or a query: what people do on their
//! own percloud is theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, StatusCode, Version};
use http_body::Body as _;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tokio::time::Instant;

use super::body::ResponseBody;
use super::ids::RequestId;

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The portal.
    Portal,
    /// A percloud.
    Percloud,
    /// The edge itself.
    Edge,
}

impl Class {
    const ALL: [Self; 3] = [Self::Portal, Self::Percloud, Self::Edge];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Portal => "portal",
            Self::Percloud => "percloud",
            Self::Edge => "edge",
        }
    }
}

const STATUS: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Handles of all metrics, made once: looking them up by name costs more than counting.
pub(super) struct Meter {
    requests: Vec<[Counter; 5]>,
    first_byte: Vec<Histogram>,
    bytes_in: Counter,
    bytes_out: Counter,
    pub(super) connections: Gauge,
    pub(super) handshakes: Counter,
    pub(super) handshakes_failed: Counter,
    pub(super) turned_away: Counter,
    pub(super) ahead: Counter,
    pub(super) connects: Counter,
    pub(super) connects_failed: Counter,
    pub(super) retries: Counter,
    pub(super) tunnels: Gauge,
    pub(super) lines_lost: Counter,
}

impl Meter {
    pub(super) fn new() -> Self {
        let requests = |class: &Class| {
            STATUS.map(|status| counter!("percloud_edge_requests_total", "class" => class.name(), "status" => status))
        };
        Self {
            requests: Class::ALL.iter().map(requests).collect(),
            first_byte: Class::ALL
                .iter()
                .map(|c| histogram!("percloud_edge_first_byte_seconds", "class" => c.name()))
                .collect(),
            bytes_in: counter!("percloud_edge_bytes_total", "direction" => "in"),
            bytes_out: counter!("percloud_edge_bytes_total", "direction" => "out"),
            connections: gauge!("percloud_edge_connections"),
            handshakes: counter!("percloud_edge_handshakes_total", "outcome" => "done"),
            handshakes_failed: counter!("percloud_edge_handshakes_total", "outcome" => "failed"),
            turned_away: counter!("percloud_edge_turned_away_total"),
            ahead: counter!("percloud_edge_upstream_connects_total", "outcome" => "ahead"),
            connects: counter!("percloud_edge_upstream_connects_total", "outcome" => "done"),
            connects_failed: counter!("percloud_edge_upstream_connects_total", "outcome" => "failed"),
            retries: counter!("percloud_edge_retries_total"),
            tunnels: gauge!("percloud_edge_tunnels"),
            lines_lost: counter!("percloud_edge_log_lines_lost_total"),
        }
    }
}

/// How far a request's body has come; shared between whoever reads it and whoever waits for the answer.
#[derive(Debug)]
pub(super) struct Progress {
    bytes: AtomicU64,
    most: u64,
    began: Instant,
    /// When it moved last, in milliseconds since it began.
    moved: AtomicU64,
}

impl Progress {
    /// Of a body that may have so many bytes.
    pub(super) fn of_at_most(most: u64) -> Self {
        Self { bytes: AtomicU64::new(0), most, began: Instant::now(), moved: AtomicU64::new(0) }
    }
    pub(super) fn is_too_large(&self) -> bool {
        self.bytes() > self.most
    }
    pub(super) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.moves();
    }
    pub(super) fn finish(&self) {
        self.moves();
    }
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
    /// When a piece of it came last, or its end.
    pub(super) fn moved(&self) -> Instant {
        self.began + Duration::from_millis(self.moved.load(Ordering::Relaxed))
    }
    fn moves(&self) {
        self.moved.store(self.began.elapsed().as_millis() as u64, Ordering::Relaxed);
    }
}

/// One request's line in the access log; written when it is dropped, that is when the answer's last byte is on its way or the client is gone.
pub(super) struct Entry {
    pub(super) scribe: Arc<super::access::Scribe>,
    pub(super) request_id: RequestId,
    pub(super) tenant: Option<Arc<super::routes::Route>>,
    pub(super) class: Class,
    pub(super) area: &'static str,
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) status: StatusCode,
    pub(super) began: Instant,
    pub(super) first_byte: Duration,
    pub(super) sent: Option<Arc<Progress>>,
    pub(super) bytes_out: u64,
    pub(super) whole: bool,
}

impl Entry {
    /// Bytes of the request's body so far.
    pub(super) fn bytes_in(&self) -> u64 {
        self.sent.as_ref().map_or(0, |p| p.bytes())
    }

    /// There is an answer.
    pub(super) fn answered(&mut self, status: StatusCode, body: &ResponseBody) {
        self.status = status;
        self.first_byte = self.began.elapsed();
        self.whole = body.is_end_stream();
    }

    /// Counts a piece of the answer's body; as the percloud's, where it answers itself.
    pub(super) fn passes(&mut self, bytes: u64) {
        self.bytes_out += bytes;
        if let (Class::Percloud, Some(account)) = (self.class, self.tenant.as_ref().and_then(|route| route.counted())) {
            account.bytes(bytes);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let meter = &self.scribe.meter;
        let status = usize::from(self.status.as_u16() / 100).clamp(1, 5) - 1;
        meter.requests[self.class as usize][status].increment(1);
        meter.first_byte[self.class as usize].record(self.first_byte);
        meter.bytes_in.increment(self.bytes_in());
        meter.bytes_out.increment(self.bytes_out);
        self.scribe.note(self);
    }
}

/// The version as the log says it.
pub(super) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_11 => "HTTP/1.1",
        _ => "HTTP/1.0",
    }
}

/// A method that we know, or the word "other": what else a client sends there is the client's text.
pub(super) fn method(method: &Method) -> &str {
    const KNOWN: [&str; 17] = [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "CONNECT",
        "PROPFIND",
        "PROPPATCH",
        "REPORT",
        "MKCOL",
        "COPY",
        "MOVE",
        "LOCK",
        "UNLOCK",
        "TRACE",
    ];
    if KNOWN.contains(&method.as_str()) { method.as_str() } else { "other" }
}

/// The part of a site that a path is in: its first segment, where that is one of ours.
pub(super) fn area(path: &str) -> &'static str {
    const KNOWN: [&str; 24] = [
        "",
        "app",
        "control",
        "assets",
        "files",
        "posts",
        "tags",
        "bookmarks",
        "media",
        "s",
        "setup",
        "sign-in",
        "sign-out",
        "recover",
        "sign-up",
        "confirm",
        "api",
        "dev",
        "about",
        "healthz",
        "feed.atom",
        "feed.json",
        "manifest.webmanifest",
        ".well-known",
    ];
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    KNOWN.into_iter().find(|known| *known == first).unwrap_or("other")
}
