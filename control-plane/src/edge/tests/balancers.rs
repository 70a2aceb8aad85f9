//! Load balancers in front of the edge, and who only says to be one.

use std::time::Duration;

use ppp::v2::{Builder, Command, Protocol, Version as Two};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::super::routes::Busy;
use super::super::slots::Whence;
use super::*;

/// What a balancer says of a client, in version 2.
fn header(client: &str, command: Command) -> Vec<u8> {
    let (client, own): (SocketAddr, SocketAddr) = match client {
        v6 if v6.starts_with('[') => (v6.parse().unwrap(), "[2001:db8::443]:443".parse().unwrap()),
        v4 => (v4.parse().unwrap(), "192.0.2.1:443".parse().unwrap()),
    };
    let builder = Builder::with_addresses(Two::Two | command, Protocol::Stream, (client, own));
    builder.write_tlv(ppp::v2::Type::Authority, b"ada.example").unwrap().build().unwrap()
}

/// A TLS client behind a balancer that says `first`.
async fn behind(house: &House, first: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut stream = TcpStream::connect(house.at).await?;
    stream.write_all(first).await?;
    let config = tls::client_config(house.ca.root_pem(), &["http/1.1"]).unwrap();
    let name = ServerName::try_from(ADA.to_owned()).unwrap();
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream);
    timeout(PATIENCE, shaken).await.expect("an end")
}

async fn ask(stream: TlsStream<TcpStream>) -> u16 {
    ask_for(ADA, stream).await
}

