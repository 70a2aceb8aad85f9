//! What is taken from a head and what is put in, on the way in and on the way out.
//!
//! Whatever says where a request came from is ours to say: a client's own `Forwarded`, `X-Forwarded-*`, request id or trace
//! is dropped and never read. What belongs to one connection stays with it (RFC 9110 §7.6.1).

mod outward;

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

pub(super) use outward::{Outward, Standing, outward};

use super::ids::RequestId;
use super::request::{self, Asked, Upgrade};

const FORWARDED: HeaderName = header::FORWARDED;
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What only a proxy may say, by beginning: some program behind some proxy believed each of these once.
const NOT_A_CLIENTS: [&str; 12] = [
    "x-forwarded",
    "x-real-",
    "x-request-id",
    "x-original-",
    "x-rewrite-",
    "x-percloud-",
    "x-client-",
    "x-cluster-",
    "true-client-",
    "cf-connecting",
    "trace",
    "baggage",
];

/// What we say of a client and the host it asks: the same for all requests of most connections, so it is made once.
#[derive(Debug)]
pub(super) struct Said {
    authority: String,
    /// The authority without its port.
    pub(super) name: String,
    host: HeaderValue,
    client: HeaderValue,
    forwarded: HeaderValue,
    /// All of it as it stands in a head, up to the request's own id.
    written: Vec<u8>,
}

impl Said {
    /// Of a host by what it is called; none when nothing can be called so.
    pub(super) fn of(client: IpAddr, authority: &[u8]) -> Option<Self> {
        let authority = std::str::from_utf8(authority).ok()?.to_ascii_lowercase();
        let name = request::host(&authority).ok()?;
        Some(Self::new(client, &authority, name))
    }

    fn new(client: IpAddr, authority: &str, name: String) -> Self {
        let client = client.to_canonical();
        let node = if client.is_ipv6() { format!("\"[{client}]\"") } else { client.to_string() };
        // Every part was checked or made by us; one that is no header value is left empty rather than guessed at.
        let value = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
        let mut said = Self {
            host: value(authority),
            client: value(&client.to_string()),
            forwarded: value(&format!("for={node};host=\"{authority}\";proto=https")),
            authority: authority.to_owned(),
            name,
            written: Vec::new(),
        };
        let mut written = Vec::with_capacity(256);
        for (name, value) in said.all() {
            put(&mut written, name.as_str(), value.as_bytes());
        }
        said.written = written;
        said
    }

    fn all(&self) -> [(HeaderName, HeaderValue); 5] {
        [
            (header::HOST, self.host.clone()),
            (X_FORWARDED_FOR, self.client.clone()),
            (X_FORWARDED_PROTO, HeaderValue::from_static("https")),
            (X_FORWARDED_HOST, self.host.clone()),
            (FORWARDED, self.forwarded.clone()),
        ]
    }

    /// Whether it is about this host.
    pub(super) fn is_of(&self, authority: &[u8]) -> bool {
        self.authority.as_bytes() == authority
    }
}

/// Who asks, and how we call the request.
pub(super) struct Origin {
    pub(super) said: Arc<Said>,
    pub(super) request_id: RequestId,
    /// What the trace says, where there is one.
    pub(super) trace_parent: Option<HeaderValue>,
}

impl Origin {
    /// Puts it into headers.
    pub(super) fn insert(self, headers: &mut HeaderMap) {
        let trace_parent = self.trace_parent.or_else(|| HeaderValue::from_bytes(&self.request_id.trace_parent()).ok());
        let trace_parent = trace_parent.unwrap_or_else(|| HeaderValue::from_static(""));
        let own = [(X_REQUEST_ID, self.request_id.to_header()), (TRACEPARENT, trace_parent)];
        for (name, value) in self.said.all().into_iter().chain(own) {
            headers.insert(name, value);
        }
    }

    /// Writes a client's headers with it into a head, and ends that: the same as [`inward`] and then putting it in.
    pub(super) fn write(&self, headers: &HeaderMap, asked: &Asked, out: &mut Vec<u8>) {
        let named = headers.contains_key(header::CONNECTION);
        let mut cookies = false;
        for (name, value) in headers {
            let text = name.as_str();
            let stays = match *name {
                header::HOST => true,
                header::CONTENT_LENGTH => false,
                header::EXPECT if !asked.waits => true,
                _ => {
                    belongs_to_connection(text.as_bytes())
                        || is_not_a_clients(text.as_bytes())
                        || (named && lists(headers, &header::CONNECTION, text))
                }
            };
            if !stays && *name == header::COOKIE {
                cookies = true;
            } else if !stays {
                put(out, text, value.as_bytes());
            }
        }
        if cookies {
            put(out, header::COOKIE.as_str(), &joined(headers.get_all(header::COOKIE)));
        }
        if lists(headers, &header::TE, "trailers") {
            put(out, header::TE.as_str(), b"trailers");
        }
        self.finish(out);
    }

    /// Writes it behind the headers of a head, and ends that.
    pub(super) fn finish(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.said.written);
        put(out, X_REQUEST_ID.as_str(), self.request_id.as_str().as_bytes());
        match &self.trace_parent {
            Some(told) => put(out, TRACEPARENT.as_str(), told.as_bytes()),
            None => put(out, TRACEPARENT.as_str(), &self.request_id.trace_parent()),
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// A line of a head. Names and values hold no line break: their types, or who parsed them, do not allow one.
pub(super) fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Whether a header that is a list (RFC 9110 §5.6.1) holds a word.
pub(super) fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers.get_all(name).iter().any(|value| holds(value.as_bytes(), word.as_bytes()))
}

/// Whether one value of such a header holds it.
pub(super) fn holds(value: &[u8], word: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(word))
}

