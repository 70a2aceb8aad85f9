//! Bundles on the command line: checked, taken in (whatever kills it on the way), written again.

use std::{
    collections::BTreeMap,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use bundle::{read::Package, zip::Limits};
use http::StatusCode;
use tenant_runtime::{exports, testing::TestRuntime};

use crate::process::PROGRAM;

const PASSPHRASE: &str = "my grandmother kept seven grumpy geese";

/// A percloud with posts and bookmarks, written into a file.
async fn bundle(out: &Path) {
    let this = TestRuntime::signed_in().await;
    for number in 0..20 {
        let url = format!("https://example.org/{number}");
        let added =
            this.post("/app/bookmarks/add", &[("url", &url), ("title", "A page"), ("visibility", "public")]).await;
        assert!(added.status.is_redirection(), "{}", added.status);
    }
    let page = this.get("/app/posts/new").await;
    assert_ne!(page.status, StatusCode::NOT_FOUND);
    exports::to_file(&this.runtime, out, Some(PASSPHRASE.into())).await.unwrap();
}

/// What is in a bundle, without what says when and where it was made.
fn payload(zip: &Path) -> BTreeMap<String, String> {
    let checked = Package::open(zip, &Limits::default()).unwrap().check(&mut |_| true).unwrap();
    let own = ["data/archive.json", "data/provenance.jsonl", "data/urls/urls.jsonl"];
    let items = checked.items().iter().filter(|(path, _)| path.starts_with("data/"));
    let items = items.filter(|(path, _)| !own.contains(&path.as_str()) && !path.starts_with("data/secrets/"));
    // Feeds say whole addresses; they are derived, and differ with the name.
    let items = items.filter(|(path, _)| !path.starts_with("data/blog/"));
    items.map(|(path, item)| (path.clone(), item.sum.hex())).collect()
}

fn run(args: &[&str]) -> (bool, String) {
    let output = Command::new(PROGRAM).args(args).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn killed_again_and_again_an_import_comes_to_the_same_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (zip, data, again) = (path("ada.zip"), path("data"), path("again.zip"));
    bundle(Path::new(&zip)).await;
    std::fs::write(path("passphrase"), PASSPHRASE).unwrap();
    let (good, said) = run(&["check", &zip]);
    assert!(good && said.contains("bookmarks"), "{said}");

    let (mut kills, mut pause) = (0, Duration::from_millis(20));
    loop {
        let mut child = Command::new(PROGRAM)
            .args(["import", &zip, "--data", &data, "--passphrase-file", &path("passphrase")])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // How far it is by then differs from run to run, which is what we want.
        std::thread::sleep(pause);
        pause = pause * 7 / 5;
        let _ = child.kill();
        let status = child.wait().unwrap();
        if status.signal().is_none() {
            assert!(status.success());
            break;
        }
        kills += 1;
    }
    assert!(kills > 0);
    let (good, said) = run(&["import", &zip, "--data", &data]);
    assert!(good && said.contains("bookmarks"), "once more changes nothing: {said}");
    let (good, said) = run(&["export", "--data", &data, "--domain", "me.localhost", "--out", &again]);
    assert!(good, "{said}");
    assert_eq!(payload(Path::new(&again)), payload(Path::new(&zip)));
    let (good, _) = run(&["export", "--data", &data, "--domain", "me.localhost", "--out", &again]);
    assert!(!good, "nothing is overwritten");
}

#[tokio::test]
async fn a_bad_bundle_is_said_in_words_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let zip = path("ada.zip");
    bundle(Path::new(&zip)).await;
    let mut content = std::fs::read(&zip).unwrap();
    content.truncate(content.len() - 1);
    std::fs::write(&zip, content).unwrap();
    for args in [&["check", &zip][..], &["import", &zip, "--data", &path("data")]] {
        let (good, said) = run(args);
        assert!(!good && said.contains("not downloaded to its end"), "{said}");
    }
    assert!(!Path::new(&path("data")).exists());
    let (good, said) = run(&["check", &path("nothing")]);
    assert!(!good && !said.is_empty());
}
