use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bundle::Clock;
use http::{Method, StatusCode};

use super::{progress::Turn, rows, work};
use crate::{
    auth,
    exports::tests::{PASSPHRASE, checked, lived_in, take_everything},
    settings,
    testing::{Answer, PASSWORD, TestRuntime},
};

/// Gives a file in the plain form; answers with where it is looked at.
async fn give(this: &TestRuntime, content: &[u8]) -> String {
    let given = this.post_multipart("/control/import", &[("file", "ada.zip", content)]).await;
    assert_eq!(given.status, StatusCode::SEE_OTHER, "{}", given.text());
    given.location().to_owned()
}

async fn status(this: &TestRuntime, at: &str) -> serde_json::Value {
    let mut request = this.request(Method::GET, at).body(axum::body::Body::empty()).unwrap();
    request.headers_mut().insert("accept", http::HeaderValue::from_static("application/json"));
    this.fetch(request).await.json()
}

/// Waits until a worker has come to its end.
async fn settled(this: &TestRuntime, at: &str) -> serde_json::Value {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let status = status(this, at).await;
        if !["checking", "importing"].contains(&status["state"].as_str().unwrap_or_default()) {
            return status;
        }
        assert!(Instant::now() < deadline, "still {status}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn bring(this: &TestRuntime, zip: &[u8], fields: &[(&str, &str)]) -> Answer {
    let at = give(this, zip).await;
    assert_eq!(settled(this, &at).await["state"], "ready");
    let started = this.post(&format!("{at}/start"), fields).await;
    assert_eq!(started.status, StatusCode::SEE_OTHER, "{}", started.text());
    assert_eq!(settled(this, &at).await["state"], "done");
    this.get(&at).await
}

/// The payload by path, without what says when and where a bundle was made.
fn payload(zip: &[u8]) -> BTreeMap<String, String> {
    let own = ["data/archive.json", "data/provenance.jsonl", "data/urls/urls.jsonl"];
    let items = checked(zip);
    let items = items.items().iter().filter(|(path, _)| path.starts_with("data/") && !own.contains(&path.as_str()));
    items.map(|(path, item)| (path.clone(), item.sum.hex())).collect()
}

/// Everything in the tables that an import may change.
async fn state(this: &TestRuntime) -> String {
    let looked = this.runtime.store().read(|db| {
        let kept: i64 = db.query_row("select count(*) from kept_files", [], |row| row.get(0))?;
        let owner = auth::owner(db)?.map(|owner| owner.password);
        let files: i64 = db.query_row("select count(*) from files_nodes", [], |row| row.get(0))?;
        Ok(format!("{:?} {kept} {owner:?} {files}", settings::get(db)?))
    });
    looked.await.unwrap()
}

#[tokio::test]
async fn export_import_export_gives_the_same_and_unknown_sections_survive_two_hops() {
    let ada = lived_in().await;
    let first = take_everything(&ada, "").await.body;
    let second = TestRuntime::signed_in().await;
    let at = give(&second, &first).await;
    settled(&second, &at).await;
    second.post(&format!("{at}/start"), &[]).await;
    assert_eq!(settled(&second, &at).await["state"], "done");
    assert_eq!(second.get(&at).await.status, StatusCode::OK);
    let report = second.get(&format!("{at}/import-report.json")).await.json();
    assert_eq!(report["balanced"], true, "{report:#}");
    for section in report["sections"].as_array().unwrap() {
        assert_eq!(section["refused"].as_array().map(Vec::len), Some(0), "{section:#}");
    }
    let hop = take_everything(&second, "").await.body;
    assert_eq!(payload(&hop), payload(&first));
    let third = TestRuntime::signed_in().await;
    bring(&third, &hop, &[]).await;
    let last = take_everything(&third, "").await.body;
    assert_eq!(payload(&last), payload(&first));
    let bundle = checked(&last);
    let kept = bundle.percloud().sections.iter().find(|s| s.id == "x/com.example.game").unwrap();
    assert_eq!((kept.version.as_str(), &kept.other["highWater"]), ("3", &7.into()));
    assert_eq!(bundle.percloud().other["newer"][0], 1);
    let origins = String::from_utf8(bundle.text("data/provenance.jsonl").unwrap().unwrap()).unwrap();
    assert_eq!(origins.lines().count(), 2, "one line for each hop");
    assert!(origins.contains(&checked(&first).percloud().id));
}

/// A percloud that keeps files of sections that nobody here knows, and its bundle.
async fn strange(sections: &[(&str, &str, &[&str])]) -> bytes::Bytes {
    let this = TestRuntime::signed_in().await;
    for (id, path, files) in sections {
        let section = serde_json::json!({"id": id, "spec": "https://game.example", "version": "1", "path": path,
            "count": files.len(), "bytes": 0});
        let files: Vec<_> = files
            .iter()
            .map(|file| (format!("{path}/{file}"), this.runtime.blobs().put(file.as_bytes()).unwrap()))
            .collect();
        let keep = move |tx: &rusqlite::Transaction<'_>| {
            crate::exports::keep_section(tx, &serde_json::from_value(section)?)?;
            files.iter().try_for_each(|(path, blob)| crate::exports::keep_file(tx, path, blob))
        };
        this.runtime.store().write(keep).await.unwrap();
    }
    take_everything(&this, "").await.body
}

