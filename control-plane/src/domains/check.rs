//! From what DNS says to what the owner reads: pure, no I/O, no clock.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::leads::{Leads, found};
use super::report::{DnsHost, Record, RecordKind, RecordState, Report, Words};
use super::{DomainRow, Observed, Part};
use crate::dns::{Answer, Answers, Facts, HostFacts, Trouble, cloudflare, hosts, is_below};

/// Said where an address is to be set, and nobody knows which.
pub(super) const NO_ADDRESSES: &str = "domain.notice.no-addresses";

/// What a claim needs DNS to say.
#[derive(Clone, Copy, Debug)]
pub struct Wished<'a> {
    /// The claim.
    pub row: &'a DomainRow,
    /// Below which name all routing targets are.
    pub edge: &'a str,
    /// The edge's public addresses; none when nobody knows them at the moment.
    pub addresses: &'a [IpAddr],
    /// Where it answers still, and which go away: none of the above.
    pub former: &'a [IpAddr],
    /// What another percloud's TXT record says that has proved this name.
    pub rival: Option<&'a str>,
}

/// How a name is that was proved once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// The owner wants it here.
    Good,
    /// It leads here still, but its proof has gone.
    Unproved,
    /// The owner does not: it leads elsewhere, or the domain lapsed.
    Wrong,
    /// Nobody answered who could say.
    Unknown,
}

/// What comes of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// For the owner.
    pub report: Report,
    /// All is right: it may be verified.
    pub ready: bool,
    /// Whether it may stay so.
    pub health: Health,
    /// The challenge was seen in DNS.
    pub challenged: bool,
    /// Somebody has answered who knows whether it stands there.
    pub answered: bool,
    /// What the rival's TXT record would say, whether it stands there or not: which rival was judged about.
    pub rival: Option<String>,
}

/// Judges.
#[must_use]
pub fn judge(wished: &Wished<'_>, facts: &Facts) -> Verdict {
    let zone = facts.zone.as_ref().ok();
    let host = zone.and_then(|zone| hosts::by_servers(zone.servers.iter().map(|server| server.name.as_str())));
    let typed = Typed { host, zone: zone.map_or(&wished.row.base, |zone| &zone.origin), bought: bought(wished.row) };
    let mut report = Report {
        dns_host: host.map(|host| DnsHost {
            id: host.id.into(),
            name: host.name.into(),
            url: hosts::page(host, typed.zone),
        }),
        ..Report::default()
    };
    report.records.push(typed.challenge(wished, facts));
    for host in wished.row.looked_at() {
        let twin = host != wished.row.name;
        let fallback = HostFacts { host: host.to_owned(), apex: host == wished.row.base, ..HostFacts::default() };
        let leads = facts.hosts.iter().find(|facts| facts.host == host).unwrap_or(&fallback);
        report.records.extend(typed.routes(wished, facts, leads, twin).into_iter().map(|record| typed.behind(record)));
    }
    notices(&typed, wished, facts, &mut report.notices);
    let here =
        |host: &str| facts.hosts.iter().any(|facts| facts.host == host && Leads::of(wished, facts) == Leads::Here);
    report.twin_ready = wished.row.twin.as_deref().is_some_and(here);
    let former = facts.hosts.iter().flat_map(|host| wished.leaving(host, &found(host)));
    report.former = former.collect::<BTreeSet<_>>().into_iter().collect();
    let proved = facts.txt.all(|answer| says(answer, &wished.row.challenge_value())) || proves_itself(wished, facts);
    let taken = rival_stands(wished, facts);
    report.ready = proved && !taken && here(&wished.row.name);
    Verdict {
        ready: report.ready,
        health: health(wished, facts),
        challenged: facts.txt.any(|answer| says(answer, &wished.row.challenge_value())),
        answered: facts.txt.heard().next().is_some() || matches!(facts.zone, Err(Trouble::Unregistered)),
        rival: wished.rival.map(ToOwned::to_owned),
        report,
    }
}

