//! The life of a request: checked, found its way, passed on, answered, noted.

use std::convert::Infallible;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::header::HeaderName;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::time::{Duration, Instant};
use tokio_util::task::TaskTracker;

use super::access::Scribe;
use super::answers::{self, Asker, Own};
use super::body::{ClientBody, Coming, Gate, RequestBody, ResponseBody, Sent};
use super::ending::Ending;
use super::h2::Tunnel;
use super::headers::{self, Origin, Outward, Said};
use super::ids::RequestId;
use super::line::{self, Mapped, Question};
use super::meter::{self, Class, Entry, Progress};
use super::patience::patiently;
use super::request::{self, Asked, Refusal, Upgrade};
use super::routes::Busy;
use super::slots::Whence;
use super::tunnel::Counted;
use super::upstream::{self, Failure, Pool};
use super::way;
use super::websocket::{self, Key};
use super::{Edge, limits, tunnel};

/// What is known of a connection before its first request.
pub(super) struct Connection {
    pub(super) edge: Arc<Edge>,
    pub(super) pool: Arc<Pool>,
    pub(super) ending: Ending,
    /// What the worker waits for before it ends.
    pub(super) tasks: TaskTracker,
    pub(super) scribe: Arc<Scribe>,
    /// The next answer is the last: another edge has this one's place.
    pub(super) last_call: AtomicBool,
    pub(super) client: IpAddr,
    pub(super) whence: Whence,
    /// What was said last of client and host.
    pub(super) said: Mutex<Option<Arc<Said>>>,
    /// The name in the TLS handshake, lower case.
    pub(super) sni: Option<String>,
    /// Whether browsers are told to come with TLS only.
    pub(super) strict: bool,
}

impl Connection {
    /// What every answer says here of the edge itself.
    pub(super) fn standing(&self) -> &[(HeaderName, HeaderValue)] {
        self.edge.standing.of(self.strict)
    }

    /// What is said of the host that is asked for; none when no host is called so.
    pub(super) fn said(&self, authority: &[u8]) -> Option<Arc<Said>> {
        let mut last = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(said) if said.is_of(authority) => Some(said.clone()),
            _ => {
                let said = Arc::new(Said::of(self.client, authority)?);
                Some(last.insert(said).clone())
            }
        }
    }
}

/// Answers one request; never fails, since the answer to a failure is an answer too.
pub(super) async fn handle(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let (parts, body) = request.into_parts();
    Ok(answer(connection, parts, Sent::Library(body)).await)
}

/// The same for a head and a body, whoever reads them.
pub(super) async fn answer(connection: Arc<Connection>, parts: Parts, body: Sent) -> Response<ResponseBody> {
    let began = Instant::now();
    called(&connection, |id, trace_parent| pass(&connection, parts, body, id, trace_parent, began)).await
}

/// Gives a request its id, and a span where spans go somewhere.
pub(super) async fn called<F: Future>(
    connection: &Connection,
    pass: impl FnOnce(RequestId, Option<HeaderValue>) -> F,
) -> F::Output {
    let id = RequestId::fresh();
    if !connection.edge.traced {
        return pass(id, None).await;
    }
    let span = tracing::info_span!("edge.request", request.id = id.as_str());
    let parent = span.in_scope(crate::telemetry::trace_parent).and_then(|parent| parent.try_into().ok());
    // Boxed, so that the others need no room for it.
    Box::pin(tracing::Instrument::instrument(pass(id, parent), span)).await
}

async fn pass(
    connection: &Arc<Connection>,
    parts: Parts,
    body: Sent,
    id: RequestId,
    trace_parent: Option<HeaderValue>,
    began: Instant,
) -> Response<ResponseBody> {
    let path = parts.uri.path();
    let mut note = begin(connection, id, began, (&parts.method, parts.version, path));
    let asked = match request::check(&parts, |host| connection.said(host)) {
        Ok(asked) => asked,
        Err(refusal) => {
            let why = if refusal == Refusal::Method { Own::Method } else { Own::Malformed };
            return own(connection, note, &Asker::of(&parts.method, &parts.headers), "", &why);
        }
    };
    let said_length = body.size_hint().lower();
    let whole = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let way = match way::find(connection, &asked.said.name, (path, whole), said_length, &mut note) {
        Ok(way) => way,
        Err(why) => {
            if let Some(asset) = connection.edge.pages.asset(&parts.method, path).await {
                return finish(note, connection, standing(asset, connection));
            }
            return own(connection, note, &Asker::of(&parts.method, &parts.headers), &asked.said.name, &why);
        }
    };
    let origin = Origin { said: asked.said.clone(), request_id: id, trace_parent };
    if asked.upgrade == Upgrade::No && body.is_end_stream() && upstream::may_be_asked_again(&parts) {
        drop(body);
        return plainly(connection, &parts, &asked, origin, way, note).await;
    }
    // Boxed, so that what is asked most needs no room for it.
    Box::pin(carefully(connection, parts, body, asked, origin, way, note)).await
}

