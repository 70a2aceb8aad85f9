//! What a look at DNS found, record by record, as the owner reads it; kept in `domains.report`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is to be set, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Report {
    /// Who hosts the domain's DNS, by its name servers; none when we do not know them.
    pub dns_host: Option<DnsHost>,
    /// Where the owner can have all records set by the DNS host (Domain Connect); none where that is not offered.
    pub connect: Option<String>,
    /// Every record that is to be set, the most important first.
    pub records: Vec<Record>,
    /// What else there is to say.
    pub notices: Vec<Words>,
    /// Whether all is right for the name itself.
    #[serde(default)]
    pub ready: bool,
    /// Whether the twin leads here too.
    pub twin_ready: bool,
    /// Former addresses of the edge to which names still lead; they work for as long as those do.
    #[serde(default)]
    pub former: Vec<String>,
}

/// A company that hosts DNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DnsHost {
    /// A short word for it.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Where its customers set records.
    pub url: Option<String>,
}

/// A record that is to be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Record {
    /// Its type.
    pub kind: RecordKind,
    /// Its full name.
    pub host: String,
    /// Its name as that DNS host wants it typed.
    pub label: String,
    /// What it must say, as that DNS host wants it typed.
    pub value: String,
    /// Good to have, but it goes without.
    pub optional: bool,
    /// How it is.
    pub state: RecordState,
    /// What was found instead, or beside it.
    pub found: Vec<String>,
    /// The same in words.
    pub words: Words,
}

/// Types of records that we ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub enum RecordKind {
    /// Text: the challenge.
    #[serde(rename = "TXT")]
    Txt,
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    #[serde(rename = "AAAA")]
    Aaaa,
    /// Another name.
    #[serde(rename = "CNAME")]
    Cname,
}

impl RecordKind {
    /// As DNS calls it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Txt => "TXT",
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
        }
    }
}

/// How a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecordState {
    /// As it should be.
    Ok,
    /// Not there.
    Missing,
    /// There is something else.
    Wrong,
    /// Nobody answered.
    Unknown,
}

/// A sentence: a key in the portal's message files, and what goes into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Words {
    /// The key.
    pub key: String,
    /// What goes into the sentence, by name.
    pub args: BTreeMap<String, String>,
}

impl Words {
    /// A sentence.
    #[must_use]
    pub fn new(key: &str, args: &[(&str, &str)]) -> Self {
        let args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { key: key.to_owned(), args }
    }
}

/// Every key that a report may hold; the message files must have them all.
pub const KEYS: [&str; 20] = [
    "domain.record.ok",
    "domain.record.missing",
    "domain.record.points-elsewhere",
    "domain.record.wrong-text",
    "domain.record.extra",
    "domain.record.former",
    "domain.record.former-extra",
    "domain.record.unreachable",
    "domain.record.no-such-domain",
    "domain.record.conflict",
    "domain.record.proxied",
    "domain.record.not-known",
    "domain.notice.taken",
    "domain.notice.caa",
    "domain.notice.caa-otherwise",
    "domain.notice.dnssec",
    "domain.notice.aaaa-elsewhere",
    "domain.notice.unregistered",
    "domain.notice.shared",
    super::check::NO_ADDRESSES,
];
