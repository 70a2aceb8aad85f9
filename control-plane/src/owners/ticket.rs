//! Coming in with a ticket that the percloud has signed ([`bundle::ticket`]): believed once, and only with the key that its host was told.

use bundle::ticket::{self, Shown};
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Secret,
    session::{self, Via},
    sha256, sql,
};
use crate::{
    db::{self, GenericClient, Transaction},
    tenants::Tenant,
};

/// Why a ticket opens nothing.
#[derive(Debug)]
pub enum Refused {
    /// Not one of a percloud of ours; the percloud that it names, where there is such a one.
    Wrong(Option<Box<Tenant>>),
    /// Its time is over.
    Over(Box<Tenant>),
    /// It was taken before.
    Used(Box<Tenant>),
    /// The percloud's key is not known yet; the reconciler is on its way to it.
    NoKey(Box<Tenant>),
    /// The database.
    Db(db::Error),
}

impl From<db::Error> for Refused {
    fn from(error: db::Error) -> Self {
        Self::Db(error)
    }
}

impl From<tokio_postgres::Error> for Refused {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Takes a ticket and begins a session. A refusal may have written something, too (a nudge to the reconciler): commit in any case.
///
/// # Errors
/// [`Refused`].
pub async fn enter(
    tx: &Transaction<'_>,
    text: &str,
    audience: &str,
    now: DateTime<Utc>,
) -> Result<(Tenant, Secret), Refused> {
    let shown: Shown = text.parse().map_err(|_| Refused::Wrong(None))?;
    let statement = tx.prepare_cached(sql::VOUCHER).await?;
    let Some(row) = tx.query_opt(&statement, &[&shown.percloud().as_str()]).await? else {
        return Err(Refused::Wrong(None));
    };
    let tenant = Tenant::from_row(&row)?;
    let Some(key) = row.try_get::<_, Option<String>>("owner_key")? else {
        nudge(tx, &tenant, now).await?;
        return Err(Refused::NoKey(Box::new(tenant)));
    };
    let ticket = match shown.check(&key, audience, now) {
        Ok(ticket) => ticket,
        Err(ticket::Refused::Expired) => return Err(Refused::Over(Box::new(tenant))),
        Err(why) => {
            // A percloud that was set back to an older copy has another key than we know; the next ticket will do.
            if why == ticket::Refused::Signature {
                nudge(tx, &tenant, now).await?;
            }
            return Err(Refused::Wrong(Some(Box::new(tenant))));
        }
    };
    tx.execute(sql::FORGET_TICKETS, &[&(now - TimeDelta::minutes(5))]).await?;
    let taken = sha256("ticket", &format!("{}:{}", tenant.id, ticket.nonce));
    if tx.execute(sql::TAKE_TICKET, &[&taken, &ticket.expires]).await? == 0 {
        return Err(Refused::Used(Box::new(tenant)));
    }
    let secret = session::begin(tx, &tenant.id, Via::Ticket, now).await?;
    Ok((tenant, secret))
}

async fn nudge(tx: &Transaction<'_>, tenant: &Tenant, now: DateTime<Utc>) -> Result<(), db::Error> {
    tx.execute(sql::NUDGE, &[&tenant.id.as_str(), &now]).await?;
    Ok(())
}
