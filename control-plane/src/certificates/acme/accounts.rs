//! How we are known to a CA, kept sealed, and whether it is away: a row that all reconcilers share.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::{GenericClient, Pool};
use tls::{
    Seal,
    acme::{Account, Directory},
};
use tokio::{sync::Mutex, time::Instant};
use tokio_postgres::Row;

use super::sql;
use crate::db;

/// The longest that a CA which does not answer is left alone.
const LONGEST: f64 = 900.0;

/// A CA that is left alone for a while.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Away {
    /// The account's id.
    pub account: String,
    /// Until when.
    pub until: DateTime<Utc>,
    /// What it said.
    pub because: String,
}

/// An account at a CA: opened when it is first needed, then kept open.
pub(super) struct Kept {
    pub(super) id: String,
    pub(super) directory: Directory,
    contact: Option<String>,
    db: Pool,
    seal: Arc<Seal>,
    open: Mutex<Open>,
}

/// The account once it is open; until then, when it could not be opened last, and why.
#[derive(Default)]
struct Open {
    account: Option<Arc<Account>>,
    failed: Option<(Instant, String)>,
}

/// Why there is no account.
pub(super) enum Error {
    Db(db::Error),
    Acme(tls::acme::Error),
    /// It was being opened when this was asked, and that came to nothing: it says why. Whoever tried has noted it.
    Meanwhile(String),
}

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        Self::Db(error)
    }
}

/// What an account's credentials are sealed for.
#[must_use]
pub fn sealed_for(id: &str) -> String {
    format!("acme_accounts/{id}")
}

/// An account's id: the directory's host and port, and the external account's key id.
pub(super) fn id(directory: &Directory) -> String {
    let url = url::Url::parse(&directory.url).ok();
    let host = url.as_ref().and_then(url::Url::host_str).unwrap_or(&directory.url);
    let port = url.as_ref().and_then(url::Url::port).map(|port| format!(":{port}")).unwrap_or_default();
    let kid = directory.eab.as_ref().map(|eab| format!("#{}", eab.kid)).unwrap_or_default();
    format!("{host}{port}{kid}").chars().take(250).collect()
}

impl Kept {
    pub(super) fn new(directory: Directory, contact: Option<String>, db: Pool, seal: Arc<Seal>) -> Self {
        Self { id: id(&directory), directory, contact, db, seal, open: Mutex::default() }
    }

    /// The account; opened or registered at first, by one of those who ask at once. The others do not try it again, one after the other,
    /// when that came to nothing: a CA that hangs would keep the last of them for many minutes.
    pub(super) async fn account(&self, now: DateTime<Utc>) -> Result<Arc<Account>, Error> {
        let came = Instant::now();
        let mut open = self.open.lock().await;
        if let Some(account) = &open.account {
            return Ok(account.clone());
        }
        if let Some((_, because)) = open.failed.as_ref().filter(|(at, _)| came <= *at) {
            return Err(Error::Meanwhile(because.clone()));
        }
        match self.opened(now).await {
            Ok(account) => Ok(open.account.insert(Arc::new(account)).clone()),
            Err(error) => {
                if let Error::Acme(error) = &error {
                    open.failed = Some((Instant::now(), error.words()));
                }
                Err(error)
            }
        }
    }

    async fn opened(&self, now: DateTime<Utc>) -> Result<Account, Error> {
        let sealed = self.sealed(now).await?;
        let kept = sealed.as_deref().and_then(|sealed| match self.seal.open_sealed(&sealed_for(&self.id), sealed) {
            Ok(credentials) => Some(credentials),
            Err(error) => {
                tracing::warn!(
                    account = self.id,
                    error = format!("{error:#}"),
                    "the account's key cannot be opened; registering anew"
                );
                None
            }
        });
        match kept {
            Some(credentials) => Ok(self.open_with(Some(&credentials)).await?.0),
            None => self.register(sealed.as_deref()).await,
        }
    }

    /// Whether there is an account, or was one that is kept.
    pub(super) async fn is_registered(&self, now: DateTime<Utc>) -> Result<bool, db::Error> {
        Ok(self.open.lock().await.account.is_some() || self.sealed(now).await?.is_some())
    }

    /// The CA knows the account no more: the next to ask registers anew.
    pub(super) async fn forget(&self, now: DateTime<Utc>) -> Result<(), db::Error> {
        self.open.lock().await.account = None;
        let sealed = self.sealed(now).await?;
        self.keep(None, sealed.as_deref()).await.map(drop)
    }

    async fn sealed(&self, now: DateTime<Utc>) -> Result<Option<Vec<u8>>, db::Error> {
        let db = self.db.get().await?;
        db.execute(sql::ENSURE_ACCOUNT, &[&self.id, &self.directory.url, &now]).await?;
        Ok(db.query_one(sql::ACCOUNT, &[&self.id]).await?.try_get("credentials_sealed")?)
    }

