//! Sends what is queued, or spools it; erases what is old.

use std::time::Duration;

use bundle::Clock;
use chrono::{DateTime, Utc};
use portal::mails::Mail;
use tokio_postgres::Row;

use super::{Mailer, Message, render, sql};
use crate::{
    db::{self, GenericClient, Pool, ensure_affected},
    reconcile::{After, Claimed, Id, Noun, StepError},
};

/// The noun.
pub struct Mails {
    /// Where rows are.
    pub db: Pool,
    /// What time it is.
    pub clock: Clock,
    /// The way out.
    pub mailer: Mailer,
}

/// A mail's row. Its text is a secret: no `Debug`.
pub struct Queued {
    id: i64,
    language: String,
    recipient: Option<String>,
    data: Option<serde_json::Value>,
    waiting: bool,
    erase_at: DateTime<Utc>,
}

/// What is known of a mail, or became of it.
pub enum Seen {
    /// It waits to go out.
    Waiting {
        /// Its time is over.
        stale: bool,
    },
    /// It went out (or was given up) before.
    Done {
        /// Its time is over.
        stale: bool,
    },
    /// The mail server took it just now.
    Sent,
    /// It is to be kept for the operator to read.
    Spooled(Mail),
    /// The mail server will never take it.
    Failed(String),
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Hand it to the mail server, or to the spool.
    Send,
    /// The row goes.
    Erase,
}

impl Noun for Mails {
    const NAME: &'static str = "mails";
    const CLAIM: &'static str = sql::CLAIM;
    const FAIL: &'static str = sql::FAIL;
    const NEXT: &'static str = sql::NEXT;
    const PATIENCE: Duration = Duration::from_secs(1800);
    /// A server may look through a mail for ten minutes after it has all of it (RFC 5321, section 4.5.3.2.6); who hangs up before it has
    /// said that it took it sends it twice.
    const TURN_LIMIT: Duration = Duration::from_secs(720);
    const HOLD: Option<&'static str> = Some(sql::HOLD);
    /// More than for others, since one that is slow takes a place for long.
    const AT_ONCE: usize = 24;
    const SET_RIGHT: &'static str = sql::SET_RIGHT;
    type Row = Queued;
    type Seen = Seen;
    type Step = Step;

    fn read(row: &Row) -> Result<Claimed<Queued>, db::Error> {
        let id = row.try_get("id")?;
        Ok(Claimed {
            id: Id::Number(id),
            claim: row.try_get("claim")?,
            wish: 0,
            tries: row.try_get("tries")?,
            trace_parent: row.try_get("trace_parent")?,
            row: Queued {
                id,
                language: row.try_get("language")?,
                recipient: row.try_get("recipient")?,
                data: row.try_get("data")?,
                waiting: row.try_get::<_, &str>("observed")? == "queued",
                erase_at: row.try_get("erase_at")?,
            },
        })
    }

    async fn look(&self, mail: &Queued) -> Result<Seen, StepError> {
        let stale = self.clock.now() >= mail.erase_at;
        Ok(if mail.waiting { Seen::Waiting { stale } } else { Seen::Done { stale } })
    }

    fn plan(_: &Queued, seen: &Seen) -> Option<Step> {
        match seen {
            Seen::Waiting { stale: true } | Seen::Done { stale: true } => Some(Step::Erase),
            Seen::Waiting { stale: false } => Some(Step::Send),
            Seen::Done { stale: false } | Seen::Sent | Seen::Spooled(_) | Seen::Failed(_) => None,
        }
    }

    async fn perform(&self, claimed: &Claimed<Queued>, _: Seen, step: Step) -> Result<After<Seen>, StepError> {
        match step {
            Step::Send => Ok(After::Seen(self.send(&claimed.row).await?)),
            Step::Erase => {
                let db = self.db.get().await.map_err(db::Error::from)?;
                let erased =
                    db.execute(sql::ERASE, &[&claimed.row.id, &claimed.claim]).await.map_err(db::Error::from)?;
                ensure_affected(erased, 1)?;
                Ok(After::Written)
            }
        }
    }

    async fn write(&self, claimed: &Claimed<Queued>, after: After<Seen>) -> Result<(), db::Error> {
        let After::Seen(seen) = after else { return Ok(()) };
        let (id, claim, now) = (&claimed.row.id, &claimed.claim, self.clock.now());
        let db = self.db.get().await?;
        let affected = match seen {
            Seen::Waiting { .. } | Seen::Done { .. } => db.execute(sql::KEEP, &[id, claim]).await?,
            Seen::Sent => db.execute(sql::SENT, &[id, claim, &now]).await?,
            Seen::Spooled(mail) => {
                db.execute(sql::SPOOL, &[id, claim, &now, &mail.subject, &mail.text, &mail.html]).await?
            }
            Seen::Failed(why) => db.execute(sql::FAILED, &[id, claim, &why]).await?,
        };
        ensure_affected(affected, 1)
    }
}

impl Mails {
    async fn send(&self, mail: &Queued) -> Result<Seen, StepError> {
        let missing = || StepError::Stuck(anyhow::anyhow!("a queued mail has lost what is in it"));
        let data = mail.data.clone().ok_or_else(missing)?;
        let message: Message = serde_json::from_value(data).map_err(|error| StepError::Stuck(error.into()))?;
        let rendered = render::render(&message, &mail.language, self.mailer.portal()).map_err(StepError::Stuck)?;
        let recipient = mail.recipient.as_deref().ok_or_else(missing)?;
        self.mailer.send(mail.id, recipient, rendered).await
    }
}
