//! A percloud is connected to while its visitor shakes hands, and for nobody else.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::time::{Duration, timeout};

use super::super::ahead::Ahead;
use super::super::meter::Meter;
use super::super::upstream::Pool;
use super::*;

/// A percloud's socket at which nobody answers by themselves.
fn silent(house: &House, name: &str) -> UnixListener {
    UnixListener::bind(house.socket(name)).unwrap()
}

/// Whether somebody has connected; nobody is waited for.
fn was_connected_to(listener: UnixListener) -> bool {
    let listener = listener.into_std().unwrap();
    listener.accept().is_ok()
}

#[tokio::test]
async fn a_request_finds_the_connection_that_was_made_while_its_visitor_shook_hands() {
    let house = House::new();
    let listener = silent(&house, "ada");
    house.route(ADA, State::Running, Some(house.socket("ada")));
    let mut client = house.client(Version::H1, ADA).await;
    let (mut stream, _) =
        timeout(Duration::from_secs(10), listener.accept()).await.expect("before any request").unwrap();
    let others = [house.client(Version::H1, ADA).await, house.client(Version::H2, ADA).await];
    let answer = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.unwrap();
        String::from_utf8(head).unwrap()
    };
    let (response, head) = tokio::join!(client.ask(get(ADA, "/x")), answer);
    assert!(head.starts_with("GET /x HTTP/1.1\r\n"), "{head}");
    assert_eq!(text(response.unwrap()).await, "hi");
    assert!(!was_connected_to(listener), "one connection is enough for all who shake hands");
    drop(others);
}

#[tokio::test]
async fn no_percloud_is_woken_whose_visitor_will_be_told_something_else() {
    let house = House::new();
    let names = ["suspended", "failing", "moved"];
    let listeners = names.map(|name| silent(&house, name));
    let host = |name: &str| format!("{name}.{BASE}");
    house.route(&host("suspended"), State::Suspended, Some(house.socket("suspended")));
    house.route(&host("failing"), State::Failing, Some(house.socket("failing")));
    let mut moved = house.row(&host("moved"), State::Running, Some(house.socket("moved")));
    moved.redirect_to = Some("own.example".into());
    house.edge.routes.set(&host("moved"), Some(moved));
    for name in names {
        house.client(Version::H2, &host(name)).await;
    }
    for (name, listener) in names.into_iter().zip(listeners) {
        assert!(!was_connected_to(listener), "{name}");
    }
}

#[tokio::test]
async fn who_shakes_hands_at_many_names_wakes_few_perclouds() {
    let house = House::new();
    let (ahead, pool) = (Ahead::new(), Pool::new(Arc::new(Meter::new()), Arc::default()));
    let mut names = (0..).map(|n| format!("n{n}.{BASE}"));
    let mut wave = |seconds: u64| {
        let woken = |name: &String| {
            let listener = silent(&house, name);
            house.route(name, State::Running, Some(house.socket(name)));
            ahead.connect(&pool, &house.edge.routes.find(name).unwrap(), Duration::from_secs(seconds));
            was_connected_to(listener)
        };
        names.by_ref().take(300).filter(woken).count()
    };
    assert_eq!([wave(10), wave(10), wave(11)], [100, 0, 50]);
}
