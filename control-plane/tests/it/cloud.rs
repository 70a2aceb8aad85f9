//! A provider in one process: a database of its own, a clock that a test moves, a simulated host, and the reconcilers turned by hand.

use std::sync::Arc;

use bundle::{Clock, Domain, TenantId, spec::Provider};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use control_plane::{
    accounts::Email,
    audit::Actor,
    config::{Common, Paths},
    db::{self, Pool},
    hosts::{Host, simulated::Simulated},
    mails::{self, Mailer, reconcile::Mails},
    names,
    reconcile::{Stages, Turn, turn},
    tenants::{self, Created, New, Tenant, reconcile::Tenants},
    usage::roll,
};
use tempfile::TempDir;

use crate::postgres;

/// The provider.
pub(crate) struct TestCloud {
    pub(crate) url: String,
    /// As the schema's owner: for looking, and for what operators do.
    pub(crate) db: Pool,
    /// As the reconciler's user, with its rights.
    pub(crate) worker: Pool,
    pub(crate) clock: Clock,
    pub(crate) host: Simulated,
    pub(crate) common: Common,
    pub(crate) tenants: Arc<Tenants>,
    pub(crate) mails: Arc<Mails>,
    _folder: TempDir,
}

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
}

pub(crate) fn common(paths: &Paths, url: &str) -> Common {
    let data = paths.root().to_str().unwrap();
    Arguments::parse_from(["percloud", "--data", data, "--database-url", url]).common
}

impl TestCloud {
    pub(crate) async fn new() -> Self {
        Self::with(postgres::database().await, None)
    }

    /// With a mail server.
    pub(crate) async fn with_smtp(smtp_url: &str) -> Self {
        Self::with(postgres::database().await, Some(smtp_url.to_owned()))
    }

    pub(crate) fn with(url: String, smtp_url: Option<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths(folder.path().to_owned());
        let host = Simulated::serving(&paths);
        let clock = Clock::fixed("2026-03-01T12:00:00Z".parse().unwrap());
        let db = db::pool(&url).unwrap();
        let worker = db::pool(&url.replace("percloud_owner", "percloud_reconcile")).unwrap();
        let common = common(&paths, &url);
        let mailer = Mailer::new(&common, &mails::Options { smtp_url, mail_from: None }).unwrap();
        let tenants = Arc::new(Self::tenants(&worker, Arc::new(host.clone()), &clock));
        let mails = Arc::new(Mails { db: worker.clone(), clock: clock.clone(), mailer });
        Self { url, db, worker, clock, host, common, tenants, mails, _folder: folder }
    }

