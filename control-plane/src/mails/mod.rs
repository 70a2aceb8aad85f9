//! Mails on their way out: queued in the transaction that wants them, sent by the reconciler, erased once sent.
//!
//! Without a mail server ([`PERCLOUD_SMTP_URL`](reconcile)) they are spooled: kept for seven days for the operator to read.

mod mailer;
pub mod reconcile;
mod render;
pub mod sql;

pub use mailer::{Mailer, Options};

use bundle::TenantId;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use crate::{
    db::{self, GenericClient},
    telemetry,
};

/// What a mail says; the secrets in links are in here until it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Message {
    /// "Is this your address? Then go on here."
    Confirm {
        /// The host name that was picked.
        domain: String,
        /// The link to go on with.
        link: String,
    },
    /// A set-up link, from an operator.
    SetUpLink {
        /// The host name.
        domain: String,
        /// The one-time link.
        link: String,
    },
    /// The way in at the portal for an owner who cannot get into the percloud.
    ManageLink {
        /// The host name.
        domain: String,
        /// The one-time link.
        link: String,
    },
    /// The percloud was suspended.
    Suspended {
        /// The host name.
        domain: String,
        /// Why.
        reason: String,
    },
    /// It runs again.
    Resumed {
        /// The host name.
        domain: String,
    },
    /// It was put to sleep for filling the disk.
    DiskFull {
        /// The host name.
        domain: String,
    },
    /// It was deleted.
    Deleted {
        /// The host name.
        domain: String,
    },
    /// It answers at its own domain from now on.
    DomainReady {
        /// The own domain.
        domain: String,
        /// Its name at the provider, which leads there.
        old: String,
    },
    /// It answers at another own domain from now on.
    DomainChanged {
        /// The own domain.
        domain: String,
        /// The one that it answered at before, which leads there.
        before: String,
        /// The last day on which that one does so.
        until: String,
    },
    /// A domain leads to it no more, which is not the one that it answers at.
    DomainEnded {
        /// The domain.
        domain: String,
        /// The name that it answers at.
        address: String,
    },
    /// An operator has taken one of its own domains away.
    DomainTaken {
        /// The domain.
        domain: String,
        /// Those that led to it and went along.
        former: Vec<String>,
        /// The name that it answers at.
        address: String,
    },
    /// An operator has paused one of its own domains.
    DomainLeft {
        /// The domain.
        domain: String,
        /// What that means: it `serves` on, it `leads` on to the one in use, or its claim `waits`.
        state: String,
        /// The name that it answers at; of one that serves, the name at the provider, at which it answers when the certificate ends.
        address: String,
    },
    /// The entries of one of its own domains have not been as they should be for a day, or for days.
    DomainMissed {
        /// The domain.
        domain: String,
        /// What that means: it `serves` on for now, it `leads` on for now to the one in use, or its certificate `ends` and is not renewed.
        state: String,
        /// The name that it answers at; of one that serves, the name at the provider, at which it answers again.
        address: String,
        /// The day until which it serves in any case; none unless its certificate `ends`.
        until: Option<String>,
    },
    /// It answers at its own domain no more.
    DomainLost {
        /// The own domain.
        domain: String,
        /// Its name at the provider, at which it answers again.
        old: String,
    },
    /// It answers at its old name until there is a certificate for its own domain.
    DomainWaits {
        /// The own domain.
        domain: String,
        /// Its name at the provider, at which it answers again.
        old: String,
    },
    /// It answers at its old name until an operator ends the pause of its own domain, whose certificate has ended meanwhile.
    DomainPaused {
        /// The own domain.
        domain: String,
        /// Its name at the provider, at which it answers again.
        old: String,
    },
    /// The certificate for its own domain ends soon, and that there is no new one is not the owner's to mend.
    CertificateLate {
        /// The domain.
        domain: String,
        /// The day on which the one there is ends.
        ends: String,
        /// Its name at the provider, at which it answers again before that day.
        old: String,
    },
    /// There is no certificate for its own domain, or soon none, and it has been tried for long: its owner can mend that.
    CertificateFailing {
        /// The domain.
        domain: String,
        /// The day on which the one there is ends; none when there is none.
        ends: Option<String>,
        /// What there is to mend; none in those that an older release queued.
        #[serde(default)]
        mend: Option<Mend>,
        /// Its name at the provider, at which it answers again before that day; none when it does not answer at the domain.
        #[serde(default)]
        old: Option<String>,
        /// The name that it answers at; none when that is the domain.
        #[serde(default)]
        address: Option<String>,
    },
}

/// What an owner can mend of a certificate that does not come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mend {
    /// The name does not lead to the percloud.
    Name {
        /// What its CA said; empty when it said nothing.
        said: String,
    },
    /// The domain's CAA records stand against it.
    Caa {
        /// At which name they stand; none when the CA alone has seen them.
        at: Option<String>,
        /// Whom they let issue; nobody when there is none.
        issuers: Vec<String>,
        /// Whom to let in.
        ours: String,
        /// That one is among them, but for somebody else or in another way.
        otherwise: bool,
    },
}