/// Whether it goes without the text: it is proved, and its name has its own target, which is as good.
fn proves_itself(wished: &Wished<'_>, facts: &Facts) -> bool {
    let held = matches!(wished.row.observed, Observed::Verified | Observed::Active);
    held && facts.hosts.iter().any(|host| host.host == wished.row.name && by_target(wished, host))
}

/// A CNAME to this claim's own target is as good as the challenge: nobody else ever gets that target.
fn by_target(wished: &Wished<'_>, host: &HostFacts) -> bool {
    host.aliases.contains(&wished.row.target_host_below(wished.edge))
}

fn rival_stands(wished: &Wished<'_>, facts: &Facts) -> bool {
    wished.rival.is_some_and(|rival| facts.txt.any(|answer| says(answer, rival)))
}

/// Quotes and spaces come along when people copy.
fn bare(text: &str) -> &str {
    text.trim().trim_matches('"').trim()
}

fn says(answer: &Answer, wanted: &str) -> bool {
    matches!(answer, Answer::Values(values) if values.iter().any(|value| bare(value) == wanted))
}

/// Whether the owner still wants a name here that was proved once. In doubt the owner does.
fn health(wished: &Wished<'_>, facts: &Facts) -> Health {
    match facts.zone {
        Err(Trouble::Unregistered) => return Health::Wrong,
        Err(_) => return Health::Unknown,
        Ok(_) => {}
    }
    let row = wished.row;
    let of = |name: &str| {
        let found = facts.hosts.iter().find(|facts| facts.host == name);
        found.map_or(Health::Unknown, |host| health_of(wished, facts, host))
    };
    if row.part == Part::Former || row.returns() {
        // Nobody answers at either of its names: it may lead on for as long as one of them does.
        let all: Vec<Health> = row.hosts().map(of).collect();
        let has = |health| all.contains(&health);
        let best = [Health::Good, Health::Unknown, Health::Unproved].into_iter().find(|health| has(*health));
        return best.unwrap_or(Health::Wrong);
    }
    of(row.in_use().unwrap_or(&row.name))
}

/// The same of one of its names.
fn health_of(wished: &Wished<'_>, facts: &Facts, host: &HostFacts) -> Health {
    let proved = by_target(wished, host) || facts.txt.any(|answer| says(answer, &wished.row.challenge_value()));
    match (Leads::of(wished, host), proved) {
        (Leads::Here | Leads::Both(_), true) => Health::Good,
        (Leads::Unknown | Leads::Unheard(_), _) => Health::Unknown,
        (Leads::Here | Leads::Both(_), false) if facts.txt.heard().next().is_none() => Health::Unknown,
        (Leads::Here | Leads::Both(_), false) => Health::Unproved,
        (Leads::Elsewhere(_) | Leads::Nowhere, _) => Health::Wrong,
    }
}

/// What somebody has of their own: a name that was bought, or given away by a company.
fn bought(row: &DomainRow) -> &str {
    psl::domain_str(&row.base).unwrap_or(&row.base)
}

/// How records are typed at the domain's DNS host.
struct Typed<'a> {
    host: Option<&'static hosts::Host>,
    zone: &'a str,
    bought: &'a str,
}

