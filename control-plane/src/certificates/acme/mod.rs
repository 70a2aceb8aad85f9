//! Public CAs by ACME: an [`Issuer`] for each directory.
//!
//! Before a CA is asked: is it away ([`accounts`]), does the domain let it (CAA), is there a budget ([`budgets`])? What it says is written
//! down: budgets and the other reconcilers count on it. A CA that is away costs nobody a try: the next one in order is asked. When to renew
//! is asked of a CA for minutes a day in all, so it has little time to answer, and none for a while after it did not.

pub mod accounts;
pub mod budgets;
mod solver;
pub mod sql;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bundle::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Pool;
use futures_util::future::BoxFuture;
use tls::{
    Issued, Seal,
    acme::{Account, Directory},
};

use tokio::{sync::OnceCell, time::timeout};

pub use solver::Ways;

use super::{
    caa,
    issuer::{ANYBODYS, Error, Identity, Issuer, Order, Window},
};
use crate::{db, dns::Dns};
use accounts::Kept;
use budgets::{Budgets, Outcome};

/// How long a CA may take over an order's validations, and again over its signing.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long it may take over saying when to renew.
const ASKED_FOR: Duration = Duration::from_secs(10);
/// How long nobody asks for that after it said nothing.
const UNASKED: TimeDelta = TimeDelta::minutes(15);

/// What all public issuers share.
#[derive(Clone)]
pub struct Shared {
    /// Where accounts, attempts and challenges are.
    pub db: Pool,
    /// What time it is.
    pub clock: Clock,
    /// What accounts' keys are sealed with.
    pub seal: Arc<Seal>,
    /// How names are proved.
    pub ways: Ways,
    /// What may be ordered.
    pub budgets: Budgets,
    /// Is asked about CAA, where that is possible.
    pub dns: Option<Arc<Dns>>,
}

/// A public CA.
pub struct Acme {
    kept: Kept,
    shared: Shared,
    known_as: &'static [&'static str],
    /// What its directory says of CAA, once that was asked for without an account.
    said: OnceCell<Vec<String>>,
    /// Until when it is not asked when to renew.
    unasked_until: Mutex<DateTime<Utc>>,
}

impl Acme {
    /// The CA at a directory; nothing is asked before the first order.
    #[must_use]
    pub fn new(directory: Directory, contact: Option<String>, shared: Shared) -> Self {
        let known_as = caa::known_as(&directory.url);
        let kept = Kept::new(directory, contact, shared.db.clone(), shared.seal.clone());
        let unasked_until = Mutex::new(DateTime::UNIX_EPOCH);
        Self { kept, shared, known_as, said: OnceCell::new(), unasked_until }
    }

    async fn order(&self, order: &Order<'_>) -> Result<Issued, Error> {
        self.stands_open(order.now).await?;
        let account = self.account().await?;
        self.lets(order, &account).await?;
        let reserved = self.shared.budgets.reserve(&self.shared.db, &self.kept.id, order).await;
        let attempt = reserved.map_err(|error| self.database(error))?.map_err(|used_up| {
            metrics::counter!("percloud_acme_put_off_total", "account" => self.kept.id.clone()).increment(1);
            // Not all of those who wait come back at the same moment.
            let until = used_up.until + spread(rand::random());
            Error::NotNow { until, words: used_up.words, trouble: false }
        })?;
        let solver = solver::Ours {
            ways: &self.shared.ways,
            db: &self.shared.db,
            clock: &self.shared.clock,
            certificate_id: order.id,
            tries: order.tries,
        };
        let issued = account.issue(order.names, order.replaces, &solver, PATIENCE).await;
        let issued = issued.map_err(|error| self.forbidden(error, &account));
        let outcome = match &issued {
            Ok(_) => Outcome::Issued,
            Err(tls::acme::Error::NotValidated { .. }) => Outcome::NotValidated,
            Err(tls::acme::Error::Refused(_) | tls::acme::Error::Limited { .. }) => Outcome::Refused,
            Err(tls::acme::Error::Away { .. }) => Outcome::Away,
        };
        metrics::counter!("percloud_acme_orders_total", "account" => self.kept.id.clone(), "outcome" => outcome.as_str())
            .increment(1);
        let renewal = issued.as_ref().is_ok_and(|issued| issued.replaces);
        let again = issued.as_ref().err().and_then(|error| not_before(error, order, self.shared.clock.now()));
        if let Err(error) = budgets::ended(&self.shared.db, attempt, outcome, renewal, again).await {
            tracing::warn!(%error, "how an order ended is not written down; it counts as one that runs");
        }
        match issued {
            Ok(issued) => {
                self.answered().await;
                Ok(issued)
            }
            Err(error) => Err(self.said(error).await),
        }
    }

