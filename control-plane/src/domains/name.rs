//! What an owner types as the own domain: what may be one, and what not and why.

use bundle::Domain;
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

use crate::dns::is_below;

/// A name that may be claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    host: Domain,
    kind: Kind,
}

/// Where a name stands in what can be bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The bought name itself: `ada.example`.
    Apex,
    /// The same with `www.` in front.
    Www,
    /// Anything else below it: `me.ada.example`.
    Sub,
}

/// Why a name may not be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Nothing was typed.
    #[error("nothing was typed")]
    Empty,
    /// Not a domain.
    #[error("that is not a domain")]
    NotADomain,
    /// Something below which others register theirs: `co.uk`, `github.io`.
    #[error("others register their domains below it")]
    PublicSuffix,
    /// The provider's own, or below it.
    #[error("it is the provider's")]
    Ours,
    /// Kept for the Internet's own customs: `localhost`, `local`, an address.
    #[error("nobody can have it on the Internet")]
    Reserved,
    /// Longer than DNS allows.
    #[error("it is longer than DNS allows")]
    TooLong,
    /// This percloud has one.
    #[error("this percloud has a domain of its own already")]
    Already,
    /// Too many perclouds claim it of which each has had its challenge in the name's DNS.
    #[error("too many perclouds claim it at this moment")]
    Held,
}

impl Refusal {
    /// All of them, for the test that every one has its words.
    pub const ALL: [Self; 8] = [
        Self::Empty,
        Self::NotADomain,
        Self::PublicSuffix,
        Self::Ours,
        Self::Reserved,
        Self::TooLong,
        Self::Already,
        Self::Held,
    ];

    /// The key of its words in the message files.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Empty => "domain.error.empty",
            Self::NotADomain => "domain.error.not-a-domain",
            Self::PublicSuffix => "domain.error.public-suffix",
            Self::Ours => "domain.error.ours",
            Self::Reserved => "domain.error.reserved",
            Self::TooLong => "domain.error.too-long",
            Self::Already => "domain.error.already",
            Self::Held => "domain.error.held",
        }
    }
}

/// Names that nobody can have on the Internet (RFC 2606, 6761, 6762, 7686, 8375, 9476). `test` is let through: closed networks and tests use it.
const RESERVED: [&str; 12] = [
    "localhost",
    "local",
    "onion",
    "invalid",
    "example",
    "example.com",
    "example.net",
    "example.org",
    "arpa",
    "internal",
    "alt",
    "localdomain",
];

/// The challenge's label is 18 characters with its dot, and `www.` may come in front.
const LONGEST: usize = 253 - 22;

/// Reads what a person typed or pasted: a name, or an address with all that browsers put around one.
///
/// # Errors
/// Says the first reason why not.
pub fn parse(typed: &str, base_domain: &Domain) -> Result<Name, Refusal> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Err(Refusal::Empty);
    }
    if typed.len() > 2048 {
        return Err(Refusal::TooLong); // before anything that costs
    }
    let host = bare(typed);
    if host.parse::<std::net::IpAddr>().is_ok() || host.starts_with('[') {
        return Err(Refusal::Reserved);
    }
    let ascii = Uts46::new()
        .to_ascii(host.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Ignore)
        .map_err(|_| Refusal::NotADomain)?;
    let ascii = ascii.strip_suffix('.').unwrap_or(&ascii);
    if ascii.len() > LONGEST || ascii.split('.').any(|label| label.len() > 63) {
        return Err(Refusal::TooLong);
    }
    let below = |suffix: &str| is_below(ascii, suffix);
    if RESERVED.iter().any(|reserved| below(reserved)) {
        return Err(Refusal::Reserved);
    }
    if below(base_domain.as_str()) || base_domain.as_str().ends_with(&format!(".{ascii}")) {
        return Err(Refusal::Ours);
    }
    Name::of_host(ascii.parse().map_err(|_| Refusal::NotADomain)?)
}

