//! One question to one server: UDP, and TCP when the answer does not fit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, Query};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long one datagram is waited for; it is sent twice.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long a question over TCP may take.
const PATIENCE_TCP: Duration = Duration::from_secs(3);
/// The size that DNS flag day 2020 settled on: never fragmented.
const PAYLOAD: u16 = 1232;

/// Why there is no answer that could be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Silence {
    /// Nothing came back.
    #[error("does not answer")]
    Timeout,
    /// It does not serve this zone, though it should.
    #[error("does not know this domain")]
    Lame,
    /// It says that it failed (SERVFAIL).
    #[error("failed")]
    Failed,
    /// What came back is no DNS.
    #[error("answers nonsense")]
    Nonsense,
    /// Its address is not a public one.
    #[error("has no public address")]
    Private,
}

/// What is asked, and how.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The name.
    pub name: Name,
    /// Which records.
    pub kind: RecordType,
    /// Have a resolver find it out.
    pub recurse: bool,
    /// Take what does not validate, too.
    pub unchecked: bool,
}

impl Ask {
    fn message(&self) -> Message {
        let mut message = Message::query();
        message.metadata.id = rand::random();
        message.metadata.recursion_desired = self.recurse;
        message.metadata.checking_disabled = self.unchecked;
        message.add_query(Query::query(self.name.clone(), self.kind));
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        message.set_edns(edns);
        message
    }

    /// Asks it of one server.
    ///
    /// # Errors
    /// When there is no answer that could be used.
    pub async fn of(&self, server: SocketAddr) -> Result<Message, Silence> {
        let question = self.message();
        let bytes = question.to_vec().map_err(|_| Silence::Nonsense)?;
        let mut last = Silence::Timeout;
        for _ in 0..2 {
            match timeout(PATIENCE, by_udp(server, &question, &bytes)).await {
                Ok(Ok(answer)) if answer.metadata.truncation => {
                    let whole = timeout(PATIENCE_TCP, by_tcp(server, &question, &bytes)).await;
                    return whole.map_err(|_| Silence::Timeout)?;
                }
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(silence)) => last = silence,
                Err(_) => {}
            }
        }
        Err(last)
    }
}

async fn by_udp(server: SocketAddr, question: &Message, bytes: &[u8]) -> Result<Message, Silence> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // A port of its own for each question: with the random id that is what keeps strangers from answering in the server's name.
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await.map_err(|_| Silence::Timeout)?;
    socket.connect(server).await.map_err(|_| Silence::Timeout)?;
    socket.send(bytes).await.map_err(|_| Silence::Timeout)?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(|_| Silence::Timeout)?;
        match Message::from_vec(&buffer[..length]) {
            Ok(answer) if answers(&answer, question) => return Ok(answer),
            _ => {} // somebody else's, or nonsense: the right one may still come
        }
    }
}

async fn by_tcp(server: SocketAddr, question: &Message, bytes: &[u8]) -> Result<Message, Silence> {
    let exchange = async {
        let mut stream = TcpStream::connect(server).await?;
        let length = u16::try_from(bytes.len()).map_err(std::io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = exchange.await.map_err(|_| Silence::Timeout)?;
    let answer = Message::from_vec(&answer).map_err(|_| Silence::Nonsense)?;
    if answers(&answer, question) { Ok(answer) } else { Err(Silence::Nonsense) }
}

fn answers(answer: &Message, question: &Message) -> bool {
    answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == question.metadata.id
        && answer.queries == question.queries
}
