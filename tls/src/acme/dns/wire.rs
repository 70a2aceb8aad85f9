//! A question to one name server over TCP, signed where it changes something.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::rdata::tsig::TsigError;
use hickory_proto::rr::{Name, RecordType, TSigner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a name server may take for everything.
const ANSWER: Duration = Duration::from_secs(10);

/// Asks `server` as it is, without recursion, for the records of a type.
pub(super) async fn ask(server: SocketAddr, name: &Name, kind: RecordType) -> Result<Message> {
    let mut question = Message::query();
    question.metadata.recursion_desired = false;
    question.add_query(Query::query(name.clone(), kind));
    let sent = question.to_vec()?;
    let answer = Message::from_vec(&exchange(server, &sent).await?).context("it answers no DNS")?;
    ensure!(answer.metadata.id == question.metadata.id, "it answers another question");
    Ok(answer)
}

/// Sends a signed change. A refusal is an error in clear words; so is an answer that was not signed with our key.
pub(super) async fn change(server: SocketAddr, mut message: Message, key: &TSigner) -> Result<()> {
    let verifier = message.finalize(key, now())?;
    let answer = exchange(server, &message.to_vec()?).await?;
    let read = Message::from_vec(&answer).context("it answers no DNS")?;
    ensure!(read.metadata.id == message.metadata.id, "it answers another question");
    match read.metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::NotAuth => bail!(not_authentic(&read, key)),
        ResponseCode::Refused => bail!("it refuses: the key {} may not change this zone", key.signer_name()),
        ResponseCode::NotZone => bail!("it does not hold this zone"),
        other => bail!("it answers {other}"),
    }
    let mut verifier = verifier.context("the change was not signed")?;
    verifier.verify(&answer).context("its answer is not signed with our key")?;
    Ok(())
}

/// Why a signature was not taken (RFC 8945, section 5.2).
fn not_authentic(answer: &Message, key: &TSigner) -> String {
    let name = key.signer_name();
    match answer.signature().and_then(|record| record.data.error) {
        Some(TsigError::BadKey) => format!("it does not know the key {name}"),
        Some(TsigError::BadSig) => format!("the key {name} is another one there: its secret does not fit"),
        Some(TsigError::BadTime) => "its clock and ours differ too much for a signature".to_owned(),
        _ => format!("it does not hold this zone, or does not take the key {name}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "a name server holds a signature's time against the true one")]
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map(|s| s.as_secs()).unwrap_or_default()
}

async fn exchange(server: SocketAddr, message: &[u8]) -> Result<Vec<u8>> {
    let talk = async {
        let mut stream = TcpStream::connect(server).await?;
        let mut framed = u16::try_from(message.len())?.to_be_bytes().to_vec();
        framed.extend_from_slice(message);
        stream.write_all(&framed).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    };
    let done = tokio::time::timeout(ANSWER, talk).await;
    done.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} seconds", ANSWER.as_secs())))
        .with_context(|| format!("the name server {server}"))
}
