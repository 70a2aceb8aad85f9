//! What is served without the library, and how it hands over to it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;

#[tokio::test]
async fn one_connection_passes_from_one_hand_to_the_other_with_all_that_was_said() {
    let house = House::new();
    let ada = house.ada();
    let host = format!("host: {ADA}\r\n");
    let mut stream = house.tls(ADA, &["http/1.1"]).await.unwrap();
    let all = [
        format!("GET /one HTTP/1.1\r\n{host}\r\nHEAD /two HTTP/1.1\r\n{host}\r\n"),
        format!("POST /count HTTP/1.1\r\n{host}content-length: 5\r\n\r\nhello"),
        format!("GET /four HTTP/1.1\r\n{host}\r\nGET /five HTTP/1.1\r\n{host}connection: close\r\n\r\n"),
    ];
    stream.write_all(all.concat().as_bytes()).await.unwrap();
    let mut said = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut said)).await.unwrap().unwrap();
    let bodies: Vec<&str> =
        said.split("HTTP/1.1 200 OK\r\n").map(|one| one.rsplit("\r\n\r\n").next().unwrap()).collect();
    assert_eq!(bodies, ["", "GET /one", "", "Ok(5)", "GET /four", "GET /five"], "{said}");
    assert_eq!((said.matches("\ndate: ").count(), said.matches("\ncontent-length: ").count()), (5, 5), "{said}");
    assert_eq!(ada.seen(), 5);
}

#[tokio::test]
async fn a_head_in_two_pieces_is_one_head() {
    let house = House::new();
    house.ada();
    let mut stream = house.tls(ADA, &["http/1.1"]).await.unwrap();
    for piece in ["GET /a HT", &format!("TP/1.1\r\nhost: {ADA}\r\nconnection: close\r\n\r\n")] {
        stream.write_all(piece.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut said = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut said)).await.unwrap().unwrap();
    assert!(said.ends_with("\r\n\r\nGET /a"), "{said}");
}

#[tokio::test]
async fn a_long_answer_arrives_as_it_was_given() {
    let house = House::new();
    house.ada();
    for version in BOTH {
        for path in ["/film", "/film-in-pieces"] {
            let response = house.ask(version, get(ADA, path)).await;
            let body = timeout(PATIENCE, BodyExt::collect(response.into_body())).await.unwrap();
            assert!(body.unwrap().to_bytes() == fake::film(), "{version:?} {path}");
        }
    }
}

#[tokio::test]
async fn who_hangs_up_is_not_answered_any_more() {
    let house = House::new();
    let ada = house.ada();
    let alone = Arc::strong_count(&ada);
    let mut stream = house.tls(ADA, &["http/1.1"]).await.unwrap();
    stream.write_all(format!("GET /events HTTP/1.1\r\nhost: {ADA}\r\n\r\n").as_bytes()).await.unwrap();
    assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
    assert!(Arc::strong_count(&ada) > alone);
    drop(stream);
    let over = async {
        // The percloud notices when it has something to say.
        while Arc::strong_count(&ada) > alone {
            ada.next.notify_one();
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, over).await.expect("the percloud's connection ends with the visitor's");
}
