//! Bearer tokens of the JSON API. A token is shown once, when it is made; the database holds its hash.

pub mod sql;

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::db;

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub enum Scope {
    /// See perclouds.
    #[serde(rename = "tenants:read")]
    TenantsRead,
    /// Make, suspend, resume and delete perclouds.
    #[serde(rename = "tenants:write")]
    TenantsWrite,
    /// See the mail queue (never what is in a mail).
    #[serde(rename = "mails:read")]
    MailsRead,
    /// See own domains.
    #[serde(rename = "domains:read")]
    DomainsRead,
    /// Have own domains looked at, and remove them.
    #[serde(rename = "domains:write")]
    DomainsWrite,
    /// See certificates (never their keys).
    #[serde(rename = "certificates:read")]
    CertificatesRead,
    /// Have certificates tried at once, pause and resume them.
    #[serde(rename = "certificates:write")]
    CertificatesWrite,
    /// See what perclouds use and what they cost.
    #[serde(rename = "usage:read")]
    UsageRead,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 8] = [
        Self::TenantsRead,
        Self::TenantsWrite,
        Self::MailsRead,
        Self::DomainsRead,
        Self::DomainsWrite,
        Self::CertificatesRead,
        Self::CertificatesWrite,
        Self::UsageRead,
    ];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TenantsRead => "tenants:read",
            Self::TenantsWrite => "tenants:write",
            Self::MailsRead => "mails:read",
            Self::DomainsRead => "domains:read",
            Self::DomainsWrite => "domains:write",
            Self::CertificatesRead => "certificates:read",
            Self::CertificatesWrite => "certificates:write",
            Self::UsageRead => "usage:read",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;
    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

/// Not a scope.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "a scope is tenants:read, tenants:write, mails:read, domains:read, domains:write, certificates:read, certificates:write or usage:read"
)]
pub struct UnknownScope;

/// A token as the database knows it.
#[derive(Clone, Debug, Serialize)]
pub struct ApiToken {
    /// Its id.
    pub id: String,
    /// What the operator calls it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl ApiToken {
    fn from_row(row: &tokio_postgres::Row) -> Result<Self, db::Error> {
        let scopes: Vec<String> = row.try_get("scopes")?;
        let scopes = scopes
            .iter()
            .map(|scope| scope.parse().map_err(|_| db::Error::Column("api_tokens.scopes")))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            scopes,
            created_at: row.try_get("created_at")?,
            expires_at: row.try_get("expires_at")?,
            last_used_at: row.try_get("last_used_at")?,
            revoked_at: row.try_get("revoked_at")?,
        })
    }

    /// Whether it opens anything at `now`.
    #[must_use]
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(format!("api-token:{token}")))
}

/// Makes a token; the second value is the token itself, to be shown once.
///
/// # Errors
/// When the database refuses, e.g. because there is no scope.
pub async fn create(
    db: &impl db::GenericClient,
    name: &str,
    scopes: &[Scope],
    expires_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(ApiToken, String), db::Error> {
    let random = |bytes: &[u8]| data_encoding::BASE32_NOPAD.encode(bytes).to_lowercase();
    let id = format!("k-{}", random(&rand::random::<[u8; 10]>()));
    let token = format!("pc_{}", random(&rand::random::<[u8; 32]>()));
    let words: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    let row = db.query_one(sql::CREATE, &[&id, &name, &hash(&token), &words, &now, &expires_at]).await?;
    Ok((ApiToken::from_row(&row)?, token))
}

/// The live token that somebody shows.
///
/// # Errors
/// When the database does not answer.
pub async fn find(db: &impl db::GenericClient, token: &str, now: DateTime<Utc>) -> Result<Option<ApiToken>, db::Error> {
    let statement = db.prepare_cached(sql::BY_HASH).await?;
    let Some(row) = db.query_opt(&statement, &[&hash(token)]).await? else { return Ok(None) };
    let found = ApiToken::from_row(&row)?;
    if !found.is_live(now) {
        return Ok(None);
    }
    db.execute(sql::USED, &[&found.id, &now]).await?;
    Ok(Some(found))
}

/// All tokens, oldest first.
///
/// # Errors
/// When the database does not answer.
pub async fn list(db: &impl db::GenericClient) -> Result<Vec<ApiToken>, db::Error> {
    db.query(sql::LIST, &[]).await?.iter().map(ApiToken::from_row).collect()
}

/// Ends a token; false when there is none of that id.
///
/// # Errors
/// When the database does not answer.
pub async fn revoke(db: &impl db::GenericClient, id: &str, now: DateTime<Utc>) -> Result<bool, db::Error> {
    Ok(db.execute(sql::REVOKE, &[&id, &now]).await? == 1)
}
