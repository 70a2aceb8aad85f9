//! Content over HTTP: ranges, entity tags, and headers under which nothing in it can run (RFC 9110, RFC 6266).

use std::io::SeekFrom;

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::types::{self, Preview};
use crate::{blobs::Blob, runtime::Runtime, web};

/// How a file is handed out.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// The content.
    pub blob: &'a Blob,
    /// Its name, for whoever saves it.
    pub name: &'a str,
    /// Its media type.
    pub mime: &'a str,
    /// Save it, whatever a browser could show.
    pub download: bool,
}

/// Nothing loads, nothing runs; a picture that is a document (SVG) may still have its own look.
const LOCKED: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox";
/// The browsers' own readers of PDF do not start in a sandbox; they are one themselves.
const READER: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; object-src 'self'; frame-ancestors 'self'";
/// Players made by browsers are small documents that load the file itself.
const PLAYER: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; media-src 'self'; frame-ancestors 'self'; sandbox";

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// From, to (inclusive).
    Range(u64, u64),
    /// A range that is not there.
    Beyond,
    /// The visitor has it already.
    Unchanged,
}

/// Answers GET and HEAD for a file.
///
/// # Errors
/// When the content cannot be read.
pub async fn send(rt: &Runtime, method: &Method, asked: &HeaderMap, sending: Sending<'_>) -> web::Result<Response> {
    let Sending { blob, name, mime, download } = sending;
    let etag = format!("\"{}\"", &blob.sha256.to_string()[..32]);
    let part = part(method, asked, &etag, blob.size);
    let (status, from, length) = match part {
        Part::Whole => (StatusCode::OK, 0, blob.size),
        Part::Range(from, to) => (StatusCode::PARTIAL_CONTENT, from, to - from + 1),
        Part::Beyond => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
        Part::Unchanged => (StatusCode::NOT_MODIFIED, 0, 0),
    };
    let with_body = *method != Method::HEAD && length > 0;
    let body = if with_body { read(rt, blob, from, length).await? } else { Body::empty() };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::from_str(&etag)?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    match part {
        Part::Unchanged => return Ok(response),
        Part::Beyond => {
            headers.insert(header::CONTENT_RANGE, HeaderValue::from_str(&format!("bytes */{}", blob.size))?);
            return Ok(response);
        }
        Part::Range(from, to) => {
            headers.insert(header::CONTENT_RANGE, HeaderValue::from_str(&format!("bytes {from}-{to}/{}", blob.size))?);
        }
        Part::Whole => {}
    }
    headers.insert(header::CONTENT_LENGTH, length.into());
    describe(headers, name, mime, download)?;
    Ok(response)
}

fn describe(headers: &mut HeaderMap, name: &str, mime: &str, download: bool) -> web::Result<()> {
    let inline = !download && types::inline(mime);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(types::sent_as(mime))?);
    headers.insert(header::CONTENT_DISPOSITION, disposition(name, inline)?);
    let policy = match types::preview(mime) {
        Preview::Pdf => READER,
        Preview::Audio | Preview::Video => PLAYER,
        _ => LOCKED,
    };
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(())
}

/// `Content-Disposition` with the name twice: plain ASCII for old programs, UTF-8 for all others.
///
/// # Errors
/// Never for the names that we keep.
pub fn disposition(name: &str, inline: bool) -> web::Result<HeaderValue> {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_');
    let kind = if inline { "inline" } else { "attachment" };
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !r#""\%;"#.contains(c) || c == ' ' { c } else { '_' })
        .collect();
    let text = format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(name, KEPT));
    Ok(HeaderValue::from_str(&text)?)
}

async fn read(rt: &Runtime, blob: &Blob, from: u64, length: u64) -> web::Result<Body> {
    let mut file = tokio::fs::File::open(rt.blobs().path(&blob.sha256)).await?;
    file.set_max_buf_size(256 << 10);
    file.seek(SeekFrom::Start(from)).await?;
    Ok(Body::from_stream(tokio_util::io::ReaderStream::with_capacity(file.take(length), 256 << 10)))
}

pub(super) fn part(method: &Method, asked: &HeaderMap, etag: &str, size: u64) -> Part {
    let text = |name| asked.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(known) = text(header::IF_NONE_MATCH) {
        let same = |tag: &str| tag.trim() == "*" || tag.trim().trim_start_matches("W/") == etag;
        if known.split(',').any(same) {
            return Part::Unchanged;
        }
    }
    let unchanged = text(header::IF_RANGE).is_none_or(|tag| tag.trim() == etag);
    match text(header::RANGE) {
        Some(range) if unchanged && *method == Method::GET => range_of(range, size),
        _ => Part::Whole,
    }
}

/// One range, as players and resumed downloads ask; several at once, or another unit, get the whole.
fn range_of(text: &str, size: u64) -> Part {
    let Some((from, to)) = text.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Part::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (from, to) = match (from.trim(), to.trim()) {
        ("", last) => match number(last) {
            Some(0) => return Part::Beyond,
            Some(last) => (size.saturating_sub(last), size.saturating_sub(1)),
            None => return Part::Whole,
        },
        (from, "") => match number(from) {
            Some(from) => (from, size.saturating_sub(1)),
            None => return Part::Whole,
        },
        (from, to) => match (number(from), number(to)) {
            (Some(from), Some(to)) if from <= to => (from, to.min(size.saturating_sub(1))),
            _ => return Part::Whole,
        },
    };
    if from >= size { Part::Beyond } else { Part::Range(from, to) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        for (range, part) in [
            ("bytes=0-4", Part::Range(0, 4)),
            ("bytes=5-", Part::Range(5, 9)),
            ("bytes=-3", Part::Range(7, 9)),
            ("bytes=-30", Part::Range(0, 9)),
            ("bytes=8-99", Part::Range(8, 9)),
            ("bytes=10-", Part::Beyond),
            ("bytes=-0", Part::Beyond),
            ("bytes=4-2", Part::Whole),
            ("bytes=0-1,4-5", Part::Whole),
            ("lines=0-1", Part::Whole),
            ("bytes=x-", Part::Whole),
        ] {
            assert_eq!(range_of(range, 10), part, "{range}");
        }
        assert_eq!(range_of("bytes=0-", 0), Part::Beyond);
    }

    #[test]
    fn a_condition_that_fails_gives_the_whole() {
        let headers = |pairs: &[(header::HeaderName, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
        };
        let range = (header::RANGE, "bytes=0-1");
        let ask = |pairs: &[_]| part(&Method::GET, &headers(pairs), "\"a\"", 10);
        assert_eq!(ask(&[range.clone(), (header::IF_RANGE, "\"a\"")]), Part::Range(0, 1));
        assert_eq!(ask(&[range.clone(), (header::IF_RANGE, "\"b\"")]), Part::Whole);
        assert_eq!(ask(&[range.clone(), (header::IF_NONE_MATCH, "\"x\", W/\"a\"")]), Part::Unchanged);
        assert_eq!(part(&Method::HEAD, &headers(&[range]), "\"a\"", 10), Part::Whole);
    }

    #[test]
    fn any_name_survives_as_a_header() {
        let value = disposition("Größe \"5\"; x\u{202e}.txt", false).unwrap();
        let text = value.to_str().unwrap();
        assert!(
            text.starts_with("attachment; filename=\"Gr__e _5__ x_.txt\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe"),
            "{text}"
        );
    }
}
