//! HTTP/2 by hand: windows, bodies and heads of odd sizes, and what is nearly right.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::super::limits;
use super::frames::*;
use super::*;

/// A setting as a frame.
fn set(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

fn asked(stream: u32, path: &'static str) -> Vec<u8> {
    request(stream, &GOOD.map(|(name, value)| if name == ":path" { (name, path) } else { (name, value) }))
}

/// A request whose body follows.
fn begun(stream: u32, path: &'static str, more: &[(&'static str, &'static str)]) -> Vec<u8> {
    let head = [(":method", "POST"), (":scheme", "https"), (":authority", ADA), (":path", path)];
    frame(HEADERS, END_HEADERS, stream, &block(&[&head[..], more].concat()))
}

fn widen(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

/// What comes of a body until `enough` bytes are there, or its end is.
async fn body(raw: &mut Raw, enough: usize) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let (kind, flags, payload) = raw.frame().await.expect("more of the body");
        if kind == DATA {
            body.extend(payload);
        }
        let ended = matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
        if ended || body.len() >= enough {
            return (body, ended);
        }
    }
}

#[tokio::test]
async fn a_body_comes_as_far_as_its_windows_reach() {
    let house = House::new();
    house.ada();
    let mut raw = Raw::silent(&house).await;
    raw.send(&[PREFACE, &set(4, 4), &asked(1, "/0123456789")].concat()).await.unwrap();
    assert_eq!(body(&mut raw, 4).await, (b"GET ".to_vec(), false));
    raw.send(&widen(1, 3)).await.unwrap();
    assert_eq!(body(&mut raw, 3).await, (b"/01".to_vec(), false));
    // Streams that are open have what a new setting says, less what they had (RFC 9113 §6.9.2).
    raw.send(&set(4, 6)).await.unwrap();
    assert_eq!(body(&mut raw, 2).await, (b"23".to_vec(), false));
    // It may leave less than nothing: then only what goes beyond that counts.
    raw.send(&[set(4, 0), widen(1, 9)].concat()).await.unwrap();
    assert_eq!(body(&mut raw, 3).await, (b"456".to_vec(), false));
    raw.send(&widen(1, 100)).await.unwrap();
    assert_eq!(body(&mut raw, 100).await, (b"789".to_vec(), true));
}

#[tokio::test]
async fn many_bodies_share_the_connections_window() {
    let house = House::new();
    house.ada();
    let mut raw = Raw::silent(&house).await;
    let all: Vec<u8> = (0..20).flat_map(|n| asked(2 * n + 1, "/film")).collect();
    raw.send(&[PREFACE, &set(4, 1 << 30), &all].concat()).await.unwrap();
    let (mut ended, mut taken, mut heard) = (0, 0, [0; 20]);
    while ended < 20 {
        let (kind, stream, flags, payload) = raw.whole().await.expect("more of twenty films");
        assert_ne!(kind, GOAWAY, "{payload:?}");
        if kind == DATA {
            heard[stream as usize / 2] += payload.len();
            taken += payload.len();
            ended += usize::from(flags & END_STREAM != 0);
        }
        if taken >= 32 * 1024 {
            raw.send(&widen(0, u32::try_from(std::mem::take(&mut taken)).unwrap())).await.unwrap();
        }
        let (least, most) = (heard.iter().min().unwrap(), heard.iter().max().unwrap());
        assert!(most - least < 2_000_000, "one has {most} bytes and another {least}");
    }
    assert_eq!(heard, [super::fake::film().len(); 20]);
}

#[tokio::test]
async fn more_than_a_window_is_not_taken() {
    let house = House::new();
    house.ada();
    let mut raw = Raw::open(&house).await;
    raw.send(&begun(1, "/never", &[])).await.unwrap();
    let piece = frame(DATA, 0, 1, &vec![0; 16 * 1024]);
    // What the percloud's socket takes makes room for as much again, but nothing reads the answer to that.
    for _ in 0..8 * limits::STREAM_WINDOW as usize / piece.len() {
        if raw.send(&piece).await.is_err() {
            break;
        }
    }
    assert!(matches!(raw.reaction().await, Did::GoAway(3) | Did::Reset(3) | Did::HungUp));
}

