//! A provider and a public CA (Pebble) that comes to see whether names lead here: what it asks for is answered from the database, as the
//! edge does, at a port for HTTP-01 and one for TLS-ALPN-01.

use std::{collections::HashSet, sync::Arc, sync::Mutex};

use bundle::TenantId;
use chrono::TimeDelta;
use control_plane::{
    certificates::{
        self, Certificate,
        acme::{Acme, Shared, Ways, budgets::Budgets},
        issuer::{Issuer, Issuers, Local},
        reconcile::Certificates,
    },
    db::{GenericClient, Pool},
    reconcile::{Stages, Turn, turn},
    tenants::Created,
};
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use sha2::{Digest, Sha256};
use tls::{
    Seal,
    acme::{Directory, Kind, dns::Txt},
    testing::{Pebble, PebbleOptions},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::cloud::TestCloud;

/// How many turns run at once.
const AT_ONCE: usize = 12;

/// The provider, its percloud, and who answers the CA.
pub(crate) struct Scene {
    pub(crate) cloud: TestCloud,
    pub(crate) ada: Created,
    pub(crate) seal: Arc<Seal>,
    pub(crate) responder: Responder,
}

impl Scene {
    /// A provider with one percloud, at this moment: CAs have the machine's clock.
    pub(crate) async fn new() -> Self {
        let cloud = TestCloud::new().await;
        cloud.clock.advance(bundle::Clock::system().now() - cloud.now());
        let ada = cloud.sign_up("ada").await;
        cloud.confirm(&ada).await;
        cloud.settle().await;
        let paths = cloud.common.paths();
        tls::files::private_folder(&paths.keys()).unwrap();
        let seal = Arc::new(Seal::open_or_create(&paths.seal_key()).unwrap());
        let responder = Responder::start(&cloud.worker).await;
        Self { cloud, ada, seal, responder }
    }

    /// A CA that comes to our ports.
    pub(crate) async fn pebble(&self, change: impl FnOnce(&mut PebbleOptions)) -> Pebble {
        let mut options = PebbleOptions {
            http_port: self.responder.http_port,
            tls_port: self.responder.tls_port,
            ..PebbleOptions::default()
        };
        change(&mut options);
        Pebble::start(options).await.unwrap()
    }

    /// What public issuers share, with these ways.
    pub(crate) fn shared(&self, edge: &[Kind], dns: Option<Arc<dyn Txt>>) -> Shared {
        Shared {
            db: self.cloud.worker.clone(),
            clock: self.cloud.clock.clone(),
            seal: self.seal.clone(),
            ways: Ways { edge: edge.to_vec(), dns, base_domain: "percloud.localhost".into() },
            budgets: Budgets::default(),
            dns: None,
        }
    }

    /// The reconciler, with these CAs in order and the local one.
    pub(crate) fn noun(&self, cas: &[&Pebble], shared: &Shared) -> Certificates {
        self.noun_at(cas.iter().map(|ca| ca.directory()), shared)
    }

    /// The same with CAs of any make, known in any way.
    pub(crate) fn noun_at(&self, cas: impl IntoIterator<Item = Directory>, shared: &Shared) -> Certificates {
        let public = cas.into_iter().map(|ca| -> Arc<dyn Issuer> {
            Arc::new(Acme::new(ca, Some("mailto:ops@example.org".into()), shared.clone()))
        });
        let local: Arc<dyn Issuer> = Arc::new(Local::new(&self.cloud.common));
        self.noun_of(public.chain([local]).collect(), &shared.ways.base_domain)
    }

    pub(crate) fn noun_of(&self, issuers: Vec<Arc<dyn Issuer>>, base_domain: &str) -> Certificates {
        Certificates {
            db: self.cloud.worker.clone(),
            clock: self.cloud.clock.clone(),
            issuers: Issuers::new(issuers),
            seal: self.seal.clone(),
            base_domain: base_domain.into(),
        }
    }

    /// Wants a certificate for a name that a percloud has proved: Ada's the first, somebody else's each further one.
    pub(crate) async fn want(&self, name: &str) -> TenantId {
        let claims: i64 = self.cloud.value("select count(*) from domains").await;
        let tenant = match claims {
            0 => self.ada.id.clone(),
            n => self.cloud.sign_up(&format!("owner-{n}")).await.id,
        };
        self.prove(&tenant, name).await;
        self.want_for(&tenant, name).await;
        tenant
    }

    /// Wants one, whatever the percloud has proved.
    pub(crate) async fn want_for(&self, tenant: &TenantId, name: &str) {
        let db = self.cloud.db.get().await.unwrap();
        certificates::want(&db, Some(tenant), &[name.to_owned()], self.cloud.now()).await.unwrap();
    }

    /// The name is this percloud's, as if DNS had said so.
    pub(crate) async fn prove(&self, tenant: &TenantId, name: &str) {
        let db = self.cloud.db.get().await.unwrap();
        let random =
            |size| data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 16]>()).to_lowercase()[..size].to_owned();
        let (id, target, base) =
            (format!("d-{}", random(16)), format!("t-{}", random(26)), name.strip_prefix("www.").unwrap_or(name));
        let (tenant, challenge, now) = (tenant.as_str(), random(26), self.cloud.now());
        db.execute("insert into domain_targets values ($1, $2, $3)", &[&target, &tenant, &now]).await.unwrap();
        let claim = "insert into domains (id, tenant_id, name, base, target, challenge, challenge_expires_at, observed, claimed_at, asked_at,
                check_at, verified_at)
            values ($1, $2, $3, $4, $5, $6, $7, 'verified', $7, $7, $7, $7)";
        db.execute(claim, &[&id, &tenant, &name, &base, &target, &challenge, &now]).await.unwrap();
    }

    /// Turns, several at once, until nothing is due at this moment.
    pub(crate) async fn settle(&self, noun: &Certificates) -> Vec<Turn> {
        let mut turns = Vec::new();
        loop {
            let loops = (0..AT_ONCE).map(|_| async {
                let mut turns = Vec::new();
                loop {
                    match turn(noun, &self.cloud.worker, &self.cloud.clock, &Stages::default()).await.unwrap() {
                        Turn::Idle => return turns,
                        other => turns.push(other),
                    }
                    assert!(turns.len() < 2000, "this never ends: {:?}", turns.last());
                }
            });
            let done: Vec<Turn> = futures_util::future::join_all(loops).await.into_iter().flatten().collect();
            if done.is_empty() {
                return turns;
            }
            turns.extend(done);
        }
    }

    /// Time passes, and everything due is done.
    pub(crate) async fn pass(&self, time: TimeDelta, noun: &Certificates) -> Vec<Turn> {
        self.cloud.clock.advance(time);
        self.settle(noun).await
    }

    pub(crate) async fn find(&self, name: &str) -> Certificate {
        certificates::get(&self.cloud.db.get().await.unwrap(), name).await.unwrap()
    }

    /// How many certificates there are.
    pub(crate) async fn issued(&self) -> i64 {
        self.cloud.value("select count(*) from certificates where observed = 'issued'").await
    }
}

