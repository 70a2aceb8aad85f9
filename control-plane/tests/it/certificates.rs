//! Certificates: from a wish to a key that only the edge and the reconciler can open, and renewal.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use chrono::TimeDelta;
use control_plane::{
    certificates::{
        self, Filter,
        issuer::{self, Issuer, Issuers, Local, Order},
        reconcile::Certificates,
    },
    reconcile::{Stage, Stages, Turn, turn},
};
use futures_util::future::BoxFuture;
use tls::{Issued, Seal};

use crate::cloud::TestCloud;

/// The local CA, which can be told to fail and counts.
struct Moody {
    ca: Local,
    asked: AtomicUsize,
    fails: AtomicUsize,
}

impl Issuer for Moody {
    fn name(&self) -> &str {
        "local"
    }
    fn can(&self, names: &[String]) -> bool {
        self.ca.can(names)
    }
    fn issue<'a>(&'a self, order: &'a Order<'a>) -> BoxFuture<'a, Result<Issued, issuer::Error>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) > 0 {
            self.fails.fetch_sub(1, Ordering::SeqCst);
            let source = anyhow::anyhow!("connection refused");
            return Box::pin(async { Err(issuer::Error::Away { issuer: "the CA".into(), after: None, source }) });
        }
        self.ca.issue(order)
    }
    fn stands_by(&self, chain_pem: &str, now: chrono::DateTime<chrono::Utc>) -> bool {
        self.ca.stands_by(chain_pem, now)
    }
}

fn noun(cloud: &TestCloud) -> (Certificates, Arc<Moody>) {
    let paths = cloud.common.paths();
    tls::files::private_folder(&paths.keys()).unwrap();
    let issuer =
        Arc::new(Moody { ca: Local::new(&cloud.common), asked: AtomicUsize::new(0), fails: AtomicUsize::new(0) });
    let seal = Arc::new(Seal::open_or_create(&paths.seal_key()).unwrap());
    let certificates = Certificates {
        db: cloud.db.clone(),
        clock: cloud.clock.clone(),
        issuers: Issuers::new(vec![issuer.clone()]),
        seal,
        base_domain: "percloud.localhost".into(),
    };
    (certificates, issuer)
}

async fn settle(cloud: &TestCloud, noun: &Certificates) -> Vec<Turn> {
    let mut turns = Vec::new();
    loop {
        match turn(noun, &cloud.db, &cloud.clock, &Stages::default()).await.unwrap() {
            Turn::Idle => return turns,
            other => turns.push(other),
        }
        assert!(turns.len() < 100, "{turns:?}");
    }
}

async fn want(cloud: &TestCloud) {
    let names = certificates::provider_names("percloud.localhost");
    certificates::want(&cloud.db.get().await.unwrap(), None, &names, cloud.now()).await.unwrap();
}

async fn one(cloud: &TestCloud) -> certificates::Certificate {
    let all = certificates::list(&cloud.db.get().await.unwrap(), &Filter::default()).await.unwrap();
    assert_eq!(all.len(), 1);
    all.into_iter().next().unwrap()
}

#[tokio::test]
async fn a_wish_becomes_a_certificate_whose_key_is_sealed() {
    let cloud = TestCloud::new().await;
    let (noun, issuer) = noun(&cloud);
    for _ in 0..3 {
        want(&cloud).await;
        settle(&cloud, &noun).await;
    }
    assert_eq!(issuer.asked.load(Ordering::SeqCst), 1, "wanted thrice, issued once");
    let certificate = one(&cloud).await;
    let validity = certificate.validity.unwrap();
    assert_eq!(validity.not_after, cloud.now() + TimeDelta::days(90));
    assert_eq!((certificate.tries, certificate.last_error, certificate.issuer.as_deref()), (0, None, Some("local")));
    let sealed: Vec<u8> = cloud.value("select key_sealed from certificates").await;
    let key = noun.seal.open_sealed(&certificates::sealed_for(&certificate.id), &sealed).unwrap();
    assert!(!sealed.windows(16).any(|part| key.windows(16).any(|secret| secret == part)));
    assert!(
        noun.seal.open_sealed(&certificates::sealed_for("c-aaaaaaaaaaaaaaaa"), &sealed).is_err(),
        "moved to another row it does not open"
    );
}

