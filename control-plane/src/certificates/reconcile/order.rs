//! One issuer after the other, until one issues.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tls::{Certified, Issued};

use super::{Certificates, Held, Seen, Standing, plan, tell::News};
use crate::{
    certificates::{
        Trouble, Validity,
        issuer::{Error, Issuer, Order},
        mend, sealed_for, sql,
    },
    db::{self, GenericClient, ensure_affected},
    mails::Mend,
    reconcile::{After, Claimed, StepError},
};

/// A fresh certificate is not renewed before this, whatever it says of itself.
const AT_LEAST: TimeDelta = TimeDelta::minutes(5);
/// How soon names that may have none are looked at again.
const LOOK_AGAIN: TimeDelta = TimeDelta::minutes(10);
/// How long a certificate that was issued is held on to while the database is away: it counts at its CA.
const WRITE_FOR: Duration = Duration::from_secs(60);

/// What is left when nobody issued.
#[derive(Default)]
struct Left {
    /// The earliest that somebody who was not asked may be asked, why not, and whether that is trouble.
    not_now: Option<(DateTime<Utc>, String, bool)>,
    /// What somebody who was asked said.
    said: Option<Error>,
    /// How long each of those who were asked wants to be left alone, if it said so.
    after: Vec<Option<Duration>>,
}

impl Left {
    /// How long nobody wants to be asked: what one CA says of itself does not count for another, which may be asked sooner.
    fn nobody_for(&self, now: DateTime<Utc>) -> Option<Duration> {
        let others = self.not_now.as_ref().map(|(until, ..)| Some((*until - now).to_std().unwrap_or_default()));
        self.after.iter().copied().chain(others).collect::<Option<Vec<_>>>()?.into_iter().min()
    }
}

impl Certificates {
    /// The local CA bridges the time until a public one has issued.
    pub(super) async fn bridge(&self, claimed: &Claimed<Held>, seen: Seen) -> Result<After<Seen>, StepError> {
        let one = &claimed.row.certificate;
        let Some(local) = self.issuers.stopgap(&one.names) else {
            return Ok(After::Seen(Seen { bridge: false, ..seen }));
        };
        match local.issue(&self.order(claimed, None, &seen)).await {
            Ok(issued) => {
                let seen = self.keep_issued(claimed, local, issued, seen).await?;
                Ok(After::Seen(Seen { stopgap: true, ..seen }))
            }
            Err(error) => Err(StepError::Stuck(error.into())),
        }
    }

    /// Gets a new one and writes it at once.
    pub(super) async fn issue(&self, claimed: &Claimed<Held>, seen: Seen) -> Result<After<Seen>, StepError> {
        let one = &claimed.row.certificate;
        let candidates = self.issuers.candidates(&one.names, one.tries);
        if candidates.is_empty() {
            let names = one.names.join(" ");
            self.note(claimed, &seen, Trouble::Operator, None).await?;
            return Err(StepError::Stuck(anyhow::anyhow!(
                "no issuer can do {names}: name a public CA with --acme-directory, and for a wildcard a way to the DNS with \
                 --dns-update or --dns-hook"
            )));
        }
        let mut left = Left::default();
        for issuer in candidates {
            match issuer.issue(&self.order(claimed, Some(issuer), &seen)).await {
                Ok(issued) => return Ok(After::Seen(self.keep_issued(claimed, issuer, issued, seen).await?)),
                Err(Error::NotNow { until, words, trouble }) => {
                    if left.not_now.as_ref().is_none_or(|(before, ..)| until < *before) {
                        left.not_now = Some((until, words, trouble));
                    }
                }
                // The next CA would see the same, and count it.
                Err(error @ Error::NotValidated { .. }) => {
                    self.note(claimed, &seen, Trouble::of(&error), mend(&error)).await?;
                    return Err(StepError::later(error));
                }
                Err(error) => {
                    tracing::info!(
                        issuer = issuer.name(),
                        error = format!("{:#}", anyhow::anyhow!(error.to_string())),
                        "asking the next issuer"
                    );
                    left.after.push(match &error {
                        Error::Away { after, .. } | Error::Limited { after, .. } => *after,
                        _ => None,
                    });
                    left.said = Some(worse(left.said.take(), error));
                }
            }
        }
        self.leave(claimed, left, seen).await
    }

