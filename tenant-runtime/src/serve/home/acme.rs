//! A certificate of a public authority at home: got, kept, shown, renewed, without a restart.
//!
//! In the folder `keys` lie, for their owner's eyes only: an account for each authority, and for each name and authority the
//! certificate with its key and how the last attempts went. Until there is a certificate, the local authority's is shown.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use bundle::{Clock, Domain};
use chrono::{DateTime, Utc};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use sha2::{Digest, Sha256};
use tls::{
    Certified, Issued, Resolver,
    acme::{Account, Directory, Error, Solver, caa},
    dns::Resolvers,
};
use tokio::time::sleep;

use super::{challenges::Challenges, timetable, words};

/// What the command line says.
#[derive(Debug)]
pub struct Options {
    /// Whom the authority may write to.
    pub email: String,
    /// The authority.
    pub directory: Directory,
    /// The plain port.
    pub http_port: u16,
    /// Who is asked whether the domain lets the authority issue for it; the machine's own resolvers when there are none.
    pub dns_servers: Vec<SocketAddr>,
}

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// A machine may sleep meanwhile, and its timers with it.
const LONGEST_NAP: Duration = Duration::from_secs(3600);
/// How often the authority is asked when to renew: as often as it says, within reason.
const ASK_AT_LEAST: Duration = Duration::from_secs(86_400);
const ASK_AT_MOST: Duration = Duration::from_secs(3600);

/// What is kept of one name at one authority.
struct Files {
    account: PathBuf,
    certificate: PathBuf,
    attempts: PathBuf,
}

impl Files {
    fn new(data: &Path, domain: &Domain, directory: &str) -> Self {
        let authority = hex::encode(&Sha256::digest(directory.as_bytes())[..4]);
        let keys = data.join("keys");
        Self {
            account: keys.join(format!("acme-{authority}.account")),
            certificate: keys.join(format!("{domain}-{authority}.pem")),
            attempts: keys.join(format!("{domain}-{authority}.attempts.json")),
        }
    }
}

/// How the last attempts went.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Attempts {
    failures: u32,
    last: DateTime<Utc>,
}

/// A certificate in use.
struct Shown {
    chain_pem: String,
    certified: Certified,
    /// The dice for the moment of its renewal, thrown once.
    chance: f64,
}

/// One name's certificate at one authority.
pub(super) struct Public {
    options: Options,
    domain: Domain,
    clock: Clock,
    files: Files,
    resolver: Arc<Resolver>,
    challenges: Arc<Challenges>,
    shown: Option<Shown>,
    /// As they are, whether or not they could be written down.
    attempts: Attempts,
    /// A certificate in use that could not be written yet.
    unwritten: Option<String>,
}

impl Public {
    /// Takes up what is kept; shows the kept certificate, if there is one.
    pub(super) fn open(
        options: Options,
        data: &Path,
        domain: &Domain,
        (resolver, challenges): (Arc<Resolver>, Arc<Challenges>),
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let files = Files::new(data, domain, &options.directory.url);
        let kept = std::fs::read(&files.attempts).ok();
        let attempts = kept.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default();
        let (domain, shown, unwritten) = (domain.clone(), None, None);
        let mut this = Self { options, domain, clock, files, resolver, challenges, shown, attempts, unwritten };
        if let Some(kept) = read(&this.files.certificate)? {
            let text = String::from_utf8(kept)?;
            let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(anyhow::Error::from);
            let certified = key.and_then(|key| Certified::new(&text, key));
            let chain = text.find("-----BEGIN CERTIFICATE").map_or("", |at| &text[at..]).to_owned();
            this.show(chain, certified.with_context(|| format!("{} is damaged", this.files.certificate.display()))?);
        }
        Ok(this)
    }

    /// The answers that it has for the authority.
    pub(super) fn challenges(&self) -> Arc<Challenges> {
        self.challenges.clone()
    }

