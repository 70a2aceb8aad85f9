//! Files over HTTP, as browsers, visitors and programs use it.

use axum::body::Body;
use chrono::TimeDelta;
use http::{Method, StatusCode};

use crate::testing::{Answer, TestRuntime};

async fn upload(t: &TestRuntime, folder: &str, name: &str, content: &[u8]) -> String {
    let answer =
        t.post_multipart("/app/files/upload", &[("folder", "", folder.as_bytes()), ("file", name, content)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    let (folder, name) = (folder.to_owned(), name.to_owned());
    let id = t.runtime.store().read(move |db| {
        let found = super::store::read::by_name(db, &folder.parse()?, &name)?;
        Ok(found.map(|node| node.id.to_string()).unwrap_or_default())
    });
    id.await.unwrap()
}

async fn folder(t: &TestRuntime, parent: &str, name: &str) -> String {
    let answer = t.post(&format!("/app/files/new-folder?folder={parent}"), &[("name", name)]).await;
    answer.location().rsplit('/').next().unwrap().to_owned()
}

async fn ranged(t: &TestRuntime, target: &str, headers: &[(&'static str, &str)]) -> Answer {
    let request = headers.iter().fold(t.request(Method::GET, target), |r, (name, value)| r.header(*name, *value));
    t.fetch(request.body(Body::empty()).unwrap()).await
}

/// The same percloud, looked at by somebody else.
fn visitor(t: &mut TestRuntime) -> Option<String> {
    t.cookie.take()
}

#[tokio::test]
async fn a_file_is_shown_downloaded_and_played_in_parts() {
    let t = TestRuntime::signed_in().await;
    let id = upload(&t, "top", "film.mp4", b"0123456789").await;
    let raw = format!("/app/files/raw/{id}/film.mp4");
    let whole = t.get(&raw).await;
    assert_eq!((whole.status, whole.text().as_str()), (StatusCode::OK, "0123456789"));
    assert_eq!(whole.header("content-type"), "video/mp4");
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    assert!(whole.header("content-security-policy").contains("sandbox"));
    assert!(whole.header("content-disposition").starts_with("inline"));
    let etag = whole.header("etag").to_owned();
    let part = ranged(&t, &raw, &[("range", "bytes=2-4"), ("if-range", &etag)]).await;
    assert_eq!((part.status, part.text().as_str()), (StatusCode::PARTIAL_CONTENT, "234"));
    assert_eq!(part.header("content-range"), "bytes 2-4/10");
    assert_eq!(ranged(&t, &raw, &[("range", "bytes=2-4"), ("if-range", "\"old\"")]).await.status, StatusCode::OK);
    let beyond = ranged(&t, &raw, &[("range", "bytes=10-")]).await;
    assert_eq!((beyond.status, beyond.header("content-range")), (StatusCode::RANGE_NOT_SATISFIABLE, "bytes */10"));
    assert_eq!(ranged(&t, &raw, &[("if-none-match", &etag)]).await.status, StatusCode::NOT_MODIFIED);
    let head = t.fetch(t.request(Method::HEAD, &raw).body(Body::empty()).unwrap()).await;
    assert_eq!((head.header("content-length"), head.body.len()), ("10", 0));
    assert!(t.get(&format!("{raw}?download")).await.header("content-disposition").starts_with("attachment"));
    let page = t.get(&format!("/app/files/file/{id}")).await.text();
    assert!(page.contains("<video"), "{page}");
}

#[tokio::test]
async fn what_could_run_is_only_ever_text_or_a_download() {
    let t = TestRuntime::signed_in().await;
    for (name, sent) in
        [("a.html", "text/plain; charset=utf-8"), ("a.js", "text/plain; charset=utf-8"), ("a.svg", "image/svg+xml")]
    {
        let id = upload(&t, "top", name, b"<script>alert(1)</script>").await;
        let raw = t.get(&format!("/app/files/raw/{id}/x")).await;
        assert_eq!(raw.header("content-type"), sent);
        assert!(raw.header("content-security-policy").contains("sandbox"), "{name}");
        assert!(!raw.header("content-security-policy").contains("script"), "{name}");
        let page = t.get(&format!("/app/files/file/{id}")).await.text();
        assert!(!page.contains("<script>alert"), "{name}");
    }
    let svg = t.get("/app/files/search?q=a.svg").await.text();
    assert!(svg.contains("a.svg"));
}

#[tokio::test]
async fn things_are_named_moved_copied_thrown_away_and_brought_back() {
    let t = TestRuntime::signed_in().await;
    let inner = folder(&t, "top", "Holidays").await;
    let id = upload(&t, "top", "a.txt", b"hello").await;
    let wrong = t.post(&format!("/app/files/rename/{id}"), &[("name", "a/b")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.text().contains("cannot have a /"), "{}", wrong.text());
    t.post(&format!("/app/files/rename/{id}"), &[("name", "b.txt"), ("here", "/app/files")]).await;
    assert!(t.get("/app/files").await.text().contains("b.txt"));
    let choose = t.get(&format!("/app/files/move?only={id}")).await.text();
    assert!(choose.contains("Holidays"), "{choose}");
    t.post("/app/files/move", &[("id", &id), ("to", &inner)]).await;
    assert!(t.get(&format!("/app/files/folder/{inner}")).await.text().contains("b.txt"));
    let itself = t.post("/app/files/move", &[("id", &inner), ("to", &inner)]).await;
    assert_eq!(itself.status, StatusCode::CONFLICT);
    t.post("/app/files/copy", &[("id", &id), ("to", "top")]).await;
    assert!(t.get("/app/files").await.text().contains("b.txt"));
    let thrown = t.post(&format!("/app/files/throw?only={inner}"), &[("here", "/app/files")]).await;
    assert_eq!(thrown.location(), "/app/files");
    assert!(!t.get("/app/files").await.text().contains("Holidays"));
    assert!(t.get("/app/files/trash").await.text().contains("Holidays"));
    assert_eq!(t.get(&format!("/app/files/file/{id}")).await.status, StatusCode::NOT_FOUND);
    t.post("/app/files/trash/restore", &[("id", &inner)]).await;
    assert!(t.get("/app/files").await.text().contains("Holidays"));
    t.post("/app/files/throw", &[("id", &inner)]).await;
    t.post("/app/files/trash/empty", &[]).await;
    assert!(!t.get("/app/files/trash").await.text().contains("Holidays"));
}

#[tokio::test]
async fn a_link_opens_what_it_is_for_and_nothing_beside_it() {
    let mut t = TestRuntime::signed_in().await;
    let shared = folder(&t, "top", "Shared").await;
    let inside = upload(&t, &shared, "inside.txt", b"in").await;
    let outside = upload(&t, "top", "outside.txt", b"out").await;
    t.post(&format!("/app/files/share/{shared}"), &[("expires", "week")]).await;
    let page = t.get(&format!("/app/files/share/{shared}")).await.text();
    let link = page.split("/s/").nth(1).unwrap()[..32].to_owned();
    let owner = visitor(&mut t);
    let seen = t.get(&format!("/s/{link}")).await;
    assert!(seen.text().contains("inside.txt"));
    assert_eq!(seen.header("x-robots-tag"), "noindex, nofollow");
    assert_eq!(t.get(&format!("/s/{link}/{inside}/inside.txt")).await.text(), "in");
    assert_eq!(t.get(&format!("/s/{link}/{outside}/outside.txt")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(t.get(&format!("/s/{link}/top")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(t.get("/s/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").await.status, StatusCode::NOT_FOUND);
    assert_eq!(t.get(&format!("/files/{shared}")).await.status, StatusCode::NOT_FOUND);
    let zip = t.get(&format!("/s/{link}/{shared}/zip")).await;
    assert_eq!(zip.header("content-length"), zip.body.len().to_string());
    assert!(zip.body.starts_with(b"PK"));
    t.clock.advance(TimeDelta::days(8));
    assert_eq!(t.get(&format!("/s/{link}")).await.status, StatusCode::GONE);
    t.clock.advance(-TimeDelta::days(8));
    t.cookie = owner;
    assert!(t.get(&format!("/app/files/share/{shared}")).await.text().contains("opened once"));
    let id = t.get("/app/files/links").await.text();
    let id = id.split("/app/files/links/").nth(1).unwrap()[..16].to_owned();
    t.post(&format!("/app/files/links/{id}/revoke"), &[]).await;
    visitor(&mut t);
    assert_eq!(t.get(&format!("/s/{link}")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_links_password_is_asked_for_and_guessing_is_slow() {
    let mut t = TestRuntime::signed_in().await;
    let id = upload(&t, "top", "secret plan.txt", b"plan").await;
    t.post(&format!("/app/files/share/{id}"), &[("password", "Möwe 7"), ("expires", "never")]).await;
    let page = t.get(&format!("/app/files/share/{id}")).await.text();
    let link = format!("/s/{}", &page.split("/s/").nth(1).unwrap()[..32]);
    visitor(&mut t);
    let locked = t.get(&link).await.text();
    assert!(locked.contains("password") && !locked.contains("secret plan"));
    assert!(!t.get(&format!("{link}/{id}/x")).await.text().contains("plan"));
    for _ in 0..5 {
        assert_eq!(t.post(&link, &[("password", "wrong")]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(t.post(&link, &[("password", "Möwe 7")]).await.status, StatusCode::TOO_MANY_REQUESTS);
    // The clock was ahead and is set right: that is no wait of a day, and one more try is all that it gives.
    t.clock.advance(-TimeDelta::days(1));
    assert_eq!(t.post(&link, &[("password", "wrong")]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(t.post(&link, &[("password", "Möwe 7")]).await.status, StatusCode::TOO_MANY_REQUESTS);
    t.clock.advance(TimeDelta::seconds(30));
    let right = t.post(&link, &[("password", "Mo\u{308}we 7")]).await;
    assert_eq!(right.location(), link);
    t.cookie = right.header("set-cookie").split(';').next().map(str::to_owned);
    assert!(t.get(&link).await.text().contains("secret plan"));
    t.clock.advance(TimeDelta::hours(13));
    assert!(!t.get(&link).await.text().contains("secret plan"));
}

#[tokio::test]
async fn what_is_public_is_seen_by_everybody_until_it_is_not() {
    let mut t = TestRuntime::signed_in().await;
    let open = folder(&t, "top", "Open").await;
    let photo = upload(&t, &open, "photo.jpg", b"jpeg").await;
    let hidden = upload(&t, "top", "hidden.txt", b"no").await;
    t.post(&format!("/app/files/share/{open}/public"), &[("public", "on")]).await;
    let owner = visitor(&mut t);
    assert!(t.get("/files").await.text().contains("Open"));
    assert!(t.get(&format!("/files/{open}")).await.text().contains("photo.jpg"));
    assert_eq!(t.get(&format!("/files/{photo}/photo.jpg")).await.text(), "jpeg");
    assert_eq!(t.get(&format!("/files/{hidden}")).await.status, StatusCode::NOT_FOUND);
    assert_eq!(t.get("/files/top").await.status, StatusCode::NOT_FOUND);
    assert!(t.get("/app/files").await.location().starts_with("/sign-in"));
    t.cookie = owner;
    t.post(&format!("/app/files/throw?only={open}"), &[]).await;
    visitor(&mut t);
    assert_eq!(t.get(&format!("/files/{photo}/photo.jpg")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_selection_is_one_zip_that_can_be_resumed() {
    let t = TestRuntime::signed_in().await;
    let deep = folder(&t, "top", "100% Fotos").await;
    let one = upload(&t, &deep, "ä.txt", b"one").await;
    let two = upload(&t, "top", "two.txt", b"two").await;
    let target = format!("/app/files/zip?id={deep}&id={two}");
    let zip = t.get(&target).await;
    assert_eq!(zip.status, StatusCode::OK);
    assert_eq!(zip.header("content-length"), zip.body.len().to_string());
    let half = zip.body.len() / 2;
    let rest = ranged(&t, &target, &[("range", &format!("bytes={half}-")), ("if-range", zip.header("etag"))]).await;
    assert_eq!((rest.status, &rest.body[..]), (StatusCode::PARTIAL_CONTENT, &zip.body[half..]));
    let text = String::from_utf8_lossy(&zip.body).into_owned();
    assert!(text.contains("Files/100_ Fotos/ä.txt") && text.contains("Files/two.txt"), "{text}");
    assert_eq!(t.get(&format!("/app/files/zip?id={one}&id=top")).await.status, StatusCode::OK);
    assert_eq!(t.get("/app/files/zip").await.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_form_that_does_not_fit_changes_nothing() {
    let t = TestRuntime::with(|spec| spec.quota_bytes = 300_000);
    let mut t = t;
    t.sign_in().await;
    let big = vec![7; 400_000];
    let answer = t.post_multipart("/app/files/upload", &[("folder", "", b"top"), ("file", "big", &big)]).await;
    assert_eq!(answer.status, StatusCode::INSUFFICIENT_STORAGE);
    assert!(!t.get("/app/files").await.text().contains("list-row"));
    assert_eq!(std::fs::read_dir(t.runtime.blobs().partial_folder()).unwrap().count(), 0);
    let none = t.post_multipart("/app/files/upload", &[("folder", "", b"top"), ("file", "", b"")]).await;
    assert_eq!(none.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn undo_takes_the_last_change_back() {
    let t = TestRuntime::signed_in().await;
    let id = upload(&t, "top", "a.txt", b"a").await;
    let thrown = t.post(&format!("/app/files/throw?only={id}"), &[]).await;
    let cookie = thrown.header("set-cookie").split(['=', ';']).nth(1).unwrap().to_owned();
    let toast = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, cookie).unwrap();
    let toast: serde_json::Value = serde_json::from_slice(&toast).unwrap();
    t.post(toast["u"].as_str().unwrap(), &[]).await;
    assert!(t.get("/app/files").await.text().contains("a.txt"));
}