#[tokio::test]
async fn a_head_that_is_larger_than_a_frame_arrives_in_pieces() {
    let house = House::new();
    house.ada();
    let mut raw = Raw::open(&house).await;
    raw.send(&asked(1, "/wide")).await.unwrap();
    let (mut kinds, mut bytes) = (Vec::new(), 0);
    loop {
        let (kind, flags, payload) = raw.frame().await.unwrap();
        if matches!(kind, HEADERS | CONTINUATION) {
            assert!(payload.len() <= 16 * 1024);
            kinds.push(kind);
            bytes += payload.len();
            if flags & END_HEADERS != 0 {
                break;
            }
        }
    }
    assert_eq!(kinds, [HEADERS, CONTINUATION, CONTINUATION]);
    assert!(bytes > 40_000);
    assert_eq!(body(&mut raw, 4).await.0, b"wide");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_the_next_one_is_not() {
    let house = House::new();
    let ada = house.ada();
    let mut raw = Raw::open(&house).await;
    // Learnt once, then said by its number, 62: small on the way and large when it is read.
    let field = [&[0x40, 1, b'n', 0x7f, 0x81, 0x16][..], &[b'v'; 2944]].concat();
    let large = [block(&GOOD), field, vec![0xbe; 12]].concat();
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &large)).await.unwrap();
    assert_eq!(raw.reaction().await, Did::Refused);
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &[block(&GOOD), vec![0xbe]].concat())).await.unwrap();
    assert_eq!(raw.reaction().await, Did::Served);
    assert_eq!((ada.seen(), ada.last()["n"].len()), (1, 2944));
}