    /// Until when a certificate is good that is shown already.
    pub(super) fn good_until(&self) -> Option<DateTime<Utc>> {
        self.shown.as_ref().map(|shown| shown.certified.not_after()).filter(|end| *end > self.clock.now())
    }

    /// The authority's name for people.
    pub(super) fn authority(&self) -> String {
        words::authority(&self.options.directory.url)
    }

    fn show(&mut self, chain_pem: String, certified: Certified) {
        self.resolver.replace([&certified], Some(self.domain.as_str()));
        self.shown = Some(Shown { chain_pem, certified, chance: rand::random() });
    }

    /// Gets and renews until dropped. `fallback` keeps what is shown until the first certificate fresh.
    pub(super) async fn forever(mut self, fallback: impl Fn() + Send) {
        let began = self.clock.now();
        let wait = timetable::at_start(self.attempts.failures, began - self.attempts.last);
        // Who failed was to be renewed, by whatever its authority had suggested: that is not asked for again.
        let renew_at = self.renew_at().filter(|_| self.attempts.failures == 0);
        let mut due = timetable::first_try(renew_at, wait, began);
        let mut ask = began;
        loop {
            let now = self.clock.now();
            self.write_what_is_not();
            // While renewing fails, the timetable of failures counts, and no suggestion.
            let asks = self.shown.is_some() && self.attempts.failures == 0;
            if now >= due {
                due = now + self.attempt().await;
                if self.shown.is_none() {
                    fallback();
                }
            } else if asks && now >= ask {
                let (suggested, pause) = self.ask_when().await;
                ask = now + pause;
                due = suggested.or_else(|| self.renew_at()).unwrap_or(due);
            } else {
                let until = if asks { due.min(ask) } else { due };
                let nap = (until - now).to_std().unwrap_or_default();
                sleep(nap.clamp(Duration::from_millis(100), LONGEST_NAP)).await;
            }
        }
    }

    fn renew_at(&self) -> Option<DateTime<Utc>> {
        let shown = self.shown.as_ref()?;
        Some(timetable::renew_at(shown.certified.not_before(), shown.certified.not_after(), shown.chance))
    }

    /// When the authority would like us to renew, and when to ask it again. A guest that it does not answer asks later.
    async fn ask_when(&self) -> (Option<DateTime<Utc>>, Duration) {
        let Some(shown) = &self.shown else { return (None, ASK_AT_LEAST) };
        let asked = async {
            let account = self.account().await?;
            account.renewal_info(&shown.chain_pem).await
        };
        match asked.await {
            Ok(Some(info)) => {
                let life = [shown.certified.not_before(), shown.certified.not_after()];
                let moment = timetable::within([info.start, info.end], life, shown.chance);
                (Some(moment), info.retry_after.clamp(ASK_AT_MOST, ASK_AT_LEAST))
            }
            _ => (None, ASK_AT_LEAST),
        }
    }

    /// One attempt, told to the person at the terminal; how long to wait after it.
    async fn attempt(&mut self) -> Duration {
        match self.order().await {
            Ok((issued, certified)) => {
                let life = certified.not_after() - certified.not_before();
                println!("{}", words::got(&self.domain, &self.authority(), certified.not_after()));
                self.unwritten = Some(in_one(&issued));
                self.show(issued.chain_pem, certified);
                self.write_what_is_not();
                self.note(0);
                let due = self.renew_at().unwrap_or_else(|| self.clock.now());
                (due - self.clock.now()).to_std().unwrap_or_default().max(timetable::least_pause(life))
            }
            Err(error) => {
                let failures = self.attempts.failures.saturating_add(1);
                let asked = match &error {
                    Error::Away { after, .. } | Error::Limited { after, .. } => *after,
                    Error::NotValidated { .. } | Error::Refused(_) => None,
                };
                let good_until = self.good_until();
                let left = good_until.map(|end| end - self.clock.now());
                let pause = timetable::retry_after(failures, asked, left, rand::random());
                self.note(failures);
                eprintln!("{}", words::failed(&self.domain, &self.authority(), &error, pause, good_until).await);
                pause
            }
        }
    }

