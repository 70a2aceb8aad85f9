//! At home with a certificate of a public authority, played by Pebble.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use chrono::TimeDelta;
use rustix::process::Signal;
use sha2::{Digest, Sha256};
use tls::acme::{Directory, Eab};
use tls::testing::{
    Acme2certifier, Acme2certifierOptions, Between, Knot, Pebble, PebbleOptions, Refusal, Suggestion, free_port,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::process::{PROGRAM, Process, status};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A percloud at home, and all that it says on both streams.
struct Home {
    process: Process,
    port: u16,
    lines: mpsc::Receiver<String>,
    /// Lines that were heard and not asked for yet: its two streams reach us in no order.
    heard: Mutex<Vec<String>>,
}

impl Home {
    /// On all addresses, as it does unless told otherwise.
    fn start(data: &Path, ca: &Directory, [port, http_port]: [u16; 2], more: &[&str]) -> Self {
        let root = data.with_extension("root.pem");
        std::fs::write(&root, ca.root_pem.as_deref().unwrap()).unwrap();
        let (port_text, http_text) = (port.to_string(), http_port.to_string());
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--domain", "me.test", "--port", &port_text, "--data"]).arg(data);
        command.args(["--acme", "me@example.org", "--acme-directory", &ca.url, "--acme-root"]).arg(&root);
        command.args(["--http-port", &http_text]).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process(command.spawn().unwrap());
        let (says, lines) = mpsc::channel();
        listen(process.0.stdout.take().unwrap(), says.clone());
        listen(process.0.stderr.take().unwrap(), says);
        Self { process, port, lines, heard: Mutex::default() }
    }

    /// Waits until a line holds `words`; gives it.
    fn says(&self, words: &str) -> String {
        let mut heard = self.heard.lock().unwrap();
        if let Some(at) = heard.iter().position(|line| line.contains(words)) {
            return heard.remove(at);
        }
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            if line.contains(words) {
                return line;
            }
            heard.push(line);
        }
        panic!("it never says {words:?}, but:\n{}", heard.join("\n"))
    }

    /// The certificate that a browser gets which trusts `root`, and the start of a page behind it.
    async fn visit(&self, root: &str) -> std::io::Result<(Vec<u8>, String)> {
        let config = tls::client_config(root, &["http/1.1"]).unwrap();
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect("me.test".try_into().unwrap(), stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        let request = format!("GET /healthz HTTP/1.1\r\nHost: me.test:{}\r\nConnection: close\r\n\r\n", self.port);
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        let _end = stream.read_to_end(&mut answer).await;
        Ok((certificate, String::from_utf8_lossy(&answer).into_owned()))
    }

    fn stop(mut self) {
        self.process.signal(Signal::TERM);
        assert!(self.process.wait(PATIENCE).success());
    }
}

fn listen(stream: impl Read + Send + 'static, says: mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if says.send(line).is_err() {
                return;
            }
        }
    });
}

