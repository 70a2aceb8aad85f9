//! Keeps routes and certificates true: told by NOTIFY, and by looking again now and then in case that was lost.
//!
//! A database that is away changes nothing: what was known last stays, and visitors notice nothing.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use deadpool_postgres::Pool;
use futures_util::StreamExt;
use tls::{Certified, Seal};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};
use tokio_postgres::Row as DbRow;
use tokio_util::sync::CancellationToken;

use super::routes::{Row, State};
use super::{Edge, sql};
use crate::certificates;
use crate::db::{self, Wake};

/// How often everything is read again, news or not.
const AGAIN: Duration = Duration::from_secs(60);
/// More single changes than this at once, and reading everything is cheaper.
const MANY: usize = 100;

/// Reads the database for the edge.
pub(super) struct Watch {
    edge: Arc<Edge>,
    db: Pool,
    seal: Seal,
}

/// What must be read.
#[derive(Default, PartialEq, Eq, Debug)]
struct Due {
    everything: bool,
    certificates: bool,
    hosts: Vec<String>,
}

impl Due {
    fn add(&mut self, wake: Wake) {
        match wake {
            Wake::Missed => self.everything = true,
            Wake::Notified { channel, .. } if channel == "certificates" => self.certificates = true,
            Wake::Notified { payload, .. } if self.hosts.contains(&payload) => {}
            Wake::Notified { payload, .. } => self.hosts.push(payload),
        }
        self.everything |= self.hosts.len() > MANY;
    }

    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Watch {
    /// Ready to read; nothing is asked yet.
    ///
    /// # Errors
    /// When the URL or the sealing keys cannot be read.
    pub(super) fn new(edge: Arc<Edge>, url: &str, seal: Seal) -> anyhow::Result<Self> {
        Ok(Self { edge, db: db::pool(url)?, seal })
    }

    /// Reads for as long as the edge lives.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub(super) async fn run(self, url: &str, ending: CancellationToken) -> anyhow::Result<()> {
        let mut news = db::listen(url, &["routes", "certificates"])?;
        let mut again = interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = Due { everything: true, ..Due::default() };
        let mut failing: Option<Instant> = None;
        loop {
            if !due.is_nothing() {
                match self.read(&due).await {
                    Ok(()) => {
                        due = Due::default();
                        if let Some(since) = failing.take() {
                            tracing::info!(seconds = since.elapsed().as_secs(), "the database answers again");
                        }
                    }
                    Err(error) if failing.is_none() => {
                        failing = Some(Instant::now());
                        tracing::warn!(
                            error = format!("{error:#}"),
                            "routes and certificates cannot be read; going on with the last known"
                        );
                    }
                    Err(_) => {}
                }
            }
            let pause = tokio::time::sleep(Duration::from_secs(1));
            tokio::select! {
                Some(wake) = news.next() => due.add(wake),
                _ = again.tick() => due.everything = true,
                () = pause, if failing.is_some() => {}
                () = ending.cancelled() => return Ok(()),
            }
            // A busy minute brings many; they are read together.
            while let Some(Some(wake)) = futures_util::FutureExt::now_or_never(news.next()) {
                due.add(wake);
            }
        }
    }

    async fn read(&self, due: &Due) -> anyhow::Result<()> {
        let db = self.db.get().await.context("no connection")?;
        if due.everything || due.certificates {
            let rows = db.query(sql::CERTIFICATES, &[]).await?;
            self.certificates(&rows)?;
        }
        if due.everything {
            let rows = db.query(sql::ROUTES, &[]).await?;
            self.edge.routes.replace(rows.iter().map(route).collect::<anyhow::Result<_>>()?);
            metrics::gauge!("percloud_edge_routes").set(rows.len() as f64);
            return Ok(());
        }
        for host in &due.hosts {
            let row = db.query_opt(sql::ROUTE, &[host]).await?;
            self.edge.routes.set(host, row.as_ref().map(route).transpose()?);
        }
        Ok(())
    }

    /// One certificate that cannot be opened must not take the others away.
    fn certificates(&self, rows: &[DbRow]) -> anyhow::Result<()> {
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let id: &str = row.try_get("id")?;
            match self.open(row) {
                Ok(certified) => all.push(certified),
                Err(error) => {
                    tracing::error!(certificate.id = id, error = format!("{error:#}"), "a certificate cannot be used")
                }
            }
        }
        if all.is_empty() && !self.edge.resolver.is_empty() {
            anyhow::bail!("no certificate can be used any more");
        }
        self.edge.resolver.replace(&all, Some(&self.edge.base_domain));
        metrics::gauge!("percloud_edge_certificates").set(all.len() as f64);
        if let Some(first) = all.iter().map(Certified::not_after).min() {
            metrics::gauge!("percloud_edge_certificate_ends_seconds").set(first.timestamp() as f64);
        }
        Ok(())
    }

    fn open(&self, row: &DbRow) -> anyhow::Result<Certified> {
        let sealed: &[u8] = row.try_get("key_sealed")?;
        let key = self.seal.open_sealed(&certificates::sealed_for(row.try_get("id")?), sealed)?;
        Certified::new(row.try_get("chain_pem")?, rustls_pki_types::PrivatePkcs8KeyDer::from(key).into())
    }
}

fn route(row: &DbRow) -> anyhow::Result<Row> {
    let socket: Option<&str> = row.try_get("socket")?;
    Ok(Row {
        host: row.try_get("host")?,
        tenant_id: row.try_get("tenant_id")?,
        state: State::from_column(row.try_get("state")?),
        socket: socket.map(PathBuf::from),
        redirect_to: row.try_get("redirect_to")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_gathered_and_a_gap_means_everything() {
        let note = |channel: &str, payload: &str| Wake::Notified { channel: channel.into(), payload: payload.into() };
        let mut due = Due::default();
        assert!(due.is_nothing());
        for wake in [note("routes", "a"), note("routes", "b"), note("routes", "a"), note("certificates", "c-1")] {
            due.add(wake);
        }
        assert_eq!(due, Due { everything: false, certificates: true, hosts: vec!["a".into(), "b".into()] });
        due.add(Wake::Missed);
        assert!(due.everything);
        let mut due = Due::default();
        (0..=MANY).for_each(|n| due.add(note("routes", &n.to_string())));
        assert!(due.everything, "many at once are read at once");
    }
}