/// Writes a header with its name in lower case, if that name passes.
fn put_passing(out: &mut Vec<u8>, name: &[u8], value: &[u8], passes: impl FnOnce(&[u8]) -> bool) {
    let start = out.len();
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out[start..].make_ascii_lowercase();
    if !passes(&out[start..]) {
        return out.truncate(start);
    }
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a client's header into the head for a percloud, if it may be there. For heads in which `Connection` names no others.
pub(super) fn put_inward(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    put_passing(out, name, value, |name| !belongs_to_connection(name) && !is_not_a_clients(name));
}

/// Makes a client's headers into those that a percloud gets, but for what [`Origin`] says.
pub(super) fn inward(headers: &mut HeaderMap, asked: &Asked) {
    let trailers = lists(headers, &header::TE, "trailers");
    take_out(headers, |name| match name {
        b"expect" => !asked.waits,
        _ => is_not_a_clients(name),
    });
    join_cookies(headers);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if asked.upgrade != Upgrade::No {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
}

/// Whether a header, its name in lower case, belongs to one connection.
pub(super) fn belongs_to_connection(name: &[u8]) -> bool {
    matches!(
        name,
        b"connection"
            | b"transfer-encoding"
            | b"te"
            | b"upgrade"
            | b"proxy-authenticate"
            | b"keep-alive"
            | b"proxy-connection"
            | b"http2-settings"
    )
}

/// Whether a header is not for a client to say.
fn is_not_a_clients(name: &[u8]) -> bool {
    // Most names begin otherwise.
    matches!(name, b"proxy" | b"forwarded" | b"proxy-authorization")
        || (matches!(name, [b'x' | b't' | b'c' | b'b', ..])
            && NOT_A_CLIENTS.iter().any(|prefix| name.starts_with(prefix.as_bytes())))
}

/// Takes out what belongs to one connection, what `Connection` names as such, and what else `is_theirs` says. Most heads hold nothing of that.
fn take_out(headers: &mut HeaderMap, is_theirs: impl Fn(&[u8]) -> bool) {
    let goes = |name: &HeaderName| {
        let name = name.as_str().as_bytes();
        belongs_to_connection(name) || is_theirs(name)
    };
    let mut out: Vec<HeaderName> = headers.keys().filter(|name| goes(name)).cloned().collect();
    if out.contains(&header::CONNECTION) {
        let values = headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
        let named = values.flat_map(|v| v.split(',')).filter_map(|name| name.trim().parse().ok());
        // Framing and address are not the sender's to take away.
        out.extend(named.filter(|name: &HeaderName| {
            !matches!(*name, header::HOST | header::CONTENT_LENGTH | header::TRANSFER_ENCODING)
        }));
    }
    for name in out {
        headers.remove(name);
    }
}

/// HTTP/2 lets browsers send cookies in several headers; HTTP/1.1 does not (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let all = headers.get_all(header::COOKIE);
    if all.iter().nth(1).is_none() {
        return;
    }
    if let Ok(value) = HeaderValue::from_bytes(&joined(all)) {
        headers.insert(header::COOKIE, value);
    }
}

fn joined(cookies: header::GetAll<'_, HeaderValue>) -> Vec<u8> {
    cookies.iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect::<HeaderMap>()
    }

    fn asked() -> Asked {
        let said = Said::of("2001:db8::1".parse().unwrap(), b"Ada.example:8443").unwrap();
        Asked { said: Arc::new(said), upgrade: Upgrade::No, waits: false }
    }

    #[test]
    fn what_a_client_says_of_itself_is_replaced() {
        let mut headers = map(&[
            ("forwarded", "for=10.0.0.1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-prefix", "/x"),
            ("x-real-ip", "10.0.0.1"),
            ("x-request-id", "mine"),
            ("traceparent", "00-1"),
            ("tracestate", "x"),
            ("x-percloud-owner", "yes"),
            ("connection", "x-keep, host, x-request-id"),
            ("x-keep", "gone"),
            ("te", "gzip, trailers"),
            ("accept", "text/html"),
            ("range", "bytes=0-1"),
        ]);
        let origin = Origin {
            said: asked().said,
            request_id: RequestId::fresh(),
            trace_parent: Some(HeaderValue::from_static("00-t")),
        };
        let id = format!("x-request-id: {}", origin.request_id.as_str());
        let mut head = Vec::new();
        origin.write(&headers, &asked(), &mut head);
        inward(&mut headers, &asked());
        origin.insert(&mut headers);
        let head = std::str::from_utf8(&head).unwrap().strip_suffix("\r\n\r\n").unwrap();
        let mut written: Vec<&str> = head.lines().collect();
        let mut seen: Vec<String> = headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        seen.sort();
        written.sort_unstable();
        assert_eq!(seen, written, "both ways to a percloud say the same");
        assert_eq!(
            seen,
            [
                "accept: text/html",
                "forwarded: for=\"[2001:db8::1]\";host=\"ada.example:8443\";proto=https",
                "host: ada.example:8443",
                "range: bytes=0-1",
                "te: trailers",
                "traceparent: 00-t",
                "x-forwarded-for: 2001:db8::1",
                "x-forwarded-host: ada.example:8443",
                "x-forwarded-proto: https",
                &*id,
            ]
        );
    }
}
