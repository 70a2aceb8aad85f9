//! What is taken from an answer's head and what is put in: as a table for the library, as a text for who is served by our own hands.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use httparse::Header;

use super::super::ids::RequestId;
use super::{X_REQUEST_ID, belongs_to_connection, holds, put, put_passing, take_out};

/// What a name that is somebody's says of itself: with TLS only, for a year.
const STRICT: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// What every answer says of the edge itself: to browsers that can be bound to TLS, and to the others.
#[derive(Debug)]
pub(in crate::edge) struct Standing([Vec<(HeaderName, HeaderValue)>; 2]);

impl Standing {
    /// `alt_svc` is where else all names are served (RFC 7838), where there is such a place.
    pub(in crate::edge) fn new(alt_svc: Option<HeaderValue>) -> Self {
        let alt_svc: Vec<_> = alt_svc.map(|place| (header::ALT_SVC, place)).into_iter().collect();
        let strict = std::iter::once((header::STRICT_TRANSPORT_SECURITY, STRICT)).chain(alt_svc.clone());
        Self([strict.collect(), alt_svc])
    }

    pub(in crate::edge) fn of(&self, strict: bool) -> &[(HeaderName, HeaderValue)] {
        &self.0[usize::from(!strict)]
    }
}

/// Makes a percloud's headers into those that a client gets.
pub(in crate::edge) fn outward(headers: &mut HeaderMap, said: &Outward<'_>) {
    take_out(headers, is_not_a_perclouds);
    own_cookies_only(headers, said.host);
    said.insert(headers);
}

/// What decides what a client may get of a percloud's headers, and what we say ourselves.
pub(in crate::edge) struct Outward<'a> {
    pub(in crate::edge) host: &'a str,
    pub(in crate::edge) request_id: &'a RequestId,
    /// See [`Standing`].
    pub(in crate::edge) standing: &'a [(HeaderName, HeaderValue)],
    /// It is an answer to HEAD: its length is the one that a GET would have. Other lengths are for whoever frames the body to say.
    pub(in crate::edge) head_only: bool,
}

