//! Makes what is wanted of a certificate true: issued and good for a while, or gone.

mod order;
mod plan;
mod tell;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use bundle::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tls::{Certified, Seal};
use tokio_postgres::Row;
use tokio_util::sync::CancellationToken;

use super::{
    Certificate, Trouble,
    issuer::{self, Issuers, LOCAL},
    known, provider_names, renewal, retry, sealed_for, sql, upkeep,
};
use crate::{
    db::{self, GenericClient, Pool, ensure_affected},
    mails::Mend,
    reconcile::{After, Claimed, Id, Noun, StepError},
};

pub use plan::{Seen, Standing, Step, plan};

/// However far away the renewal is, look once in this time: keys may have been lost, a root replaced.
const LOOK_EVERY: TimeDelta = TimeDelta::hours(6);
/// How often a CA is asked when to renew, unless it says so itself.
const ASK_EVERY: TimeDelta = TimeDelta::hours(12);
/// How long a turn may take: with each of two CAs, five minutes until the DNS shows our answers, two for the validations, two for signing,
/// and what is around them.
pub(super) const TURN_LIMIT: Duration = Duration::from_secs(1200);
/// How often metrics are gathered, and what nobody needs is swept.
const UPKEEP_EVERY: Duration = Duration::from_secs(60);

/// The noun.
pub struct Certificates {
    /// Where rows are.
    pub db: Pool,
    /// What time it is.
    pub clock: Clock,
    /// Who issues, in order.
    pub issuers: Issuers,
    /// What keys are sealed with.
    pub seal: Arc<Seal>,
    /// Names at it and below it are the provider's own.
    pub base_domain: String,
}

/// A certificate's row, with its sealed key and what its CA suggests.
pub struct Held {
    certificate: Certificate,
    chain_pem: Option<String>,
    key_sealed: Option<Vec<u8>>,
    mend: Option<Mend>,
    told: Option<Trouble>,
    ari: Option<(DateTime<Utc>, DateTime<Utc>)>,
    ari_due_at: Option<DateTime<Utc>>,
}

impl Noun for Certificates {
    const NAME: &'static str = "certificates";
    const CLAIM: &'static str = sql::CLAIM;
    const FAIL: &'static str = sql::FAIL;
    const NEXT: &'static str = sql::NEXT;
    const SET_RIGHT: &'static str = sql::SET_RIGHT;
    const TURN_LIMIT: Duration = TURN_LIMIT;
    const HOLD: Option<&'static str> = Some(sql::HOLD);
    const AT_ONCE: usize = 12;
    type Row = Held;
    type Seen = Seen;
    type Step = Step;

    fn read(row: &Row) -> Result<Claimed<Held>, db::Error> {
        let certificate = Certificate::from_row(row)?;
        let (start, end): (Option<_>, Option<_>) = (row.try_get("ari_start")?, row.try_get("ari_end")?);
        Ok(Claimed {
            id: Id::Text(certificate.id.clone()),
            claim: row.try_get("claim")?,
            wish: row.try_get("wish")?,
            tries: certificate.tries,
            trace_parent: row.try_get("trace_parent")?,
            row: Held {
                chain_pem: row.try_get("chain_pem")?,
                key_sealed: row.try_get("key_sealed")?,
                // One that cannot be read is none: what else is said to its owner is right all the same.
                mend: row.try_get::<_, Option<_>>("mend")?.and_then(|mend| serde_json::from_value(mend).ok()),
                told: told(row)?,
                ari: start.zip(end),
                ari_due_at: row.try_get("ari_due_at")?,
                certificate,
            },
        })
    }