/// Without scheme, user, port and path.
fn bare(typed: &str) -> &str {
    let rest = typed.split_once("://").map_or(typed, |(_, rest)| rest);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let host = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

impl Name {
    /// What a host name is; for names that were parsed once already.
    ///
    /// # Errors
    /// `PublicSuffix`, `NotADomain`.
    pub fn of_host(host: Domain) -> Result<Self, Refusal> {
        let bought = psl::domain_str(host.as_str()).ok_or(Refusal::PublicSuffix)?;
        if host.as_str().rsplit('.').next().is_some_and(|top| top.bytes().all(|b| b.is_ascii_digit())) {
            return Err(Refusal::NotADomain); // 1.2.3 and its like
        }
        let kind = match host.as_str().strip_suffix(bought) {
            Some("") => Kind::Apex,
            Some("www.") => Kind::Www,
            _ => Kind::Sub,
        };
        Ok(Self { host, kind })
    }

    /// The name in ASCII, as DNS has it.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.as_str()
    }

    /// The name as people read it.
    #[must_use]
    pub fn shown(&self) -> String {
        crate::names::shown(self.host.as_str())
    }

    /// Where it stands.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Without `www.`; what the challenge stands below.
    #[must_use]
    pub fn base(&self) -> &str {
        match self.kind {
            Kind::Www => self.host().strip_prefix("www.").unwrap_or(self.host()),
            Kind::Apex | Kind::Sub => self.host(),
        }
    }

    /// The same with or without `www.`, where people expect both to work.
    #[must_use]
    pub fn twin(&self) -> Option<String> {
        match self.kind {
            Kind::Apex => Some(format!("www.{}", self.host)),
            Kind::Www => Some(self.base().to_owned()),
            Kind::Sub => None,
        }
    }
}

/// All names that a claim with this base can have had: the base, and the one with `www.` where that is its twin. Elsewhere `www.` is a name
/// of its own, and may be another percloud's.
pub(super) fn both(base: &str) -> Vec<String> {
    let twin = base.parse().ok().and_then(|host| Name::of_host(host).ok()).and_then(|name| name.twin());
    std::iter::once(base.to_owned()).chain(twin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(typed: &str) -> Result<Name, Refusal> {
        parse(typed, &"percloud.test".parse().unwrap())
    }

    #[test]
    fn whatever_is_pasted_becomes_a_host_name() {
        for (typed, host, base, twin) in [
            ("ada.it", "ada.it", "ada.it", Some("www.ada.it")),
            ("  HTTPS://www.Bücher.de/path?q#f ", "www.xn--bcher-kva.de", "xn--bcher-kva.de", Some("xn--bcher-kva.de")),
            ("www.ada.co.uk.", "www.ada.co.uk", "ada.co.uk", Some("ada.co.uk")),
            ("http://user@me.ada.it:8443/", "me.ada.it", "me.ada.it", None),
            ("www.me.ada.it", "www.me.ada.it", "www.me.ada.it", None),
            ("//ada.test", "ada.test", "ada.test", Some("www.ada.test")),
            ("ada。it", "ada.it", "ada.it", Some("www.ada.it")),
            ("ada.github.io", "ada.github.io", "ada.github.io", Some("www.ada.github.io")),
        ] {
            let name = parsed(typed).unwrap_or_else(|why| panic!("{typed}: {why}"));
            assert_eq!((name.host(), name.base(), name.twin().as_deref()), (host, base, twin), "{typed}");
        }
        assert_eq!(parsed("www.xn--bcher-kva.de").unwrap().shown(), "www.bücher.de");
    }

    #[test]
    fn www_belongs_to_a_claim_only_where_it_is_its_twin() {
        for (base, all) in [("ada.it", &["ada.it", "www.ada.it"][..]), ("me.ada.it", &["me.ada.it"])] {
            assert_eq!(both(base), all);
        }
    }

    #[test]
    fn what_cannot_be_somebodys_is_refused_with_its_reason() {
        let long = format!("{}.it", vec!["a".repeat(60); 4].join("."));
        for (typed, why) in [
            ("", Refusal::Empty),
            ("   ", Refusal::Empty),
            ("https://", Refusal::NotADomain),
            ("ada", Refusal::NotADomain),
            ("co.uk", Refusal::PublicSuffix),
            ("github.io", Refusal::PublicSuffix),
            ("it", Refusal::NotADomain),
            ("percloud.test", Refusal::Ours),
            ("ada.percloud.test", Refusal::Ours),
            ("test", Refusal::Ours),
            ("localhost", Refusal::Reserved),
            ("ada.localhost", Refusal::Reserved),
            ("printer.local", Refusal::Reserved),
            ("x.onion", Refusal::Reserved),
            ("www.example.org", Refusal::Reserved),
            ("ada.example", Refusal::Reserved),
            ("192.0.2.1", Refusal::Reserved),
            ("http://[2001:db8::1]/", Refusal::Reserved),
            ("1.2.3", Refusal::NotADomain),
            ("ada_b.it", Refusal::NotADomain),
            ("-ada.it", Refusal::NotADomain),
            ("ada..it", Refusal::NotADomain),
            ("ada@", Refusal::NotADomain),
            ("ada and bob.it", Refusal::NotADomain),
            (&long, Refusal::TooLong),
            (&"a".repeat(5000), Refusal::TooLong),
        ] {
            assert_eq!(parsed(typed).err(), Some(why), "{typed}");
        }
    }
}
