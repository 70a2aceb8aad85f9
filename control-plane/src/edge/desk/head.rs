//! The head of a request that has nothing behind it.

use std::mem::MaybeUninit;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use http::Method;

use super::super::headers::{self, Said};
use super::super::limits;
use super::super::passing::{Begun, Plain};

/// Takes the first request out of what was heard, if it is plain and `said` knows something of its host. Else nothing is taken, and
/// nothing is said about it: whether it is good or bad is the library's to know.
pub(super) fn take(heard: &mut Bytes, said: impl FnOnce(&[u8]) -> Option<Arc<Said>>) -> Option<Plain> {
    let mut space = [const { MaybeUninit::uninit() }; limits::HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    let config = httparse::ParserConfig::default();
    let status = config.parse_request_with_uninit_headers(&mut parsed, heard, &mut space);
    let Ok(httparse::Status::Complete(length)) = status else { return None };
    let method = match parsed.method? {
        "GET" => Method::GET,
        "HEAD" => Method::HEAD,
        _ => return None,
    };
    if parsed.version != Some(1) {
        return None;
    }
    let mut begun = Begun::of(method, parsed.path?.as_bytes(), length)?;
    let (mut host, mut cookies) = (None, 0);
    for one in parsed.headers.iter() {
        match one.name.len() {
            4 if one.name.eq_ignore_ascii_case("host") => {
                if host.replace(one.value).is_some() {
                    return None;
                }
                continue;
            }
            6 if one.name.eq_ignore_ascii_case("cookie") => cookies += 1,
            _ if !is_plain(one.name, one.value) => return None,
            _ => {}
        }
        headers::put_inward(&mut begun.text, one.name.as_bytes(), one.value);
    }
    // Several cookies are made one, which is not done here.
    let said = (cookies < 2).then(|| said(host?)).flatten()?;
    heard.advance(length);
    Some(begun.at(said))
}

/// Whether a header leaves a request what it is: one without a body, on a connection that stays what it is.
fn is_plain(name: &str, value: &[u8]) -> bool {
    const ODD: [&str; 6] = ["content-length", "transfer-encoding", "upgrade", "expect", "te", "trailer"];
    if name.eq_ignore_ascii_case("connection") {
        return value.eq_ignore_ascii_case(b"keep-alive");
    }
    !ODD.iter().any(|odd| name.eq_ignore_ascii_case(odd))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Option<(String, usize)> {
        let mut heard = Bytes::copy_from_slice(text.as_bytes());
        let said = |host: &[u8]| Said::of([192, 0, 2, 1].into(), host).map(Arc::new);
        let Some(asked) = take(&mut heard, said) else {
            assert_eq!(heard, text, "what is not taken stays as it was");
            return None;
        };
        let (path, whole) = asked.target();
        assert!(whole.starts_with(path));
        let told = String::from_utf8_lossy(&asked.text);
        Some((format!("{} {path} at {}: {told}", asked.method, asked.said.name), heard.len()))
    }

    #[test]
    fn what_is_plain_is_taken_and_what_follows_stays() {
        let head = "GET /a?b=c HTTP/1.1\r\nHost: a.example\r\nConnection: Keep-Alive\r\nAccept: x\r\n\r\n";
        let told = "GET /a at a.example: GET /a?b=c HTTP/1.1\r\naccept: x\r\n";
        assert_eq!(taken(&format!("{head}GET /")), Some((told.to_owned(), 5)));
        let told = "HEAD / at a.example: HEAD / HTTP/1.1\r\n";
        assert_eq!(taken("HEAD / HTTP/1.1\r\nhost: a.example\r\n\r\n").unwrap().0, told);
    }

    #[test]
    fn a_host_of_which_nothing_is_known_is_left_to_the_library() {
        let mut heard = Bytes::from_static(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
        assert!(take(&mut heard, |_| None).is_none() && heard.starts_with(b"GET"));
    }

    #[test]
    fn a_percloud_is_not_told_what_is_not_a_clients_to_say() {
        let said = "Forwarded: for=x\r\nX-Forwarded-For: x\r\nX-Real-IP: x\r\nX-Request-Id: x\r\nTraceparent: x\r\nProxy: x\r\n\
            X-Percloud-Owner: x\r\nKeep-Alive: x\r\nCookie: a=b\r\nX-Mine: y\r\n";
        let (told, _) = taken(&format!("GET / HTTP/1.1\r\nHost: a.example\r\n{said}\r\n")).unwrap();
        assert_eq!(told, "GET / at a.example: GET / HTTP/1.1\r\ncookie: a=b\r\nx-mine: y\r\n");
    }

    #[test]
    fn whatever_is_not_plain_is_left_to_the_library() {
        for odd in [
            "",
            "GET / HTTP/1.1\r\nX: y\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "POST / HTTP/1.1\r\n\r\n",
            "get / HTTP/1.1\r\n\r\n",
            "GET https://a.example/ HTTP/1.1\r\n\r\n",
            "GET * HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.1\r\nConnection: keep-alive, x\r\n\r\n",
            "GET / HTTP/1.1\r\nTE: trailers\r\n\r\n",
            "GET / HTTP/1.1\r\nX : y\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
            "GET /\0 HTTP/1.1\r\n\r\n",
            "GET /a#b HTTP/1.1\r\n\r\n",
            "GET /a\\b HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nCookie: a=b\r\nCookie: c=d\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            let odd = odd.replacen("\r\n", "\r\nHost: a.example\r\n", 1);
            assert_eq!(taken(&odd), None, "{odd:?}");
        }
        for hosts in ["", "host: a.example\r\nhost: a.example\r\n"] {
            assert_eq!(taken(&format!("GET / HTTP/1.1\r\n{hosts}\r\n")), None);
        }
        let many = format!("GET / HTTP/1.1\r\nHost: a.example\r\n{}\r\n", "x: y\r\n".repeat(limits::HEADERS));
        assert_eq!(taken(&many), None);
    }
}
