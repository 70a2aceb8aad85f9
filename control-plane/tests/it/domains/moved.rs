//! The edge moves to another address: nobody loses a domain, and the operator sees who has not followed.

use serde_json::json;

use super::*;
use crate::operator;

/// Where the edge is from now on.
const NEW: &str = "192.0.2.8";

/// The operator starts with the new address, and with the old one as the former.
fn move_edge(scene: &mut Scene) {
    scene.domains.addresses = vec![NEW.parse().unwrap()];
    scene.domains.former = vec![EDGE.parse().unwrap()];
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_moves_loses_no_domain_and_knows_who_has_not_followed() {
    let mut scene = Scene::active().await;
    move_edge(&mut scene);
    for _ in 0..4 {
        let row = scene.pass(TimeDelta::hours(27)).await;
        assert_eq!(words(&row), ["TXT ok", "A former 192.0.2.7", "CNAME ok"]);
        assert_eq!((row.serves(), row.misses), (true, 0), "it works at the former address");
        assert_eq!(row.report.as_ref().unwrap().records[1].value, NEW);
    }
    let troubled = operator::json(&scene.cloud, &["admin", "domains", "list", "--troubled"]);
    assert_eq!((&troubled[0]["name"], &troubled[0]["report"]["former"]), (&json!(NAME), &json!([EDGE])));
    let listed = operator::done(&scene.cloud, &["admin", "domains", "list", "--troubled"]);
    assert!(listed.contains("FORMER ADDRESS") && listed.contains(EDGE), "{listed}");
    let doctor = operator::percloud(&scene.cloud, &["doctor"]).stdout;
    let doctor = String::from_utf8(doctor).unwrap();
    assert!(doctor.contains("1 still lead to a former address of the edge"), "{doctor}");
    let shown = operator::done(&scene.cloud, &["admin", "domains", "show", NAME]);
    for part in ["Leads to former", EDGE, NEW, "wrong"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // She follows.
    scene.knot.set(NAME, "A", NEW).await.unwrap();
    let row = scene.ask(&scene.ada).await;
    assert_eq!((words(&row), row.serves()), (["TXT ok", "A ok", "CNAME ok"].map(str::to_owned).to_vec(), true));
    assert_eq!(operator::json(&scene.cloud, &["admin", "domains", "list", "--troubled"]), json!([]));
    assert_eq!(scene.mails().await, ["domain-ready"]);
}

#[tokio::test]
async fn who_sets_the_former_address_is_served_until_it_has_gone() {
    let mut scene = Scene::new().await;
    move_edge(&mut scene);
    let row = scene.claim(&scene.ada, NAME, false).await;
    // As a friend, or an older page, told her.
    scene.knot.set(CHALLENGE, "TXT", &row.challenge_value()).await.unwrap();
    scene.knot.set(NAME, "A", EDGE).await.unwrap();
    let row = scene.ask(&scene.ada).await;
    assert_eq!((words(&row)[1].as_str(), row.serves()), ("A former 192.0.2.7", true));
    assert_eq!(scene.certified().await, [NAME], "its certificate is ordered as ever");
    // The old address answers no longer, and the operator says no more of it.
    scene.domains.former.clear();
    let row = scene.pass(TimeDelta::hours(27)).await;
    assert_eq!((words(&row)[1].as_str(), row.misses), ("A points-elsewhere 192.0.2.7", 1));
}
