//! From rows to what pages show; nothing here changes anything.

use chrono::{DateTime, Utc};
use portal::pages::manage::{
    Active, Beside, Certificate, Change, Changed, Checked, Chosen, DnsHost, Errors, Former, Looked, Making, Next,
    Record, Records, Remove, Trouble, Twin, Whose, Words,
};

use crate::{
    app::App,
    certificates::{self, State},
    db::{self, GenericClient},
    domains::{self, DomainRow, Observed, Owned, Part, RecordKind, RecordState, Report},
    names,
};

fn words(words: &domains::Words) -> Words {
    Words { key: words.key().to_owned(), args: words.args.clone() }
}

fn record(record: &domains::Record) -> Record {
    let state = match record.state {
        RecordState::Ok => "ok",
        RecordState::Missing => "missing",
        RecordState::Wrong => "wrong",
        RecordState::Unknown => "unknown",
    };
    Record {
        kind: record.kind.as_str().to_owned(),
        host: record.host.clone(),
        label: record.label.clone(),
        value: record.value.clone(),
        optional: record.optional,
        state,
        words: words(&record.words),
    }
}

fn dns_host(report: &Report) -> Option<DnsHost> {
    report.dns_host.clone().map(|host| DnsHost::new(&host.id, host.name, host.url))
}

fn looked(report: &Report, checked: Option<Checked>) -> Looked {
    let host = dns_host(report);
    let connect = report.connect.clone().filter(|url| url.starts_with("https://"));
    let notices = report.notices.iter().map(words).collect();
    Looked { notices, host, connect, checked, ..Looked::new(report.records.iter().map(record).collect()) }
}

fn checked(row: &DomainRow, now: DateTime<Utc>) -> Option<Checked> {
    row.checked_at.map(|at| Checked::new(at, now))
}

/// What is to be set; `hold` is what to know of certificates for own domains.
pub(super) fn records(whose: Whose, row: &DomainRow, hold: Option<&'static str>, now: DateTime<Utc>) -> Records {
    let looked = row.report.as_ref().map(|report| looked(report, checked(row, now))).unwrap_or_default();
    let hold = if row.paused { Some("paused") } else { hold };
    let lost = row.observed == Observed::Lost;
    let beside = Beside::default();
    Records { whose, name: row.shown(), looked, lost, hold, connected: None, beside, other: false }
}

/// The certificate is awaited.
pub(super) fn making(whose: Whose, row: &DomainRow, trouble: Option<Trouble>) -> Making {
    let notices = row.report.iter().flat_map(|report| &report.notices).map(words).collect();
    Making { whose, name: row.shown(), trouble, paused: row.paused, notices, beside: Beside::default() }
}

/// Where the percloud answers, as people read it.
fn address(row: &DomainRow) -> String {
    names::shown(row.own_domain.as_ref().unwrap_or(&row.domain))
}

/// The same where the main domain may not be in use, and the one before it has just been given up.
pub(super) fn answers_at(main: &DomainRow) -> String {
    names::shown(main.in_use().unwrap_or(&main.domain))
}

/// What a percloud has beside the domain that the page is about.
pub(super) async fn beside(
    db: &impl GenericClient,
    owned: &Owned,
    connected: Option<&'static str>,
    now: DateTime<Utc>,
) -> Result<Beside, db::Error> {
    let next = match &owned.next {
        None => None,
        Some(row) => {
            let making = row.awaited();
            Some(Next {
                id: row.id.clone(),
                name: row.shown(),
                now: address(row),
                looked: row.report.as_ref().map(|report| looked(report, checked(row, now))).unwrap_or_default(),
                making,
                trouble: if making { trouble(db, row).await? } else { None },
                paused: row.paused,
                connected,
            })
        }
    };
    let former = owned.former.iter().filter_map(|row| {
        let (id, name, now) = (row.id.clone(), row.shown(), address(row));
        Some(Former { id, name, now, until: row.leads_until?, missed: row.misses > 0, paused: row.paused })
    });
    Ok(Beside { next, former: former.collect(), ..Beside::default() })
}

