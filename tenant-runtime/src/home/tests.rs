//! Home, posts and bookmarks as browsers and feed readers meet them.

use http::{Method, StatusCode};

use crate::{
    services::posts,
    testing::{Answer, TestRuntime},
};

/// Saves a post through the editor's form; the answer's place is where the browser goes.
async fn submit(
    rt: &TestRuntime,
    id: &str,
    revision: &str,
    action: &str,
    title: &str,
    body: &str,
    visibility: &str,
) -> Answer {
    let parts = [
        ("revision", "", revision.as_bytes()),
        ("title", "", title.as_bytes()),
        ("body", "", body.as_bytes()),
        ("tags", "", b"open web, Rust".as_slice()),
        ("visibility", "", visibility.as_bytes()),
        ("action", "", action.as_bytes()),
    ];
    rt.post_multipart(&format!("/app/posts/{id}"), &parts).await
}

async fn publish(rt: &TestRuntime, title: &str, body: &str, visibility: &str) -> (String, String) {
    let id = crate::text::new_id();
    let answer = submit(rt, &id, "0", "publish", title, body, visibility).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    (id, answer.location().to_owned())
}

fn visitor(mut rt: TestRuntime) -> TestRuntime {
    rt.cookie = None;
    rt
}

#[tokio::test]
async fn what_is_only_mine_is_not_there_for_anybody_else() {
    let rt = TestRuntime::signed_in().await;
    let (_, open) = publish(&rt, "Open", "*hi*", "public").await;
    let (_, unlisted) = publish(&rt, "Unlisted", "x", "unlisted").await;
    let (_, private) = publish(&rt, "Private", "x", "private").await;
    let (trashed, gone) = publish(&rt, "Trashed", "x", "public").await;
    rt.post(&format!("/app/posts/{trashed}/delete"), &[]).await;
    let draft = crate::text::new_id();
    submit(&rt, &draft, "0", "save", "Draft", "x", "public").await;
    assert_eq!(rt.get(&private).await.status, StatusCode::OK, "the owner sees it");

    let rt = visitor(rt);
    assert!(rt.get(&open).await.text().contains("<em>hi</em>"));
    let page = rt.get(&unlisted).await;
    assert_eq!((page.status, page.header("x-robots-tag")), (StatusCode::OK, "noindex"));
    for path in
        [&private, &gone, "/posts/2026/draft", "/posts/2026/never", "/posts/x/y", "/posts/1999", "/tags/nothing"]
    {
        assert_eq!(rt.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for list in ["/", "/posts", "/posts/2026", "/tags/rust", "/feed.atom", "/feed.json"] {
        let text = rt.get(list).await.text();
        assert!(text.contains("Open"), "{list}");
        for hidden in ["Unlisted", "Private", "Trashed", "Draft"] {
            assert!(!text.contains(hidden), "{hidden} in {list}");
        }
    }
    for owners in [
        format!("/app/posts/{draft}"),
        format!("/app/posts/{draft}/preview"),
        "/app/posts".into(),
        "/app/bookmarks/export".into(),
    ] {
        assert!(rt.get(&owners).await.location().starts_with("/sign-in"), "{owners}");
    }
}

#[tokio::test]
async fn a_stale_editor_loses_no_word() {
    let rt = TestRuntime::signed_in().await;
    let id = crate::text::new_id();
    submit(&rt, &id, "0", "save", "Title", "first", "public").await;
    let stale = submit(&rt, &id, "0", "save", "Title", "typed in the other window", "public").await;
    assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY);
    let page = stale.text();
    assert!(page.contains("typed in the other window") && page.contains(r#"name="revision" value="1""#), "{page}");
    let kept = submit(&rt, &id, "1", "save", "Title", "typed in the other window", "public").await;
    assert_eq!(kept.status, StatusCode::SEE_OTHER);

    let untitled = submit(&rt, &id, "2", "publish", " ", "keep me", "public").await;
    assert_eq!(untitled.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(untitled.text().contains("keep me"));
}

#[tokio::test]
async fn autosave_answers_programs() {
    let rt = TestRuntime::signed_in().await;
    let id = crate::text::new_id();
    let path = format!("/app/posts/{id}/autosave");
    let first = rt.post_multipart(&path, &[("revision", "", b"0"), ("body", "", b"words")]).await;
    assert_eq!(first.json()["revision"], 1);
    let stale = rt.post_multipart(&path, &[("revision", "", b"0"), ("body", "", b"other")]).await;
    assert_eq!((stale.status, stale.json()["revision"].as_i64()), (StatusCode::CONFLICT, Some(1)));
    assert_eq!(rt.post_multipart("/app/posts/..%2Fx/autosave", &[]).await.status, StatusCode::NOT_FOUND);
    let sketch = rt.post("/app/posts/sketch", &[("body", "**b** <script>x</script>")]).await;
    assert_eq!(sketch.json()["html"], "<p><strong>b</strong> </p>\n");
}

#[tokio::test]
async fn a_picture_comes_in_clean_and_follows_its_post() {
    let rt = TestRuntime::signed_in().await;
    let jpeg = posts::images::tests::tiny_jpeg(6);
    let stored = rt.post_multipart("/app/posts/pictures", &[("picture", "IMG_1.jpg", &jpeg)]).await;
    let path = stored.json()[0]["path"].as_str().unwrap().to_owned();
    let (id, post) = publish(&rt, "With a picture", &format!("![A cat]({path})"), "public").await;

    let rt = visitor(rt);
    let picture = rt.get(&path).await;
    assert_eq!((picture.status, picture.header("content-type")), (StatusCode::OK, "image/jpeg"));
    assert!(!picture.body.windows(3).any(|part| part == b"GPS"), "where it was taken stays at home");
    let tag = picture.header("etag").to_owned();
    let again = rt.request(Method::GET, &path).header("if-none-match", &tag).body(axum::body::Body::empty()).unwrap();
    assert_eq!(rt.fetch(again).await.status, StatusCode::NOT_MODIFIED);
    assert!(rt.get(&post).await.text().contains("og:image:alt\" content=\"A cat\""));
    assert_eq!(rt.get(&path.replace(".jpg", ".png")).await.status, StatusCode::NOT_FOUND);

    let mut rt = rt;
    rt.sign_in().await;
    rt.post(&format!("/app/posts/{id}/delete"), &[]).await;
    assert_eq!(rt.get(&path).await.status, StatusCode::OK, "the owner may undo");
    let rt = visitor(rt);
    assert_eq!(rt.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_no_picture_is_refused_and_the_text_is_kept() {
    let rt = TestRuntime::signed_in().await;
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>";
    let refused = rt.post_multipart("/app/posts/pictures", &[("picture", "x.png", svg)]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let id = crate::text::new_id();
    let path = format!("/app/posts/{id}");
    let parts = [
        ("revision", "", b"0".as_slice()),
        ("body", "", b"my words"),
        ("action", "", b"picture"),
        ("picture", "x.png", svg),
    ];
    assert_eq!(rt.post_multipart(&path, &parts).await.location(), path);
    assert!(rt.get(&path).await.text().contains("my words"));

    let png = posts::images::tests::tiny_png();
    let parts = [
        ("revision", "", b"1".as_slice()),
        ("body", "", b"my words"),
        ("action", "", b"picture"),
        ("picture", "A [cat].png", &png),
    ];
    rt.post_multipart(&path, &parts).await;
    assert!(
        rt.get(&path).await.text().contains("![A cat](&#x2F;media&#x2F;")
            || rt.get(&path).await.text().contains("![A cat](/media/")
    );
}

#[tokio::test]
async fn old_addresses_lead_on_and_deleted_ones_say_so() {
    let rt = TestRuntime::signed_in().await;
    let (id, path) = publish(&rt, "Perché no", "x", "public").await;
    assert_eq!(path, "/posts/2026/perch%C3%A9-no");
    let fields = [
        ("revision", "", b"1".as_slice()),
        ("title", "", "Perché no".as_bytes()),
        ("slug", "", b"new name"),
        ("visibility", "", b"public"),
        ("action", "", b"publish"),
    ];
    let moved = rt.post_multipart(&format!("/app/posts/{id}"), &fields).await;
    assert_eq!(moved.location(), "/posts/2026/new-name");
    let old = rt.get(&path).await;
    assert_eq!((old.status, old.location()), (StatusCode::MOVED_PERMANENTLY, "/posts/2026/new-name"));
    assert_eq!(rt.get("/tags/Open%20Web").await.location(), "/tags/open-web");

    rt.post(&format!("/app/posts/{id}/delete"), &[]).await;
    rt.post(&format!("/app/posts/{id}/restore"), &[]).await;
    assert_eq!(rt.get("/posts/2026/new-name").await.status, StatusCode::OK);
    rt.post(&format!("/app/posts/{id}/purge"), &[]).await;
    assert_eq!(rt.get("/posts/2026/new-name").await.status, StatusCode::OK, "only the trash is emptied");
    rt.post(&format!("/app/posts/{id}/delete"), &[]).await;
    rt.post(&format!("/app/posts/{id}/purge"), &[]).await;
    assert_eq!(rt.get(&path).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn feeds_are_cheap_to_ask_again() {
    let rt = TestRuntime::signed_in().await;
    publish(&rt, "One", "x", "public").await;
    for (path, kind) in [("/feed.atom", "application/atom+xml"), ("/feed.json", "application/feed+json")] {
        let feed = rt.get(path).await;
        assert!(feed.header("content-type").starts_with(kind));
        assert_eq!(feed.header("last-modified"), "Sat, 14 Mar 2026 09:26:53 GMT");
        for (name, value) in
            [("if-none-match", feed.header("etag")), ("if-modified-since", feed.header("last-modified"))]
        {
            let again = rt.request(Method::GET, path).header(name, value).body(axum::body::Body::empty()).unwrap();
            let again = rt.fetch(again).await;
            assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0), "{name}");
        }
        let other =
            rt.request(Method::GET, path).header("if-none-match", "\"other\"").body(axum::body::Body::empty()).unwrap();
        assert_eq!(rt.fetch(other).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn an_empty_home_is_friendly_and_a_full_one_turns_pages() {
    let rt = TestRuntime::signed_in().await;
    assert!(rt.get("/").await.text().contains("/app/posts/new"));
    for n in 0..12 {
        publish(&rt, &format!("Post number {n}"), "x", "public").await;
        rt.clock.advance(chrono::TimeDelta::minutes(1));
    }
    let rt = visitor(rt);
    let (first, second) = (rt.get("/").await.text(), rt.get("/?page=2").await.text());
    assert!(first.contains("number 11") && !first.contains("number 1<") && second.contains("number 1<"));
    assert!(first.contains(r#"href="/?page=2""#) && first.contains("h-card") && first.contains("application/atom+xml"));
    assert_eq!(rt.get("/?page=3").await.status, StatusCode::NOT_FOUND);
    assert_eq!(rt.get("/?page=nonsense").await.status, StatusCode::OK);
}

#[tokio::test]
async fn bookmarks_are_added_shown_found_and_taken_out() {
    let rt = TestRuntime::signed_in().await;
    let form = rt.get("/app/bookmarks/add?title=A%20page&text=Read%20https://example.org/x%20now").await.text();
    assert!(
        form.contains("https://example.org/x") && form.contains("A page"),
        "a phone puts the address into the text"
    );
    let fields = [("url", "example.org/x"), ("title", "A page"), ("tags", "Read later"), ("note", "why")];
    let added = rt.post("/app/bookmarks/add", &fields).await;
    assert_eq!(added.location(), "/app/bookmarks");
    let refused = rt.post("/app/bookmarks/add", &[("url", "javascript:alert(1)"), ("note", "keep me")]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text().contains("keep me"));

    let list = rt.get("/app/bookmarks?q=WHY&tag=read-later").await.text();
    assert!(list.contains("A page"));
    let id = list
        .split("/app/bookmarks/")
        .find_map(|part| part.get(..36).filter(|id| crate::text::is_id(id)))
        .unwrap()
        .to_owned();
    assert!(!rt.get("/bookmarks").await.text().contains("A page"), "nobody sees it");
    let back = [("public", "yes"), ("back", "//evil.example")];
    assert_eq!(rt.post(&format!("/app/bookmarks/{id}/show"), &back).await.location(), "/app/bookmarks");
    assert!(rt.get("/bookmarks?tag=read-later").await.text().contains("A page"));
    assert!(rt.get("/").await.text().contains("A page"));

    let pasted = rt.post("/app/bookmarks/paste", &[("text", "https://a.example/\nb.example"), ("tags", "list")]).await;
    assert!(pasted.text().contains("2 new bookmarks"), "{}", pasted.text());
    let file = include_bytes!("../services/bookmarks/fixtures/firefox.html");
    let result = rt.post_multipart("/app/bookmarks/import", &[("file", "bookmarks.html", file)]).await;
    assert!(result.text().contains("4 new bookmarks") && result.text().contains("A bookmarklet"), "{}", result.text());
    let wrong = rt.post_multipart("/app/bookmarks/import", &[("file", "x.html", b"<html>hello")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);

    let out = rt.get("/app/bookmarks/export").await;
    assert!(out.text().contains("TAGS=\"Read later\"") && out.header("content-disposition").contains("bookmarks.html"));
    rt.post(&format!("/app/bookmarks/{id}/delete"), &[]).await;
    assert!(!rt.get("/app/bookmarks").await.text().contains("A page"));
    rt.post(&format!("/app/bookmarks/{id}/restore"), &[]).await;
    assert!(rt.get("/app/bookmarks").await.text().contains("A page"));
}