impl Outward<'_> {
    /// Writes them, and says whether there was a `Date` among them.
    pub(in crate::edge) fn write(&self, headers: &[Header<'_>], out: &mut Vec<u8>) -> bool {
        let (mut dated, named) = (false, named(headers));
        for one in headers {
            put_passing(out, one.name.as_bytes(), one.value, |name| {
                let passes = self.passes(name, one.value, named);
                dated |= passes && name == b"date";
                passes
            });
        }
        for (name, value) in self.standing {
            put(out, name.as_str(), value.as_bytes());
        }
        put(out, X_REQUEST_ID.as_str(), self.request_id.as_str().as_bytes());
        dated
    }

    /// Gives each to `put`, and says whether there was a `Date` among them.
    pub(in crate::edge) fn pass(&self, headers: &[Header<'_>], mut put: impl FnMut(&[u8], &[u8])) -> bool {
        let (mut dated, named, mut lower) = (false, named(headers), Vec::with_capacity(64));
        for one in headers {
            lower.clear();
            lower.extend_from_slice(one.name.as_bytes());
            lower.make_ascii_lowercase();
            if self.passes(&lower, one.value, named) {
                dated |= lower == b"date";
                put(&lower, one.value);
            }
        }
        for (name, value) in self.standing {
            put(name.as_str().as_bytes(), value.as_bytes());
        }
        put(X_REQUEST_ID.as_str().as_bytes(), self.request_id.as_str().as_bytes());
        dated
    }

    /// The same as a table; `whole` is the head that they stand in.
    pub(in crate::edge) fn map(&self, headers: &[Header<'_>], whole: &[u8]) -> Option<HeaderMap> {
        // One small copy, so that the buffer can be used again while the head travels on.
        let head = Bytes::copy_from_slice(whole);
        let start = whole.as_ptr() as usize;
        let (mut map, named) = (HeaderMap::with_capacity(headers.len() + 2), named(headers));
        for one in headers {
            let name = HeaderName::from_bytes(one.name.as_bytes()).ok()?;
            if !self.keeps(name.as_str().as_bytes(), one.value, named) {
                let at = one.value.as_ptr() as usize - start;
                map.append(name, HeaderValue::from_maybe_shared(head.slice(at..at + one.value.len())).ok()?);
            }
        }
        self.insert(&mut map);
        Some(map)
    }

    /// Puts in what we say ourselves.
    fn insert(&self, headers: &mut HeaderMap) {
        for (name, value) in self.standing {
            headers.insert(name, value.clone());
        }
        headers.insert(X_REQUEST_ID, self.request_id.to_header());
    }

    /// Whether a header passes. Whoever frames the body says its length.
    fn passes(&self, name: &[u8], value: &[u8], named: Option<&[Header<'_>]>) -> bool {
        (name != b"content-length" || self.head_only) && !self.keeps(name, value, named)
    }

    /// Whether a header, its name in lower case, stays behind; `named` are all, if some are named.
    fn keeps(&self, name: &[u8], value: &[u8], named: Option<&[Header<'_>]>) -> bool {
        let names = |one: &Header<'_>| is_connection(one) && holds(one.value, name);
        belongs_to_connection(name)
            || is_not_a_perclouds(name)
            || name == b"x-request-id"
            || (name == b"set-cookie" && is_wide(value, self.host))
            || (named.is_some_and(|all| all.iter().any(names)) && !matches!(name, b"host" | b"content-length"))
    }
}

/// All headers, if one of them names others that belong to the connection. Mostly there is none.
fn named<'a, 'b>(headers: &'a [Header<'b>]) -> Option<&'a [Header<'b>]> {
    headers.iter().any(is_connection).then_some(headers)
}

fn is_connection(header: &Header<'_>) -> bool {
    header.name.eq_ignore_ascii_case("connection")
}

/// Whether a header is not for a percloud to say.
fn is_not_a_perclouds(name: &[u8]) -> bool {
    matches!(name, b"alt-svc" | b"strict-transport-security")
}

/// Whether a cookie is set for more than the site itself: under a shared domain, one percloud could plant it in all others.
fn is_wide(cookie: &[u8], host: &str) -> bool {
    cookie.split(|b| *b == b';').skip(1).any(|attribute| {
        let attribute = attribute.trim_ascii();
        attribute.len() >= 7 && attribute[..6].eq_ignore_ascii_case(b"domain") && {
            let value = attribute[6..].trim_ascii_start().strip_prefix(b"=").unwrap_or_default().trim_ascii();
            !value.is_empty() && !value.eq_ignore_ascii_case(host.as_bytes())
        }
    })
}

/// Drops such cookies.
fn own_cookies_only(headers: &mut HeaderMap, host: &str) {
    let wide = |value: &HeaderValue| is_wide(value.as_bytes(), host);
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

    #[test]
    fn a_site_sets_cookies_for_itself_only_and_a_client_hears_what_it_may() {
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
        let request_id = RequestId::fresh();
        let standing = Standing::new(Some(HeaderValue::from_static("h3=\":4443\"")));
        let standing = standing.of(true);
        let said = Outward { host: "ada.example", request_id: &request_id, standing, head_only: false };
        headers.extend([
            (header::DATE, HeaderValue::from_static("today")),
            (header::ALT_SVC, HeaderValue::from_static("h3=\":443\"")),
            (header::CONNECTION, HeaderValue::from_static("x-own")),
            (HeaderName::from_static("x-own"), HeaderValue::from_static("gone")),
            (X_REQUEST_ID, HeaderValue::from_static("theirs")),
        ]);
        let raw: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str().to_uppercase(), value.as_bytes().to_vec())).collect();
        let raw: Vec<_> = raw.iter().map(|(name, value)| Header { name, value }).collect();
        outward(&mut headers, &said);
        let left: Vec<&str> = headers.get_all(header::SET_COOKIE).iter().map(|v| &v.to_str().unwrap()[..1]).collect();
        assert_eq!(left, ["a", "d", "e"]);
        assert_eq!(headers.len(), 7, "{headers:?}");
        assert_eq!(headers[header::ALT_SVC], "h3=\":4443\"", "ours, and not the percloud's");
        let mut written = Vec::new();
        assert!(said.write(&raw, &mut written));
        let mut passed = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert!(said.pass(&raw, |name, value| passed.push(format!("{}: {}", text(name), text(value)))));
        let mut made: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        let mut written: Vec<&str> = std::str::from_utf8(&written).unwrap().lines().collect();
        made.sort();
        written.sort_unstable();
        passed.sort();
        assert_eq!(made, passed, "all ways to a client say the same");
        assert_eq!(made, written, "all ways to a client say the same");
    }
}