impl Typed<'_> {
    /// Whether the name stands in the zone of a company that gives such names away.
    fn is_shared(&self) -> bool {
        self.zone != self.bought && is_below(self.bought, self.zone)
    }

    /// Whether it takes addresses and no alias: at the top of its zone, where none may stand. Companies that give names away in their own zone
    /// have addresses for them, and seldom aliases.
    fn is_top(&self, leads: &HostFacts) -> bool {
        leads.apex || (self.is_shared() && leads.host == self.bought)
    }

    fn record(&self, kind: RecordKind, host: &str, value: String) -> Record {
        Record {
            kind,
            host: host.to_owned(),
            label: hosts::label(self.host, self.zone, host),
            value,
            optional: false,
            state: RecordState::Unknown,
            found: Vec::new(),
            words: Words::new("domain.record.missing", &[]),
        }
    }

    fn challenge(&self, wished: &Wished<'_>, facts: &Facts) -> Record {
        let wanted = wished.row.challenge_value();
        let record = self.record(RecordKind::Txt, &wished.row.challenge_host(), wanted.clone());
        if let Some(known) = trouble(&record, facts, &facts.txt, wished) {
            return known;
        }
        if facts.txt.all(|answer| says(answer, &wanted)) {
            return told(record, RecordState::Ok, Vec::new(), "domain.record.ok");
        }
        let record = Record { optional: proves_itself(wished, facts), ..record };
        let others: Vec<String> =
            facts.txt.values().into_iter().filter(|value| bare(value) != wanted && !wished.is_rivals(value)).collect();
        match others.is_empty() || facts.txt.any(|answer| says(answer, &wanted)) {
            true => told(record, RecordState::Missing, Vec::new(), "domain.record.missing"),
            false => told(record, RecordState::Wrong, others, "domain.record.wrong-text"),
        }
    }

    /// The records that lead a name here.
    fn routes(&self, wished: &Wished<'_>, facts: &Facts, leads: &HostFacts, twin: bool) -> Vec<Record> {
        // At the top of a zone nothing else than the addresses can be asked for: without them, nothing is.
        if !self.is_top(leads) {
            let target = hosts::value(self.host, &wished.row.target_host_below(wished.edge));
            let record = self.record(RecordKind::Cname, &leads.host, target);
            let record = Record { optional: twin, ..record };
            // That it is an alias of another name somebody has said, whoever is silent about that one.
            let said = matches!(Leads::of(wished, leads), Leads::Unheard(_));
            let trouble = trouble(&record, facts, &leads.a, wished).filter(|_| !said);
            return vec![trouble.unwrap_or_else(|| alias(record, wished, leads))];
        }
        let has_v4 = wished.addresses.iter().any(IpAddr::is_ipv4);
        let record = |ip: &IpAddr| {
            let (kind, answers) =
                if ip.is_ipv4() { (RecordKind::A, &leads.a) } else { (RecordKind::Aaaa, &leads.aaaa) };
            let record = self.record(kind, &leads.host, ip.to_string());
            let record = Record { optional: twin || (has_v4 && ip.is_ipv6()), ..record };
            trouble(&record, facts, answers, wished).unwrap_or_else(|| address(record, wished, leads, answers))
        };
        wished.addresses.iter().map(record).collect()
    }

    /// Whether all that was found is Cloudflare's proxy: it answers in both families, whatever the owner typed, and hides what that is.
    fn proxied(&self, found: &[String]) -> bool {
        let proxy = |found: &String| found.parse().is_ok_and(cloudflare::answers_at);
        self.host.is_some_and(|host| host.id == "cloudflare") && !found.is_empty() && found.iter().all(proxy)
    }

    /// An entry behind that proxy may well be right where the owner looks at it: there is another thing to do.
    fn behind(&self, record: Record) -> Record {
        if record.state != RecordState::Wrong || !self.proxied(&record.found) {
            return record;
        }
        let found = record.found.clone();
        told(record, RecordState::Wrong, found, "domain.record.proxied")
    }
}

