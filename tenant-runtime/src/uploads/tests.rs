use axum::body::{Body, Bytes};
use chrono::TimeDelta;
use http::{Method, StatusCode};
use sha2::Digest;

use super::{receive, rows};
use crate::{
    router,
    runtime::{Place, Runtime},
    testing::{Answer, TestRuntime, spec},
};

const BYTES: &str = "application/offset+octet-stream";

fn encoded(text: &str) -> String {
    base64::Engine::encode(&base64::prelude::BASE64_STANDARD, text)
}

async fn create(t: &TestRuntime, length: usize, name: &str) -> Answer {
    let request =
        t.request(Method::POST, "/app/uploads/").header("tus-resumable", "1.0.0").header("upload-length", length);
    let request = request.header("upload-metadata", format!("filename {},purpose {}", encoded(name), encoded("files")));
    t.fetch(request.body(Body::empty()).unwrap()).await
}

async fn patch(t: &TestRuntime, url: &str, offset: usize, bytes: &[u8]) -> Answer {
    let request = t.request(Method::PATCH, url).header("tus-resumable", "1.0.0").header("content-type", BYTES);
    t.fetch(request.header("upload-offset", offset).body(Body::from(bytes.to_vec())).unwrap()).await
}

async fn look(t: &TestRuntime, url: &str) -> Answer {
    t.fetch(t.request(Method::HEAD, url).header("tus-resumable", "1.0.0").body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn an_upload_arrives_in_pieces_and_becomes_a_file() {
    let t = TestRuntime::signed_in().await;
    let answer = create(&t, 11, "Übung.txt").await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let url = answer.location().to_owned();
    assert_eq!(patch(&t, &url, 0, b"hello ").await.header("upload-offset"), "6");
    assert_eq!(patch(&t, &url, 0, b"hello ").await.status, StatusCode::CONFLICT);
    assert_eq!(look(&t, &url).await.header("upload-offset"), "6");
    assert_eq!(patch(&t, &url, 6, b"world and more").await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(look(&t, &url).await.header("upload-offset"), "6");
    let last = patch(&t, &url, 6, b"world").await;
    assert_eq!(last.status, StatusCode::NO_CONTENT);
    assert!(last.header("upload-result").starts_with("/app/files/file/"), "{:?}", last.headers);
    // A lost answer can be asked for again, and nothing happens twice.
    assert_eq!(look(&t, &url).await.header("upload-result"), last.header("upload-result"));
    let sql = "select name || ' ' || hex(sha256) || ' ' || size from files_nodes where kind = 'file'";
    let row: String = t.runtime.store().read(|db| Ok(db.query_row(sql, [], |row| row.get(0))?)).await.unwrap();
    let hash = hex::encode_upper(sha2::Sha256::digest(b"hello world"));
    assert_eq!(row, format!("Übung.txt {hash} 11"));
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart_with_the_same_hash() {
    let mut t = TestRuntime::signed_in().await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let url = create(&t, content.len(), "big.bin").await.location().to_owned();
    patch(&t, &url, 0, &content[..1_234_567]).await;
    // Bytes that were written but not yet promised are cut off again.
    let id = url.rsplit('/').next().unwrap();
    let partial = t.runtime.blobs().partial(id);
    std::io::Write::write_all(&mut std::fs::File::options().append(true).open(&partial).unwrap(), b"torn").unwrap();
    t.restart();
    assert_eq!(look(&t, &url).await.header("upload-offset"), "1234567");
    let last = patch(&t, &url, 1_234_567, &content[1_234_567..]).await;
    assert_eq!(last.status, StatusCode::NO_CONTENT);
    let sql = "select sha256, crc32 from files_nodes where kind = 'file'";
    let (sha256, crc32): (Vec<u8>, u32) =
        t.runtime.store().read(|db| Ok(db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)).await.unwrap();
    assert_eq!(sha256, sha2::Sha256::digest(&content).to_vec());
    assert_eq!(crc32, crc32fast::hash(&content));
    assert!(!partial.exists());
}

#[tokio::test]
async fn what_came_before_the_line_was_cut_is_kept() {
    let t = TestRuntime::signed_in().await;
    let url = create(&t, 10, "a").await.location().to_owned();
    let pieces = [Ok(Bytes::from_static(b"12345")), Err(std::io::Error::other("cut"))];
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    let request = t.request(Method::PATCH, &url).header("tus-resumable", "1.0.0").header("content-type", BYTES);
    t.fetch(request.header("upload-offset", 0).body(body).unwrap()).await;
    assert_eq!(look(&t, &url).await.header("upload-offset"), "5");
    let files: i64 = t
        .runtime
        .store()
        .read(|db| Ok(db.query_row("select count(*) from files_nodes where kind = 'file'", [], |r| r.get(0))?))
        .await
        .unwrap();
    assert_eq!(files, 0);
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_before_a_byte_is_sent() {
    let t = TestRuntime::signed_in().await;
    assert_eq!(create(&t, 5, "../x").await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(create(&t, 200_000_000, "x").await.status, StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(create(&t, 60_000_000, "x").await.status, StatusCode::CREATED);
    // The first one's room is promised to it.
    assert_eq!(create(&t, 60_000_000, "y").await.status, StatusCode::INSUFFICIENT_STORAGE);
    let request = t.request(Method::POST, "/app/uploads/").header("upload-length", 1);
    assert_eq!(t.fetch(request.body(Body::empty()).unwrap()).await.status, StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn an_empty_file_is_a_file_and_a_cancelled_upload_is_gone() {
    let t = TestRuntime::signed_in().await;
    let empty = create(&t, 0, "empty").await;
    assert!(empty.header("upload-result").starts_with("/app/files/file/"));
    let url = create(&t, 5, "x").await.location().to_owned();
    patch(&t, &url, 0, b"123").await;
    let delete = t.request(Method::DELETE, &url).header("tus-resumable", "1.0.0").body(Body::empty()).unwrap();
    assert_eq!(t.fetch(delete).await.status, StatusCode::NO_CONTENT);
    assert_eq!(look(&t, &url).await.status, StatusCode::NOT_FOUND);
    assert_eq!(std::fs::read_dir(t.runtime.blobs().partial_folder()).unwrap().count(), 0);
}

#[tokio::test]
async fn abandoned_uploads_leave_nothing_behind() {
    let t = TestRuntime::signed_in().await;
    let url = create(&t, 5, "x").await.location().to_owned();
    patch(&t, &url, 0, b"123").await;
    t.clock.advance(TimeDelta::days(8));
    assert_eq!(look(&t, &url).await.status, StatusCode::NOT_FOUND);
    let (now, blobs) = (t.clock.now(), t.runtime.blobs().clone());
    t.runtime.store().write(move |tx| super::tidy(tx, now)).await.unwrap();
    t.runtime.store().read(move |db| super::sweep(db, &blobs)).await.unwrap();
    assert_eq!(std::fs::read_dir(t.runtime.blobs().partial_folder()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_form_without_a_resumable_client_stores_a_blob_or_nothing() {
    let t = TestRuntime::new();
    let stream = |text: &'static [u8]| futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(text))]);
    let blob = receive::store(t.runtime.blobs(), stream(b"hello"), 5).await.unwrap();
    assert_eq!(std::fs::read(t.runtime.blobs().path(&blob.sha256)).unwrap(), b"hello");
    assert!(receive::store(t.runtime.blobs(), stream(b"hello!"), 5).await.is_err());
    assert_eq!(std::fs::read_dir(t.runtime.blobs().partial_folder()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_crash_between_the_blob_and_its_row_ends_in_a_file() {
    let t = TestRuntime::signed_in().await;
    let url = create(&t, 5, "x").await.location().to_owned();
    let id = url.rsplit('/').next().unwrap().to_owned();
    let upload = t.runtime.store().read(move |db| Ok(rows::find(db, &id)?.unwrap())).await.unwrap();
    let over = tokio_util::sync::CancellationToken::new();
    let body = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"hello"))]);
    let (upload, _) = receive::append(&t.runtime, upload, body, &over).await.unwrap();
    let blob = upload.blob.unwrap();
    t.runtime.blobs().adopt(&t.runtime.blobs().partial(&upload.id), &blob).unwrap();
    // Here the process dies; the client comes back and asks.
    assert!(look(&t, &url).await.header("upload-result").starts_with("/app/files/file/"));
}

#[tokio::test]
async fn housekeeping_between_the_last_byte_and_the_blob_takes_nothing_away() {
    let t = TestRuntime::signed_in().await;
    let url = create(&t, 5, "x").await.location().to_owned();
    let id = url.rsplit('/').next().unwrap().to_owned();
    let upload = t.runtime.store().read(move |db| Ok(rows::find(db, &id)?.unwrap())).await.unwrap();
    let over = tokio_util::sync::CancellationToken::new();
    let body = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"hello"))]);
    receive::append(&t.runtime, upload, body, &over).await.unwrap();
    // Here the process dies, and the next one keeps house before the client comes back.
    let blobs = t.runtime.blobs().clone();
    t.runtime.store().read(move |db| super::sweep(db, &blobs)).await.unwrap();
    assert!(look(&t, &url).await.header("upload-result").starts_with("/app/files/file/"));
    assert_eq!(std::fs::read_dir(t.runtime.blobs().partial_folder()).unwrap().count(), 0);
}

#[tokio::test]
async fn nobody_but_the_owner_uploads() {
    let mut t = TestRuntime::signed_in().await;
    t.cookie = None;
    assert_eq!(create(&t, 5, "x").await.status, StatusCode::UNAUTHORIZED);
}

#[test]
fn the_state_of_a_restart_is_opened_like_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let open =
        || Runtime::open(folder.path(), spec(), Place::Hosted, bundle::Clock::system()).map(|rt| router::router(&rt));
    drop(open().unwrap());
    drop(open().unwrap());
}
