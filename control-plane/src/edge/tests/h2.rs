//! HTTP/2 by the book (RFC 9113): what a client must not send, one row each, and floods.

use std::time::Duration;

use tokio::time::timeout;

use super::frames::*;
use super::*;

fn with(extra: &[(&'static str, &'static str)]) -> Vec<u8> {
    request(1, &[&GOOD[..], extra].concat())
}

fn without(name: &str) -> Vec<u8> {
    let fields: Vec<_> = GOOD.into_iter().filter(|(n, _)| *n != name).collect();
    request(1, &fields)
}

fn instead(name: &'static str, value: &'static str) -> Vec<u8> {
    let fields: Vec<_> = GOOD.into_iter().map(|(n, v)| if n == name { (n, value) } else { (n, v) }).collect();
    request(1, &fields)
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const COMPRESSION: u32 = 9;

/// Mistakes after which nobody knows what the other side means: the connection ends with this code (RFC 9113 §5.4.1).
fn connection_errors() -> Vec<(&'static str, u32, Vec<u8>)> {
    let good = block(&GOOD);
    vec![
        ("DATA on stream 0", PROTOCOL, frame(DATA, 0, 0, b"x")),
        ("DATA on a stream that never was", PROTOCOL, frame(DATA, 0, 1, b"x")),
        ("HEADERS on stream 0", PROTOCOL, frame(HEADERS, END_HEADERS, 0, &good)),
        ("a client's stream with an even number", PROTOCOL, frame(HEADERS, END_HEADERS | END_STREAM, 2, &good)),
        ("stream numbers that go back", STREAM_CLOSED, [request(5, &GOOD), request(3, &GOOD)].concat()),
        ("CONTINUATION out of nothing", PROTOCOL, frame(CONTINUATION, END_HEADERS, 1, &good)),
        ("a PING amid a header block", PROTOCOL, [frame(HEADERS, 0, 1, &good), frame(PING, 0, 0, &[0; 8])].concat()),
        (
            "another stream's CONTINUATION",
            PROTOCOL,
            [frame(HEADERS, 0, 1, &good), frame(CONTINUATION, END_HEADERS, 3, &good)].concat(),
        ),
        ("a frame larger than agreed", FRAME_SIZE, frame(PING, 0, 0, &[0; 16385])),
        ("SETTINGS that agree and ask at once", FRAME_SIZE, frame(SETTINGS, ACK, 0, &[0; 6])),
        ("SETTINGS of an odd length", FRAME_SIZE, frame(SETTINGS, 0, 0, &[0; 5])),
        ("SETTINGS on a stream", PROTOCOL, frame(SETTINGS, 0, 1, &[])),
        ("push neither on nor off", PROTOCOL, setting(2, 2)),
        ("a window larger than windows may be", FLOW_CONTROL, setting(4, 1 << 31)),
        ("frames smaller than frames may be", PROTOCOL, setting(5, 100)),
        ("PING on a stream", PROTOCOL, frame(PING, 0, 1, &[0; 8])),
        ("PING of an odd length", FRAME_SIZE, frame(PING, 0, 0, &[0; 7])),
        ("a window that grows by nothing", PROTOCOL, frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("a window that grows over the edge", FLOW_CONTROL, frame(WINDOW_UPDATE, 0, 0, &(u32::MAX >> 1).to_be_bytes())),
        ("WINDOW_UPDATE of an odd length", FRAME_SIZE, frame(WINDOW_UPDATE, 0, 0, &[0; 3])),
        ("a client that pushes", PROTOCOL, frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], &good[..]].concat())),
        ("RST_STREAM on stream 0", PROTOCOL, frame(RST_STREAM, 0, 0, &[0; 4])),
        ("RST_STREAM for a stream that never was", PROTOCOL, frame(RST_STREAM, 0, 1, &[0; 4])),
        ("RST_STREAM of an odd length", FRAME_SIZE, [request(1, &GOOD), frame(RST_STREAM, 0, 1, &[0; 3])].concat()),
        ("GOAWAY on a stream", PROTOCOL, frame(GOAWAY, 0, 1, &[0; 8])),
        ("PRIORITY on stream 0", PROTOCOL, frame(PRIORITY, 0, 0, &[0; 5])),
        (
            "more padding than frame",
            PROTOCOL,
            frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &[&[255], &good[..]].concat()),
        ),
        ("an index of no table", COMPRESSION, frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff, 0xff, 0xff, 0x01])),
        ("a string that is cut off", COMPRESSION, frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0, 100, b'x'])),
        (
            "a table larger than agreed",
            COMPRESSION,
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x3f, 0xff, 0xff, 0x7f]),
        ),
    ]
}