    async fn look(&self, held: &Held) -> Result<Seen, StepError> {
        let (one, now) = (&held.certificate, self.clock.now());
        let there = one.validity.filter(|_| match self.usable(held) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "a certificate cannot be used and is wanted anew");
                false
            }
        });
        let stopgap = self.issuers.stopgap(&one.names).is_some();
        Ok(Seen {
            there,
            renew_at: one.renewal().unwrap_or(now),
            ask_at: held.ari_due_at,
            stopgap: stopgap && one.issuer.as_deref() == Some(LOCAL),
            bridge: stopgap,
            standing: self.standing(one).await?,
            failing_since: one.failing_since,
            trouble: one.trouble,
            told: held.told,
            now,
        })
    }

    fn plan(held: &Held, seen: &Seen) -> Option<Step> {
        plan(held.certificate.wanted, seen)
    }

    async fn perform(&self, claimed: &Claimed<Held>, seen: Seen, step: Step) -> Result<After<Seen>, StepError> {
        match step {
            Step::Bridge => self.bridge(claimed, seen).await,
            Step::Issue => self.issue(claimed, seen).await,
            Step::Ask => self.ask(claimed, seen).await,
            Step::Tell(trouble) => self.tell(claimed, &seen, trouble).await,
            Step::Wait => self.wait(claimed, seen).await,
            Step::Refuse => {
                Err(StepError::Stuck(anyhow::anyhow!("these are neither the provider's names nor a percloud's")))
            }
            Step::Remove => {
                let db = self.db.get().await.map_err(db::Error::from)?;
                let removed = db
                    .execute(sql::REMOVE, &[&claimed.row.certificate.id, &claimed.claim, &claimed.wish])
                    .await
                    .map_err(db::Error::from)?;
                ensure_affected(removed, 1)?;
                Ok(After::Written)
            }
        }
    }

    fn pause(claimed: &Claimed<Held>, error: &StepError, now: DateTime<Utc>, chance: f64) -> Duration {
        let usual = retry::pause(claimed.tries, chance);
        let pause = match error {
            StepError::Stuck(_) => usual,
            StepError::Later { after, source } => match source.downcast_ref::<issuer::Error>() {
                Some(issuer::Error::NotValidated { .. } | issuer::Error::Limited { .. }) => usual,
                // Ours or the CA's, not the name's.
                _ => retry::away(claimed.tries, chance),
            }
            .max(after.unwrap_or_default()),
        };
        // Whatever a CA wants: what serves must not end for it.
        let left = claimed.row.certificate.validity.map(|validity| validity.not_after - now);
        tls::schedule::in_time(pause, left)
    }

    async fn write(&self, claimed: &Claimed<Held>, after: After<Seen>) -> Result<(), db::Error> {
        let After::Seen(seen) = after else { return Ok(()) };
        let (one, now) = (&claimed.row.certificate, self.clock.now());
        let due = match plan(one.wanted, &seen) {
            Some(_) => now,
            None => {
                // Spread out, so that what was issued together is not looked at together for ever.
                let look = now + LOOK_EVERY * (80 + rand::random_range(0..40)) / 100;
                [Some(look), Some(seen.renew_at), seen.ask_at].into_iter().flatten().min().unwrap_or(look)
            }
        };
        let db = self.db.get().await?;
        let statement = db.prepare_cached(sql::OBSERVED).await?;
        let affected = db.execute(&statement, &[&one.id, &claimed.claim, &claimed.wish, &now, &due]).await?;
        ensure_affected(affected, 1)
    }
}

