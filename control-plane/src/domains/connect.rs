//! Domain Connect (draft-ietf-dconn-domainconnect): at DNS hosts that have our template, the owner clicks instead of copying.
//!
//! Where to ask stands in the domain's own DNS, so in a stranger's hands: only HTTPS to public addresses, without redirects, with little time
//! and little to read. It is an extra: whatever goes wrong here, there is no link, and the records to copy are there all the same.
//!
//! Applied without a signature: a signature says that the link came from us, but whoever signs for anybody who claims a domain says little.
//! The template says `warnPhishing`, so that DNS hosts ask their customers once more. See `docs/domain-connect`.
//!
//! The owner comes back with `state`, and with `error` when something went wrong there. Both are hints, which anybody can make up: they
//! choose a sentence on the page. What was set is looked up in DNS.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;
use url::{Host, Url};

use super::{DomainRow, RecordKind, RecordState, Report};
use crate::dns::Dns;

/// The template's name, for all providers.
const SERVICE: &str = "percloud";
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than this of an answer is not read.
const MOST: usize = 64 * 1024;

/// The way to ask.
#[derive(Clone, Debug)]
pub struct Connect {
    dns: Dns,
    provider: String,
    back: String,
    root_pem: Option<String>,
}

/// Where owners come back to, below the portal's address.
pub const BACK: &str = "/manage/domain";

/// What a DNS host says of itself for one domain.
#[derive(Debug, Deserialize)]
struct Settings {
    #[serde(rename = "urlSyncUX")]
    sync: Option<String>,
    #[serde(rename = "urlAPI")]
    api: String,
}

impl Connect {
    /// As this provider, whose portal is at the address `portal`; `root_pem` is a private root that HTTPS servers are trusted by besides
    /// the public ones, for closed networks.
    #[must_use]
    pub fn new(dns: Dns, provider: String, portal: &str, root_pem: Option<String>) -> Self {
        Self { dns, provider, back: format!("{portal}{BACK}"), root_pem }
    }

    /// Where the owner can have the records set; none where that is not offered, for whatever reason.
    pub async fn link(&self, row: &DomainRow, zone: &str, report: &Report) -> Option<String> {
        match tokio::time::timeout(PATIENCE + PATIENCE / 3, self.find(row, zone, report)).await {
            Ok(Ok(link)) => link,
            Ok(Err(error)) => {
                tracing::debug!(error = format!("{error:#}"), "Domain Connect is announced and does not work");
                None
            }
            Err(_) => None,
        }
    }

    async fn find(&self, row: &DomainRow, zone: &str, report: &Report) -> anyhow::Result<Option<String>> {
        let Some(said) = self.dns.text(&format!("_domainconnect.{zone}")).await else { return Ok(None) };
        let base = Url::parse(&format!("https://{}/", said.trim_matches(['/', '"', ' ']))).context("where to ask")?;
        let settings = self.get(base.join(&format!("v2/{zone}/settings"))?).await?.context("no settings")?;
        let settings: Settings = serde_json::from_slice(&settings).context("the settings")?;
        let Some(sync) = settings.sync else { return Ok(None) };
        let template = format!("v2/domainTemplates/providers/{}/services/{SERVICE}", self.provider);
        let api = Url::parse(&format!("{}/", settings.api.trim_end_matches('/'))).context("urlAPI")?;
        if self.get(api.join(&template)?).await?.is_none() {
            return Ok(None); // it does not have our template
        }
        let sync = Url::parse(&format!("{}/", sync.trim_end_matches('/'))).context("urlSyncUX")?;
        ensure!(sync.scheme() == "https" && sync.username().is_empty(), "the owner would be sent to {sync}");
        let mut link = sync.join(&format!("{template}/apply"))?;
        apply(&mut link, row, zone, report);
        // The claim's id is random and this claim's alone. The template names our domain, or else nobody is sent back.
        link.query_pairs_mut().append_pair("redirect_uri", &self.back).append_pair("state", &row.id);
        Ok(Some(link.into()))
    }

    /// Fetches a little JSON; none when there is no such thing.
    async fn get(&self, url: Url) -> anyhow::Result<Option<Vec<u8>>> {
        ensure!(url.scheme() == "https" && url.username().is_empty(), "{url} is not plain HTTPS");
        let Some(Host::Domain(host)) = url.host() else { anyhow::bail!("{url} has no name") };
        let public = |ip| if self.dns.may_reach(ip) { Ok(()) } else { Err(()) };
        let addresses =
            self.dns.reach(host, public).await.ok().with_context(|| format!("{host} has no public address"))?;
        let port = url.port_or_known_default().unwrap_or(443);
        ensure!(port == 443 || self.dns.allows_private(), "{url} is at an odd port");
        let addresses: Vec<SocketAddr> = addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        let mut response = self.client(host, &addresses)?.get(url).send().await?;
        if response.status() == http::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        ensure!(response.status() == http::StatusCode::OK, "{}", response.status());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            ensure!(body.len() <= MOST, "the answer does not end");
        }
        Ok(Some(body))
    }

    /// A client that knows one name only, at the addresses that were looked at.
    fn client(&self, host: &str, addresses: &[SocketAddr]) -> anyhow::Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .resolve_to_addrs(host, addresses)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .https_only(true)
            .timeout(PATIENCE);
        if let Some(pem) = &self.root_pem {
            builder = builder.tls_certs_merge([reqwest::Certificate::from_pem(pem.as_bytes())?]);
        }
        Ok(builder.build()?)
    }
}

/// The template's variables, and which groups of its records are wanted.
fn apply(link: &mut Url, row: &DomainRow, zone: &str, report: &Report) {
    let host = row.base.strip_suffix(zone).unwrap_or_default().trim_end_matches('.');
    let mut groups = vec!["challenge"];
    let mut query = link.query_pairs_mut();
    query.append_pair("domain", zone);
    if !host.is_empty() {
        query.append_pair("host", host);
    }
    query.append_pair("challenge", &row.challenge);
    for record in report.records.iter().filter(|record| record.state != RecordState::Ok) {
        let www = record.host != row.base;
        let (group, variable) = match record.kind {
            RecordKind::Txt => continue,
            RecordKind::A if www => ("www-ipv4", "ipv4"),
            RecordKind::A => ("ipv4", "ipv4"),
            RecordKind::Aaaa if www => ("www-ipv6", "ipv6"),
            RecordKind::Aaaa => ("ipv6", "ipv6"),
            RecordKind::Cname if www => ("www", "target"),
            RecordKind::Cname => ("target", "target"),
        };
        if !groups.contains(&group) {
            groups.push(group);
            query.append_pair(variable, record.value.trim_end_matches('.'));
        }
    }
    query.append_pair("groupId", &groups.join(","));
}
