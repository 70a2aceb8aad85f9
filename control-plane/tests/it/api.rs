//! The API: who may do what, what it says, and how every error looks.

use chrono::TimeDelta;
use control_plane::api_tokens::{self, Scope};
use serde_json::{Value, json};

use crate::{
    cloud::TestCloud,
    portal::{Portal, header, read},
};

/// Operations that need no token. Everything else in the description must refuse whoever has none: this list is short on purpose.
const OPEN: [(&str, &str); 2] = [("get", "/api/names/{name}"), ("get", "/healthz")];

pub(crate) async fn token(cloud: &TestCloud, scopes: &[Scope]) -> String {
    let db = cloud.db.get().await.unwrap();
    api_tokens::create(&db, "test", scopes, None, cloud.now()).await.unwrap().1
}

pub(crate) async fn call(portal: &Portal, method: &str, path: &str, token: &str, body: Option<Value>) -> (u16, Value) {
    let mut request = portal.request(method, path).header("accept", "application/json").bearer_auth(token);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let (status, text) = read(request.send().await.unwrap()).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

#[tokio::test]
async fn every_operation_asks_for_a_token_with_its_scope() {
    let cloud = TestCloud::new().await;
    cloud.sign_up("ada").await;
    let portal = Portal::of(&cloud).await;
    let (_, text) = read(portal.get("/api/openapi.json").await).await;
    let description: Value = serde_json::from_str(&text).unwrap();
    let mut operations = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations += 1;
            let open = OPEN.contains(&(method.as_str(), path.as_str()));
            let there = path.replace("{which}", "ada").replace("{name}", "ada");
            let body = operation
                .get("requestBody")
                .map(|_| json!({ "name": "eve", "email": "eve@example.org", "reason": "x" }));
            let bare = portal
                .request(&method.to_uppercase(), &there)
                .header("accept", "application/json")
                .send()
                .await
                .unwrap();
            if open {
                assert!(bare.status().is_success(), "{method} {path}");
                continue;
            }
            // Without a token an unsafe request is also one that a browser could have been tricked into.
            let refused = if method == "get" { 401 } else { 403 };
            assert_eq!(bare.status().as_u16(), refused, "{method} {path} without a token");
            // Each time from another place: whoever tries many is slowed down.
            let from = [("x-forwarded-for".parse().unwrap(), format!("198.51.100.{operations}").parse().unwrap())];
            let wrong = portal
                .request(&method.to_uppercase(), &there)
                .headers(from.into_iter().collect())
                .bearer_auth("pc_wrong")
                .send()
                .await
                .unwrap();
            assert_eq!(wrong.status().as_u16(), 401, "{method} {path} with a wrong token");
            let scope = operation["security"][0]["token"][0].as_str().expect("every operation names its scope");
            let others: Vec<Scope> = Scope::ALL.into_iter().filter(|other| other.as_str() != scope).collect();
            let other = token(&cloud, &others).await;
            let (status, _) = call(&portal, &method.to_uppercase(), &there, &other, body).await;
            assert_eq!(status, 403, "{method} {path} with another scope");
        }
    }
    assert_eq!(operations, 25, "a new operation is described, and tested here");
    assert_eq!(
        cloud.value::<i64>("select count(*) from tenants where wanted = 'running'").await,
        1,
        "nothing was done"
    );
}

