//! Renewal information (RFC 9773), which Debian's Pebble does not know: from acme2certifier, an authority of another make.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tls::LocalCa;
use tls::acme::{Account, Kind};
use tls::testing::{Acme2certifier, Acme2certifierOptions};

use crate::answers::Answers;

#[expect(clippy::disallowed_methods, reason = "the authority goes by the machine's clock")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

#[tokio::test]
async fn an_authority_with_ari_says_when_to_renew() {
    let options = Acme2certifierOptions { replaces: false, ..Acme2certifierOptions::default() };
    let authority = Acme2certifier::start(&options).await.unwrap();
    let answers = Answers::start(&[Kind::Http01]).await;
    let (account, _) = Account::open(&authority.directory(), None, Some("op@provider.example")).await.unwrap();
    let names = ["ari.example".to_owned()];
    let patience = Duration::from_secs(60);
    let first = account.issue(&names, None, &answers, patience).await.unwrap();
    let info = account.renewal_info(&first.chain_pem).await.unwrap().expect("a window");
    let half = now() + TimeDelta::days(15);
    assert!((info.start - half).abs() < TimeDelta::days(2), "half of 30 days: {info:?}");
    assert!(info.start <= info.end && info.end <= first.not_after, "{info:?}");
    assert!(info.retry_after.as_secs().abs_diff(7200) < 10, "{info:?}");
    // It has ARI, but does not take `replaces` (section 5): the renewal goes without.
    let second = account.issue(&names, Some(&first.chain_pem), &answers, patience).await.unwrap();
    assert_ne!(second.chain_pem, first.chain_pem);
    let folder = tempfile::tempdir().unwrap();
    let unknown = LocalCa::open_or_create(folder.path(), "another", &[], now()).unwrap();
    let foreign = unknown.issue(&["ari.example"], 30, now()).unwrap();
    assert_eq!(account.renewal_info(&foreign.chain_pem).await.unwrap(), None, "a certificate of another authority");
}
