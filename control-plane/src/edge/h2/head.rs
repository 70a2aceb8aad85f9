//! The head of a request as HTTP/2 has it, checked (RFC 9113 §8) and made into what the rest of the edge understands.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Uri, Version};
use hyper::ext::Protocol;

use super::super::headers::{self, Said};
use super::super::passing::{Begun, Plain};
use super::hpack::Fields;

/// What is asked on a stream.
pub(super) enum Parsed {
    /// What is asked most.
    Plain(Plain),
    /// All else: it may have a body, of so many bytes where that was said; the client may wait for a go-ahead before it sends it.
    Other { parts: Box<Parts>, length: Option<u64>, waits: bool },
}

/// The pseudo-headers (§8.3.1).
#[derive(Default)]
struct Pseudo<'a> {
    method: Option<&'a [u8]>,
    scheme: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    protocol: Option<&'a [u8]>,
}

/// Reads a head with which the request `ends`, or its body follows; none when it is malformed.
pub(super) fn read(fields: &Fields, ends: bool, said: impl FnOnce(&[u8]) -> Option<Arc<Said>>) -> Option<Parsed> {
    let pseudo = check(fields)?;
    if ends && let Some(plain) = plain(&pseudo, fields, said) {
        return Some(Parsed::Plain(plain));
    }
    let length = length(fields)?;
    if ends && length.is_some_and(|length| length > 0) {
        return None;
    }
    let mut parts = Request::new(()).into_parts().0;
    parts.version = Version::HTTP_2;
    parts.method = Method::from_bytes(pseudo.method?).ok()?;
    parts.uri = target(&pseudo, parts.method == Method::CONNECT)?;
    if let Some(protocol) = pseudo.protocol {
        // Of others nothing is known but that they are others.
        let known = if protocol == b"websocket" { "websocket" } else { "unknown" };
        parts.extensions.insert(Protocol::from_static(known));
    }
    parts.headers = table(fields)?;
    let waits = !ends && parts.headers.get(http::header::EXPECT).is_some_and(|v| v == "100-continue");
    Some(Parsed::Other { parts: Box::new(parts), length, waits })
}

/// Trailers: headers like others, but none that begins with a colon.
pub(super) fn trailers(fields: &Fields) -> Option<HeaderMap> {
    let good = fields.iter().all(|(name, value)| is_good(name, value));
    if good { table(fields) } else { None }
}

/// Looks at every header, and takes the pseudo-headers out.
fn check(fields: &Fields) -> Option<Pseudo<'_>> {
    let (mut pseudo, mut others) = (Pseudo::default(), false);
    for (name, value) in fields.iter() {
        if name.first() != Some(&b':') {
            others = true;
            if is_good(name, value) {
                continue;
            }
            return None;
        }
        let place = match name {
            b":method" => &mut pseudo.method,
            b":scheme" => &mut pseudo.scheme,
            b":authority" => &mut pseudo.authority,
            b":path" => &mut pseudo.path,
            b":protocol" => &mut pseudo.protocol,
            _ => return None,
        };
        if others || place.replace(value).is_some() {
            return None;
        }
    }
    Some(pseudo)
}

/// Whether a header may be in a head (§8.2): spelt as HTTP has it, and nothing that belongs to a connection.
fn is_good(name: &[u8], value: &[u8]) -> bool {
    let spelt = !name.is_empty() && name.iter().all(|byte| IN_NAMES[usize::from(*byte)]);
    let odd = value.iter().fold(false, |odd, byte| odd | (*byte < b' ' && *byte != b'\t') | (*byte == 0x7f));
    let padded = [value.first(), value.last()].iter().any(|end| matches!(end, Some(b' ' | b'\t')));
    spelt
        && !odd
        && !padded
        && match name {
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => false,
            b"te" => value == b"trailers",
            _ => true,
        }
}

/// What a name may hold: what a token may (RFC 9110 §5.6.2), without capitals.
static IN_NAMES: [bool; 256] = {
    let (mut good, mut byte) = ([false; 256], 0);
    while byte < 256 {
        good[byte] = (byte as u8).is_ascii_lowercase() || (byte as u8).is_ascii_digit();
        byte += 1;
    }
    let (more, mut at) = (b"!#$%&'*+-.^_`|~", 0);
    while at < more.len() {
        good[more[at] as usize] = true;
        at += 1;
    }
    good
};