impl Certificates {
    /// Writes down who issues and wants the provider's own certificate, as often as it takes, then keeps all of them true.
    ///
    /// # Errors
    /// When the database's URL cannot be read.
    pub async fn keep(self, url: &str, stop: CancellationToken) -> anyhow::Result<()> {
        let names = provider_names(&self.base_domain);
        let mut failed = false;
        while let Err(error) = self.want(&names).await {
            if !failed {
                tracing::warn!(error = format!("{error:#}"), "the provider's certificate cannot be wanted yet");
                failed = true;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
        let (db, clock, issuers) = (self.db.clone(), self.clock.clone(), self.issuers.clone());
        let keep = crate::reconcile::keep(Arc::new(self), url, db.clone(), clock.clone(), stop);
        tokio::select! {
            ended = keep => ended,
            () = look_after(&db, &clock) => Ok(()),
            () = tidy(&issuers) => Ok(()),
            () = learn(&db, &issuers) => Ok(()),
        }
    }

    async fn want(&self, names: &[String]) -> Result<(), db::Error> {
        let (db, now) = (self.db.get().await?, self.clock.now());
        known::write(&db, &self.issuers, now).await?;
        super::want(&db, None, names, now).await
    }

    fn usable(&self, held: &Held) -> anyhow::Result<()> {
        let chain = held.chain_pem.as_deref().context("it has no chain")?;
        let sealed = held.key_sealed.as_deref().context("it has no key")?;
        let key = self.seal.open_sealed(&sealed_for(&held.certificate.id), sealed)?;
        Certified::new(chain, PrivatePkcs8KeyDer::from(key).into())?;
        // An issuer that is configured no more cannot be asked; what it issued is good until it ends.
        let issuer = held.certificate.issuer.as_deref().and_then(|name| self.issuers.named(name));
        anyhow::ensure!(
            issuer.is_none_or(|issuer| issuer.stands_by(chain, self.clock.now())),
            "its issuer does not stand by it any more"
        );
        Ok(())
    }

    async fn standing(&self, one: &Certificate) -> Result<Standing, db::Error> {
        let Some(tenant) = &one.tenant_id else {
            let ours = one.names.iter().all(|name| issuer::is_below(name, &self.base_domain));
            return Ok(if ours { Standing::Provider } else { Standing::Nobody });
        };
        let db = self.db.get().await?;
        let statement = db.prepare_cached(sql::STANDING).await?;
        let Some(row) = db.query_opt(&statement, &[tenant, &one.names]).await? else { return Ok(Standing::Gone) };
        Ok(match (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?) {
            ("deleted", ..) => Standing::Gone,
            (_, false, _) => Standing::Unproved,
            ("suspended", ..) => Standing::Suspended,
            (_, _, true) => Standing::Paused,
            _ => Standing::Tenant,
        })
    }

    /// Asks its CA when to renew it. A CA that does not say so is no trouble: the fraction of its life holds.
    async fn ask(&self, claimed: &Claimed<Held>, seen: Seen) -> Result<After<Seen>, StepError> {
        let (held, now) = (&claimed.row, self.clock.now());
        let (Some(validity), Some(chain)) = (seen.there, held.chain_pem.as_deref()) else {
            return Ok(After::Seen(Seen { ask_at: None, ..seen }));
        };
        let issuer = held.certificate.issuer.as_deref().and_then(|name| self.issuers.named(name));
        let asked = match issuer {
            Some(issuer) => issuer.suggests(chain).await,
            None => Ok(None),
        };
        let ask_at = now + ask_again(&asked, now);
        let window = asked.unwrap_or_else(|error| {
            tracing::debug!(error = error.to_string(), "a CA does not say when to renew");
            None
        });
        let suggested = window.as_ref().map(|window| (window.start, window.end));
        // What is not said anew stays as it was said last.
        let because = window.map_or_else(|| held.certificate.renewal_because.clone(), |window| window.explanation);
        // One moment for each window: choosing again and again would find the earliest in the end.
        let renew_at = match (suggested, held.ari) {
            (Some(new), Some(old)) if new == old => seen.renew_at,
            (Some((start, end)), _) => renewal::suggested(start, end, &validity, rand::random()),
            (None, _) => seen.renew_at,
        };
        let (start, end) = suggested.or(held.ari).unzip();
        let db = self.db.get().await.map_err(db::Error::from)?;
        let id = &held.certificate.id;
        let affected = db
            .execute(sql::SUGGESTED, &[id, &claimed.claim, &start, &end, &ask_at, &renew_at, &because, &claimed.wish])
            .await
            .map_err(db::Error::from)?;
        ensure_affected(affected, 1)?;
        Ok(After::Seen(Seen { renew_at, ask_at: Some(ask_at), ..seen }))
    }
}

/// How long a CA is not asked again when to renew: as long as it says, or was not to be asked now.
fn ask_again(asked: &Result<Option<issuer::Window>, issuer::Error>, now: DateTime<Utc>) -> TimeDelta {
    let again = match asked {
        Ok(Some(window)) => TimeDelta::from_std(window.after).unwrap_or(ASK_EVERY),
        Err(issuer::Error::NotNow { until, .. }) => *until - now,
        Ok(None) | Err(_) => ASK_EVERY,
    };
    again.clamp(TimeDelta::minutes(5), ASK_EVERY) + TimeDelta::minutes(rand::random_range(0..60))
}

/// Of whose trouble its owner was told.
fn told(row: &Row) -> Result<Option<Trouble>, db::Error> {
    let at: Option<DateTime<Utc>> = row.try_get("told_at")?;
    let of = row.try_get::<_, Option<&str>>("told_of")?.map(str::parse).transpose()?;
    Ok(at.map(|_| of.unwrap_or(Trouble::Owner)))
}

async fn look_after(db: &Pool, clock: &Clock) {
    loop {
        if let Err(error) = upkeep::once(db, clock.now()).await {
            tracing::debug!(%error, "certificates cannot be counted");
        }
        tokio::time::sleep(UPKEEP_EVERY).await;
    }
}

/// Beside the metrics, which do not wait for a slow DNS.
async fn tidy(issuers: &Issuers) {
    loop {
        issuers.tidy().await;
        tokio::time::sleep(UPKEEP_EVERY).await;
    }
}

/// A CA answers in its own time, and what is said of it may wait for that.
async fn learn(db: &Pool, issuers: &Issuers) {
    loop {
        if let Err(error) = known::learn(db, issuers).await {
            tracing::debug!(%error, "how CAs are met in CAA records is not written down");
        }
        tokio::time::sleep(UPKEEP_EVERY).await;
    }
}
