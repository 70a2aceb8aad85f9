//! What is counted for whom.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::*;
use crate::ledger::Counts;

/// Waits until just this has been counted for a percloud since the last time, and nothing more.
async fn counted(house: &House, host: &str, requests: u64, bytes: u64, refused: u64) {
    let account = house.edge.ledger.account(&format!("t-{host}"));
    let (mut sum, wanted) = ([0; 3], [requests, bytes, refused]);
    let end = Instant::now() + Duration::from_secs(10);
    while sum != wanted {
        let Counts { requests, bytes, refused, .. } = account.take();
        sum = [sum[0] + requests, sum[1] + bytes, sum[2] + refused];
        assert!(sum.iter().zip(wanted).all(|(is, most)| *is <= most), "{sum:?} instead of {wanted:?}");
        assert!(Instant::now() < end, "{sum:?} instead of {wanted:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_percloud_answers_is_its_own_and_what_the_edge_says_is_nobodys() {
    let house = House::new();
    house.ada();
    for version in BOTH {
        let said = text(house.ask(version, get(ADA, "/page")).await).await;
        assert_eq!(said, "GET /page");
        let body = Request::put(format!("https://{ADA}/echo")).body(full(vec![0; 300_000])).unwrap();
        house.ask(version, body).await.into_body().collect().await.unwrap();
        house.ask(version, Request::head(format!("https://{ADA}/page")).body(empty()).unwrap()).await;
        counted(&house, ADA, 3, 9 + 300_000, 0).await;
    }
    house.route(ADA, State::Suspended, Some(house.socket("ada")));
    assert_eq!(house.get(ADA, "/page").await.status(), 503);
    assert_eq!(house.get(BASE, "/").await.status(), 503, "there is no portal here");
    house.route("bob.cloud.localhost", State::Running, Some(house.socket("nobody")));
    assert_eq!(house.get("bob.cloud.localhost", "/").await.status(), 503);
    counted(&house, "bob.cloud.localhost", 1, 0, 0).await;
    house.route(ADA, State::Running, Some(house.socket("ada")));
    let most = house.edge.routes.find(ADA).unwrap().body_max();
    let large = Request::post(format!("https://{ADA}/count")).header("content-length", most + 1);
    let nothing_yet = http_body_util::StreamBody::new(futures_util::stream::pending());
    let refused = house.ask(Version::H1, large.body(BodyExt::boxed(nothing_yet)).unwrap()).await;
    assert_eq!(refused.status(), 413);
    counted(&house, ADA, 0, 0, 1).await;
    house.get(ADA, "/page").await.into_body().collect().await.unwrap();
    counted(&house, ADA, 1, 9, 0).await;
}

#[tokio::test]
async fn what_is_long_counts_as_it_goes_and_a_changed_route_loses_nothing() {
    let house = House::new();
    let ada = house.ada();
    let mut events = house.get(ADA, "/events").await.into_body();
    let event = events.frame().await.unwrap().unwrap().into_data().unwrap();
    counted(&house, ADA, 1, event.len() as u64, 0).await;
    let mut request = get(ADA, "/socket");
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "a2V5"),
        ("sec-websocket-version", "13"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let mut response = house.ask(Version::H1, request).await;
    let mut socket = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    house.route(ADA, State::Preparing, None);
    house.edge.routes.set(ADA, None);
    ada.next.notify_one();
    let event = events.frame().await.unwrap().unwrap().into_data().unwrap();
    counted(&house, ADA, 1, event.len() as u64, 0).await;
    let frames: usize = (0..5).map(|number| format!("frame {number}").len()).sum();
    upgrade::talk(&mut socket).await;
    counted(&house, ADA, 0, frames as u64, 0).await;
}

#[tokio::test]
async fn what_a_websocket_over_http2_says_counts_once() {
    let house = House::new();
    house.ada();
    let mut response = upgrade::open(&house, "/socket").await;
    let frames: usize = (0..5).map(|number| format!("frame {number}").len()).sum();
    upgrade::talk(TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap())).await;
    // Before that, a page was asked for.
    counted(&house, ADA, 2, ("GET /".len() + frames) as u64, 0).await;
}