#[tokio::test]
async fn a_client_that_waits_for_a_go_ahead_gets_it_once_somebody_reads() {
    let house = House::new();
    house.ada();
    let mut raw = Raw::open(&house).await;
    raw.send(&begun(1, "/count", &[("expect", "100-continue"), ("content-length", "3")])).await.unwrap();
    let (kind, _, payload) = raw.answer().await;
    assert_eq!((kind, &payload[payload.len() - 3..]), (HEADERS, &b"100"[..]));
    raw.send(&frame(DATA, END_STREAM, 1, b"abc")).await.unwrap();
    assert_eq!(raw.reaction().await, Did::Served);
    assert_eq!(body(&mut raw, 5).await.0, b"Ok(3)");
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_question_is_whole_and_ends_it() {
    let house = House::new();
    house.ada();
    let mut raw = Raw::open(&house).await;
    raw.send(&begun(1, "/refuse", &[("content-length", "1000000")])).await.unwrap();
    assert_eq!(raw.reaction().await, Did::Refused);
    assert_eq!(body(&mut raw, 9).await, (b"too large".to_vec(), true));
    assert_eq!(raw.reaction().await, Did::Reset(0));
    // What was on its way is no mistake.
    raw.send(&[frame(DATA, 0, 1, b"late"), asked(3, "/")].concat()).await.unwrap();
    assert_eq!(raw.reaction().await, Did::Served);
}

#[tokio::test]
async fn who_says_much_that_moves_nothing_is_sent_away() {
    let house = House::new();
    house.ada();
    for (what, piece) in [
        ("pings", frame(PING, 0, 0, &[0; 8])),
        ("settings", set(3, 1)),
        ("windows", widen(0, 1)),
        ("priorities", frame(PRIORITY, 0, 1, &[0; 5])),
        ("what nobody knows", frame(0xbe, 0, 0, b"x")),
    ] {
        let mut raw = Raw::open(&house).await;
        let _ = raw.send(&piece.repeat(limits::CHATTER + 10)).await;
        assert!(matches!(raw.reaction().await, Did::GoAway(11) | Did::HungUp), "{what}");
    }
    let mut raw = Raw::open(&house).await;
    raw.send(&begun(1, "/never", &[])).await.unwrap();
    let _ = raw.send(&frame(DATA, 0, 1, b"").repeat(limits::CHATTER + 10)).await;
    assert!(matches!(raw.reaction().await, Did::GoAway(11) | Did::HungUp), "pieces of nothing");
}

#[tokio::test]
async fn a_client_that_has_said_goodbye_is_still_answered() {
    let house = House::new();
    house.ada();
    let mut raw = Raw::open(&house).await;
    raw.send(&[asked(1, "/film"), frame(GOAWAY, 0, 0, &[0; 8]), widen(0, 1 << 30), widen(1, 1 << 30)].concat())
        .await
        .unwrap();
    assert_eq!(body(&mut raw, usize::MAX).await.0.len(), super::fake::film().len());
    let end = timeout(PATIENCE, raw.frame());
    assert!(end.await.unwrap().is_none(), "then the connection ends");
}

#[tokio::test]
async fn what_was_on_its_way_when_the_edge_left_is_refused_and_harms_nobody() {
    let house = House::new();
    let ada = house.ada();
    let mut raw = Raw::open(&house).await;
    raw.send(&asked(1, "/events")).await.unwrap();
    assert_eq!(body(&mut raw, 9).await.0, b"data: 1\n\n");
    house.ending.leaving.cancel();
    let farewell = loop {
        match raw.frame().await.unwrap() {
            (PING, 0, said) => break said,
            (GOAWAY, _, said) => assert_eq!(said[..4], (u32::MAX >> 1).to_be_bytes(), "all that comes is answered yet"),
            _ => {}
        }
    };
    let late = [frame(PING, ACK, 0, &farewell), begun(3, "/count", &[]), frame(DATA, END_STREAM, 3, b"late")].concat();
    raw.send(&late).await.unwrap();
    let (kind, _, said) = raw.answer().await;
    assert_eq!((kind, &said[..4]), (GOAWAY, &1_u32.to_be_bytes()[..]), "and from now on the first one only");
    assert_eq!(raw.reaction().await, Did::Reset(7));
    ada.next.notify_one();
    assert_eq!(body(&mut raw, 9).await.0, b"data: 2\n\n");
    assert_eq!(ada.seen(), 1);
}

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// What is nearly right, in many ways: whatever the edge makes of it, it neither falls over nor forgets the others.
#[tokio::test]
async fn no_bytes_bring_it_down() {
    let house = House::new();
    house.ada();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        before(panic);
    }));
    let good = [
        PREFACE,
        &set(4, 100),
        &asked(1, "/film"),
        &begun(3, "/count", &[("content-length", "3"), ("expect", "100-continue")]),
        &frame(DATA, 0, 3, b"ab"),
        &frame(DATA, PADDED, 3, &[2, b'c', 0, 0]),
        &frame(HEADERS, END_HEADERS | END_STREAM, 3, &block(&[("x-sum", "1")])),
        &frame(HEADERS, END_STREAM, 5, &block(&GOOD)),
        &frame(CONTINUATION, END_HEADERS, 5, &[0x3f, 0xe1, 0x1f, 0x40, 1, b'n', 1, b'v', 0xbe]),
        &widen(1, 1000),
        &frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()),
        &frame(PING, 0, 0, &[0; 8]),
        &frame(GOAWAY, 0, 0, &[0; 8]),
    ]
    .concat();
    // The same each time: xorshift with a seed.
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    for round in 0..400 {
        let mut bytes = good.clone();
        for _ in 0..=next(6) {
            // Mostly behind the preface, or nothing else would be looked at.
            let at = PREFACE.len() + next(bytes.len() - PREFACE.len());
            match next(4) {
                0 => bytes[at] = u8::try_from(next(256)).unwrap(),
                1 => bytes[at] ^= 1 << next(8),
                2 => drop(bytes.splice(at..at, good[PREFACE.len()..][..next(60)].to_vec())),
                _ => drop(bytes.drain(at..bytes.len().min(at + next(20)))),
            }
        }
        let mut raw = Raw::silent(&house).await;
        for piece in bytes.chunks(1 + next(200)) {
            if raw.send(piece).await.is_err() {
                break;
            }
        }
        if round % 4 == 0 {
            let _ = timeout(Duration::from_millis(50), raw.reaction()).await;
        }
    }
    assert_eq!(house.ask(Version::H2, get(ADA, "/")).await.status(), 200, "the edge is well");
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_whose_body_is_late_holds_up_no_other() {
    let house = House::new();
    house.ada();
    let mut raw = Raw::silent(&house).await;
    // The film fills what may wait; then comes a head that promises a short body, and nothing of it.
    raw.send(&[PREFACE, &set(4, 1 << 30), &widen(0, 1 << 30), &asked(1, "/big"), &asked(3, "/promise")].concat())
        .await
        .unwrap();
    loop {
        let (kind, stream, ..) = raw.whole().await.expect("the promise's head");
        if (kind, stream) == (HEADERS, 3) {
            break;
        }
    }
    let mut heard = 0;
    while heard < 8 << 20 {
        let (kind, stream, _, payload) = raw.whole().await.expect("more of the film");
        heard += if (kind, stream) == (DATA, 1) { payload.len() } else { 0 };
    }
}