impl Wished<'_> {
    fn is_rivals(&self, value: &str) -> bool {
        self.rival.is_some_and(|rival| bare(value) == rival)
    }

    /// Whether the edge answers at it.
    pub(super) fn is_ours(&self, found: &str) -> bool {
        self.addresses.iter().chain(self.former).any(|ip| ip.to_string() == found)
    }

    /// Whether it leads to a name of the provider's: then it follows the provider's own DNS.
    pub(super) fn follows(&self, host: &HostFacts) -> bool {
        let provider = self.edge.strip_prefix("edge.").unwrap_or(self.edge);
        host.aliases.iter().any(|alias| is_below(alias, provider))
    }

    /// Those of the addresses found at a name that go away, which its owner has to change.
    fn leaving(&self, host: &HostFacts, found: &BTreeSet<String>) -> Vec<String> {
        if self.follows(host) {
            return Vec::new();
        }
        found.iter().filter(|found| self.former.iter().any(|ip| ip.to_string() == **found)).cloned().collect()
    }
}

fn told(record: Record, state: RecordState, found: Vec<String>, key: &str) -> Record {
    let list = found.join(", ");
    let args = [("found", list.as_str()), ("kind", record.kind.as_str()), ("value", record.value.as_str())];
    let needed = match key {
        "domain.record.points-elsewhere" | "domain.record.former" => &args[..],
        "domain.record.ok" | "domain.record.missing" | "domain.record.proxied" | "domain.record.not-known" => &[],
        _ => &args[..1],
    };
    let words = Words::new(key, needed);
    Record { state, found, words, ..record }
}

/// When there is no answer to judge.
fn trouble(record: &Record, facts: &Facts, answers: &Answers, wished: &Wished<'_>) -> Option<Record> {
    let unknown = |server: &str| {
        let words = Words::new("domain.record.unreachable", &[("server", server)]);
        Some(Record { state: RecordState::Unknown, words, ..record.clone() })
    };
    match &facts.zone {
        Err(Trouble::Unregistered) => {
            let domain = bought(wished.row);
            let words = Words::new("domain.record.no-such-domain", &[("domain", &crate::names::shown(domain))]);
            Some(Record { state: RecordState::Missing, words, ..record.clone() })
        }
        Err(_) => unknown(&wished.row.base),
        Ok(zone) if answers.heard().next().is_none() => {
            let server = answers.silent().map(|(server, _)| server);
            unknown(server.or(zone.servers.first().map(|s| s.name.as_str())).unwrap_or(&zone.origin))
        }
        Ok(_) => None,
    }
}

/// It works at a former address, and will not for ever; whether there is one beside it that `stays`.
fn leaves(record: Record, former: Vec<String>, stays: bool) -> Record {
    let key = if stays { "domain.record.former-extra" } else { "domain.record.former" };
    // It may be left out, but not left as it is.
    Record { optional: false, ..told(record, RecordState::Wrong, former, key) }
}

/// A CNAME is wanted; addresses of ours do as well.
fn alias(record: Record, wished: &Wished<'_>, leads: &HostFacts) -> Record {
    let first: Vec<String> = leads.aliases.first().cloned().into_iter().collect();
    let found = found(leads);
    let former = wished.leaving(leads, &found);
    match Leads::of(wished, leads) {
        Leads::Here if !former.is_empty() => {
            let stays = wished.addresses.iter().any(|ip| found.contains(&ip.to_string()));
            leaves(record, former, stays)
        }
        Leads::Here => told(record, RecordState::Ok, first, "domain.record.ok"),
        Leads::Both(_) if !leads.aliases.is_empty() => {
            told(record, RecordState::Wrong, leads.a.values().into_iter().collect(), "domain.record.conflict")
        }
        Leads::Both(foreign) if foreign.is_empty() => {
            told(record, RecordState::Missing, foreign, "domain.record.missing")
        }
        Leads::Both(foreign) => told(record, RecordState::Wrong, foreign, "domain.record.extra"),
        Leads::Elsewhere(found) | Leads::Unheard(found) => {
            told(record, RecordState::Wrong, found, "domain.record.points-elsewhere")
        }
        Leads::Unknown if wished.addresses.is_empty() || wished.follows(leads) => {
            told(record, RecordState::Unknown, Vec::new(), "domain.record.not-known")
        }
        Leads::Nowhere | Leads::Unknown => told(record, RecordState::Missing, Vec::new(), "domain.record.missing"),
    }
}

