//! What is taken from a head and what is put in, on the way in and on the way out.
//!
//! Whatever says where a request came from is ours to say: a client's own `Forwarded`, `X-Forwarded-*`, request id or trace
//! is dropped and never read. What belongs to one connection stays with it (RFC 9110 §7.6.1).

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::request::{Asked, Upgrade};

const FORWARDED: HeaderName = header::FORWARDED;
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const PROXY: HeaderName = HeaderName::from_static("proxy");
const ALT_SVC: HeaderName = header::ALT_SVC;

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
}

impl Said {
    pub(super) fn new(client: IpAddr, authority: &str) -> Self {
        let client = client.to_canonical();
        let node = if client.is_ipv6() { format!("\"[{client}]\"") } else { client.to_string() };
        // Every part was checked or made by us; one that is no header value is left empty rather than guessed at.
        let value = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
        Self {
            host: value(authority),
            client: value(&client.to_string()),
            forwarded: value(&format!("for={node};host=\"{authority}\";proto=https")),
            authority: authority.to_owned(),
        }
    }

    /// Whether it is about this host.
    pub(super) fn is_of(&self, authority: &str) -> bool {
        self.authority == authority
    }
}

/// Who asks, and how we call the request.
pub(super) struct Origin {
    pub(super) said: Arc<Said>,
    pub(super) request_id: HeaderValue,
    pub(super) trace_parent: HeaderValue,
}

/// Whether a header that is a list (RFC 9110 §5.6.1) holds a word.
pub(super) fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(word))
}

/// Makes a client's headers into those that a percloud gets.
pub(super) fn inward(headers: &mut HeaderMap, asked: &Asked, origin: Origin) {
    let trailers = lists(headers, &header::TE, "trailers");
    hop_by_hop(headers);
    headers.remove(PROXY);
    headers.remove(FORWARDED);
    headers.remove(header::PROXY_AUTHORIZATION);
    if !asked.waits {
        headers.remove(header::EXPECT);
    }
    let alien: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            let name = name.as_str();
            // Most names begin otherwise.
            name.starts_with(['x', 't', 'c', 'b']) && NOT_A_CLIENTS.iter().any(|prefix| name.starts_with(prefix))
        })
        .cloned()
        .collect();
    for name in alien {
        headers.remove(name);
    }
    join_cookies(headers);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if asked.upgrade != Upgrade::No {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    headers.insert(header::HOST, origin.said.host.clone());
    headers.insert(X_FORWARDED_FOR, origin.said.client.clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
    headers.insert(X_FORWARDED_HOST, origin.said.host.clone());
    headers.insert(FORWARDED, origin.said.forwarded.clone());
    headers.insert(X_REQUEST_ID, origin.request_id);
    headers.insert(TRACEPARENT, origin.trace_parent);
}

/// Makes a percloud's headers into those that a client gets. `strict` is the value of HSTS, where it is due.
pub(super) fn outward(headers: &mut HeaderMap, host: &str, request_id: HeaderValue, strict: bool) {
    hop_by_hop(headers);
    headers.remove(ALT_SVC);
    headers.remove(header::STRICT_TRANSPORT_SECURITY);
    if strict {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    own_cookies_only(headers, host);
    headers.insert(X_REQUEST_ID, request_id);
}

/// Takes out what belongs to one connection, and what `Connection` names as such.
fn hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // Framing and address are not the sender's to take away.
        .filter(|name: &HeaderName| !matches!(*name, header::HOST | header::CONTENT_LENGTH | header::TRANSFER_ENCODING))
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::TE,
        header::UPGRADE,
        header::PROXY_AUTHENTICATE,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        HTTP2_SETTINGS,
    ] {
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
        let said = HeaderValue::from_static;
        let origin = Origin {
            said: Arc::new(Said::new("2001:db8::1".parse().unwrap(), "ada.example:8443")),
            request_id: said("r1"),
            trace_parent: said("00-t"),
        };
        inward(&mut headers, &asked(), origin);
        let mut seen: Vec<String> = headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        seen.sort();
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
                "x-request-id: r1",
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
