//! What a double between us and Pebble plays: ARI's `replaces`, limits, `Retry-After`.

use std::time::Duration;

use chrono::TimeDelta;
use data_encoding::BASE64URL_NOPAD;
use tls::Certified;
use tls::acme::{Account, Error, Kind};
use tls::testing::{Between, Pebble, PebbleOptions, Refusal, Suggestion};

use crate::answers::Answers;
use crate::ari::now;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_renewal_names_what_it_replaces() {
    let answers = Answers::start(&[Kind::Http01]).await;
    let options = PebbleOptions { http_port: answers.http_port, ..PebbleOptions::default() };
    let pebble = Pebble::start(options).await.unwrap();
    let double = Between::start(&pebble).await.unwrap();
    let (account, _) = Account::open(&double.directory(), None, None).await.unwrap();
    let names = ["replaced.example".to_owned()];
    let start = std::time::Instant::now();
    let first = account.issue(&names, None, &answers, PATIENCE).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(3), "Retry-After is obeyed");
    account.issue(&names, Some(&first.chain_pem), &answers, PATIENCE).await.unwrap();
    let orders = double.orders();
    assert_eq!((orders.len(), orders[0].get("replaces")), (2, None));
    let named = orders[1]["replaces"].as_str().unwrap();
    let (authority, serial) = named.split_once('.').expect("key identifier and serial number (RFC 9773, section 4.1)");
    let first = Certified::new(&first.chain_pem, first.key_der.into()).unwrap();
    let leaf = first.key().cert[0].to_vec();
    for part in [authority, serial] {
        let bytes = BASE64URL_NOPAD.decode(part.as_bytes()).unwrap();
        assert!(bytes.len() >= 8 && leaf.windows(bytes.len()).any(|w| w == bytes), "{named} is of this certificate");
    }
}

#[tokio::test]
async fn an_authority_that_wants_to_be_asked_again_tomorrow_is_looked_at_once_more_today() {
    let answers = Answers::start(&[Kind::Http01]).await;
    let options = PebbleOptions { http_port: answers.http_port, ..PebbleOptions::default() };
    let pebble = Pebble::start(options).await.unwrap();
    let double = Between::start(&pebble).await.unwrap();
    double.come_again(86_400);
    let (account, _) = Account::open(&double.directory(), None, None).await.unwrap();
    account.issue(&["tomorrow.example".to_owned()], None, &answers, Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn limits_are_told_with_their_time_and_whose_they_are() {
    let answers = Answers::start(&[Kind::Http01]).await;
    let options = PebbleOptions { http_port: answers.http_port, ..PebbleOptions::default() };
    let pebble = Pebble::start(options).await.unwrap();
    let double = Between::start(&pebble).await.unwrap();
    let (account, _) = Account::open(&double.directory(), None, None).await.unwrap();
    let of_account = "too many new orders (300) from this account in the last 3h0m0s";
    let of_name = "too many certificates (50) already issued for \"ada.test\" in the last 168h0m0s";
    double.turn_away("many.test", Refusal::limit(of_account, Some(3600)));
    double.turn_away("ada.test", Refusal::limit(of_name, Some(7200)));
    double.turn_away("busy.test", Refusal::away(None));
    let ask = async |name: &str| account.issue(&[name.to_owned()], None, &answers, PATIENCE).await.err().unwrap();
    let seconds = |n| Some(Duration::from_secs(n));
    let error = ask("many.test").await;
    assert!(matches!(error, Error::Away { after, .. } if after == seconds(3600)), "{}", error.words());
    let error = ask("www.ada.test").await;
    assert!(matches!(error, Error::Limited { after, .. } if after == seconds(7200)), "{}", error.words());
    assert!(error.words().contains("placing an order") && error.words().contains("ada.test"), "{}", error.words());
    let error = ask("busy.test").await;
    assert!(matches!(error, Error::Away { after: None, .. }), "{}", error.words());
    account.issue(&["other.test".to_owned()], None, &answers, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_suggestion_comes_with_the_page_that_says_why() {
    let answers = Answers::start(&[Kind::Http01]).await;
    let options = PebbleOptions { http_port: answers.http_port, ..PebbleOptions::default() };
    let pebble = Pebble::start(options).await.unwrap();
    let double = Between::start(&pebble).await.unwrap();
    let (account, _) = Account::open(&double.directory(), None, None).await.unwrap();
    let issued = account.issue(&["ada.test".to_owned()], None, &answers, PATIENCE).await.unwrap();
    assert_eq!(account.renewal_info(&issued.chain_pem).await.unwrap(), None, "it knows nothing of it");
    let window = [now(), now() + TimeDelta::days(1)];
    for (given, page) in
        [(Some("https://ca.example/revoked"), Some("https://ca.example/revoked")), (Some("x"), None), (None, None)]
    {
        double.suggest(Ok(Suggestion { window, explanation: given.map(ToOwned::to_owned) }));
        let info = account.renewal_info(&issued.chain_pem).await.unwrap().unwrap();
        assert_eq!(info.explanation.as_deref(), page, "{given:?}");
    }
    double.suggest(Err(Refusal::away(None)));
    assert!(matches!(account.renewal_info(&issued.chain_pem).await, Err(Error::Away { .. })));
    assert_eq!(double.asked_when(), 5);
}
