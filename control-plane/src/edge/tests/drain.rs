//! The edge is asked to end while somebody is served.

use std::time::Duration;

use http_body_util::BodyExt;
use tokio::time::timeout;

use super::*;

#[tokio::test]
async fn what_is_in_flight_ends_and_nothing_new_begins() {
    for version in BOTH {
        let house = House::new();
        let ada = house.ada();
        let mut client = house.client(version, ADA).await;
        let mut events = client.ask(get(ADA, "/events")).await.unwrap().into_body();
        events.frame().await.unwrap().unwrap();
        house.ending.asked.cancel();
        while house.tls(ADA, &["h2"]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        ada.next.notify_one();
        let more = timeout(PATIENCE, events.frame()).await.unwrap().unwrap().unwrap();
        assert_eq!(more.into_data().unwrap(), "data: 2\n\n", "{version:?}");
    }
}

/// Another edge has the door: nobody who is connected to this one may notice.
#[tokio::test]
async fn an_edge_that_is_relieved_answers_once_more_and_says_that_it_was_the_last() {
    let house = House::new();
    let ada = house.ada();
    let mut silent = house.client(Version::H1, ADA).await;
    assert_eq!(silent.ask(get(ADA, "/a")).await.unwrap().status(), 200);
    let mut multiplexed = house.client(Version::H2, ADA).await;
    let mut events = multiplexed.ask(get(ADA, "/events")).await.unwrap().into_body();
    events.frame().await.unwrap().unwrap();
    house.ending.leaving.cancel();
    while house.tls(ADA, &["h2"]).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let last = silent.ask(get(ADA, "/b")).await.unwrap();
    assert_eq!((last.status().as_u16(), said(&last, "connection")), (200, "close"));
    // What was asked before goes on for as long as it takes.
    for number in 2..5 {
        ada.next.notify_one();
        let more = timeout(PATIENCE, events.frame()).await.unwrap().unwrap().unwrap();
        assert_eq!(more.into_data().unwrap(), format!("data: {number}\n\n"));
    }
    let Client::H2(multiplexed) = &mut multiplexed else { panic!("asked for HTTP/2") };
    let gone = timeout(PATIENCE, async {
        while multiplexed.send_request(get(ADA, "/c")).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    gone.await.expect("GOAWAY: nothing new begins here");
}

#[tokio::test]
async fn a_websocket_outlives_its_edges_turn() {
    let house = House::new();
    house.ada();
    let mut request = get(ADA, "/socket");
    for (name, value) in [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "a2V5")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let mut response = house.ask(Version::H1, request).await;
    let socket = hyper::upgrade::on(&mut response).await.unwrap();
    house.ending.leaving.cancel();
    while house.tls(ADA, &["h2"]).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    super::upgrade::talk(TokioIo::new(socket)).await;
}
