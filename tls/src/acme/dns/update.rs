//! Dynamic update (RFC 2136) signed with TSIG (RFC 8945): one TXT value put beside the others, and taken away again.
//!
//! The zone is found by asking the server itself. A `CNAME` at the record's name is followed, so that an operator may keep
//! challenges in a zone of their own. An authority asks any of a zone's name servers: publishing ends when all show the value.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::BoxFuture;
use hickory_proto::op::{Message, ResponseCode, update_message};
use hickory_proto::rr::rdata::{TXT, tsig::TsigAlgorithm};
use hickory_proto::rr::{Name, RData, Record, RecordSet, RecordType, TSigner};
use tokio::time::{Instant, sleep};

use super::{Txt, wire};

const PORT: u16 = 53;
/// How long a challenge's value may be cached.
const TTL: u32 = 30;
/// How far our clock and the server's may be apart.
const FUDGE: u16 = 300;
/// How long secondaries may lag behind before it is given up: an authority that asked one of them would find nothing.
const LAG: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(500);
const LONGEST_ALIAS: usize = 8;

/// A name server that takes our updates.
pub struct Update {
    server: String,
    key: TSigner,
    /// The port of the zone's other name servers.
    others_port: u16,
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Update")
            .field("server", &self.server)
            .field("key", self.key.signer_name())
            .finish_non_exhaustive()
    }
}

/// Where a value goes: the record's name once aliases are followed, and the zone that holds it.
struct Place {
    name: Name,
    zone: Name,
}

impl Update {
    /// Updates go to `server` (`host[:port]`, the zone's primary), signed with `key`: `hmac-sha256:name:base64` (or sha384,
    /// sha512), as key files have it.
    ///
    /// # Errors
    /// When either cannot be read.
    pub fn new(server: &str, key: &str) -> Result<Self> {
        let (host, port) = split(server)?;
        Ok(Self { server: format!("{host}:{port}"), key: signer(key)?, others_port: PORT })
    }

    /// The zone's other name servers are asked at this port. For closed networks and tests.
    #[must_use]
    pub fn with_others_at(mut self, port: u16) -> Self {
        self.others_port = port;
        self
    }

    async fn primary(&self) -> Result<SocketAddr> {
        let found = tokio::net::lookup_host(&self.server).await;
        let mut found = found.with_context(|| format!("the name server {} cannot be found", self.server))?;
        found.next().with_context(|| format!("the name server {} has no address", self.server))
    }

    /// Follows aliases and finds the zone: an authoritative server names it in its answer, either way.
    async fn place(&self, primary: SocketAddr, fqdn: &str) -> Result<Place> {
        let mut name = Name::from_ascii(fqdn).context("not a name")?;
        name.set_fqdn(true);
        for _ in 0..LONGEST_ALIAS {
            let answer = wire::ask(primary, &name, RecordType::SOA).await?;
            let aliased = answer.answers.iter().find_map(|record| match &record.data {
                RData::CNAME(target) if record.name == name => Some(target.0.clone()),
                _ => None,
            });
            if let Some(target) = aliased {
                name = target;
                continue;
            }
            if answer.metadata.response_code == ResponseCode::Refused {
                bail!("{} does not hold the zone of {name}", self.server);
            }
            let all = answer.answers.iter().chain(&answer.authorities);
            let zone =
                all.filter(|r| r.record_type() == RecordType::SOA && r.name.zone_of(&name)).map(|r| &r.name).next();
            let zone = zone.with_context(|| format!("{} does not hold the zone of {name}", self.server))?.clone();
            return Ok(Place { name, zone });
        }
        bail!("{fqdn} leads through too many aliases")
    }

    async fn publish_value(&self, fqdn: &str, value: &str) -> Result<()> {
        let primary = self.primary().await?;
        let place = self.place(primary, fqdn).await?;
        let message = update_message::append(record(&place.name, value), place.zone.clone(), false, false);
        wire::change(primary, message, &self.key).await?;
        self.seen_everywhere(primary, &place, value).await
    }

    async fn remove_value(&self, fqdn: &str, value: &str) -> Result<()> {
        let primary = self.primary().await?;
        let place = self.place(primary, fqdn).await?;
        let message = update_message::delete_by_rdata(record(&place.name, value), place.zone, false);
        wire::change(primary, message, &self.key).await
    }

    /// Waits until all name servers of the zone show the value. One that cannot be reached is not waited for: neither can
    /// the authority reach it.
    async fn seen_everywhere(&self, primary: SocketAddr, place: &Place, value: &str) -> Result<()> {
        let mut behind = self.others(primary, &place.zone).await?;
        behind.insert(primary);
        let until = Instant::now() + LAG;
        loop {
            let mut still = BTreeSet::new();
            for server in behind {
                match wire::ask(server, &place.name, RecordType::TXT).await {
                    Ok(answer) if shows(&answer, value) => {}
                    Ok(_) => drop(still.insert(server)),
                    Err(error) if server == primary => return Err(error),
                    Err(error) => {
                        tracing::warn!(error = format!("{error:#}"), zone = %place.zone, "not asked for a TXT value")
                    }
                }
            }
            if still.is_empty() {
                return Ok(());
            }
            ensure!(
                Instant::now() < until,
                "{} seconds after the change these name servers of {} still do not show it: {}",
                LAG.as_secs(),
                place.zone,
                still.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
            );
            behind = still;
            sleep(LOOK).await;
        }
    }

