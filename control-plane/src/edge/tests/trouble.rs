//! Perclouds that sleep, die or hang.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use http_body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::time::timeout;

use super::super::slots::Whence;
use super::*;

#[tokio::test]
async fn connections_are_used_again_and_dead_ones_are_not_noticed() {
    let house = House::new();
    let ada = house.ada();
    let mut client = house.client(Version::H1, ADA).await;
    for _ in 0..5 {
        assert_eq!(text(client.ask(get(ADA, "/a")).await.unwrap()).await, "GET /a");
    }
    assert_eq!(ada.connections.load(Ordering::SeqCst), 1, "one connection for all");
    for _ in 0..5 {
        ada.hang_up();
        assert_eq!(client.ask(get(ADA, "/b")).await.unwrap().status(), 200);
    }
    for _ in 0..5 {
        ada.hang_up();
        // Long enough for the edge to notice, so that nothing of the request is sent on the dead connection.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let post = Request::post(format!("https://{ADA}/count")).body(full("body")).unwrap();
        assert_eq!(text(client.ask(post).await.unwrap()).await, "Ok(4)");
    }
}

#[tokio::test]
async fn what_may_not_happen_twice_is_not_sent_twice() {
    let house = House::new();
    let socket = house.socket("odd");
    house.route(ADA, State::Running, Some(socket.clone()));
    // Reads a request and hangs up without an answer.
    let listener = UnixListener::bind(socket).unwrap();
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            tx.send(String::from_utf8_lossy(&buffer[..read]).split(' ').next().unwrap().to_owned()).unwrap();
        }
    });
    let post = Request::post(format!("https://{ADA}/pay")).body(full("once")).unwrap();
    assert_eq!(house.ask(Version::H1, post).await.status(), 503);
    assert_eq!(house.ask(Version::H1, get(ADA, "/")).await.status(), 503);
    drop(house);
    let mut seen = Vec::new();
    while let Ok(Some(method)) = timeout(Duration::from_millis(200), rx.recv()).await {
        seen.push(method);
    }
    assert_eq!(seen.iter().filter(|m| *m == "POST").count(), 1, "{seen:?}");
    assert!(seen.iter().filter(|m| *m == "GET").count() > 1, "{seen:?}");
}

