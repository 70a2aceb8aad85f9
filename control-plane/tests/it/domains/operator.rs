//! What operators see of own domains and do with them: as commands and over the API.

use control_plane::api_tokens::Scope;
use serde_json::{Value, json};

use super::*;
use crate::{api, operator, portal::Portal};

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_what_a_domain_waits_for_and_can_undo_it() {
    let scene = Scene::active().await;
    scene.cloud.pass_the_machine();
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
    // Why, and when it is looked at next: in words for people, and for programs.
    let why = "A ada.test: The right one is there, but another one beside it: 203.0.113.9. Delete that one.";
    let listed = operator::done(cloud, &["admin", "domains", "list"]);
    for part in ["NEXT LOOK", "WHY", why] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    let shown = operator::done(cloud, &["admin", "domains", "show", NAME]);
    assert!(shown.contains("Next look") && shown.contains(why) && !shown.contains("domain.record."), "{shown}");
    let row = operator::json(cloud, &["admin", "domains", "show", NAME]);
    assert_eq!((&row["why"], &row["next_look"], &row["serves"]), (&json!(why), &row["check_at"], &json!(true)));
    assert_eq!(operator::json(cloud, &["admin", "domains", "list"])[0]["why"], why);
    assert!(operator::done(cloud, &["admin", "domains", "pause", NAME]).contains("is left alone"));
    assert!(operator::refused(cloud, &["admin", "domains", "check", NAME]).contains("paused"));
    let paused = operator::json(cloud, &["admin", "domains", "list", "--paused"]);
    assert_eq!((&paused[0]["paused"], &paused[0]["next_look"]), (&json!(true), &Value::Null));
    assert!(operator::done(cloud, &["admin", "domains", "list"]).contains("active, paused"));
    operator::done(cloud, &["admin", "domains", "resume", NAME]);
    assert_eq!(operator::json(cloud, &["admin", "domains", "list", "--paused"]), json!([]));
    scene.settle().await;
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
    let (status, paused) = call("POST", "/api/v1/domains/ada.test/pause").await;
    assert_eq!((status, &paused["paused"], &paused["next_look"]), (202, &json!(true), &Value::Null));
    let (status, problem) = call("POST", "/api/v1/domains/ada.test/check").await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:percloud:problem:paused")));
    assert_eq!(call("GET", "/api/v1/domains?paused=true").await.1["domains"].as_array().unwrap().len(), 1);
    let (status, resumed) = call("POST", "/api/v1/domains/ada.test/resume").await;
    assert_eq!((status, &resumed["paused"]), (202, &json!(false)));
    scene.settle().await;
    assert_eq!(call("POST", &format!("/api/v1/domains/{}/release", bobs.id)).await.0, 404, "nobody has proved it so");
    let (status, gone) = call("DELETE", "/api/v1/domains/ada.test").await;
    assert_eq!((status, &gone["wanted"]), (202, &json!("gone")));
    scene.settle().await;
    assert!(scene.find(&scene.ada).await.is_none());
    assert_eq!(call("GET", "/api/v1/domains/nobody.test").await.0, 404);
    for does in ["check", "pause", "resume", "release"] {
        assert_eq!(call("POST", &format!("/api/v1/domains/nobody.test/{does}")).await.0, 404, "{does}");
    }
    let (_, tenant) = {
        let token = api::token(&scene.cloud, &[Scope::TenantsRead]).await;
        api::call(&portal, "GET", "/api/v1/tenants/ada", &token, None).await
    };
    assert_eq!((&tenant["own_domain"], &tenant["url"]), (&Value::Null, &json!("https://ada.percloud.localhost:8443/")));
}

#[tokio::test]
async fn programs_set_a_name_free_as_operators_do() {
    let scene = Scene::active().await;
    let portal = Portal::of(&scene.cloud).await;
    let token = api::token(&scene.cloud, &[Scope::DomainsWrite]).await;
    let (status, gone) = api::call(&portal, "POST", "/api/v1/domains/ada.test/release", &token, None).await;
    assert_eq!((status, &gone["wanted"]), (202, &json!("gone")));
    scene.settle().await;
    assert!(scene.find(&scene.ada).await.is_none());
    assert_eq!(scene.mails().await, ["domain-ready", "domain-taken"], "its owner is told");
    let audit: String = scene.cloud.value("select actor from audit where action = 'domain.released'").await;
    assert!(audit.starts_with("token:"), "{audit}");
}
