//! The Control panel.

use chrono::TimeDelta;
use http::StatusCode;
use tenant_runtime::testing::{DOMAIN, PASSWORD, TestRuntime};

use crate::{set_up::codes, sign_in::session};

const OTHER: &str = "eleven green tractors sing";

#[tokio::test]
async fn every_page_of_the_panel_opens_for_the_owner() {
    let percloud = TestRuntime::signed_in().await;
    for page in ["", "/profile", "/address", "/storage", "/password", "/sessions", "/activity", "/grants", "/delete"] {
        let answer = percloud.get(&format!("/control{page}")).await;
        assert_eq!(answer.status, StatusCode::OK, "/control{page}: {}", answer.text());
        assert_eq!(answer.header("cache-control"), "private, no-store");
    }
    assert_eq!(percloud.get("/app").await.status, StatusCode::OK);
    assert_eq!(percloud.get("/manifest.webmanifest").await.json()["start_url"], "/app");
}

#[tokio::test]
async fn a_new_password_signs_all_other_devices_out() {
    let mut percloud = TestRuntime::signed_in().await;
    let other = session(&percloud.post("/sign-in", &[("password", PASSWORD)]).await);
    // Signing in again replaced this browser's session.
    percloud.cookie = Some(other);
    let here = percloud.cookie.take();
    let there = session(&percloud.post("/sign-in", &[("password", PASSWORD)]).await);
    percloud.cookie = here.clone();

    let wrong = percloud.post("/control/password", &[("current", "x"), ("password", OTHER)]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let weak = percloud.post("/control/password", &[("current", PASSWORD), ("password", "aaaaaaaaaa")]).await;
    assert_eq!(weak.status, StatusCode::UNPROCESSABLE_ENTITY);
    let changed = percloud.post("/control/password", &[("current", PASSWORD), ("password", OTHER)]).await;
    assert_eq!(changed.status, StatusCode::SEE_OTHER);
    assert_eq!(percloud.get("/control").await.status, StatusCode::OK);
    percloud.cookie = Some(there);
    assert_eq!(percloud.get("/control").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_device_can_be_signed_out_from_another() {
    let mut percloud = TestRuntime::signed_in().await;
    let here = percloud.cookie.take();
    let there = session(&percloud.post("/sign-in", &[("password", PASSWORD)]).await);
    percloud.cookie = here.clone();
    let page = percloud.get("/control/sessions").await.text();
    let ids: Vec<&str> = page
        .split("/control/sessions/")
        .skip(1)
        .filter_map(|rest| rest.split("/end\"").next())
        .filter(|id| id.len() == 16)
        .collect();
    assert_eq!(ids.len(), 2, "{page}");

    assert_eq!(percloud.post("/control/sessions/end-others", &[]).await.status, StatusCode::SEE_OTHER);
    percloud.cookie = Some(there);
    assert_eq!(percloud.get("/app").await.status, StatusCode::SEE_OTHER);
    percloud.cookie = here;
    assert_eq!(percloud.get("/app").await.status, StatusCode::OK);
    assert_eq!(percloud.post("/control/sessions/nobody/end", &[]).await.status, StatusCode::NOT_FOUND);
    assert!(percloud.get("/control/activity").await.text().contains("One other device was signed out."));
}

#[tokio::test]
async fn new_codes_are_shown_once_and_come_back_as_a_file() {
    let percloud = TestRuntime::signed_in().await;
    let wrong = percloud.post("/control/password/codes", &[("password", "x")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let sheet = percloud.post("/control/password/codes", &[("password", PASSWORD)]).await;
    let codes = codes(&sheet.text());
    assert_eq!(codes.len(), 10);
    let file = percloud.post("/control/password/codes.txt", &[("codes", &codes.join(" "))]).await;
    assert!(file.header("content-disposition").starts_with("attachment"));
    assert!(codes.iter().all(|code| file.text().contains(code.as_str())));
    let forged = percloud.post("/control/password/codes.txt", &[("codes", "call 555-0100 for help")]).await;
    assert_eq!(forged.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_profile_keeps_what_is_good_and_says_what_is_not() {
    let percloud = TestRuntime::signed_in().await;
    let gif = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;";
    let fields: [(&str, &str, &[u8]); 7] = [
        ("name", "", "  Ada   Lovelace ".as_bytes()),
        ("about", "", "Engines <b>& poetry".as_bytes()),
        ("accent", "", b"pine"),
        ("theme", "", b"dark"),
        ("language", "", b"it"),
        ("show_posts", "", b"on"),
        ("picture", "me.gif", gif),
    ];
    let saved = percloud.post_multipart("/control/profile", &fields).await;
    assert_eq!(saved.status, StatusCode::SEE_OTHER, "{}", saved.text());
    let page = percloud.get("/control/profile").await.text();
    assert!(page.contains("value=\"Ada Lovelace\"") && page.contains("Engines &lt;b&gt;&amp; poetry"), "{page}");
    assert!(page.contains("<html lang=\"it\" data-theme=\"dark\" data-accent=\"pine\">"), "{page}");

    let address = page.split("src=\"/avatar/").nth(1).and_then(|rest| rest.split('"').next()).expect("a picture");
    let picture = percloud.get(&format!("/avatar/{address}")).await;
    assert_eq!((picture.status, picture.header("content-type")), (StatusCode::OK, "image/gif"));
    assert_eq!(&picture.body[..], gif);
    assert_eq!(percloud.get(&format!("/avatar/{}", "0".repeat(64))).await.status, StatusCode::NOT_FOUND);

    let svg = percloud.post_multipart("/control/profile", &[("picture", "x.svg", b"<svg/>")]).await;
    assert_eq!(svg.status, StatusCode::UNPROCESSABLE_ENTITY);
    let large = percloud.post_multipart("/control/profile", &[("picture", "x.gif", &vec![0; 9 << 20])]).await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    let long = percloud.post_multipart("/control/profile", &[("name", "", "x".repeat(81).as_bytes())]).await;
    assert_eq!(long.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(percloud.get("/control/profile").await.text().contains("value=\"Ada Lovelace\""), "nothing was changed");
    let gone = percloud.post_multipart("/control/profile", &[("remove_picture", "", b"on")]).await;
    assert_eq!(gone.status, StatusCode::SEE_OTHER);
    assert_eq!(percloud.get(&format!("/avatar/{address}")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_full_percloud_takes_no_picture_and_keeps_working() {
    let mut percloud = TestRuntime::with(|spec| spec.quota_bytes = 10);
    percloud.sign_in().await;
    let gif = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;";
    let full = percloud.post_multipart("/control/profile", &[("picture", "me.gif", gif)]).await;
    assert_eq!(full.status, StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(percloud.get("/control/storage").await.status, StatusCode::OK);
}

#[tokio::test]
async fn deletion_needs_the_name_typed_and_can_be_taken_back() {
    let mut percloud = TestRuntime::signed_in().await;
    let status = || std::fs::read_to_string(percloud.folder().join("status.json")).unwrap_or_default();
    let wrong = percloud.post("/control/delete", &[("typed", "ada"), ("password", PASSWORD)]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let wrong = percloud.post("/control/delete", &[("typed", DOMAIN), ("password", "x")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!status().contains("2026-04"));

    let wanted = percloud.post("/control/delete", &[("typed", DOMAIN), ("password", PASSWORD)]).await;
    assert_eq!((wanted.status, wanted.location()), (StatusCode::SEE_OTHER, "/control/delete"));
    assert!(status().contains("\"delete_after\":\"2026-04-13"), "{}", status());
    assert!(percloud.get("/control/delete").await.text().contains("Keep my percloud"));
    let owner = percloud.cookie.take();
    let nothing = format!("/avatar/{}", "0".repeat(64));
    assert_eq!(percloud.get(&nothing).await.status, StatusCode::GONE, "closed for visitors");
    assert_eq!(percloud.get("/sign-in").await.status, StatusCode::OK);

    percloud.cookie = owner;
    percloud.clock.advance(TimeDelta::days(5));
    let undone = percloud.post("/control/delete/undo", &[]).await;
    assert_eq!(undone.status, StatusCode::SEE_OTHER);
    percloud.cookie = None;
    assert_eq!(percloud.get(&nothing).await.status, StatusCode::NOT_FOUND, "open again");
    let status = std::fs::read_to_string(percloud.folder().join("status.json")).unwrap();
    assert!(status.contains("\"delete_after\":null"), "{status}");
}