/// A request that plainly reads something, if this is one and `said` knows something of its host.
fn plain(pseudo: &Pseudo<'_>, fields: &Fields, said: impl FnOnce(&[u8]) -> Option<Arc<Said>>) -> Option<Plain> {
    let method = match pseudo.method? {
        b"GET" => Method::GET,
        b"HEAD" => Method::HEAD,
        _ => return None,
    };
    if pseudo.scheme != Some(b"https") || pseudo.protocol.is_some() {
        return None;
    }
    let mut begun = Begun::of(method, pseudo.path?, fields.len())?;
    let (mut host, mut cookies, mut trailers) = (None, 0, false);
    for (name, value) in fields.iter() {
        match name {
            [b':', ..] => {}
            b"host" if host.is_none() && pseudo.authority.is_none_or(|authority| authority == value) => {
                host = Some(value)
            }
            b"host" | b"content-length" | b"expect" | b"trailer" => return None,
            b"cookie" => cookies += 1,
            b"te" => trailers = true,
            _ => headers::put_inward(&mut begun.text, name, value),
        }
    }
    if cookies > 0 {
        put_cookies(&mut begun.text, fields);
    }
    if trailers {
        headers::put(&mut begun.text, "te", b"trailers");
    }
    Some(begun.at(said(pseudo.authority.or(host)?)?))
}

/// Browsers may send cookies one by one (§8.2.3); a percloud gets them as one.
fn put_cookies(text: &mut Vec<u8>, fields: &Fields) {
    let mut between = &b"cookie: "[..];
    for (_, cookie) in fields.iter().filter(|(name, _)| *name == b"cookie") {
        text.extend_from_slice(between);
        text.extend_from_slice(cookie);
        between = b"; ";
    }
    text.extend_from_slice(b"\r\n");
}

/// How long the body is said to be; none when that is said twice, or in no number.
#[expect(
    clippy::option_option,
    reason = "the outer one is for a head that is malformed, the inner for one that says nothing"
)]
fn length(fields: &Fields) -> Option<Option<u64>> {
    let mut lengths = fields.iter().filter(|(name, _)| *name == b"content-length");
    let Some((_, length)) = lengths.next() else { return Some(None) };
    if lengths.next().is_some() || !length.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(length).ok()?.parse().ok().map(Some)
}

/// The target (§8.3.1, §8.5). A CONNECT that is none for a protocol has nothing but an authority.
fn target(pseudo: &Pseudo<'_>, connects: bool) -> Option<Uri> {
    let uri = Uri::builder();
    let uri = match (pseudo.scheme, pseudo.path, connects && pseudo.protocol.is_none()) {
        (None, None, true) => uri.authority(pseudo.authority?),
        (_, _, true) | (None, _, _) | (_, None, _) | (_, Some([]), _) => return None,
        (Some(scheme), Some(path), false) => match pseudo.authority {
            Some(authority) => uri.scheme(scheme).authority(authority).path_and_query(path),
            None if scheme == b"https" => uri.path_and_query(path),
            None => return None,
        },
    };
    uri.build().ok()
}

