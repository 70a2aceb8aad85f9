//! A client's line to a percloud's socket: requests as the edge passes them on, with bodies that arrive in pieces.

use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Request, StatusCode,
    body::{Body, Bytes, Frame},
    client::conn::http1::{SendRequest, handshake},
    header::{self, HeaderMap},
};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, sync::watch, time::timeout};

/// A body is handed over in pieces of so many bytes, so that a death can come between any two.
const PIECE: usize = 4096;
/// No request of these tests takes so long unless something hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The request was not answered: it may or may not have been done.
#[derive(Debug)]
pub(super) struct Lost;

/// What was answered, whole.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

type Pieces = std::pin::Pin<Box<dyn Body<Data = Bytes, Error = Infallible> + Send>>;

/// One connection at a time; a new one when it breaks.
pub(super) struct Line {
    socket: PathBuf,
    host: String,
    pub(super) cookie: String,
    /// Grows with every piece that is handed over and with every answer: moments to die at.
    moments: Arc<watch::Sender<u64>>,
    sender: Option<SendRequest<Pieces>>,
}

impl Line {
    pub(super) fn new(socket: PathBuf, host: String, moments: Arc<watch::Sender<u64>>) -> Self {
        Self { socket, host, cookie: String::new(), moments, sender: None }
    }

    /// Asks, and reads the answer whole.
    pub(super) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: Vec<u8>,
    ) -> Result<Answer, Lost> {
        let answer = timeout(PATIENCE, self.try_ask(method, path, headers, body)).await;
        let answer = answer.unwrap_or_else(|_| panic!("{method} {path} is neither answered nor cut off"));
        if answer.is_err() {
            self.sender = None;
            // The host may be away for a moment: nothing is gained by asking a thousand times.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        answer.map_err(|_| Lost)
    }

    /// Asks what may be asked twice, until there is an answer.
    pub(super) async fn insist(&mut self, method: &str, path: &str, headers: &[(&str, String)], body: &[u8]) -> Answer {
        loop {
            if let Ok(answer) = self.ask(method, path, headers, body.to_vec()).await {
                return answer;
            }
        }
    }

    async fn try_ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(path);
        let usual = [
            ("host", self.host.clone()),
            ("sec-fetch-site", "same-origin".to_owned()),
            ("x-forwarded-for", "192.0.2.7".to_owned()),
            ("cookie", self.cookie.clone()),
            ("content-length", body.len().to_string()),
        ];
        for (name, value) in usual.iter().chain(headers) {
            request = request.header(*name, value);
        }
        let sender = match &mut self.sender {
            Some(sender) => sender,
            none => none.insert(connect(&self.socket).await?),
        };
        sender.ready().await?;
        let answer = sender.send_request(request.body(pieces(body, self.moments.clone()))?).await?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        self.moments.send_modify(|moments| *moments += 1);
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// Keeps the session that an answer brought.
    pub(super) fn take_session(&mut self, answer: &Answer) {
        let set = answer.headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        let session =
            set.filter_map(|cookie| cookie.split(';').next()).find(|pair| pair.starts_with("__Host-session="));
        session.expect("a session").clone_into(&mut self.cookie);
    }
}

async fn connect(socket: &std::path::Path) -> anyhow::Result<SendRequest<Pieces>> {
    let (sender, connection) = handshake(TokioIo::new(UnixStream::connect(socket).await?)).await?;
    // It ends with the connection, which its requests hear of.
    tokio::spawn(async move { connection.await.unwrap_or_default() });
    Ok(sender)
}

fn pieces(body: Vec<u8>, moments: Arc<watch::Sender<u64>>) -> Pieces {
    let body = Bytes::from(body);
    let starts: Vec<usize> = (0..body.len()).step_by(PIECE).collect();
    let piece = move |start: usize| {
        moments.send_modify(|moments| *moments += 1);
        Ok(Frame::data(body.slice(start..body.len().min(start + PIECE))))
    };
    Box::pin(StreamBody::new(stream::iter(starts).map(piece)))
}
