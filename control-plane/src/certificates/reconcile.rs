//! Makes what is wanted of a certificate true: issued and good for a while, or gone.

use std::sync::Arc;

use anyhow::Context;
use bundle::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tls::{Certified, Seal};
use tokio_postgres::Row;
use tokio_util::sync::CancellationToken;

use super::issuer::{self, Issuer};
use super::{Certificate, Step, Validity, Wanted, plan, sealed_for, sql};
use crate::{
    db::{self, Pool, ensure_affected},
    reconcile::{After, Claimed, Id, Noun, StepError},
};

/// However far away the renewal is, look once in this time: keys may have been lost, a root replaced.
const LOOK_EVERY: TimeDelta = TimeDelta::hours(6);

/// The noun.
pub struct Certificates {
    /// Where rows are.
    pub db: Pool,
    /// What time it is.
    pub clock: Clock,
    /// Who issues.
    pub issuer: Arc<dyn Issuer>,
    /// What keys are sealed with.
    pub seal: Seal,
}

/// A certificate's row, with its sealed key.
pub struct Held {
    certificate: Certificate,
    chain_pem: Option<String>,
    key_sealed: Option<Vec<u8>>,
}

/// A certificate that can be used: its key opens, fits, and its issuer still stands by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    there: Option<Validity>,
    now: DateTime<Utc>,
}

impl Noun for Certificates {
    const NAME: &'static str = "certificates";
    const CLAIM: &'static str = sql::CLAIM;
    const FAIL: &'static str = sql::FAIL;
    const NEXT: &'static str = sql::NEXT;
    type Row = Held;
    type Seen = Seen;
    type Step = Step;

    fn read(row: &Row) -> Result<Claimed<Held>, db::Error> {
        let certificate = Certificate::from_row(row)?;
        Ok(Claimed {
            id: Id::Text(certificate.id.clone()),
            claim: row.try_get("claim")?,
            wish: 0,
            tries: certificate.tries,
            trace_parent: row.try_get("trace_parent")?,
            row: Held { chain_pem: row.try_get("chain_pem")?, key_sealed: row.try_get("key_sealed")?, certificate },
        })
    }

    async fn look(&self, held: &Held) -> Result<Seen, StepError> {
        let there = held.certificate.validity.filter(|_| match self.usable(held) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "a certificate cannot be used and is wanted anew");
                false
            }
        });
        Ok(Seen { there, now: self.clock.now() })
    }

    fn plan(held: &Held, seen: &Seen) -> Option<Step> {
        plan(held.certificate.wanted, seen.there.as_ref(), seen.now)
    }

    async fn perform(&self, claimed: &Claimed<Held>, seen: Seen, step: Step) -> Result<After<Seen>, StepError> {
        match step {
            Step::Issue => Ok(After::Seen(Seen { there: Some(self.issue(claimed).await?), ..seen })),
            Step::Remove => {
                let db = self.db.get().await.map_err(db::Error::from)?;
                let removed = db
                    .execute(sql::REMOVE, &[&claimed.row.certificate.id, &claimed.claim])
                    .await
                    .map_err(db::Error::from)?;
                ensure_affected(removed, 1)?;
                Ok(After::Written)
            }
        }
    }

    async fn write(&self, claimed: &Claimed<Held>, after: After<Seen>) -> Result<(), db::Error> {
        let After::Seen(seen) = after else { return Ok(()) };
        let now = self.clock.now();
        let renew = seen.there.map_or(now, |validity| validity.renew_at());
        let due = renew.min(now + LOOK_EVERY).max(now);
        let wanted = match claimed.row.certificate.wanted {
            Wanted::Issued => "issued",
            Wanted::Gone => "gone",
        };
        let db = self.db.get().await?;
        let affected =
            db.execute(sql::OBSERVED, &[&claimed.row.certificate.id, &claimed.claim, &wanted, &due, &now]).await?;
        ensure_affected(affected, 1)
    }
}

impl Certificates {
    /// Wants the provider's own certificate, as often as it takes, then keeps all of them true.
    ///
    /// # Errors
    /// When the database's URL cannot be read.
    pub async fn keep(self, base_domain: &str, url: &str, stop: CancellationToken) -> anyhow::Result<()> {
        let names = super::provider_names(base_domain);
        let mut failed = false;
        while let Err(error) = self.want(&names).await {
            if !failed {
                tracing::warn!(error = format!("{error:#}"), "the provider's certificate cannot be wanted yet");
                failed = true;
            }
            tokio::select! {
                () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
        let (db, clock) = (self.db.clone(), self.clock.clone());
        crate::reconcile::keep(Arc::new(self), url, db, clock, stop).await
    }

    async fn want(&self, names: &[String]) -> Result<(), db::Error> {
        let db = self.db.get().await?;
        super::want(&db, names, self.clock.now()).await
    }

    fn usable(&self, held: &Held) -> anyhow::Result<()> {
        let chain = held.chain_pem.as_deref().context("it has no chain")?;
        let sealed = held.key_sealed.as_deref().context("it has no key")?;
        let key = self.seal.open_sealed(&sealed_for(&held.certificate.id), sealed)?;
        Certified::new(chain, PrivatePkcs8KeyDer::from(key).into())?;
        anyhow::ensure!(self.issuer.stands_by(chain, self.clock.now()), "its issuer does not stand by it any more");
        Ok(())
    }

    /// Gets a new one and writes it at once: a certificate that was issued and not written would be lost, and issuers count.
    async fn issue(&self, claimed: &Claimed<Held>) -> Result<Validity, StepError> {
        let certificate = &claimed.row.certificate;
        let issued = self.issuer.issue(&certificate.names, self.clock.now()).await.map_err(|error| match error {
            issuer::Error::Later { after, source } => StepError::Later { after, source },
            issuer::Error::Refused(source) => StepError::Stuck(source),
        })?;
        let key_sealed = self
            .seal
            .seal(&sealed_for(&certificate.id), issued.key_der.secret_pkcs8_der())
            .map_err(StepError::Stuck)?;
        // What it says of itself counts, not what the issuer says of it.
        let certified = Certified::new(&issued.chain_pem, issued.key_der.into()).map_err(StepError::Stuck)?;
        let missing = certificate.names.iter().find(|name| !certified.names().contains(name));
        if let Some(missing) = missing {
            return Err(StepError::Stuck(anyhow::anyhow!("the issuer left out {missing}")));
        }
        let validity = Validity { not_before: certified.not_before(), not_after: certified.not_after() };
        let db = self.db.get().await.map_err(db::Error::from)?;
        let (id, claim, issuer) = (&certificate.id, &claimed.claim, self.issuer.name());
        let (from, to) = (&validity.not_before, &validity.not_after);
        let affected = db
            .execute(sql::ISSUED, &[id, claim, &issuer, &issued.chain_pem, &key_sealed, from, to])
            .await
            .map_err(db::Error::from)?;
        ensure_affected(affected, 1)?;
        metrics::counter!("percloud_certificates_issued_total", "issuer" => issuer).increment(1);
        tracing::info!(certificate.id = id, issuer, not_after = %to, "a certificate was issued");
        Ok(validity)
    }
}
