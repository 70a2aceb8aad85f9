//! What is sealed in the database, sealed anew after the key was changed.
//!
//! Rows are taken in portions, each written in one statement and only over what it was made from: this may be killed at any
//! moment, run twice at once, and run while the reconciler seals. What no key opens stays as it is; whoever needs it asks anew.

pub mod sql;

use deadpool_postgres::GenericClient;
use tls::Seal;

use crate::{certificates, db};

/// Rows in one portion.
const PORTION: i64 = 200;

/// A column with sealed values.
struct Place {
    noun: &'static str,
    stale: &'static str,
    sealed: &'static str,
    context: fn(&str) -> String,
}

/// All of them: a noun that seals something has its line here.
const PLACES: &[Place] = &[
    Place {
        noun: "certificates",
        stale: sql::CERTIFICATES_STALE,
        sealed: sql::CERTIFICATES_SEALED,
        context: certificates::sealed_for,
    },
    Place {
        noun: "acme_accounts",
        stale: sql::ACCOUNTS_STALE,
        sealed: sql::ACCOUNTS_SEALED,
        context: certificates::acme::accounts::sealed_for,
    },
];

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Outcome {
    /// Sealed anew.
    pub anew: u64,
    /// Opened by no key that we have; they are lost.
    pub lost: u64,
}

/// Seals everything anew that an older key sealed; says after each portion how far it is.
///
/// # Errors
/// When the database or the keys cannot be had; what was done until then is done.
pub async fn seal_anew(db: &impl GenericClient, seal: &Seal, mut said: impl FnMut(Outcome)) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    for place in PLACES {
        let mut after = String::new();
        loop {
            let stale = stale(db, seal, place, &after).await?;
            let Some((last, _)) = stale.last() else { break };
            after.clone_from(last);
            let (mut ids, mut old, mut fresh) = (Vec::new(), Vec::new(), Vec::new());
            for (id, sealed) in stale {
                let context = (place.context)(&id);
                match seal.open_sealed(&context, &sealed) {
                    Ok(secret) => {
                        fresh.push(seal.seal(&context, &secret)?);
                        old.push(sealed);
                        ids.push(id);
                    }
                    Err(error) => {
                        outcome.lost += 1;
                        tracing::warn!(noun = place.noun, id, error = format!("{error:#}"), "a secret is lost");
                    }
                }
            }
            outcome.anew += db.execute(place.sealed, &[&ids, &old, &fresh]).await.map_err(db::Error::from)?;
            said(outcome);
        }
    }
    Ok(outcome)
}

/// How much an older key sealed (`anew`: it could be sealed anew).
///
/// # Errors
/// When the database or the keys cannot be had.
pub async fn survey(db: &impl GenericClient, seal: &Seal) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    for place in PLACES {
        let mut after = String::new();
        loop {
            let stale = stale(db, seal, place, &after).await?;
            let Some((last, _)) = stale.last() else { break };
            after.clone_from(last);
            let opens = |(id, sealed): &&(String, Vec<u8>)| seal.open_sealed(&(place.context)(id), sealed).is_ok();
            let good = stale.iter().filter(opens).count() as u64;
            outcome.anew += good;
            outcome.lost += stale.len() as u64 - good;
        }
    }
    Ok(outcome)
}

async fn stale(
    db: &impl GenericClient,
    seal: &Seal,
    place: &Place,
    after: &str,
) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let rows = db.query(place.stale, &[&&seal.current()?[..], &after, &PORTION]).await.map_err(db::Error::from)?;
    rows.iter().map(|row| Ok((row.try_get("id")?, row.try_get("sealed")?))).collect()
}
