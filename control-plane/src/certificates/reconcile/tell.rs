//! The owner hears of trouble that lasts, in a mail, once: of what the owner can mend, or that there is nothing to do but wait.

use bundle::TenantId;

use super::{Certificates, Held, Seen};
use crate::{
    certificates::{Trouble, sql},
    db::{self, GenericClient, ensure_affected},
    mails::{self, Message},
    reconcile::{After, Claimed, StepError},
};

impl Certificates {
    /// Queues the mail and notes it, both or neither.
    pub(super) async fn tell(
        &self,
        claimed: &Claimed<Held>,
        seen: &Seen,
        trouble: Trouble,
    ) -> Result<After<Seen>, StepError> {
        Ok(self.queue(claimed, seen, trouble).await.map(|()| After::Written)?)
    }

    async fn queue(&self, claimed: &Claimed<Held>, seen: &Seen, trouble: Trouble) -> Result<(), db::Error> {
        let (one, now) = (&claimed.row.certificate, self.clock.now());
        let mut db = self.db.get().await?;
        let tx = db.transaction().await?;
        ensure_affected(tx.execute(sql::TOLD, &[&one.id, &claimed.claim, &now, &trouble.as_str()]).await?, 1)?;
        if let (Some(tenant), Some(row)) = (&one.tenant_id, tx.query_opt(sql::OWNER, &[&one.tenant_id]).await?) {
            let (email, language): (String, String) = (row.try_get("email")?, row.try_get("language")?);
            let domain = one.names.first().cloned().unwrap_or_default();
            let ends = seen.there.map(|validity| validity.not_after.format("%Y-%m-%d").to_string());
            // Where the percloud answers at this name: from a twin that ends nobody is locked out.
            let own: Option<String> = row.try_get("own_domain")?;
            let old: Option<String> = own.filter(|own| *own == domain).map(|_| row.try_get("domain")).transpose()?;
            // Where it answers although there is no certificate for this name, which it does not answer at.
            let address = Some(row.try_get::<_, String>("address")?).filter(|address| *address != domain);
            let mend = claimed.row.mend.clone();
            let message = match (trouble, old) {
                (Trouble::Owner, old) => Some(Message::CertificateFailing { domain, ends, mend, old, address }),
                (Trouble::Operator, Some(old)) => ends.map(|ends| Message::CertificateLate { domain, ends, old }),
                (Trouble::Operator, None) => None,
            };
            let tenant: TenantId = tenant.parse().map_err(|_| db::Error::Column("certificates.tenant_id"))?;
            if let Some(message) = message {
                mails::queue(&tx, Some(&tenant), &email, &language, &message, now).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }
}