    /// Whether the CA is not known to be away.
    async fn stands_open(&self, now: DateTime<Utc>) -> Result<(), Error> {
        match self.kept.away(now).await.map_err(|error| self.database(error))? {
            None => Ok(()),
            Some(away) => Err(Error::NotNow {
                until: away.until + TimeDelta::seconds(rand::random_range(0..30)),
                words: format!("{} is away: {}", self.kept.id, away.because),
                trouble: true,
            }),
        }
    }

    /// Whether every name's domain lets the CA issue; where the DNS does not say, the CA shall find out.
    async fn lets(&self, order: &Order<'_>, account: &Account) -> Result<(), Error> {
        let issuers = &*self.identities(account);
        let Some(dns) = self.shared.dns.as_ref().filter(|_| !issuers.is_empty()) else { return Ok(()) };
        for name in order.names {
            let (name, wildcard) = name.strip_prefix("*.").map_or((name.as_str(), false), |rest| (rest, true));
            let method = self.shared.ways.kinds(name, wildcard, order.tries).first().map(|kind| kind.as_str());
            let asked = caa::Asked { name, wildcard, issuers, account_uri: account.uri(), method };
            match caa::against(dns.resolvers(), &asked).await {
                Ok(None) => {}
                Ok(Some(words)) => {
                    return Err(Error::Refused { issuer: self.kept.id.clone(), source: anyhow::Error::msg(words) });
                }
                Err(error) => tracing::debug!(name, %error, "CAA cannot be looked up"),
            }
        }
        Ok(())
    }

    /// By which domains it is known in CAA records; none when nobody knows.
    fn identities<'a>(&self, account: &'a Account) -> Vec<&'a str> {
        let says: Vec<&str> = account.caa_identities().iter().map(String::as_str).collect();
        if says.is_empty() { self.known_as.to_vec() } else { says }
    }

    /// With whom to let in, where the CA has seen CAA records that we have not.
    fn forbidden(&self, error: tls::acme::Error, account: &Account) -> tls::acme::Error {
        match (error, self.identities(account).first()) {
            (tls::acme::Error::Refused(source), Some(ours)) if caa::forbids(&source) => {
                tls::acme::Error::Refused(source.context(caa::Forbids::unseen(ours)))
            }
            (error, _) => error,
        }
    }

    /// What its directory says of itself, and which account of ours it knows; none is made for that.
    async fn met(&self) -> Result<Option<Identity>, Error> {
        let account =
            match self.kept.is_registered(self.shared.clock.now()).await.map_err(|error| self.database(error))? {
                true => Some(self.account().await?),
                false => None,
            };
        let said = match &account {
            Some(account) => account.caa_identities(),
            None => self
                .said
                .get_or_try_init(|| caa::said_by(&self.kept.directory))
                .await
                .map_err(|source| Error::Away { issuer: self.kept.id.clone(), after: None, source })?,
        };
        let names = match said {
            [] => self.known_as.iter().map(|&name| name.to_owned()).collect(),
            said => said.to_vec(),
        };
        let kinds = self.shared.ways.kinds(ANYBODYS, false, 0);
        let methods = kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
        let account = account.map(|account| account.uri().to_owned());
        Ok(if names.is_empty() { None } else { Some(Identity { names, account, methods }) })
    }

    async fn account(&self) -> Result<Arc<Account>, Error> {
        match self.kept.account(self.shared.clock.now()).await {
            Ok(account) => Ok(account),
            Err(accounts::Error::Db(error)) => Err(self.database(error)),
            Err(accounts::Error::Acme(error)) => Err(self.said(error).await),
            Err(accounts::Error::Meanwhile(words)) => {
                Err(Error::Away { issuer: self.kept.id.clone(), after: None, source: anyhow::Error::msg(words) })
            }
        }
    }

    /// When it suggests to renew. That it does not say so in time does not make it away: what suggests may rest while orders work. But whoever
    /// has an account to open finds out what orders would.
    async fn window(&self, chain_pem: &str) -> Result<Option<Window>, Error> {
        let now = self.shared.clock.now();
        let until = *self.unasked_until.lock().unwrap_or_else(PoisonError::into_inner);
        // What is further ahead was noted by a clock that was ahead.
        if now < until && until - now <= UNASKED {
            let words = format!("{} did not say when to renew", self.kept.id);
            return Err(Error::NotNow { until, words, trouble: false });
        }
        self.stands_open(now).await?;
        let account = self.account().await?;
        let info = match timeout(ASKED_FOR, account.renewal_info(chain_pem)).await {
            Ok(info) => info.map_err(anyhow::Error::new),
            Err(_) => Err(anyhow::anyhow!("it says nothing for {} seconds", ASKED_FOR.as_secs())),
        };
        match info {
            Ok(info) => Ok(info.map(|info| {
                let tls::acme::RenewalInfo { start, end, retry_after: after, explanation } = info;
                Window { start, end, after, explanation }
            })),
            Err(source) => Err(Error::Away { issuer: self.kept.id.clone(), after: None, source }),
        }
    }

    /// What the CA said, in terms of who must do something; and whether it is away.
    async fn said(&self, error: tls::acme::Error) -> Error {
        let issuer = self.kept.id.clone();
        match error {
            tls::acme::Error::Away { after, source } => {
                let noted = self.kept.failed(self.shared.clock.now(), &format!("{source:#}")).await;
                if let Err(error) = noted {
                    tracing::debug!(%error, "that a CA is away is not written down");
                }
                Error::Away { issuer, after, source }
            }
            tls::acme::Error::Limited { after, source } => {
                self.answered().await;
                Error::Limited { issuer, after, source }
            }
            tls::acme::Error::NotValidated { name, source } => {
                self.answered().await;
                Error::NotValidated { issuer, name, source }
            }
            error if error.account_is_gone() => {
                let source = anyhow::Error::new(error);
                if let Err(error) = self.kept.forget(self.shared.clock.now()).await {
                    tracing::warn!(%error, "an account that its CA does not know any more cannot be forgotten yet");
                }
                Error::Away { issuer, after: None, source }
            }
            tls::acme::Error::Refused(source) => {
                self.answered().await;
                Error::Refused { issuer, source }
            }
        }
    }

    async fn answered(&self) {
        if let Err(error) = self.kept.answered().await {
            tracing::debug!(%error, "that a CA answers again is not written down");
        }
    }

    fn database(&self, error: db::Error) -> Error {
        Error::Away { issuer: "the database".into(), after: None, source: error.into() }
    }
}

