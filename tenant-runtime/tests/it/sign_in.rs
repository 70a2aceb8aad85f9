//! Signing in, slowly for those who guess; forgotten passwords.

use axum::body::Body;
use chrono::TimeDelta;
use http::{Method, StatusCode};
use tenant_runtime::testing::{Answer, PASSWORD, TestRuntime};

use crate::set_up::{codes, link};

/// The value of the session's cookie, as a browser would send it back.
pub(crate) fn session(answer: &Answer) -> String {
    let all = answer.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
    let mut sessions = all.filter(|cookie| cookie.starts_with("__Host-session="));
    let cookie = sessions.next_back().expect("a session");
    cookie.split(';').next().unwrap().to_owned()
}

/// A percloud whose owner is known and not signed in.
pub(crate) async fn owned() -> TestRuntime {
    let mut percloud = TestRuntime::signed_in().await;
    percloud.cookie = None;
    percloud
}

#[tokio::test]
async fn the_password_opens_the_door_and_leads_on_within_this_site() {
    let percloud = owned().await;
    assert_eq!(percloud.get("/app").await.location(), "/sign-in?next=%2Fapp");
    for (next, to) in
        [("/app/files?q=1", "/app/files?q=1"), ("https://evil.example", "/app"), ("//evil.example", "/app")]
    {
        let answer = percloud.post("/sign-in", &[("password", PASSWORD), ("next", next)]).await;
        assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, to));
    }
    let wrong = percloud.post("/sign-in", &[("password", "wrong")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(wrong.header("set-cookie"), "");
}

#[tokio::test]
async fn guessing_becomes_slow_for_whoever_guesses_and_for_nobody_else() {
    let percloud = owned().await;
    for _ in 0..5 {
        let wrong = percloud.post("/sign-in", &[("password", "wrong")]).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let right = percloud.post("/sign-in", &[("password", PASSWORD)]).await;
    assert_eq!(right.status, StatusCode::TOO_MANY_REQUESTS, "even the right password waits now");
    assert_eq!(right.header("retry-after"), "2");
    let recover = percloud.post("/recover", &[("code", "x"), ("password", PASSWORD)]).await;
    assert_eq!(recover.status, StatusCode::TOO_MANY_REQUESTS, "there is no second door");

    let elsewhere = percloud.request(Method::POST, "/sign-in");
    let elsewhere =
        elsewhere.header("content-type", "application/x-www-form-urlencoded").body(Body::from("password=x"));
    let mut elsewhere = elsewhere.unwrap();
    elsewhere.headers_mut().insert("x-forwarded-for", "192.0.2.7, 198.51.100.9".parse().unwrap());
    assert_eq!(percloud.fetch(elsewhere).await.status, StatusCode::UNPROCESSABLE_ENTITY);

    percloud.clock.advance(TimeDelta::seconds(3));
    let right = percloud.post("/sign-in", &[("password", PASSWORD)]).await;
    assert_eq!(right.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_session_lives_as_long_as_it_is_used() {
    let mut percloud = TestRuntime::signed_in().await;
    assert_eq!(percloud.get("/control").await.header("set-cookie"), "");
    for _ in 0..3 {
        percloud.clock.advance(TimeDelta::days(20));
        let used = percloud.get("/control").await;
        assert_eq!(used.status, StatusCode::OK);
        assert_eq!(Some(session(&used)), percloud.cookie, "the browser is told to keep it longer");
    }
    percloud.clock.advance(TimeDelta::days(31));
    assert_eq!(percloud.get("/control").await.status, StatusCode::SEE_OTHER);
    percloud.cookie = Some("__Host-session=guess".into());
    assert_eq!(percloud.get("/control").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn signing_out_ends_the_session_for_good() {
    let percloud = TestRuntime::signed_in().await;
    let out = percloud.post("/sign-out", &[]).await;
    assert_eq!(out.status, StatusCode::SEE_OTHER);
    assert!(session(&out).ends_with('='));
    assert_eq!(percloud.get("/app").await.status, StatusCode::SEE_OTHER, "the old cookie is worth nothing");
}

#[tokio::test]
async fn a_code_on_paper_lets_the_owner_in_once() {
    let mut percloud = TestRuntime::new();
    let set_up = percloud.post(&link(), &[("password", PASSWORD)]).await;
    let (codes, old) = (codes(&set_up.text()), session(&set_up));
    let typed = codes[3].to_uppercase().replace('-', " ");

    let weak = percloud.post("/recover", &[("code", &typed), ("password", "12345678")]).await;
    assert_eq!(weak.status, StatusCode::UNPROCESSABLE_ENTITY);
    let wrong =
        percloud.post("/recover", &[("code", "abcd-efgh-jkmn-pqrs"), ("password", "eleven green tractors sing")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);

    let back = percloud.post("/recover", &[("code", &typed), ("password", "eleven green tractors sing")]).await;
    assert_eq!((back.status, back.location()), (StatusCode::SEE_OTHER, "/control/password"));
    percloud.cookie = Some(old);
    assert_eq!(percloud.get("/app").await.status, StatusCode::SEE_OTHER, "old sessions are over");
    percloud.cookie = Some(session(&back));
    assert!(percloud.get("/control/password").await.text().contains("9 recovery codes are left"));

    percloud.cookie = None;
    let again = percloud.post("/recover", &[("code", &typed), ("password", "seven blue tractors sing")]).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(percloud.post("/sign-in", &[("password", PASSWORD)]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let new = percloud.post("/sign-in", &[("password", "eleven green tractors sing")]).await;
    assert_eq!(new.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn another_site_cannot_act_for_the_owner() {
    let percloud = TestRuntime::signed_in().await;
    for site in ["cross-site", "same-site"] {
        let mut request = percloud.request(Method::POST, "/sign-out").body(Body::empty()).unwrap();
        request.headers_mut().insert("sec-fetch-site", site.parse().unwrap());
        assert_eq!(percloud.fetch(request).await.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(percloud.get("/app").await.status, StatusCode::OK);
}
