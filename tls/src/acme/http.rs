//! How an authority is spoken to: time-outs, a limit on what it may answer, its `Retry-After` remembered.
//!
//! `instant-acme` drops the headers of answers that are errors, and most of what an authority says about when to come again
//! is there. So each answer's status and `Retry-After` are noted for the task that asked.

use std::cell::Cell;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use instant_acme::{BodyWrapper, BytesResponse, Error as AcmeError, HttpClient};
use serde::Deserialize;

use super::Directory;

const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(60);
/// Far above a chain of certificates, far below harm.
const LARGEST: usize = 1024 * 1024;
/// How often to ask for renewal information when an authority does not say (RFC 9773, section 4.3.3).
const SIX_HOURS: &str = "21600";
/// A `Retry-After` beyond this is as good as never, and as good as this.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

tokio::task_local! {
    static HEARD: Cell<Heard>;
}

/// What the last answer said beside its content.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    pub(super) status: Option<StatusCode>,
    pub(super) retry_after: Option<Duration>,
}

impl Heard {
    /// Runs something that speaks to an authority, and remembers for it alone.
    pub(super) async fn remembering<T>(talk: impl Future<Output = T>) -> T {
        HEARD.scope(Cell::default(), talk).await
    }

    /// Of the last answer in this task; nothing, if the last question got none.
    pub(super) fn last() -> Self {
        HEARD.try_with(Cell::get).unwrap_or_default()
    }

    fn note(self) {
        let _ = HEARD.try_with(|heard| heard.set(self)); // outside of `remembering` nobody asks
    }
}

/// Speaks HTTPS to one authority.
#[derive(Clone)]
pub(super) struct Http(reqwest::Client);

impl Http {
    pub(super) fn new(directory: &Directory) -> Result<Self> {
        let builder = reqwest::Client::builder()
            .https_only(true)
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .redirect(reqwest::redirect::Policy::none());
        let builder = match &directory.root_pem {
            None => builder,
            Some(pem) => {
                let roots = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).context("its root is not PEM")?;
                // An authority of a closed network is not found through a proxy to the open one.
                builder.tls_certs_only(roots).no_proxy()
            }
        };
        Ok(Self(builder.build()?))
    }

    async fn ask(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse> {
        let (parts, body) = request.into_parts();
        // Only what is wrapped as an answer can be read as a whole.
        let body = BytesResponse::from(http::Response::new(body))
            .body
            .into_bytes()
            .await
            .map_err(anyhow::Error::from_boxed)?;
        let request = self.0.request(parts.method.clone(), parts.uri.to_string()).headers(parts.headers).body(body);
        Heard::default().note();
        let mut answer = request.send().await.map_err(reqwest::Error::without_url)?;
        let heard = Heard { status: Some(answer.status()), retry_after: retry_after(answer.headers()) };
        heard.note();
        let (mut head, ()) = http::Response::new(()).into_parts();
        head.status = answer.status();
        head.headers = std::mem::take(answer.headers_mut());
        let content = whole(answer).await?;
        if parts.method == Method::GET && !head.headers.contains_key(header::RETRY_AFTER) {
            head.headers.insert(header::RETRY_AFTER, HeaderValue::from_static(SIX_HOURS));
        }
        Ok(BytesResponse { parts: head, body: Box::new(content) })
    }
}

impl Http {
    /// What a directory says of CAA, which `instant-acme` does not read.
    pub(super) async fn caa_identities(&self, directory: &str) -> Result<Vec<String>> {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Meta {
            caa_identities: Vec<String>,
        }
        #[derive(Deserialize)]
        struct Read {
            #[serde(default)]
            meta: Meta,
        }
        let answer = self.0.get(directory).send().await?.error_for_status()?;
        let content = whole(answer).await?;
        Ok(serde_json::from_slice::<Read>(&content)?.meta.caa_identities)
    }
}

/// All of an answer, up to a limit.
async fn whole(mut answer: reqwest::Response) -> Result<Bytes> {
    let mut content = BytesMut::new();
    while let Some(part) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        ensure!(content.len() + part.len() <= LARGEST, "its answer is longer than {LARGEST} bytes");
        content.extend_from_slice(&part);
    }
    Ok(content.freeze())
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, AcmeError>> + Send>> {
        let asking = self.clone().ask(request);
        Box::pin(async { asking.await.map_err(|e| AcmeError::Other(e.into())) })
    }
}

/// Seconds, or a date; a date is reckoned from the answer's own.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
    let value = text(header::RETRY_AFTER)?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let now = DateTime::parse_from_rfc2822(text(header::DATE)?).ok()?;
    let then = DateTime::parse_from_rfc2822(value).ok()?;
    Some((then - now).to_std().unwrap_or_default().min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(value: &'static str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(value));
        headers.insert(header::DATE, HeaderValue::from_static("Fri, 31 Dec 1999 23:59:59 GMT"));
        retry_after(&headers)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(heard("120"), Some(Duration::from_secs(120)));
        assert_eq!(heard("Sat, 01 Jan 2000 00:00:59 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(heard("Fri, 31 Dec 1999 00:00:00 GMT"), Some(Duration::ZERO), "in the past: now");
        assert_eq!(heard("99999999999"), Some(LONGEST));
        assert_eq!(heard("soon"), None);
    }
}
