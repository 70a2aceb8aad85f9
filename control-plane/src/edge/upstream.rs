//! Connections to the perclouds' sockets, kept for the next request.
//!
//! Each worker has its own pool, so no lock is ever waited for. A kept connection may have died while it lay there (the
//! runtime went to sleep): what had not been sent yet is sent again on a fresh one; what had been sent, only when the
//! method says that doing it twice is doing it once, and there is no body: those go by our own client ([`super::line`]).

use std::collections::HashMap;
use std::ffi::OsString;
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

use super::body::{BodyError, Coming, RequestBody};
use super::headers::Origin;
use super::limits;
use super::line::Line;
use super::meter::Meter;
use super::slots::{Kept, Place};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Nobody listens, or the queue is full.
    #[error("its socket takes no connection")]
    Connect(#[source] io::Error),
    /// The connection ended before an answer.
    #[error("it hung up without an answer")]
    Broken(#[source] BodyError),
    /// It said what is no HTTP.
    #[error("{0}")]
    Nonsense(&'static str),
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
    _place: Place,
}

/// One worker's kept connections, by socket.
pub(super) struct Pool {
    idle: Mutex<HashMap<PathBuf, Vec<Idle>>>,
    lines: Mutex<HashMap<OsString, Vec<Line>>>,
    /// How many all workers keep.
    kept: Arc<Kept>,
    pub(super) meter: Arc<Meter>,
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
        let Some(place) = self.pool.kept.take(&self.socket) else { return };
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = Idle { sender: self.sender, since: Instant::now(), _place: place };
        match idle.get_mut(&*self.socket) {
            Some(all) => all.push(kept),
            None => drop(idle.insert(self.socket.to_path_buf(), vec![kept])),
        }
    }
}

impl Pool {
    pub(super) fn new(meter: Arc<Meter>, kept: Arc<Kept>) -> Arc<Self> {
        Arc::new(Self { idle: Mutex::default(), lines: Mutex::default(), kept, meter })
    }

    /// Closes what has lain too long.
    pub(super) fn sweep(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, all| {
            all.retain(|one| !one.sender.is_closed() && one.since.elapsed() < limits::POOLED);
            !all.is_empty()
        });
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|_, all| {
            all.retain(|line| line.since.elapsed() < limits::POOLED && line.is_alive());
            !all.is_empty()
        });
    }

    /// The kept connection of our own client that was used last; dead ones in front of it go.
    pub(super) fn kept_line(&self, socket: &Path) -> Option<Line> {
        let mut line = living(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner), socket)?.pop()?;
        line.place = None;
        Some(line)
    }

    /// Whether one is kept; dead ones go.
    pub(super) fn has_line(&self, socket: &Path) -> bool {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        living(&mut lines, socket).is_some_and(|all| !all.is_empty())
    }

    /// Keeps a connection for the next request, if there is a place.
    pub(super) fn keep_line(&self, socket: &Path, mut line: Line) {
        line.place = self.kept.take(socket);
        if line.place.is_none() {
            return;
        }
        line.since = Instant::now();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.get_mut(socket.as_os_str()) {
            Some(all) => all.push(line),
            None => drop(lines.insert(socket.as_os_str().to_owned(), vec![line])),
        }
    }

    /// A new connection.
    pub(super) async fn connect(&self, socket: &Path) -> Result<UnixStream, Failure> {
        let stream =
            connect(socket).await.inspect_err(|_| self.meter.connects_failed.increment(1)).map_err(Failure::Connect)?;
        self.meter.connects.increment(1);
        Ok(stream)
    }

    fn kept(&self, socket: &Path) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let all = idle.get_mut(socket)?;
        // The one that was used last is the likeliest to be alive; one still busy with its last answer is passed over, and
        // dead ones are left to the next round.
        let at = all.iter().rposition(|one| one.sender.is_ready() && !one.sender.is_closed())?;
        Some(all.swap_remove(at).sender)
    }

    async fn fresh(&self, socket: &Path) -> Result<SendRequest<RequestBody>, Failure> {
        let stream = self.connect(socket).await?;
        let mut builder = Builder::new();
        builder.max_buf_size(limits::H1_BUFFER).max_headers(limits::HEADERS);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|e| Failure::Broken(e.into()))?;
        // How it ends is told to whoever waits for the answer.
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }

    /// Sends any request, with what we say of its origin, and waits for the head of the answer, for as long as it takes.
    pub(super) async fn send(
        self: &Arc<Self>,
        socket: &Arc<Path>,
        mut request: Request<RequestBody>,
        origin: Origin,
    ) -> Result<Response<Coming>, Failure> {
        origin.insert(request.headers_mut());
        let (response, lent) = self.send_once(socket, request).await?;
        Ok(response.map(|incoming| Coming::Library { incoming, lent: Some(lent) }))
    }

    /// Sends a request that may arrive once only: again on another connection if nothing of it has been sent.
    async fn send_once(
        self: &Arc<Self>,
        socket: &Arc<Path>,
        mut request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Lent), Failure> {
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
                    request = match unsent {
                        Some(unsent) if tries < 4 => unsent,
                        _ if error.is_user() => return Err(Failure::Client),
                        _ => return Err(Failure::Broken(error.into())),
                    };
                    self.meter.retries.increment(1);
                }
            }
        }
    }
}

/// The kept connections to a socket; the one that was used last is alive, dead ones behind it are gone.
fn living<'a>(lines: &'a mut HashMap<OsString, Vec<Line>>, socket: &Path) -> Option<&'a mut Vec<Line>> {
    // By its bytes: a path is compared and hashed part by part.
    let all = lines.get_mut(socket.as_os_str())?;
    while all.last().is_some_and(|line| !line.is_alive()) {
        all.pop();
    }
    Some(all)
}

/// Whether doing a request without a body twice is doing it once. A length that belongs to no body would make the percloud take the next
/// request for one. What becomes a WebSocket is not asked about here.
pub(super) fn may_be_asked_again(parts: &Parts) -> bool {
    parts.method.is_idempotent()
        && parts.headers.get_all(http::header::CONTENT_LENGTH).iter().all(|length| length == "0")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_workers_together_keep_so_many_connections_to_a_percloud_and_no_more() {
        let (kept, meter) = (Arc::default(), Arc::new(Meter::new()));
        let pools: Vec<_> = (0..8).map(|_| Pool::new(Arc::clone(&meter), Arc::clone(&kept))).collect();
        let (socket, mut ends) = (Path::new("/run/ada.sock"), Vec::new());
        let mut keep = |pool: &Pool| {
            let (line, end) = UnixStream::pair().unwrap();
            pool.keep_line(socket, Line::new(line));
            ends.push(end);
        };
        let lines = |pool: &Arc<Pool>| pool.lines.lock().unwrap().get(socket.as_os_str()).map_or(0, Vec::len);
        let all = || pools.iter().map(lines).sum::<usize>();
        for _ in 0..100 {
            for pool in &pools {
                keep(pool);
            }
        }
        assert_eq!(all(), limits::POOLED_PER_SOCKET);
        let used = pools[0].kept_line(socket).expect("one that is kept");
        keep(&pools[1]);
        assert_eq!(all(), limits::POOLED_PER_SOCKET, "the place of one that is in use is another's");
        pools[0].keep_line(socket, used);
        assert_eq!(all(), limits::POOLED_PER_SOCKET);
    }
}
