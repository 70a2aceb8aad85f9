//! Certificates at the edge: loaded when they are asked for, kept true, and none in the way of another.

mod challenges;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bundle::Clock;
use control_plane::{
    certificates,
    config::{Paths, SealOptions},
    edge,
};
use rustls_pki_types::ServerName;
use tls::testing::free_port;
use tls::{LocalCa, Seal};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    cloud,
    postgres::{self, Cluster, eventually},
};

/// An edge, and rows for it that nobody's reconciler touches.
pub(crate) struct Shelf {
    pub(crate) db: tokio_postgres::Client,
    pub(crate) ca: LocalCa,
    seal: Seal,
    pub(crate) https: SocketAddr,
    http: SocketAddr,
    edge: Option<JoinHandle<anyhow::Result<()>>>,
    /// What its edge keeps of certificates that were not asked for.
    sealed_mib: usize,
    plain: reqwest::Client,
    pub(crate) url: String,
    pub(crate) paths: Paths,
    _folder: tempfile::TempDir,
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.edge.take().inspect(JoinHandle::abort);
    }
}

impl Shelf {
    /// With its edge.
    pub(crate) async fn open() -> Self {
        let mut shelf = Self::closed(&postgres::database().await).await;
        shelf.start().await;
        shelf
    }

    /// Without, until [`Shelf::start`].
    async fn closed(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths(folder.path().to_owned());
        let ca = LocalCa::open_or_create(&paths.keys(), "Test", &[], Clock::system().now()).unwrap();
        let seal = Seal::open_or_create(&paths.seal_key()).unwrap();
        let db = postgres::client(url).await;
        let plain = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self {
            db,
            ca,
            seal,
            https: SocketAddr::from(([127, 0, 0, 1], free_port().unwrap())),
            http: SocketAddr::from(([127, 0, 0, 1], free_port().unwrap())),
            edge: None,
            sealed_mib: 0,
            plain,
            url: url.into(),
            paths,
            _folder: folder,
        }
    }

    async fn start(&mut self) {
        let mut common = cloud::common(&self.paths, &self.url);
        common.port = self.https.port();
        let options = edge::Options {
            common,
            seal: SealOptions::default(),
            certificates_in_memory: 100,
            certificates_sealed_mib: self.sealed_mib,
            listen: vec![self.https.ip()],
            http_port: Some(self.http.port()),
            workers: Some(2),
            proxy_protocol: Vec::new(),
            requests_per_second: 1000,
            take_over: false,
            alt_svc: None,
        };
        self.edge = Some(tokio::spawn(edge::run(options)));
        eventually("the edge to listen", async || TcpStream::connect(self.http).await.ok()).await;
    }