async fn plain(port: u16, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: me.test\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn ports() -> [u16; 2] {
    [free_port().unwrap(), free_port().unwrap()]
}

#[tokio::test(flavor = "multi_thread")]
async fn at_home_a_public_certificate_is_got_kept_and_renewed_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("me");
    let [port, http_port] = ports();
    let lasts = Duration::from_secs(30);
    let options =
        PebbleOptions { http_port, tls_port: port, validity: lasts, nonce_reject_percent: 20, ..Default::default() };
    let mut pebble = Pebble::start(options).await.unwrap();
    let home = Home::start(&data, &pebble.directory(), [port, http_port], &[]);
    home.says("no certificate that browsers trust yet");
    home.says("me.test has a certificate of 127.0.0.1, good until");
    let root = pebble.issuing_root_pem().await.unwrap();
    let (first, page) = home.visit(&root).await.unwrap();
    assert_eq!(status(&page), 200, "{page}");

    let elsewhere = plain(http_port, "/a/page?with=query").await;
    assert_eq!(status(&elsewhere), 308);
    assert!(elsewhere.contains(&format!("location: https://me.test:{port}/a/page?with=query\r\n")), "{elsewhere}");
    assert_eq!(status(&plain(http_port, "/.well-known/acme-challenge/unknown").await), 404);
    for file in std::fs::read_dir(data.join("keys")).unwrap().map(Result::unwrap) {
        let (mode, name) = (file.metadata().unwrap().permissions().mode() & 0o077, file.file_name());
        assert!(mode == 0 || name == "ca.pem", "{name:?} is for its owner only");
    }

    home.says("me.test has a certificate of 127.0.0.1, good until"); // half of its life is over
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        tokio::net::TcpStream::connect(("::1", port)).await.expect("by IPv6 too, where there is any");
        tokio::net::TcpStream::connect(("::1", http_port)).await.expect("by IPv6 too, where there is any");
    }
    let (second, _) = home.visit(&root).await.unwrap();
    assert_ne!(first, second);
    home.stop();
    pebble.stop().await.unwrap();
    let again = Home::start(&data, &pebble.directory(), [port, http_port], &[]);
    again.says("me.test has a certificate of 127.0.0.1, good until");
    again.says("Stop it");
    assert_eq!(again.visit(&root).await.unwrap().0, second, "what was got is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_home_a_name_that_does_not_lead_here_is_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("me");
    let pebble = Pebble::start(PebbleOptions::default()).await.unwrap(); // it looks where nobody is
    let home = Home::start(&data, &pebble.directory(), ports(), &[]);
    home.says("Stop it");
    home.says("127.0.0.1 did not find this percloud at me.test");
    home.says("me.test could not be validated: http-01");
    home.says("me.test leads nowhere: DNS has no address for it");
    home.says("Next try in a minute");
    let own_root = std::fs::read_to_string(data.join("ca.pem")).unwrap();
    assert_eq!(status(&home.visit(&own_root).await.unwrap().1), 200, "meanwhile its own authority vouches for it");
    let orders = pebble.count("Added order");
    assert_eq!(orders, 1, "one way an order: authorities count those that fail");
    home.stop();
    let again = Home::start(&data, &pebble.directory(), ports(), &[]);
    again.says("Stop it");
    again.visit(&own_root).await.unwrap();
    assert_eq!(
        pebble.count("Added order"),
        orders,
        "who starts it again at once does not use up the authority's patience"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn at_home_the_https_port_is_enough_and_a_customer_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("me");
    let everywhere = |ip: &str| std::net::TcpListener::bind(format!("{ip}:0"));
    let taken = everywhere("[::]").or_else(|_| everywhere("0.0.0.0")).unwrap();
    let (port, http_port) = (free_port().unwrap(), taken.local_addr().unwrap().port());
    let hmac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let eab = Eab { kid: "kid-1".into(), hmac_base64url: hmac.into() };
    let pebble = Pebble::start(PebbleOptions { tls_port: port, eab: vec![eab], ..Default::default() }).await.unwrap();
    let stranger = Home::start(&data, &pebble.directory(), [port, http_port], &[]);
    stranger.says(&format!("Port {http_port} is not listened on: another program has it"));
    stranger.says("127.0.0.1 refuses a certificate for me.test");
    stranger.stop();
    let key = folder.path().join("eab.key");
    tls::files::write(&key, hmac.as_bytes(), 0o600).unwrap();
    let other = folder.path().join("other");
    let eab = ["--acme-eab-kid", "kid-1", "--acme-eab-key-file", key.to_str().unwrap()];
    let customer = Home::start(&other, &pebble.directory(), [port, http_port], &eab);
    customer.says("me.test has a certificate of 127.0.0.1, good until");
    customer.visit(&pebble.issuing_root_pem().await.unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn at_home_a_domain_that_forbids_the_authority_is_told_before_it_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let knot = Knot::start(&["me.test"]).await.unwrap();
    let options = Acme2certifierOptions { caa_identities: vec!["ca.example".into()], ..Default::default() };
    let ca = Acme2certifier::start(&options).await.unwrap();
    let resolver = knot.addr().to_string();
    for (n, (record, said)) in [
        ("0 issue \"other.example\"", "the CAA records at me.test let only other.example issue for me.test"),
        ("0 issue \";\"", "the CAA records at me.test let no authority issue for me.test"),
        ("0 issue \"ca.example; validationmethods=dns-01\"", "issue for me.test by http-01"),
    ]
    .into_iter()
    .enumerate()
    {
        knot.set("me.test", "CAA", record).await.unwrap();
        let data = folder.path().join(n.to_string());
        let home = Home::start(&data, &ca.directory(), ports(), &["--dns-server", &resolver]);
        let line = home.says("refuses a certificate for me.test, or would: ");
        assert!(line.contains(said), "{record}: {line}");
        home.says("it is looked at again before the next try");
        home.says("Next try in a minute");
        home.stop();
    }
    assert_eq!(ca.orders(), [], "the authority heard of nothing");
    knot.set("me.test", "CAA", "0 issue \"ca.example\"").await.unwrap();
    let home = Home::start(&folder.path().join("let"), &ca.directory(), ports(), &["--dns-server", &resolver]);
    home.says("me.test has a certificate of 127.0.0.1");
    home.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn at_home_a_certificate_that_cannot_be_written_serves_all_the_same_and_is_not_ordered_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("me");
    let [port, http_port] = ports();
    let slow = Some(Duration::from_secs(4));
    let options = PebbleOptions { http_port, tls_port: port, validation_sleep: slow, ..Default::default() };
    let pebble = Pebble::start(options).await.unwrap();
    let home = Home::start(&data, &pebble.directory(), [port, http_port], &[]);
    home.says("no certificate that browsers trust yet");
    // As good as a full disk: something is in the way where it is to be written.
    let authority = hex::encode(&Sha256::digest(pebble.directory().url)[..4]);
    let kept = data.join("keys").join(format!("me.test-{authority}.pem"));
    std::fs::create_dir(&kept).unwrap();
    home.says("The certificate of me.test is in use, but cannot be written");
    let root = pebble.issuing_root_pem().await.unwrap();
    assert_eq!(status(&home.visit(&root).await.unwrap().1), 200);
    assert_eq!(pebble.count("Added order"), 1);
    home.stop();
}

/// Said by an authority that should have seen us by now.
fn window_that_is_over() -> Suggestion {
    let now = bundle::Clock::system().now();
    Suggestion { window: [now - TimeDelta::hours(2), now - TimeDelta::hours(1)], explanation: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_home_a_certificate_is_renewed_when_its_authority_suggests_and_names_what_it_replaces() {
    let folder = tempfile::tempdir().unwrap();
    let [port, http_port] = ports();
    let pebble = Pebble::start(PebbleOptions { http_port, tls_port: port, ..Default::default() }).await.unwrap();
    let double = Between::start(&pebble).await.unwrap();
    double.suggest(Ok(window_that_is_over()));
    let home = Home::start(&folder.path().join("me"), &double.directory(), [port, http_port], &[]);
    home.says("me.test has a certificate of 127.0.0.1, good until");
    home.says("me.test has a certificate of 127.0.0.1, good until"); // of 90 days, and none of them is over
    home.visit(&pebble.issuing_root_pem().await.unwrap()).await.unwrap();
    let renewals: Vec<bool> = double.orders().iter().map(|order| order["replaces"].is_string()).collect();
    assert_eq!(renewals, [false, true]);
    assert_eq!(double.asked_when(), 1, "not again before an hour has passed");
    home.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn at_home_one_of_six_days_does_not_end_while_its_authority_wants_to_be_left_alone_for_a_week() {
    let folder = tempfile::tempdir().unwrap();
    let (data, [port, http_port]) = (folder.path().join("me"), ports());
    let validity = Duration::from_secs(160 * 3600);
    let options = PebbleOptions { http_port, tls_port: port, validity, ..Default::default() };
    let pebble = Pebble::start(options).await.unwrap();
    let double = Between::start(&pebble).await.unwrap();
    let home = Home::start(&data, &double.directory(), [port, http_port], &[]);
    home.says("me.test has a certificate of 127.0.0.1, good until");
    home.stop();
    double.suggest(Ok(window_that_is_over()));
    double.turn_away("me.test", Refusal::away(Some(7 * 86_400)));
    let again = Home::start(&data, &double.directory(), [port, http_port], &[]);
    again.says("127.0.0.1 gives no certificate for me.test now");
    again.says("The present certificate is good until");
    again.says("Next try in 40 hours"); // a quarter of 160
    again.visit(&pebble.issuing_root_pem().await.unwrap()).await.unwrap();
    again.stop();
}

#[test]
fn an_authority_is_not_asked_for_what_it_cannot_give() {
    let folder = tempfile::tempdir().unwrap();
    for (domain, email, words) in
        [("me.localhost", "me@me.example", "another machine everywhere"), ("me.example", "me", "e-mail")]
    {
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--domain", domain, "--acme", email, "--data"]).arg(folder.path().join("me"));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{output:?}");
    }
}