#[tokio::test]
async fn a_percloud_without_a_socket_cannot_start_and_the_portal_is_away_for_a_moment() {
    let house = House::new();
    house.route(ADA, State::Running, Some(house.socket("nobody")));
    for version in BOTH {
        let response = house.ask(version, get(ADA, "/")).await;
        assert_eq!((response.status().as_u16(), said(&response, "retry-after")), (503, "10"));
        let response = house.ask(version, get(BASE, "/")).await;
        assert_eq!((response.status().as_u16(), said(&response, "retry-after")), (503, "1"));
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_taken_for_whole() {
    let house = House::new();
    house.ada();
    for version in BOTH {
        for path in ["/half", "/half-chunked"] {
            let mut client = house.client(version, ADA).await;
            let response = client.ask(get(ADA, path)).await.unwrap();
            let body = http_body_util::BodyExt::collect(response.into_body());
            assert!(timeout(PATIENCE, body).await.unwrap().is_err(), "{version:?} {path}");
            if version == Version::H2 {
                assert_eq!(
                    client.ask(get(ADA, "/page")).await.unwrap().status(),
                    200,
                    "other requests of the connection go on"
                );
            }
        }
    }
}

#[tokio::test]
async fn one_percloud_that_hangs_does_not_harm_another() {
    let house = House::new();
    house.ada();
    let bob = Fake::serve(house.socket("bob"));
    house.route("bob.cloud.localhost", State::Running, Some(house.socket("bob")));
    let mut client = house.client(Version::H2, ADA).await;
    let Client::H2(hanging) = &mut client else { panic!("asked for HTTP/2") };
    for _ in 0..100 {
        drop(tokio::spawn(hanging.send_request(get(ADA, "/never"))));
    }
    assert_eq!(house.get("bob.cloud.localhost", "/page").await.status(), 200);
    assert_eq!(bob.seen(), 1);
}

#[tokio::test]
async fn a_percloud_has_its_share_and_no_more() {
    let house = House::new();
    house.ada();
    let route = house.edge.routes.find(ADA).unwrap();
    let whence = Whence::of(&house.edge.addresses, std::net::Ipv4Addr::LOCALHOST.into());
    let enter = || route.enter(&house.edge, whence, Duration::ZERO);
    let crowd: Vec<_> = (0..super::super::limits::BUSY_PER_TENANT).map(|_| enter().unwrap()).collect();
    assert_eq!(house.get(ADA, "/").await.status(), 503);
    drop(crowd);
    assert_eq!(house.get(ADA, "/").await.status(), 200, "a full house empties again");
}

#[tokio::test]
async fn a_percloud_that_is_asked_too_fast_makes_its_own_visitors_wait_and_nobody_elses() {
    let house = House::new();
    house.ada();
    let bob = Fake::serve(house.socket("bob"));
    house.route("bob.cloud.localhost", State::Running, Some(house.socket("bob")));
    let route = house.edge.routes.find(ADA).unwrap();
    // The whole burst and more, at a moment that is still to come: nothing of it comes back during the test.
    let later = Duration::from_secs(3600);
    let whence = Whence::of(&house.edge.addresses, std::net::Ipv4Addr::LOCALHOST.into());
    while route.enter(&house.edge, whence, later).is_some() {}
    for version in BOTH {
        let busy = house.ask(version, get(ADA, "/")).await;
        assert_eq!((busy.status().as_u16(), said(&busy, "retry-after")), (503, "1"), "{version:?}");
        assert_eq!(house.ask(version, get("bob.cloud.localhost", "/")).await.status(), 200);
    }
    assert_eq!(bob.seen(), 2);
}

#[tokio::test]
async fn a_body_that_cannot_fit_wakes_nobody_and_one_that_grows_too_large_is_cut_off() {
    let house = House::new();
    let ada = house.ada();
    let most = house.edge.routes.find(ADA).unwrap().body_max();
    for version in BOTH {
        let said_so = Request::post(format!("https://{ADA}/count")).header("content-length", most + 1);
        let nothing_yet = http_body_util::StreamBody::new(futures_util::stream::pending());
        let refused = house.ask(version, said_so.body(http_body_util::BodyExt::boxed(nothing_yet)).unwrap()).await;
        assert_eq!(refused.status(), 413, "{version:?}");
        assert_eq!(ada.seen(), 0);
    }
    for version in BOTH {
        let grows = Request::post(format!("https://{ADA}/count")).body(endless()).unwrap();
        // Over HTTP/1.1 the edge may hang up before the client has read why.
        let answer = house.client(version, ADA).await.ask(grows).await;
        assert!(answer.as_ref().map_or(version == Version::H1, |answer| answer.status() == 413), "{answer:?}");
    }
    assert_eq!(house.get(ADA, "/").await.status(), 200);
}

/// A body that never ends.
fn endless() -> Body {
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let pieces = futures_util::stream::repeat_with(move || Ok(Frame::data(piece.clone())));
    http_body_util::BodyExt::boxed(http_body_util::StreamBody::new(pieces))
}

/// Waits for the edge to hang up.
async fn cut_off(mut stream: TlsStream<TcpStream>) {
    let mut buffer = [0; 4096];
    // An answer that says why may come first; what counts is the end.
    while let Ok(1..) = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("it ends") {}
}

#[tokio::test]
async fn a_client_that_sends_half_a_head_or_half_a_body_is_cut_off() {
    let house = House::new();
    house.ada();
    for half in [
        format!("GET / HTTP/1.1\r\nhost: {ADA}\r\nx:"),
        format!("POST /count HTTP/1.1\r\nhost: {ADA}\r\ncontent-length: 10\r\n\r\n123"),
    ] {
        let mut stream = house.tls(ADA, &["http/1.1"]).await.unwrap();
        stream.write_all(half.as_bytes()).await.unwrap();
        cut_off(stream).await;
    }
}

#[tokio::test]
async fn a_client_that_sends_next_to_nothing_is_cut_off_in_the_end() {
    let house = House::new();
    house.ada();
    for version in BOTH {
        let sent = Arc::new(AtomicUsize::new(0));
        // Never silent for as long as it may be.
        let drops = futures_util::stream::unfold(sent.clone(), async |sent| {
            tokio::time::sleep(Duration::from_millis(500)).await;
            sent.fetch_add(1, Ordering::SeqCst);
            Some((Ok(Frame::data(Bytes::from_static(b"x"))), sent))
        });
        let body = http_body_util::StreamBody::new(drops);
        let post = Request::post(format!("https://{ADA}/count")).body(http_body_util::BodyExt::boxed(body)).unwrap();
        let mut client = house.client(version, ADA).await;
        let answer = timeout(PATIENCE, client.ask(post)).await.expect("it ends");
        assert!(answer.as_ref().map_or(true, |answer| !answer.status().is_success()), "{version:?}: {answer:?}");
        assert!((2..100).contains(&sent.load(Ordering::SeqCst)), "{version:?}: {sent:?}");
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_in_the_end() {
    let house = House::new();
    let ada = house.ada();
    for version in BOTH {
        let mut client = house.client(version, ADA).await;
        let response = client.ask(get(ADA, "/big")).await.unwrap();
        let given = || ada.given.load(Ordering::SeqCst);
        postponed(|| given() > 0).await;
        // The kernel's buffers fill first, which takes a busy machine its time; the edge's patience begins when they are full.
        let mut before = 0;
        while std::mem::replace(&mut before, given()) != given() {
            tokio::time::sleep(super::super::limits::CLIENT_TAKES + super::super::limits::ROUND * 3).await;
        }
        let body = http_body_util::BodyExt::collect(response.into_body());
        assert!(timeout(PATIENCE, body).await.unwrap().is_err(), "{version:?}");
        ada.given.store(0, Ordering::SeqCst);
    }
}

async fn postponed(mut look: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + Duration::from_secs(10);
    while !look() {
        assert!(tokio::time::Instant::now() < end, "waited in vain");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
