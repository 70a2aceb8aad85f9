//! What operators see of own domains and do with them: as commands and over the API.

use control_plane::api_tokens::Scope;
use serde_json::{Value, json};

use super::*;
use crate::{api, operator, portal::Portal};

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_what_a_domain_waits_for_and_can_undo_it() {
    let scene = Scene::active().await;
    scene.cloud.clock.advance(TimeDelta::days(365)); // the commands ask the machine's clock, which is ahead of the test's
    scene.knot.add(NAME, "A", OLD_SITE).await.unwrap();
    scene.settle().await;
    let cloud = &scene.cloud;
    for which in [NAME, WWW, "Ada.Test.", "ada", "ada.percloud.localhost"] {
        let shown = operator::done(cloud, &["admin", "domains", "show", which]);
        for part in ["ada.percloud.localhost", "active", OLD_SITE, CHALLENGE, "wrong"] {
            assert!(shown.contains(part), "{which}: {part}: {shown}");
        }
    }
    assert!(operator::refused(cloud, &["admin", "domains", "show", "nobody.test"]).contains("no such domain"));
    let listed = operator::json(cloud, &["admin", "domains", "list"]);
    assert_eq!((&listed[0]["name"], &listed[0]["observed"]), (&json!(NAME), &json!("active")));
    assert_eq!(operator::json(cloud, &["admin", "domains", "list", "--troubled"]), json!([]));
    let before = scene.row(&scene.ada).await.checked_at;
    operator::done(cloud, &["admin", "domains", "check", NAME]);
    scene.settle().await;
    assert!(scene.row(&scene.ada).await.checked_at >= before);
    assert!(operator::done(cloud, &["admin", "show", "ada"]).contains("https://ada.test:8443/"));
    operator::done(cloud, &["admin", "domains", "release", NAME]);
    scene.settle().await;
    assert!(operator::done(cloud, &["admin", "domains", "list"]).contains("none"));
    assert!(operator::refused(cloud, &["admin", "domains", "release", NAME]).contains("no such domain"));
}

#[tokio::test]
async fn programs_see_domains_in_pages_and_remove_them() {
    let scene = Scene::active().await;
    let bob = scene.cloud.try_sign_up("bob", "bob@example.org").await.unwrap();
    let bobs = scene.claim(&bob, NAME, false).await;
    let portal = Portal::of(&scene.cloud).await;
    let token = api::token(&scene.cloud, &[Scope::DomainsRead, Scope::DomainsWrite]).await;
    let call = async |method: &str, path: &str| api::call(&portal, method, path, &token, None).await;
    let (status, first) = call("GET", "/api/v1/domains?limit=1").await;
    assert_eq!((status, first["domains"].as_array().unwrap().len()), (200, 1), "{first}");
    let next = first["next"].as_str().unwrap().replace(' ', "%20");
    let (_, second) = call("GET", &format!("/api/v1/domains?limit=5&after={next}")).await;
    let names = [&first["domains"][0]["id"], &second["domains"][0]["id"]];
    assert_ne!(names[0], names[1], "two claims of one name are two lines");
    assert_eq!(second["next"], Value::Null);
    let (_, shown) = call("GET", "/api/v1/domains/ada.test").await;
    assert_eq!((&shown["observed"], &shown["serves"]), (&json!("active"), &json!(true)), "whoever has it comes first");
    assert_eq!(shown["report"]["records"][0]["state"], "ok");
    let (_, shown) = call("GET", &format!("/api/v1/domains/{}", bobs.id)).await;
    assert_eq!((&shown["observed"], &shown["tenant_id"]), (&json!("pending"), &json!(bob.id.as_str())));
    assert_eq!(call("POST", "/api/v1/domains/ada.test/check").await.0, 202);
    let (status, gone) = call("DELETE", "/api/v1/domains/ada.test").await;
    assert_eq!((status, &gone["wanted"]), (202, &json!("gone")));
    scene.settle().await;
    assert!(scene.find(&scene.ada).await.is_none());
    assert_eq!(call("GET", "/api/v1/domains/nobody.test").await.0, 404);
    let (_, tenant) = {
        let token = api::token(&scene.cloud, &[Scope::TenantsRead]).await;
        api::call(&portal, "GET", "/api/v1/tenants/ada", &token, None).await
    };
    assert_eq!((&tenant["own_domain"], &tenant["url"]), (&Value::Null, &json!("https://ada.percloud.localhost:8443/")));
}
