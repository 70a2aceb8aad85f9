//! Which way a request goes, and what the edge says itself.

use http::{HeaderValue, Request};

use super::*;

#[tokio::test]
async fn the_portal_answers_at_the_base_domain() {
    let house = House::new();
    let portal = Fake::serve(house.edge.portal.to_path_buf());
    for version in BOTH {
        assert_eq!(text(house.ask(version, get(BASE, "/about")).await).await, "GET /about");
    }
    assert_eq!(portal.seen(), 2);
}

#[tokio::test]
async fn what_a_client_says_of_itself_does_not_arrive() {
    let house = House::new();
    let ada = house.ada();
    let forged = [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
        "traceparent",
        "x-percloud-x",
    ];
    for version in BOTH {
        let mut request = get(&format!("{ADA}:{}", house.at.port()), "/");
        for name in forged {
            request.headers_mut().insert(name, HeaderValue::from_static("forged"));
        }
        let response = house.client(version, ADA).await.ask(request).await.unwrap();
        let seen = ada.last();
        assert!(seen.values().all(|v| v != "forged"), "{seen:?}");
        let host = format!("{ADA}:{}", house.at.port());
        assert_eq!(
            (seen["x-forwarded-for"].to_str().unwrap(), seen["x-forwarded-proto"].to_str().unwrap()),
            ("127.0.0.1", "https")
        );
        assert_eq!((seen["x-forwarded-host"].to_str().unwrap(), seen["host"].to_str().unwrap()), (&*host, &*host));
        assert_eq!(seen["forwarded"], format!("for=127.0.0.1;host=\"{host}\";proto=https"));
        assert_eq!(seen["x-request-id"], response.headers()["x-request-id"], "the visitor can name the request");
        assert_eq!(seen["traceparent"].len(), 55);
        assert!(!seen.contains_key("x-percloud-x"));
    }
}

#[tokio::test]
async fn a_percloud_speaks_for_itself_only() {
    let house = House::new();
    house.ada();
    let response = house.get(ADA, "/cookies").await;
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["own=1; Path=/"]);
    for name in ["x-inner", "strict-transport-security"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
    assert_eq!(said(&response, "alt-svc"), "h3=\":4443\"", "the operator's word, not the percloud's");
    assert_ne!(response.headers()["x-request-id"], "the percloud's");
    house.route("own.example", State::Running, Some(house.socket("ada")));
    let own = house.get("own.example", "/cookies").await;
    assert_eq!(own.headers()["strict-transport-security"], "max-age=31536000", "a name that is somebody's");
    // So does what the edge says itself.
    house.route("own.example", State::Failing, None);
    for version in BOTH {
        let away = house.ask(version, get("own.example", "/")).await;
        assert_eq!((away.status().as_u16(), said(&away, "strict-transport-security")), (503, "max-age=31536000"));
        assert_eq!(said(&away, "alt-svc"), "h3=\":4443\"");
    }
    let nobody = house.get("nobody.cloud.localhost", "/").await;
    assert_eq!((nobody.status().as_u16(), said(&nobody, "strict-transport-security")), (404, ""));
}

#[tokio::test]
async fn cookies_that_http2_splits_arrive_as_one() {
    let house = House::new();
    let ada = house.ada();
    let mut request = get(ADA, "/");
    for cookie in ["a=1", "b=2", "c=3"] {
        request.headers_mut().append("cookie", HeaderValue::from_static(cookie));
    }
    house.ask(Version::H2, request).await;
    assert_eq!(ada.last()["cookie"], "a=1; b=2; c=3");
}

async fn says(house: &House, host: &str, path: &str, status: u16) -> String {
    let request = Request::get(format!("https://{host}{path}")).header("accept", "text/html").body(empty()).unwrap();
    let page = house.ask(Version::H2, request).await;
    assert_eq!(page.status(), status, "{host}{path}");
    assert_eq!((said(&page, "cache-control"), said(&page, "content-type")), ("no-store", "text/html; charset=utf-8"));
    let request =
        Request::get(format!("https://{host}{path}")).header("accept", "application/json").body(empty()).unwrap();
    let problem = house.ask(Version::H1, request).await;
    assert_eq!((problem.status().as_u16(), said(&problem, "content-type")), (status, "application/problem+json"));
    let problem: serde_json::Value = serde_json::from_str(&text(problem).await).unwrap();
    assert_eq!(problem["status"], status);
    text(page).await
}

