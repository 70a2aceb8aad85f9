//! The parts that the other tests stand on.

use tls::testing::{Knot, Pebble, PebbleOptions};
use tokio::process::Command;

pub(crate) async fn texts(knot: &Knot, name: &str) -> Vec<String> {
    let at = knot.addr();
    let port = at.port().to_string();
    let server = format!("@{}", at.ip());
    let asked = Command::new("dig").args(["+short", "+tcp", &server, "-p", &port, name, "TXT"]).output().await;
    let answer = String::from_utf8_lossy(&asked.expect("dig, of the package bind9-dnsutils").stdout).into_owned();
    let mut lines: Vec<String> = answer.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn knot_answers_what_it_was_told() {
    let knot = Knot::start(&["one.test", "deep.one.test"]).await.unwrap();
    knot.set("a.one.test", "TXT", "first").await.unwrap();
    knot.set("a.one.test", "TXT", r#"a "second" \ one"#).await.unwrap();
    assert_eq!(texts(&knot, "a.one.test").await, [r#""a \"second\" \\ one""#]);
    knot.add("a.one.test", "TXT", "third").await.unwrap();
    assert_eq!(texts(&knot, "a.one.test").await.len(), 2);
    knot.remove("a.one.test", "TXT").await.unwrap();
    assert!(texts(&knot, "a.one.test").await.is_empty());
    knot.set("deep.one.test", "TXT", "apex").await.unwrap();
    assert_eq!(texts(&knot, "deep.one.test").await, ["\"apex\""]);
    assert!(knot.set("a.two.test", "TXT", "no such zone").await.is_err());
    assert!(knot.set("a.one.test", "A", "not an address").await.is_err());
    knot.set("a.one.test", "A", "192.0.2.1").await.unwrap(); // a refused change leaves nothing open
}

#[tokio::test]
async fn pebble_starts_counts_and_starts_again() {
    let mut pebble = Pebble::start(PebbleOptions::default()).await.unwrap();
    let root = reqwest::Certificate::from_pem(pebble.root_pem().as_bytes()).unwrap();
    let browser = reqwest::Client::builder().tls_certs_only([root]).no_proxy().build().unwrap();
    let url = pebble.directory().url;
    assert!(browser.get(&url).send().await.unwrap().status().is_success());
    assert!(pebble.count("GET /dir") >= 1, "{:?}", pebble.log());
    let first = pebble.issuing_root_pem().await.unwrap();
    pebble.stop().await.unwrap();
    assert!(browser.get(&url).send().await.is_err(), "it is away");
    pebble.start_again().await.unwrap();
    assert_ne!(pebble.issuing_root_pem().await.unwrap(), first);
}
