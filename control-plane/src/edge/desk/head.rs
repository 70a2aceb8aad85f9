//! The head of a request that has nothing behind it.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Uri};

use super::super::limits;

/// Takes the first request out of what was heard, if it is plainly one that reads something and has no body. Else nothing is taken, and
/// nothing is said about it: whether it is good or bad is the library's to know.
pub(super) fn plain(heard: &mut Bytes) -> Option<Parts> {
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
    let target = parsed.path.filter(|path| path.starts_with('/'))?;
    if parsed.version != Some(1) {
        return None;
    }
    let start = heard.as_ptr() as usize;
    let part = |text: &[u8]| {
        let at = text.as_ptr() as usize - start;
        heard.slice(at..at + text.len())
    };
    let uri = Uri::from_maybe_shared(part(target.as_bytes())).ok()?;
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for one in parsed.headers.iter() {
        let name = HeaderName::from_bytes(one.name.as_bytes()).ok()?;
        if !is_plain(&name, one.value) {
            return None;
        }
        headers.append(name, HeaderValue::from_maybe_shared(part(one.value)).ok()?);
    }
    heard.advance(length);
    let mut request = Request::new(());
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
    Some(request.into_parts().0)
}

/// Whether a header leaves a request what it is: one without a body, on a connection that stays what it is.
fn is_plain(name: &HeaderName, value: &[u8]) -> bool {
    match *name {
        header::CONNECTION => value.eq_ignore_ascii_case(b"keep-alive"),
        header::CONTENT_LENGTH
        | header::TRANSFER_ENCODING
        | header::UPGRADE
        | header::EXPECT
        | header::TE
        | header::TRAILER => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Option<(String, usize, usize)> {
        let mut heard = Bytes::copy_from_slice(text.as_bytes());
        let asked = plain(&mut heard);
        assert!(asked.is_some() || heard == text, "what is not taken stays as it was");
        asked.map(|asked| (format!("{} {}", asked.method, asked.uri), asked.headers.len(), heard.len()))
    }

    #[test]
    fn what_is_plain_is_taken_and_what_follows_stays() {
        let one = taken("GET /a?b=c HTTP/1.1\r\nHost: a.example\r\nConnection: Keep-Alive\r\n\r\nGET /");
        assert_eq!(one, Some(("GET /a?b=c".to_owned(), 2, 5)));
        assert_eq!(taken("HEAD / HTTP/1.1\r\n\r\n"), Some(("HEAD /".to_owned(), 0, 0)));
    }

    #[test]
    fn whatever_is_not_plain_is_left_to_the_library() {
        for odd in [
            "",
            "GET / HTTP/1.1\r\nHost: a.example\r\n",
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
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            assert_eq!(taken(odd), None, "{odd:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(limits::HEADERS + 1));
        assert_eq!(taken(&many), None);
    }
}
