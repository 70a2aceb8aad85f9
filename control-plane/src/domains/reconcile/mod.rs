//! Makes what is wanted of a claim true: DNS looked at, the name proved, its certificate wanted, the percloud moved to it; or gone.

mod plan;
mod steps;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bundle::Clock;
use chrono::{DateTime, Utc};
use tls::dns::caa_allows;
use tokio_postgres::Row;
use tokio_util::sync::CancellationToken;

use super::connect::Connect;
use super::name::both;
use super::options::Addresses;
use super::schedule::{HEARD_LATELY, Misses, next_check, next_due, tells};
use super::{DomainRow, Observed, Options, RecordState, Verdict, Wanted, Wished, Words, counts, edge_of, judge, sql};
use crate::certificates;
use crate::config::Common;
use crate::db::{self, GenericClient, Pool, ensure_affected};
use crate::dns::{self, Caa, CaaAsker, Dns, Facts, Question, Trouble};
use crate::mails;
use crate::reconcile::{After, Claimed, Id, Noun, StepError};

pub use plan::{Certificates, Seen, Step, plan};

/// How long a look at DNS may take: less than a turn.
const LOOK: Duration = Duration::from_secs(9);
/// A look that takes longer is a slow one: it is cut off, and begun anew among those that have only a share of the looks.
const QUICK: Duration = Duration::from_secs(3);
/// How long what is said by the way may take: a resolver that is silent, and the answer of the next one. Some drop questions of a type that
/// they do not know, and what decides must not wait for that.
const CAA: Duration = Duration::from_secs(4);

/// The noun.
pub struct Domains {
    /// Where rows are.
    pub db: Pool,
    /// What time it is.
    pub clock: Clock,
    /// How DNS is asked.
    pub dns: Dns,
    /// Links that set all records.
    pub connect: Connect,
    /// The provider's own name.
    pub base_domain: String,
    /// The edge's public addresses; those of the base domain when there are none.
    pub addresses: Vec<IpAddr>,
    /// Where it answers still, and which go away.
    pub former: Vec<IpAddr>,
}

impl Noun for Domains {
    const NAME: &'static str = "domains";
    const CLAIM: &'static str = sql::CLAIM;
    const FAIL: &'static str = sql::FAIL;
    const NEXT: &'static str = sql::NEXT;
    const SET_RIGHT: &'static str = sql::SET_RIGHT;
    /// Some more than looks at once, so that what needs none finds a place.
    const AT_ONCE: usize = 24;
    type Row = DomainRow;
    type Seen = Seen;
    type Step = Step;

    fn read(row: &Row) -> Result<Claimed<DomainRow>, db::Error> {
        let domain = DomainRow::from_row(row)?;
        Ok(Claimed {
            id: Id::Text(domain.id.clone()),
            claim: row.try_get("claim")?,
            wish: domain.wish,
            tries: domain.tries,
            trace_parent: domain.trace_parent.clone(),
            row: domain,
        })
    }

    async fn look(&self, row: &DomainRow) -> Result<Seen, StepError> {
        let now = self.clock.now();
        let alone = row.wanted == Wanted::Gone || row.tenant_goes || row.paused;
        let certificates = self.certificates(row).await?;
        // The certificate for which all was ready has come: it is worth one more look, without which nobody moves.
        let come = row.moves() && row.awaited() && certificates.lasting.contains(&row.name);
        // Woken by its certificate, it does first what it can do without.
        let woken = row.due_at == Some(DateTime::UNIX_EPOCH);
        let (verdict, slow) = match !alone && (come || (row.check_at <= now && !woken)) {
            true => self.ask_in_time(row).await?,
            false => (None, None),
        };
        let unknown = verdict.as_ref().is_some_and(|verdict| verdict.health == super::Health::Unknown);
        let heard = unknown && self.heard(row, now).await?;
        Ok(Seen { now, verdict, slow, heard, certificates, observed: row.observed })
    }

    fn plan(row: &DomainRow, seen: &Seen) -> Option<Step> {
        plan(row, seen)
    }

    async fn perform(&self, claimed: &Claimed<DomainRow>, seen: Seen, step: Step) -> Result<After<Seen>, StepError> {
        self.step(claimed, seen, step).await
    }