#[tokio::test]
async fn whatever_two_bundles_bring_of_sections_that_nobody_knows_there_can_be_an_export() {
    let first = [
        ("x/game", "data/x/game", ["Save.dat", "level"].as_slice()),
        ("x/other", "data/x/other", &["a"]),
        ("x/upper", "data/Y/upper", &["b"]),
    ];
    let second = [
        ("x/game", "data/x/game", ["save.dat", "level/1"].as_slice()),
        ("x/inside", "data/x/other/b", &["c"]),
        ("x/lower", "data/y/lower", &["d"]),
        ("x/files", "data/Files/x", &["e"]),
    ];
    let here = TestRuntime::signed_in().await;
    bring(&here, &strange(&first).await, &[]).await;
    let done = bring(&here, &strange(&second).await, &[]).await.text();
    assert!(done.contains("something else is kept under this name already"), "{done}");
    let added = [("folder", "", b"top".as_slice()), ("file", "a.txt", b"mine")];
    assert!(here.post_multipart("/app/files/upload", &added).await.status.is_redirection());
    let bundle = checked(&take_everything(&here, "").await.body);
    let ours = |path: &&String| ["data/x/", "data/y/"].iter().any(|place| path.to_lowercase().starts_with(place));
    let kept = bundle.items().keys().filter(ours).collect::<Vec<_>>();
    assert_eq!(kept, ["data/Y/upper/b", "data/x/game/level/1", "data/x/game/save.dat", "data/x/other/a"]);
}

#[tokio::test]
async fn nothing_is_changed_before_the_owner_says_so() {
    let ada = lived_in().await;
    let zip = take_everything(&ada, PASSPHRASE).await.body;
    let here = TestRuntime::signed_in().await;
    let before = state(&here).await;
    let at = give(&here, &zip).await;
    let ready = settled(&here, &at).await;
    assert_eq!(ready["summary"]["domain"], "ada.percloud.localhost");
    assert_eq!(ready["summary"]["secrets"], true);
    assert_eq!(state(&here).await, before);
    let page = here.get(&at).await.text();
    for part in ["Ada Lovelace", "x/com.example.game", "f-passphrase"] {
        assert!(page.contains(part), "{part}");
    }
    let gone = here.post(&format!("{at}/discard"), &[]).await;
    assert_eq!(gone.location(), "/control/import");
    assert_eq!(here.get(&at).await.status, StatusCode::NOT_FOUND);
    assert_eq!(here.runtime.blobs().used(), 0, "the bundle's own room is free again");
}