/// Requests that are none (RFC 9113 §8): refused one by one, and never passed on. Most were used to smuggle something past a proxy.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a name in capitals", with(&[("X-Loud", "1")])),
        ("a name with a colon in it", with(&[("x:y", "1")])),
        ("a name with a space", with(&[("x y", "1")])),
        ("a name with a line break", with(&[("x\r\ny", "1")])),
        ("an empty name", with(&[("", "1")])),
        ("a value with a line break", with(&[("x", "1\r\nhost: b.example")])),
        ("a value with a bare line feed", with(&[("x", "1\ny: 2")])),
        ("a value with a zero byte", with(&[("x", "1\0")])),
        ("a value that begins with a space", with(&[("x", " 1")])),
        ("a value that ends with a tab", with(&[("x", "1\t")])),
        ("a pseudo-header behind the others", request(1, &[&GOOD[..3], &[("x", "1"), (":path", "/")]].concat())),
        ("a pseudo-header that nobody knows", with(&[(":color", "red")])),
        ("a pseudo-header of answers", with(&[(":status", "200")])),
        ("two paths", with(&[(":path", "/other")])),
        ("two methods", with(&[(":method", "POST")])),
        ("two authorities", with(&[(":authority", "b.example")])),
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("no path", without(":path")),
        ("no host at all", without(":authority")),
        ("an empty path", instead(":path", "")),
        ("a path that is none", instead(":path", "x")),
        ("a path with a space", instead(":path", "/ HTTP/1.1\r\nx: y")),
        ("another scheme", instead(":scheme", "http")),
        ("a method with a space", instead(":method", "GET /x")),
        ("an authority with a user", instead(":authority", "me@ada.cloud.localhost")),
        ("an authority with a line break", instead(":authority", "ada.cloud.localhost\r\nx: y")),
        ("another host beside the authority", with(&[("host", "b.example")])),
        ("two hosts", with(&[("host", ADA), ("host", ADA)])),
        ("connection", with(&[("connection", "close")])),
        ("keep-alive", with(&[("keep-alive", "timeout=5")])),
        ("proxy-connection", with(&[("proxy-connection", "keep-alive")])),
        ("a transfer coding", with(&[("transfer-encoding", "chunked")])),
        ("an upgrade", with(&[("upgrade", "h2c")])),
        ("te that is not trailers", with(&[("te", "gzip")])),
        ("a length that is no number", with(&[("content-length", "+0")])),
        ("two lengths", with(&[("content-length", "0"), ("content-length", "1")])),
        ("a length and no body", with(&[("content-length", "10")])),
        ("CONNECT", request(1, &[(":method", "CONNECT"), (":authority", "b.example:443")])),
        (
            "a connection into an unknown protocol",
            request(1, &[&[(":method", "CONNECT")], &GOOD[1..], &[(":protocol", "connect-udp")]].concat()),
        ),
    ]
}

#[tokio::test]
async fn what_breaks_http2_ends_the_connection() {
    let house = House::new();
    let ada = house.ada();
    for (what, code, bytes) in connection_errors() {
        let mut raw = Raw::open(&house).await;
        raw.send(&bytes).await.unwrap();
        let mut did = raw.reaction().await;
        // Where a good request came first, its answer may be on its way already.
        while did == Did::Served {
            did = raw.reaction().await;
        }
        assert_eq!(did, Did::GoAway(code), "{what}");
    }
    let mut raw = Raw::silent(&house).await;
    raw.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").await.unwrap();
    assert_eq!(raw.reaction().await, Did::GoAway(PROTOCOL), "another preface");
    assert!(ada.requests.lock().unwrap().iter().all(|r| r.uri().path() == "/" && r.method() == "GET"));
    assert_eq!(house.ask(Version::H2, get(ADA, "/")).await.status(), 200, "the edge is well");
}

#[tokio::test]
async fn requests_that_are_none_do_not_arrive_over_http2() {
    let house = House::new();
    let ada = house.ada();
    for (what, bytes) in malformed() {
        let mut raw = Raw::open(&house).await;
        raw.send(&bytes).await.unwrap();
        let did = raw.reaction().await;
        assert!(did != Did::Served, "{what}: {did:?}");
        assert_eq!(ada.seen(), 0, "{what}: {did:?} {:?}", ada.requests.lock().unwrap());
    }
    let mut raw = Raw::open(&house).await;
    raw.send(&with(&[("te", "trailers"), ("content-length", "0")])).await.unwrap();
    assert_eq!(raw.reaction().await, Did::Served, "and a good one does");
}

