//! Real handshakes: what a browser gets for which name.
#![expect(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustls_pki_types::ServerName;
use tls::{Certified, LocalCa, Resolver};
use tokio_rustls::{TlsAcceptor, TlsConnector};

#[expect(clippy::disallowed_methods, reason = "the TLS client verifies against the machine's clock")]
fn now() -> DateTime<Utc> {
    Utc::now()
}

fn certified(ca: &LocalCa, names: &[&str]) -> Certified {
    let issued = ca.issue(names, 30, now()).unwrap();
    Certified::new(&issued.chain_pem, issued.key_der.into()).unwrap()
}

async fn shake(resolver: &Arc<Resolver>, root: &str, name: &str) -> std::io::Result<Option<Vec<u8>>> {
    let server = Arc::new(tls::server_config(resolver.clone(), &["h2", "http/1.1"]).unwrap());
    let client = Arc::new(tls::client_config(root, &["h2"]).unwrap());
    let (near, far) = tokio::io::duplex(64 * 1024);
    let accept = TlsAcceptor::from(server).accept(far);
    let connect = TlsConnector::from(client).connect(ServerName::try_from(name.to_owned()).unwrap(), near);
    let (accepted, connected) = tokio::join!(accept, connect);
    let _ = accepted;
    connected.map(|stream| stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
}

#[tokio::test]
async fn each_name_gets_its_certificate_and_others_get_an_alert() {
    let folder = tempfile::tempdir().unwrap();
    let ca = LocalCa::open_or_create(folder.path(), "Test", &["cloud.localhost"], now()).unwrap();
    let resolver = Arc::new(Resolver::new());
    assert!(shake(&resolver, ca.root_pem(), "cloud.localhost").await.is_err(), "nothing to show yet");
    let wildcard = certified(&ca, &["cloud.localhost", "*.cloud.localhost"]);
    resolver.replace([&wildcard], Some("cloud.localhost"));
    for name in ["cloud.localhost", "ada.cloud.localhost", "ADA.cloud.localhost"] {
        assert_eq!(shake(&resolver, ca.root_pem(), name).await.unwrap().as_deref(), Some(&b"h2"[..]), "{name}");
    }
    for name in ["a.b.cloud.localhost", "bank.example"] {
        assert!(shake(&resolver, ca.root_pem(), name).await.is_err(), "{name}");
    }
    let own = certified(&ca, &["ada.cloud.localhost"]);
    resolver.replace([&own, &wildcard], None);
    assert!(Arc::ptr_eq(&resolver.find("ada.cloud.localhost").unwrap(), &own.key()), "the exact name wins");
    assert!(Arc::ptr_eq(&resolver.find("bob.cloud.localhost").unwrap(), &wildcard.key()));
}

#[tokio::test]
async fn a_browser_that_trusts_the_root_does_not_trust_it_for_other_sites() {
    let folder = tempfile::tempdir().unwrap();
    let constrained = LocalCa::open_or_create(folder.path(), "Test", &["cloud.localhost"], now()).unwrap();
    // A thief with the key signs for a bank: made here by a CA without constraints that shares the key.
    let thief = tempfile::tempdir().unwrap();
    std::fs::copy(folder.path().join("ca.key"), thief.path().join("ca.key")).unwrap();
    let unconstrained = LocalCa::open_or_create(thief.path(), "Test", &[], now()).unwrap();
    let resolver = Arc::new(Resolver::new());
    resolver.replace([&certified(&unconstrained, &["bank.example"])], None);
    assert!(shake(&resolver, unconstrained.root_pem(), "bank.example").await.is_ok());
    assert!(shake(&resolver, constrained.root_pem(), "bank.example").await.is_err());
}
