//! What is done beside the turns: metrics once a minute, and what nobody needs any more is swept.

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Pool;

use super::{Counts, acme, counts, reconcile::TURN_LIMIT};
use crate::db;

/// Attempts are kept a little longer than the longest window in which they are counted.
const ATTEMPTS_KEPT: TimeDelta = TimeDelta::days(8);

/// Sweeps, and says how things are.
pub(super) async fn once(db: &Pool, now: DateTime<Utc>) -> Result<(), db::Error> {
    let db = db.get().await?;
    if db.query_one(crate::reconcile::sql::CLOCKS_AGREE, &[&now]).await?.try_get(0)? {
        acme::budgets::set_right(&db, now).await?;
    }
    db.execute(acme::sql::FORGET_CHALLENGES, &[&now]).await?;
    db.execute(acme::sql::FORGET_ATTEMPTS, &[&(now - ATTEMPTS_KEPT)]).await?;
    db.execute(acme::sql::CUT_OFF, &[&(now - TURN_LIMIT)]).await?;
    show(&counts(&db, now).await?, now);
    for used in acme::used(&db, now).await? {
        metrics::gauge!("percloud_acme_orders_in_window", "account" => used.account).set(used.orders as f64);
    }
    metrics::gauge!("percloud_acme_away").set(acme::accounts::away(&db, now).await?.len() as f64);
    Ok(())
}

fn show(counts: &Counts, now: DateTime<Utc>) {
    let Counts { issued, pending, waiting, failing, renewals_failing, paused, ended, earliest_end } = *counts;
    for (state, count) in [
        ("issued", issued),
        ("pending", pending),
        ("waiting", waiting),
        ("failing", failing),
        ("paused", paused),
        ("ended", ended),
    ] {
        metrics::gauge!("percloud_certificates", "state" => state).set(count as f64);
    }
    metrics::gauge!("percloud_certificates_renewals_failing").set(renewals_failing as f64);
    if let Some(end) = earliest_end {
        metrics::gauge!("percloud_certificates_earliest_end_seconds").set((end - now).num_seconds() as f64);
    }
}
