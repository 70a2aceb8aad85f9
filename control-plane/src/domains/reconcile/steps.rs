//! The steps, each in one transaction that ends as a whole or not at all, and does nothing when it is done again.
//!
//! Certificates are written before claims, as the certificates' own trigger does it, so that two transactions never wait for each other.

use bundle::TenantId;
use chrono::TimeDelta;
use serde_json::json;

use super::super::name::both;
use super::super::wishes::{CHALLENGE_LASTS, random};
use super::super::{DomainRow, FORMER, Observed, PREFIX, Part, sql};
use super::{At, Domains, Seen, Step};
use crate::audit::{self, Actor};
use crate::certificates;
use crate::db::{self, Transaction, ensure_affected};
use crate::mails::{self, Message};
use crate::reconcile::{After, Claimed, StepError};

/// For so long a domain that gave way leads to the one that took its place.
const LEADS: TimeDelta = TimeDelta::days(90);

impl Domains {
    pub(super) async fn step(
        &self,
        claimed: &Claimed<DomainRow>,
        seen: Seen,
        step: Step,
    ) -> Result<After<Seen>, StepError> {
        let now = self.clock.now();
        let mut db = self.db.get().await.map_err(db::Error::from)?;
        let tx = db.transaction().await.map_err(db::Error::from)?;
        let turn = Turn { tx: &tx, row: &claimed.row, claim: claimed.claim, now };
        let observed = match step {
            Step::Remove => turn.remove().await.map(|()| None)?,
            Step::Renew => turn.renew().await.map(|()| None)?,
            Step::Verify => turn.verify(&seen).await.map(|()| Some(Observed::Verified))?,
            Step::Serve => turn.serve().await.map(|()| Some(Observed::Active))?,
            Step::Rest => turn.rest().await.map(|()| Some(Observed::Verified))?,
            Step::Wait => turn.wait().await.map(|()| Some(Observed::Verified))?,
            Step::Lose => turn.lose().await.map(Some)?,
            Step::End => turn.end().await.map(|()| None)?,
            Step::Want(hosts) => turn.want_all(&hosts).await.map(|()| Some(seen.observed))?,
            Step::Unwant(host) => turn.unwant(&[host]).await.map(|()| Some(seen.observed))?,
        };
        tx.commit().await.map_err(db::Error::from)?;
        Ok(match observed {
            None => After::Written,
            Some(observed) => {
                After::Seen(Seen { observed, certificates: self.certificates(&claimed.row).await?, ..seen })
            }
        })
    }
}

/// A claim in a transaction.
struct Turn<'a> {
    tx: &'a Transaction<'a>,
    row: &'a DomainRow,
    claim: i64,
    now: At,
}