#[tokio::test]
async fn a_percloud_is_made_shown_suspended_resumed_and_deleted() {
    let cloud = TestCloud::new().await;
    let portal = Portal::of(&cloud).await;
    let token = token(&cloud, &[Scope::TenantsRead, Scope::TenantsWrite]).await;
    let wish = json!({ "name": "Ada", "email": "ada@example.org", "language": "it", "quota_bytes": 5_000_000 });
    let (status, made) = call(&portal, "POST", "/api/v1/tenants", &token, Some(wish.clone())).await;
    assert_eq!(status, 201, "{made}");
    let link = made["setup_url"].as_str().unwrap();
    assert!(link.starts_with("https://ada.percloud.localhost:8443/setup/"), "{made}");
    assert_eq!(made["tenant"]["url"], "https://ada.percloud.localhost:8443/");
    assert_eq!(cloud.value::<i64>("select count(*) from mails").await, 0, "the operator hands the link over");
    cloud.settle().await;
    let id = made["tenant"]["id"].as_str().unwrap();
    for which in [id, "ada", "ada.percloud.localhost"] {
        let (status, shown) = call(&portal, "GET", &format!("/api/v1/tenants/{which}"), &token, None).await;
        assert_eq!((status, &shown["observed"], &shown["quota_bytes"]), (200, &json!("running"), &json!(5_000_000)));
    }
    // It never lapses: the operator stands for it.
    cloud.pass(TimeDelta::days(3)).await;
    let (status, problem) = call(&portal, "POST", "/api/v1/tenants", &token, Some(wish)).await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:percloud:problem:sign-up.name.taken")));

    let suspend = format!("/api/v1/tenants/{id}/suspend");
    let (status, _) = call(&portal, "POST", &suspend, &token, Some(json!({ "reason": " " }))).await;
    assert_eq!(status, 422);
    let (status, tenant) = call(&portal, "POST", &suspend, &token, Some(json!({ "reason": "unpaid" }))).await;
    assert_eq!((status, &tenant["wanted"], &tenant["suspended_reason"]), (202, &json!("suspended"), &json!("unpaid")));
    cloud.settle().await;
    let (_, tenant) = call(&portal, "GET", &format!("/api/v1/tenants/{id}"), &token, None).await;
    assert_eq!(tenant["observed"], "suspended");
    let (status, _) = call(&portal, "POST", &format!("/api/v1/tenants/{id}/resume"), &token, None).await;
    assert_eq!(status, 202);
    cloud.settle().await;
    for _ in 0..2 {
        let (status, tenant) = call(&portal, "DELETE", &format!("/api/v1/tenants/{id}"), &token, None).await;
        assert_eq!((status, &tenant["wanted"]), (202, &json!("deleted")));
    }
    let (status, _) = call(&portal, "POST", &suspend, &token, Some(json!({ "reason": "unpaid" }))).await;
    assert_eq!(status, 409);
    cloud.settle().await;
    let (status, _) = call(&portal, "GET", &format!("/api/v1/tenants/{id}"), &token, None).await;
    assert_eq!(status, 404);
    let actors: i64 = cloud.value("select count(*) from audit where actor like 'token:k-%'").await;
    assert_eq!(actors, 4);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let cloud = TestCloud::new().await;
    for name in ["ada", "bob", "carol"] {
        cloud.sign_up(name).await;
    }
    cloud.settle().await;
    let portal = Portal::of(&cloud).await;
    let token = token(&cloud, &Scope::ALL).await;
    let (_, one) = call(&portal, "GET", "/api/v1/tenants?limit=2", &token, None).await;
    assert_eq!(one["next"], "bob.percloud.localhost");
    let after = format!("/api/v1/tenants?limit=2&after={}", one["next"].as_str().unwrap());
    let (_, two) = call(&portal, "GET", &after, &token, None).await;
    assert_eq!((two["tenants"][0]["name"].as_str(), &two["next"]), (Some("carol"), &Value::Null));
    let (status, _) = call(&portal, "GET", "/api/v1/tenants?observed=nonsense", &token, None).await;
    assert_eq!(status, 400);
    let (_, mails) = call(&portal, "GET", "/api/v1/mails?limit=2", &token, None).await;
    assert_eq!((mails["mails"].as_array().unwrap().len(), &mails["next"]), (2, &json!(2)));
    assert!(!mails.to_string().contains("example.org"), "no addresses, no links");
}

