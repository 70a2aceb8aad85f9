//! Orders, from names to certificates, with an authority in every mood.

use std::time::Duration;

use tls::acme::dns::Update;
use tls::acme::{Account, Eab, Error, Kind};
use tls::testing::{Knot, Pebble, PebbleOptions};
use tls::{Certified, Issued};

use crate::answers::Answers;

const PATIENCE: Duration = Duration::from_secs(60);

async fn pebble_for(answers: &Answers, options: PebbleOptions) -> Pebble {
    Pebble::start(PebbleOptions { http_port: answers.http_port, tls_port: answers.tls_port, ..options }).await.unwrap()
}

async fn account(pebble: &Pebble) -> Account {
    Account::open(&pebble.directory(), None, Some("op@provider.example")).await.unwrap().0
}

fn names(all: &[&str]) -> Vec<String> {
    all.iter().map(|&n| n.to_owned()).collect()
}

/// A browser that trusts this authority accepts the certificate for each of the names.
async fn is_good_for(pebble: &Pebble, issued: Issued, hosts: &[&str]) {
    let certified = Certified::new(&issued.chain_pem, issued.key_der.into()).unwrap();
    assert_eq!(certified.not_after(), issued.not_after);
    let resolver = std::sync::Arc::new(tls::Resolver::new());
    resolver.replace([&certified], None);
    let server = std::sync::Arc::new(tls::server_config(resolver, &["h2"]).unwrap());
    let root = pebble.issuing_root_pem().await.unwrap();
    let client = std::sync::Arc::new(tls::client_config(&root, &["h2"]).unwrap());
    for host in hosts {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let name = rustls_pki_types::ServerName::try_from((*host).to_owned()).unwrap();
        let connect = tokio_rustls::TlsConnector::from(client.clone()).connect(name, near);
        let accept = tokio_rustls::TlsAcceptor::from(server.clone()).accept(far);
        let (connected, accepted) = tokio::join!(connect, accept);
        connected.unwrap();
        accepted.unwrap();
    }
}

/// Asks as a caller with a retry timetable would: until it works. Every failure must be the name's own.
async fn issue_in_the_end(account: &Account, answers: &Answers, name: &str) -> Issued {
    for _ in 0..30 {
        match account.issue(&names(&[name]), None, answers, PATIENCE).await {
            Ok(issued) => return issued,
            Err(Error::NotValidated { name: whose, .. }) => assert_eq!(whose, name.trim_start_matches("*.")),
            Err(other) => panic!("{}", other.words()),
        }
    }
    panic!("{name} was not issued in 30 attempts");
}

/// Nonces and validations fail, and validations hesitate: three of ten each.
fn moody(seed: u64) -> PebbleOptions {
    PebbleOptions {
        nonce_reject_percent: 30,
        failing_percent: 30,
        seed,
        validation_sleep: Some(Duration::from_secs(1)),
        ..PebbleOptions::default()
    }
}

async fn six_names_in_a_bad_mood(kind: Kind, seed: u64) {
    let knot = Knot::start(&["moody.test"]).await.unwrap();
    knot.set("*.moody.test", "A", "127.0.0.1").await.unwrap();
    let mut answers = Answers::start(&[kind]).await;
    answers.txt = Some(Box::new(Update::new(&knot.addr().to_string(), &knot.tsig().line()).unwrap()));
    let pebble = pebble_for(&answers, PebbleOptions { dns: Some(knot.addr()), ..moody(seed) }).await;
    let account = account(&pebble).await;
    let all: Vec<String> = (0..6).map(|n| format!("n{n}.moody.test")).collect();
    let each = all.iter().map(|name| issue_in_the_end(&account, &answers, name));
    for (issued, name) in futures_util::future::join_all(each).await.into_iter().zip(&all) {
        is_good_for(&pebble, issued, &[name]).await;
    }
    assert!(answers.is_clean());
    assert!(answers.presented().iter().all(|k| *k == kind));
    assert!(pebble.spoilt() > 0 && answers.presented().len() > 6, "no validation failed: this test showed nothing");
    assert!(pebble.count("reject") > 0, "no nonce was refused: this test showed nothing");
}