#[tokio::test]
async fn the_password_comes_along_with_the_passphrase_only() {
    let mut ada = lived_in().await;
    ada.sign_in().await;
    let old = ada.runtime.store().read(auth::owner).await.unwrap().unwrap().password;
    let zip = take_everything(&ada, PASSPHRASE).await.body;

    let without = TestRuntime::signed_in().await;
    let own = without.runtime.store().read(auth::owner).await.unwrap().unwrap().password;
    bring(&without, &zip, &[("take_password", "on")]).await;
    assert_eq!(without.runtime.store().read(auth::owner).await.unwrap().unwrap().password, own);

    let with = TestRuntime::signed_in().await;
    let at = give(&with, &zip).await;
    settled(&with, &at).await;
    let wrong = with.post(&format!("{at}/start"), &[("passphrase", "six other words than those there")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let fields = [("passphrase", PASSPHRASE), ("take_password", "on")];
    with.post(&format!("{at}/start"), &fields).await;
    assert_eq!(settled(&with, &at).await["state"], "done");
    let now = with.runtime.store().read(auth::owner).await.unwrap().unwrap().password;
    assert_eq!(now, old);
    assert!(with.runtime.hasher().verify(PASSWORD.into(), Some(now)).await.unwrap());
    let left: Option<String> = with
        .runtime
        .store()
        .read(|db| Ok(db.query_row("select secrets from imports", [], |row| row.get(0))?))
        .await
        .unwrap();
    assert_eq!(left, None, "opened secrets are forgotten");

    let kept = TestRuntime::signed_in().await;
    bring(&kept, &zip, &[("passphrase", PASSPHRASE)]).await;
    assert_ne!(kept.runtime.store().read(auth::owner).await.unwrap().unwrap().password, old, "not wished");
}

#[tokio::test]
async fn the_key_that_vouches_for_the_owner_stays_where_it_is() {
    let key = async |this: &TestRuntime| {
        let ensure =
            |tx: &rusqlite::Transaction<'_>| Ok(auth::owner_key::ensure(tx, crate::testing::start())?.public());
        this.runtime.store().write(ensure).await.unwrap()
    };
    let ada = lived_in().await;
    let old = key(&ada).await;
    assert_eq!(key(&ada).await, old, "made once");
    let zip = take_everything(&ada, PASSPHRASE).await.body;
    let here = TestRuntime::signed_in().await;
    bring(&here, &zip, &[("passphrase", PASSPHRASE), ("take_password", "on")]).await;
    let new = key(&here).await;
    assert_ne!(new, old, "another percloud, another key");
}

#[tokio::test]
async fn corrupt_and_foreign_files_are_refused_in_words_and_change_nothing() {
    let ada = lived_in().await;
    let zip = take_everything(&ada, "").await.body.to_vec();
    let here = TestRuntime::signed_in().await;
    let before = state(&here).await;
    let mut flipped = zip.clone();
    let at = flipped.windows(50).position(|w| w == [1_u8; 50]).unwrap();
    flipped[at] ^= 1;
    let foreign = {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        writer.start_file("Takeout/mail.mbox", options).unwrap();
        std::io::Write::write_all(&mut writer, b"From a").unwrap();
        writer.finish().unwrap().into_inner()
    };
    let cases = [
        (flipped, "refused.crc"),
        (zip[..zip.len() - 9].to_vec(), "refused.truncated"),
        (foreign, "refused.not-bag"),
        (b"<html>Session expired</html>".repeat(10), "refused.not-zip"),
    ];
    for (file, key) in cases {
        let at = give(&here, &file).await;
        let status = settled(&here, &at).await;
        assert_eq!((&status["state"], &status["refusal"]["key"]), (&"refused".into(), &key.into()));
        let page = here.get(&at).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text().contains("notice-danger"), "{key}");
    }
    let empty = here.post_multipart("/control/import", &[("file", "", b"")]).await;
    assert_eq!(empty.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(state(&here).await, before);
}

#[tokio::test]
async fn what_does_not_fit_is_said_before_anything_happens() {
    let ada = lived_in().await;
    let zip = take_everything(&ada, "").await.body;
    let mut small = TestRuntime::with(|spec| spec.quota_bytes = 600_000);
    small.sign_in().await;
    let at = give(&small, &zip).await;
    let status = settled(&small, &at).await;
    assert_eq!(status["state"], "ready");
    let page = small.get(&at).await.text();
    let fits = page.contains(&format!("{at}/start"));
    let started = small.post(&format!("{at}/start"), &[]).await;
    assert_eq!(started.status == StatusCode::SEE_OTHER, fits);
    let mut tiny = TestRuntime::with(|spec| spec.quota_bytes = 400_000);
    tiny.sign_in().await;
    let given = tiny.post_multipart("/control/import", &[("file", "ada.zip", &zip)]).await;
    assert!(
        given.status == StatusCode::PAYLOAD_TOO_LARGE
            || given.status == StatusCode::INSUFFICIENT_STORAGE
            || given.status == StatusCode::SEE_OTHER
    );
}

/// One turn of the worker; it stops at its `stop`-th step, as a kill would: nothing is written after that.
async fn turn(this: &TestRuntime, id: &str, stop: usize) -> bool {
    let seen = AtomicUsize::new(0);
    let before = move |_: &str| {
        anyhow::ensure!(seen.fetch_add(1, Ordering::SeqCst) < stop, "killed");
        Ok(())
    };
    let turn = Arc::new(Turn::take(id).unwrap());
    let result = work::turn_of(&this.runtime, id, turn, Arc::new(before)).await;
    let key = id.to_owned();
    let as_killed = "update imports set state = 'importing' where id = ?1 and state = 'failed'";
    let undone = this.runtime.store().write(move |tx| Ok(tx.execute(as_killed, [&key])?));
    undone.await.unwrap();
    result.is_err()
}

#[tokio::test]
async fn killed_at_any_step_and_started_again_it_ends_the_same() {
    let ada = lived_in().await;
    let zip = take_everything(&ada, PASSPHRASE).await.body;
    let mut expected = payload(&zip);
    expected.retain(|path, _| !path.starts_with("data/secrets/"));
    // One content is stored like the other: a few of those, and every step after them.
    let contents = checked(&zip).items().keys().filter(|path| path.starts_with("data/")).count();
    for stop in [0, 1].into_iter().chain(contents - 1..) {
        let mut here = TestRuntime::new();
        let blob = here.runtime.blobs().put(&zip).unwrap();
        let now = here.clock.now();
        let begin = move |tx: &rusqlite::Transaction<'_>| rows::insert(tx, "ada.zip", &rows::Source::Blob(blob), now);
        let id = here.runtime.store().write(begin).await.unwrap();
        turn(&here, &id, usize::MAX).await;
        let key = id.clone();
        let start = move |tx: &rusqlite::Transaction<'_>| rows::set_importing(tx, &key, &[], false);
        assert!(here.runtime.store().write(start).await.unwrap(), "the bundle was found good");
        let killed = turn(&here, &id, stop).await;
        here.restart();
        assert!(!turn(&here, &id, usize::MAX).await);
        let key = id.clone();
        let row = here.runtime.store().read(move |db| rows::find(db, &key)).await.unwrap().unwrap();
        assert_eq!(row.state, rows::State::Done, "killed at step {stop}");
        let out = here.folder().join("again.zip");
        crate::exports::to_file(&here.runtime, &out, None).await.unwrap();
        assert_eq!(payload(&std::fs::read(out).unwrap()), expected, "killed at step {stop}");
        if !killed {
            assert!(stop > contents + 5, "there are {stop} steps");
            break;
        }
    }
}

#[tokio::test]
async fn housekeeping_takes_nothing_from_under_an_import_however_long_that_takes() {
    let zip = take_everything(&lived_in().await, "").await.body;
    let here = TestRuntime::new();
    let blob = here.runtime.blobs().put(&zip).unwrap();
    let now = here.clock.now();
    let begin = move |tx: &rusqlite::Transaction<'_>| rows::insert(tx, "ada.zip", &rows::Source::Blob(blob), now);
    let id = here.runtime.store().write(begin).await.unwrap();
    turn(&here, &id, usize::MAX).await;
    let key = id.clone();
    let start = move |tx: &rusqlite::Transaction<'_>| rows::set_importing(tx, &key, &[], false);
    assert!(here.runtime.store().write(start).await.unwrap());
    let contents = checked(&zip).items().keys().filter(|path| path.starts_with("data/")).count();
    assert!(turn(&here, &id, contents).await, "all is stored, and no section is in");
    let stored = here.runtime.blobs().used();
    for folder in std::fs::read_dir(here.folder().join("blobs")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let file = std::fs::File::options().write(true).open(file.unwrap().path()).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        }
    }
    crate::serve::tidy::once(&here.runtime).await.unwrap();
    assert_eq!(here.runtime.blobs().used(), stored);
}

#[tokio::test]
async fn a_bundle_that_ends_the_process_each_time_is_not_tried_for_ever() {
    let t = TestRuntime::signed_in().await;
    for (id, state, at_last) in [("c", "checking", "refused"), ("i", "importing", "failed")] {
        let insert = move |tx: &rusqlite::Transaction<'_>| {
            let sql = "insert into imports (id, file_name, sha256, size, state, created_at)
                values (?1, 'ada.zip', zeroblob(32), 1, ?2, '2026-03-14 09:26:53+00:00')";
            Ok(tx.execute(sql, [id, state])?)
        };
        t.runtime.store().write(insert).await.unwrap();
        // Three times the process ended as soon as it had begun; once it was only told to stop.
        super::told_to_stop(&t.runtime).await.unwrap();
        for _ in 0..4 {
            t.runtime.store().write(move |tx| rows::count_try(tx, id)).await.unwrap();
        }
        super::told_to_stop(&t.runtime).await.unwrap();
        work::turn_of(&t.runtime, id, Arc::new(Turn::take(id).unwrap()), Arc::new(|_: &str| Ok(()))).await.unwrap();
        let row = t.runtime.store().read(move |db| rows::find(db, id)).await.unwrap().unwrap();
        assert_eq!(status(&t, &format!("/control/import/{id}")).await["state"], at_last, "{row:?}");
        let gone = t.post(&format!("/control/import/{id}/discard"), &[]).await;
        assert_eq!(gone.location(), "/control/import");
    }
}

