//! What is taken from a head and what is put in, on the way in and on the way out.
//!
//! Whatever says where a request came from is ours to say: a client's own `Forwarded`, `X-Forwarded-*`, request id or trace
//! is dropped and never read. What belongs to one connection stays with it (RFC 9110 §7.6.1).

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::ids::RequestId;
use super::request::{Asked, Upgrade};

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
    host: HeaderValue,
    client: HeaderValue,
    forwarded: HeaderValue,
    /// All of it as it stands in a head, up to the request's own id.
    written: Vec<u8>,
}

impl Said {
    pub(super) fn new(client: IpAddr, authority: &str) -> Self {
        let client = client.to_canonical();
        let node = if client.is_ipv6() { format!("\"[{client}]\"") } else { client.to_string() };
        // Every part was checked or made by us; one that is no header value is left empty rather than guessed at.
        let value = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
        let mut said = Self {
            host: value(authority),
            client: value(&client.to_string()),
            forwarded: value(&format!("for={node};host=\"{authority}\";proto=https")),
            authority: authority.to_owned(),
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
    pub(super) fn is_of(&self, authority: &str) -> bool {
        self.authority == authority
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

    /// Writes headers with it into a head; for a request's headers made ready by [`inward`] that is the same as putting it in first.
    pub(super) fn write(&self, headers: &HeaderMap, out: &mut Vec<u8>) {
        for (name, value) in headers.iter().filter(|(name, _)| *name != header::HOST) {
            put(out, name.as_str(), value.as_bytes());
        }
        out.extend_from_slice(&self.said.written);
        put(out, X_REQUEST_ID.as_str(), self.request_id.as_str().as_bytes());
        match &self.trace_parent {
            Some(told) => put(out, TRACEPARENT.as_str(), told.as_bytes()),
            None => put(out, TRACEPARENT.as_str(), &self.request_id.trace_parent()),
        }
    }
}

/// A line of a head. Names and values hold no line break: their types do not allow one.
fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Whether a header that is a list (RFC 9110 §5.6.1) holds a word.
pub(super) fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(word))
}

/// Makes a client's headers into those that a percloud gets, but for what [`Origin`] says.
pub(super) fn inward(headers: &mut HeaderMap, asked: &Asked) {
    let trailers = lists(headers, &header::TE, "trailers");
    take_out(headers, |name| match name {
        "proxy" | "forwarded" | "proxy-authorization" => true,
        "expect" => !asked.waits,
        // Most names begin otherwise.
        _ => name.starts_with(['x', 't', 'c', 'b']) && NOT_A_CLIENTS.iter().any(|prefix| name.starts_with(prefix)),
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

/// Makes a percloud's headers into those that a client gets. `strict` is the value of HSTS, where it is due.
pub(super) fn outward(headers: &mut HeaderMap, host: &str, request_id: HeaderValue, strict: bool) {
    take_out(headers, |name| matches!(name, "alt-svc" | "strict-transport-security"));
    if strict {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    own_cookies_only(headers, host);
    headers.insert(X_REQUEST_ID, request_id);
}

/// Takes out what belongs to one connection, what `Connection` names as such, and what else `is_theirs` says. Most heads hold nothing of that.
fn take_out(headers: &mut HeaderMap, is_theirs: impl Fn(&str) -> bool) {
    let hop_by_hop = |name: &str| {
        matches!(
            name,
            "connection"
                | "transfer-encoding"
                | "te"
                | "upgrade"
                | "proxy-authenticate"
                | "keep-alive"
                | "proxy-connection"
                | "http2-settings"
        )
    };
    let mut out: Vec<HeaderName> =
        headers.keys().filter(|name| hop_by_hop(name.as_str()) || is_theirs(name.as_str())).cloned().collect();
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
    let mut all = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(second)) = (all.next(), all.next()) else { return };
    let joined = [first, second].into_iter().chain(all).map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..]);
    if let Ok(value) = HeaderValue::from_bytes(&joined) {
        headers.insert(header::COOKIE, value);
    }
}

/// Drops cookies that a site sets for more than itself: under a shared domain, one percloud could plant them in all others.
fn own_cookies_only(headers: &mut HeaderMap, host: &str) {
    let wide = |value: &HeaderValue| {
        value.as_bytes().split(|b| *b == b';').skip(1).any(|attribute| {
            let attribute = attribute.trim_ascii();
            attribute.len() >= 7 && attribute[..6].eq_ignore_ascii_case(b"domain") && {
                let value = attribute[6..].trim_ascii_start().strip_prefix(b"=").unwrap_or_default().trim_ascii();
                !value.is_empty() && !value.eq_ignore_ascii_case(host.as_bytes())
            }
        })
    };
    if !headers.get_all(header::SET_COOKIE).iter().any(wide) {
        return;
    }
    let kept: Vec<HeaderValue> = headers.get_all(header::SET_COOKIE).iter().filter(|v| !wide(v)).cloned().collect();
    headers.remove(header::SET_COOKIE);
    for value in kept {
        headers.append(header::SET_COOKIE, value);
    }
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
        Asked { host: "ada.example".into(), authority: "ada.example:8443".into(), upgrade: Upgrade::No, waits: false }
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
            said: Arc::new(Said::new("2001:db8::1".parse().unwrap(), "ada.example:8443")),
            request_id: RequestId::fresh(),
            trace_parent: Some(HeaderValue::from_static("00-t")),
        };
        let id = format!("x-request-id: {}", origin.request_id.as_str());
        inward(&mut headers, &asked());
        let mut head = Vec::new();
        origin.write(&headers, &mut head);
        origin.insert(&mut headers);
        let mut written: Vec<&str> = std::str::from_utf8(&head).unwrap().lines().collect();
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

    #[test]
    fn a_site_sets_cookies_for_itself_only() {
        let mut headers = HeaderMap::new();
        for cookie in [
            "a=1; Path=/",
            "b=2; Domain=example",
            "c=3; domain = .example; Path=/",
            "d=4; Domain=ada.example",
            "e=5; Domain=",
        ] {
            headers.append(header::SET_COOKIE, HeaderValue::from_static(cookie));
        }
        outward(&mut headers, "ada.example", HeaderValue::from_static("r"), false);
        let left: Vec<&str> = headers.get_all(header::SET_COOKIE).iter().map(|v| &v.to_str().unwrap()[..1]).collect();
        assert_eq!(left, ["a", "d", "e"]);
    }
}