fn table(fields: &Fields) -> Option<HeaderMap> {
    let mut table = HeaderMap::new();
    for (name, value) in fields.iter().filter(|(name, _)| name.first() != Some(&b':')) {
        table.append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::super::hpack::{Decoder, Encoder};
    use super::*;
    use crate::edge::headers::Origin;
    use crate::edge::ids::RequestId;
    use crate::edge::{line, request};

    const GET: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "https"), (":authority", "a.example"), (":path", "/a?b=c")];

    fn fields(head: &[(&str, &str)]) -> Fields {
        let (mut block, mut encoder, mut fields) = (Vec::new(), Encoder::new(), Fields::default());
        head.iter().for_each(|(name, value)| encoder.put(name.as_bytes(), value.as_bytes(), &mut block));
        Decoder::new().decode(&block, &mut fields).unwrap();
        fields
    }

    fn said(host: &[u8]) -> Option<Arc<Said>> {
        Said::of([192, 0, 2, 1].into(), host).map(Arc::new)
    }

    fn asked(head: &[(&str, &str)], ends: bool) -> Option<Parsed> {
        read(&fields(head), ends, said)
    }

    fn told(plain: &Plain) -> &str {
        std::str::from_utf8(&plain.text).unwrap()
    }

    #[test]
    fn what_is_plain_is_told_as_it_would_be_on_the_long_way() {
        for more in [
            &[][..],
            &[("accept", "*/*"), ("user-agent", "Ada"), ("x-mine", "y"), ("x-empty", "")],
            &[("cookie", "a=b"), ("accept", "*/*"), ("cookie", "c=d"), ("cookie", "e=f"), ("te", "trailers")],
            &[
                ("host", "a.example"),
                ("x-forwarded-for", "x"),
                ("forwarded", "for=x"),
                ("traceparent", "x"),
                ("proxy", "x"),
            ],
        ] {
            let head = [&GET[..], more].concat();
            let Some(Parsed::Plain(plain)) = asked(&head, true) else { panic!("{more:?} is plain") };
            assert_eq!(plain.target(), ("/a", "/a?b=c"));
            // A body may follow, so this is not plain.
            let Some(Parsed::Other { parts, .. }) = asked(&head, false) else { panic!("{more:?} is good") };
            let checked = request::check(&parts, said).unwrap();
            let origin = Origin { said: checked.said.clone(), request_id: RequestId::fresh(), trace_parent: None };
            let long = String::from_utf8(line::head(&parts, &checked, &origin)).unwrap();
            let long = long.split("host: ").next().unwrap();
            let sorted = |text: &str| {
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.sort();
                lines
            };
            assert_eq!(sorted(told(&plain)), sorted(long), "{more:?}");
        }
    }

    #[test]
    fn what_is_not_plain_goes_the_long_way() {
        let with = |more: &[(&'static str, &'static str)]| [&GET[..], more].concat();
        let instead = |name: &str, value: &'static str| {
            GET.iter().map(|(n, v)| if *n == name { (*n, value) } else { (*n, *v) }).collect::<Vec<_>>()
        };
        for head in [
            instead(":method", "POST"),
            instead(":path", "/a\\b"),
            instead(":path", "/a^b"),
            instead(":scheme", "http"),
            instead(":authority", "a_b:x"),
            with(&[("content-length", "0")]),
            with(&[("expect", "100-continue")]),
            with(&[("trailer", "x")]),
            with(&[("host", "b.example")]),
        ] {
            assert!(!matches!(asked(&head, true), Some(Parsed::Plain(_))), "{head:?}");
        }
    }

    #[test]
    fn a_body_has_the_length_that_was_said() {
        let with = |more: &[(&'static str, &'static str)], ends| match asked(&[&GET[..], more].concat(), ends) {
            Some(Parsed::Other { length, waits, .. }) => Some((length, waits)),
            Some(Parsed::Plain(_)) | None => None,
        };
        assert_eq!(with(&[("content-length", "12")], false), Some((Some(12), false)));
        assert_eq!(with(&[("expect", "100-continue")], false), Some((None, true)));
        assert_eq!(with(&[("expect", "100-continue")], true), Some((None, false)));
        for odd in ["", "+1", "-1", "1 ", "99999999999999999999999"] {
            assert_eq!(with(&[("content-length", odd)], false), None, "{odd:?}");
        }
        assert_eq!(with(&[("content-length", "1"), ("content-length", "1")], false), None);
        assert_eq!(with(&[("content-length", "1")], true), None);
    }

    #[test]
    fn trailers_are_headers_and_nothing_else() {
        assert_eq!(trailers(&fields(&[("x-sum", "42")])).unwrap()["x-sum"], "42");
        for odd in [(":path", "/"), ("X-Sum", "1"), ("connection", "close"), ("x", "a\nb")] {
            assert!(trailers(&fields(&[odd])).is_none(), "{odd:?}");
        }
    }
}