#[tokio::test]
async fn the_command_line_fills_a_folder_from_the_file_or_the_unzipped_folder() {
    let ada = lived_in().await;
    let zip = take_everything(&ada, PASSPHRASE).await.body;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ada.zip");
    std::fs::write(&file, &zip).unwrap();
    assert_eq!(super::check_file(&file).unwrap().domain, "ada.percloud.localhost");
    let unzipped = folder.path().join("unzipped");
    zip::ZipArchive::new(std::io::Cursor::new(&zip)).unwrap().extract(&unzipped).unwrap();
    let base = std::fs::read_dir(&unzipped).unwrap().next().unwrap().unwrap().path();

    let clock = || Clock::fixed(crate::testing::start());
    for (from, passphrase) in [(&file, Some(PASSPHRASE)), (&base, None)] {
        let data = tempfile::tempdir().unwrap();
        let wrong = super::from_file(from, data.path(), Some("not the passphrase at all".into()), clock()).await;
        assert!(wrong.is_err());
        let done = super::from_file(from, data.path(), passphrase.map(str::to_owned), clock()).await.unwrap();
        assert_eq!(done.has_owner, passphrase.is_some());
        assert!(done.report.balanced && data.path().join("import-report.json").exists());
        let again = super::from_file(from, data.path(), None, clock()).await.unwrap();
        assert!(again.report.balanced, "twice is once");
        let spec = crate::testing::spec();
        let rt = crate::runtime::Runtime::open(data.path(), spec, crate::runtime::Place::Home, clock()).unwrap();
        let out = data.path().join("again.zip");
        crate::exports::to_file(&rt, &out, None).await.unwrap();
        let mut expected = payload(&zip);
        expected.retain(|path, _| !path.starts_with("data/secrets/"));
        assert_eq!(payload(&std::fs::read(out).unwrap()), expected);
    }
    let bad = folder.path().join("bad.zip");
    std::fs::write(&bad, b"nothing").unwrap();
    let data = folder.path().join("never");
    assert!(super::from_file(&bad, &data, None, clock()).await.is_err());
    assert!(!data.exists(), "nothing is made for a bad bundle");
}

