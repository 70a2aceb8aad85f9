//! What the operator pays, kept; and what a month costs by it.

use chrono::{DateTime, Days, Utc};
use tokio_postgres::Row;

use super::{
    costs::{Costs, Elapsed, Prices, Share, costs},
    list::Month,
    sql,
};
use crate::db::{self, GenericClient};

/// Why there are no costs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody has said what anything costs.
    #[error(
        "nobody has said yet what anything costs: say it with `percloud admin costs set --currency EUR --machine 49.00`, and see \
        `percloud admin costs set --help` for power, disk and traffic"
    )]
    NoPrices,
    /// The month has not begun.
    #[error("{0} has not begun")]
    NotBegun(Month),
    /// The database.
    #[error(transparent)]
    Db(#[from] db::Error),
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

/// What the operator pays; none while nobody has said.
///
/// # Errors
/// When the database does not answer.
pub async fn get(db: &impl GenericClient) -> Result<Option<Prices>, db::Error> {
    let Some(row) = db.query_opt(sql::PRICES, &[]).await? else { return Ok(None) };
    Ok(Some(Prices {
        currency: row.try_get("currency")?,
        machine_micros: row.try_get("machine_micros")?,
        machines: row.try_get("machines")?,
        share_percent: row.try_get("share_percent")?,
        watts: row.try_get("watts")?,
        kwh_micros: row.try_get("kwh_micros")?,
        storage_gb_micros: row.try_get("storage_gb_micros")?,
        egress_gb_micros: row.try_get("egress_gb_micros")?,
        weight_base: row.try_get("weight_base")?,
        weight_cpu: row.try_get("weight_cpu")?,
        weight_memory: row.try_get("weight_memory")?,
    }))
}

/// Says it anew, all of it.
///
/// # Errors
/// When the database does not answer, or refuses what makes no sense.
pub async fn set(db: &impl GenericClient, prices: &Prices) -> Result<(), db::Error> {
    let Prices {
        currency,
        machine_micros,
        machines,
        share_percent,
        watts,
        kwh_micros,
        storage_gb_micros,
        egress_gb_micros,
        ..
    } = prices;
    let Prices { weight_base, weight_cpu, weight_memory, .. } = prices;
    db.execute(
        sql::SET_PRICES,
        &[
            currency,
            machine_micros,
            machines,
            share_percent,
            watts,
            kwh_micros,
            storage_gb_micros,
            egress_gb_micros,
            weight_base,
            weight_cpu,
            weight_memory,
        ],
    )
    .await?;
    Ok(())
}

/// What a month cost, or has cost so far.
#[derive(Clone, Debug)]
pub struct Bill {
    /// Which.
    pub month: Month,
    /// How far it has come.
    pub elapsed: Elapsed,
    /// By these prices: those of now, whatever they were then.
    pub prices: Prices,
    /// What it cost.
    pub costs: Costs,
}

/// Works out what a month costs.
///
/// # Errors
/// `NoPrices`, `NotBegun`, or when the database does not answer.
pub async fn bill(db: &impl GenericClient, month: Month, now: DateTime<Utc>) -> Result<Bill, Error> {
    let elapsed = Elapsed::of(month, now).ok_or(Error::NotBegun(month))?;
    let prices = get(db).await?.ok_or(Error::NoPrices)?;
    // Days that are still to come were made by a clock that was wrong.
    let end = month.end().min(now.date_naive() + Days::new(1));
    let rows = db.query(sql::SHARES, &[&month.first(), &end]).await?;
    let shares = rows.iter().map(share).collect::<Result<Vec<_>, _>>()?;
    let costs = costs(&prices, elapsed, &shares);
    Ok(Bill { month, elapsed, prices, costs })
}

fn share(row: &Row) -> Result<Share, db::Error> {
    Ok(Share {
        tenant_id: row.try_get("tenant_id")?,
        domain: row.try_get("domain")?,
        days: row.try_get("days")?,
        cpu_micros: row.try_get("cpu_micros")?,
        memory_byte_seconds: row.try_get("memory_byte_seconds")?,
        storage_byte_days: row.try_get("storage_byte_days")?,
        egress_bytes: row.try_get("egress_bytes")?,
    })
}