#[tokio::test]
async fn a_film_that_is_paused_ends_and_what_goes_on_beside_it_does_not() {
    let house = House::new();
    let ada = house.ada();
    let mut raw = Raw::open(&house).await;
    raw.send(&[asked(1, "/film"), asked(3, "/events")].concat()).await.unwrap();
    let mut paused = false;
    let mut events = 0;
    while !paused || events < 3 {
        let (kind, stream, _, payload) = raw.whole().await.expect("the connection goes on");
        match (kind, stream) {
            (DATA, 3) => events += 1,
            (DATA, 1) => raw.send(&widen(0, u32::try_from(payload.len()).unwrap().max(1))).await.unwrap(),
            (RST_STREAM, 1) => {
                assert_eq!(payload, 8_u32.to_be_bytes());
                paused = true;
                ada.next.notify_one();
            }
            (PING, 0) => {}
            (SETTINGS | WINDOW_UPDATE | HEADERS, _) => ada.next.notify_one(),
            other => panic!("{other:?}"),
        }
        if paused {
            ada.next.notify_one();
        }
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_at_all_is_told_so_and_sent_away() {
    let house = House::new();
    house.ada();
    let mut raw = Raw::silent(&house).await;
    // Wide streams, and a connection that stays as narrow as it begins.
    raw.send(&[PREFACE, &set(4, 1 << 30), &asked(1, "/film")].concat()).await.unwrap();
    let mut did = raw.reaction().await;
    while did == Did::Served {
        did = raw.reaction().await;
    }
    assert_eq!(did, Did::GoAway(8));
    assert!(raw.frame().await.is_none());
}

#[tokio::test]
async fn what_nobody_reads_has_its_bounds_and_who_sends_little_is_served_meanwhile() {
    let house = House::new();
    house.ada();
    let sleeps = house.socket("bob");
    let listener = tokio::net::UnixListener::bind(&sleeps).unwrap();
    house.route("bob.cloud.localhost", State::Running, Some(sleeps));
    const EACH: usize = 900_000;
    let uploads: Vec<_> = (0..8)
        .map(|_| {
            let upload = Request::post("https://bob.cloud.localhost/count").body(full(vec![b'x'; EACH])).unwrap();
            let client = house.client(Version::H2, "bob.cloud.localhost");
            async { text(client.await.ask(upload).await.unwrap()).await }
        })
        .collect();
    let unread = || house.edge.unread.load(Ordering::Relaxed);
    let sleeper = async {
        while unread() < limits::UNREAD {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Each connection may have some beside that, and what was read of it last.
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert!(unread() < limits::UNREAD + 8 * (limits::UNREAD_FREE + 32 * 1024), "{}", unread());
        }
        let little = Request::post(format!("https://{ADA}/count")).body(full(vec![b'x'; 50_000])).unwrap();
        assert_eq!(text(house.ask(Version::H2, little).await).await, "Ok(50000)");
        assert!(unread() > limits::UNREAD / 2, "nobody had read meanwhile");
        super::fake::Fake::answer_at(listener)
    };
    let (all, _bob) = tokio::join!(futures_util::future::join_all(uploads), sleeper);
    assert_eq!(all, vec![format!("Ok({EACH})"); 8]);
    assert_eq!(unread(), 0);
}
