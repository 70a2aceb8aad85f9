//! One claim: its row, and what follows from it.

use bundle::TenantId;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::Row;

use super::{Observed, Part, Report, Wanted, edge_of, name, schedule};
use crate::db;
use crate::mails::Message;

/// What stands before the challenge in the TXT record.
pub const PREFIX: &str = "percloud-verification=";

/// A claim's row, with what it needs to know of its percloud.
#[derive(Clone, Debug, Serialize)]
pub struct DomainRow {
    /// Its id.
    pub id: String,
    /// For which percloud.
    pub tenant_id: TenantId,
    /// The name, in ASCII.
    pub name: String,
    /// The same with or without `www.`, leading to the name; none when not wanted.
    pub twin: Option<String>,
    /// The name without `www.`.
    pub base: String,
    /// The label below `edge.BASE` that a CNAME leads to.
    pub target: String,
    /// What the TXT record must say after [`PREFIX`].
    pub challenge: String,
    /// When another challenge is made, unless this one was found in DNS.
    pub challenge_expires_at: DateTime<Utc>,
    /// What was asked for.
    pub wanted: Wanted,
    /// What was last seen.
    pub observed: Observed,
    /// Which of the percloud's domains it is.
    pub part: Part,
    /// Until when a former one leads to where the percloud answers; of one that is on its way back, until when it would have.
    pub leads_until: Option<DateTime<Utc>>,
    /// Left alone by an operator.
    pub paused: bool,
    /// When its last pause ended.
    pub resumed_at: Option<DateTime<Utc>>,
    /// What the last look found; none before the first.
    pub report: Option<Report>,
    /// When it was claimed.
    pub claimed_at: DateTime<Utc>,
    /// When its owner last did something about it.
    pub asked_at: DateTime<Utc>,
    /// When DNS is to be looked at next.
    pub check_at: DateTime<Utc>,
    /// When DNS was last looked at.
    pub checked_at: Option<DateTime<Utc>>,
    /// When it was proved.
    pub verified_at: Option<DateTime<Utc>>,
    /// When DNS was last right.
    pub good_at: Option<DateTime<Utc>>,
    /// Since when nobody has answered for it at any look, while others' name servers did.
    pub unheard_since: Option<DateTime<Utc>>,
    /// Daily looks in a row that found it wrong.
    pub misses: i32,
    /// When the last of them was.
    pub missed_at: Option<DateTime<Utc>>,
    /// Whether its last look at DNS took long.
    pub slow: bool,
    /// When the reconciler looks at it next.
    pub due_at: Option<DateTime<Utc>>,
    /// Failures in a row.
    pub tries: i32,
    /// What went wrong last, for the operator.
    pub last_error: Option<String>,
    /// Counts wishes.
    #[serde(skip)]
    pub wish: i64,
    /// The trace of the last wish.
    #[serde(skip)]
    pub trace_parent: Option<String>,
    /// The percloud's name at the provider.
    pub domain: String,
    /// The own domain that the percloud answers at now.
    pub own_domain: Option<String>,
    /// The language of its owner's mails.
    #[serde(skip)]
    pub language: String,
    /// Whether the percloud itself is being deleted.
    #[serde(skip)]
    pub tenant_goes: bool,
    /// Whether the percloud itself is suspended.
    #[serde(skip)]
    pub suspended: bool,
    /// Its owner's address.
    #[serde(skip)]
    pub email: String,
}