#[tokio::test]
async fn each_state_has_its_page() {
    let house = House::new();
    let ada = house.ada();
    says(&house, "nobody.cloud.localhost", "/", 404).await;
    let style = portal::pages().asset("css/ui.css").unwrap();
    for version in BOTH {
        let asset = house.ask(version, get("nobody.cloud.localhost", &style)).await;
        assert_eq!((asset.status().as_u16(), said(&asset, "content-type")), (200, "text/css; charset=utf-8"));
    }
    house.route("new.cloud.localhost", State::Preparing, None);
    let preparing = says(&house, "new.cloud.localhost", "/setup/T", 503).await;
    assert!(preparing.contains("http-equiv=\"refresh\""), "it looks again by itself: {preparing}");
    house.route("sick.cloud.localhost", State::Failing, Some(house.socket("sick")));
    says(&house, "sick.cloud.localhost", "/", 503).await;
    house.route(ADA, State::Suspended, Some(house.socket("ada")));
    for path in ["/", "/app/files", "/controlling", "/posts/2026", "/signin"] {
        says(&house, ADA, path, 503).await;
    }
    assert_eq!(ada.seen(), 0);
    for path in ["/sign-in", "/control", "/control/export", "/assets/x/y.css", "/exports/1"] {
        assert_eq!(house.get(ADA, path).await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn pages_speak_the_visitors_language() {
    let house = House::new();
    let ask = async |language: &'static str| {
        let request =
            Request::get("https://nobody.cloud.localhost/").header("accept-language", language).body(empty()).unwrap();
        text(house.ask(Version::H1, request).await).await
    };
    let (english, italian) = (ask("en").await, ask("it-IT, en;q=0.5").await);
    assert!(english.contains("lang=\"en\"") && italian.contains("lang=\"it\""), "{italian}");
}

#[tokio::test]
async fn a_route_that_changes_is_followed_at_once() {
    let house = House::new();
    let mut client = house.client(Version::H2, ADA).await;
    assert_eq!(client.ask(get(ADA, "/")).await.unwrap().status(), 404);
    house.ada();
    assert_eq!(client.ask(get(ADA, "/")).await.unwrap().status(), 200);
    house.edge.routes.anew().replace();
    assert_eq!(client.ask(get(ADA, "/")).await.unwrap().status(), 404);
}

#[tokio::test]
async fn one_connection_serves_the_names_of_its_certificate_and_no_other() {
    let house = House::new();
    house.ada();
    house.route("bob.cloud.localhost", State::Running, Some(house.socket("ada")));
    house.route("own.example", State::Running, Some(house.socket("ada")));
    let mut client = house.client(Version::H2, ADA).await;
    assert_eq!(client.ask(get("bob.cloud.localhost", "/")).await.unwrap().status(), 200, "the same wildcard");
    for other in ["own.example", "elsewhere.example", "a.b.cloud.localhost"] {
        assert_eq!(client.ask(get(other, "/")).await.unwrap().status(), 421, "{other}");
    }
    assert!(house.tls("elsewhere.example", &["h2"]).await.is_err(), "no certificate for a name that is nobody's");
    let mut nameless = house.client(Version::H1, "").await;
    assert_eq!(nameless.ask(get(ADA, "/")).await.unwrap().status(), 200, "an old program that names no host in TLS");
    let mut nameless = house.client(Version::H1, "").await;
    assert_eq!(nameless.ask(get("own.example", "/")).await.unwrap().status(), 421);
}

#[tokio::test]
async fn a_name_that_has_moved_leads_on_with_its_path_and_keeps_its_method() {
    let house = House::new();
    let ada = house.ada();
    let socket: Option<Arc<std::path::Path>> = Some(house.socket("ada").into());
    let row = |host: &str, redirect_to: Option<&str>| Row {
        host: host.into(),
        tenant_id: "t-ada".into(),
        state: State::Running,
        socket: socket.clone(),
        redirect_to: redirect_to.map(Into::into),
        quota_bytes: QUOTA,
    };
    house.edge.routes.set(ADA, Some(row(ADA, Some("own.example"))));
    house.edge.routes.set("own.example", Some(row("own.example", None)));
    let port = house.at.port();
    for version in BOTH {
        for path in ["/", "/a%20b/c?q=1&r=%2F", "//evil.example/x"] {
            for method in ["GET", "POST", "PROPFIND"] {
                let request =
                    Request::builder().method(method).uri(format!("https://{ADA}{path}")).body(empty()).unwrap();
                let moved = house.ask(version, request).await;
                assert_eq!(moved.status(), 308, "{method} {path}");
                assert_eq!(said(&moved, "location"), format!("https://own.example:{port}{path}"));
            }
        }
    }
    assert_eq!(ada.seen(), 0, "the runtime is not woken for it");
    assert_eq!(house.get("own.example", "/a").await.status(), 200);
    assert_eq!(house.get(ADA, "/healthz").await.status(), 200, "the provider looks at one certain name");
    assert_ne!(house.get(ADA, "/.well-known/acme-challenge/x").await.status(), 308, "and so does a CA");
    house.edge.routes.set(ADA, Some(row(ADA, None)));
    assert_eq!(house.get(ADA, "/a").await.status(), 200, "back again");
}
