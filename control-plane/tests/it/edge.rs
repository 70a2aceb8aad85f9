//! The edge and Postgres: what it learns, and that it needs Postgres for nothing else.

use std::{net::SocketAddr, sync::Arc};

use bundle::Clock;
use control_plane::{
    certificates::{
        issuer::{Issuers, Local},
        reconcile::Certificates,
    },
    config::SealOptions,
    edge,
    reconcile::{Stages, turn},
};
use tls::Seal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};

use crate::{
    cloud::{TestCloud, Wish},
    postgres::{self, Cluster, eventually},
};

/// An edge on a port of its own, and a browser that trusts the provider's root.
struct Front {
    port: u16,
    browser: reqwest::Client,
    edge: JoinHandle<anyhow::Result<()>>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.edge.abort();
    }
}

/// Has the provider's certificate made; gives the root that a browser must trust.
pub(crate) async fn certify(cloud: &TestCloud) -> String {
    let paths = cloud.common.paths();
    tls::files::private_folder(&paths.keys()).unwrap();
    let certificates = Certificates {
        db: cloud.db.clone(),
        // The browser verifies against the machine's clock.
        clock: Clock::system(),
        issuers: Issuers::new(vec![Arc::new(Local::new(&cloud.common))]),
        seal: Arc::new(Seal::open_or_create(&paths.seal_key()).unwrap()),
        base_domain: "percloud.localhost".into(),
    };
    let names = control_plane::certificates::provider_names("percloud.localhost");
    control_plane::certificates::want(&cloud.db.get().await.unwrap(), None, &names, cloud.now()).await.unwrap();
    turn(&certificates, &cloud.db, &certificates.clock, &Stages::default()).await.unwrap();
    std::fs::read_to_string(paths.keys().join("ca.pem")).unwrap()
}

impl Front {
    async fn open(cloud: &TestCloud) -> Self {
        Self::open_behind(cloud, None).await
    }

    /// Behind something that leads this port to it.
    async fn open_behind(cloud: &TestCloud, public_port: Option<u16>) -> Self {
        let root = certify(cloud).await;
        let port = tls::testing::free_port().unwrap();
        let mut common = cloud.common.clone();
        (common.port, common.public_port) = (port, public_port);
        let options = edge::Options {
            common,
            seal: SealOptions::default(),
            certificates_in_memory: 16,
            certificates_sealed_mib: 0,
            listen: vec!["127.0.0.1".parse().unwrap()],
            http_port: None,
            workers: Some(1),
            proxy_protocol: Vec::new(),
            requests_per_second: 1000,
            take_over: false,
            alt_svc: None,
        };
        let edge = tokio::spawn(edge::run(options));
        let root = reqwest::Certificate::from_pem(root.as_bytes()).unwrap();
        let mut browser = reqwest::Client::builder().tls_certs_only([root]).no_proxy();
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        for name in ["ada", "bob"] {
            browser = browser.resolve(&format!("{name}.percloud.localhost"), at);
        }
        Self { port, browser: browser.build().unwrap(), edge }
    }

    async fn get(&self, name: &str) -> Option<(u16, String)> {
        let url = format!("https://{name}.percloud.localhost:{}/hello", self.port);
        let answer = self.browser.get(url).send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    }

    async fn comes_to(&self, name: &str, status: u16) -> String {
        eventually(&format!("{name} to answer {status}"), async || {
            let (got, text) = self.get(name).await?;
            (got == status).then_some(text)
        })
        .await
    }
}

#[tokio::test]
async fn visitors_are_sent_to_the_port_that_people_see() {
    let cloud = TestCloud::new().await;
    let front = Front::open_behind(&cloud, Some(443)).await;
    cloud.sign_up("ada").await;
    cloud.settle().await;
    front.comes_to("ada", 200).await;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", front.port)).await.unwrap();
    let request = b"GET /hello HTTP/1.1\r\nhost: ada.percloud.localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    assert!(page.contains("\"https://ada.percloud.localhost/hello\""), "{page}");
}

#[tokio::test]
async fn a_sign_up_is_at_the_edge_at_once_and_so_is_every_change() {
    let cloud = TestCloud::new().await;
    let front = Front::open(&cloud).await;
    front.comes_to("ada", 404).await;
    let ada = cloud.sign_up("ada").await;
    let preparing = front.comes_to("ada", 503).await;
    assert!(preparing.contains("refresh"), "{preparing}");
    cloud.settle().await;
    let answer = front.comes_to("ada", 200).await;
    assert!(answer.contains("GET /hello"), "{answer}");
    cloud.wish(&ada.id, Wish::Suspend).await.unwrap();
    front.comes_to("ada", 503).await;
    cloud.wish(&ada.id, Wish::Resume).await.unwrap();
    front.comes_to("ada", 200).await;
    cloud.wish(&ada.id, Wish::Delete).await.unwrap();
    front.comes_to("ada", 404).await;
}

#[tokio::test]
async fn while_postgres_is_away_visitors_notice_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::own(&folder.path().join("pg"));
    postgres::execute(&cluster.url("postgres"), "create database own").await;
    let url = cluster.url("own");
    postgres::prepare(&url).await;
    let cloud = TestCloud::with(url, None);
    let front = Front::open(&cloud).await;
    cloud.sign_up("ada").await;
    cloud.settle().await;
    front.comes_to("ada", 200).await;
    cluster.kill();
    for _ in 0..5 {
        assert_eq!(front.get("ada").await.unwrap().0, 200, "with Postgres gone");
        assert_eq!(front.get("bob").await.unwrap().0, 404);
    }
    cluster.start();
    eventually("Bob's sign-up", async || cloud.try_sign_up("bob", "bob@example.org").await.ok()).await;
    eventually("Bob's percloud", async || {
        cloud.settle().await;
        cloud.route(&"bob.percloud.localhost".parse().unwrap()).await.filter(|state| state == "running")
    })
    .await;
    front.comes_to("bob", 200).await;
    assert_eq!(front.get("ada").await.unwrap().0, 200);
}
