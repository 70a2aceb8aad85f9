//! The operator's commands, as they are typed.

use std::process::{Command, Output};

use serde_json::Value;

use crate::cloud::TestCloud;

/// `percloud …` on the cloud's data folder and database.
pub(crate) fn percloud(cloud: &TestCloud, words: &[&str]) -> Output {
    let data = cloud.common.data.to_str().unwrap();
    let (command, rest) = words.split_first().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_percloud"));
    program.args([command, "--data", data, "--database-url", &cloud.url]).args(rest);
    program.output().unwrap()
}

pub(crate) fn done(cloud: &TestCloud, words: &[&str]) -> String {
    let output = percloud(cloud, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn json(cloud: &TestCloud, words: &[&str]) -> Value {
    serde_json::from_str(&done(cloud, &[words, &["--json"]].concat())).unwrap()
}

pub(crate) fn refused(cloud: &TestCloud, words: &[&str]) -> String {
    let output = percloud(cloud, words);
    assert!(!output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_percloud_from_its_making_to_its_end() {
    let cloud = TestCloud::new().await;
    let created =
        json(&cloud, &["admin", "create", "ada", "--email", "ada@example.org", "--language", "it", "--quota", "5G"]);
    let link = created["setup_url"].as_str().unwrap();
    assert!(link.starts_with("https://ada.percloud.localhost:8443/setup/") && link.len() > 80, "{link}");
    assert_eq!(
        (created["tenant"]["quota_bytes"].as_i64(), created["tenant"]["language"].as_str()),
        (Some(5_000_000_000), Some("it"))
    );
    cloud.pass_the_machine();
    cloud.settle().await;
    let listed = json(&cloud, &["admin", "list"]);
    assert_eq!(
        (listed[0]["domain"].as_str(), listed[0]["observed"].as_str()),
        (Some("ada.percloud.localhost"), Some("running"))
    );
    assert!(done(&cloud, &["admin", "list"]).contains("ada.percloud.localhost  running  running  no"));
    done(&cloud, &["admin", "suspend", "ada", "--reason", "Unpaid since May."]);
    cloud.settle().await;
    let shown = json(&cloud, &["admin", "show", "ada"]);
    assert_eq!(
        (shown["tenant"]["observed"].as_str(), shown["tenant"]["suspended_reason"].as_str()),
        (Some("suspended"), Some("Unpaid since May."))
    );
    let actions: Vec<_> =
        shown["history"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["tenant.suspended", "tenant.created"]);
    assert!(done(&cloud, &["admin", "show", "ada.percloud.localhost"]).contains("Unpaid since May."));
    done(&cloud, &["admin", "resume", "ada"]);
    cloud.settle().await;
    let asked = refused(&cloud, &["admin", "delete", "ada"]);
    assert!(asked.contains("--yes"), "{asked}");
    done(&cloud, &["admin", "delete", "ada", "--yes"]);
    cloud.settle().await;
    assert_eq!(json(&cloud, &["admin", "list"]), Value::Array(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_in_words() {
    let cloud = TestCloud::new().await;
    for (words, why) in [
        (&["admin", "create", "www", "--email", "ada@example.org"][..], "name"),
        (&["admin", "create", "ada", "--email", "nobody"], "e-mail address"),
        (&["admin", "create", "ada", "--email", "ada@example.org", "--language", "tlh"], "en or it"),
        (&["admin", "create", "ada", "--email", "ada@example.org", "--quota", "lots"], "amount"),
        (&["admin", "show", "nobody"], "no such percloud"),
        (&["admin", "suspend", "nobody", "--reason", "x"], "no such percloud"),
        (&["admin", "suspend", "ada"], "--reason"),
        (&["admin", "list", "--observed", "happy"], "failing"),
        (&["admin", "mails", "7"], "not kept"),
        (&["admin", "token", "revoke", "k-none"], "no live token"),
        (&["admin", "token", "create", "x", "--scope", "everything"], "tenants:read"),
    ] {
        let said = refused(&cloud, words);
        assert!(said.contains(why), "{words:?}: {said}");
    }
    assert_eq!(json(&cloud, &["admin", "list"]), Value::Array(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_mails() {
    let cloud = TestCloud::new().await;
    let made = json(
        &cloud,
        &["admin", "token", "create", "billing", "--scope", "tenants:read", "--scope", "mails:read", "--days", "30"],
    );
    let (id, secret) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let listed = done(&cloud, &["admin", "token", "list"]);
    assert!(listed.contains(id) && listed.contains("live") && !listed.contains(secret), "{listed}");
    done(&cloud, &["admin", "token", "revoke", id]);
    assert!(done(&cloud, &["admin", "token", "list"]).contains("revoked"));
    cloud.sign_up("ada").await;
    cloud.settle().await;
    let mails = json(&cloud, &["admin", "mails"]);
    assert_eq!((mails[0]["kind"].as_str(), mails[0]["observed"].as_str()), (Some("confirm"), Some("spooled")));
    let mail = done(&cloud, &["admin", "mails", &mails[0]["id"].to_string()]);
    assert!(mail.starts_with("To: ada@example.org\nSubject: ") && mail.contains("/confirm/"), "{mail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_what_is_wrong_and_says_so_to_scripts() {
    let cloud = TestCloud::new().await;
    let failing = cloud.sign_up("ada").await;
    cloud.sql("update tenants set tries = 5, last_error = 'the disk is full'").await;
    let output = percloud(&cloud, &["doctor", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["well"], false);
    let about = |about: &str| {
        let found = report["findings"].as_array().unwrap().iter().find(|one| one["about"] == about);
        let found = found.unwrap_or_else(|| panic!("nothing about {about}: {report:#}"));
        (
            found["state"].as_str().unwrap().to_owned(),
            found["found"].as_str().unwrap().to_owned(),
            found["do"].as_str().map(ToOwned::to_owned),
        )
    };
    for (thing, state) in [
        ("schema", "well"),
        ("portal", "wrong"),
        ("role edge", "wrong"),
        ("role host", "wrong"),
        ("sandbox", "wrong"),
        ("local CA", "wrong"),
        ("certificate", "wrong"),
        ("reconciling mails", "wrong"),
        ("database users", "warning"),
        (&format!("percloud {}", failing.domain), "wrong"),
    ] {
        let (found, words, to_do) = about(thing);
        assert_eq!(found, state, "{thing}: {words}");
        assert_eq!(to_do.is_some(), state != "well", "{thing}: {words}");
    }
    assert!(about(&format!("percloud {}", failing.domain)).1.contains("the disk is full"));
    let words = percloud(&cloud, &["doctor"]);
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(
        words.contains("✗ wrong")
            && words.contains("✓ well")
            && words.contains("→ ")
            && words.trim_end().ends_with("warnings."),
        "{words}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_the_doctor_still_speaks() {
    let cloud = TestCloud::with("host=/nowhere user=nobody dbname=none".into(), None);
    let output = percloud(&cloud, &["doctor"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("start the provider"));
    assert!(refused(&cloud, &["admin", "list"]).contains("percloud doctor"));
}
