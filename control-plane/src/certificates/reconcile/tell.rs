//! The owner hears of trouble that lasts, in a mail, once: of what the owner can mend, or that there is nothing to do but wait.

use bundle::TenantId;
use chrono::{DateTime, Utc};

use super::{Certificates, Held, Seen};
use crate::{
    certificates::{Trouble, sql},
    db::{self, GenericClient, ensure_affected},
    mails::{self, Mend, Message},
    reconcile::{After, Claimed, StepError},
};

/// What is told.
pub(super) struct News<'a> {
    /// Who can mend it.
    pub(super) trouble: Trouble,
    /// What the owner can do, where it is the owner's.
    pub(super) mend: Option<&'a Mend>,
    /// When the one that serves ends.
    pub(super) ends: Option<DateTime<Utc>>,
}

impl Certificates {
    /// Queues the mail that the end is near and notes it, both or neither; lets go.
    pub(super) async fn tell(
        &self,
        claimed: &Claimed<Held>,
        seen: &Seen,
        trouble: Trouble,
    ) -> Result<After<Seen>, StepError> {
        let news = News { trouble, mend: claimed.row.mend.as_ref(), ends: seen.there.map(|there| there.not_after) };
        let write = async {
            let mut db = self.db.get().await?;
            let tx = db.transaction().await?;
            self.queue(&tx, claimed, &news, true).await?;
            tx.commit().await.map_err(db::Error::from)
        };
        Ok(write.await.map(|()| After::Written)?)
    }

    /// Queues the mail and notes it, in the caller's transaction; lets go of the certificate, or not.
    pub(super) async fn queue(
        &self,
        tx: &impl GenericClient,
        claimed: &Claimed<Held>,
        news: &News<'_>,
        let_go: bool,
    ) -> Result<(), db::Error> {
        let (one, now) = (&claimed.row.certificate, self.clock.now());
        let trouble = news.trouble.as_str();
        ensure_affected(tx.execute(sql::TOLD, &[&one.id, &claimed.claim, &now, &trouble, &let_go]).await?, 1)?;
        let (Some(tenant), Some(row)) = (&one.tenant_id, tx.query_opt(sql::OWNER, &[&one.tenant_id]).await?) else {
            return Ok(());
        };
        let (email, language): (String, String) = (row.try_get("email")?, row.try_get("language")?);
        let domain = one.names.first().cloned().unwrap_or_default();
        let ends = news.ends.map(|ends| ends.format("%Y-%m-%d").to_string());
        // Where the percloud answers at this name: from a twin that ends nobody is locked out.
        let own: Option<String> = row.try_get("own_domain")?;
        let old: Option<String> = own.filter(|own| *own == domain).map(|_| row.try_get("domain")).transpose()?;
        // Where it answers although there is no certificate for this name, which it does not answer at.
        let address = Some(row.try_get::<_, String>("address")?).filter(|address| *address != domain);
        let mend = news.mend.cloned();
        let message = match (news.trouble, old) {
            (Trouble::Owner, old) => Some(Message::CertificateFailing { domain, ends, mend, old, address }),
            (Trouble::Operator, Some(old)) => ends.map(|ends| Message::CertificateLate { domain, ends, old }),
            (Trouble::Operator, None) => None,
        };
        let tenant: TenantId = tenant.parse().map_err(|_| db::Error::Column("certificates.tenant_id"))?;
        if let Some(message) = message {
            mails::queue(tx, Some(&tenant), &email, &language, &message, now).await?;
        }
        Ok(())
    }
}