/// Passes on what our own client can.
async fn plainly(
    connection: &Arc<Connection>,
    parts: &Parts,
    asked: &Asked,
    origin: Origin,
    (socket, busy): (Arc<Path>, Busy),
    mut note: Box<Entry>,
) -> Response<ResponseBody> {
    let head = line::head(parts, asked, &origin);
    let head_only = parts.method == Method::HEAD;
    let outward = outward(connection, asked, &origin.request_id, head_only);
    match line::ask(&connection.pool, &socket, Question { head: &head, head_only }, &Mapped(outward)).await {
        Ok((response, coming)) => {
            finish(note, connection, response.map(|()| ResponseBody::percloud(Coming::Line(coming), busy)))
        }
        Err(failure) => {
            let why = failed(&mut note, &failure);
            own(connection, note, &Asker::of(&parts.method, &parts.headers), &asked.said.name, &why)
        }
    }
}

/// Passes on what needs the library's.
async fn carefully(
    connection: &Arc<Connection>,
    parts: Parts,
    body: Sent,
    asked: Asked,
    origin: Origin,
    (socket, busy): (Arc<Path>, Busy),
    mut note: Box<Entry>,
) -> Response<ResponseBody> {
    let (id, asker) = (origin.request_id, Asker::of(&parts.method, &parts.headers));
    let body_max = note.tenant.as_ref().map_or(u64::MAX, |route| route.body_max());
    let out = Outbound::new(parts, body, &asked, origin, body_max);
    note.sent = out.progress.clone();
    match exchange(connection, &socket, out, busy).await {
        Ok(mut response) => {
            headers::outward(response.headers_mut(), &outward(connection, &asked, &id, false));
            websocket::restore(&mut response, &asked);
            finish(note, connection, response)
        }
        Err(failure) => {
            let why = failed(&mut note, &failure);
            own(connection, note, &asker, &asked.said.name, &why)
        }
    }
}

fn outward<'a>(
    connection: &'a Connection,
    asked: &'a Asked,
    request_id: &'a RequestId,
    head_only: bool,
) -> Outward<'a> {
    Outward { host: &asked.said.name, request_id, standing: connection.standing(), head_only }
}

/// An answer of the edge's own.
pub(super) fn own(
    connection: &Connection,
    note: Box<Entry>,
    asker: &Asker,
    host: &str,
    why: &Own,
) -> Response<ResponseBody> {
    let id = note.request_id;
    let answer = answers::answer(&connection.edge.pages, why, asker, host, id.as_str());
    // Of these nobody knows whether they were meant for a name that this connection stands for.
    let meant = !matches!(why, Own::Misdirected | Own::Malformed);
    finish(note, connection, if meant { standing(answer, connection) } else { answer })
}

/// An answer of the edge's own says the same of the edge as a percloud's: who is led from an old name may never see another one of it.
pub(super) fn standing(mut answer: Response<ResponseBody>, connection: &Connection) -> Response<ResponseBody> {
    for (name, value) in connection.standing() {
        answer.headers_mut().insert(name, value.clone());
    }
    answer
}

/// What a visitor is told when a percloud gave no answer; the log hears of it.
pub(super) fn failed(note: &mut Entry, failure: &Failure) -> Own {
    let portal = note.class == Class::Portal;
    if !matches!(failure, Failure::Client) {
        tracing::warn!(request.id = note.request_id.as_str(), portal, error = %failure, source = ?std::error::Error::source(failure), "no answer");
    }
    note.class = Class::Edge;
    if !note.sent.as_ref().is_some_and(|sent| sent.is_too_large()) {
        return said(failure, portal);
    }
    if let Some(account) = note.tenant.as_ref().and_then(|route| route.counted()) {
        account.refuse();
    }
    Own::TooLarge
}

fn said(failure: &Failure, portal: bool) -> Own {
    match failure {
        Failure::Slow => Own::Slow,
        Failure::Client => Own::Malformed,
        Failure::Connect(_) | Failure::Broken(_) | Failure::Nonsense(_) | Failure::Unasked if portal => Own::PortalAway,
        Failure::Connect(_) | Failure::Broken(_) | Failure::Nonsense(_) | Failure::Unasked => Own::CannotStart,
    }
}

/// A request made ready for a percloud.
struct Outbound {
    request: Request<RequestBody>,
    origin: Origin,
    progress: Option<Arc<Progress>>,
    gate: Option<Arc<Gate>>,
    client: Option<Client>,
}

/// Who will talk to the percloud once both agreed on a WebSocket.
enum Client {
    Library(OnUpgrade),
    /// With the body of the answer that says so, which is what the client hears, and with what the percloud must agree to.
    Stream(Tunnel, ResponseBody, Key),
}

