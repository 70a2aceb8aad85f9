//! Own domains, against a real name server (Knot) and a real Postgres: the whole life of one, and everything that can go wrong in it.

mod asking;
mod change;
mod connected;
mod late;
mod life;
mod moved;
mod operator;
mod paused;
mod slow;
mod takeover;
mod trouble;

use std::sync::Arc;

use bundle::Domain;
use chrono::{DateTime, TimeDelta, Utc};
use control_plane::{
    audit::Actor,
    certificates::{issuer::Issuers, reconcile::Certificates},
    dns::{self, Dns},
    domains::{self, Choice, DomainRow, Observed, connect::Connect, reconcile::Domains},
    reconcile::{Stages, Turn, turn},
    tenants::Created,
};
use tls::{Seal, testing::Knot};

use crate::{cloud::TestCloud, played::Played};

/// The provider's own name in DNS.
const BASE: &str = "percloud.test";
/// Where its edge is, as owners must set it.
const EDGE: &str = "192.0.2.7";
/// Where Ada's site was before.
const OLD_SITE: &str = "203.0.113.9";
const NAME: &str = "ada.test";
const WWW: &str = "www.ada.test";
const CHALLENGE: &str = "_percloud-challenge.ada.test";

/// A provider, a percloud, and the DNS that its owner sets.
struct Scene {
    cloud: TestCloud,
    knot: Knot,
    domains: Domains,
    certificates: Certificates,
    ca: Arc<Played>,
    ada: Created,
}

/// How the name server is asked: it plays the resolver, too.
fn options(knot: &Knot) -> dns::Options {
    dns::Options { dns_servers: vec![knot.addr()], dns_allow_private: true, dns_authority_port: knot.addr().port() }
}

impl Scene {
    async fn new() -> Self {
        Self::at(Knot::start(&["test", NAME]).await.unwrap()).await
    }

    async fn at(knot: Knot) -> Self {
        let cloud = TestCloud::new().await;
        let ada = cloud.sign_up("ada").await;
        cloud.confirm(&ada).await;
        let paths = cloud.common.paths();
        tls::files::private_folder(&paths.keys()).unwrap();
        let ca = Played::start(&paths.keys(), cloud.now());
        let certificates = Certificates {
            db: cloud.worker.clone(),
            clock: cloud.clock.clone(),
            issuers: Issuers::new(vec![ca.clone()]),
            seal: Arc::new(Seal::open_or_create(&paths.seal_key()).unwrap()),
            base_domain: BASE.into(),
        };
        let dns = Dns::new(&options(&knot));
        let domains = Domains {
            db: cloud.worker.clone(),
            clock: cloud.clock.clone(),
            connect: Connect::new(dns.clone(), BASE.into(), &format!("https://{BASE}"), None),
            dns,
            base_domain: BASE.into(),
            addresses: vec![EDGE.parse().unwrap()],
            former: Vec::new(),
        };
        let scene = Self { cloud, knot, domains, certificates, ca, ada };
        scene.settle().await;
        scene
    }

    fn now(&self) -> DateTime<Utc> {
        self.cloud.now()
    }

    /// An owner claims a name; `None` when it is refused.
    async fn try_claim(&self, of: &Created, typed: &str, twin: bool) -> Result<DomainRow, domains::Error> {
        let name = domains::parse(typed, &BASE.parse::<Domain>().unwrap())?;
        let mut db = self.web().await;
        let tx = db.transaction().await.unwrap();
        let row = domains::claim(&tx, &of.id, &name, twin, &Actor::Owner, self.now()).await?;
        tx.commit().await.unwrap();
        Ok(row)
    }

    async fn claim(&self, of: &Created, typed: &str, twin: bool) -> DomainRow {
        self.try_claim(of, typed, twin).await.unwrap();
        self.settle().await;
        self.row(of).await
    }

    /// As the web role's user, with its rights.
    async fn web(&self) -> deadpool_postgres::Client {
        let url = self.cloud.url.replace("percloud_owner", "percloud_web");
        control_plane::db::pool(&url).unwrap().get().await.unwrap()
    }

    async fn choose(&self, choice: Choice) -> DomainRow {
        let mut db = self.web().await;
        let tx = db.transaction().await.unwrap();
        let main = domains::of_tenant(&tx, &self.ada.id).await.unwrap().unwrap();
        domains::choose(&tx, &main, choice, &Actor::Owner, self.now()).await.unwrap();
        tx.commit().await.unwrap();
        self.settle().await;
        self.row(&self.ada).await
    }

