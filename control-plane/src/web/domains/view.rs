//! From rows to what pages show; nothing here changes anything.

use chrono::{DateTime, Utc};
use portal::pages::manage::{
    Active, Certificate, Checked, DnsHost, Looked, Making, Record, Records, Trouble, Twin, Whose, Words,
};

use crate::{
    app::App,
    certificates::{self, State},
    db::{self, GenericClient},
    domains::{self, DomainRow, Observed, RecordState, Report},
    names,
};

fn words(words: &domains::Words) -> Words {
    let nobody = words.key == "domain.notice.caa" && words.args.get("issuers").is_none_or(String::is_empty);
    let key = if nobody { "domain.notice.caa-nobody".to_owned() } else { words.key.clone() };
    Words { key, args: words.args.clone() }
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

fn looked(report: &Report, checked: Option<Checked>) -> Looked {
    let host = report.dns_host.clone().map(|host| DnsHost::new(&host.id, host.name, host.url));
    let connect = report.connect.clone().filter(|url| url.starts_with("https://"));
    let notices = report.notices.iter().map(words).collect();
    Looked { notices, host, connect, checked, ..Looked::new(report.records.iter().map(record).collect()) }
}

fn checked(row: &DomainRow, now: DateTime<Utc>) -> Option<Checked> {
    row.checked_at.map(|at| Checked::new(at, now))
}

/// What is to be set.
pub(super) fn records(whose: Whose, row: &DomainRow, other: bool, now: DateTime<Utc>) -> Records {
    let looked = row.report.as_ref().map(|report| looked(report, checked(row, now))).unwrap_or_default();
    Records { whose, name: row.shown(), looked, lost: row.observed == Observed::Lost, other }
}

/// The certificate is awaited.
pub(super) fn making(whose: Whose, row: &DomainRow, trouble: Option<Trouble>) -> Making {
    let notices = row.report.iter().flat_map(|report| &report.notices).map(words).collect();
    Making { whose, name: row.shown(), trouble, notices }
}

/// Where the percloud answers: at the name that is in use, which is not yet the chosen one while that waits for its certificate.
fn origin(app: &App, row: &DomainRow) -> String {
    let host = row.own_domain.as_deref().unwrap_or(&row.name);
    host.parse().map_or_else(|_| format!("https://{host}"), |domain| app.settings.origin_of(&domain))
}

/// It answers at its own name.
pub(super) fn active(app: &App, whose: Whose, row: &DomainRow, certificate: Certificate) -> Active {
    let now = app.clock.now();
    let (origin, host) = (origin(app, row), row.own_domain.as_deref().unwrap_or(&row.name));
    let wrong = row.report.as_ref().filter(|report| {
        row.misses > 0 || report.records.iter().any(|record| !record.optional && record.state == RecordState::Wrong)
    });
    Active {
        whose,
        name: names::shown(host),
        address: origin.replacen(host, &names::shown(host), 1),
        origin,
        twin: twin(row),
        certificate,
        looked: wrong.map(|report| looked(report, checked(row, now))),
        checked: checked(row, now),
        saved: false,
        other: false,
    }
}

fn twin(row: &DomainRow) -> Option<Twin> {
    let has = row.base.parse().ok().and_then(|base| domains::Name::of_host(base).ok()).and_then(|base| base.twin());
    let www = has?;
    let choice = match (&row.twin, row.name == row.base) {
        (None, _) => "none",
        (Some(_), true) => "apex",
        (Some(_), false) => "www",
    };
    Some(Twin {
        choice,
        apex: names::shown(&row.base),
        www: names::shown(&www),
        other: row.twin.as_deref().map(names::shown),
        ready: row.report.as_ref().is_some_and(|report| report.twin_ready),
    })
}

/// The certificate of the name in use.
pub(super) async fn certificate(db: &impl GenericClient, row: &DomainRow) -> Result<Certificate, db::Error> {
    let host = row.own_domain.as_deref().unwrap_or(&row.name);
    let found = certificates::find(db, host).await?;
    let until = found.as_ref().and_then(|certificate| certificate.validity).map(|validity| validity.not_after);
    Ok(Certificate { until, trouble: found.as_ref().and_then(|found| told(found, row)) })
}

/// What keeps a certificate that is awaited.
pub(super) async fn trouble(db: &impl GenericClient, row: &DomainRow) -> Result<Option<Trouble>, db::Error> {
    let found = certificates::find(db, &row.name).await?;
    let suspended = || row.suspended.then_some(Trouble { kind: "suspended", next: None });
    Ok(found.as_ref().and_then(|found| told(found, row)).or_else(suspended))
}

fn told(certificate: &certificates::Certificate, row: &DomainRow) -> Option<Trouble> {
    match certificate.state {
        State::Waiting if row.suspended => Some(Trouble { kind: "suspended", next: None }),
        State::Issued | State::Pending | State::Going => None,
        State::Waiting => Some(Trouble { kind: "waiting", next: None }),
        State::Failing => Some(Trouble { kind: "failing", next: certificate.due_at }),
        State::Paused => Some(Trouble { kind: "paused", next: None }),
    }
}
