//! What a zone's servers say, each for itself.

use std::collections::BTreeSet;

use futures_util::future::{BoxFuture, join_all};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, RecordType};

use super::Dns;
use super::zone::{self, Trouble, Zone};
use tls::dns::{Ask, Silence, is_below, name};

/// Longer chains of aliases than this are not followed.
const ALIASES: usize = 6;

/// What one server says of one name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These values; none: the name is there, but nothing of this type.
    Values(Vec<String>),
    /// The name is an alias (CNAME) of this one.
    Alias(String),
    /// There is no such name.
    NoSuchName,
    /// Nothing usable.
    Silent(Silence),
}

/// What a zone's servers say of one name and type, by the server's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers(pub Vec<(String, Answer)>);

impl Answers {
    /// Those that said something.
    pub fn heard(&self) -> impl Iterator<Item = &Answer> {
        self.0.iter().map(|(_, answer)| answer).filter(|answer| !matches!(answer, Answer::Silent(_)))
    }

    /// Whether at least one said something, and all who did said something that fits.
    pub fn all(&self, fits: impl Fn(&Answer) -> bool) -> bool {
        let mut heard = self.heard().peekable();
        heard.peek().is_some() && heard.all(fits)
    }

    /// Whether any said something that fits.
    pub fn any(&self, fits: impl Fn(&Answer) -> bool) -> bool {
        self.heard().any(fits)
    }

    /// Every value that any of them said.
    #[must_use]
    pub fn values(&self) -> BTreeSet<String> {
        let values = self.heard().filter_map(|answer| match answer {
            Answer::Values(values) => Some(values.clone()),
            _ => None,
        });
        values.flatten().collect()
    }

    /// The alias, if any of them said one.
    #[must_use]
    pub fn alias(&self) -> Option<&str> {
        self.heard().find_map(|answer| match answer {
            Answer::Alias(to) => Some(to.as_str()),
            _ => None,
        })
    }

    /// Whether all of them say that this is not theirs.
    fn only_lame(&self) -> bool {
        self.0.iter().all(|(_, answer)| *answer == Answer::Silent(Silence::Lame))
    }

    /// A server that said nothing usable, and why.
    #[must_use]
    pub fn silent(&self) -> Option<(&str, Silence)> {
        self.0.iter().find_map(|(server, answer)| match answer {
            Answer::Silent(why) => Some((server.as_str(), *why)),
            _ => None,
        })
    }
}

/// Where a host name leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// The name.
    pub host: String,
    /// Whether it is the top of its zone, where no CNAME may stand.
    pub apex: bool,
    /// The names that it is an alias of, one after the other.
    pub aliases: Vec<String>,
    /// IPv4 addresses at the end of the aliases.
    pub a: Answers,
    /// IPv6 addresses at the end of the aliases.
    pub aaaa: Answers,
}

/// All that was found out about a claim's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The zone, or why it is not known.
    pub zone: Result<Zone, Trouble>,
    /// What stands at the challenge's name.
    pub txt: Answers,
    /// Where the names lead, in the order in which they were asked for.
    pub hosts: Vec<HostFacts>,
}

/// What is to be found out.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The name whose zone it is about.
    pub base: &'a str,
    /// Where the challenge stands.
    pub challenge_host: &'a str,
    /// The host names.
    pub hosts: &'a [&'a str],
    /// Aliases of names below this one are not followed: they are ours.
    pub ours: &'a str,
}

impl Dns {
    /// Finds out all that is asked, everything at once.
    pub async fn look(&self, question: &Question<'_>) -> Facts {
        let zone = self.zone(question.base).await;
        let Ok(known) = &zone else { return Facts { zone, txt: Answers::default(), hosts: Vec::new() } };
        let hosts = question.hosts.iter().map(|host| self.host(known, host, question.ours));
        let (txt, hosts) = tokio::join!(self.challenge(known, question.challenge_host), join_all(hosts));
        Facts { txt, hosts, zone }
    }

