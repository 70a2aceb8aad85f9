//! Keeps routes and certificates true: told by NOTIFY, and by looking again now and then in case that was lost.
//!
//! Rows are taken in one by one as they come, so that a hundred thousand of them need no more memory than what is kept of them. A database
//! that is away changes nothing: what was known last stays, and visitors notice nothing.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use anyhow::Context;
use deadpool_postgres::Client;
use futures_util::{StreamExt, TryStreamExt};
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout};
use tokio_postgres::Row as DbRow;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::certificates::{Id, Source, entry};
use super::routes::{Row, State};
use super::{Edge, sql};
use crate::db::{self, Wake};

/// How often everything is read again, news or not: a belt beside the braces, since a lost connection to the database is noticed
/// and everything is read when it is back. A fifth more or less, so that several edges do not ask together.
const AGAIN: Duration = Duration::from_secs(600);
/// More single changes than this at once, and reading everything is cheaper.
const MANY: usize = 2000;
/// How long one round of reading may take: a statement has a third of it.
const PATIENCE: Duration = Duration::from_secs(45);

/// Reads the database for the edge.
pub(super) struct Watch {
    edge: Arc<Edge>,
    source: Source,
}

/// What must be read.
#[derive(Default, PartialEq, Eq, Debug)]
struct Due {
    everything: bool,
    certificates: BTreeSet<String>,
    hosts: BTreeSet<String>,
}

impl Due {
    fn add(&mut self, wake: Wake) {
        match wake {
            Wake::Missed => self.everything = true,
            Wake::Notified { channel, payload } if channel == "certificates" => drop(self.certificates.insert(payload)),
            Wake::Notified { payload, .. } => drop(self.hosts.insert(payload)),
        }
        self.everything |= self.hosts.len() + self.certificates.len() > MANY;
    }

    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Watch {
    /// Ready to read; nothing is asked yet.
    pub(super) fn new(edge: Arc<Edge>, source: Source) -> Self {
        edge.certificates.open(source.clone());
        Self { edge, source }
    }

    /// Reads for as long as the edge lives.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub(super) async fn run(self, url: &str, ending: CancellationToken) -> anyhow::Result<()> {
        let mut news = db::listen(url, &["routes", "certificates"])?;
        let mut due = Due { everything: true, ..Due::default() };
        let mut again = Instant::now() + AGAIN;
        let mut failing: Option<Instant> = None;
        let edge = self.edge.clone();
        let _filling = AbortOnDropHandle::new(self.source.runtime.spawn(async move { edge.certificates.fill().await }));
        loop {
            if !due.is_nothing() {
                match self.read(&due).await {
                    Ok(()) => {
                        if due.everything {
                            again = Instant::now() + AGAIN.mul_f64(rand::random_range(0.8..1.2));
                        }
                        due = Due::default();
                        self.edge.informed.cancel();
                        if let Some(since) = failing.take() {
                            tracing::info!(seconds = since.elapsed().as_secs(), "the database answers again");
                        }
                        self.edge.certificates.warm().await;
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
            let pause = sleep(Duration::from_secs(1));
            tokio::select! {
                Some(wake) = news.next() => due.add(wake),
                () = sleep_until(again), if !due.everything => due.everything = true,
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
        let db = self.source.db.get().await.context("no connection")?;
        let read = timeout(PATIENCE, self.read_from(&db, due)).await;
        db::in_time(db, read)
    }

    async fn read_from(&self, db: &Client, due: &Due) -> anyhow::Result<()> {
        if due.everything {
            self.all_certificates(db).await?;
            self.all_routes(db).await?;
            self.edge.certificates.known();
            return Ok(());
        }
        if !due.certificates.is_empty() {
            let ids: Vec<&String> = due.certificates.iter().collect();
            let rows = db.query(sql::CERTIFICATES_OF, &[&ids]).await?;
            let rows: Vec<_> = rows.iter().map(entry).collect::<anyhow::Result<_>>()?;
            let ids: HashSet<Id> = ids.iter().filter_map(|id| Id::parse(id)).collect();
            self.edge.certificates.change(&ids, rows);
        }
        if !due.hosts.is_empty() {
            let hosts: Vec<&String> = due.hosts.iter().collect();
            let rows = db.query(sql::ROUTES_OF, &[&hosts]).await?;
            let rows: Vec<Row> = rows.iter().map(route).collect::<anyhow::Result<_>>()?;
            let found = |host: &String| rows.iter().position(|row| *row.host == **host);
            let mut all: Vec<_> =
                hosts.into_iter().map(|host| (host, found(host).map(|at| rows[at].clone()))).collect();
            // Where a percloud answers is known before anybody is led there.
            all.sort_by_key(|(_, row)| row.as_ref().is_some_and(|row| row.redirect_to.is_some()));
            for (host, row) in all {
                self.edge.routes.set(host, row);
            }
            metrics::gauge!("percloud_edge_routes").set(self.edge.routes.len() as f64);
        }
        Ok(())
    }

    async fn all_certificates(&self, db: &Client) -> anyhow::Result<()> {
        let mut fresh = self.edge.certificates.anew();
        let mut rows = pin!(db.query_raw(sql::CERTIFICATES, NOTHING).await?);
        while let Some(row) = rows.try_next().await? {
            let (entry, names) = entry(&row)?;
            fresh.put(entry, names);
        }
        self.edge.certificates.replace(fresh);
        Ok(())
    }

    async fn all_routes(&self, db: &Client) -> anyhow::Result<()> {
        let mut fresh = self.edge.routes.anew();
        let mut rows = pin!(db.query_raw(sql::ROUTES, NOTHING).await?);
        while let Some(row) = rows.try_next().await? {
            fresh.put(route(&row)?);
        }
        fresh.replace();
        metrics::gauge!("percloud_edge_routes").set(self.edge.routes.len() as f64);
        Ok(())
    }
}

/// Parameters of a statement that has none.
const NOTHING: [&str; 0] = [];

fn route(row: &DbRow) -> anyhow::Result<Row> {
    let socket: Option<&str> = row.try_get("socket")?;
    Ok(Row {
        host: row.try_get::<_, &str>("host")?.into(),
        tenant_id: row.try_get::<_, &str>("tenant_id")?.into(),
        state: State::from_column(row.try_get("state")?),
        socket: socket.map(|socket| Path::new(socket).into()),
        redirect_to: row.try_get("redirect_to")?,
        quota_bytes: u64::try_from(row.try_get::<_, i64>("quota_bytes")?)?,
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
        let (certificates, hosts) = (["c-1".to_owned()].into(), ["a".to_owned(), "b".to_owned()].into());
        assert_eq!(due, Due { everything: false, certificates, hosts });
        due.add(Wake::Missed);
        assert!(due.everything);
        let mut due = Due::default();
        (0..=MANY).for_each(|n| due.add(note("routes", &n.to_string())));
        assert!(due.everything, "many at once are read at once");
    }
}
