//! Renewal information (RFC 9773), which Debian's Pebble does not know: from acme2certifier, an authority of another make.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use tls::LocalCa;
use tls::acme::{Account, Directory, Kind};
use tls::testing::{free_port, wait_for};

use crate::answers::Answers;

/// acme2certifier with a CA of its own, on loopback.
struct Acme2certifier {
    directory: Directory,
    process: Child,
    folder: tempfile::TempDir,
}

impl Drop for Acme2certifier {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("--- acme2certifier said:\n{log}");
        }
    }
}

/// The Python that has `infra/test-python.txt`.
fn python() -> PathBuf {
    let usual = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/test-python/bin/python");
    let python = PathBuf::from(std::env::var_os("PERCLOUD_TEST_PYTHON").unwrap_or_else(|| usual.into()));
    assert!(python.exists(), "this test needs acme2certifier: infra/test makes {}", python.display());
    python
}

#[expect(clippy::disallowed_methods, reason = "the authority goes by the machine's clock")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn configure(folder: &Path) -> String {
    let at = folder.display();
    let settings = format!(
        "[DEFAULT]\ndebug: False\n\
         [CAhandler]\nhandler_module: acme2certifier.cahandlers.openssl_ca_handler\n\
         issuing_ca_key: {at}/issuing/ca.key\nissuing_ca_cert: {at}/issuing/ca.pem\n\
         issuing_ca_crl: {at}/issuing/ca.crl\n\
         cert_save_path: {at}/issued\ncert_validity_days: 30\n\
         [DBhandler]\nhandler_module: acme2certifier.dbhandlers.wsgi_handler\ndbfile: {at}/acme.db\n\
         [Challenge]\nchallenge_validation_disable: True\n\
         [Renewalinfo]\nrenewalthreshold_pctg: 50\nretry_after_timeout: 7200\n\
         [Order]\ntnauthlist_support: False\n"
    );
    std::fs::write(folder.join("acme_srv.cfg"), settings).unwrap();
    std::fs::create_dir(folder.join("issued")).unwrap();
    LocalCa::open_or_create(&folder.join("issuing"), "acme2certifier", &[], now()).unwrap();
    let api = LocalCa::open_or_create(&folder.join("api"), "its HTTPS", &[], now()).unwrap();
    let issued = api.issue(&["localhost", "127.0.0.1"], 30, now()).unwrap();
    std::fs::write(folder.join("api.pem"), issued.chain_pem).unwrap();
    std::fs::write(folder.join("api.key"), pem("PRIVATE KEY", issued.key_der.secret_pkcs8_der())).unwrap();
    api.root_pem().to_owned()
}

async fn acme2certifier() -> Acme2certifier {
    let folder = tempfile::tempdir().unwrap();
    let root_pem = configure(folder.path());
    let port = free_port().unwrap();
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/acme/ari_server.py");
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL").arg(python()).arg(script).arg(port.to_string()).arg(folder.path());
    // Pebble validates in the other tests; this one has no other name server than the machine's.
    command.env("ACME2CERTIFIER_I_KNOW_THE_RISK", "1").stdin(Stdio::null());
    let process = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let directory = Directory {
        url: format!("https://127.0.0.1:{port}/directory"),
        profile: None,
        eab: None,
        root_pem: Some(root_pem),
    };
    let authority = Acme2certifier { directory, process, folder };
    let up = wait_for("acme2certifier listens", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok().then_some(())
    });
    up.await.unwrap();
    authority
}

#[tokio::test]
async fn an_authority_with_ari_says_when_to_renew() {
    let authority = acme2certifier().await;
    let answers = Answers::start(&[Kind::Http01]).await;
    let (account, _) = Account::open(&authority.directory, None, Some("op@provider.example")).await.unwrap();
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
