//! WebSockets, asked for in the way of either HTTP.

use http::Request;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::*;

pub(super) async fn talk(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    for number in 0..5 {
        let said = format!("frame {number}");
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut heard = vec![0; said.len()];
        timeout(PATIENCE, stream.read_exact(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, said.as_bytes());
    }
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_websocket_over_http1() {
    let house = House::new();
    let ada = house.ada();
    let mut request = get(ADA, "/socket");
    for (name, value) in [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "a2V5"),
        ("sec-websocket-version", "13"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let mut response = house.ask(Version::H1, request).await;
    assert_eq!(response.status(), 101);
    assert_eq!(
        (&response.headers()["upgrade"], &response.headers()["sec-websocket-accept"]),
        (&"websocket".parse().unwrap(), &"acoMowsaMs4gzl5sy2uaF1804GA=".parse().unwrap())
    );
    assert_eq!(ada.last()["connection"], "upgrade");
    talk(TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap())).await;
}

/// What is answered to somebody who opens a WebSocket over HTTP/2.
pub(super) async fn open(house: &House, path: &str) -> Response<Incoming> {
    let mut client = house.client(Version::H2, ADA).await;
    // The server's settings, which allow this, come with its first answer.
    client.ask(get(ADA, "/")).await.unwrap();
    let request = Request::connect(format!("https://{ADA}{path}")).header("sec-websocket-version", "13");
    let mut request = request.body(empty()).unwrap();
    request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
    client.ask(request).await.unwrap()
}

#[tokio::test]
async fn a_percloud_that_opens_no_websocket_is_not_said_to_have_opened_one() {
    let house = House::new();
    house.ada();
    for path in ["/", "/range", "/socket-of-another"] {
        assert_eq!(open(&house, path).await.status(), 503, "{path}");
    }
    let refused = open(&house, "/refuse").await;
    assert_eq!(refused.status(), 413);
    assert_eq!(text(refused).await, "too large", "and why it does not, whoever asked hears");
}

#[tokio::test]
async fn a_websocket_over_http2() {
    let house = House::new();
    let ada = house.ada();
    let mut response = open(&house, "/socket").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    assert!(!response.headers().contains_key("connection"));
    assert_eq!(ada.requests.lock().unwrap().last().unwrap().method(), "GET");
    talk(TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap())).await;
}

#[tokio::test]
async fn other_upgrades_are_plain_requests() {
    let house = House::new();
    let ada = house.ada();
    let mut request = get(ADA, "/page");
    for (name, value) in
        [("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABkAAQAAP__")]
    {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let response = house.ask(Version::H1, request).await;
    assert_eq!(text(response).await, "GET /page");
    for name in ["connection", "upgrade", "http2-settings"] {
        assert!(!ada.last().contains_key(name), "{name}");
    }
    assert_eq!(house.get(ADA, "/unasked").await.status(), 503, "a percloud cannot change the protocol by itself");
}
