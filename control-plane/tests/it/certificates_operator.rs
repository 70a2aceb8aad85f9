//! What an operator sees of certificates and may do: on the command line and in the API.

use chrono::TimeDelta;
use control_plane::{
    api_tokens::{self, Scope},
    certificates::State,
};
use serde_json::{Value, json};
use tls::{
    acme::Kind,
    testing::{Between, Suggestion},
};

use crate::{
    ca::Scene,
    operator::{done, json as shown, refused},
    portal::{Portal, read},
};

#[tokio::test(flavor = "multi_thread")]
async fn paused_it_is_left_alone_and_retried_it_is_tried_at_once() {
    let scene = Scene::new().await;
    let ca = scene.pebble(|_| {}).await;
    let noun = scene.noun(&[&ca], &scene.shared(&[Kind::Http01], None));
    let cloud = &scene.cloud;
    scene.responder.lead("ada.test", false);
    scene.want("ada.test").await;
    scene.settle(&noun).await;
    let listed = done(cloud, &["admin", "certificates", "list", "--failing"]);
    assert!(
        listed.contains("ada.test") && listed.contains("failing") && listed.contains("could not validate"),
        "{listed}"
    );
    done(cloud, &["admin", "certificates", "pause", "ada.test"]);
    scene.responder.lead("ada.test", true);
    scene.pass(TimeDelta::days(2), &noun).await;
    assert_eq!(scene.find("ada.test").await.state, State::Paused);
    assert!(refused(cloud, &["admin", "certificates", "retry", "ada.test"]).contains("paused"));
    done(cloud, &["admin", "certificates", "resume", "ada.test"]);
    // The command has the machine's clock, which is behind this one.
    scene.settle(&noun).await;
    assert_eq!(scene.find("ada.test").await.state, State::Issued);
    scene.responder.lead("bob.test", false);
    scene.want("bob.test").await;
    scene.settle(&noun).await;
    scene.responder.lead("bob.test", true);
    scene.settle(&noun).await;
    assert_eq!(scene.find("bob.test").await.state, State::Failing, "not before its time");
    done(cloud, &["admin", "certificates", "retry", "bob.test"]);
    scene.settle(&noun).await;
    let one = shown(cloud, &["admin", "certificates", "show", "bob.test"]);
    assert_eq!((one["state"].as_str(), one["tries"].as_i64()), (Some("issued"), Some(0)), "{one}");
    let before: String = cloud.value("select chain_pem from certificates where names = '{bob.test}'").await;
    done(cloud, &["admin", "certificates", "renew", "bob.test"]);
    scene.settle(&noun).await;
    assert_ne!(cloud.value::<String>("select chain_pem from certificates where names = '{bob.test}'").await, before);
    let audit: Vec<String> =
        cloud.value("select array_agg(action order by id) from audit where action like 'certificate.%'").await;
    assert_eq!(
        audit,
        ["certificate.paused", "certificate.resumed", "certificate.retried", "certificate.renewed"],
        "who did what is written down"
    );
    let adas = shown(cloud, &["admin", "certificates", "list", "--percloud", "ada"]);
    assert_eq!((adas.as_array().unwrap().len(), &adas[0]["names"]), (1, &json!(["ada.test"])));
    assert!(refused(cloud, &["admin", "certificates", "show", "nobody.test"]).contains("no such certificate"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_lists_shows_retries_renews_pauses_and_resumes_and_never_shows_a_key() {
    let scene = Scene::new().await;
    let ca = scene.pebble(|_| {}).await;
    let noun = scene.noun(&[&ca], &scene.shared(&[Kind::Http01], None));
    scene.want("one.test").await;
    let owner = scene.want("two.test").await;
    scene.want("three.test").await;
    scene.settle(&noun).await;
    let portal = Portal::of(&scene.cloud).await;
    let scopes = [Scope::CertificatesRead, Scope::CertificatesWrite];
    let db = scene.cloud.db.get().await.unwrap();
    let token = api_tokens::create(&db, "test", &scopes, None, scene.cloud.now()).await.unwrap().1;
    let call = async |method: &str, path: &str| -> (u16, Value) {
        let request = portal.request(method, path).header("accept", "application/json").bearer_auth(&token);
        let (status, text) = read(request.send().await.unwrap()).await;
        assert!(!text.contains("BEGIN") && !text.contains("key_sealed"), "{text}");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    };
    let (_, page) = call("GET", "/api/v1/certificates?limit=2").await;
    let next = page["next"].as_str().unwrap().to_owned();
    assert_eq!(page["certificates"].as_array().unwrap().len(), 2);
    let (_, rest) = call("GET", &format!("/api/v1/certificates?limit=2&after={next}")).await;
    assert_eq!((rest["certificates"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    let (_, named) = call("GET", "/api/v1/certificates?name=two.test").await;
    let id = named["certificates"][0]["id"].as_str().unwrap().to_owned();
    let (status, one) = call("GET", &format!("/api/v1/certificates/{id}")).await;
    assert_eq!((status, &one["state"], &one["names"]), (200, &json!("issued"), &json!(["two.test"])));
    assert_eq!(one["tenant_id"], json!(owner.as_str()));
    let (status, paused) = call("POST", "/api/v1/certificates/two.test/pause").await;
    assert_eq!((status, &paused["state"]), (202, &json!("paused")));
    let (status, problem) = call("POST", "/api/v1/certificates/two.test/retry").await;
    assert_eq!((status, &problem["type"]), (409, &json!("urn:percloud:problem:paused")));
    assert_eq!(call("GET", "/api/v1/certificates?paused=true").await.1["certificates"][0]["id"], json!(id));
    assert_eq!(call("POST", "/api/v1/certificates/two.test/resume").await.1["state"], json!("issued"));
    assert_eq!(call("POST", "/api/v1/certificates/two.test/retry").await.0, 202);
    scene.settle(&noun).await;
    let chain = "select chain_pem from certificates where names = '{two.test}'";
    let before: String = scene.cloud.value(chain).await;
    assert_eq!(call("POST", "/api/v1/certificates/two.test/renew").await.0, 202);
    scene.settle(&noun).await;
    assert_ne!(scene.cloud.value::<String>(chain).await, before, "a new one although the old one would do");
    assert_eq!(call("POST", "/api/v1/certificates/four.test/renew").await.0, 404);
    assert_eq!(call("POST", "/api/v1/certificates/four.test/retry").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_ca_wants_a_renewal_is_shown_until_there_is_a_new_one() {
    let scene = Scene::new().await;
    let pebble = scene.pebble(|_| {}).await;
    let double = Between::start(&pebble).await.unwrap();
    let noun = scene.noun_at([double.directory()], &scene.shared(&[Kind::Http01], None));
    scene.want("ada.test").await;
    scene.settle(&noun).await;
    let window = [5, 6].map(|day| scene.cloud.now() + TimeDelta::days(day));
    let page = "https://ca.example/we-issued-too-much";
    double.suggest(Ok(Suggestion { window, explanation: Some(page.into()) }));
    scene.pass(TimeDelta::hours(2), &noun).await;
    let cloud = &scene.cloud;
    let said = done(cloud, &["admin", "certificates", "show", "ada.test"]);
    assert!(said.contains("renewal because") && said.contains(page), "{said}");
    let portal = Portal::of(cloud).await;
    let db = cloud.db.get().await.unwrap();
    let token = api_tokens::create(&db, "test", &[Scope::CertificatesRead], None, cloud.now()).await.unwrap().1;
    let show = portal.request("GET", "/api/v1/certificates/ada.test").header("accept", "application/json");
    let (status, text) = read(show.bearer_auth(&token).send().await.unwrap()).await;
    let one: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &one["renewal_because"]), (200, &json!(page)), "{text}");
    let inside = scene.find("ada.test").await.renewal().unwrap();
    double.suggest(Ok(Suggestion { window: window.map(|at| at + TimeDelta::days(50)), explanation: None }));
    scene.pass(inside - scene.cloud.now(), &noun).await;
    assert_eq!(shown(cloud, &["admin", "certificates", "show", "ada.test"])["renewal_because"], Value::Null);
}