    async fn register(&self, useless: Option<&[u8]>) -> Result<Account, Error> {
        let (account, credentials) = self.open_with(None).await?;
        let sealed = self
            .seal
            .seal(&sealed_for(&self.id), &credentials)
            .map_err(|e| Error::Acme(tls::acme::Error::Refused(e)))?;
        if self.keep(Some(&sealed), useless).await? {
            tracing::info!(account = self.id, "registered at a CA");
        }
        // Where another reconciler was quicker, this account serves until we end; the kept one from the next start on.
        Ok(account)
    }

    async fn open_with(&self, credentials: Option<&[u8]>) -> Result<(Account, Vec<u8>), Error> {
        Account::open(&self.directory, credentials, self.contact.as_deref()).await.map_err(Error::Acme)
    }

    async fn keep(&self, sealed: Option<&[u8]>, before: Option<&[u8]>) -> Result<bool, db::Error> {
        let db = self.db.get().await?;
        Ok(db.execute(sql::KEEP_CREDENTIALS, &[&self.id, &sealed, &before]).await? == 1)
    }

    /// Whether nobody asks the CA now.
    pub(super) async fn away(&self, now: DateTime<Utc>) -> Result<Option<Away>, db::Error> {
        let db = self.db.get().await?;
        let row = db.query_opt(&db.prepare_cached(sql::ACCOUNT).await?, &[&self.id]).await?;
        Ok(row.map(|row| read(&self.id, &row)).transpose()?.flatten().filter(|away| away.holds(now)))
    }

    /// It did not answer as a CA should.
    pub(super) async fn failed(&self, now: DateTime<Utc>, because: &str) -> Result<(), db::Error> {
        let db = self.db.get().await?;
        let row = db.query_opt(sql::AWAY, &[&self.id, &now, &because, &LONGEST]).await?;
        let until: Option<DateTime<Utc>> = row.map(|row| row.try_get(0)).transpose()?.flatten();
        if let Some(until) = until {
            tracing::warn!(account = self.id, because, %until, "a CA is away and is left alone for a while");
        }
        Ok(())
    }

    /// It answered.
    pub(super) async fn answered(&self) -> Result<(), db::Error> {
        let db = self.db.get().await?;
        db.execute(&db.prepare_cached(sql::WELL).await?, &[&self.id]).await?;
        Ok(())
    }
}

impl Away {
    /// Whether it is so now. What is further ahead than it can be was noted by a clock that was ahead, and is over.
    fn holds(&self, now: DateTime<Utc>) -> bool {
        now < self.until && self.until - now <= TimeDelta::seconds(LONGEST as i64) + TimeDelta::minutes(1)
    }
}

fn read(id: &str, row: &Row) -> Result<Option<Away>, db::Error> {
    let (until, because): (Option<DateTime<Utc>>, Option<String>) =
        (row.try_get("away_until")?, row.try_get("away_because")?);
    Ok(until.zip(because).map(|(until, because)| Away { account: id.to_owned(), until, because }))
}

/// The CAs that are left alone at the moment.
///
/// # Errors
/// When the database does not answer.
pub async fn away(db: &impl GenericClient, now: DateTime<Utc>) -> Result<Vec<Away>, db::Error> {
    let rows = db.query(sql::ACCOUNTS, &[]).await?;
    let read = |row: &Row| read(row.try_get("id")?, row);
    let all = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(all.into_iter().flatten().filter(|away| away.holds(now)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_is_not_away_for_longer_than_it_can_be() {
        let now: DateTime<Utc> = "2026-11-30T12:00:00Z".parse().unwrap();
        for (until, holds) in [
            (TimeDelta::seconds(-1), false),
            (TimeDelta::seconds(1), true),
            (TimeDelta::minutes(15), true),
            (TimeDelta::days(365), false),
        ] {
            let away = Away { account: "ca".into(), until: now + until, because: "HTTP 503".into() };
            assert_eq!(away.holds(now), holds, "{until}");
        }
    }

    #[test]
    fn an_account_is_named_after_its_directory() {
        let of = |url: &str, kid: Option<&str>| {
            id(&Directory {
                url: url.into(),
                profile: None,
                eab: kid.map(|kid| tls::acme::Eab { kid: kid.into(), hmac_base64url: String::new() }),
                root_pem: None,
            })
        };
        for (url, kid, expected) in [
            ("https://acme-v02.api.letsencrypt.org/directory", None, "acme-v02.api.letsencrypt.org"),
            ("https://127.0.0.1:14000/dir", None, "127.0.0.1:14000"),
            ("https://acme.zerossl.com/v2/DV90", Some("k1"), "acme.zerossl.com#k1"),
        ] {
            assert_eq!(of(url, kid), expected);
        }
    }
}