    /// The addresses of a zone's name servers: as the primary has them, or as the world does.
    async fn others(&self, primary: SocketAddr, zone: &Name) -> Result<BTreeSet<SocketAddr>> {
        let answer = wire::ask(primary, zone, RecordType::NS).await?;
        let mut addresses = BTreeSet::new();
        for record in &answer.answers {
            let RData::NS(host) = &record.data else { continue };
            let mut known = Vec::new();
            for kind in [RecordType::A, RecordType::AAAA] {
                let answer = wire::ask(primary, &host.0, kind).await?;
                known.extend(answer.answers.iter().filter_map(|r| r.data.ip_addr()));
            }
            if known.is_empty() {
                let host = host.0.to_ascii();
                let found = tokio::net::lookup_host((host.trim_end_matches('.'), self.others_port)).await;
                known.extend(found.into_iter().flatten().map(|at| at.ip()));
            }
            addresses.extend(known.into_iter().map(|ip| SocketAddr::new(ip, self.others_port)));
        }
        Ok(addresses)
    }
}

impl Txt for Update {
    fn publish<'a>(&'a self, fqdn: &'a str, value: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let done = self.publish_value(fqdn, value).await;
            done.with_context(|| format!("the TXT record {fqdn} could not be put by dynamic update"))
        })
    }

    fn remove<'a>(&'a self, fqdn: &'a str, value: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let done = self.remove_value(fqdn, value).await;
            done.with_context(|| format!("the TXT record {fqdn} could not be taken away by dynamic update"))
        })
    }
}

fn record(name: &Name, value: &str) -> RecordSet {
    RecordSet::from(Record::from_rdata(name.clone(), TTL, RData::TXT(TXT::new(vec![value.to_owned()]))))
}

fn shows(answer: &Message, value: &str) -> bool {
    answer.answers.iter().any(|record| match &record.data {
        RData::TXT(text) => text.txt_data.concat() == value.as_bytes(),
        _ => false,
    })
}

/// `host`, `host:port`, `192.0.2.1:53`, `2001:db8::1` or `[2001:db8::1]:53`.
fn split(server: &str) -> Result<(String, u16)> {
    let server = server.trim();
    ensure!(!server.is_empty(), "no name server is named");
    if let Ok(ip) = server.parse::<std::net::Ipv6Addr>() {
        return Ok((format!("[{ip}]"), PORT));
    }
    match server.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() => {
            Ok((host.to_owned(), port.parse().with_context(|| format!("{server}: not a port"))?))
        }
        _ => Ok((server.to_owned(), PORT)),
    }
}

fn signer(key: &str) -> Result<TSigner> {
    const HOW: &str = "a key for dynamic updates reads hmac-sha256:NAME:BASE64";
    let mut parts = key.trim().splitn(3, ':');
    let (Some(algorithm), Some(name), Some(secret)) = (parts.next(), parts.next(), parts.next()) else { bail!(HOW) };
    let algorithm = match algorithm.to_ascii_lowercase().as_str() {
        "hmac-sha256" => TsigAlgorithm::HmacSha256,
        "hmac-sha384" => TsigAlgorithm::HmacSha384,
        "hmac-sha512" => TsigAlgorithm::HmacSha512,
        other => bail!("{other:?} is not one of hmac-sha256, hmac-sha384, hmac-sha512; {HOW}"),
    };
    // The error of the decoder quotes what it read, which is a secret.
    let secret = STANDARD.decode(secret).ok().filter(|s| !s.is_empty()).context(HOW)?;
    let name = Name::from_ascii(name).context("the key's name")?;
    TSigner::new(secret, algorithm, name, FUDGE).context("the key cannot be used")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_with_and_without_a_port() {
        for (given, host, port) in [
            ("ns1.example", "ns1.example", 53),
            ("ns1.example:5353", "ns1.example", 5353),
            ("192.0.2.1:54", "192.0.2.1", 54),
            ("2001:db8::1", "[2001:db8::1]", 53),
            ("[2001:db8::1]:54", "[2001:db8::1]", 54),
        ] {
            assert_eq!(split(given).unwrap(), (host.to_owned(), port), "{given}");
        }
        assert!(split("ns1.example:domain").is_err() && split(" ").is_err());
    }

    #[test]
    fn a_key_that_cannot_be_read_is_not_repeated() {
        assert!(signer("hmac-sha256:percloud:c2VjcmV0c2VjcmV0").is_ok());
        for bad in ["", "hmac-md5:percloud:c2VjcmV0", "hmac-sha256:percloud", "hmac-sha256:percloud:not*base64"] {
            let words = format!("{:#}", signer(bad).err().unwrap());
            assert!(words.contains("hmac-sha256:NAME:BASE64") && !words.contains("not*base64"), "{words}");
        }
        let update = Update::new("ns1.example", "hmac-sha256:percloud:c2VjcmV0c2VjcmV0").unwrap();
        assert!(!format!("{update:?}").contains("c2VjcmV0"));
    }
}
