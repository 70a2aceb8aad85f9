//! The one-time link.

use http::StatusCode;
use tenant_runtime::testing::{PASSWORD, SETUP_TOKEN, TestRuntime};

pub(crate) fn link() -> String {
    format!("/setup/{SETUP_TOKEN}")
}

/// The recovery codes on a page.
pub(crate) fn codes(html: &str) -> Vec<String> {
    let list = html.split_once("class=\"codes\"").map_or("", |(_, rest)| rest.split("</ol>").next().unwrap_or(""));
    list.split("<li>").skip(1).filter_map(|item| item.split("</li>").next()).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_set_up_link_makes_the_owner_once() {
    let percloud = TestRuntime::new();
    let form = percloud.get(&link()).await;
    assert_eq!(form.status, StatusCode::OK);
    assert_eq!(form.header("referrer-policy"), "no-referrer");
    assert!(form.text().contains("new-password"));

    let weak = percloud.post(&link(), &[("password", "password1")]).await;
    assert_eq!(weak.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(weak.text().contains("aria-invalid"), "{}", weak.text());

    let done = percloud.post(&link(), &[("password", PASSWORD)]).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text());
    assert_eq!(codes(&done.text()).len(), 10);
    assert_eq!(done.header("cache-control"), "no-store");
    let cookie = done.header("set-cookie");
    assert!(
        cookie.starts_with("__Host-session=") && cookie.contains("Path=/; Secure; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );

    let status = std::fs::read_to_string(percloud.folder().join("status.json")).unwrap();
    assert!(status.contains("\"set_up\":true"), "{status}");
    for answer in
        [percloud.get(&link()).await, percloud.post(&link(), &[("password", "another good pass phrase")]).await]
    {
        assert_eq!(answer.status, StatusCode::GONE);
        assert_eq!(answer.header("set-cookie"), "");
    }
    let again = percloud.post("/sign-in", &[("password", "another good pass phrase")]).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY, "the second try must not have set the password");
}

#[tokio::test]
async fn two_at_once_make_one_owner() {
    let percloud = TestRuntime::new();
    let (here, there) = (link(), link());
    let (one, two) =
        tokio::join!(percloud.post(&here, &[("password", PASSWORD)]), percloud.post(&there, &[("password", PASSWORD)]));
    let mut both = [one.status, two.status];
    both.sort();
    assert_eq!(both, [StatusCode::OK, StatusCode::GONE]);
}

#[tokio::test]
async fn another_link_opens_nothing() {
    let percloud = TestRuntime::new();
    for token in ["x", "testsetuptokem", "%00", "..%2f"] {
        assert_eq!(percloud.get(&format!("/setup/{token}")).await.status, StatusCode::NOT_FOUND);
        let tried = percloud.post(&format!("/setup/{token}"), &[("password", PASSWORD)]).await;
        assert_eq!(tried.status, StatusCode::NOT_FOUND);
    }
    let without = TestRuntime::with(|spec| spec.setup_sha256 = None);
    assert_eq!(without.get(&link()).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn whoever_moves_in_goes_on_to_the_import() {
    let percloud = TestRuntime::new();
    let link = format!("{}?next=import", link());
    assert!(percloud.get(&link).await.text().contains("old percloud"));
    let done = percloud.post(&link, &[("password", PASSWORD)]).await;
    assert!(done.text().contains("href=\"/control/import\""));
}

#[tokio::test]
async fn strength_is_said_while_typing_in_the_readers_language() {
    let percloud = TestRuntime::new();
    let weak = percloud.post("/api/password-strength", &[("password", "qwertyuiop")]).await;
    assert_eq!((weak.status, weak.json()["enough"].as_bool()), (StatusCode::OK, Some(false)));
    let own = percloud.post("/api/password-strength", &[("password", "ada.percloud.localhost")]).await;
    assert_eq!(own.json()["enough"], false, "the own address is no password");
    let mut italian = TestRuntime::new();
    italian.cookie = Some("lang=it".into());
    let good = italian.post("/api/password-strength", &[("password", PASSWORD)]).await;
    assert_eq!(good.json()["enough"], true);
    assert_eq!(good.json()["hint"], "Questa va bene.");
}
