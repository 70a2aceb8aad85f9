//! Questions to DNS: one to one server ([`Ask`]), to whoever finds things out ([`Resolvers`]), and whether a domain lets an authority issue for
//! it ([`caa_allows`]).

mod ask;
mod caa;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RecordType};

pub use ask::{Ask, Silence};
pub use caa::{Caa, CaaAsker, caa_allows};

/// Where a machine says which resolvers it asks.
const SYSTEM: &str = "/etc/resolv.conf";
/// More of them than these are not asked, as everywhere.
const MOST: usize = 3;

/// Recursive resolvers, asked one after the other until one has an answer; who had one last is asked first, so that one that is away costs
/// its time once and not with each question. Without any, every question goes unanswered.
#[derive(Clone, Debug)]
pub struct Resolvers {
    servers: Arc<[SocketAddr]>,
    best: Arc<AtomicUsize>,
}

impl Resolvers {
    /// These.
    #[must_use]
    pub fn new(servers: &[SocketAddr]) -> Self {
        Self { servers: servers.iter().take(MOST).copied().collect(), best: Arc::default() }
    }

    /// The machine's own.
    #[must_use]
    pub fn system() -> Self {
        Self::new(&named_in(&std::fs::read_to_string(SYSTEM).unwrap_or_default()))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Has something found out; `unchecked`: what does not validate is taken, too.
    ///
    /// # Errors
    /// When none answers.
    pub async fn recurse(&self, name: &Name, kind: RecordType, unchecked: bool) -> Result<Message, Silence> {
        let ask = Ask { name: name.clone(), kind, recurse: true, unchecked };
        let (best, count) = (self.best.load(Ordering::Relaxed), self.servers.len());
        let mut said = Err(Silence::Timeout);
        for at in (0..count).map(|n| (best + n) % count) {
            match ask.of(self.servers[at]).await {
                // One that cannot find it out, or does not know us, is no reason not to ask the others; one that knows better is.
                Ok(answer) if count > 1 && self.cannot(at, &ask, &answer).await => said = said.or(Ok(answer)),
                Ok(answer) => {
                    // A name that one of them cannot find makes no other the first for all names.
                    if said.is_err() {
                        self.best.store(at, Ordering::Relaxed);
                    }
                    return Ok(answer);
                }
                Err(silence) => said = said.or(Err(silence)),
            }
        }
        said
    }

    /// Whether that is no answer: it does not know us, or fails also where it need not validate (RFC 4035, section 3.2.2). What only does not
    /// validate is found out, and no other shall take it for good.
    async fn cannot(&self, at: usize, ask: &Ask, answer: &Message) -> bool {
        match answer.metadata.response_code {
            ResponseCode::Refused => true,
            ResponseCode::ServFail if ask.unchecked => true,
            ResponseCode::ServFail => {
                let unchecked = Ask { unchecked: true, ..ask.clone() };
                let again = unchecked.of(self.servers[at]).await;
                !again.is_ok_and(|answer| answer.metadata.response_code != ResponseCode::ServFail)
            }
            _ => false,
        }
    }
}

/// What `resolv.conf` says; who is reached through one network card only (`fe80::1%eth0`) is left out.
fn named_in(text: &str) -> Vec<SocketAddr> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let named = text.lines().map(words).filter(|words| words.first().is_some_and(|word| word == "nameserver"));
    named.filter_map(|words| words.get(1)?.parse::<IpAddr>().ok()).map(|ip| SocketAddr::new(ip, 53)).collect()
}

/// A server, as people type it: `IP` or `IP:PORT`.
///
/// # Errors
/// What it should look like.
pub fn server(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse::<SocketAddr>();
    with_port.or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53))).map_err(|_| "IP or IP:PORT".into())
}

/// A name as DNS has it.
#[must_use]
pub fn name(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// Whether `host` is `origin` or below it.
#[must_use]
pub fn is_below(host: &str, origin: &str) -> bool {
    origin.is_empty() || host.strip_suffix(origin).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machines_resolvers_are_read_as_it_says_them() {
        let text = "# nameserver 192.0.2.9\nsearch example\nnameserver 192.0.2.1\n nameserver\t2001:db8::1 # ours\nnameserver fe80::1%eth0\nnameserver\n";
        let read: Vec<String> = named_in(text).iter().map(ToString::to_string).collect();
        assert_eq!(read, ["192.0.2.1:53", "[2001:db8::1]:53"]);
    }
}
