//! A pool that fails fast: a request that waits for a database which is away gets its 503 within seconds.

use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use tokio_postgres::NoTls;

/// Reads a URL or a key-value string, and adds limits of our own.
///
/// # Errors
/// When it is neither.
pub fn config(url: &str) -> anyhow::Result<tokio_postgres::Config> {
    let mut config: tokio_postgres::Config =
        url.parse().context("the database URL is neither a URL nor a key-value string")?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(3));
    }
    config.keepalives_idle(Duration::from_secs(30));
    if config.get_application_name().is_none() {
        config.application_name("percloud");
    }
    Ok(config)
}

/// A pool of connections to `url`. None is opened before the first is asked for.
///
/// # Errors
/// When the URL cannot be read.
pub fn pool(url: &str) -> anyhow::Result<Pool> {
    let mut config = config(url)?;
    let options = format!(
        "{} -c statement_timeout=15s -c idle_in_transaction_session_timeout=15s -c lock_timeout=5s",
        config.get_options().unwrap_or_default()
    );
    config.options(options.trim());
    let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
    let seconds = |s| Some(Duration::from_secs(s));
    Pool::builder(manager)
        .max_size(16)
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts { wait: seconds(3), create: seconds(4), recycle: seconds(2) })
        .build()
        .context("the pool cannot be made")
}