/// Answers CAs from the database; names that are told to are not answered.
pub(crate) struct Responder {
    pub(crate) http_port: u16,
    pub(crate) tls_port: u16,
    silent: Arc<Mutex<HashSet<String>>>,
    _tasks: JoinSet<()>,
}

impl Responder {
    async fn start(db: &Pool) -> Self {
        let (http, tls) =
            (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let (http_port, tls_port) = (http.local_addr().unwrap().port(), tls.local_addr().unwrap().port());
        let silent = Arc::new(Mutex::new(HashSet::new()));
        let mut tasks = JoinSet::new();
        let (db_of_http, silent_of_http) = (db.clone(), silent.clone());
        tasks.spawn(async move {
            while let Ok((stream, _)) = http.accept().await {
                let (db, silent) = (db_of_http.clone(), silent_of_http.clone());
                tokio::spawn(async move { answer_http(stream, &db, &silent).await });
            }
        });
        let (db, silent_of_tls) = (db.clone(), silent.clone());
        tasks.spawn(async move {
            while let Ok((stream, _)) = tls.accept().await {
                let (db, silent) = (db.clone(), silent_of_tls.clone());
                tokio::spawn(async move { answer_tls(stream, &db, &silent).await });
            }
        });
        Self { http_port, tls_port, silent, _tasks: tasks }
    }

    /// This name leads elsewhere from now on, or here again.
    pub(crate) fn lead(&self, name: &str, here: bool) {
        let mut silent = self.silent.lock().unwrap();
        if here {
            silent.remove(name)
        } else {
            silent.insert(name.to_owned())
        };
    }
}

async fn answer_http(mut stream: TcpStream, db: &Pool, silent: &Mutex<HashSet<String>>) -> Option<()> {
    let mut buffer = vec![0; 4096];
    let read = stream.read(&mut buffer).await.ok()?;
    let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
    let token = text.strip_prefix("GET /.well-known/acme-challenge/")?.split(' ').next()?.to_owned();
    let db = db.get().await.ok()?;
    let sql = "select name, key_authorization from acme_challenges where kind = 'http-01' and token = $1";
    let row = db.query_opt(&db.prepare_cached(sql).await.ok()?, &[&token]).await.ok()?;
    let found = row.filter(|row| !silent.lock().unwrap().contains(row.get::<_, &str>(0)));
    let answer = match found.map(|row| row.get::<_, String>(1)) {
        Some(words) => {
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{words}", words.len())
        }
        None => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into(),
    };
    stream.write_all(answer.as_bytes()).await.ok()
}

#[derive(Debug)]
struct One(Arc<rustls::sign::CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
}

async fn answer_tls(stream: TcpStream, db: &Pool, silent: &Mutex<HashSet<String>>) -> Option<()> {
    let start = tokio_rustls::LazyConfigAcceptor::new(Acceptor::default(), stream).await.ok()?;
    let name = start.client_hello().server_name()?.to_owned();
    if silent.lock().unwrap().contains(&name) {
        return None;
    }
    let db = db.get().await.ok()?;
    let sql = "select key_authorization from acme_challenges where kind = 'tls-alpn-01' and name = $1";
    let words: String = db.query_opt(sql, &[&name]).await.ok()??.get(0);
    let key = tls::acme::alpn_certificate(&name, Sha256::digest(words.as_bytes()).into()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(One(key)));
    config.alpn_protocols = vec![tls::acme::ALPN.to_vec()];
    let mut stream = start.into_stream(Arc::new(config)).await.ok()?;
    stream.shutdown().await.ok()
}