impl Client {
    fn of(parts: &mut Parts, body: Sent, upgrade: Upgrade) -> (Option<Self>, Option<Sent>) {
        match (upgrade, body) {
            (Upgrade::No, body) => (None, Some(body)),
            (Upgrade::Connect, Sent::Frames(body)) => {
                let (tunnel, heard) = Tunnel::new(body);
                (Some(Self::Stream(tunnel, heard, Key::fresh())), None)
            }
            (_, body) => (parts.extensions.remove().map(Self::Library), Some(body)),
        }
    }
}

impl Outbound {
    fn new(mut parts: Parts, body: Sent, asked: &Asked, origin: Origin, body_max: u64) -> Self {
        let (client, body) = Client::of(&mut parts, body, asked.upgrade);
        headers::inward(&mut parts.headers, asked);
        if let Some(Client::Stream(_, _, key)) = &client {
            parts.method = Method::GET;
            key.insert(&mut parts.headers);
        }
        let target = parts.uri.path_and_query().cloned().unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = parts.method;
        *request.uri_mut() = target.into();
        *request.headers_mut() = parts.headers;
        let mut out = Self { request, origin, progress: None, gate: None, client };
        if let Some(body) = body.filter(|body| !body.is_end_stream()) {
            let progress = Arc::new(Progress::of_at_most(body_max));
            out.gate = asked.waits.then(Arc::default);
            *out.request.body_mut() = RequestBody::Client(ClientBody::new(body, progress.clone(), out.gate.clone()));
            out.progress = Some(progress);
        }
        if let Some(gate) = out.gate.clone() {
            hyper::ext::on_informational(&mut out.request, move |said| {
                if said.status() == StatusCode::CONTINUE {
                    gate.open();
                }
            });
        }
        out
    }
}

/// Sends it and waits for the head of the answer.
async fn exchange(
    connection: &Arc<Connection>,
    socket: &Arc<Path>,
    out: Outbound,
    busy: Busy,
) -> Result<Response<ResponseBody>, Failure> {
    let Outbound { request, origin, progress, gate, client } = out;
    let mut response = patiently(connection.pool.send(socket, request, origin), progress, limits::FIRST_BYTE).await?;
    if let Some(gate) = gate {
        gate.close();
    }
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        // Over HTTP/2 any of these would say that it is a WebSocket now.
        return match client {
            Some(Client::Stream(..)) if response.status().is_success() => {
                Err(Failure::Nonsense("it opens no WebSocket"))
            }
            _ => Ok(response.map(|body| ResponseBody::percloud(body, busy))),
        };
    }
    let percloud = hyper::upgrade::on(&mut response);
    let (meter, asked) = (connection.edge.meter.clone(), connection.ending.asked.clone());
    let heard = match client {
        // Nobody asked for this: what follows on that connection is nothing that we could pass on.
        None => return Err(Failure::Unasked),
        Some(Client::Library(client)) => {
            connection.tasks.spawn(tunnel::join(
                tunnel::upgraded(client),
                percloud,
                meter,
                (busy, Counted::Here),
                asked,
            ));
            ResponseBody::own(bytes::Bytes::new())
        }
        Some(Client::Stream(_, _, key)) if !key.is_accepted(response.headers()) => {
            return Err(Failure::Nonsense("it does not know what a WebSocket is"));
        }
        Some(Client::Stream(client, heard, _)) => {
            let client = std::future::ready(Some(client));
            connection.tasks.spawn(tunnel::join(client, percloud, meter, (busy, Counted::AsBody), asked));
            heard
        }
    };
    Ok(response.map(|_| heard))
}

/// The log's line, begun: what is dropped without an answer (the client is gone) is noted as such.
pub(super) fn begin(
    connection: &Connection,
    id: RequestId,
    began: Instant,
    (method, version, path): (&Method, Version, &str),
) -> Box<Entry> {
    // Boxed: it passes through many hands.
    Box::new(Entry {
        scribe: connection.scribe.clone(),
        request_id: id,
        tenant: None,
        class: Class::Edge,
        area: meter::area(path),
        method: method.clone(),
        version,
        status: StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        began,
        first_byte: Duration::ZERO,
        sent: None,
        bytes_out: 0,
        whole: false,
    })
}

/// Hands the log's line to the answer, which ends it.
pub(super) fn finish(
    mut entry: Box<Entry>,
    connection: &Connection,
    mut response: Response<ResponseBody>,
) -> Response<ResponseBody> {
    entry.answered(response.status(), response.body());
    if entry.version != Version::HTTP_2
        && connection.last_call.load(Ordering::Relaxed)
        && entry.status != StatusCode::SWITCHING_PROTOCOLS
    {
        response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
    }
    response.map(|body| body.with_entry(entry))
}
