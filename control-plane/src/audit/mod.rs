//! Who did what to which percloud. Only ever added to; never holds a secret, an address or content.

pub mod sql;

use std::fmt;

use bundle::TenantId;
use chrono::{DateTime, Utc};

use crate::db;

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Somebody at the portal, signed up and not yet known.
    Visitor,
    /// The owner, in the own Control panel.
    Owner,
    /// `percloud admin`.
    Operator,
    /// A bearer token of the API, by its id.
    Token(String),
    /// The reconciler by itself: a grace that ran out.
    Reconcile,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Visitor => f.write_str("visitor"),
            Self::Owner => f.write_str("owner"),
            Self::Operator => f.write_str("operator"),
            Self::Token(id) => write!(f, "token:{id}"),
            Self::Reconcile => f.write_str("reconcile"),
        }
    }
}

/// Writes it down; in the transaction that does it, so that neither is there without the other.
///
/// # Errors
/// When the database refuses.
pub async fn note<'a>(
    db: &impl db::GenericClient,
    now: DateTime<Utc>,
    actor: &Actor,
    action: &str,
    tenant: impl Into<Option<&'a TenantId>>,
    details: &serde_json::Value,
) -> Result<(), db::Error> {
    let statement = db.prepare_cached(sql::NOTE).await?;
    let tenant = tenant.into().map(TenantId::as_str);
    db.execute(&statement, &[&now, &actor.to_string(), &action, &tenant, details]).await?;
    Ok(())
}

/// One line of the log.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Entry {
    /// When.
    pub at: DateTime<Utc>,
    /// Who: `visitor`, `owner`, `operator`, `token:…`, `reconcile`.
    pub actor: String,
    /// What: `tenant.created` …
    pub action: String,
    /// What else is needed to understand it.
    pub details: serde_json::Value,
}

/// What was done to a percloud, newest first.
///
/// # Errors
/// When the database refuses.
pub async fn list(db: &impl db::GenericClient, tenant: &TenantId, limit: i64) -> Result<Vec<Entry>, db::Error> {
    let rows = db.query(sql::OF_TENANT, &[&tenant.as_str(), &limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(Entry {
                at: row.try_get("at")?,
                actor: row.try_get("actor")?,
                action: row.try_get("action")?,
                details: row.try_get("details")?,
            })
        })
        .collect()
}