#[tokio::test]
async fn http_01_works_when_three_of_ten_validations_and_nonces_fail() {
    six_names_in_a_bad_mood(Kind::Http01, 11).await;
}

#[tokio::test]
async fn tls_alpn_01_works_when_three_of_ten_validations_and_nonces_fail() {
    six_names_in_a_bad_mood(Kind::TlsAlpn01, 12).await;
}

#[tokio::test]
async fn dns_01_works_when_three_of_ten_validations_and_nonces_fail() {
    six_names_in_a_bad_mood(Kind::Dns01, 13).await;
}

#[tokio::test]
async fn a_wildcard_and_its_apex_share_a_record_name() {
    let knot = Knot::start(&["wild.test"]).await.unwrap();
    knot.set("_acme-challenge.wild.test", "TXT", "somebody else's").await.unwrap();
    let mut answers = Answers::start(&[Kind::Http01, Kind::Dns01]).await;
    answers.txt = Some(Box::new(Update::new(&knot.addr().to_string(), &knot.tsig().line()).unwrap()));
    answers.kinds = vec![Kind::Dns01];
    let pebble = pebble_for(&answers, PebbleOptions { dns: Some(knot.addr()), ..PebbleOptions::default() }).await;
    let account = account(&pebble).await;
    let wanted = names(&["wild.test", "*.wild.test"]);
    let issued = account.issue(&wanted, None, &answers, PATIENCE).await.unwrap();
    is_good_for(&pebble, issued, &["wild.test", "ada.wild.test"]).await;
    assert_eq!(answers.presented().len(), 2);
    assert_eq!(crate::parts::texts(&knot, "_acme-challenge.wild.test").await, ["\"somebody else's\""]);
}

#[tokio::test]
async fn an_order_tries_one_way_and_the_next_one_may_try_another() {
    let mut answers = Answers::start(&[Kind::Http01, Kind::TlsAlpn01]).await;
    // Nobody answers where Pebble looks for HTTP-01.
    let options = PebbleOptions { http_port: 0, tls_port: answers.tls_port, ..PebbleOptions::default() };
    let pebble = Pebble::start(options).await.unwrap();
    let account = account(&pebble).await;
    let Err(error) = account.issue(&names(&["next.example"]), None, &answers, PATIENCE).await else { panic!("issued") };
    assert!(matches!(&error, Error::NotValidated { name, .. } if name == "next.example"), "{}", error.words());
    assert!(error.words().contains("http-01"), "{}", error.words());
    assert_eq!((answers.presented(), answers.is_clean()), (vec![Kind::Http01], true));
    answers.kinds.rotate_left(1);
    let issued = account.issue(&names(&["next.example"]), None, &answers, PATIENCE).await.unwrap();
    is_good_for(&pebble, issued, &["next.example"]).await;
    assert_eq!(answers.presented(), [Kind::Http01, Kind::TlsAlpn01]);
    assert!(answers.is_clean());
    assert_eq!(pebble.count("Added order"), 2, "{:?}", pebble.log());
}