    async fn remove(&self, of: &Created) {
        let mut db = self.web().await;
        let tx = db.transaction().await.unwrap();
        let row = domains::of_tenant(&tx, &of.id).await.unwrap().unwrap();
        domains::remove(&tx, &row, &Actor::Owner, self.now()).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The owner asks for a look, after the pause that there must be.
    async fn ask(&self, of: &Created) -> DomainRow {
        self.cloud.clock.advance(TimeDelta::seconds(4));
        let mut db = self.web().await;
        let tx = db.transaction().await.unwrap();
        domains::ask_check(&tx, &of.id, self.now()).await.unwrap();
        tx.commit().await.unwrap();
        self.settle().await;
        self.row(of).await
    }

    async fn find(&self, of: &Created) -> Option<DomainRow> {
        domains::of_tenant(&self.cloud.db.get().await.unwrap(), &of.id).await.unwrap()
    }

    async fn row(&self, of: &Created) -> DomainRow {
        self.find(of).await.unwrap()
    }

    async fn turn(&self, stages: &Stages) -> Turn {
        turn(&self.domains, &self.cloud.worker, &self.cloud.clock, stages).await.unwrap()
    }

    /// Every reconciler, until nothing is due at this moment.
    async fn settle(&self) {
        for turns in 0.. {
            assert!(turns < 300, "this never ends");
            let domain = self.turn(&Stages::default()).await;
            let certificate =
                turn(&self.certificates, &self.cloud.worker, &self.cloud.clock, &Stages::default()).await.unwrap();
            let others = self.cloud.settle().await;
            assert!(!matches!(domain, Turn::Later(..) | Turn::Stuck(..) | Turn::Lost(_)), "{domain:?}");
            if domain == Turn::Idle && certificate == Turn::Idle && others.is_empty() {
                return;
            }
        }
    }

    async fn pass(&self, time: TimeDelta) -> DomainRow {
        self.cloud.clock.advance(time);
        self.settle().await;
        self.row(&self.ada).await
    }

    /// Everything that the owner is told to set, set.
    async fn set_all(&self, row: &DomainRow) {
        for record in row.report.as_ref().unwrap().records.iter() {
            self.knot.set(&record.host, record.kind.as_str(), &absolute(&record.value)).await.unwrap();
        }
    }

    /// Ada's percloud at `ada.test`, with `www.` leading there.
    async fn active() -> Self {
        let scene = Self::new().await;
        let row = scene.claim(&scene.ada, NAME, true).await;
        scene.set_all(&row).await;
        let row = scene.ask(&scene.ada).await;
        assert_eq!((row.observed, row.serves()), (Observed::Active, true), "{row:?}");
        scene
    }

    /// What the edge sees of a name: its state, and where it leads.
    async fn route(&self, host: &str) -> Option<String> {
        let db = self.cloud.db.get().await.unwrap();
        let row =
            db.query_opt("select state, redirect_to from edge_routes where host = $1", &[&host]).await.unwrap()?;
        let (state, to): (String, Option<String>) = (row.get(0), row.get(1));
        Some(to.map_or(state, |to| format!("to {to}")))
    }

    /// The host names for which certificates are wanted.
    async fn certified(&self) -> Vec<String> {
        self.cloud
            .value("select coalesce(array_agg(names[1] order by names[1]), '{}') from certificates where wanted = 'issued'")
            .await
    }

    /// The kinds of mails about domains, oldest first.
    async fn mails(&self) -> Vec<String> {
        self.cloud
            .value("select coalesce(array_agg(kind order by id), '{}') from mails where kind like 'domain-%'")
            .await
    }

    async fn own_domain(&self, of: &Created) -> Option<String> {
        self.cloud.value(&format!("select own_domain from tenants where id = '{}'", of.id)).await
    }
}

/// A name in a value must be said in full to a name server; an address or a text is as it is.
fn absolute(value: &str) -> String {
    let is_name = value.parse::<std::net::IpAddr>().is_err() && !value.contains('=');
    if is_name { format!("{}.", value.trim_end_matches('.')) } else { value.to_owned() }
}

/// A report in short: `TXT ok`, `A points-elsewhere 203.0.113.9`.
fn words(row: &DomainRow) -> Vec<String> {
    let report = row.report.as_ref().expect("a look was taken");
    let record = |record: &domains::Record| {
        let key = record.words.key.trim_start_matches("domain.record.");
        let args: Vec<&str> = ["found", "server", "domain"]
            .iter()
            .filter_map(|arg| record.words.args.get(*arg))
            .map(String::as_str)
            .collect();
        format!("{} {key} {}", record.kind.as_str(), args.join(" ")).trim().to_owned()
    };
    report.records.iter().map(record).collect()
}

fn notices(row: &DomainRow) -> Vec<&str> {
    row.report
        .iter()
        .flat_map(|report| &report.notices)
        .map(|words| words.key.trim_start_matches("domain.notice."))
        .collect()
}
