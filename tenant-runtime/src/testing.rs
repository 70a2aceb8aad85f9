//! A percloud in a temporary folder, driven in-process; for tests only.

use std::path::Path;

use axum::{Router, body::Body, response::Response};
use bundle::{Clock, TenantSpec};
use chrono::{DateTime, TimeZone, Utc};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::{
    auth::{self, sessions},
    router,
    runtime::{Place, Runtime},
    serve,
};

/// The address of the percloud under test.
pub const DOMAIN: &str = "ada.percloud.localhost";

/// The token of the set-up link of the percloud under test.
pub const SETUP_TOKEN: &str = "testsetuptoken";

/// The password of its owner, once [`TestRuntime::signed_in`].
pub const PASSWORD: &str = "violet ladder seventy kettle";

/// When the tests happen.
#[must_use]
pub fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 14, 9, 26, 53).single().unwrap_or_default()
}

/// A running percloud without a network.
pub struct TestRuntime {
    /// The state behind it.
    pub runtime: Runtime,
    /// Its clock; stands still until advanced.
    pub clock: Clock,
    /// Sent as `Cookie` with every request, when set.
    pub cookie: Option<String>,
    router: Router,
    folder: tempfile::TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: bytes::Bytes,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header as text; empty when it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Where it redirects to; empty when it does not.
    #[must_use]
    pub fn location(&self) -> &str {
        self.header("location")
    }

    /// Reads a response whole.
    pub async fn read(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Self { status: parts.status, headers: parts.headers, body }
    }
}

/// The spec of the percloud under test: 100 MB, English, not set up.
#[must_use]
pub fn spec() -> TenantSpec {
    TenantSpec {
        id: "t-aaaaaaaaaaaaaaaa".parse().expect("an id"),
        domain: DOMAIN.parse().expect("a domain"),
        also: Vec::new(),
        port: 8443,
        quota_bytes: 100_000_000,
        language: "en".into(),
        setup_sha256: Some(auth::setup_hash(SETUP_TOKEN)),
        suspended: None,
        provider: Some(bundle::spec::Provider {
            name: "Example Cloud".into(),
            url: "https://percloud.localhost:8443".into(),
        }),
    }
}

impl TestRuntime {
    /// A new percloud; nobody has set it up.
    #[must_use]
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A new percloud with a spec of one's own.
    #[must_use]
    pub fn with(change: impl FnOnce(&mut TenantSpec)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut spec = spec();
        change(&mut spec);
        let clock = Clock::fixed(start());
        let runtime = Runtime::open(folder.path(), spec, Place::Hosted, clock.clone()).expect("a percloud");
        let router = router::router(&runtime);
        Self { runtime, clock, cookie: None, router, folder }
    }

    /// A new percloud whose owner is signed in (password [`PASSWORD`]).
    pub async fn signed_in() -> Self {
        let mut this = Self::new();
        this.sign_in().await;
        this
    }

    /// Makes the owner when there is none, and a session whose cookie goes with every request from now on.
    pub async fn sign_in(&mut self) {
        let now = self.clock.now();
        let password = self.runtime.hasher().hash(PASSWORD.into()).await.expect("a hash");
        let token = self.runtime.store().write(move |tx| {
            auth::set_up(tx, &password, now)?;
            sessions::start(tx, "Firefox · Linux", now)
        });
        self.cookie = Some(format!("{}={}", sessions::COOKIE, token.await.expect("a session")));
    }

    /// Ends the process, as it were, and starts it again on the same folder.
    pub fn restart(&mut self) {
        let spec = self.runtime.spec().clone();
        self.runtime = Runtime::open(self.folder.path(), spec, Place::Hosted, self.clock.clone()).expect("a percloud");
        self.router = router::router(&self.runtime);
    }

    /// Falls asleep under a host that runs this program, as it were, and is woken.
    pub async fn sleep(&mut self, program: &str) {
        serve::leave(&self.runtime, true).await;
        self.wake(program);
    }

    /// Is killed, as it were, and started again by a host that runs this program.
    pub fn wake(&mut self, program: &str) {
        let woken = Runtime::wake(self.folder.path(), self.runtime.spec().clone(), self.clock.clone(), program);
        self.runtime = woken.expect("a percloud");
        self.router = router::router(&self.runtime);
    }

    /// Starts it again with this way to the Internet; without, it has none.
    pub fn reach(&mut self, egress: crate::egress::Client) {
        let spec = self.runtime.spec().clone();
        let opened = Runtime::open_with(self.folder.path(), spec, Place::Hosted, self.clock.clone(), egress);
        self.runtime = opened.expect("a percloud");
        self.router = router::router(&self.runtime);
    }

    /// The data folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A request as the edge would send it for a browser on one of our own pages.
    pub fn request(&self, method: Method, target: &str) -> http::request::Builder {
        let mut builder = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, format!("{DOMAIN}:8443"))
            .header(header::ACCEPT, "text/html")
            .header("x-forwarded-for", "192.0.2.7")
            .header("x-forwarded-proto", "https")
            .header("sec-fetch-site", "same-origin");
        if let Some(cookie) = &self.cookie {
            builder = builder.header(header::COOKIE, cookie);
        }
        builder
    }

    /// Sends a request; the body is left to stream.
    pub async fn send(&self, request: Request<Body>) -> Response {
        self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
    }

    /// Sends a request and reads the whole answer.
    pub async fn fetch(&self, request: Request<Body>) -> Answer {
        Answer::read(self.send(request).await).await
    }

    /// GET.
    pub async fn get(&self, target: &str) -> Answer {
        self.fetch(self.request(Method::GET, target).body(Body::empty()).expect("a request")).await
    }

    /// POST of a form.
    pub async fn post(&self, target: &str, fields: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.request(Method::POST, target);
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.fetch(request.body(Body::from(body)).expect("a request")).await
    }

    /// POST of files and fields as `multipart/form-data`: (field, file name or empty, content).
    pub async fn post_multipart(&self, target: &str, parts: &[(&str, &str, &[u8])]) -> Answer {
        const BOUNDARY: &str = "xxxBOUNDARYxxx";
        let mut body = Vec::new();
        for (field, file, content) in parts {
            let file = if file.is_empty() { String::new() } else { format!("; filename=\"{file}\"") };
            let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"{file}\r\n\r\n");
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = self.request(Method::POST, target).header(header::CONTENT_TYPE, kind);
        self.fetch(request.body(Body::from(body)).expect("a request")).await
    }
}

impl Default for TestRuntime {
    fn default() -> Self {
        Self::new()
    }
}
