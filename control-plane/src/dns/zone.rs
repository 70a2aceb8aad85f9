//! Whose a name is: its zone, and the zone's servers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::{join_all, select_ok};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use tls::dns::{Ask, Silence, is_below, name};

use super::Dns;

/// More servers than this of one zone are not asked.
const SERVERS: usize = 4;
/// More addresses than this of one server are not tried.
const ADDRESSES: usize = 4;
/// After so long without an answer from one of a server's addresses the next is asked, too.
const NEXT_ADDRESS: Duration = Duration::from_millis(400);

/// A zone and who serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name, without a dot at the end.
    pub origin: String,
    /// Who serves it; never empty.
    pub servers: Vec<NameServer>,
}

/// One of a zone's servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameServer {
    /// Its name, in lower case, without a dot at the end.
    pub name: String,
    /// Where it may be asked.
    pub addresses: Vec<IpAddr>,
    /// It has only addresses that must not be asked.
    pub private: bool,
}

/// Why a name's zone is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No resolver of ours answers: that is our trouble, not the domain's.
    #[error("no DNS resolver answers")]
    NoResolver,
    /// Nobody has registered it, or it has lapsed.
    #[error("nobody has registered it")]
    Unregistered,
    /// Its signatures (DNSSEC) do not fit.
    #[error("its DNSSEC signatures are broken")]
    Dnssec,
    /// Its servers do not answer, or not for it.
    #[error("its name servers do not answer for it")]
    Broken,
}

/// The name above `host`, or itself, that was bought at a registry: of `ada.duckdns.org` that is `duckdns.org`, below which a company gives
/// names away (the private part of the public suffix list). Those have a zone of their own only where the company says so.
pub(super) fn registered(host: &str) -> &str {
    let is_private = |name: &str| psl::suffix(name.as_bytes()).is_some_and(|one| one.typ() == Some(psl::Type::Private));
    let mut at = host;
    while is_private(at) {
        match at.split_once('.') {
            Some((_, above)) if is_private(above) => at = above,
            Some((_, above)) => return psl::domain_str(above).unwrap_or(at),
            None => break,
        }
    }
    psl::domain_str(at).unwrap_or(at)
}

pub(super) fn text(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_lowercase()
}

impl Dns {
    pub(super) async fn recurse(&self, name: &Name, kind: RecordType, unchecked: bool) -> Result<Message, Silence> {
        self.resolvers.recurse(name, kind, unchecked).await
    }

    /// The zone that a name is in.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub async fn zone(&self, host: &str) -> Result<Zone, Trouble> {
        let origin = self.origin(host).await?;
        let servers = self.servers(&origin).await?;
        Ok(Zone { origin, servers })
    }

    /// Up from the name until somebody says whose it is.
    async fn origin(&self, host: &str) -> Result<String, Trouble> {
        let bought = registered(host);
        let mut at = host;
        loop {
            let asked = name(at).ok_or(Trouble::Broken)?;
            let answer = self.recurse(&asked, RecordType::SOA, false).await.map_err(|_| Trouble::NoResolver)?;
            match answer.metadata.response_code {
                ResponseCode::NoError | ResponseCode::NXDomain => {}
                // A resolver that validates fails at broken signatures, and only at them does it know better unvalidated.
                _ => return Err(self.why_failed(&asked).await),
            }
            let alias =
                answer.answers.iter().any(|record| matches!(record.data, RData::CNAME(_)) && record.name == asked);
            let soa = answer.answers.iter().chain(&answer.authorities).filter(|r| matches!(r.data, RData::SOA(_)));
            let found = soa.map(|record| text(&record.name)).find(|origin| is_below(host, origin));
            match found.filter(|_| !alias) {
                Some(origin) if origin != bought && is_below(bought, &origin) => return Err(Trouble::Unregistered),
                Some(origin) => return Ok(origin),
                // Behind an alias, or a server that leaves the SOA out: the parent knows.
                None if at == bought => return Err(Trouble::Broken),
                None => at = at.split_once('.').ok_or(Trouble::Broken)?.1,
            }
        }
    }

    async fn why_failed(&self, asked: &Name) -> Trouble {
        match self.recurse(asked, RecordType::SOA, true).await {
            Ok(answer) if matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain) => {
                Trouble::Dnssec
            }
            _ => Trouble::Broken,
        }
    }

    async fn servers(&self, origin: &str) -> Result<Vec<NameServer>, Trouble> {
        let asked = name(origin).ok_or(Trouble::Broken)?;
        let answer = self.recurse(&asked, RecordType::NS, false).await.map_err(|_| Trouble::NoResolver)?;
        let mut names: Vec<Name> = answer
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RData::NS(ns) if record.name == asked => Some(ns.0.to_lowercase()),
                _ => None,
            })
            .collect();
        names.sort();
        names.dedup();
        names.truncate(SERVERS);
        if names.is_empty() {
            return Err(Trouble::Broken);
        }
        Ok(join_all(names.iter().map(|name| self.server(name))).await)
    }

    async fn server(&self, name: &Name) -> NameServer {
        let (v4, v6) = tokio::join!(self.addresses_of(name, RecordType::A), self.addresses_of(name, RecordType::AAAA));
        let all: Vec<IpAddr> = v4.into_iter().chain(v6).collect();
        let mut addresses: Vec<IpAddr> = all.iter().copied().filter(|ip| self.may_reach(*ip)).collect();
        addresses.truncate(ADDRESSES);
        NameServer { name: text(name), private: addresses.is_empty() && !all.is_empty(), addresses }
    }

    /// The text that a resolver finds at a name; none when there is none, or nobody answers.
    pub(crate) async fn text(&self, host: &str) -> Option<String> {
        let answer = self.recurse(&name(host)?, RecordType::TXT, false).await.ok()?;
        answer.answers.iter().find_map(|record| match &record.data {
            RData::TXT(txt) => String::from_utf8(txt.txt_data.concat()).ok(),
            _ => None,
        })
    }

    async fn addresses_of(&self, name: &Name, kind: RecordType) -> Vec<IpAddr> {
        let Ok(answer) = self.recurse(name, kind, false).await else { return Vec::new() };
        answer.answers.iter().filter_map(|record| address(&record.data)).collect()
    }

    /// Asks one of a zone's servers directly.
    pub(super) async fn authority(&self, server: &NameServer, ask: &Ask) -> Result<Message, Silence> {
        if server.addresses.is_empty() {
            return Err(if server.private { Silence::Private } else { Silence::Timeout });
        }
        // The next one is asked soon when the one before says nothing: all of them are one server, which has the patience of one.
        let asked = server.addresses.iter().zip(0_u32..).map(|(ip, nth)| {
            Box::pin(async move {
                tokio::time::sleep(NEXT_ADDRESS * nth).await;
                ask.of(SocketAddr::new(*ip, self.authority_port)).await
            })
        });
        let (answer, _) = select_ok(asked).await?;
        usable(answer)
    }
}

fn usable(answer: Message) -> Result<Message, Silence> {
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain if answer.metadata.authoritative => Ok(answer),
        ResponseCode::ServFail => Err(Silence::Failed),
        _ => Err(Silence::Lame),
    }
}

pub(super) fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(a) => Some(a.0.into()),
        RData::AAAA(aaaa) => Some(aaaa.0.into()),
        _ => None,
    }
}