    async fn write(&self, claimed: &Claimed<DomainRow>, after: After<Seen>) -> Result<(), db::Error> {
        let After::Seen(seen) = after else { return Ok(()) };
        let (row, now) = (&claimed.row, self.clock.now());
        let proved = seen.observed == Observed::Verified && matches!(row.observed, Observed::Pending | Observed::Lost);
        let misses =
            if proved { Misses { count: 0, last: None, good_at: Some(now), unheard: None } } else { seen.misses(row) };
        let health = seen.verdict.as_ref().map(|verdict| verdict.health);
        let cut_off = seen.verdict.is_none() && seen.slow.is_some();
        let check_at = match &seen.verdict {
            Some(_) => next_check(row, seen.observed, health, &misses, now, rand::random()),
            None if cut_off => row.check_at.min(now),
            None => row.check_at,
        };
        // Something was done: there may be more to do at once.
        let due = if seen.observed == row.observed && plan(row, &seen).is_none() && !cut_off {
            next_due(row, seen.observed, check_at, seen.certificates.lasts_until, now)
        } else {
            Some(now)
        };
        let report = seen.verdict.as_ref().map(|verdict| serde_json::to_value(&verdict.report).unwrap_or_default());
        let checked_at = seen.verdict.as_ref().map(|_| seen.now);
        let challenged_at = seen.verdict.as_ref().filter(|verdict| verdict.challenged).map(|_| seen.now);
        let mut db = self.db.get().await?;
        let tx = db.transaction().await?;
        let statement = tx.prepare_cached(sql::LOOKED).await?;
        let (id, claim, wish) = (&row.id, &claimed.claim, &claimed.wish);
        let (good, count, last) = (&misses.good_at, &misses.count, &misses.last);
        let affected = tx
            .execute(
                &statement,
                &[
                    id,
                    claim,
                    wish,
                    &now,
                    &due,
                    &check_at,
                    &report,
                    &checked_at,
                    good,
                    count,
                    last,
                    &challenged_at,
                    &seen.slow,
                    &misses.unheard,
                ],
            )
            .await?;
        ensure_affected(affected, 1)?;
        // With the count, so that each is told once.
        if let Some(message) = tells(row, seen.observed, &misses, seen.certificates.lasts_until, seen.now) {
            mails::queue(&tx, Some(&row.tenant_id), &row.email, &row.language, &message, now).await?;
        }
        Ok(tx.commit().await?)
    }
}

impl Domains {
    /// As the options say.
    #[must_use]
    pub fn new(db: Pool, clock: Clock, common: &Common, options: &Options) -> Self {
        let dns = Dns::new(&options.dns);
        let base_domain = common.base_domain.to_string();
        let provider = options.domain_connect_provider.clone().unwrap_or_else(|| base_domain.clone());
        let connect = Connect::new(dns.clone(), provider, &common.portal_origin(), None);
        let (addresses, former) = (options.public_addresses.clone(), options.former_addresses.clone());
        Self { db, clock, dns, connect, base_domain, addresses, former }
    }