/// What giving one of them up breaks.
pub(super) fn remove(whose: Whose, row: &DomainRow, owned: &Owned, now: DateTime<Utc>) -> Remove {
    let until = row.would_lead_until(now);
    let state = if until.is_some() { "returns" } else { row.does() };
    let (main, twin) = (row.part == Part::Main, row.twin.as_deref().map(names::shown));
    // Those that lead to the old name go on doing so.
    let former: Vec<String> = owned.former.iter().filter(|_| state == "serves").map(DomainRow::shown).collect();
    let next = owned.next.as_ref().filter(|_| main).map(DomainRow::shown);
    let (id, name, now) = (row.id.clone(), row.shown(), address(row));
    let shown = format!("{state} {name} {now} {} {}", former.join(" "), next.as_deref().unwrap_or_default());
    Remove { whose, id, name, twin, state, until, now, former, next, shown, meanwhile: false }
}

/// Another name instead of one.
pub(super) fn change(whose: Whose, row: &DomainRow, owned: &Owned, now: DateTime<Utc>) -> Change {
    Change {
        whose,
        id: row.id.clone(),
        current: row.shown(),
        state: row.does(),
        now: address(row),
        until: row.would_lead_until(now),
        ends: owned.ends_next().map(DomainRow::shown),
        meanwhile: false,
        name: String::new(),
        errors: Errors::default(),
        hold: None,
    }
}

/// The name that is in use, which is not yet the chosen one while that is not ready.
fn in_use(row: &DomainRow) -> &str {
    row.own_domain.as_deref().unwrap_or(&row.name)
}

/// Where the percloud answers.
fn origin(app: &App, row: &DomainRow) -> String {
    let host = in_use(row);
    host.parse().map_or_else(|_| format!("https://{host}"), |domain| app.settings.origin_of(&domain))
}

/// It answers at its own name.
pub(super) async fn active(
    app: &App,
    db: &impl GenericClient,
    whose: Whose,
    row: &DomainRow,
) -> Result<Active, db::Error> {
    let now = app.clock.now();
    let (origin, host) = (origin(app, row), in_use(row));
    let certificate = certificate(db, row).await?;
    Ok(Active {
        whose,
        name: names::shown(host),
        address: origin.replacen(host, &names::shown(host), 1),
        origin,
        twin: twin(row),
        changed: changed(row, certificate.until),
        certificate,
        chosen: if host == row.name { None } else { Some(chosen(db, row, now).await?) },
        host: row.report.as_ref().and_then(dns_host),
        checked: checked(row, now),
        paused: row.paused,
        beside: Beside::default(),
        hold: None,
        saved: false,
        other: false,
    })
}

/// What one name of the claim needs. Which of the two was the main one when they were looked at does not matter: an address of the newer
/// kind is all that it goes without.
fn entries(row: &DomainRow, host: &str) -> Vec<Record> {
    let of_host = || row.report.iter().flat_map(|report| &report.records).filter(|record| record.host == host);
    let has_v4 = of_host().any(|record| record.kind == RecordKind::A);
    of_host().map(|of| Record { optional: has_v4 && of.kind == RecordKind::Aaaa, ..record(of) }).collect()
}

/// The same with what proves it.
fn with_proof(row: &DomainRow, host: &str) -> Vec<Record> {
    [entries(row, &row.challenge_host()), entries(row, host)].concat()
}

/// What is not as it should be at the name in use. What there is to say besides is said although that name is healthy today: most of it
/// ends with a certificate that is not renewed. The one there is is good `until` then.
fn changed(row: &DomainRow, until: Option<DateTime<Utc>>) -> Option<Changed> {
    let report = row.report.as_ref()?;
    let (missed, mut records) = (row.misses > 0, with_proof(row, in_use(row)));
    let wrong = |record: &Record| !record.optional && record.state == "wrong";
    if entries(row, in_use(row)).is_empty() || !(missed || records.iter().any(wrong)) {
        records.clear();
    }
    let notices: Vec<Words> = report.notices.iter().map(words).collect();
    let ends = until.filter(|_| row.runs_out());
    (missed || !records.is_empty() || !notices.is_empty()).then_some(Changed { missed, ends, records, notices })
}

/// Notices that keep a name from being served, although each of its entries is right.
const IN_THE_WAY: [&str; 2] = ["domain.notice.aaaa-elsewhere", "domain.notice.taken"];

