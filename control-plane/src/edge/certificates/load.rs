//! From a row to a certificate that can be shown.

use std::sync::Arc;

use anyhow::Context;
use deadpool_postgres::Pool;
use rustls::ServerConfig;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tls::{Certified, Seal};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Duration, Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::kept::Kept;
use super::{AGAIN, Certificates, Entry, Held, Id};
use crate::edge::{limits, sql};
use crate::{certificates, db};

/// Loaded at the same time; more would take connections from others and be no faster.
const AT_ONCE: usize = 8;
/// Between two questions to a database that is away.
const PAUSE: Duration = Duration::from_millis(200);
/// For one answer: a handshake has time to ask again on another connection.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where certificates are, and what opens them.
#[derive(Clone)]
pub(in crate::edge) struct Source {
    pub(in crate::edge) db: Pool,
    /// Not a worker's: what a worker's visitors wait for must not end with them, and must not hold the others up.
    pub(in crate::edge) runtime: Handle,
    pub(super) seal: Arc<Seal>,
    places: Arc<Semaphore>,
}

impl Source {
    /// Asks nothing yet. Loading is done where this is called.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub(in crate::edge) fn new(url: &str, seal: Seal) -> anyhow::Result<Self> {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Ok(Self { db: db::pool(url)?, runtime: Handle::current(), seal: Arc::new(seal), places })
    }

    /// Chain and sealed key; none when the row is gone.
    async fn row(&self, id: &str) -> Result<Option<(String, Vec<u8>)>, db::Error> {
        let _place = self.places.acquire().await;
        let db = self.db.get().await?;
        let row = timeout(PATIENCE, async { Ok::<_, db::Error>(db.query_opt(sql::CERTIFICATE, &[&id]).await?) }).await;
        db::in_time(db, row)?.map(|row| Ok((row.try_get("chain_pem")?, row.try_get("key_sealed")?))).transpose()
    }

    /// The same; with `patience`, a database that is away is waited for.
    async fn patient_row(&self, id: &str, patience: Duration) -> Result<Option<(String, Vec<u8>)>, db::Error> {
        let end = Instant::now() + patience;
        loop {
            match self.row(id).await {
                Err(db::Error::Unavailable(_)) if Instant::now() + PAUSE < end => sleep(PAUSE).await,
                outcome => return outcome,
            }
        }
    }

    async fn load(
        self,
        id: Id,
        base: Arc<ServerConfig>,
        kept: Arc<Kept>,
        pinned: bool,
        patience: Duration,
    ) -> anyhow::Result<Arc<Held>> {
        let text = id.to_string();
        let (chain, sealed) = self.patient_row(&text, patience).await?.context("it is gone")?;
        let version = version(&sealed);
        let seal = self.seal.clone();
        // Parsing takes its time, and keys that come from a program take their own.
        let open = move || {
            let key = opened(&seal, &text, &sealed)?;
            let certified = Certified::new(&chain, PrivatePkcs8KeyDer::from(key.clone()).into())?;
            kept.put(id, version, &chain, &key);
            anyhow::Ok(tls::serving(&base, certified.key()))
        };
        Ok(Arc::new(match tokio::task::spawn_blocking(open).await? {
            Ok(config) => Held { version, config: Some(Arc::new(config)), pinned, again: Mutex::default() },
            Err(error) => {
                tracing::error!(certificate.id = %id, error = format!("{error:#}"), "a certificate cannot be used");
                Held { version, config: None, pinned: false, again: Mutex::new(Some(Instant::now() + AGAIN)) }
            }
        }))
    }
}

/// The key of the certificate with this id.
pub(super) fn opened(seal: &Seal, id: &str, sealed: &[u8]) -> anyhow::Result<Vec<u8>> {
    seal.open_sealed(&certificates::sealed_for(id), sealed)
}

/// What changes whenever a key is sealed: a part of the nonce. The statements in `sql` take the same part.
pub(super) fn version(sealed: &[u8]) -> u64 {
    sealed.get(9..17).and_then(|part| part.try_into().ok()).map_or(0, u64::from_be_bytes)
}

impl Certificates {
    /// Loads one; an error is none of the certificate's.
    pub(super) async fn load(&self, entry: Entry, patient: bool) -> anyhow::Result<Arc<Held>> {
        let source = self.source.get().context("nobody said where certificates are")?.clone();
        let pinned = self.is_own(entry.id);
        let patience = if patient { limits::HANDSHAKE } else { Duration::ZERO };
        let runtime = source.runtime.clone();
        let (base, kept) = (self.nobody.clone(), self.kept.clone());
        let loaded = runtime.spawn(source.load(entry.id, base, kept, pinned, patience));
        let loaded = AbortOnDropHandle::new(loaded).await?;
        let outcome = match &loaded {
            Ok(held) if held.config.is_some() => "done",
            Ok(_) => "unusable",
            Err(_) => "failed",
        };
        metrics::counter!("percloud_edge_certificate_loads_total", "outcome" => outcome).increment(1);
        loaded
    }
}

/// Since 1970; of what is earlier or later than can be said, the earliest or latest that can.
pub(super) fn seconds(time: chrono::DateTime<chrono::Utc>) -> u32 {
    u32::try_from(time.timestamp().max(0)).unwrap_or(u32::MAX)
}

/// Reads what the index needs of a row.
pub(in crate::edge) fn entry(row: &tokio_postgres::Row) -> anyhow::Result<(Entry, Vec<&str>)> {
    let id: &str = row.try_get("id")?;
    let id = Id::parse(id).with_context(|| format!("{id} is no certificate's id"))?;
    let part: &[u8] = row.try_get("version")?;
    let version = part.try_into().map_or(0, u64::from_be_bytes);
    let not_after: chrono::DateTime<chrono::Utc> = row.try_get("not_after")?;
    let not_after = seconds(not_after);
    let entry = Entry { id, version, not_after, public: row.try_get("public")? };
    Ok((entry, row.try_get("names")?))
}
