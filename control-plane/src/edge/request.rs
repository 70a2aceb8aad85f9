//! The head of a request, checked before anything is done with it: which host is meant, and is it said in one voice?

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::Scheme;
use http::{Method, Version};

use super::headers::{Said, lists};

/// Why a request is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It contradicts itself or the rules of HTTP; whoever sent it is told, and the connection ends.
    Malformed,
    /// A method that a proxy must not pass on.
    Method,
}

/// What a checked head asks for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// The host that is meant.
    pub(super) said: Arc<Said>,
    /// What the connection shall turn into.
    pub(super) upgrade: Upgrade,
    /// The client waits with its body for a go-ahead.
    pub(super) waits: bool,
}

/// What a connection shall turn into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// Nothing: request and answer.
    No,
    /// A WebSocket, asked for in HTTP/1.1's way.
    Websocket,
    /// A WebSocket, asked for in HTTP/2's way (RFC 8441).
    Connect,
}

/// Checks a head. The HTTP library has done the syntax by now; this is about what it still lets through. `said` knows what is called a host.
pub(super) fn check(parts: &Parts, said: impl FnOnce(&[u8]) -> Option<Arc<Said>>) -> Result<Asked, Refusal> {
    let extended = parts.extensions.get::<hyper::ext::Protocol>();
    let upgrade = match (parts.version, extended) {
        (Version::HTTP_2, Some(protocol)) if protocol.as_str() == "websocket" => Upgrade::Connect,
        (_, Some(_)) => return Err(Refusal::Method),
        (Version::HTTP_11, None) if wants_websocket(&parts.headers) && parts.method == Method::GET => {
            Upgrade::Websocket
        }
        _ => Upgrade::No,
    };
    if parts.method == Method::TRACE || (parts.method == Method::CONNECT && upgrade != Upgrade::Connect) {
        return Err(Refusal::Method);
    }
    lengths(&parts.headers)?;
    let said = said(authority(parts)?).ok_or(Refusal::Malformed)?;
    let path = parts.uri.path();
    if !path.starts_with('/') || path.bytes().any(|b| b < 0x20 || b == 0x7f || b == b'\\') {
        return Err(Refusal::Malformed);
    }
    let waits = parts.version == Version::HTTP_11
        && parts.headers.get(EXPECT).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if !waits && parts.version == Version::HTTP_11 && parts.headers.contains_key(EXPECT) {
        return Err(Refusal::Malformed);
    }
    Ok(Asked { said, upgrade, waits })
}

/// One length or one coding, plainly said. What follows is framed anew for the percloud in any case; a request with two
/// opinions on its own end is refused so that it cannot even be tried.
fn lengths(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let coding = codings.next();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    let plain = |v: &http::HeaderValue| !v.is_empty() && v.as_bytes().iter().all(u8::is_ascii_digit);
    let good = codings.next().is_none()
        && lengths.next().is_none()
        && !(coding.is_some() && length.is_some())
        && coding.is_none_or(|v| v.as_bytes().eq_ignore_ascii_case(b"chunked"))
        && length.is_none_or(plain);
    if good { Ok(()) } else { Err(Refusal::Malformed) }
}

fn wants_websocket(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && lists(headers, &CONNECTION, "upgrade")
}

/// The authority that the request names: in its target, in `Host`, or in both, which must then agree.
fn authority(parts: &Parts) -> Result<&[u8], Refusal> {
    if parts.uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTPS) {
        return Err(Refusal::Malformed);
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let header = hosts.next().map(http::HeaderValue::as_bytes);
    if hosts.next().is_some() {
        return Err(Refusal::Malformed);
    }
    let target = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    match (target, header) {
        (Some(target), Some(header)) if !target.eq_ignore_ascii_case(header) => Err(Refusal::Malformed),
        (Some(name), _) | (None, Some(name)) => Ok(name),
        (None, None) => Err(Refusal::Malformed),
    }
}

