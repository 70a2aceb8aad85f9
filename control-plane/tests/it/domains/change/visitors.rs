//! What visitors see of a change, with an edge, a public CA (Pebble) that comes to see whether the names lead there, and browsers that verify.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use bundle::Clock;
use control_plane::certificates::acme::{Acme, Shared, Ways, budgets::Budgets};
use control_plane::{config::SealOptions, edge};
use tls::acme::Kind;
use tls::testing::{Pebble, PebbleOptions, free_port};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;
use crate::{edge::certify, postgres::eventually};

/// Where the edge is: here.
const HERE: &str = "127.0.0.1";

/// The front door, whoever issues, and what a visitor who never stops asking has seen.
struct World {
    scene: Scene,
    _pebble: Pebble,
    browser: reqwest::Client,
    port: u16,
    edge: JoinHandle<anyhow::Result<()>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.edge.abort();
    }
}

/// A CA and a machine with much else to do take their time.
const PATIENCE: Duration = Duration::from_secs(150);

/// What was answered: the status, and where it leads.
type Answer = (u16, Option<String>);

impl World {
    async fn new() -> Self {
        let knot = Knot::start(&["test", NAME, NEXT]).await.unwrap();
        let mut scene = Scene::at(knot).await;
        scene.domains.addresses = vec![HERE.parse().unwrap()];
        // CAs and browsers have the machine's clock.
        scene.cloud.clock.advance(Clock::system().now() - scene.now());
        scene.settle().await;
        let root = certify(&scene.cloud).await;
        let (port, http_port) = (free_port().unwrap(), free_port().unwrap());
        let mut common = scene.cloud.common.clone();
        common.port = port;
        let options = edge::Options {
            common,
            seal: SealOptions::default(),
            certificates_in_memory: 16,
            certificates_sealed_mib: 0,
            listen: vec![HERE.parse().unwrap()],
            http_port: Some(http_port),
            workers: Some(1),
            proxy_protocol: Vec::new(),
            requests_per_second: 1000,
            take_over: false,
            alt_svc: None,
        };
        let edge = tokio::spawn(edge::run(options));
        eventually("the edge to listen", async || TcpStream::connect((HERE, http_port)).await.ok()).await;
        let pebble = Pebble::start(PebbleOptions { http_port, ..PebbleOptions::default() }).await.unwrap();
        scene.certificates.issuers = Issuers::new(vec![Arc::new(Acme::new(pebble.directory(), None, shared(&scene)))]);
        let roots = [root, pebble.issuing_root_pem().await.unwrap()];
        let roots = roots.map(|root| reqwest::Certificate::from_pem(root.as_bytes()).unwrap());
        let policy = reqwest::redirect::Policy::none();
        let mut browser = reqwest::Client::builder().tls_certs_only(roots).no_proxy().redirect(policy);
        for host in [OLD, NAME, WWW, NEXT, "www.lovelace.test"] {
            browser = browser.resolve(host, SocketAddr::from(([127, 0, 0, 1], port)));
        }
        Self { scene, _pebble: pebble, browser: browser.build().unwrap(), port, edge }
    }

    async fn get(&self, host: &str, path: &str) -> Result<Answer, reqwest::Error> {
        let answer = self.browser.get(format!("https://{host}:{}{path}", self.port)).send().await?;
        let to = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        Ok((answer.status().as_u16(), to))
    }

    fn at(&self, host: &str, path: &str) -> Option<String> {
        Some(format!("https://{host}:{}{path}", self.port))
    }

    async fn comes_to(&self, host: &str, status: u16) {
        eventually(&format!("{host} to answer {status}"), async || {
            self.get(host, "/").await.is_ok_and(|(got, _)| got == status).then_some(())
        })
        .await;
    }

    /// Works until the condition holds, as the roles would: Pebble, the edge and the browsers take their own time.
    async fn works_until(&self, what: &str, done: impl AsyncFn() -> bool) {
        let works = async {
            while !done().await {
                self.scene.cloud.clock.advance(Clock::system().now().max(self.scene.now()) - self.scene.now());
                let domains = self.scene.turn(&Stages::default()).await;
                assert!(!matches!(domains, Turn::Stuck(..)), "{domains:?}");
                let Scene { cloud, certificates, .. } = &self.scene;
                turn(certificates, &cloud.worker, &cloud.clock, &Stages::default()).await.unwrap();
                cloud.settle().await;
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, works).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
    }
}

fn shared(scene: &Scene) -> Shared {
    Shared {
        db: scene.cloud.worker.clone(),
        clock: scene.cloud.clock.clone(),
        seal: scene.certificates.seal.clone(),
        ways: Ways { edge: vec![Kind::Http01], dns: None, base_domain: BASE.into() },
        budgets: Budgets::default(),
        dns: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_change_every_request_to_the_present_name_is_answered() {
    let world = World::new().await;
    let scene = &world.scene;
    let row = scene.claim(&scene.ada, NAME, true).await;
    scene.set_all(&row).await;
    scene.cloud.clock.advance(TimeDelta::seconds(4));
    scene.cloud.sql("update domains set check_at = '2020-01-01', due_at = '2020-01-01'").await;
    world.works_until("the first name", async || scene.row(&scene.ada).await.serves()).await;
    world.comes_to(NAME, 200).await;
    world.works_until("its twin", async || world.get(WWW, "/").await.is_ok_and(|(status, _)| status == 308)).await;

    let seen: Mutex<Vec<Answer>> = Mutex::default();
    let asks = async {
        // One who follows: where the present name leads, there is an answer at that moment.
        for n in 0.. {
            let path = format!("/posts/{n}?a=1&b=%20");
            let answer = world.get(NAME, &path).await.expect("the present name");
            if answer.0 == 308 {
                assert_eq!(answer.1, world.at(NEXT, &path));
                assert_eq!(world.get(NEXT, &path).await.expect("the new name").0, 200, "after {n} requests");
            }
            seen.lock().unwrap().push(answer);
        }
    };
    let changes = async {
        scene.change(NEXT).await.unwrap();
        scene.set_all(&scene.next().await).await;
        world.comes_to(NAME, 200).await;
        assert!(world.get(NEXT, "/").await.is_err(), "no certificate, no name");
        scene.cloud.sql("update domains set check_at = '2020-01-01', due_at = '2020-01-01' where part = 'next'").await;
        world.works_until("the new name", async || scene.row(&scene.ada).await.name == NEXT).await;
        world.comes_to(NEXT, 200).await;
        world.comes_to(NAME, 308).await;
        let after = seen.lock().unwrap().len() + 20;
        eventually("some more requests", async || (seen.lock().unwrap().len() > after).then_some(())).await;
    };
    tokio::select! { () = asks => unreachable!(), () = changes => {} }
    let seen = seen.into_inner().unwrap();
    let served = seen.iter().take_while(|(status, to)| (*status, to) == (200, &None)).count();
    assert!(served > 5 && seen.len() - served >= 20, "{served} of {}", seen.len());
    for (status, to) in &seen[served..] {
        assert!(*status == 308 && to.is_some(), "once it leads, it leads: {status} {to:?}");
    }
    for host in [WWW, OLD] {
        let answer = world.get(host, "/posts/1?a=1&b=%20").await.unwrap();
        assert_eq!(answer, (308, world.at(NEXT, "/posts/1?a=1&b=%20")), "{host}");
    }
    world
        .works_until("the new name's twin", async || {
            world.get("www.lovelace.test", "/x").await.is_ok_and(|answer| answer == (308, world.at(NEXT, "/x")))
        })
        .await;
}