/// Gives a file in pieces, as browsers with JavaScript do; answers with where it is looked at.
async fn send(this: &TestRuntime, content: &[u8]) -> String {
    let encoded = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let wanted = format!("filename {},purpose {}", encoded("ada.zip"), encoded("import"));
    let tus = |method, at: &str| this.request(method, at).header("tus-resumable", "1.0.0");
    let create = tus(Method::POST, "/app/uploads/").header("upload-length", content.len());
    let created = this.fetch(create.header("upload-metadata", wanted).body(axum::body::Body::empty()).unwrap()).await;
    let piece = tus(Method::PATCH, created.location()).header("content-type", "application/offset+octet-stream");
    let piece = piece.header("upload-offset", 0).body(axum::body::Body::from(content.to_vec())).unwrap();
    this.fetch(piece).await.header("upload-result").to_owned()
}

#[tokio::test]
async fn the_host_knows_of_an_import_from_its_first_moment_on() {
    let this = TestRuntime::signed_in().await;
    let told = || crate::status::read(this.runtime.folder()).and_then(|told| told.wake_at);
    crate::status::write(&this.runtime).await.unwrap();
    let now = Some(this.clock.now());
    assert!(told() > now);
    let bundle = take_everything(&lived_in().await, "").await.body;
    for in_pieces in [false, true] {
        let at = if in_pieces { send(&this, &bundle).await } else { give(&this, &bundle).await };
        assert_eq!(told(), now, "it is to be checked");
        assert_eq!(settled(&this, &at).await["state"], "ready");
        crate::status::write(&this.runtime).await.unwrap();
        assert!(told() > now, "it waits for its owner");
        if in_pieces {
            assert_eq!(this.post(&format!("{at}/start"), &[]).await.status, StatusCode::SEE_OTHER);
            assert_eq!(told(), now, "it is taken in");
            assert_eq!(settled(&this, &at).await["state"], "done");
        }
    }
}