    /// The perclouds' reconciler, with another host for instance.
    pub(crate) fn tenants(db: &Pool, host: Arc<dyn Host>, clock: &Clock) -> Tenants {
        let provider = Provider { name: "Test".into(), url: "https://percloud.localhost:8443".into() };
        Tenants { db: db.clone(), host, clock: clock.clone(), provider, port: 8443 }
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The test's clock goes beyond the machine's, which commands have: what they want is due then.
    pub(crate) fn pass_the_machine(&self) {
        let ahead = Clock::system().now() + TimeDelta::days(1);
        self.clock.advance((ahead - self.now()).max(TimeDelta::zero()));
    }

    /// Somebody signs up.
    pub(crate) async fn sign_up(&self, name: &str) -> Created {
        self.try_sign_up(name, "ada@example.org").await.unwrap()
    }

    pub(crate) async fn try_sign_up(&self, name: &str, email: &str) -> Result<Created, tenants::Error> {
        let (name, email) = (names::check(name)?, email.parse::<Email>().unwrap());
        let base_domain: Domain = "percloud.localhost".parse().unwrap();
        let new = New {
            name: &name,
            base_domain: &base_domain,
            email: &email,
            language: "en",
            quota_bytes: 1 << 30,
            actor: &Actor::Visitor,
            confirm_url: Some("https://percloud.localhost:8443/confirm/"),
            moving: false,
        };
        let mut db = self.db.get().await.unwrap();
        let tx = db.transaction().await.unwrap();
        let created = tenants::create(&tx, &new, self.now()).await?;
        tx.commit().await.unwrap();
        Ok(created)
    }

    /// The same while the database may be away; none then.
    pub(crate) async fn try_sign_up_again(&self, name: &str) -> Option<Created> {
        if self.db.get().await.ok()?.query_one("select 1", &[]).await.is_err() {
            return None;
        }
        self.try_sign_up(name, "ada@example.org").await.ok()
    }

    /// Somebody uses the mailed link.
    pub(crate) async fn confirm(&self, created: &Created) -> Tenant {
        let mut db = self.db.get().await.unwrap();
        let tx = db.transaction().await.unwrap();
        let tenant = tenants::confirm(&tx, &created.token, self.now()).await.unwrap();
        tx.commit().await.unwrap();
        tenant
    }

    /// An operator wishes something.
    pub(crate) async fn wish(&self, id: &TenantId, wish: Wish) -> Result<Tenant, tenants::Error> {
        let mut db = self.db.get().await.unwrap();
        let tx = db.transaction().await.unwrap();
        let (id, actor) = (id.as_str(), Actor::Operator);
        let tenant = match wish {
            Wish::Suspend => tenants::suspend(&tx, id, "Please get in touch.", &actor, self.now()).await?,
            Wish::Resume => tenants::resume(&tx, id, &actor, self.now()).await?,
            Wish::Delete => tenants::delete(&tx, id, &actor, self.now()).await?,
        };
        tx.commit().await.unwrap();
        Ok(tenant)
    }

    pub(crate) async fn find(&self, id: &TenantId) -> Option<Tenant> {
        tenants::find(&self.db.get().await.unwrap(), id.as_str()).await.unwrap()
    }

    /// Turns every reconciler until nothing is due at this moment.
    pub(crate) async fn settle(&self) -> Vec<Turn> {
        let mut turns = Vec::new();
        loop {
            let tenants = self.turn(&Stages::default()).await;
            let mails = turn(&*self.mails, &self.worker, &self.clock, &Stages::default()).await.unwrap();
            if tenants == Turn::Idle && mails == Turn::Idle {
                return turns;
            }
            turns.extend([tenants, mails].into_iter().filter(|turn| *turn != Turn::Idle));
            assert!(turns.len() < 1000, "this never ends: {:?}", turns.last());
        }
    }

    /// One turn of the perclouds' reconciler.
    pub(crate) async fn turn(&self, stages: &Stages) -> Turn {
        turn(&*self.tenants, &self.worker, &self.clock, stages).await.unwrap()
    }

    /// Time passes, and everything due is done.
    pub(crate) async fn pass(&self, time: TimeDelta) -> Vec<Turn> {
        self.clock.advance(time);
        self.settle().await
    }

    /// The same with hours added up meanwhile, so that the clock is seen to go steadily and is believed when something is over.
    pub(crate) async fn pass_steadily(&self, time: TimeDelta) -> Vec<Turn> {
        let until = self.now() + time;
        loop {
            roll::when_due(&self.worker, self.now()).await.unwrap();
            let left = until - self.now();
            if left <= TimeDelta::zero() {
                return self.settle().await;
            }
            self.clock.advance(left.min(TimeDelta::hours(23)));
        }
    }

    /// The leases of dead workers run out.
    pub(crate) async fn leases_run_out(&self) {
        self.sql("update tenants set claimed_until = '-infinity'; update mails set claimed_until = '-infinity'").await;
    }

    pub(crate) async fn sql(&self, sql: &str) {
        self.db.get().await.unwrap().batch_execute(sql).await.unwrap();
    }

    /// One value.
    pub(crate) async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        self.db.get().await.unwrap().query_one(sql, &[]).await.unwrap().get(0)
    }

    /// What the edge sees.
    pub(crate) async fn route(&self, domain: &Domain) -> Option<String> {
        let db = self.db.get().await.unwrap();
        let row = db.query_opt("select state from edge_routes where host = $1", &[&domain.as_str()]).await.unwrap();
        row.map(|row| row.get(0))
    }
}

/// What operators wish for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wish {
    Suspend,
    Resume,
    Delete,
}