/// The name in an authority; refuses user names, odd ports and anything that is neither a host name nor an address.
pub(super) fn host(authority: &str) -> Result<String, Refusal> {
    let (name, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').ok_or(Refusal::Malformed)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| Refusal::Malformed)?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or(Refusal::Malformed)?) };
            (Cow::from(format!("[{address}]")), port)
        }
        None => match authority.split_once(':') {
            Some((name, port)) => (name.into(), Some(port)),
            None => (authority.into(), None),
        },
    };
    let port_ok =
        port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok());
    let name = name.strip_suffix('.').unwrap_or(&name);
    let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'[' | b']' | b':');
    if port_ok && !name.is_empty() && name.len() <= 253 && name.bytes().all(letters) {
        Ok(name.to_owned())
    } else {
        Err(Refusal::Malformed)
    }
}

/// The host of a request that came without TLS; none when it says none or contradicts itself.
pub(super) fn plain_host<B>(request: &http::Request<B>) -> Option<String> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(first), None) = (hosts.next(), hosts.next()) else { return None };
    host(&first.to_str().ok()?.to_ascii_lowercase()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn asked(uri: &str, headers: &[(&str, &str)]) -> Result<Asked, Refusal> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0, |host| Said::of([192, 0, 2, 1].into(), host).map(Arc::new))
    }

    #[test]
    fn the_host_is_one_name_without_port_and_case() {
        for (uri, host) in [
            ("/", "Ada.Example:8443"),
            ("/", "ada.example"),
            ("/", "ada.example."),
            ("https://ada.example/x", "ada.example"),
        ] {
            assert_eq!(asked(uri, &[("host", host)]).unwrap().said.name, "ada.example", "{uri} {host}");
        }
        assert_eq!(asked("/", &[("host", "[::1]:8443")]).unwrap().said.name, "[::1]");
    }

    #[test]
    fn two_hosts_no_host_and_odd_hosts_are_refused() {
        let odd: &[(&str, &[(&str, &str)])] = &[
            ("/", &[]),
            ("/", &[("host", "a.example"), ("host", "b.example")]),
            ("https://a.example/", &[("host", "b.example")]),
            ("http://a.example/", &[("host", "a.example")]),
            ("/", &[("host", "me@a.example")]),
            ("/", &[("host", "a.example:http")]),
            ("/", &[("host", "a.example:")]),
            ("/", &[("host", "a.example:99999")]),
            ("/", &[("host", "a.example, b.example")]),
            ("/", &[("host", "a.example/x")]),
            ("/", &[("host", "")]),
            ("/", &[("host", "[::1")]),
            ("/", &[("host", "a.example"), ("expect", "a-miracle")]),
        ];
        for (uri, headers) in odd {
            assert_eq!(asked(uri, headers).err(), Some(Refusal::Malformed), "{uri} {headers:?}");
        }
    }

    #[test]
    fn a_request_with_two_opinions_on_its_end_is_refused() {
        let host = ("host", "a.example");
        for odd in [
            vec![("transfer-encoding", "chunked"), ("content-length", "3")],
            vec![("transfer-encoding", "chunked"), ("transfer-encoding", "identity")],
            vec![("transfer-encoding", "gzip, chunked")],
            vec![("transfer-encoding", "xchunked")],
            vec![("content-length", "3"), ("content-length", "3")],
            vec![("content-length", "+3")],
            vec![("content-length", "3, 3")],
            vec![("content-length", "")],
        ] {
            assert_eq!(asked("/", &[&[host], &odd[..]].concat()).err(), Some(Refusal::Malformed), "{odd:?}");
        }
    }

    #[test]
    fn only_websocket_is_an_upgrade() {
        let with = |upgrade: &str, connection: &str| {
            asked("/", &[("host", "a.example"), ("upgrade", upgrade), ("connection", connection)]).unwrap().upgrade
        };
        assert_eq!(with("websocket", "keep-alive, Upgrade"), Upgrade::Websocket);
        assert_eq!(with("websocket", "keep-alive"), Upgrade::No);
        assert_eq!(with("h2c", "Upgrade, HTTP2-Settings"), Upgrade::No);
    }
}