impl Turn<'_> {
    async fn want(&self, host: &str) -> Result<(), db::Error> {
        certificates::want(self.tx, Some(&self.row.tenant_id), &[host.to_owned()], self.now).await
    }

    async fn want_all(&self, hosts: &[String]) -> Result<(), db::Error> {
        for host in hosts {
            self.want(host).await?;
        }
        Ok(())
    }

    async fn unwant(&self, hosts: &[String]) -> Result<(), db::Error> {
        self.unwant_of(&self.row.tenant_id, hosts).await
    }

    async fn unwant_of(&self, tenant: &TenantId, hosts: &[String]) -> Result<(), db::Error> {
        for host in hosts {
            certificates::unwant(self.tx, Some(tenant), std::slice::from_ref(host), self.now).await?;
        }
        Ok(())
    }

    /// All names that a claim can have had.
    fn names(&self) -> Vec<String> {
        both(&self.row.base)
    }

    async fn observed(&self, observed: Observed, verified_at: Option<At>) -> Result<(), db::Error> {
        let affected =
            self.tx.execute(sql::OBSERVED, &[&self.row.id, &self.claim, &observed.as_str(), &verified_at]).await?;
        ensure_affected(affected, 1)
    }

    async fn note(&self, action: &str) -> Result<(), db::Error> {
        let (tenant, details) = (&self.row.tenant_id, json!({ "name": self.row.name }));
        audit::note(self.tx, self.now, &Actor::Reconcile, action, tenant, &details).await
    }

    async fn disown(&self, tenant: &TenantId) -> Result<(), db::Error> {
        self.tx.execute(sql::DISOWN, &[&tenant.as_str(), &self.names().as_slice(), &self.now]).await?;
        Ok(())
    }

    async fn mail(&self, message: Message) -> Result<(), db::Error> {
        let row = self.row;
        mails::queue(self.tx, Some(&row.tenant_id), &row.email, &row.language, &message, self.now).await
    }

    async fn remove(&self) -> Result<(), db::Error> {
        if matches!(self.row.observed, Observed::Verified | Observed::Active) {
            self.unwant(&self.names()).await?;
        }
        self.disown(&self.row.tenant_id).await?;
        ensure_affected(self.tx.execute(sql::DELETE, &[&self.row.id, &self.claim]).await?, 1)
    }

    async fn renew(&self) -> Result<(), db::Error> {
        let (id, claim, expires) = (&self.row.id, &self.claim, self.now + CHALLENGE_LASTS);
        ensure_affected(self.tx.execute(sql::RENEW, &[id, claim, &random(), &expires, &self.now]).await?, 1)
    }

    async fn verify(&self, seen: &Seen) -> Result<(), StepError> {
        let twin_ready = seen.verdict.as_ref().is_some_and(|verdict| verdict.report.twin_ready);
        // The certificates of whoever had the name are ours from now on, or go.
        let rivals =
            self.tx.query(sql::RIVAL_LOCKED, &[&self.row.base, &self.row.id]).await.map_err(db::Error::from)?;
        self.mine().await?;
        for rival in &rivals {
            self.unwant_of(&whose(rival)?, &self.names()).await?;
        }
        self.want(&self.row.name).await?;
        if let Some(twin) = self.row.twin.as_ref().filter(|_| twin_ready) {
            self.want(twin).await?;
        }
        for rival in rivals {
            self.displace(&rival, seen).await?;
        }
        self.observed(Observed::Verified, Some(self.now)).await?;
        Ok(self.note("domain.verified").await?)
    }

    async fn mine(&self) -> Result<(), db::Error> {
        let mine = self.tx.query_opt(sql::MINE, &[&self.row.id, &self.claim]).await?;
        ensure_affected(u64::from(mine.is_some()), 1)
    }

    /// Somebody else has proved what this one has: DNS decided, and only the look that it was seen in counts.
    async fn displace(&self, rival: &tokio_postgres::Row, seen: &Seen) -> Result<(), StepError> {
        let text = |column: &str| rival.try_get::<_, String>(column).map_err(db::Error::from);
        let challenge = format!("{PREFIX}{}", text("challenge")?);
        let stands = seen.verdict.as_ref().is_none_or(|verdict| verdict.rival.as_ref() != Some(&challenge));
        if stands {
            // It was proved between our look and now: look again, with its challenge in mind.
            return Err(StepError::later(anyhow::anyhow!("another percloud has proved the name a moment ago")));
        }
        let (id, tenant, name) = (text("id")?, whose(rival)?, text("name")?);
        self.tx.execute(sql::DISPLACE, &[&id, &self.now]).await.map_err(db::Error::from)?;
        self.disown(&tenant).await?;
        let details = json!({ "name": name });
        audit::note(self.tx, self.now, &Actor::Reconcile, "domain.displaced", &tenant, &details).await?;
        let owner = self.tx.query_one(sql::OWNER, &[&tenant.as_str()]).await.map_err(db::Error::from)?;
        let of = |column: &str| owner.try_get::<_, String>(column).map_err(db::Error::from);
        let led: Option<At> = rival.try_get("leads_until").map_err(db::Error::from)?;
        let message = match text("part")?.parse()? {
            // People used it, whichever part it was to play next.
            _ if led.is_some() => Some(Message::DomainEnded { domain: name, address: of("address")? }),
            // It never served, and waits for its proof again.
            Part::Next => None,
            Part::Main | Part::Former => Some(Message::DomainLost { domain: name, old: of("domain")? }),
        };
        let Some(message) = message else { return Ok(()) };
        mails::queue(self.tx, Some(&tenant), &of("email")?, &of("language")?, &message, self.now).await?;
        Ok(())
    }

    async fn serve(&self) -> Result<(), db::Error> {
        let (row, tenant) = (self.row, self.row.tenant_id.as_str());
        let before = if row.part == Part::Next { self.take_over().await? } else { None };
        ensure_affected(self.tx.execute(sql::TAKE, &[&row.id, &self.claim]).await?, 1)?;
        self.tx.execute(sql::OWN, &[&tenant, &row.name, &self.now]).await?;
        // The other one of its two names serves instead: that is no news.
        if row.part == Part::Main && row.in_use().is_some() {
            return Ok(());
        }
        self.note("domain.active").await?;
        let (domain, old) = (row.name.clone(), row.domain.clone());
        let until = (self.now + LEADS).format("%Y-%m-%d").to_string();
        self.mail(match before {
            Some(before) => Message::DomainChanged { domain, before, until },
            None => Message::DomainReady { domain, old },
        })
        .await
    }

    /// The one that serves until now leads to this one for a while; its certificates stay wanted. The name of it, unless it was not proved
    /// at this moment.
    async fn take_over(&self) -> Result<Option<String>, db::Error> {
        let (id, tenant, until) = (&self.row.id, self.row.tenant_id.as_str(), self.now + LEADS);
        let gave_way = self.tx.query_opt(sql::GIVE_WAY, &[&tenant, id, &until, &self.now]).await?;
        if gave_way.is_none() {
            self.tx.execute(sql::GIVE_UP, &[&tenant, id, &self.now]).await?;
        }
        self.tx.execute(sql::TOO_MANY, &[&tenant, &FORMER, &self.now]).await?;
        Ok(gave_way.map(|row| row.try_get("name")).transpose()?)
    }

    async fn rest(&self) -> Result<(), db::Error> {
        self.unwant(&self.names()).await?;
        self.observed(Observed::Verified, None).await?;
        self.disown(&self.row.tenant_id).await?;
        self.note("domain.rests").await
    }

    /// Its certificates stay wanted: with the next one it serves again.
    async fn wait(&self) -> Result<(), db::Error> {
        let row = self.row;
        self.observed(Observed::Verified, None).await?;
        self.disown(&row.tenant_id).await?;
        self.note("domain.waits").await?;
        let (domain, old) = (row.own_domain.clone().unwrap_or_else(|| row.name.clone()), row.domain.clone());
        let paused = row.paused;
        self.mail(if paused { Message::DomainPaused { domain, old } } else { Message::DomainWaits { domain, old } })
            .await
    }

    /// One that never served waits for its proof again; nobody misses it. One that led here before does so, too, but people used it.
    async fn lose(&self) -> Result<Observed, db::Error> {
        let row = self.row;
        self.unwant(&self.names()).await?;
        self.note("domain.lost").await?;
        let observed = if row.part == Part::Next { Observed::Pending } else { Observed::Lost };
        ensure_affected(self.tx.execute(sql::LOST, &[&row.id, &self.claim, &observed.as_str()]).await?, 1)?;
        self.disown(&row.tenant_id).await?;
        if row.returns() {
            let address = row.own_domain.as_ref().unwrap_or(&row.domain).clone();
            self.mail(Message::DomainEnded { domain: row.name.clone(), address }).await?;
        } else if row.part != Part::Next {
            self.mail(row.ended()).await?;
        }
        Ok(observed)
    }

    async fn end(&self) -> Result<(), db::Error> {
        self.note("domain.ended").await?;
        self.mail(self.row.ended()).await?;
        self.remove().await
    }
}

/// The percloud of a claim that was read.
fn whose(claim: &tokio_postgres::Row) -> Result<TenantId, db::Error> {
    let tenant: String = claim.try_get("tenant_id")?;
    tenant.parse().map_err(|_| db::Error::Column("domains.tenant_id"))
}
