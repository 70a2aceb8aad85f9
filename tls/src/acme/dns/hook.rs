//! The operator's own way to put TXT records, spoken to over HTTP: no program is started, no shell is near.
//!
//! It gets `POST` with `{"action": "present" | "withdraw", "name": "_acme-challenge.…", "value": "…"}` and a bearer token,
//! and answers 2xx when it is done: after `present`, when every name server of the zone shows the value. It is asked for several values at
//! once, also at one name, and leaves alone what else stands there.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::BoxFuture;
use serde_json::json;
use url::{Host, Url};

use super::Txt;

const CONNECT: Duration = Duration::from_secs(10);
/// DNS providers are slow to spread what they were told.
const ANSWER: Duration = Duration::from_secs(300);
/// How much of a refusal is read and said.
const LARGEST: usize = 2048;

/// A hook at a URL.
pub struct Hook {
    client: reqwest::Client,
    url: Url,
    token: String,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Hook {
    /// A hook at `url`, which knows us by `token`. Over HTTPS, or on this machine; `root_pem` is a private root for it.
    ///
    /// # Errors
    /// When the URL is none, or the token would travel in the open.
    pub fn new(url: &str, token: &str, root_pem: Option<&str>) -> Result<Self> {
        let url = Url::parse(url).context("the DNS hook's URL")?;
        let here = match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        ensure!(
            url.scheme() == "https" || (url.scheme() == "http" && here),
            "the DNS hook's URL must begin with https://, or its token could be read on the way: {url}"
        );
        ensure!(!token.trim().is_empty(), "the DNS hook's token is empty");
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .redirect(reqwest::redirect::Policy::none());
        let builder = match root_pem {
            None if !here => builder,
            None => builder.no_proxy(),
            Some(pem) => builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem.as_bytes())?).no_proxy(),
        };
        Ok(Self { client: builder.build()?, url, token: token.trim().to_owned() })
    }

    async fn tell(&self, action: &str, fqdn: &str, value: &str) -> Result<()> {
        let body = json!({ "action": action, "name": fqdn.trim_end_matches('.'), "value": value });
        let asked = self.client.post(self.url.clone()).bearer_auth(&self.token).json(&body).send().await;
        let mut answer = asked.map_err(reqwest::Error::without_url).context("the DNS hook cannot be reached")?;
        if answer.status().is_success() {
            return Ok(());
        }
        let mut words = Vec::new();
        while words.len() < LARGEST
            && let Ok(Some(part)) = answer.chunk().await
        {
            words.extend_from_slice(&part);
        }
        words.truncate(LARGEST);
        let words: String = String::from_utf8_lossy(&words).chars().filter(|c| !c.is_control()).collect();
        bail!("the DNS hook refuses to {action} {fqdn}: HTTP {} {}", answer.status().as_u16(), words.trim())
    }
}

impl Txt for Hook {
    fn publish<'a>(&'a self, fqdn: &'a str, value: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.tell("present", fqdn, value))
    }

    fn remove<'a>(&'a self, fqdn: &'a str, value: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.tell("withdraw", fqdn, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_does_not_travel_in_the_open() {
        for good in ["https://dns.example/hook", "http://127.0.0.1:8080/", "http://[::1]/", "http://localhost/x"] {
            assert!(Hook::new(good, "secret", None).is_ok(), "{good}");
        }
        for bad in ["http://dns.example/hook", "ftp://localhost/", "no url", "http://localhost.evil.example/"] {
            assert!(Hook::new(bad, "secret", None).is_err(), "{bad}");
        }
        assert!(Hook::new("https://dns.example/", " ", None).is_err());
        assert!(!format!("{:?}", Hook::new("https://dns.example/", "secret", None).unwrap()).contains("secret"));
    }
}
