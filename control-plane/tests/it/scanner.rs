//! What an independent scanner (Debian's testssl.sh) says of the edge's TLS.

use std::process::Stdio;

use serde_json::Value;

use crate::{edge_certificates::Shelf, postgres::eventually};

/// Findings that are not about our TLS: (id, why).
const BESIDE: &[(&str, &str)] = &[
    ("cert_revocation", "the test's own authority revokes nothing; a public one's certificates say where they do"),
    ("cert_crlDistributionPoints", "the same"),
    ("cert_ocspURL", "the same"),
    ("security_headers", "pages have them from the percloud, and this one is made up"),
];

#[tokio::test]
async fn a_scanner_finds_no_weakness() {
    let shelf = Shelf::open().await;
    let id = shelf.put(&["own.example"], "ca.example").await;
    shelf.issue(&id, 89).await;
    shelf.percloud("own.example").await;
    eventually("the page", async || (shelf.get("own.example").await?.status() == 200).then_some(())).await;
    let (found, root) = (shelf.paths.root().join("found.json"), shelf.paths.root().join("root.pem"));
    std::fs::write(&root, shelf.ca.root_pem()).unwrap();
    let mut scanner = tokio::process::Command::new("testssl");
    scanner.args(["--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "--ip", "127.0.0.1"]);
    scanner.arg("--add-ca").arg(&root).arg("--jsonfile").arg(&found);
    scanner.arg(format!("https://own.example:{}", shelf.https.port()));
    scanner.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    // It ends with the number of what it did not like; what that was is in the file.
    scanner.status().await.expect("testssl (Debian's testssl.sh)");
    let found: Vec<Value> = serde_json::from_slice(&std::fs::read(&found).unwrap()).unwrap();
    let said = |id: &str| {
        let one = found.iter().find(|f| f["id"] == id).unwrap_or_else(|| panic!("nothing about {id}: {found:#?}"));
        one["finding"].as_str().unwrap().to_owned()
    };
    for old in ["SSLv2", "SSLv3", "TLS1", "TLS1_1"] {
        assert!(said(old).starts_with("not offered"), "{old}: {}", said(old));
    }
    for new in ["TLS1_2", "TLS1_3"] {
        assert!(said(new).starts_with("offered"), "{new}: {}", said(new));
    }
    assert!(said("cert_chain_of_trust").starts_with("passed"), "{}", said("cert_chain_of_trust"));
    assert!(said("HSTS_time").contains("365 days"), "{}", said("HSTS_time"));
    let weak: Vec<&Value> = found
        .iter()
        .filter(|f| ["MEDIUM", "HIGH", "CRITICAL", "FATAL"].iter().any(|bad| f["severity"] == *bad))
        .filter(|f| BESIDE.iter().all(|(id, _)| f["id"] != *id))
        .collect();
    assert!(weak.is_empty(), "{weak:#?}");
    assert!(found.len() > 100, "it looked at {} things only", found.len());
}
