//! Streams a bundle: exact length, ranges, and the same bytes when a download goes on after it broke off.

use std::{ops::Range, sync::Arc};

use axum::{
    Extension,
    body::Body,
    extract::{Path, State},
    response::Response,
};
use bundle::write::Layout;
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderMap, StatusCode, header};
use tokio::sync::Mutex;

use super::{plan, rows, rows::Wanted};
use crate::{
    runtime::Runtime,
    web::{Error, Result},
};

/// Pieces that are read from the disk at once, while the ones before are on their way.
const BATCH: usize = 8;

/// The layout that was downloaded last, so that ranges of one download see one moment, whatever is changed meanwhile.
#[derive(Clone, Default)]
pub(super) struct Latest(Arc<Mutex<Option<LaidOut>>>);

/// An export's id, and its layout.
type LaidOut = (String, Arc<Layout>);

/// GET `/control/export/{id}/{name}`.
pub(super) async fn get(
    State(rt): State<Runtime>,
    Extension(latest): Extension<Latest>,
    Path((id, _name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response> {
    let now = rt.clock().now();
    let wanted = rt.store().read(move |db| rows::find(db, &id)).await?.ok_or(Error::NotFound)?;
    if !wanted.is_open(now) {
        return Err(Error::Gone);
    }
    let layout = laid_out(&rt, &latest, wanted.clone()).await?;
    answer(&rt, &wanted.id, &layout, &headers)
}

pub(super) async fn laid_out(rt: &Runtime, latest: &Latest, wanted: Wanted) -> Result<Arc<Layout>> {
    let mut slot = latest.0.lock().await;
    if let Some((id, layout)) = &*slot
        && *id == wanted.id
    {
        return Ok(layout.clone());
    }
    let (layout, wanted) = plan::layout(rt, wanted).await?;
    *slot = Some((wanted.id, layout.clone()));
    Ok(layout)
}

fn answer(rt: &Runtime, id: &str, layout: &Arc<Layout>, headers: &HeaderMap) -> Result<Response> {
    let etag = format!("\"{}\"", layout.etag());
    let size = layout.size();
    let base = Response::builder()
        .header(header::ETAG, &etag)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_TYPE, "application/zip")
        .header(header::CACHE_CONTROL, "private, no-cache")
        .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}.zip\"", layout.base()));
    let range = match asked(headers, &etag, size) {
        Asked::All => 0..size,
        Asked::Part(range) => range,
        Asked::Beyond => {
            let all = format!("bytes */{size}");
            let base = base.status(StatusCode::RANGE_NOT_SATISFIABLE).header(header::CONTENT_RANGE, all);
            return Ok(base.body(Body::empty())?);
        }
    };
    let base = match range == (0..size) {
        true => base.status(StatusCode::OK),
        false => {
            let said = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            base.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, said)
        }
    };
    let length = range.end - range.start;
    let body = Body::from_stream(pieces(rt.clone(), id.to_owned(), layout.clone(), range));
    Ok(base.header(header::CONTENT_LENGTH, length).body(body)?)
}

/// Reads ahead on a thread of its own, so that the disk and the network work at the same time; two batches are in memory.
fn pieces(
    rt: Runtime,
    id: String,
    layout: Arc<Layout>,
    range: Range<u64>,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
    let last = range.end == layout.size();
    let busy = rt.busy();
    let next = tokio::task::spawn_blocking(move || batch(layout.read(range)));
    let batches = stream::unfold(Some((next, busy)), move |state| {
        let (rt, id) = (rt.clone(), id.clone());
        async move {
            let (next, busy) = state?;
            let (rest, pieces) = match next.await {
                Ok(done) => done,
                Err(error) => return Some((vec![Err(std::io::Error::other(error))], None)),
            };
            if pieces.len() < BATCH {
                if last && pieces.iter().all(std::result::Result::is_ok) {
                    downloaded(&rt, id).await;
                }
                return Some((pieces, None));
            }
            let next = tokio::task::spawn_blocking(move || batch(rest));
            Some((pieces, Some((next, busy))))
        }
    });
    futures_util::StreamExt::flat_map(batches, stream::iter)
}

type Pieces = bundle::zip::layout::Pieces;

fn batch(mut pieces: Pieces) -> (Pieces, Vec<std::io::Result<Bytes>>) {
    let batch = pieces.by_ref().take(BATCH).collect();
    (pieces, batch)
}

async fn downloaded(rt: &Runtime, id: String) {
    let now = rt.clock().now();
    if let Err(error) = rt.store().write(move |tx| rows::set_downloaded(tx, &id, now)).await {
        tracing::warn!(error = format!("{error:#}"), "cannot note that an export was downloaded");
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    All,
    Part(Range<u64>),
    Beyond,
}

/// One range, as RFC 9110 §14 has it; several at once, or another version than is here, get everything.
fn asked(headers: &HeaderMap, etag: &str, size: u64) -> Asked {
    let Some(range) = headers.get(header::RANGE).and_then(|value| value.to_str().ok()) else { return Asked::All };
    if headers.get(header::IF_RANGE).is_some_and(|version| version.as_bytes() != etag.as_bytes()) {
        return Asked::All;
    }
    let Some((from, to)) = range.strip_prefix("bytes=").and_then(|r| r.trim().split_once('-')) else {
        return Asked::All;
    };
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().unwrap_or(u64::MAX));
    match (from, to) {
        ("", "") => Asked::All,
        ("", last) => match number(last) {
            None => Asked::All,
            Some(0) => Asked::Beyond,
            Some(last) => Asked::Part(size.saturating_sub(last)..size),
        },
        (from, to) => {
            let to = if to.is_empty() { Some(u64::MAX) } else { number(to) };
            match (number(from), to) {
                (Some(from), Some(to)) if from > to => Asked::All,
                (Some(from), _) if from >= size => Asked::Beyond,
                (Some(from), Some(to)) => Asked::Part(from..to.saturating_add(1).min(size)),
                _ => Asked::All,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_range_is_read_as_the_standard_says() {
        let with = |range: &str, version: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_str(range).unwrap());
            if let Some(version) = version {
                headers.insert(header::IF_RANGE, HeaderValue::from_str(version).unwrap());
            }
            asked(&headers, "\"a\"", 100)
        };
        assert_eq!(with("bytes=0-0", None), Asked::Part(0..1));
        assert_eq!(with("bytes=10-", Some("\"a\"")), Asked::Part(10..100));
        assert_eq!(with("bytes=10-", Some("\"b\"")), Asked::All);
        assert_eq!(with("bytes=10-", Some("W/\"a\"")), Asked::All);
        assert_eq!(with("bytes=-30", None), Asked::Part(70..100));
        assert_eq!(with("bytes=-300", None), Asked::Part(0..100));
        assert_eq!(with("bytes=90-1000", None), Asked::Part(90..100));
        assert_eq!(with("bytes=100-", None), Asked::Beyond);
        assert_eq!(with("bytes=-0", None), Asked::Beyond);
        for all in ["bytes=5-4", "bytes=0-1,3-4", "bytes=-", "lines=1-2", "bytes=x-", "bytes=99999999999999999999999-"]
        {
            let expected = if all.contains("999") { Asked::Beyond } else { Asked::All };
            assert_eq!(with(all, None), expected, "{all}");
        }
        assert_eq!(asked(&HeaderMap::new(), "\"a\"", 100), Asked::All);
    }
}
