//! What the reconciler, who knows the CAs, writes down for those who tell people what to expect and know none.

use chrono::{DateTime, Utc};

use super::{
    issuer::{Identity, Issuers},
    sql,
};
use crate::db::{self, GenericClient, Pool};

/// Who issues certificates here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The public CAs, in order.
    pub public: Vec<String>,
    /// Whether any of them can issue for names that owners bring along.
    pub own_domains: bool,
    /// Whether they are reached with a root of the operator's own: most likely browsers must be told to trust what they issue, too.
    pub own_root: bool,
}

impl Known {
    /// What owners should know before they bring a name along, in a word of the portal's: `nobody` makes certificates for it, or a `private`
    /// authority does.
    #[must_use]
    pub fn hold(&self) -> Option<&'static str> {
        match (self.own_domains, self.own_root) {
            (false, _) => Some("nobody"),
            (true, true) => Some("private"),
            (true, false) => None,
        }
    }
}

/// Writes it down.
pub(super) async fn write(db: &impl GenericClient, issuers: &Issuers, now: DateTime<Utc>) -> Result<(), db::Error> {
    let Known { public, own_domains, own_root } = issuers.known();
    db.execute(sql::KNOW, &[&public, &own_domains, &own_root, &now]).await?;
    Ok(())
}

/// Who issues; none when no reconciler has said so yet.
///
/// # Errors
/// When the database does not answer.
pub async fn known(db: &impl GenericClient) -> Result<Option<Known>, db::Error> {
    let statement = db.prepare_cached(sql::KNOWN).await?;
    let Some(row) = db.query_opt(&statement, &[]).await? else { return Ok(None) };
    let (public, own_domains) = (row.try_get("public")?, row.try_get("own_domains")?);
    Ok(Some(Known { public, own_domains, own_root: row.try_get("own_root")? }))
}

/// Whether somebody issues for names that owners bring along. Nobody is warned before the reconciler has said what is so.
///
/// # Errors
/// When the database does not answer.
pub async fn for_own_domains(db: &impl GenericClient) -> Result<bool, db::Error> {
    Ok(known(db).await?.is_none_or(|known| known.own_domains))
}

/// Writes down how those who issue for own domains are met in CAA records. While one of them cannot be asked, what was learnt stands;
/// one that hangs keeps no connection to the database meanwhile.
pub(super) async fn learn(db: &Pool, issuers: &Issuers) -> Result<(), db::Error> {
    let mut all = Identity::default();
    let mut accounts = Vec::new();
    for issuer in issuers.for_own_domains() {
        match issuer.identity().await {
            Ok(Some(Identity { names, account, methods })) => {
                all.names.extend(names);
                all.methods.extend(methods);
                accounts.extend(account);
            }
            // Of one that nobody knows nobody can say that it is forbidden.
            Ok(None) => {
                all = Identity::default();
                break;
            }
            Err(error) => {
                tracing::debug!(error = error.to_string(), "a CA does not say how it is met in CAA records");
                return Ok(());
            }
        }
    }
    db.get().await?.execute(sql::LEARN, &[&all.names, &accounts, &all.methods]).await?;
    Ok(())
}

/// How those who issue for own domains are met in CAA records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// By which domains they know themselves.
    pub names: Vec<String>,
    /// Our accounts there; none before there are any.
    pub accounts: Vec<String>,
    /// The ways in which own domains are proved to them.
    pub methods: Vec<String>,
}

/// The same, read; none when that is not known of all of them.
///
/// # Errors
/// When the database does not answer.
pub async fn met(db: &impl GenericClient) -> Result<Option<Met>, db::Error> {
    let statement = db.prepare_cached(sql::MET).await?;
    let Some(row) = db.query_opt(&statement, &[]).await? else { return Ok(None) };
    let met = Met { names: row.try_get(0)?, accounts: row.try_get(1)?, methods: row.try_get(2)? };
    Ok((!met.names.is_empty()).then_some(met))
}