    /// A certificate for these names, as if it had been issued; its id.
    pub(crate) async fn put(&self, names: &[&str], issuer: &str) -> String {
        let id = format!("c-{}", data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 10]>()).to_lowercase());
        let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
        let insert = "insert into certificates (id, names, created_at) values ($1, $2, now())";
        self.db.execute(insert, &[&id, &names]).await.unwrap();
        let update = "update certificates set issuer = $2 where id = $1";
        self.db.execute(update, &[&id, &issuer]).await.unwrap();
        self.issue(&id, 30).await;
        id
    }

    /// A new one in the place of the old one; its bytes.
    pub(crate) async fn issue(&self, id: &str, days: u16) -> Vec<u8> {
        let row = self.db.query_one("select names from certificates where id = $1", &[&id]).await.unwrap();
        let names: Vec<String> = row.get(0);
        let now = Clock::system().now();
        let issued = self.ca.issue(&names.iter().map(String::as_str).collect::<Vec<_>>(), days, now).unwrap();
        let key = self.seal.seal(&certificates::sealed_for(id), issued.key_der.secret_pkcs8_der()).unwrap();
        let sql = "update certificates set observed = 'issued', chain_pem = $2, key_sealed = $3, not_before = $4, not_after = $5
            where id = $1";
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&id, &issued.chain_pem, &key, &now, &issued.not_after];
        self.db.execute(sql, &values).await.unwrap();
        x509_parser::pem::parse_x509_pem(issued.chain_pem.as_bytes()).unwrap().1.contents
    }

    pub(crate) async fn connect(&self, name: &str, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let config = tls::client_config(self.ca.root_pem(), alpn).unwrap();
        let stream = TcpStream::connect(self.https).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
    }

    /// Shakes hands; the certificate that was shown.
    async fn shake(&self, name: &str) -> std::io::Result<Vec<u8>> {
        let stream = self.connect(name, &["h2"]).await?;
        Ok(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
    }

    pub(crate) async fn shows(&self, name: &str, certificate: &[u8]) {
        eventually(&format!("{name} to show its certificate"), async || {
            self.shake(name).await.is_ok_and(|shown| shown == certificate).then_some(())
        })
        .await;
    }

    pub(crate) async fn comes(&self, name: &str) -> Vec<u8> {
        eventually(&format!("a certificate for {name}"), async || self.shake(name).await.ok()).await
    }

    /// How many of the edge's loads wait in the database.
    async fn loads_waiting(&self) -> i64 {
        let sql = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock' and query like 'select chain_pem%'";
        self.db.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Waits until the edge has read, without being asked, what changed before now: one more change comes behind it.
    async fn caught_up(&self) {
        let now: std::time::SystemTime = self.db.query_one("select clock_timestamp()", &[]).await.unwrap().get(0);
        let marker = format!("marker-{}.example", rand::random::<u64>());
        self.put(&[&marker], "local").await;
        let sql = "select count(*) from pg_stat_activity
            where datname = current_database() and query like 'select id, chain_pem%' and state = 'idle' and query_start > $1";
        eventually("the edge to catch up", async || {
            (self.db.query_one(sql, &[&now]).await.unwrap().get::<_, i64>(0) > 0).then_some(())
        })
        .await;
    }

    async fn ask(&self, host: &str, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.http);
        let answer = self.plain.get(url).header("host", host).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// The table of challenges with this row in it, behind a view that counts how often it is looked at.
    async fn challenges(&self, kind: &str, name: &str, answer: &str) {
        let sql = "
            alter table acme_challenges rename to open_challenges;
            create sequence looks;
            create view acme_challenges as select c.* from open_challenges c, (select nextval('looks')) as looks;";
        self.db.batch_execute(sql).await.unwrap();
        let sql =
            "insert into open_challenges values ($1, $2, $3, $4, 'c-aaaaaaaaaaaaaaaa', now() + interval '1 hour')";
        self.db.execute(sql, &[&challenges::TOKEN, &kind, &name, &answer]).await.unwrap();
    }

    async fn looks(&self) -> i64 {
        self.db.query_one("select last_value from looks", &[]).await.unwrap().get(0)
    }
}

#[tokio::test]
async fn a_certificate_is_loaded_at_the_first_handshake_and_once_however_many_ask() {
    let mut shelf = Shelf::closed(&postgres::database().await).await;
    shelf.put(&["other.example"], "local").await;
    shelf.put(&["own.example", "*.own.example"], "local").await;
    shelf.start().await;
    shelf.shake("other.example").await.unwrap();
    assert!(shelf.shake("nobodys.example").await.is_err(), "what nobody has a certificate for gets an alert");
    let mut holder = postgres::client(&shelf.url).await;
    let lock = holder.transaction().await.unwrap();
    lock.batch_execute("lock table certificates in access exclusive mode").await.unwrap();
    let shelf = Arc::new(shelf);
    let asking: Vec<_> = (0..40)
        .map(|number| {
            let (shelf, name) = (shelf.clone(), if number % 2 == 0 { "own.example" } else { "www.own.example" });
            tokio::spawn(async move { shelf.shake(name).await.unwrap() })
        })
        .collect();
    eventually("a load", async || (shelf.loads_waiting().await > 0).then_some(())).await;
    shelf.shake("other.example").await.unwrap();
    assert_eq!(shelf.loads_waiting().await, 1, "one asks for all, and other names serve meanwhile");
    lock.commit().await.unwrap();
    let mut shown = Vec::new();
    for one in asking {
        shown.push(one.await.unwrap());
    }
    assert!(shown.iter().all(|one| *one == shown[0]));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_opened_harms_no_other_and_serves_once_it_is_mended() {
    let shelf = Shelf::open().await;
    let broken = shelf.put(&["broken.example"], "local").await;
    shelf.db.execute("update certificates set key_sealed = sha512(key_sealed)", &[]).await.unwrap();
    let moved = shelf.put(&["moved.example"], "local").await;
    shelf.put(&["good.example"], "local").await;
    let swap = "update certificates set chain_pem = (select chain_pem from certificates where names = '{good.example}') where id = $1";
    shelf.db.execute(swap, &[&moved]).await.unwrap();
    shelf.comes("good.example").await;
    for name in ["broken.example", "moved.example"] {
        assert!(shelf.shake(name).await.is_err(), "{name}");
    }
    let mended = shelf.issue(&broken, 30).await;
    shelf.shows("broken.example", &mended).await;
    assert!(shelf.shake("moved.example").await.is_err(), "a key that is another certificate's");
}

#[tokio::test]
async fn what_changes_is_shown_at_the_next_handshake() {
    let shelf = Shelf::open().await;
    let wildcard = shelf.put(&["cloud.example", "*.cloud.example"], "local").await;
    let first = shelf.comes("ada.cloud.example").await;
    let renewed = shelf.issue(&wildcard, 60).await;
    assert_ne!(first, renewed);
    shelf.shows("bob.cloud.example", &renewed).await;
    let short = shelf.put(&["ada.cloud.example"], "local").await;
    let exact = shelf.issue(&short, 20).await;
    shelf.shows("ada.cloud.example", &exact).await;
    let long = shelf.put(&["ada.cloud.example", "eva.cloud.example"], "local").await;
    let lasts = shelf.issue(&long, 40).await;
    shelf.shows("ada.cloud.example", &lasts).await;
    shelf.db.execute("update certificates set wanted = 'gone' where id = $1", &[&long]).await.unwrap();
    shelf.shows("ada.cloud.example", &exact).await;
    shelf.db.execute("delete from certificates where id = $1", &[&short]).await.unwrap();
    shelf.shows("ada.cloud.example", &renewed).await;
    shelf.db.execute("delete from certificates", &[]).await.unwrap();
    eventually("nobody's name", async || shelf.shake("ada.cloud.example").await.err()).await;
}

#[tokio::test]
async fn what_is_in_memory_serves_while_postgres_is_away_and_the_rest_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::own(&folder.path().join("pg"));
    postgres::execute(&cluster.url("postgres"), "create database own").await;
    let url = cluster.url("own");
    postgres::prepare(&url).await;
    let mut shelf = Shelf::closed(&url).await;
    shelf.put(&["percloud.localhost", "*.percloud.localhost"], "local").await;
    for name in ["a.example", "b.example"] {
        shelf.put(&[name], "local").await;
    }
    shelf.start().await;
    shelf.shake("a.example").await.unwrap();
    cluster.kill();
    for _ in 0..3 {
        shelf.shake("a.example").await.unwrap();
    }
    shelf.shake("ada.percloud.localhost").await.expect("the provider's own is loaded before anybody asks");
    let shelf = Arc::new(shelf);
    let waiting = tokio::spawn({
        let shelf = shelf.clone();
        async move { shelf.shake("b.example").await }
    });
    assert!(shelf.shake("nobodys.example").await.is_err(), "what nobody has needs no database");
    assert!(!waiting.is_finished());
    let begun = std::time::Instant::now();
    let _cluster = tokio::task::spawn_blocking(move || {
        cluster.start();
        cluster
    })
    .await
    .unwrap();
    let shown = waiting.await.unwrap();
    // A database that took as long as a handshake may is none that it could have waited for.
    assert!(shown.is_ok() || begun.elapsed() > Duration::from_secs(8), "within the time of a handshake: {shown:?}");
    eventually("the name is served again", async || shelf.shake("b.example").await.ok()).await;
}

#[tokio::test]
async fn all_names_are_at_hand_without_having_been_asked_for_and_new_ones_after_their_first_time() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::own(&folder.path().join("pg"));
    postgres::execute(&cluster.url("postgres"), "create database own").await;
    let url = cluster.url("own");
    postgres::prepare(&url).await;
    let mut shelf = Shelf::closed(&url).await;
    shelf.sealed_mib = 1;
    let names: Vec<String> = (0..150).map(|number| format!("n{number}.example")).collect();
    for name in &names {
        shelf.put(&[name], "local").await;
    }
    shelf.start().await;
    // More than fit into memory; all are read once, however few are asked for.
    shelf.caught_up().await;
    let new = shelf.put(&["new.example"], "local").await;
    shelf.comes("new.example").await;
    let renewed = shelf.issue(&new, 60).await;
    shelf.shows("new.example", &renewed).await;
    for name in &names {
        shelf.shake(name).await.unwrap();
    }
    // One that nobody visits, not before its renewal and not after.
    let quiet = shelf.put(&["quiet.example"], "local").await;
    shelf.caught_up().await;
    let lasts = shelf.issue(&quiet, 60).await;
    shelf.caught_up().await;
    cluster.kill();
    assert_eq!(shelf.shake("new.example").await.unwrap(), renewed);
    shelf.shows("quiet.example", &lasts).await;
    for name in &names {
        shelf.shake(name).await.expect(name);
    }
}

#[tokio::test]
async fn browsers_are_bound_to_tls_where_they_know_the_authority() {
    let shelf = Shelf::open().await;
    for (name, issuer) in
        [("public.example", "ca.example"), ("inner.example", "local"), ("own.localhost", "ca.example")]
    {
        shelf.put(&[name], issuer).await;
        shelf.percloud(name).await;
    }
    for (name, said) in [("public.example", Some("max-age=31536000")), ("inner.example", None), ("own.localhost", None)]
    {
        let answer = eventually(&format!("{name} to answer"), async || {
            shelf.get(name).await.filter(|answer| answer.status() == 200)
        })
        .await;
        let header = answer.headers().get("strict-transport-security").map(|v| v.to_str().unwrap());
        assert_eq!(header, said, "{name}");
    }
}