impl DomainRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, db::Error> {
        let text = |column: &'static str| row.try_get::<_, String>(column);
        let report: Option<serde_json::Value> = row.try_get("report")?;
        Ok(Self {
            id: text("id")?,
            tenant_id: text("tenant_id")?.parse().map_err(|_| db::Error::Column("domains.tenant_id"))?,
            name: text("name")?,
            twin: row.try_get("twin")?,
            base: text("base")?,
            target: text("target")?,
            challenge: text("challenge")?,
            challenge_expires_at: row.try_get("challenge_expires_at")?,
            wanted: text("wanted")?.parse()?,
            observed: text("observed")?.parse()?,
            part: text("part")?.parse()?,
            leads_until: row.try_get("leads_until")?,
            paused: row.try_get("paused")?,
            resumed_at: row.try_get("resumed_at")?,
            // One that an older version wrote and we cannot read is no report: the next look writes another.
            report: report.and_then(|json| serde_json::from_value(json).ok()),
            claimed_at: row.try_get("claimed_at")?,
            asked_at: row.try_get("asked_at")?,
            check_at: row.try_get("check_at")?,
            checked_at: row.try_get("checked_at")?,
            verified_at: row.try_get("verified_at")?,
            good_at: row.try_get("good_at")?,
            unheard_since: row.try_get("unheard_since")?,
            misses: row.try_get("misses")?,
            missed_at: row.try_get("missed_at")?,
            slow: row.try_get("slow")?,
            due_at: row.try_get("due_at")?,
            tries: row.try_get("tries")?,
            last_error: row.try_get("last_error")?,
            wish: row.try_get("wish")?,
            trace_parent: row.try_get("trace_parent")?,
            domain: text("domain")?,
            own_domain: row.try_get("own_domain")?,
            language: text("language")?,
            tenant_goes: text("tenant_wanted")? == "deleted",
            suspended: text("tenant_wanted")? == "suspended",
            email: text("email")?,
        })
    }

    /// The name as people read it.
    #[must_use]
    pub fn shown(&self) -> String {
        crate::names::shown(&self.name)
    }

    /// The full name of the TXT record.
    #[must_use]
    pub fn challenge_host(&self) -> String {
        format!("_percloud-challenge.{}", self.base)
    }

    /// What the TXT record must say.
    #[must_use]
    pub fn challenge_value(&self) -> String {
        format!("{PREFIX}{}", self.challenge)
    }

    /// Where a CNAME must lead.
    #[must_use]
    pub fn target_host(&self, base_domain: &str) -> String {
        self.target_host_below(&edge_of(base_domain))
    }

    /// The same, below the name that [`edge_of`] gives.
    pub(crate) fn target_host_below(&self, edge: &str) -> String {
        format!("{}.{edge}", self.target)
    }

    /// The names that it stands for: the main one, and its twin.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.twin.as_deref())
    }

    /// The names at which DNS is looked at: those that it stands for, and the one in use, whatever was chosen since.
    pub(crate) fn looked_at(&self) -> impl Iterator<Item = &str> {
        self.hosts().chain(self.in_use().filter(|own| self.hosts().all(|host| host != *own)))
    }

    /// The one of its two names at which the percloud answers now. With `www.` in front that may be another claim's name.
    #[must_use]
    pub fn in_use(&self) -> Option<&str> {
        self.own_domain.as_deref().filter(|own| name::both(&self.base).iter().any(|one| one == own))
    }

    /// Whether the percloud answers at its name now.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.observed == Observed::Active && self.own_domain.as_deref() == Some(&self.name)
    }

    /// What its owner hears when it leads to the percloud no more.
    pub(crate) fn ended(&self) -> Message {
        let (domain, old) = (self.name.clone(), self.domain.clone());
        match self.part {
            Part::Main => Message::DomainLost { domain, old },
            Part::Next | Part::Former => {
                Message::DomainEnded { domain, address: self.own_domain.clone().unwrap_or(old) }
            }
        }
    }

    /// What its owner hears when an operator pauses it.
    pub(super) fn left(&self) -> Message {
        let state = if self.returns() { "leads" } else { self.does() };
        Message::DomainLeft { domain: self.name.clone(), state: state.into(), address: self.without().into() }
    }

    /// What its owner hears when an operator has taken it away, and with it those `former` ones that led to it.
    pub(super) fn taken(&self, former: Vec<String>) -> Message {
        Message::DomainTaken { domain: self.name.clone(), former, address: self.without().into() }
    }

    /// Where the percloud answers without it: at its old name, if this is the one in use.
    pub(crate) fn without(&self) -> &str {
        self.own_domain.as_ref().filter(|_| self.does() != "serves").unwrap_or(&self.domain)
    }

    /// What it does for its percloud, as pages and mails say it: it `serves`, it `leads` to the one that does, or it `waits`.
    pub(crate) fn does(&self) -> &'static str {
        match self.part {
            Part::Main if self.in_use().is_some() => "serves",
            Part::Former => "leads",
            Part::Main | Part::Next => "waits",
        }
    }

    /// Where it stands in the list, for [`super::Filter::after`].
    #[must_use]
    pub fn place(&self) -> String {
        format!("{} {}", self.name, self.id)
    }

    /// Whether it was chosen and does not serve yet, although it is proved and was ready before.
    pub(crate) fn moves(&self) -> bool {
        self.observed == Observed::Active && self.part != Part::Former && !self.serves()
    }

    /// Whether it led to the percloud before, and leads on although it is on its way back to be the one in use.
    #[must_use]
    pub fn returns(&self) -> bool {
        self.part != Part::Former && self.leads_until.is_some()
    }

    /// Whether it is not renewed any more, since it is not proved to be its owner's for days: it goes on until its certificate ends.
    #[must_use]
    pub fn runs_out(&self) -> bool {
        self.observed == Observed::Active && self.misses >= schedule::MISSES
    }

    /// Whether nothing but its certificate is missing until the percloud answers at it.
    #[must_use]
    pub fn awaited(&self) -> bool {
        let ready = || self.report.as_ref().is_some_and(|report| report.ready);
        self.observed == Observed::Verified || (self.moves() && ready())
    }

    /// When DNS is looked at next; never while it is paused, or goes.
    #[must_use]
    pub fn next_look(&self) -> Option<DateTime<Utc>> {
        let due = self.due_at.map_or(self.check_at, |due| due.max(self.check_at));
        (!self.paused && self.wanted == Wanted::Active).then_some(due)
    }
}
