//! Connections to the perclouds' sockets, kept for the next request.
//!
//! Each worker has its own pool, so no lock is ever waited for. A kept connection may have died while it lay there (the
//! runtime went to sleep): what had not been sent yet is sent again on a fresh one; what had been sent, only when the
//! method says that doing it twice is doing it once, and there is no body.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::{Duration, Instant};

use super::body::RequestBody;
use super::limits;
use super::meter::Meter;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Nobody listens, or the queue is full.
    #[error("its socket takes no connection")]
    Connect(#[source] io::Error),
    /// The connection ended before an answer.
    #[error("it hung up without an answer")]
    Broken(#[source] hyper::Error),
    /// The client itself broke off.
    #[error("the client broke off")]
    Client,
    /// It turned the connection into something that nobody asked for.
    #[error("it changed the protocol unasked")]
    Unasked,
    /// No first byte in time.
    #[error("it does not answer")]
    Slow,
}

struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// One worker's kept connections, by socket.
pub(super) struct Pool {
    idle: Mutex<HashMap<PathBuf, Vec<Idle>>>,
    meter: Arc<Meter>,
}

/// A connection in use. Dropped, it is closed; given back, the next request gets it.
pub(super) struct Lent {
    sender: SendRequest<RequestBody>,
    pool: Arc<Pool>,
    socket: Arc<Path>,
}

impl Lent {
    pub(super) fn give_back(self) {
        if self.sender.is_closed() {
            return;
        }
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = Idle { sender: self.sender, since: Instant::now() };
        match idle.get_mut(&*self.socket) {
            Some(all) if all.len() < limits::POOLED_PER_SOCKET => all.push(kept),
            Some(_) => {}
            None => drop(idle.insert(self.socket.to_path_buf(), vec![kept])),
        }
    }
}

impl Pool {
    pub(super) fn new(meter: Arc<Meter>) -> Arc<Self> {
        Arc::new(Self { idle: Mutex::default(), meter })
    }

    /// Closes what has lain too long.
    pub(super) fn sweep(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, all| {
            all.retain(|one| !one.sender.is_closed() && one.since.elapsed() < limits::POOLED);
            !all.is_empty()
        });
    }

    fn kept(&self, socket: &Path) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let all = idle.get_mut(socket)?;
        all.retain(|one| !one.sender.is_closed());
        // The one that was used last is the likeliest to be alive; one still busy with its last answer is passed over.
        let at = all.iter().rposition(|one| one.sender.is_ready())?;
        Some(all.swap_remove(at).sender)
    }

    async fn fresh(&self, socket: &Path) -> Result<SendRequest<RequestBody>, Failure> {
        let stream =
            connect(socket).await.inspect_err(|_| self.meter.connects_failed.increment(1)).map_err(Failure::Connect)?;
        self.meter.connects.increment(1);
        let mut builder = Builder::new();
        builder.max_buf_size(limits::H1_BUFFER).max_headers(limits::HEADERS);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(Failure::Broken)?;
        // How it ends is told to whoever waits for the answer.
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }

    /// Sends a request and waits for the head of the answer.
    pub(super) async fn send(
        self: &Arc<Self>,
        socket: &Arc<Path>,
        mut request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Lent), Failure> {
        let again = Again::of(&request);
        let mut tries = 0;
        loop {
            let kept = if tries == 0 { self.kept(socket) } else { None };
            let mut sender = match kept {
                Some(sender) => sender,
                None => self.fresh(socket).await?,
            };
            let answer = sender.try_send_request(request).await;
            match answer {
                Ok(response) => return Ok((response, Lent { sender, pool: self.clone(), socket: socket.clone() })),
                Err(mut error) => {
                    let unsent = error.take_message();
                    let error = error.into_error();
                    tries += 1;
                    request = match (unsent, &again) {
                        (Some(unsent), _) if tries < 4 => unsent,
                        (None, Some(again)) if tries < 3 && !error.is_parse() && !error.is_user() => again.request(),

                        _ if error.is_user() => return Err(Failure::Client),
                        _ => return Err(Failure::Broken(error)),
                    };
                    self.meter.retries.increment(1);
                }
            }
        }
    }
}

/// A request that may be sent twice.
struct Again(Box<Parts>);

impl Again {
    fn of(request: &Request<RequestBody>) -> Option<Self> {
        let upgrade = request.headers().contains_key(http::header::UPGRADE);
        if !request.method().is_idempotent() || !matches!(request.body(), RequestBody::Empty) || upgrade {
            return None;
        }
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = request.method().clone();
        parts.uri = request.uri().clone();
        parts.headers = request.headers().clone();
        Some(Self(Box::new(parts)))
    }

    fn request(&self) -> Request<RequestBody> {
        Request::from_parts((*self.0).clone(), RequestBody::Empty)
    }
}

/// Connects. A full queue says so at once instead of letting us wait, so the waiting is ours.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let until = Instant::now() + limits::CONNECT;
    let mut pause = Duration::from_millis(2);
    loop {
        match UnixStream::connect(socket).await {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
            other => return other,
        }
    }
}
