//! The one request that is understood here: `CONNECT host:port HTTP/1.1`.

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use super::{limits, refusal::Refusal, target::Target};

/// More than this is no request of ours.
const MOST: usize = 4096;
const HEADERS: usize = 16;

/// A request, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// What was shown as `Proxy-Authorization: Bearer …`; empty when nothing was.
    pub(super) token: String,
    /// Where to; judged by its form only.
    pub(super) target: Result<Target, Refusal>,
}

/// Reads it; what came behind it stays in the buffer.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> Result<Head, Refusal> {
    let reading = async {
        loop {
            if let Some((head, end)) = parse(buffer)? {
                buffer.advance(end);
                return Ok(head);
            }
            if buffer.len() >= MOST {
                return Err(Refusal::HeadTooLong);
            }
            match stream.read_buf(buffer).await {
                Ok(0) | Err(_) => return Err(Refusal::Malformed),
                Ok(_) => {}
            }
        }
    };
    timeout(limits::HEAD, reading).await.unwrap_or(Err(Refusal::HeadTooSlow))
}

/// The request and its length; none while it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let end = match request.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLong),
        Err(_) => return Err(Refusal::Malformed),
    };
    if request.method != Some("CONNECT") {
        return Err(Refusal::NotConnect);
    }
    let of = |name: &str| {
        let mut these = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        these.next().filter(|_| these.next().is_none()).and_then(|header| std::str::from_utf8(header.value).ok())
    };
    // RFC 9110 §9.3.6: it has no content. Whoever says that it has means something else than we would do.
    let content = ["content-length", "transfer-encoding"];
    let has_content =
        request.headers.iter().any(|header| content.iter().any(|name| header.name.eq_ignore_ascii_case(name)));
    if request.version != Some(1) || has_content {
        return Err(Refusal::Malformed);
    }
    let scheme = |value: &str| value.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("Bearer "));
    let token = of("proxy-authorization").filter(|value| scheme(value)).map_or("", |value| value[7..].trim());
    let target = Target::parse(request.path.unwrap_or_default());
    Ok(Some((Head { token: token.to_owned(), target }, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_request_is_understood() {
        let good =
            "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\nProxy-authorization: bearer x.y\r\n\r\nmore";
        let (head, end) = parse(good.as_bytes()).unwrap().unwrap();
        assert_eq!((head.token.as_str(), &good[end..]), ("x.y", "more"));
        assert_eq!(head.target, Target::parse("example.org:443"));
        for cut in 1..end {
            assert_eq!(parse(&good.as_bytes()[..cut]), Ok(None), "{cut}");
        }
        let refused = |text: &str| parse(text.as_bytes()).map(drop).unwrap_err();
        assert_eq!(refused("GET http://example.org/ HTTP/1.1\r\n\r\n"), Refusal::NotConnect);
        assert_eq!(refused("CONNECT example.org:443 HTTP/1.0\r\n\r\n"), Refusal::Malformed);
        for content in ["Content-Length: 4\r\n", "Transfer-encoding: chunked\r\n"] {
            for times in 1..3 {
                let head = format!("CONNECT example.org:443 HTTP/1.1\r\n{}\r\n", content.repeat(times));
                assert_eq!(refused(&head), Refusal::Malformed, "{head}");
            }
        }
        assert_eq!(refused("\u{16}\u{3}\u{1} what"), Refusal::Malformed);
        let twice =
            "CONNECT a.org:443 HTTP/1.1\r\nProxy-Authorization: Bearer a\r\nProxy-Authorization: Bearer b\r\n\r\n";
        assert_eq!(parse(twice.as_bytes()).unwrap().unwrap().0.token, "", "two opinions are none");
        let many = format!("CONNECT a.org:443 HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(HEADERS + 1));
        assert_eq!(refused(&many), Refusal::HeadTooLong);
    }
}