#[tokio::test]
async fn a_body_of_another_length_than_said_is_not_passed_on_as_whole() {
    let house = House::new();
    let ada = house.ada();
    let fields =
        [(":method", "POST"), (":scheme", "https"), (":authority", ADA), (":path", "/count"), ("content-length", "5")];
    for body in [&b"1234"[..], b"123456"] {
        let mut raw = Raw::open(&house).await;
        raw.send(&frame(HEADERS, END_HEADERS, 1, &block(&fields))).await.unwrap();
        raw.send(&frame(DATA, END_STREAM, 1, body)).await.unwrap();
        let did = raw.reaction().await;
        assert!(did != Did::Served, "{body:?}: {did:?}");
    }
    // What was on its way ended in the middle, and so it was read.
    let read = async {
        while ada.bodies.lock().unwrap().len() < ada.seen() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, read).await.expect("both are over for the percloud as well");
    let bodies = ada.bodies.lock().unwrap();
    assert!(bodies.iter().all(Option::is_none), "{bodies:?} taken for whole");
}

#[tokio::test]
async fn streams_that_are_opened_and_reset_at_once_end_the_connection() {
    let house = House::new();
    house.ada();
    let mut raw = Raw::open(&house).await;
    let burst: Vec<u8> = (0..2000)
        .flat_map(|n| [request(2 * n + 1, &GOOD), frame(RST_STREAM, 0, 2 * n + 1, &8_u32.to_be_bytes())].concat())
        .collect();
    let _ = raw.send(&burst).await;
    let mut did = raw.reaction().await;
    while matches!(did, Did::Served | Did::Reset(_) | Did::Refused) {
        did = raw.reaction().await;
    }
    assert!(matches!(did, Did::GoAway(1..) | Did::HungUp), "{did:?}");
    assert_eq!(house.ask(Version::H2, get(ADA, "/")).await.status(), 200, "the edge is well");
}

/// As before, but slow enough for each request to be on its way to the percloud before it is reset.
#[tokio::test]
async fn a_client_that_breaks_off_whatever_it_asks_is_sent_away() {
    let house = House::new();
    let ada = house.ada();
    let mut raw = Raw::open(&house).await;
    let never: Vec<_> = GOOD.into_iter().map(|(n, v)| if n == ":path" { (n, "/never") } else { (n, v) }).collect();
    let most = super::super::limits::BROKEN_OFF * 4;
    let (mut opened, mut last) = (0, None);
    while opened < most {
        let stream = u32::try_from(2 * opened + 1).unwrap();
        let seen = ada.seen();
        if raw.send(&request(stream, &never)).await.is_err() {
            break;
        }
        // On its way, or the edge has had enough.
        let arrived = async {
            while ada.seen() == seen {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        // Its frames come whole: none is lost by not being waited for any longer.
        let gone = tokio::select! {
            () = arrived => None,
            did = raw.reaction() => Some(did),
        };
        if let Some(did) = gone {
            last = Some(did);
            break;
        }
        if raw.send(&frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())).await.is_err() {
            break;
        }
        opened += 1;
    }
    assert!(opened < most, "{opened} requests were taken and broken off");
    let last = match last {
        Some(did) => did,
        None => raw.reaction().await,
    };
    assert!(matches!(last, Did::GoAway(1..) | Did::HungUp));
}

#[tokio::test]
async fn a_header_block_without_end_is_not_gathered() {
    let house = House::new();
    let ada = house.ada();
    for piece in [Vec::new(), block(&[("x-more", "y")]).repeat(100)] {
        let mut raw = Raw::open(&house).await;
        raw.send(&frame(HEADERS, 0, 1, &block(&GOOD))).await.unwrap();
        let more = frame(CONTINUATION, 0, 1, &piece);
        let mut sent = 0;
        // Half a gigabyte would do for an edge that gathers it.
        while sent < 512 << 20 {
            if raw.send(&more.repeat(64)).await.is_err() {
                break;
            }
            sent += 64 * more.len();
            if sent > 8 << 20 && matches!(raw.reaction().await, Did::GoAway(1..) | Did::HungUp) {
                break;
            }
        }
        assert!(sent <= 16 << 20, "{sent} bytes of one header block were taken");
    }
    assert_eq!(ada.seen(), 0);
}

#[tokio::test]
async fn no_more_streams_at_once_than_agreed() {
    let house = House::new();
    house.ada();
    let mut raw = Raw::open(&house).await;
    let never: Vec<_> = GOOD.into_iter().map(|(n, v)| if n == ":path" { (n, "/never") } else { (n, v) }).collect();
    for n in 0..=super::super::limits::STREAMS {
        raw.send(&request(2 * n + 1, &never)).await.unwrap();
    }
    // REFUSED_STREAM, so that a good client may ask again.
    assert_eq!(raw.reaction().await, Did::Reset(7));
}
