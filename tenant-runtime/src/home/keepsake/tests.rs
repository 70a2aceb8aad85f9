use chrono::TimeDelta;
use http::{Method, header};

use super::*;
use crate::{
    serve,
    testing::{Answer, TestRuntime},
};

const PROGRAM: &str = "a program";

/// Asleep once, under a host, with two public bookmarks on Home; its owner is not there.
async fn slept() -> TestRuntime {
    let mut rt = TestRuntime::signed_in().await;
    rt.wake(PROGRAM);
    for title in ["First", "Second"] {
        add(&rt, title).await;
    }
    rt.cookie = None;
    rt.sleep(PROGRAM).await;
    rt
}

async fn add(rt: &TestRuntime, title: &str) {
    let url = format!("https://example.org/{title}");
    let fields = [("url", url.as_str()), ("title", title), ("public", "on")];
    assert!(rt.post("/app/bookmarks/add", &fields).await.status.is_redirection());
}

fn is_kept(rt: &TestRuntime) -> bool {
    rt.folder().join(FILE).exists()
}

async fn home_in(rt: &TestRuntime, lang: &str) -> Answer {
    let request = rt.request(Method::GET, "/").header(header::ACCEPT_LANGUAGE, lang);
    rt.fetch(request.body(axum::body::Body::empty()).unwrap()).await
}

