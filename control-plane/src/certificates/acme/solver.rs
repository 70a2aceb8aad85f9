//! How we prove that a name leads here: through the edge (which reads `acme_challenges`), or in the DNS for the provider's own names. What is
//! in the DNS is written down there as well, so that it is taken away even when its order is cut off.

use std::sync::Arc;

use anyhow::Context;
use bundle::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Pool;
use futures_util::future::BoxFuture;
use tls::acme::{Challenge, Kind, Solver, dns::Txt};

use super::sql;
use crate::{certificates::issuer::is_below, db};

/// After this long an answer that nobody took away is no longer given: longer than any order lasts.
const KEPT: TimeDelta = TimeDelta::hours(1);

/// Where answers can be given.
#[derive(Clone)]
pub struct Ways {
    /// What the edge can answer, the best first.
    pub edge: Vec<Kind>,
    /// Writes to the DNS below the base domain.
    pub dns: Option<Arc<dyn Txt>>,
    /// The name below which names are the provider's.
    pub base_domain: String,
}

impl Ways {
    /// Which kinds can be answered for a name, the best first. After a failure the edge's next way comes first.
    #[must_use]
    pub fn kinds(&self, name: &str, wildcard: bool, tries: i32) -> Vec<Kind> {
        let dns = (self.dns.is_some() && is_below(name, &self.base_domain)).then_some(Kind::Dns01);
        let mut edge = if wildcard { Vec::new() } else { self.edge.clone() };
        if !edge.is_empty() {
            let turn = usize::try_from(tries).unwrap_or(0) % edge.len();
            edge.rotate_left(turn);
        }
        dns.into_iter().chain(edge).collect()
    }

    /// Whether there is a way for each of these names, and a public CA could know them.
    #[must_use]
    pub fn can(&self, names: &[String]) -> bool {
        names.iter().all(|name| {
            let (bare, wildcard) = name.strip_prefix("*.").map_or((name.as_str(), false), |rest| (rest, true));
            let public = bare.contains('.')
                && !["localhost", "local", "internal", "onion"].iter().any(|top| is_below(bare, top));
            public && !self.kinds(bare, wildcard, 0).is_empty()
        })
    }
}

/// For one order.
pub(super) struct Ours<'a> {
    pub(super) ways: &'a Ways,
    pub(super) db: &'a Pool,
    pub(super) clock: &'a Clock,
    pub(super) certificate_id: &'a str,
    pub(super) tries: i32,
}

impl Solver for Ours<'_> {
    fn kinds(&self, name: &str, wildcard: bool) -> Vec<Kind> {
        // One way for each order, since one order is what the budgets count; the next try has the next way.
        self.ways.kinds(name, wildcard, self.tries).into_iter().take(1).collect()
    }

    fn present<'a>(&'a self, challenge: &'a Challenge) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            let expires = self.clock.now() + KEPT;
            let Challenge { kind, token, name, key_authorization } = challenge;
            let db = self.db.get().await?;
            if *kind == Kind::Dns01 {
                // Before it stands in the DNS: from here on this may be cut off, and somebody must know of it.
                let statement = db.prepare_cached(sql::NOTE_TXT).await?;
                db.execute(&statement, &[token, name, key_authorization, &self.certificate_id, &expires]).await?;
                drop(db);
                return self.txt()?.publish(&challenge.dns_name(), &challenge.dns_value()).await;
            }
            let (kind, statement) = (kind.as_str(), db.prepare_cached(sql::PRESENT).await?);
            db.execute(&statement, &[&kind, token, name, key_authorization, &self.certificate_id, &expires]).await?;
            Ok(())
        })
    }

    fn withdraw<'a>(&'a self, challenge: &'a Challenge) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async move {
            if challenge.kind == Kind::Dns01 {
                self.txt()?.remove(&challenge.dns_name(), &challenge.dns_value()).await?;
            }
            Ok(forget(self.db, challenge).await?)
        })
    }
}

impl Ours<'_> {
    fn txt(&self) -> anyhow::Result<&Arc<dyn Txt>> {
        self.ways.dns.as_ref().context("there is no way to write to the DNS")
    }
}

async fn forget(db: &Pool, challenge: &Challenge) -> Result<(), db::Error> {
    let db = db.get().await?;
    db.execute(&db.prepare_cached(sql::WITHDRAW).await?, &[&challenge.kind.as_str(), &challenge.token]).await?;
    Ok(())
}

/// Takes TXT values away that orders have left behind, because they were cut off or the DNS did not answer.
pub(super) async fn tidy(txt: &Arc<dyn Txt>, db: &Pool, now: DateTime<Utc>) -> Result<(), db::Error> {
    let left = db.get().await?.query(sql::LEFT_TXT, &[&now]).await?;
    for row in left {
        let (token, name, key_authorization) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let challenge = Challenge { kind: Kind::Dns01, token, name, key_authorization };
        match txt.remove(&challenge.dns_name(), &challenge.dns_value()).await {
            Ok(()) => forget(db, &challenge).await?,
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    name = challenge.dns_name(),
                    "a TXT value that an order has left cannot be taken away yet"
                );
                db.get().await?.execute(sql::LATER_TXT, &[&challenge.token, &(now + KEPT)]).await?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nowhere;

    impl Txt for Nowhere {
        fn publish<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
            Box::pin(async { Ok(()) })
        }
        fn remove<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, anyhow::Result<()>> {
            Box::pin(async { Ok(()) })
        }
    }

    #[test]
    fn each_name_has_its_ways() {
        use Kind::{Dns01, Http01, TlsAlpn01};
        let without = Ways { edge: vec![Http01, TlsAlpn01], dns: None, base_domain: "percloud.example".into() };
        let with = Ways { dns: Some(Arc::new(Nowhere)), ..without.clone() };
        for (ways, name, wildcard, tries, expected) in [
            (&without, "ada.example", false, 0, &[Http01, TlsAlpn01][..]),
            (&without, "ada.example", false, 1, &[TlsAlpn01, Http01]),
            (&without, "percloud.example", true, 0, &[]),
            (&with, "percloud.example", true, 0, &[Dns01]),
            (&with, "percloud.example", false, 0, &[Dns01, Http01, TlsAlpn01]),
            (&with, "ada.example", false, 2, &[Http01, TlsAlpn01]),
            (&with, "notpercloud.example", true, 0, &[]),
        ] {
            assert_eq!(ways.kinds(name, wildcard, tries), expected, "{name} {wildcard} {tries}");
        }
        for (ways, name, can) in [
            (&without, "ada.example", true),
            (&without, "*.percloud.example", false),
            (&with, "*.percloud.example", true),
            (&with, "*.ada.example", false),
            (&with, "percloud.localhost", false),
            (&with, "nas.local", false),
            (&with, "intranet", false),
        ] {
            assert_eq!(ways.can(&[name.to_owned()]), can, "{name}");
        }
    }
}
