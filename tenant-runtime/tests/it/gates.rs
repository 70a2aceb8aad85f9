//! Bad requests get a clear answer and change nothing.

use axum::body::Body;
use http::{Method, StatusCode};
use tenant_runtime::testing::TestRuntime;

#[tokio::test]
async fn another_name_is_not_ours() {
    let percloud = TestRuntime::new();
    for (host, status) in [
        ("ada.percloud.localhost:8443", StatusCode::OK),
        ("ADA.percloud.localhost", StatusCode::OK),
        ("ada.percloud.localhost.", StatusCode::OK),
        ("ada.percloud.localhost:1", StatusCode::MISDIRECTED_REQUEST),
        ("bob.percloud.localhost:8443", StatusCode::MISDIRECTED_REQUEST),
        ("", StatusCode::MISDIRECTED_REQUEST),
    ] {
        let mut request = percloud.request(Method::GET, "/sign-in").body(Body::empty()).unwrap();
        request.headers_mut().insert("host", host.parse().unwrap());
        assert_eq!(percloud.fetch(request).await.status, status, "{host}");
    }
    let absolute = percloud.get("http://bob.percloud.localhost/sign-in").await;
    assert_eq!(absolute.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn a_name_that_leads_here_until_everybody_knows_the_new_one_is_answered() {
    let percloud = TestRuntime::with(|spec| {
        spec.also = ["ada.percloud.localhost", "old.example"].map(|name| name.parse().unwrap()).to_vec();
        spec.domain = "ada.example".parse().unwrap();
    });
    for (host, status) in [
        ("ada.example:8443", StatusCode::OK),
        ("old.example:8443", StatusCode::OK),
        ("ada.percloud.localhost:8443", StatusCode::OK),
        ("older.example:8443", StatusCode::MISDIRECTED_REQUEST),
    ] {
        let mut request = percloud.request(Method::GET, "/sign-in").body(Body::empty()).unwrap();
        request.headers_mut().insert("host", host.parse().unwrap());
        assert_eq!(percloud.fetch(request).await.status, status, "{host}");
    }
}

#[tokio::test]
async fn the_owners_pages_are_for_the_owner() {
    let percloud = TestRuntime::new();
    let pages = ["/app", "/control", "/control/profile", "/control/sessions", "/control/delete", "/control/password"];
    for page in pages {
        let answer = percloud.get(page).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{page}");
        assert!(answer.location().starts_with("/sign-in?next="), "{}", answer.location());
    }
    for page in ["/control/delete", "/control/password", "/control/sessions/end-others", "/sign-out"] {
        assert_eq!(
            percloud.post(page, &[("typed", "x"), ("password", "x"), ("current", "x")]).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(percloud.get("/app/uploads/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn what_goes_wrong_is_said_to_people_and_to_programs() {
    let percloud = TestRuntime::new();
    assert_eq!(percloud.get("/control/").await.location(), "/control");
    assert_eq!(percloud.get("//evil.example/").await.status, StatusCode::NOT_FOUND);
    let lost = percloud.get("/nowhere").await;
    assert_eq!(lost.status, StatusCode::NOT_FOUND);
    assert!(lost.text().contains("There is nothing here"), "{}", lost.text());
    assert!(lost.header("content-security-policy").contains("default-src 'none'"));

    let mut request = percloud.request(Method::GET, "/nowhere").body(Body::empty()).unwrap();
    request.headers_mut().insert("accept", "application/json".parse().unwrap());
    let problem = percloud.fetch(request).await;
    assert_eq!(problem.header("content-type"), "application/problem+json");
    assert_eq!(problem.json()["key"], "error.not-found");

    let method = percloud.fetch(percloud.request(Method::DELETE, "/sign-in").body(Body::empty()).unwrap()).await;
    assert_eq!(method.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(method.header("allow"), "GET,HEAD,POST");
    let garbage = percloud.request(Method::POST, "/sign-in").header("content-type", "text/plain");
    let garbage = percloud.fetch(garbage.body(Body::from("password=x")).unwrap()).await;
    assert!(garbage.status.is_client_error());
    assert!(garbage.text().contains("could not be understood"), "{}", garbage.text());
}

#[tokio::test]
async fn a_suspended_percloud_lets_its_owner_take_everything_along() {
    let mut percloud = TestRuntime::with(|spec| spec.suspended = Some("The contract <ended>.".into()));
    let visitor = percloud.get("/").await;
    assert_eq!(visitor.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!visitor.text().contains("contract"), "the reason is for the owner");
    assert_eq!(percloud.get("/sign-in").await.status, StatusCode::OK);
    percloud.sign_in().await;
    let owner = percloud.get("/control").await;
    assert_eq!(owner.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(owner.text().contains("The contract &lt;ended&gt;.") && owner.text().contains("/control/export"));
    assert_eq!(percloud.get("/app/files").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_ne!(percloud.get("/control/export").await.status, StatusCode::SERVICE_UNAVAILABLE);
    let changed = percloud.post("/control/sessions/end-others", &[]).await;
    assert_eq!(changed.status, StatusCode::SERVICE_UNAVAILABLE, "it is read-only");
}

#[tokio::test]
async fn assets_need_no_session_and_health_needs_no_name() {
    let percloud = TestRuntime::new();
    let page = percloud.get("/sign-in").await.text();
    let css =
        page.split("href=\"").find_map(|rest| rest.split('"').next().filter(|link| link.ends_with(".css"))).unwrap();
    assert_eq!(percloud.get(css).await.status, StatusCode::OK);
    let mut health = percloud.request(Method::GET, "/healthz").body(Body::empty()).unwrap();
    health.headers_mut().insert("host", "localhost".parse().unwrap());
    assert_eq!(percloud.fetch(health).await.text(), "ok\n");
}