    /// Keeps all claims true, and their numbers known.
    ///
    /// # Errors
    /// When the database's URL cannot be read.
    pub async fn keep(self, url: &str, stop: CancellationToken) -> anyhow::Result<()> {
        let (db, clock) = (self.db.clone(), self.clock.clone());
        let count = async {
            loop {
                if let Ok(client) = db.get().await {
                    let _ = tally(&client).await;
                }
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        };
        let keep = crate::reconcile::keep(Arc::new(self), url, db.clone(), clock, stop);
        tokio::select! { kept = keep => kept, () = count => Ok(()) }
    }

    /// Looks at DNS, and says whether that took long. Whoever is not known to be slow has little time: where that is not enough, there is no
    /// verdict.
    async fn ask_in_time(&self, row: &DomainRow) -> Result<(Option<Verdict>, Option<bool>), StepError> {
        let began = Instant::now();
        let verdict = match row.slow || row.tries > 0 {
            true => Some(self.ask(row).await?),
            false => tokio::time::timeout(QUICK, self.ask(row)).await.ok().transpose()?,
        };
        let slow = verdict.is_none() || began.elapsed() >= QUICK;
        Ok((verdict, Some(slow)))
    }

    /// Looks at DNS and judges. A look that takes too long is one that found nobody who answers.
    async fn ask(&self, row: &DomainRow) -> Result<Verdict, StepError> {
        let rival = self.rival(row).await?;
        let edge = edge_of(&self.base_domain);
        let hosts: Vec<&str> = row.looked_at().collect();
        let challenge_host = row.challenge_host();
        let question = Question { base: &row.base, challenge_host: &challenge_host, hosts: &hosts, ours: &edge };
        let look = async { tokio::join!(self.dns.look(&question), self.addresses()) };
        let nobody = Facts { zone: Err(Trouble::Broken), txt: dns::Answers::default(), hosts: Vec::new() };
        let (looked, caa) = tokio::join!(tokio::time::timeout(LOOK, look), tokio::time::timeout(CAA, self.caa(row)));
        let (facts, addresses) = looked.unwrap_or_else(|_| (nobody, self.addresses.clone()));
        let Addresses { current, former } = Addresses::new(addresses, &self.former);
        let wished = Wished { row, edge: &edge, addresses: &current, former: &former, rival: rival.as_deref() };
        let mut verdict = judge(&wished, &facts);
        verdict.report.notices.extend(caa.ok().flatten());
        verdict.report.connect = self.link(row, &facts, &verdict).await;
        let outcome = match (verdict.ready, verdict.health) {
            (true, _) => "ready",
            (_, super::Health::Unknown) => "unknown",
            (_, super::Health::Good) => "good",
            (_, super::Health::Unproved) => "unproved",
            (_, super::Health::Wrong) => "wrong",
        };
        metrics::counter!("percloud_domain_checks_total", "outcome" => outcome).increment(1);
        Ok(verdict)
    }

    async fn rival(&self, row: &DomainRow) -> Result<Option<String>, StepError> {
        let db = self.db.get().await.map_err(db::Error::from)?;
        let found = db.query_opt(sql::RIVAL, &[&row.base, &row.id]).await.map_err(db::Error::from)?;
        let challenge: Option<String> =
            found.map(|row| row.try_get("challenge")).transpose().map_err(db::Error::from)?;
        Ok(challenge.map(|challenge| format!("{}{challenge}", super::PREFIX)))
    }

    /// Whether another domain was found as it should be lately.
    async fn heard(&self, row: &DomainRow, now: DateTime<Utc>) -> Result<bool, StepError> {
        let db = self.db.get().await.map_err(db::Error::from)?;
        let since = now - HEARD_LATELY;
        let found = db.query_one(sql::HEARD, &[&row.base, &since]).await.map_err(db::Error::from)?;
        Ok(found.try_get(0).map_err(db::Error::from)?)
    }

    /// Where own domains must lead; none when DNS does not say, of both families, or names no public address.
    async fn addresses(&self) -> Vec<IpAddr> {
        if !self.addresses.is_empty() {
            return self.addresses.clone();
        }
        let mut found = self.dns.addresses(&self.base_domain).await.unwrap_or_default();
        found.retain(|ip| self.dns.may_reach(*ip));
        found
    }

    /// What to say when the domain does not let our CAs issue, as far as it is known how they are met there: at which name that is said,
    /// often one above, and who may be let in beside those who are, so that nobody takes the protection away.
    async fn caa(&self, row: &DomainRow) -> Option<Words> {
        let met = certificates::met(&self.db.get().await.ok()?).await.ok()??;
        let [names, accounts, methods] =
            [&met.names, &met.accounts, &met.methods].map(|all| all.iter().map(String::as_str).collect::<Vec<_>>());
        let asker = CaaAsker { issuers: &names, accounts: &accounts, methods: &methods };
        match caa_allows(self.dns.resolvers(), &row.name, false, &asker).await {
            Ok(Caa::Refused { at, issuers }) => {
                let is_ours = |one: &String| names.iter().any(|our| our.eq_ignore_ascii_case(one));
                let key = if issuers.iter().any(is_ours) { "domain.notice.caa-otherwise" } else { "domain.notice.caa" };
                let (at, ours) = (crate::names::shown(&at), names.first().copied().unwrap_or_default());
                Some(Words::new(key, &[("at", &at), ("issuers", &issuers.join(", ")), ("ours", ours)]))
            }
            _ => None,
        }
    }

    /// A link while there is something to set; asked for once an hour at most.
    async fn link(&self, row: &DomainRow, facts: &Facts, verdict: &Verdict) -> Option<String> {
        let zone = facts.zone.as_ref().ok()?;
        let open = verdict.report.records.iter().any(|record| record.state != RecordState::Ok && !record.optional);
        if !open {
            return None;
        }
        let fresh = row.checked_at.is_some_and(|at| self.clock.now() - at < chrono::TimeDelta::hours(1));
        match &row.report {
            Some(before) if fresh && before.dns_host == verdict.report.dns_host => before.connect.clone(),
            _ => self.connect.link(row, &zone.origin, &verdict.report).await,
        }
    }

    async fn certificates(&self, row: &DomainRow) -> Result<Certificates, StepError> {
        let db = self.db.get().await.map_err(db::Error::from)?;
        let (hosts, now) = (both(&row.base), self.clock.now());
        let asked = db.query(sql::CERTIFICATES, &[&hosts[0], &hosts.get(1), &now, &row.tenant_id.as_str()]).await;
        let rows = asked.map_err(db::Error::from)?;
        let mut certificates = Certificates::default();
        for one in rows {
            let read = || -> Result<(String, bool, bool, Option<At>), tokio_postgres::Error> {
                Ok((one.try_get(0)?, one.try_get(1)?, one.try_get(2)?, one.try_get(3)?))
            };
            let (host, lasting, late, lasts_until) = read().map_err(db::Error::from)?;
            certificates.lasting.extend(lasting.then(|| host.clone()));
            certificates.late.extend(late.then(|| host.clone()));
            if row.own_domain.as_ref() == Some(&host) {
                certificates.lasts_until = lasts_until;
            }
            certificates.wanted.push(host);
        }
        Ok(certificates)
    }
}

/// How many there are by state, for dashboards.
async fn tally(db: &impl GenericClient) -> Result<(), db::Error> {
    let counts = counts(db).await?;
    metrics::gauge!("percloud_domains_paused").set(counts.paused as f64);
    metrics::gauge!("percloud_domains_changing").set(counts.next as f64);
    metrics::gauge!("percloud_domains_former").set(counts.former as f64);
    // A state that nobody is in any more is said, too.
    for state in Observed::ALL {
        let count = counts.by_state.iter().find(|(observed, _)| observed == state).map_or(0, |(_, count)| *count);
        metrics::gauge!("percloud_domains", "state" => state.as_str()).set(count as f64);
    }
    Ok(())
}

/// When something was wanted at once, in the database's terms.
type At = DateTime<Utc>;
