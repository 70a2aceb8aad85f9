//! A public CA that is played, for what a real one does only with luck: it issues for every name, or says what it was told to say.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use chrono::{DateTime, Utc};
use control_plane::certificates::issuer::{Error, Issuer, Order};
use futures_util::future::BoxFuture;
use tls::{Issued, LocalCa};

/// What it does with an order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Says {
    /// A certificate for so many days.
    Days(u16),
    /// Nothing of use.
    Away,
    /// It has closed our account.
    Refuses,
    /// The name does not lead here.
    SeesElsewhere,
    /// A budget is used up until then.
    Full(DateTime<Utc>),
}

/// The CA.
pub(crate) struct Played {
    ca: LocalCa,
    says: Mutex<Says>,
}

impl Played {
    /// It issues for 90 days, with its key in this folder.
    pub(crate) fn start(keys: &Path, now: DateTime<Utc>) -> Arc<Self> {
        let ca = LocalCa::open_or_create(keys, "Test", &[], now).unwrap();
        Arc::new(Self { ca, says: Mutex::new(Says::Days(90)) })
    }

    /// From now on.
    pub(crate) fn say(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    fn answer(&self, order: &Order<'_>) -> Result<Issued, Error> {
        let (issuer, says) = ("played".to_owned(), *self.says.lock().unwrap());
        match says {
            Says::Days(days) => {
                let names: Vec<&str> = order.names.iter().map(String::as_str).collect();
                Ok(self.ca.issue(&names, days, order.now).unwrap())
            }
            Says::Away => Err(Error::Away { issuer, after: None, source: anyhow::anyhow!("HTTP 503") }),
            Says::Refuses => Err(Error::Refused { issuer, source: anyhow::anyhow!("the account is deactivated") }),
            Says::SeesElsewhere => {
                let (name, source) = (order.names[0].clone(), anyhow::anyhow!("connection refused"));
                Err(Error::NotValidated { issuer, name, source })
            }
            Says::Full(until) => {
                Err(Error::NotNow { until, words: "300 orders within three hours are enough".into(), trouble: false })
            }
        }
    }
}

impl Issuer for Played {
    fn name(&self) -> &str {
        "played"
    }
    fn is_public(&self) -> bool {
        true
    }
    fn can(&self, _: &[String]) -> bool {
        true
    }
    fn issue<'a>(&'a self, order: &'a Order<'a>) -> BoxFuture<'a, Result<Issued, Error>> {
        let answer = self.answer(order);
        Box::pin(async { answer })
    }
}
