use std::time::Duration;

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc,
};

use super::{
    End,
    connections::{Accept, Connection, Version},
    sleep::Sleep,
    until_the_end,
};
use crate::{
    pulse::Patience,
    testing::{DOMAIN, TestRuntime},
};

/// Where one connection comes from, and nobody after it. It tells when others would be let in, and when no more.
struct One {
    stream: Option<DuplexStream>,
    door: mpsc::UnboundedSender<Door>,
}

#[derive(Debug, PartialEq, Eq)]
enum Door {
    Opens,
    Closes,
}

struct Closing(mpsc::UnboundedSender<Door>);

impl Drop for Closing {
    fn drop(&mut self) {
        let _nobody_asks = self.0.send(Door::Closes);
    }
}

impl Accept for One {
    fn accept(&mut self) -> BoxFuture<'_, std::io::Result<BoxFuture<'static, Option<Connection>>>> {
        async {
            let Some(stream) = self.stream.take() else {
                let _nobody_asks = self.door.send(Door::Opens);
                let _closing = Closing(self.door.clone());
                return std::future::pending().await;
            };
            let connection = Connection { stream: Box::new(stream), client: None, version: Version::One };
            Ok(std::future::ready(Some(connection)).boxed())
        }
        .boxed()
    }
}

#[tokio::test]
async fn who_asks_while_it_falls_asleep_is_served_as_long_as_it_takes_and_others_come_in_meanwhile() {
    let t = TestRuntime::new();
    let (mut visitor, stream) = tokio::io::duplex(64 << 10);
    let (door, mut told) = mpsc::unbounded_channel();
    let sleep = Sleep::after(Patience::of(Duration::ZERO));
    let serving = until_the_end(&t.runtime, vec![Box::new(One { stream: Some(stream), door })], Some(sleep));
    let visit = async {
        assert_eq!(told.recv().await, Some(Door::Opens));
        assert_eq!(told.recv().await, Some(Door::Closes), "nobody has asked for anything");
        let head = format!(
            "POST /sign-in HTTP/1.1\r\nHost: {DOMAIN}:8443\r\nContent-Length: 10\r\nConnection: close\r\n\
             Sec-Fetch-Site: same-origin\r\nX-Forwarded-For: 192.0.2.7\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        );
        visitor.write_all(head.as_bytes()).await.unwrap();
        let next = tokio::time::timeout(super::DRAIN * 2, told.recv()).await.unwrap();
        assert_eq!(next, Some(Door::Opens), "it is no drain, which ends by the clock");
        visitor.write_all(b"password=x").await.unwrap();
        let mut answer = String::new();
        visitor.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 422 "), "{answer}");
    };
    let (end, ()) = tokio::join!(serving, visit);
    assert_eq!(end.unwrap(), End::Idle);
}
