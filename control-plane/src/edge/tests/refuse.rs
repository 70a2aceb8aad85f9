//! Requests that are not passed on.

use http::{Method, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;

/// Sends bytes as they are and reads until the edge hangs up (or a while has passed, with nothing more to come).
async fn raw(house: &House, bytes: &str) -> String {
    let mut stream = house.tls(ADA, &["http/1.1"]).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the connection is still open after {bytes:?}: {}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn smuggled_requests_do_not_arrive() {
    let house = House::new();
    let ada = house.ada();
    let inner = format!("GET /smuggled HTTP/1.1\r\nhost: {ADA}\r\n\r\n");
    let length = inner.len();
    let cases = [
        (
            "two lengths",
            format!("POST /a HTTP/1.1\r\nhost: {ADA}\r\ncontent-length: 0\r\ncontent-length: {length}\r\n\r\n{inner}"),
        ),
        ("a signed length", format!("POST /a HTTP/1.1\r\nhost: {ADA}\r\ncontent-length: +0\r\n\r\n{inner}")),
        ("an odd coding", format!("POST /a HTTP/1.1\r\nhost: {ADA}\r\ntransfer-encoding: xchunked\r\n\r\n{inner}")),
        (
            "two codings",
            format!(
                "POST /a HTTP/1.1\r\nhost: {ADA}\r\ntransfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{inner}"
            ),
        ),
        (
            "a coding list",
            format!("POST /a HTTP/1.1\r\nhost: {ADA}\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n{inner}"),
        ),
        (
            "a space before the colon",
            format!("POST /a HTTP/1.1\r\nhost: {ADA}\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n{inner}"),
        ),
        (
            "a folded line",
            format!("POST /a HTTP/1.1\r\nhost: {ADA}\r\nx: y\r\n transfer-encoding: chunked\r\n\r\n{inner}"),
        ),
        (
            "a bare carriage return",
            format!("POST /a HTTP/1.1\r\nhost: {ADA}\r\nx: y\rtransfer-encoding: chunked\r\n\r\n{inner}"),
        ),
        (
            "a coding in HTTP/1.0",
            format!("POST /a HTTP/1.0\r\nhost: {ADA}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        ),
        ("two hosts", format!("GET /a HTTP/1.1\r\nhost: {ADA}\r\nhost: bob.cloud.localhost\r\n\r\n{inner}")),
        ("no host", format!("GET /a HTTP/1.1\r\n\r\n{inner}")),
        (
            "another host in the target",
            format!("GET https://bob.cloud.localhost/a HTTP/1.1\r\nhost: {ADA}\r\n\r\n{inner}"),
        ),
        (
            "a bad chunk",
            format!("POST /count HTTP/1.1\r\nhost: {ADA}\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n\r\n{inner}"),
        ),
        (
            "an endless chunk size",
            format!(
                "POST /count HTTP/1.1\r\nhost: {ADA}\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{inner}"
            ),
        ),
    ];
    for (what, bytes) in cases {
        let answer = raw(&house, &bytes).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.0 400"),
            "{what}: {answer}"
        );
        assert!(!answer.contains("/smuggled"), "{what}: {answer}");
    }
    let paths: Vec<String> = ada.requests.lock().unwrap().iter().map(|r| r.uri().path().to_owned()).collect();
    assert!(paths.iter().all(|p| p == "/count"), "{paths:?}");
}

#[tokio::test]
async fn length_and_coding_together_are_read_by_the_coding_and_the_connection_ends() {
    let house = House::new();
    let ada = house.ada();
    let inner = format!("GET /smuggled HTTP/1.1\r\nhost: {ADA}\r\n\r\n");
    for order in ["content-length: 4\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 4"]
    {
        let answer =
            raw(&house, &format!("POST /count HTTP/1.1\r\nhost: {ADA}\r\n{order}\r\n\r\n0\r\n\r\n{inner}")).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("Ok(0)"), "{answer}");
    }
    let seen = ada.requests.lock().unwrap();
    assert_eq!(seen.iter().map(|r| r.uri().path()).collect::<Vec<_>>(), ["/count", "/count"]);
    assert!(seen.iter().all(|r| !r.headers().contains_key("content-length")));
}

#[tokio::test]
async fn methods_for_proxies_are_refused() {
    let house = House::new();
    let ada = house.ada();
    let trace = Request::builder().method(Method::TRACE).uri(format!("https://{ADA}/")).body(empty()).unwrap();
    assert_eq!(house.ask(Version::H2, trace).await.status(), 405);
    let answer = raw(
        &house,
        "CONNECT bob.cloud.localhost:443 HTTP/1.1\r\nhost: bob.cloud.localhost:443\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert_eq!(ada.seen(), 0);
    for method in ["PROPFIND", "REPORT", "MKCOL", "MOVE", "PATCH", "DELETE", "OPTIONS"] {
        let request = Request::builder().method(method).uri(format!("https://{ADA}/dav")).body(empty()).unwrap();
        assert_eq!(text(house.ask(Version::H1, request).await).await, format!("{method} /dav"));
    }
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let house = House::new();
    let ada = house.ada();
    let answer = raw(&house, &format!("GET / HTTP/1.1\r\nhost: {ADA}\r\nx: {}\r\n\r\n", "y".repeat(64 * 1024))).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let many: String = (0..200).map(|n| format!("x-{n}: y\r\n")).collect();
    let answer = raw(&house, &format!("GET / HTTP/1.1\r\nhost: {ADA}\r\n{many}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(ada.seen(), 0);
}

#[tokio::test]
async fn plain_http_is_explained_on_one_port_and_redirected_on_the_other() {
    let house = House::new();
    let ada = house.ada();
    let say = async |at: SocketAddr, host: &str| {
        let mut stream = tokio::net::TcpStream::connect(at).await.unwrap();
        stream.write_all(format!("GET /posts?x=1 HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let to = format!("https://{ADA}:{}/posts?x=1", house.at.port());
    let explained = say(house.at, ADA).await;
    assert!(explained.starts_with("HTTP/1.1 400") && explained.contains(&format!("href=\"{to}\"")), "{explained}");
    let moved = say(house.plain, &format!("{ADA}:80")).await;
    assert!(moved.starts_with("HTTP/1.1 308") && moved.contains(&format!("location: {to}\r\n")), "{moved}");
    let nobody = say(house.plain, "elsewhere.example").await;
    assert!(nobody.starts_with("HTTP/1.1 404") && !nobody.contains("location:"), "{nobody}");
    assert_eq!(ada.seen(), 0);
}

#[tokio::test]
async fn by_plain_http_too_nobody_is_said_to_have_no_percloud_before_it_is_known_who_has_one() {
    let house = House::unknowing();
    let say = async |host: &str| {
        let mut stream = tokio::net::TcpStream::connect(house.plain).await.unwrap();
        stream.write_all(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(say(BASE).await.starts_with("HTTP/1.1 308"), "the provider's own name is known");
    let not_yet = say(ADA).await;
    assert!(not_yet.starts_with("HTTP/1.1 503") && not_yet.contains("retry-after: 10\r\n"), "{not_yet}");
    let learns = async {
        // Long enough for the question to be there; what is tested does not depend on it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        house.ada();
        house.edge.certificates.known();
    };
    let (answer, ()) = tokio::join!(say(ADA), learns);
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
    assert!(say("elsewhere.example").await.starts_with("HTTP/1.1 404"));
}
