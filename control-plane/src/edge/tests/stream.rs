//! Bodies, both ways.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::*;

type Pieces = mpsc::Sender<Result<Frame<Bytes>, Box<dyn std::error::Error + Send + Sync>>>;

/// A body that is sent piece by piece, when the test says so.
fn by_hand() -> (Pieces, Body) {
    let (tx, rx) = mpsc::channel(1);
    (tx, StreamBody::new(ReceiverStream::new(rx)).boxed())
}

#[tokio::test]
async fn each_piece_arrives_before_the_next_is_sent() {
    let house = House::new();
    house.ada();
    for version in BOTH {
        let (tx, body) = by_hand();
        let request = Request::post(format!("https://{ADA}/echo")).body(body).unwrap();
        let mut client = house.client(version, ADA).await;
        tx.send(Ok(Frame::data(Bytes::from_static(b"first")))).await.unwrap();
        let mut echo = client.ask(request).await.unwrap().into_body();
        let piece = echo.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(piece, "first", "{version:?}");
        for number in 0..10 {
            let sent = Bytes::from(format!("piece {number}"));
            tx.send(Ok(Frame::data(sent.clone()))).await.unwrap();
            let piece = timeout(PATIENCE, echo.frame()).await.unwrap().unwrap().unwrap();
            assert_eq!(piece.into_data().unwrap(), sent, "{version:?}");
        }
        drop(tx);
        assert_eq!(echo.collect().await.unwrap().to_bytes().len(), 0);
    }
}

#[tokio::test]
async fn a_large_body_comes_back_as_it_went() {
    let house = House::new();
    house.ada();
    for version in BOTH {
        let mut sent = vec![0; 24 * 1024 * 1024];
        rand::fill(&mut sent[..]);
        let sent = Bytes::from(sent);
        let request = Request::put(format!("https://{ADA}/echo")).body(full(sent.clone())).unwrap();
        let response = house.ask(version, request).await;
        let back = response.into_body().collect().await.unwrap().to_bytes();
        assert!(back == sent, "{version:?}: {} of {} bytes", back.len(), sent.len());
    }
}

/// A percloud by hand that takes one request, notes it whole, and answers with a trailer.
fn with_trailers(socket: std::path::PathBuf) -> mpsc::UnboundedReceiver<String> {
    let listener = tokio::net::UnixListener::bind(socket).unwrap();
    let (tx, rx) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let tx = tx.clone();
            tokio::spawn(async move {
                let mut seen = until(&mut stream, "\r\n\r\n").await;
                if seen.contains("transfer-encoding: chunked") {
                    while !(seen.contains("\r\n0\r\n") && seen.ends_with("\r\n\r\n")) {
                        seen += &until(&mut stream, "\n").await;
                    }
                }
                tx.send(seen).unwrap();
                let answer = "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
                              7\r\ncontent\r\n0\r\nx-sum: 42\r\n\r\n";
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    rx
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let house = House::new();
    house.route(ADA, State::Running, Some(house.socket("trailers")));
    let mut seen = with_trailers(house.socket("trailers"));
    for version in BOTH {
        for method in ["GET", "POST"] {
            let (tx, by_hand) = by_hand();
            let body = if method == "GET" { empty() } else { by_hand };
            let request = Request::builder()
                .method(method)
                .uri(format!("https://{ADA}/"))
                .header("te", "trailers")
                .header("trailer", "x-sum")
                .body(body)
                .unwrap();
            tokio::spawn(async move {
                let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("41"))]);
                // With GET nobody listens.
                let _ = tx.send(Ok(Frame::data(Bytes::from_static(b"question")))).await;
                let _ = tx.send(Ok(Frame::trailers(trailers))).await;
            });
            let whole = house.ask(version, request).await.into_body().collect().await.unwrap();
            assert_eq!(whole.trailers().unwrap()["x-sum"], "42", "{version:?} {method}");
            assert_eq!(whole.to_bytes(), "content", "{version:?} {method}");
            let seen = seen.recv().await.unwrap();
            assert_eq!(seen.ends_with("0\r\nx-sum: 41\r\n\r\n"), method == "POST", "{version:?}: {seen}");
        }
    }
}