    fn order<'a>(&self, claimed: &'a Claimed<Held>, issuer: Option<&Arc<dyn Issuer>>, seen: &Seen) -> Order<'a> {
        let (held, now) = (&claimed.row, self.clock.now());
        let same = issuer.is_some_and(|issuer| held.certificate.issuer.as_deref() == Some(issuer.name()));
        // Whatever it is that renews it, what it replaces is named (RFC 9773, section 5); only inside the window it is no new order.
        let window = held.ari.filter(|_| same && seen.there.is_some());
        Order {
            id: &held.certificate.id,
            tenant: held.certificate.tenant_id.as_deref(),
            names: &held.certificate.names,
            replaces: held.chain_pem.as_deref().filter(|_| window.is_some()),
            in_window: window.is_some_and(|(start, end)| start <= now && now <= end),
            serving: seen.there.filter(|_| !seen.stopgap),
            tries: held.certificate.tries,
            now,
        }
    }

    /// Nobody issued: a failure when somebody was asked, else it is put off.
    async fn leave(&self, claimed: &Claimed<Held>, left: Left, seen: Seen) -> Result<After<Seen>, StepError> {
        let after = left.nobody_for(self.clock.now());
        let (error, alone) = match (left.said, left.not_now) {
            (Some(error), not_now) => (error, not_now.is_none()),
            (None, Some((until, words, away))) => {
                // That a budget is used up says nothing new of the name.
                let known = seen.trouble.filter(|_| !away).unwrap_or(Trouble::Operator);
                return self.put_off(claimed, &Seen { trouble: Some(known), ..seen }, until, &words, away).await;
            }
            (None, None) => return Err(StepError::Stuck(anyhow::anyhow!("nobody was asked"))),
        };
        // Where another CA would have been asked, had it had time, it is not up to the owner alone.
        let trouble = if alone { Trouble::of(&error) } else { Trouble::Operator };
        self.note(claimed, &seen, trouble, mend(&error).filter(|_| alone)).await?;
        match error {
            Error::Refused { issuer, source } if alone => {
                Err(StepError::Stuck(source.context(format!("{issuer} refuses"))))
            }
            error => Err(StepError::Later { after, source: error.into() }),
        }
    }

    /// Whose it is to mend the failure that is about to be written; its owner hears of it, once it has lasted, with it.
    async fn note(
        &self,
        claimed: &Claimed<Held>,
        seen: &Seen,
        trouble: Trouble,
        mend: Option<Mend>,
    ) -> Result<(), db::Error> {
        let (id, now) = (&claimed.row.certificate.id, self.clock.now());
        let column = mend.as_ref().and_then(|mend| serde_json::to_value(mend).ok());
        let since = seen.failing_since.or(Some(now));
        let lasts = plan::lasts(&Seen { trouble: Some(trouble), failing_since: since, now, ..seen.clone() });
        let mut db = self.db.get().await?;
        let tx = db.transaction().await?;
        let statement = tx.prepare_cached(sql::TROUBLE).await?;
        ensure_affected(tx.execute(&statement, &[id, &claimed.claim, &trouble.as_str(), &column]).await?, 1)?;
        if lasts {
            let ends = seen.there.map(|there| there.not_after);
            self.queue(&tx, claimed, &News { trouble, mend: mend.as_ref(), ends }, false).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Nobody is asked: these names may have none at the moment.
    pub(super) async fn wait(&self, claimed: &Claimed<Held>, seen: Seen) -> Result<After<Seen>, StepError> {
        let names = claimed.row.certificate.names.join(" ");
        let words = match seen.standing {
            Standing::Suspended => "its percloud is suspended: nothing is ordered for it".to_owned(),
            Standing::Paused => "its domain is paused: nothing is ordered for it".to_owned(),
            _ => format!("{names} is not proved to be its percloud's at the moment: nothing is ordered for it"),
        };
        // Nobody's: when it may go on, that it waited until now says nothing.
        let seen = Seen { trouble: None, ..seen };
        self.put_off(claimed, &seen, self.clock.now() + LOOK_AGAIN, &words, false).await
    }

    async fn put_off(
        &self,
        claimed: &Claimed<Held>,
        seen: &Seen,
        until: DateTime<Utc>,
        words: &str,
        failing: bool,
    ) -> Result<After<Seen>, StepError> {
        tracing::info!(%until, words, "a certificate waits");
        let (id, now) = (&claimed.row.certificate.id, self.clock.now());
        let until = plan::look_again(until, seen).max(now + TimeDelta::seconds(1));
        let trouble = seen.trouble.map(Trouble::as_str);
        let write = async {
            let db = self.db.get().await?;
            let statement = db.prepare_cached(sql::PUT_OFF).await?;
            let (claim, wish) = (&claimed.claim, &claimed.wish);
            let affected = db.execute(&statement, &[id, claim, wish, &now, &until, &words, &failing, &trouble]).await?;
            ensure_affected(affected, 1)
        };
        write.await?;
        Ok(After::Written)
    }

    /// Seals and writes what was issued: a certificate that is not written is lost, and CAs count.
    async fn keep_issued(
        &self,
        claimed: &Claimed<Held>,
        issuer: &Arc<dyn Issuer>,
        issued: Issued,
        seen: Seen,
    ) -> Result<Seen, StepError> {
        let one = &claimed.row.certificate;
        let key_sealed =
            self.seal.seal(&sealed_for(&one.id), issued.key_der.secret_pkcs8_der()).map_err(StepError::Stuck)?;
        // What it says of itself counts, not what the issuer says of it.
        let certified = Certified::new(&issued.chain_pem, issued.key_der.into()).map_err(StepError::Stuck)?;
        if let Some(missing) = one.names.iter().find(|name| !certified.names().contains(name)) {
            return Err(StepError::Stuck(anyhow::anyhow!("the issuer left out {missing}")));
        }
        let validity = Validity { not_before: certified.not_before(), not_after: certified.not_after() };
        let now = self.clock.now();
        let renew_at = validity.renew_at(rand::random()).max(now + AT_LEAST);
        let ask_at = issuer.is_public().then(|| now + TimeDelta::minutes(rand::random_range(1..60)));
        let (name, from, to) = (issuer.name(), &validity.not_before, &validity.not_after);
        let row: [&(dyn tokio_postgres::types::ToSql + Sync); 9] =
            [&one.id, &claimed.claim, &name, &issued.chain_pem, &key_sealed, from, to, &renew_at, &ask_at];
        let until = tokio::time::Instant::now() + WRITE_FOR;
        loop {
            match self.write_issued(&row).await {
                Err(db::Error::Unavailable(_)) if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                written => break written?,
            }
        }
        metrics::counter!("percloud_certificates_issued_total", "issuer" => name.to_owned()).increment(1);
        tracing::info!(certificate.id = one.id, issuer = name, not_after = %to, "a certificate was issued");
        Ok(Seen {
            there: Some(validity),
            renew_at,
            ask_at,
            stopgap: false,
            failing_since: None,
            trouble: None,
            told: None,
            ..seen
        })
    }

    async fn write_issued(&self, row: &[&(dyn tokio_postgres::types::ToSql + Sync)]) -> Result<(), db::Error> {
        let db = self.db.get().await?;
        let statement = db.prepare_cached(sql::ISSUED).await?;
        ensure_affected(db.execute(&statement, row).await?, 1)
    }
}

/// Of what two issuers said, that which is more likely to pass: a CA that is away comes back, a limit ends, one that refuses goes on so. Of
/// two that refuse, what the operator can mend: the owner is asked for help only where nobody else can give it.
fn worse(before: Option<Error>, now: Error) -> Error {
    match before {
        Some(away @ Error::Away { .. }) => away,
        Some(limited @ Error::Limited { .. }) if matches!(now, Error::Refused { .. }) => limited,
        Some(ours) if Trouble::of(&ours) == Trouble::Operator && Trouble::of(&now) == Trouble::Owner => ours,
        _ => now,
    }
}