/// The name that was chosen, and what it waits for.
async fn chosen(db: &impl GenericClient, row: &DomainRow, now: DateTime<Utc>) -> Result<Chosen, db::Error> {
    let (mut records, trouble) = (with_proof(row, &row.name), trouble(db, row).await?);
    let right = records.iter().all(|record| record.optional || record.state == "ok");
    let mut notices = row.report.iter().flat_map(|report| &report.notices);
    let free = !notices.any(|notice| IN_THE_WAY.contains(&notice.key.as_str()));
    let issued = certificates::find(db, &row.name).await?.and_then(|certificate| certificate.validity);
    let why = match (entries(row, &row.name).is_empty(), right && free) {
        (true, _) => "looking",
        (_, false) => "entries",
        _ if !row.suspended && issued.is_some_and(|validity| validity.not_after > now) => "soon",
        _ => "certificate",
    };
    let proved = |record: &Record| record.kind == "TXT" && record.state == "ok";
    records.retain(|record| why == "entries" && !proved(record));
    Ok(Chosen { name: row.shown(), why, records, trouble: trouble.filter(|_| why == "certificate") })
}

fn twin(row: &DomainRow) -> Option<Twin> {
    let has = row.base.parse().ok().and_then(|base| domains::Name::of_host(base).ok()).and_then(|base| base.twin());
    let www = has?;
    let choice = match (&row.twin, row.name == row.base) {
        (None, _) => "none",
        (Some(_), true) => "apex",
        (Some(_), false) => "www",
    };
    // Until the chosen one is ready, the other one is in use and leads nowhere else.
    let other = row.twin.as_deref().filter(|_| in_use(row) == row.name);
    let ready = row.report.as_ref().is_some_and(|report| report.twin_ready);
    Some(Twin {
        id: row.id.clone(),
        choice,
        main: row.shown(),
        apex: names::shown(&row.base),
        www: names::shown(&www),
        other: other.map(names::shown),
        ready,
        records: other.filter(|_| !ready).map(|other| entries(row, other)).unwrap_or_default(),
    })
}

/// The certificate of the name in use.
async fn certificate(db: &impl GenericClient, row: &DomainRow) -> Result<Certificate, db::Error> {
    let found = certificates::find(db, in_use(row)).await?;
    let until = found.as_ref().and_then(|certificate| certificate.validity).map(|validity| validity.not_after);
    let trouble = found.as_ref().and_then(|found| told(found, row));
    let failing = found.as_ref().is_some_and(|found| found.state == State::Failing);
    let nobody = failing && !certificates::for_own_domains(db).await?;
    Ok(Certificate { until, trouble: if nobody { NOBODY } else { trouble } })
}

/// Nobody makes any.
const NOBODY: Option<Trouble> = Some(Trouble { kind: "nobody", next: None });

/// What keeps a certificate that is awaited.
pub(super) async fn trouble(db: &impl GenericClient, row: &DomainRow) -> Result<Option<Trouble>, db::Error> {
    if !row.suspended && !certificates::for_own_domains(db).await? {
        return Ok(NOBODY);
    }
    let found = certificates::find(db, &row.name).await?;
    let suspended = || row.suspended.then_some(Trouble { kind: "suspended", next: None });
    Ok(found.as_ref().and_then(|found| told(found, row)).or_else(suspended))
}

fn told(certificate: &certificates::Certificate, row: &DomainRow) -> Option<Trouble> {
    match certificate.state {
        State::Waiting if row.suspended => Some(Trouble { kind: "suspended", next: None }),
        State::Waiting if row.paused => Some(Trouble { kind: "paused", next: None }),
        // It waits for its proof, as the page says where it says what to set.
        State::Waiting if row.runs_out() => None,
        State::Issued | State::Pending | State::Going => None,
        State::Waiting => Some(Trouble { kind: "waiting", next: None }),
        // What only the operator or the CA can mend comes by itself, as far as its owner is concerned.
        State::Failing if certificate.trouble == Some(certificates::Trouble::Operator) => {
            Some(Trouble { kind: "waiting", next: certificate.due_at })
        }
        State::Failing => Some(Trouble { kind: "failing", next: certificate.due_at }),
        State::Paused => Some(Trouble { kind: "paused", next: None }),
    }
}
