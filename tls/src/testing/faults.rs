//! What goes wrong between an authority and those whom it validates: connections that are cut, DNS that has no answer.
//!
//! Everything that Pebble looks at for a validation goes through here. It looks three times for each validation and fails it
//! when one look fails; so each look is refused with that chance which makes the wanted part of all validations fail.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::process::free_port;

const LOOKS: f64 = 3.0;
/// How long the true name server may take.
const ANSWER: Duration = Duration::from_secs(5);

/// The dice, seeded: the same for every run.
#[derive(Debug)]
pub(super) struct Dice {
    percent: AtomicU8,
    refused: AtomicUsize,
    chance: Mutex<StdRng>,
}

impl Dice {
    pub(super) fn new(percent: u8, seed: u64) -> Self {
        let chance = Mutex::new(StdRng::seed_from_u64(seed));
        Self { percent: AtomicU8::new(percent), refused: AtomicUsize::new(0), chance }
    }

    pub(super) fn set(&self, percent: u8) {
        self.percent.store(percent, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether this look is to fail.
    fn fails(&self) -> bool {
        let kept = 1.0 - f64::from(self.percent.load(Ordering::Relaxed).min(100)) / 100.0;
        let thrown: f64 = self.chance.lock().unwrap_or_else(PoisonError::into_inner).random();
        let fails = thrown >= kept.powf(1.0 / LOOKS);
        if fails {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        fails
    }
}

/// Proxies that let through or cut, as the dice fall; gone when dropped.
#[derive(Debug)]
pub(super) struct Faults {
    dice: Arc<Dice>,
    proxies: JoinSet<()>,
}

impl Faults {
    pub(super) fn new(dice: Dice) -> Self {
        Self { dice: Arc::new(dice), proxies: JoinSet::new() }
    }

    pub(super) fn dice(&self) -> &Dice {
        &self.dice
    }

    /// A port of its own that leads to `target`, connection by connection.
    pub(super) async fn stream(&mut self, target: SocketAddr) -> Result<SocketAddr> {
        let (listener, at) = listen().await?;
        let dice = self.dice.clone();
        self.proxies.spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let dice = dice.clone();
                tokio::spawn(async move {
                    if dice.fails() {
                        return;
                    }
                    if let Ok(mut far) = TcpStream::connect(target).await {
                        let _ = copy_bidirectional(&mut near, &mut far).await; // either side may leave when it likes
                    }
                });
            }
        });
        Ok(at)
    }

    /// A DNS server that passes questions on to `target`; one for TXT may find it failing. Over UDP, which Debian's Pebble
    /// asks by, and over TCP, which later ones do.
    pub(super) async fn dns(&mut self, target: SocketAddr) -> Result<SocketAddr> {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let listener = TcpListener::bind(at).await.context("no port for the fault proxy")?;
        let socket = Arc::new(UdpSocket::bind(at).await.context("no port for the fault proxy")?);
        let dice = self.dice.clone();
        self.proxies.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(answer_stream(near, target, dice.clone())); // who asked sees a closed connection
            }
        });
        let dice = self.dice.clone();
        self.proxies.spawn(async move {
            let mut question = [0; 4096];
            while let Ok((length, asking)) = socket.recv_from(&mut question).await {
                let (question, socket, dice) = (question[..length].to_vec(), socket.clone(), dice.clone());
                tokio::spawn(async move {
                    let answer = answer_datagram(&question, target, &dice).await?;
                    anyhow::Ok(socket.send_to(&answer, asking).await?)
                });
            }
        });
        Ok(at)
    }
}

async fn listen() -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("no port for the fault proxy")?;
    let at = listener.local_addr()?;
    Ok((listener, at))
}

/// The answer of a server that fails, if the dice want it so.
fn failing(question: &[u8], dice: &Dice) -> Result<Option<Vec<u8>>> {
    let asked = Message::from_vec(question)?;
    if !asked.queries.iter().any(|q| q.query_type() == RecordType::TXT) || !dice.fails() {
        return Ok(None);
    }
    let mut failing = Message::error_msg(asked.metadata.id, asked.metadata.op_code, ResponseCode::ServFail);
    failing.queries = asked.queries;
    Ok(Some(failing.to_vec()?))
}

async fn answer_datagram(question: &[u8], target: SocketAddr, dice: &Dice) -> Result<Vec<u8>> {
    if let Some(failing) = failing(question, dice)? {
        return Ok(failing);
    }
    let far = UdpSocket::bind("127.0.0.1:0").await?;
    far.connect(target).await?;
    far.send(question).await?;
    let mut answer = vec![0; 4096];
    let length = tokio::time::timeout(ANSWER, far.recv(&mut answer)).await??;
    answer.truncate(length);
    Ok(answer)
}

async fn answer_stream(mut near: TcpStream, target: SocketAddr, dice: Arc<Dice>) -> Result<()> {
    let mut far = TcpStream::connect(target).await?;
    loop {
        let question = read(&mut near).await?;
        if let Some(failing) = failing(&question, &dice)? {
            write(&mut near, &failing).await?;
        } else {
            write(&mut far, &question).await?;
            write(&mut near, &read(&mut far).await?).await?;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write(stream: &mut TcpStream, message: &[u8]) -> Result<()> {
    let mut framed = u16::try_from(message.len())?.to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    stream.write_all(&framed).await?;
    Ok(())
}