#[tokio::test]
async fn events_arrive_when_they_happen() {
    for version in BOTH {
        let house = House::new();
        let ada = house.ada();
        let response = house.ask(version, get(ADA, "/events")).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut events = response.into_body();
        for number in 1..5 {
            let event = timeout(PATIENCE, events.frame()).await.unwrap().unwrap().unwrap();
            assert_eq!(event.into_data().unwrap(), format!("data: {number}\n\n"), "{version:?}");
            ada.next.notify_one();
        }
    }
}

#[tokio::test]
async fn a_slow_client_holds_back_its_percloud_and_nothing_is_piled_up() {
    let house = House::new();
    let ada = house.ada();
    for version in BOTH {
        ada.given.store(0, Ordering::SeqCst);
        let response = house.ask(version, get(ADA, "/big")).await;
        let mut last = 0;
        loop {
            sleep(Duration::from_millis(200)).await;
            let given = ada.given.load(Ordering::SeqCst);
            if given == last && given > 0 {
                break;
            }
            last = given;
        }
        // The sockets' own buffers hold some megabytes on this machine; a gigabyte was asked for.
        assert!(
            last < 64 * 1024 * 1024,
            "{version:?}: {last} bytes were taken from the percloud for a client that reads none"
        );
        drop(response);
    }
}

#[tokio::test]
async fn range_and_content_range_are_left_alone() {
    let house = House::new();
    let ada = house.ada();
    for version in BOTH {
        let request = Request::get(format!("https://{ADA}/range"))
            .header("range", "bytes=0-3")
            .header("if-range", "\"e\"")
            .body(empty())
            .unwrap();
        let response = house.ask(version, request).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-range"]),
            (206, &HeaderValue::from_static("bytes 0-3/10"))
        );
        assert_eq!(text(response).await, "0123");
        assert_eq!(
            (&ada.last()["range"], &ada.last()["if-range"]),
            (&HeaderValue::from_static("bytes=0-3"), &HeaderValue::from_static("\"e\""))
        );
    }
}

#[tokio::test]
async fn head_says_the_length_and_sends_nothing() {
    let house = House::new();
    house.ada();
    for version in BOTH {
        let request = Request::head(format!("https://{ADA}/page")).body(empty()).unwrap();
        let response = house.ask(version, request).await;
        assert_eq!(response.headers()["content-length"], "10", "{version:?}");
        assert_eq!(text(response).await, "");
    }
}

/// Reads what comes until `end` is in it.
async fn until(stream: &mut (impl AsyncReadExt + Unpin), end: &str) -> String {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&all).contains(end) {
        let read = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("an answer in time").unwrap();
        assert!(read > 0, "ended after {:?}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn an_upload_that_waits_is_let_go_by_the_percloud_only() {
    let house = House::new();
    house.ada();
    let head = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nhost: {ADA}\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
    };
    let mut wanted = house.tls(ADA, &["http/1.1"]).await.unwrap();
    wanted.write_all(head("/count").as_bytes()).await.unwrap();
    assert!(until(&mut wanted, "\r\n\r\n").await.starts_with("HTTP/1.1 100 Continue"));
    wanted.write_all(b"12345").await.unwrap();
    assert!(until(&mut wanted, "Ok(5)").await.starts_with("HTTP/1.1 200"));

    let mut refused = house.tls(ADA, &["http/1.1"]).await.unwrap();
    refused.write_all(head("/refuse").as_bytes()).await.unwrap();
    let answer = until(&mut refused, "too large").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "no go-ahead for what is not wanted: {answer}");
}

#[tokio::test]
async fn an_answer_may_come_before_the_upload_ends() {
    let house = House::new();
    house.ada();
    for version in BOTH {
        let (tx, body) = by_hand();
        let mut client = house.client(version, ADA).await;
        let request = Request::post(format!("https://{ADA}/refuse")).body(body).unwrap();
        tx.send(Ok(Frame::data(Bytes::from_static(b"a first piece")))).await.unwrap();
        let response = timeout(PATIENCE, client.ask(request)).await.unwrap().unwrap();
        assert_eq!(response.status(), 413, "{version:?}");
    }
}
