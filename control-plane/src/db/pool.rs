//! A pool that fails fast: a request that waits for a database which is away gets its 503 within seconds.

use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use tokio_postgres::NoTls;

/// A server that has confirmed nothing for so long is gone.
const GONE_AFTER: Duration = Duration::from_secs(10);

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
    // A server that is gone without a word (a failover, a pulled cable) would be waited for as long as the kernel resends, a quarter of an
    // hour: by what was sent and is not confirmed, and where nothing was, by questions.
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(GONE_AFTER);
    }
    config.keepalives_idle(Duration::from_secs(4)).keepalives_interval(Duration::from_secs(2)).keepalives_retries(3);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_gone_without_a_word_is_known_to_be_within_seconds() {
        let read = |url: &str| config(url).unwrap();
        let ours = read("postgres://u@db.example/d");
        assert_eq!(ours.get_tcp_user_timeout(), Some(&GONE_AFTER));
        let (idle, interval) = (ours.get_keepalives_idle(), ours.get_keepalives_interval().unwrap());
        assert_eq!(idle + interval * ours.get_keepalives_retries().unwrap(), GONE_AFTER);
        let own = read("postgres://u@db.example/d?tcp_user_timeout=60");
        assert_eq!(own.get_tcp_user_timeout(), Some(&Duration::from_secs(60)));
    }
}