/// When a CA wants to be asked again for these names; sooner where one that serves would end meanwhile, since many days may be a mistake.
fn not_before(error: &tls::acme::Error, order: &Order<'_>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let after = match error {
        tls::acme::Error::Away { after, .. } | tls::acme::Error::Limited { after, .. } => (*after)?,
        tls::acme::Error::NotValidated { .. } | tls::acme::Error::Refused(_) => return None,
    };
    let left = order.serving.map(|serving| serving.not_after - now);
    TimeDelta::from_std(tls::schedule::in_time(after, left)).ok().map(|after| now + after)
}

/// Up to half an hour, by chance.
fn spread(chance: f64) -> TimeDelta {
    TimeDelta::seconds((1800.0 * chance) as i64)
}

impl Issuer for Acme {
    fn name(&self) -> &str {
        &self.kept.id
    }

    fn is_public(&self) -> bool {
        true
    }

    fn has_own_root(&self) -> bool {
        self.kept.directory.root_pem.is_some()
    }

    fn can(&self, names: &[String]) -> bool {
        self.shared.ways.can(names)
    }

    fn issue<'a>(&'a self, order: &'a Order<'a>) -> BoxFuture<'a, Result<Issued, Error>> {
        Box::pin(self.order(order))
    }

    fn tidy(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Shared { db, clock, ways, .. } = &self.shared;
            let Some(txt) = &ways.dns else { return };
            if let Err(error) = solver::tidy(txt, db, clock.now()).await {
                tracing::debug!(%error, "what is left in the DNS cannot be read");
            }
        })
    }

    fn identity(&self) -> BoxFuture<'_, Result<Option<Identity>, Error>> {
        Box::pin(self.met())
    }

    fn suggests<'a>(&'a self, chain_pem: &'a str) -> BoxFuture<'a, Result<Option<Window>, Error>> {
        Box::pin(async move {
            let window = self.window(chain_pem).await;
            if let Err(Error::Away { .. }) = &window {
                let until = self.shared.clock.now() + UNASKED;
                *self.unasked_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
            }
            window
        })
    }
}

/// How much of an account's budget is in use.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Used {
    /// The account.
    pub account: String,
    /// Its orders in the last three hours.
    pub orders: i64,
}

/// What each account has ordered in the last three hours.
///
/// # Errors
/// When the database does not answer.
pub async fn used(db: &impl db::GenericClient, now: DateTime<Utc>) -> Result<Vec<Used>, db::Error> {
    let rows = db.query(sql::USED, &[&(now - budgets::ORDERS_IN)]).await?;
    rows.iter().map(|row| Ok(Used { account: row.try_get(0)?, orders: row.try_get(1)? })).collect()
}