#[tokio::test]
async fn a_token_ends_by_date_and_by_revocation() {
    let cloud = TestCloud::new().await;
    let portal = Portal::of(&cloud).await;
    let db = cloud.db.get().await.unwrap();
    let end = Some(cloud.now() + TimeDelta::days(1));
    let (_, dated) = api_tokens::create(&db, "dated", &[Scope::TenantsRead], end, cloud.now()).await.unwrap();
    let (revoked, secret) = api_tokens::create(&db, "revoked", &[Scope::TenantsRead], None, cloud.now()).await.unwrap();
    let list = async |token: &str| call(&portal, "GET", "/api/v1/tenants", token, None).await.0;
    assert_eq!((list(&dated).await, list(&secret).await), (200, 200));
    assert!(api_tokens::revoke(&db, &revoked.id, cloud.now()).await.unwrap());
    cloud.clock.advance(TimeDelta::days(1));
    assert_eq!((list(&dated).await, list(&secret).await), (401, 401));
    let kept: String = cloud.value("select string_agg(row_to_json(t)::text, '') from api_tokens t").await;
    assert!(!kept.contains(&secret) && !kept.contains(&dated), "only hashes are kept");
    let mut statuses = Vec::new();
    for n in 0..25 {
        statuses.push(list(&format!("pc_guess{n}")).await);
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
}

#[tokio::test]
async fn every_error_is_a_page_or_a_problem_as_was_asked() {
    let cloud = TestCloud::new().await;
    let portal = Portal::of(&cloud).await;
    let big = "x".repeat(100_000);
    let form = "application/x-www-form-urlencoded";
    for (method, path, kind, body, status) in [
        ("GET", "/nowhere", "", "", 404),
        ("GET", "/dev/mails/99", "", "", 404),
        ("GET", "/dev/mails/x", "", "", 400),
        ("PUT", "/sign-up", "", "", 405),
        ("DELETE", "/", "", "", 405),
        ("POST", "/sign-up", form, big.as_str(), 413),
        ("POST", "/sign-up", "text/plain", "name", 415),
        ("GET", "/assets/0/../../etc/passwd", "", "", 404),
    ] {
        let ask = |accept: &str| {
            let request = portal.request(method, path).header("sec-fetch-site", "same-origin");
            let mut headers = reqwest::header::HeaderMap::new();
            headers.insert("accept", accept.parse().unwrap());
            if !kind.is_empty() {
                headers.insert("content-type", kind.parse().unwrap());
            }
            request.headers(headers).body(body.to_owned()).send()
        };
        let page = ask("text/html").await.unwrap();
        assert_eq!(page.status().as_u16(), status, "{method} {path}");
        assert!(header(&page, "content-type").starts_with("text/html"), "{method} {path}");
        assert!(header(&page, "content-security-policy").contains("default-src 'none'"));
        assert!(status != 405 || !header(&page, "allow").is_empty());
        assert!(page.text().await.unwrap().contains("<h1"));
        let problem = ask("application/json").await.unwrap();
        assert_eq!(problem.status().as_u16(), status, "{method} {path} as JSON");
        assert_eq!(header(&problem, "content-type"), "application/problem+json", "{method} {path}");
        let problem: Value = serde_json::from_str(&problem.text().await.unwrap()).unwrap();
        assert_eq!(problem["status"].as_u64(), Some(u64::from(status)), "{problem}");
    }
    let token = token(&cloud, &Scope::ALL).await;
    for body in ["{", "[]", "{\"name\": \"ada\"}", "{\"name\":\"ada\",\"email\":\"a@b.org\",\"admin\":true}"] {
        let request = portal.request("POST", "/api/v1/tenants").bearer_auth(&token);
        let request = request.header("accept", "*/*").header("content-type", "application/json").body(body);
        let (status, text) = read(request.send().await.unwrap()).await;
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert!(matches!(status, 400 | 422) && problem["detail"].is_string(), "{body}: {status} {problem}");
    }
    assert_eq!(cloud.value::<i64>("select count(*) from tenants").await, 0);
}
