//! HTTP/2 spoken by hand, for what no client library would send.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block, each field literal, neither compressed nor remembered.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        assert!(text.len() < 127);
        [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
    };
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// The pseudo-headers of a good request.
pub(super) const GOOD: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", ADA), (":path", "/")];

pub(super) fn request(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields))
}

/// What the edge did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Did {
    /// Ended the connection, with this code.
    GoAway(u32),
    /// Ended the stream, with this code.
    Reset(u32),
    /// Answered: 200.
    Served,
    /// Answered something else.
    Refused,
    /// Hung up without a word.
    HungUp,
}

/// A connection on which frames are sent as they are.
pub(super) struct Raw(TlsStream<TcpStream>);

impl Raw {
    pub(super) async fn open(house: &House) -> Self {
        let mut raw = Self(house.tls(ADA, &["h2"]).await.unwrap());
        raw.send(PREFACE).await.unwrap();
        raw.send(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
        raw
    }

    pub(super) async fn silent(house: &House) -> Self {
        Self(house.tls(ADA, &["h2"]).await.unwrap())
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    /// The next frame as kind, stream, flags and payload; none when the edge has hung up.
    pub(super) async fn whole(&mut self) -> Option<(u8, u32, u8, Vec<u8>)> {
        let mut head = [0; 9];
        timeout(PATIENCE, self.0.read_exact(&mut head)).await.expect("a reaction").ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), head[4], payload))
    }

    /// The same without its stream.
    pub(super) async fn frame(&mut self) -> Option<(u8, u8, Vec<u8>)> {
        self.whole().await.map(|(kind, _, flags, payload)| (kind, flags, payload))
    }

    /// The next frame that is no housekeeping.
    pub(super) async fn answer(&mut self) -> (u8, u8, Vec<u8>) {
        loop {
            let frame = self.frame().await.expect("an answer");
            if !matches!(frame.0, SETTINGS | PING | WINDOW_UPDATE) {
                return frame;
            }
        }
    }

    /// What the edge does next, its housekeeping left out.
    pub(super) async fn reaction(&mut self) -> Did {
        let code = |payload: &[u8], at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        loop {
            match self.frame().await {
                None => return Did::HungUp,
                Some((GOAWAY, _, payload)) => return Did::GoAway(code(&payload, 4)),
                Some((RST_STREAM, _, payload)) => return Did::Reset(code(&payload, 0)),
                // `:status: 200` is number 8 of the static table.
                Some((HEADERS, _, payload)) if payload[0] == 0x88 => return Did::Served,
                Some((HEADERS, ..)) => return Did::Refused,
                Some(_) => {}
            }
        }
    }
}