#[tokio::test]
async fn of_several_names_the_one_that_leads_elsewhere_is_blamed() {
    let answers = Answers::start(&[Kind::Http01]).await;
    let pebble = pebble_for(&answers, PebbleOptions::default()).await;
    pebble.point("gone.example", None).await.unwrap();
    let account = account(&pebble).await;
    // Pebble lists an order's authorisations in another order each time.
    for letter in ["p", "q", "r"] {
        let near = ["a", "b", "c", "d"].map(|name| format!("{name}.{letter}.example"));
        let all: Vec<String> = near.into_iter().chain(["gone.example".to_owned()]).collect();
        let Err(error) = account.issue(&all, None, &answers, PATIENCE).await else { panic!("issued") };
        assert!(matches!(&error, Error::NotValidated { name, .. } if name == "gone.example"), "{}", error.words());
        assert!(error.words().contains("urn:ietf:params:acme:error:"), "{}", error.words());
    }
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_fails_alone_and_says_why() {
    let answers = Answers::start(&[Kind::TlsAlpn01, Kind::Http01]).await;
    let pebble = pebble_for(&answers, PebbleOptions::default()).await;
    pebble.point("gone.example", None).await.unwrap();
    let account = account(&pebble).await;
    let Err(error) = account.issue(&names(&["gone.example"]), None, &answers, PATIENCE).await else { panic!("issued") };
    assert!(matches!(&error, Error::NotValidated { name, .. } if name == "gone.example"), "{}", error.words());
    assert!(error.words().contains("tls-alpn-01") && error.words().contains("gone.example"), "{}", error.words());
    assert_eq!(answers.presented(), [Kind::TlsAlpn01]);
    assert!(answers.is_clean());
    account.issue(&names(&["here.example"]), None, &answers, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn what_only_a_person_can_mend_is_refused() {
    let answers = Answers::start(&[Kind::Http01]).await;
    let options = PebbleOptions { refused_names: names(&["blocked.example"]), ..PebbleOptions::default() };
    let pebble = pebble_for(&answers, options).await;
    let account = account(&pebble).await;
    for (name, words) in [("ada.blocked.example", "policy"), ("*.wild.example", "no way to prove *.wild.example")] {
        let Err(error) = account.issue(&names(&[name]), None, &answers, PATIENCE).await else { panic!("issued") };
        assert!(matches!(error, Error::Refused(_)) && error.words().contains(words), "{name}: {}", error.words());
    }
    assert!(answers.presented().is_empty());
}

#[tokio::test]
async fn an_authority_may_want_its_customers_bound() {
    let answers = Answers::start(&[Kind::Http01]).await;
    let eab = |kid: &str, key: &str| Eab { kid: kid.to_owned(), hmac_base64url: key.to_owned() };
    let right = eab("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");
    let pebble = pebble_for(&answers, PebbleOptions { eab: vec![right], ..PebbleOptions::default() }).await;
    let wrong_key = eab("kid-1", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    for (given, words) in [
        (None, "externalAccountRequired"),
        (Some(wrong_key), "registering an account"),
        (Some(eab("kid-2", "AAAA")), "registering an account"),
        (Some(eab("kid-1", "not base64 url")), "not base64url"),
    ] {
        let directory = tls::acme::Directory { eab: given, ..pebble.directory() };
        let Err(error) = Account::open(&directory, None, None).await else { panic!("{words}") };
        assert!(matches!(error, Error::Refused(_)) && error.words().contains(words), "{}", error.words());
        assert!(!error.words().contains("AAAA"), "{}", error.words());
    }
    let account = account(&pebble).await;
    account.issue(&names(&["bound.example"]), None, &answers, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn an_account_is_kept_and_an_authority_that_is_away_or_forgets_is_told_apart() {
    let answers = Answers::start(&[Kind::Http01]).await;
    let mut pebble = pebble_for(&answers, PebbleOptions::default()).await;
    let directory = pebble.directory();
    let (first, kept) = Account::open(&directory, None, None).await.unwrap();
    let (again, _) = Account::open(&directory, Some(&kept), None).await.unwrap();
    assert_eq!(first.uri(), again.uri());
    again.issue(&names(&["kept.example"]), None, &answers, PATIENCE).await.unwrap();
    let elsewhere = tls::acme::Directory { url: "https://127.0.0.1:1/dir".to_owned(), ..directory.clone() };
    let Err(error) = Account::open(&elsewhere, Some(&kept), None).await else { panic!("another authority's account") };
    assert!(matches!(error, Error::Refused(_)) && !error.words().contains("key_pkcs8"), "{}", error.words());

    pebble.stop().await.unwrap();
    let Err(error) = Account::open(&directory, Some(&kept), None).await else { panic!("nobody is there") };
    assert!(matches!(error, Error::Away { .. }), "{}", error.words());
    let Err(error) = again.issue(&names(&["away.example"]), None, &answers, PATIENCE).await else { panic!("issued") };
    assert!(matches!(error, Error::Away { .. }), "{}", error.words());

    pebble.start_again().await.unwrap();
    let Err(error) = again.issue(&names(&["back.example"]), None, &answers, PATIENCE).await else { panic!("issued") };
    assert!(error.account_is_gone(), "{}", error.words());
    let (fresh, _) = Account::open(&directory, None, None).await.unwrap();
    fresh.issue(&names(&["back.example"]), None, &answers, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn an_authority_without_ari_gives_no_date_and_takes_renewals() {
    let answers = Answers::start(&[Kind::Http01]).await;
    let pebble = pebble_for(&answers, PebbleOptions::default()).await;
    let account = account(&pebble).await;
    let first = account.issue(&names(&["plain.example"]), None, &answers, PATIENCE).await.unwrap();
    assert_eq!(account.renewal_info(&first.chain_pem).await.unwrap(), None);
    account.issue(&names(&["plain.example"]), Some(&first.chain_pem), &answers, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn patience_ends_and_it_is_the_name_that_takes_so_long() {
    let answers = Answers::start(&[Kind::Http01]).await;
    let slow = PebbleOptions { validation_sleep: Some(Duration::from_secs(60)), ..PebbleOptions::default() };
    let pebble = pebble_for(&answers, slow).await;
    let account = account(&pebble).await;
    let Err(error) = account.issue(&names(&["slow.example"]), None, &answers, Duration::from_secs(2)).await else {
        panic!("issued")
    };
    assert!(matches!(&error, Error::NotValidated { name, .. } if name == "slow.example"), "{}", error.words());
    assert!(error.words().contains("has not finished looking after 2 seconds"), "{}", error.words());
    assert!(answers.is_clean());
}

/// Shows its answers after a while, as a slow DNS does.
struct Slow {
    answers: Answers,
    time: Duration,
}

impl tls::acme::Solver for Slow {
    fn kinds(&self, name: &str, wildcard: bool) -> Vec<Kind> {
        self.answers.kinds(name, wildcard)
    }

    fn present<'a>(
        &'a self,
        challenge: &'a tls::acme::Challenge,
    ) -> futures_util::future::BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async {
            tokio::time::sleep(self.time).await;
            self.answers.present(challenge).await
        })
    }

    fn withdraw<'a>(
        &'a self,
        challenge: &'a tls::acme::Challenge,
    ) -> futures_util::future::BoxFuture<'a, anyhow::Result<()>> {
        self.answers.withdraw(challenge)
    }
}

#[tokio::test]
async fn answers_that_are_slow_to_show_cost_the_authority_no_patience_and_wait_together() {
    let (time, patience) = (Duration::from_secs(16), Duration::from_secs(15));
    let slow = Slow { answers: Answers::start(&[Kind::Http01]).await, time };
    let pebble = pebble_for(&slow.answers, PebbleOptions::default()).await;
    let account = account(&pebble).await;
    let begun = std::time::Instant::now();
    let all = names(&["a.example", "b.example", "c.example", "d.example", "e.example", "f.example"]);
    let issued = account.issue(&all, None, &slow, patience).await.unwrap();
    assert!(begun.elapsed() >= time && begun.elapsed() < time * 6, "not one after the other: {:?}", begun.elapsed());
    is_good_for(&pebble, issued, &["a.example", "f.example"]).await;
    assert!(slow.answers.is_clean());
}