    async fn order(&self) -> Result<(Issued, Certified), Error> {
        let names = [self.domain.as_str().to_owned()];
        let replaces = self.shown.as_ref().map(|shown| shown.chain_pem.as_str());
        self.challenges.failed(self.attempts.failures);
        let account = self.account().await?;
        self.lets(&account).await?;
        let issued = match account.issue(&names, replaces, &*self.challenges, PATIENCE).await {
            Err(error) if error.account_is_gone() => {
                // An authority that lost its memory gets to know us anew.
                std::fs::remove_file(&self.files.account).map_err(|e| Error::Refused(e.into()))?;
                self.account().await?.issue(&names, replaces, &*self.challenges, PATIENCE).await?
            }
            answer => answer?,
        };
        let key = PrivatePkcs8KeyDer::from(issued.key_der.secret_pkcs8_der().to_vec());
        let certified = Certified::new(&issued.chain_pem, key.into()).map_err(Error::Refused)?;
        Ok((issued, certified))
    }

    /// Whether the domain lets the authority issue: one that forbids it is told so here, and costs none of the authority's patience. Where
    /// the DNS does not say, the authority shall find out.
    async fn lets(&self, account: &Account) -> Result<(), Error> {
        let says: Vec<&str> = account.caa_identities().iter().map(String::as_str).collect();
        let issuers = if says.is_empty() { caa::known_as(&self.options.directory.url) } else { &says };
        if issuers.is_empty() {
            return Ok(());
        }
        let resolvers = match &self.options.dns_servers[..] {
            [] => Resolvers::system(),
            servers => Resolvers::new(servers),
        };
        let name = self.domain.as_str();
        let method = self.challenges.kinds(name, false).first().map(|kind| kind.as_str());
        let asked = caa::Asked { name, wildcard: false, issuers, account_uri: account.uri(), method };
        match caa::against(&resolvers, &asked).await {
            Ok(None) => Ok(()),
            Ok(Some(words)) => Err(Error::Refused(anyhow::Error::msg(words))),
            Err(error) => {
                tracing::debug!(%error, "CAA cannot be looked up");
                Ok(())
            }
        }
    }

    async fn account(&self) -> Result<Account, Error> {
        let kept = read(&self.files.account).map_err(Error::Refused)?;
        let (account, fresh) =
            Account::open(&self.options.directory, kept.as_deref(), Some(&self.options.email)).await?;
        if kept.is_none() {
            tls::files::write(&self.files.account, &fresh, 0o600).map_err(Error::Refused)?;
        }
        Ok(account)
    }

    /// What was issued counts at the authority, and serves although there is no room for it: it is written as soon as there is.
    fn write_what_is_not(&mut self) {
        let Some(text) = &self.unwritten else { return };
        match tls::files::write(&self.files.certificate, text.as_bytes(), 0o600) {
            Ok(()) => self.unwritten = None,
            Err(error) => eprintln!("{}", words::not_kept(&self.domain, &self.files.certificate, &error)),
        }
    }

    /// How the last attempt went. Where that cannot be written it counts until the next start.
    fn note(&mut self, failures: u32) {
        self.attempts = Attempts { failures, last: self.clock.now() };
        let json = serde_json::to_vec(&self.attempts).unwrap_or_default();
        if let Err(error) = tls::files::write(&self.files.attempts, &json, 0o600) {
            tracing::warn!(error = format!("{error:#}"), "attempts cannot be counted");
        }
    }
}

/// Key and chain in one file: both or neither.
fn in_one(issued: &Issued) -> String {
    let key = STANDARD.encode(issued.key_der.secret_pkcs8_der());
    let lines: Vec<&str> = key.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n{}", lines.join("\n"), issued.chain_pem)
}

fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    if path.exists() { tls::files::read_secret(path).map(Some) } else { Ok(None) }
}
