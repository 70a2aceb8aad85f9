//! What the reconciler, who knows the CAs, writes down for those who tell people what to expect and know none.

use chrono::{DateTime, Utc};

use super::{issuer::Issuers, sql};
use crate::db::{self, GenericClient};

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