#[tokio::test]
async fn it_is_renewed_in_time_and_a_ca_that_is_away_is_waited_for() {
    let cloud = TestCloud::new().await;
    let (noun, issuer) = noun(&cloud);
    want(&cloud).await;
    settle(&cloud, &noun).await;
    let first: String = cloud.value("select chain_pem from certificates").await;
    // 60 days, and up to three earlier by chance.
    cloud.clock.advance(TimeDelta::days(56));
    settle(&cloud, &noun).await;
    assert_eq!(cloud.value::<String>("select chain_pem from certificates").await, first, "not before a third is left");
    issuer.fails.store(2, Ordering::SeqCst);
    cloud.clock.advance(TimeDelta::days(5));
    let turns = settle(&cloud, &noun).await;
    assert!(
        matches!(&turns[..], [Turn::Later(_, words)] if words == "the CA is away: connection refused"),
        "{turns:?}"
    );
    let failing = one(&cloud).await;
    assert_eq!((failing.tries, failing.last_error.as_deref()), (1, Some("the CA is away: connection refused")));
    assert_eq!(
        cloud.value::<String>("select chain_pem from certificates").await,
        first,
        "the old one serves until then"
    );
    for _ in 0..3 {
        cloud.clock.advance(TimeDelta::minutes(10));
        settle(&cloud, &noun).await;
    }
    assert_ne!(cloud.value::<String>("select chain_pem from certificates").await, first);
    let renewed = one(&cloud).await;
    assert_eq!((renewed.tries, renewed.last_error), (0, None));
    assert!(renewed.validity.unwrap().not_after > cloud.now() + TimeDelta::days(89));
}

#[tokio::test]
async fn lost_keys_and_a_replaced_root_mend_themselves() {
    let cloud = TestCloud::new().await;
    let (noun, _) = noun(&cloud);
    want(&cloud).await;
    settle(&cloud, &noun).await;
    let first: String = cloud.value("select chain_pem from certificates").await;
    std::fs::remove_file(cloud.common.paths().keys().join("ca.pem")).unwrap();
    std::fs::remove_file(cloud.common.paths().keys().join("ca.key")).unwrap();
    cloud.clock.advance(TimeDelta::hours(8));
    settle(&cloud, &noun).await;
    let second: String = cloud.value("select chain_pem from certificates").await;
    assert_ne!(first, second, "people trust the new root only");
    std::fs::remove_file(cloud.common.paths().seal_key()).unwrap();
    let (noun, _) = self::noun(&cloud);
    cloud.clock.advance(TimeDelta::hours(8));
    settle(&cloud, &noun).await;
    assert_ne!(
        second,
        cloud.value::<String>("select chain_pem from certificates").await,
        "a key that does not open is no key"
    );
}

#[tokio::test]
async fn a_death_at_any_stage_ends_in_a_certificate() {
    for stage in Stage::ALL {
        let cloud = TestCloud::new().await;
        let (noun, _) = noun(&cloud);
        want(&cloud).await;
        let dies = Stages::new(move |at| at == stage);
        turn(&noun, &cloud.db, &cloud.clock, &dies).await.unwrap();
        cloud.sql("update certificates set claimed_until = '-infinity'").await;
        settle(&cloud, &noun).await;
        assert!(one(&cloud).await.validity.is_some(), "{stage:?}");
    }
}

#[tokio::test]
async fn what_is_not_wanted_any_more_goes() {
    let cloud = TestCloud::new().await;
    let (noun, _) = noun(&cloud);
    want(&cloud).await;
    settle(&cloud, &noun).await;
    let names = certificates::provider_names("percloud.localhost");
    certificates::unwant(&cloud.db.get().await.unwrap(), None, &names, cloud.now()).await.unwrap();
    settle(&cloud, &noun).await;
    assert!(certificates::list(&cloud.db.get().await.unwrap(), &Filter::default()).await.unwrap().is_empty());
}

/// A CA that says when it may be asked again.
struct Busy(std::time::Duration);

impl Issuer for Busy {
    fn name(&self) -> &str {
        "busy"
    }
    fn can(&self, _: &[String]) -> bool {
        true
    }
    fn issue<'a>(&'a self, _: &'a Order<'a>) -> BoxFuture<'a, Result<Issued, issuer::Error>> {
        let (after, source) = (Some(self.0), anyhow::anyhow!("too many requests"));
        Box::pin(async move { Err(issuer::Error::Away { issuer: "busy".into(), after, source }) })
    }
}

#[tokio::test]
async fn a_ca_that_names_a_time_is_not_asked_before() {
    let cloud = TestCloud::new().await;
    let (noun, _) = noun(&cloud);
    let hours = std::time::Duration::from_secs(7200);
    let noun = Certificates { issuers: Issuers::new(vec![Arc::new(Busy(hours))]), ..noun };
    want(&cloud).await;
    settle(&cloud, &noun).await;
    let due = one(&cloud).await.due_at.unwrap();
    assert!(due >= cloud.now() + TimeDelta::hours(2), "{due}");
    assert!(one(&cloud).await.last_error.unwrap().contains("too many requests"));
}
