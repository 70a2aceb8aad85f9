//! The application behind every proxy of the bench: one answer of 1 KB over a unix socket, as cheap as it can be had.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// Bytes of the answer's body.
pub(crate) const BODY: usize = 1024;

/// Where it listens.
#[derive(clap::Args)]
pub(crate) struct Options {
    socket: PathBuf,
}

/// Answers until it is killed.
///
/// # Errors
/// When the socket cannot be had.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let listener = UnixListener::bind(&options.socket)?;
    let mut answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {BODY}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + BODY, b'x');
    let answer: &'static [u8] = answer.leak();
    loop {
        let (stream, _) = listener.accept().await?;
        // A proxy that hangs up is no concern of ours.
        tokio::spawn(async move { serve(stream, answer).await.unwrap_or_default() });
    }
}

/// Every head gets the answer. Requests of the bench have no body and are not pipelined: a head is whole when its last bytes are there.
async fn serve(mut stream: UnixStream, answer: &[u8]) -> std::io::Result<()> {
    let mut buffer = [0; 8192];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        filled += read;
        if read == 0 {
            return Ok(());
        }
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            stream.write_all(answer).await?;
        }
    }
}