#[tokio::test]
async fn whoever_wakes_it_gets_home_as_it_would_be_without_the_database_being_opened() {
    let mut rt = slept().await;
    let kept = [home_in(&rt, "en").await, home_in(&rt, "it-CH").await, rt.get("/").await];
    assert!(rt.runtime.store().is_untouched());
    assert!(kept[0].text().contains("Second") && kept[1].text().contains(r#"lang="it""#));
    // Nor does it tell what day it is: the same a year later.
    rt.clock.advance(TimeDelta::days(400));
    rt.wake("another program");
    for (kept, lang) in kept.iter().zip(["en", "it-CH", "en"]) {
        let fresh = home_in(&rt, lang).await;
        assert_eq!((kept.status, &kept.headers, kept.text()), (fresh.status, &fresh.headers, fresh.text()));
    }
    assert!(!rt.runtime.store().is_untouched());
}

#[tokio::test]
async fn it_is_for_that_page_and_visitors_without_cookies_only() {
    let rt = slept().await;
    for (method, target, cookie) in [
        (Method::GET, "/?page=1", ""),
        (Method::GET, "/bookmarks", ""),
        (Method::GET, "/", "theme=dark"),
        (Method::HEAD, "/", ""),
        (Method::POST, "/", ""),
    ] {
        let mut request = rt.request(method, target);
        if !cookie.is_empty() {
            request = request.header(header::COOKIE, cookie);
        }
        let mut request = request.body(axum::body::Body::empty()).unwrap();
        request.extensions_mut().insert(web::Request { target: target.into(), ..web::Request::default() });
        assert!(answer(&rt.runtime, &request).is_none(), "{request:?}");
    }
    let mut elsewhere = rt.request(Method::GET, "/").body(axum::body::Body::empty()).unwrap();
    elsewhere.headers_mut().insert(header::HOST, http::HeaderValue::from_static("elsewhere.example"));
    assert_eq!(rt.fetch(elsewhere).await.status, 421);
}

#[tokio::test]
async fn what_is_changed_is_seen_at_once_and_kept_at_the_next_sleep() {
    let mut rt = slept().await;
    rt.sign_in().await;
    assert!(!is_kept(&rt), "whoever writes removes it");
    add(&rt, "Third").await;
    rt.cookie = None;
    assert!(rt.get("/").await.text().contains("Third"));
    rt.sleep(PROGRAM).await;
    assert!(rt.get("/").await.text().contains("Third") && rt.runtime.store().is_untouched());
    // Another page was read meanwhile, and nothing was written: what is kept stays.
    assert_eq!(rt.get("/bookmarks").await.status, 200);
    rt.sleep(PROGRAM).await;
    assert!(rt.get("/").await.text().contains("Third") && rt.runtime.store().is_untouched());
}

#[tokio::test]
async fn killed_after_a_write_it_shows_what_was_written() {
    let mut rt = slept().await;
    rt.sign_in().await;
    add(&rt, "Third").await;
    rt.cookie = None;
    rt.wake(PROGRAM);
    assert!(!rt.runtime.keepsake().is_there() && rt.get("/").await.text().contains("Third"));
}

#[tokio::test]
async fn what_is_not_as_it_was_left_is_not_believed() {
    let mut rt = slept().await;
    let kept = std::fs::read(rt.folder().join(FILE)).unwrap();
    let believed =
        |rt: &TestRuntime, program, spec: &TenantSpec| Keepsake::find(rt.folder(), spec, program).unwrap().is_there();
    let spec = rt.runtime.spec().clone();
    assert!(believed(&rt, PROGRAM, &spec));
    assert!(!believed(&rt, "another program", &spec));
    let more = TenantSpec { quota_bytes: spec.quota_bytes + 1, ..spec.clone() };
    assert!(!believed(&rt, PROGRAM, &more));

    let log = store::log_of(&rt.folder().join(store::FILE));
    std::fs::write(&log, "x").unwrap();
    assert!(!believed(&rt, PROGRAM, &spec), "what was written last is not in the file");
    std::fs::remove_file(&log).unwrap();
    let longer = [&kept[..], b"x"].concat();
    for broken in [&b""[..], b"{", b"{}\n", &kept[..kept.len() - 2], &longer] {
        std::fs::write(rt.folder().join(FILE), broken).unwrap();
        assert!(!believed(&rt, PROGRAM, &spec), "{broken:?}");
    }
    std::fs::write(rt.folder().join(FILE), &kept).unwrap();
    assert!(believed(&rt, PROGRAM, &spec));
    // Somebody puts the database of last week back.
    let database = rt.folder().join(store::FILE);
    std::fs::copy(&database, rt.folder().join("copy")).unwrap();
    std::fs::rename(rt.folder().join("copy"), &database).unwrap();
    assert!(!believed(&rt, PROGRAM, &spec));
    rt.wake(PROGRAM);
    assert!(rt.get("/").await.text().contains("Second"));
}

#[tokio::test]
async fn nothing_is_kept_that_not_everybody_may_see() {
    let mut rt = slept().await;
    rt.sign_in().await;
    let now = rt.clock.now();
    rt.runtime.store().write(move |tx| auth::want_deletion(tx, Some(now + TimeDelta::days(7)))).await.unwrap();
    rt.cookie = None;
    rt.sleep(PROGRAM).await;
    assert_eq!((is_kept(&rt), rt.get("/").await.status.as_u16()), (false, 410));

    let mut rt = TestRuntime::with(|spec| spec.suspended = Some("The contract ended.".into()));
    rt.wake(PROGRAM);
    rt.sleep(PROGRAM).await;
    assert_eq!((is_kept(&rt), rt.get("/").await.status.as_u16()), (false, 503));
}

#[tokio::test]
async fn an_import_that_is_not_finished_is_gone_on_with_at_the_next_start() {
    let mut rt = slept().await;
    let now = rt.clock.now();
    let begun = rt.runtime.store().write(move |tx| {
        let sql = "insert into imports (id, file_name, sha256, size, state, created_at)
            values ('i', 'ada.zip', zeroblob(32), 1, 'importing', ?1)";
        Ok(tx.execute(sql, [now])?)
    });
    begun.await.unwrap();
    rt.sleep(PROGRAM).await;
    assert!(!is_kept(&rt));
}

#[tokio::test]
async fn without_a_word_of_which_program_it_is_nothing_is_kept() {
    let mut rt = TestRuntime::new();
    serve::leave(&rt.runtime, true).await;
    assert!(!is_kept(&rt));
    rt.restart();
    assert_eq!(rt.get("/").await.status, 200);
}