/// One address is wanted at the top of a zone.
fn address(record: Record, wished: &Wished<'_>, leads: &HostFacts, answers: &Answers) -> Record {
    if Leads::of(wished, leads) == Leads::Here && wished.follows(leads) {
        return told(record, RecordState::Ok, leads.aliases.clone(), "domain.record.ok");
    }
    let found = answers.values();
    let foreign: Vec<String> = found.iter().filter(|ip| !wished.is_ours(ip)).cloned().collect();
    let former = wished.leaving(leads, &judged_with(&record, wished, leads));
    let there = answers.all(|answer| matches!(answer, Answer::Values(values) if values.contains(&record.value)));
    match (there, foreign.is_empty()) {
        (_, true) if !former.is_empty() => leaves(record, former, there),
        (true, true) => told(record, RecordState::Ok, Vec::new(), "domain.record.ok"),
        (true, false) => told(record, RecordState::Wrong, foreign, "domain.record.extra"),
        (false, true) if !leads.aliases.is_empty() && found.is_empty() => {
            told(record, RecordState::Wrong, leads.aliases.clone(), "domain.record.points-elsewhere")
        }
        (false, true) => told(record, RecordState::Missing, Vec::new(), "domain.record.missing"),
        (false, false) => told(record, RecordState::Wrong, foreign, "domain.record.points-elsewhere"),
    }
}

/// The addresses that a record answers for: those of its family, and of the other one where that has no record of its own.
fn judged_with(record: &Record, wished: &Wished<'_>, leads: &HostFacts) -> BTreeSet<String> {
    let has = |v4: bool| wished.addresses.iter().any(|ip| ip.is_ipv4() == v4);
    let is_v4 = record.kind == RecordKind::A;
    let (own, other) = if is_v4 { (&leads.a, &leads.aaaa) } else { (&leads.aaaa, &leads.a) };
    let other = if has(!is_v4) { BTreeSet::new() } else { other.values() };
    own.values().into_iter().chain(other).collect()
}

fn notices(typed: &Typed<'_>, wished: &Wished<'_>, facts: &Facts, notices: &mut Vec<Words>) {
    let domain = crate::names::shown(typed.bought);
    match facts.zone {
        Err(Trouble::Unregistered) => notices.push(Words::new("domain.notice.unregistered", &[("domain", &domain)])),
        Err(Trouble::Dnssec) => notices.push(Words::new("domain.notice.dnssec", &[("domain", &domain)])),
        _ => {}
    }
    if typed.is_shared() && !facts.txt.any(|answer| says(answer, &wished.row.challenge_value())) {
        notices.push(Words::new("domain.notice.shared", &[("above", &crate::names::shown(typed.zone))]));
    }
    if rival_stands(wished, facts) {
        notices.push(Words::new("domain.notice.taken", &[("domain", &wished.row.shown())]));
    }
    if wished.addresses.is_empty() {
        let open = |host: &HostFacts| typed.is_top(host) && Leads::of(wished, host) != Leads::Here;
        notices.extend(facts.hosts.iter().any(open).then(|| Words::new(NO_ADDRESSES, &[])));
        return;
    }
    // Who has IPv6 goes there first, and so do CAs.
    let foreign = |host: &HostFacts| {
        let found: Vec<String> = host.aaaa.values().into_iter().filter(|ip| !wished.is_ours(ip)).collect();
        let own = host.aliases.is_empty() && !host.aaaa.any(|answer| matches!(answer, Answer::Alias(_)));
        (own && !found.is_empty() && !typed.proxied(&found)).then(|| found.join(", "))
    };
    for found in facts.hosts.iter().filter_map(foreign).collect::<BTreeSet<_>>() {
        notices.push(Words::new("domain.notice.aaaa-elsewhere", &[("found", &found)]));
    }
}