impl Message {
    /// The kind, as in the column.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Confirm { .. } => "confirm",
            Self::SetUpLink { .. } => "set-up-link",
            Self::ManageLink { .. } => "manage-link",
            Self::Suspended { .. } => "suspended",
            Self::Resumed { .. } => "resumed",
            Self::DiskFull { .. } => "disk-full",
            Self::Deleted { .. } => "deleted",
            Self::DomainReady { .. } => "domain-ready",
            Self::DomainChanged { .. } => "domain-changed",
            Self::DomainEnded { .. } => "domain-ended",
            Self::DomainTaken { .. } => "domain-taken",
            Self::DomainLeft { .. } => "domain-left",
            Self::DomainMissed { .. } => "domain-missed",
            Self::DomainLost { .. } => "domain-lost",
            Self::DomainWaits { .. } => "domain-waits",
            Self::DomainPaused { .. } => "domain-paused",
            Self::CertificateFailing { .. } => "certificate-failing",
            Self::CertificateLate { .. } => "certificate-late",
        }
    }
}

/// How long a mail's row stays, spooled ones with what is in them.
const KEPT: TimeDelta = TimeDelta::days(7);

/// Queues a mail.
///
/// # Errors
/// When the database refuses.
pub async fn queue(
    db: &impl GenericClient,
    tenant: Option<&TenantId>,
    to: &str,
    language: &str,
    message: &Message,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let data = serde_json::to_value(message).map_err(|_| db::Error::Column("mails.data"))?;
    let statement = db.prepare_cached(sql::QUEUE).await?;
    let tenant = tenant.map(TenantId::as_str);
    db.execute(
        &statement,
        &[&tenant, &message.kind(), &language, &to, &data, &now, &(now + KEPT), &telemetry::trace_parent()],
    )
    .await?;
    Ok(())
}

/// A mail as operators see it: never what is in it, nor to whom.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Mail {
    /// Its number.
    pub id: i64,
    /// Which percloud it is about.
    pub tenant_id: Option<String>,
    /// Which template.
    pub kind: String,
    /// Its language.
    pub language: String,
    /// `queued`, `sent`, `spooled` or `failed`.
    pub observed: String,
    /// When it was wanted.
    pub queued_at: DateTime<Utc>,
    /// When it was sent or spooled.
    pub sent_at: Option<DateTime<Utc>>,
    /// When it is tried next.
    pub due_at: Option<DateTime<Utc>>,
    /// Failures in a row.
    pub tries: i32,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// The newest mails, before the one numbered `before`.
///
/// # Errors
/// When the database does not answer.
pub async fn list(db: &impl GenericClient, before: Option<i64>, limit: u16) -> Result<Vec<Mail>, db::Error> {
    let rows = db.query(sql::LIST, &[&before, &i64::from(limit.clamp(1, 1000))]).await?;
    let read = |row: &Row| {
        Ok(Mail {
            id: row.try_get("id")?,
            tenant_id: row.try_get("tenant_id")?,
            kind: row.try_get("kind")?,
            language: row.try_get("language")?,
            observed: row.try_get("observed")?,
            queued_at: row.try_get("queued_at")?,
            sent_at: row.try_get("sent_at")?,
            due_at: row.try_get("due_at")?,
            tries: row.try_get("tries")?,
            last_error: row.try_get("last_error")?,
        })
    };
    rows.iter().map(read).collect()
}

/// A mail that nobody sends, since no mail server is configured.
#[derive(Clone, Debug, Serialize)]
pub struct Spooled {
    /// Its number.
    pub id: i64,
    /// Which template.
    pub kind: String,
    /// Its language.
    pub language: String,
    /// To whom.
    pub recipient: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The HTML.
    pub html: String,
    /// When it was spooled.
    pub sent_at: DateTime<Utc>,
}

impl Spooled {
    fn from_row(row: &Row) -> Result<Self, db::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            kind: row.try_get("kind")?,
            language: row.try_get("language")?,
            recipient: row.try_get::<_, Option<String>>("recipient")?.unwrap_or_default(),
            subject: row.try_get::<_, Option<String>>("subject")?.unwrap_or_default(),
            text: row.try_get::<_, Option<String>>("text_body")?.unwrap_or_default(),
            html: row.try_get::<_, Option<String>>("html_body")?.unwrap_or_default(),
            sent_at: row.try_get("sent_at")?,
        })
    }
}

/// The spool, newest first.
///
/// # Errors
/// When the database does not answer.
pub async fn spooled(db: &impl GenericClient, limit: u16) -> Result<Vec<Spooled>, db::Error> {
    db.query(sql::SPOOLED, &[&i64::from(limit)]).await?.iter().map(Spooled::from_row).collect()
}

/// One mail of the spool.
///
/// # Errors
/// When the database does not answer.
pub async fn find_spooled(db: &impl GenericClient, id: i64) -> Result<Option<Spooled>, db::Error> {
    db.query_opt(sql::SPOOLED_ONE, &[&id]).await?.as_ref().map(Spooled::from_row).transpose()
}