async fn ask_for(host: &str, stream: TlsStream<TcpStream>) -> u16 {
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::get("/").body(empty()).unwrap();
    request.headers_mut().insert("host", host.parse().unwrap());
    client.send_request(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_balancers_word_is_taken_for_its_clients_address() {
    let house = House::behind(vec!["127.0.0.0/8".parse().unwrap()]);
    let ada = house.ada();
    for (client, said, forwarded) in [
        ("203.0.113.7:5000", "203.0.113.7", "for=203.0.113.7;"),
        ("[2001:db8::7]:5000", "2001:db8::7", "for=\"[2001:db8::7]\";"),
    ] {
        assert_eq!(ask(behind(&house, &header(client, Command::Proxy)).await.unwrap()).await, 200);
        assert_eq!(ada.last()["x-forwarded-for"], said);
        assert!(ada.last()["forwarded"].to_str().unwrap().starts_with(forwarded), "{:?}", ada.last());
    }
    // A balancer's health check speaks for itself.
    assert_eq!(ask(behind(&house, &header("203.0.113.7:5000", Command::Local)).await.unwrap()).await, 200);
    assert_eq!(ada.last()["x-forwarded-for"], "127.0.0.1");
    // The same on the port for plain HTTP.
    let mut stream = TcpStream::connect(house.plain).await.unwrap();
    stream.write_all(&header("203.0.113.7:5000", Command::Proxy)).await.unwrap();
    stream.write_all(format!("GET /x HTTP/1.1\r\nhost: {ADA}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
}

#[tokio::test]
async fn a_balancer_must_say_so_and_nobody_else_may() {
    let house = House::behind(vec!["127.0.0.1/32".parse().unwrap()]);
    let ada = house.ada();
    let mut odd = header("203.0.113.7:5000", Command::Proxy);
    odd[12] = 0x11;
    let mut long = header("203.0.113.7:5000", Command::Proxy);
    long[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
    for (what, first) in [
        ("nothing", &b""[..]),
        ("version 1", b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 443\r\n"),
        ("version 1 in the binary form", &odd),
        ("a header without end", &long),
    ] {
        assert!(behind(&house, first).await.is_err(), "{what}");
    }
    let open = House::new();
    let bob = open.ada();
    assert!(behind(&open, &header("203.0.113.7:5000", Command::Proxy)).await.is_err(), "one who is no balancer");
    assert_eq!((ada.seen(), bob.seen()), (0, 0));
}

#[tokio::test]
async fn who_looks_whether_the_portal_answers_speaks_as_a_balancer_where_one_must() {
    let networks = |network: &str| vec![network.parse::<Network>().unwrap()];
    let (behind, open) = (House::behind(networks("127.0.0.0/8")), House::new());
    for house in [&behind, &open] {
        Fake::serve(house.edge.portal.to_path_buf());
    }
    for (house, told, answers) in [
        (&behind, networks("127.0.0.0/8"), true),
        (&behind, networks("10.0.0.0/8"), false),
        (&open, networks("10.0.0.0/8"), true),
        (&open, networks("127.0.0.0/8"), false),
    ] {
        let data = house.folder.path().to_str().unwrap();
        let mut common = Told::parse_from(["edge", "--data", data, "--base-domain", BASE]).common;
        common.port = house.at.port();
        let paths = common.paths();
        std::fs::write(paths.ca_pem(), house.ca.root_pem()).unwrap();
        let asked = crate::up::health::portal_answers(house.at, &told, &common, &paths);
        let answered = timeout(PATIENCE, asked).await.expect("an end");
        assert_eq!(answered.is_ok(), answers, "{told:?} {answered:?}");
    }
}

#[tokio::test]
async fn limits_count_clients_and_not_their_balancer() {
    let house = House::behind(vec!["127.0.0.1/32".parse().unwrap()]);
    house.ada();
    let most = super::super::limits::CONNECTIONS_PER_ADDRESS;
    let mut crowd = Vec::with_capacity(most);
    for _ in 0..most {
        let mut stream = TcpStream::connect(house.at).await.unwrap();
        stream.write_all(&header("203.0.113.7:5000", Command::Proxy)).await.unwrap();
        crowd.push(stream);
    }
    // Whoever comes later from there is turned away, once the crowd has been let in.
    let first = header("203.0.113.7:5001", Command::Proxy);
    let turned_away = async { while behind(&house, &first).await.is_ok() {} };
    timeout(PATIENCE, turned_away).await.expect("a limit");
    assert_eq!(ask(behind(&house, &header("203.0.113.8:5000", Command::Proxy)).await.unwrap()).await, 200);
}

#[tokio::test]
async fn one_address_has_a_part_of_a_percloud_or_of_the_portal_and_the_others_have_the_rest() {
    let house = House::behind(vec!["127.0.0.1/32".parse().unwrap()]);
    house.ada();
    Fake::serve(house.edge.portal.to_path_buf());
    let route = house.edge.routes.find(ADA).unwrap();
    let whence = Whence::of(&house.edge.addresses, "203.0.113.7".parse().unwrap());
    // One that keeps all it gets, and never has enough.
    let of_ada: Vec<_> = std::iter::from_fn(|| route.enter(&house.edge, whence, Duration::ZERO)).collect();
    let of_portal: Vec<_> = std::iter::from_fn(|| Busy::of_portal(&house.edge, whence)).collect();
    assert_eq!(
        [of_ada.len(), of_portal.len()],
        [super::super::limits::BUSY_PER_ADDRESS, house.edge.portal_busy_max() / 4]
    );
    let other = (1..=255).map(|last| format!("203.0.113.{last}")).find(|other| {
        let mark = format!("{:?}", Whence::of(&house.edge.addresses, other.parse().unwrap()));
        mark != format!("{whence:?}")
    });
    let other = other.expect("one that is told apart");
    for host in [ADA, BASE] {
        for (client, status) in [("203.0.113.7", 503), (&other, 200)] {
            let stream = behind(&house, &header(&format!("{client}:5000"), Command::Proxy)).await.unwrap();
            assert_eq!(ask_for(host, stream).await, status, "{client} at {host}");
        }
    }
    drop((of_ada, of_portal));
    let stream = behind(&house, &header("203.0.113.7:5000", Command::Proxy)).await.unwrap();
    assert_eq!(ask(stream).await, 200, "and again when it lets go");
}