    /// The challenge may be delegated, by an alias or by a zone of its own; the zone's own servers are asked first.
    async fn challenge(&self, zone: &Zone, host: &str) -> Answers {
        let answers = self.of_all(zone, host, RecordType::TXT).await;
        let elsewhere = match answers.alias() {
            Some(to) => Some(to.to_owned()),
            None if answers.only_lame() => Some(host.to_owned()),
            None => None,
        };
        let Some(host) = elsewhere else { return answers };
        match self.zone(&host).await {
            Ok(zone) => self.of_all(&zone, &host, RecordType::TXT).await,
            Err(_) => answers,
        }
    }

    async fn host(&self, zone: &Zone, host: &str, ours: &str) -> HostFacts {
        let mut origin = zone.origin.clone();
        let mut facts = self.follow(zone.clone(), host.to_owned(), ours, 0).await;
        // A name may have a zone of its own; the servers of the one above say so by not answering for it.
        if facts.a.only_lame()
            && origin != host
            && let Ok(own) = self.zone(host).await
        {
            origin.clone_from(&own.origin);
            facts = self.follow(own, host.to_owned(), ours, 0).await;
        }
        HostFacts { host: host.to_owned(), apex: origin == host, ..facts }
    }

    fn follow<'a>(&'a self, zone: Zone, host: String, ours: &'a str, depth: usize) -> BoxFuture<'a, HostFacts> {
        Box::pin(async move {
            let (a, aaaa) =
                tokio::join!(self.of_all(&zone, &host, RecordType::A), self.of_all(&zone, &host, RecordType::AAAA));
            let Some(to) = a.alias().or(aaaa.alias()).map(ToOwned::to_owned) else {
                return HostFacts { a, aaaa, ..HostFacts::default() };
            };
            if depth >= ALIASES || is_below(&to, ours) {
                return HostFacts { aliases: vec![to], a, aaaa, ..HostFacts::default() };
            }
            // Who was silent just now is not waited for again.
            let next = if is_below(&to, &zone.origin) { Ok(heard(zone, &a, &aaaa)) } else { self.zone(&to).await };
            let mut facts = match next {
                Ok(next) => self.follow(next, to.clone(), ours, depth + 1).await,
                // That is an answer, too: it leads nowhere.
                Err(Trouble::Unregistered) => {
                    let none = Answers(vec![(to.clone(), Answer::NoSuchName)]);
                    HostFacts { a: none.clone(), aaaa: none, ..HostFacts::default() }
                }
                Err(_) => HostFacts::default(),
            };
            facts.aliases.insert(0, to);
            facts
        })
    }

    /// Asks every server of the zone.
    async fn of_all(&self, zone: &Zone, host: &str, kind: RecordType) -> Answers {
        let Some(name) = name(host) else { return Answers::default() };
        let ask = &Ask { name, kind, recurse: false, unchecked: false };
        let asked = zone.servers.iter().map(async |server| {
            let answer = self.authority(server, ask).await;
            (server.name.clone(), answer.map_or_else(Answer::Silent, |message| read(&message, ask)))
        });
        Answers(join_all(asked).await)
    }
}

/// The zone with those of its servers that have answered.
fn heard(mut zone: Zone, a: &Answers, aaaa: &Answers) -> Zone {
    let all = || a.0.iter().chain(&aaaa.0);
    let says = |name: &str| all().any(|(server, answer)| server == name && !matches!(answer, Answer::Silent(_)));
    zone.servers.retain(|server| says(&server.name));
    zone
}

fn read(message: &Message, ask: &Ask) -> Answer {
    let here = message.answers.iter().filter(|record| record.name == ask.name);
    let mut values = Vec::new();
    for record in here {
        match &record.data {
            RData::CNAME(to) => return Answer::Alias(zone::text(&to.0)),
            data if record.record_type() == ask.kind => values.extend(value(data)),
            _ => {}
        }
    }
    if values.is_empty() && message.metadata.response_code == ResponseCode::NXDomain {
        return Answer::NoSuchName;
    }
    values.sort();
    Answer::Values(values)
}

fn value(data: &RData) -> Option<String> {
    match data {
        // A text is cut into pieces of 255 bytes on the wire.
        RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
        other => zone::address(other).map(|ip| ip.to_string()),
    }
}
