//! TXT records: by dynamic update at a real name server, and by a hook.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tls::acme::dns::{Hook, Txt, Update};
use tls::testing::{Knot, free_port, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::parts::texts;

const NAME: &str = "_acme-challenge.www.zone.test";

fn updates(knot: &Knot) -> Update {
    Update::new(&knot.addr().to_string(), &knot.tsig().line()).unwrap()
}

#[tokio::test]
async fn an_update_puts_and_takes_exactly_its_own_value() {
    let knot = Knot::start(&["zone.test"]).await.unwrap();
    knot.set(NAME, "TXT", "another's").await.unwrap();
    let update = updates(&knot);
    for _ in 0..2 {
        update.publish(NAME, "ours").await.unwrap();
        update.publish(NAME, "ours too").await.unwrap();
        assert_eq!(texts(&knot, NAME).await, ["\"another's\"", "\"ours too\"", "\"ours\""]);
    }
    for _ in 0..2 {
        update.remove(NAME, "ours").await.unwrap();
        assert_eq!(texts(&knot, NAME).await, ["\"another's\"", "\"ours too\""]);
    }
}

#[tokio::test]
async fn the_zone_is_the_deepest_and_an_alias_is_followed() {
    let knot = Knot::start(&["zone.test", "deep.zone.test", "challenges.test"]).await.unwrap();
    let update = updates(&knot);
    update.publish("_acme-challenge.deep.zone.test", "in the deep zone").await.unwrap();
    assert_eq!(texts(&knot, "_acme-challenge.deep.zone.test").await, ["\"in the deep zone\""]);
    knot.set(NAME, "CNAME", "www.challenges.test.").await.unwrap();
    update.publish(NAME, "where the alias leads").await.unwrap();
    assert_eq!(texts(&knot, "www.challenges.test").await, ["\"where the alias leads\""]);
    update.remove(NAME, "where the alias leads").await.unwrap();
    assert!(texts(&knot, "www.challenges.test").await.is_empty());
}

#[tokio::test]
async fn what_is_wrong_is_said_clearly() {
    let knot = Knot::start(&["zone.test"]).await.unwrap();
    let at = knot.addr().to_string();
    let right = knot.tsig().line();
    let nobody = format!("127.0.0.1:{}", free_port().unwrap());
    let wrong_secret = "hmac-sha256:percloud:d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmch";
    let unknown_key = "hmac-sha256:stranger:d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmch";
    for (server, key, name, words) in [
        (&at, wrong_secret, NAME, "its secret does not fit"),
        (&at, unknown_key, NAME, "does not know the key stranger"),
        (&at, &right, "_acme-challenge.elsewhere.test", "does not hold the zone"),
        (&nobody, &right, NAME, "the name server 127.0.0.1"),
    ] {
        let update = Update::new(server, key).unwrap();
        let error = format!("{:#}", update.publish(name, "x").await.unwrap_err());
        assert!(error.contains(words) && error.contains(name), "{words:?}: {error}");
        assert!(!error.contains("d3Jvbmcg"), "{error}");
    }
    assert!(texts(&knot, NAME).await.is_empty());
}

#[tokio::test]
async fn publishing_ends_when_the_other_name_servers_show_it_too() {
    let port = free_port().unwrap();
    let [first, second] = ["127.0.0.1", "127.0.0.2"].map(|ip| format!("{ip}:{port}").parse().unwrap());
    let primary = Knot::start_at(first, &["zone.test"]).await.unwrap();
    let lagging = Knot::start_at(second, &["zone.test"]).await.unwrap();
    primary.set("ns2.zone.test", "A", "127.0.0.2").await.unwrap();
    primary.add("zone.test", "NS", "ns2.zone.test.").await.unwrap();
    primary.add("zone.test", "NS", "ns3.zone.test.").await.unwrap();
    primary.set("ns3.zone.test", "A", "127.0.0.3").await.unwrap(); // nobody is there: not waited for
    let update = updates(&primary).with_others_at(port);
    let mut publishing = Box::pin(update.publish(NAME, "value"));
    let shown = wait_for("the first shows it", async || (texts(&primary, NAME).await == ["\"value\""]).then_some(()));
    tokio::select! {
        _ = &mut publishing => panic!("the second name server does not show it yet"),
        shown = shown => shown.unwrap(),
    }
    let waiting = tokio::time::timeout(std::time::Duration::from_secs(2), &mut publishing).await;
    assert!(waiting.is_err(), "the second name server does not show it yet");
    lagging.set(NAME, "TXT", "value").await.unwrap();
    publishing.await.unwrap();
}

/// A hook that writes down what it is asked, and answers `status`.
async fn hook(status: &'static str) -> (String, Arc<Mutex<Vec<(String, Value)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/dns", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            log.lock().unwrap().push((head, serde_json::from_slice(&body).unwrap()));
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 12\r\nConnection: close\r\n\r\nno such zone");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}

#[tokio::test]
async fn a_hook_is_asked_with_its_token() {
    let (url, asked) = hook("200 OK").await;
    let hook = Hook::new(&url, "a secret", None).unwrap();
    hook.publish("_acme-challenge.one.test.", "value").await.unwrap();
    hook.remove("_acme-challenge.one.test", "value").await.unwrap();
    let asked = asked.lock().unwrap();
    let body = |action| json!({ "action": action, "name": "_acme-challenge.one.test", "value": "value" });
    assert_eq!([&asked[0].1, &asked[1].1], [&body("present"), &body("withdraw")]);
    assert!(
        asked.iter().all(|(head, _)| head.starts_with("post /dns ") && head.contains("authorization: bearer a secret"))
    );
}

#[tokio::test]
async fn a_hook_that_refuses_is_quoted() {
    let (url, _) = hook("422 Unprocessable Content").await;
    let hook = Hook::new(&url, "a secret", None).unwrap();
    let error = format!("{:#}", hook.publish("_acme-challenge.one.test", "value").await.unwrap_err());
    assert!(error.contains("422") && error.contains("no such zone") && !error.contains("a secret"), "{error}");
}
