use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{META, export, import};
use crate::{
    blobs::Blob,
    exports::Folder,
    imports::{Counts, Section},
    runtime::Runtime,
    services::files::{
        names::Name,
        node::Id,
        shares,
        store::{read, trash, write},
    },
    testing::TestRuntime,
};

fn now() -> DateTime<Utc> {
    crate::testing::start()
}

async fn exported(rt: &Runtime) -> Folder {
    rt.store()
        .read(|db| {
            let mut out = Folder::default();
            export(db, &mut out)?;
            Ok(out)
        })
        .await
        .unwrap()
}

/// Carries what one percloud exported into another, as the bundle would.
async fn imported(from: &Runtime, out: &Folder, into: &Runtime, with_secrets: bool) -> Counts {
    let mut entries: BTreeMap<String, Blob> = BTreeMap::new();
    for (path, text) in &out.texts {
        entries.insert(path.clone(), into.blobs().put(text).unwrap());
    }
    for (path, blob) in &out.blobs {
        bundle::paths::check(&format!("data/{path}")).unwrap_or_else(|why| panic!("{path}: {why:?}"));
        let content = std::fs::read(from.blobs().path(&blob.sha256)).unwrap();
        assert!(entries.insert(path.clone(), into.blobs().put(&content).unwrap()).is_none(), "{path} twice");
    }
    take(entries, if with_secrets { out.secrets.clone() } else { Vec::new() }, into).await
}

async fn take(entries: BTreeMap<String, Blob>, secrets: Vec<(String, serde_json::Value)>, into: &Runtime) -> Counts {
    let blobs = into.blobs().clone();
    into.store()
        .write(move |tx| import(tx, &Section { entries: &entries, blobs: &blobs, secrets: &secrets, now: now() }))
        .await
        .unwrap()
}

/// Odd names, deep folders, an empty file, trash in trash, public things, links.
async fn furnished() -> TestRuntime {
    let t = TestRuntime::new();
    let blobs = t.runtime.blobs().clone();
    t.runtime
        .store()
        .write(move |tx| {
            let name = |text: &str| Name::parse(text).unwrap();
            let add = |parent: &Id, text: &str, content: &str| {
                let blob = blobs.put(content.as_bytes())?;
                anyhow::Ok(write::add_file(
                    tx,
                    parent,
                    &name(text),
                    "text/plain",
                    blob,
                    now() - TimeDelta::days(9),
                    now(),
                )?)
            };
            let top = Id::top();
            for odd in ["100%.txt", "100_.txt", "a:b", "CON", "Ünïcödé ☃.txt", "_deep", "\u{202e}fdp.exe", "dot.", "~x"]
            {
                add(&top, odd, odd)?;
            }
            add(&top, &format!("{}.txt", "ü".repeat(125)), "long")?;
            add(&top, "empty", "")?;
            let mut deep = top.clone();
            for n in 0..30 {
                deep = write::make_folder(tx, &deep, &name(&format!("folder number {n}")), now())?.id;
            }
            add(&deep, "deep down", "deep")?;
            let gone = write::make_folder(tx, &top, &name("gone"), now())?.id;
            let early = add(&gone, "early", "early")?;
            add(&gone, "late", "late")?;
            trash::throw(tx, &[early.id], now() - TimeDelta::days(2))?;
            trash::throw(tx, &[gone], now())?;
            let public = write::make_folder(tx, &top, &name("Public"), now())?.id;
            let photo = add(&public, "photo.jpg", "jpeg")?;
            write::set_public(tx, &public, Some(now()))?;
            let share = |password: Option<&str>| shares::Share {
                id: Id::random(),
                node: photo.id.clone(),
                token: shares::new_token(),
                password: password.map(str::to_owned),
                expires_at: Some(now() + TimeDelta::days(7)),
                created_at: now(),
                opened: 3,
                opened_at: Some(now()),
            };
            shares::insert(tx, &share(None))?;
            shares::insert(tx, &share(Some("$argon2id$…")))
        })
        .await
        .unwrap();
    t
}

#[tokio::test]
async fn export_import_export_gives_the_same_bytes() {
    let (first, second) = (furnished().await, TestRuntime::new());
    let out = exported(&first.runtime).await;
    let counts = imported(&first.runtime, &out, &second.runtime, true).await;
    assert_eq!(counts.refused, []);
    assert_eq!((counts.counted, counts.imported), (47, 47));
    let again = exported(&second.runtime).await;
    assert_eq!(out.texts, again.texts);
    assert_eq!(out.blobs, again.blobs);
    assert_eq!(out.urls, again.urls);
    assert_eq!(out.secrets, again.secrets);
    assert!(out.urls.iter().all(|(url, status, _)| url.starts_with("/files/") && *status == 200));
    assert_eq!(out.urls.len(), 2);
    let meta = String::from_utf8(out.texts[0].1.clone()).unwrap();
    assert!(out.secrets.iter().all(|(_, secret)| !meta.contains(secret["token"].as_str().unwrap())));
}

#[tokio::test]
async fn a_second_import_changes_nothing_and_a_later_revision_wins() {
    let (first, second) = (furnished().await, TestRuntime::new());
    let out = exported(&first.runtime).await;
    imported(&first.runtime, &out, &second.runtime, false).await;
    let counts = imported(&first.runtime, &out, &second.runtime, false).await;
    assert_eq!((counts.preserved, counts.imported, counts.transformed), (47, 0, 0));
    assert!(exported(&second.runtime).await.secrets.is_empty());
    // The owner renames at the first place and imports once more.
    first
        .runtime
        .store()
        .write(|tx| {
            let node = read::by_name(tx, &Id::top(), "empty")?.unwrap();
            write::rename(tx, &node.id, &Name::parse("still empty")?)?;
            Ok(())
        })
        .await
        .unwrap();
    let out = exported(&first.runtime).await;
    let counts = imported(&first.runtime, &out, &second.runtime, true).await;
    assert_eq!((counts.preserved, counts.imported), (46, 1));
    assert_eq!(out.texts, exported(&second.runtime).await.texts);
}

#[tokio::test]
async fn names_that_are_taken_get_numbers_and_nothing_is_lost() {
    let (first, second) = (furnished().await, TestRuntime::new());
    let blobs = second.runtime.blobs().clone();
    second
        .runtime
        .store()
        .write(move |tx| {
            let blob = blobs.put(b"mine")?;
            write::add_file(tx, &Id::top(), &Name::parse("EMPTY")?, "", blob, now(), now())?;
            Ok(())
        })
        .await
        .unwrap();
    let out = exported(&first.runtime).await;
    let counts = imported(&first.runtime, &out, &second.runtime, true).await;
    assert_eq!((counts.imported, counts.transformed), (46, 1));
    let names: Vec<String> = second
        .runtime
        .store()
        .read(|db| {
            Ok(read::search(db, "empty", read::Slice { sort: read::Sort::Name, reversed: false, skip: 0, limit: 9 })?.0)
        })
        .await
        .unwrap()
        .into_iter()
        .map(|node| node.name)
        .collect();
    assert_eq!(names, ["EMPTY", "empty (2)"]);
}

#[tokio::test]
async fn dates_that_no_program_can_write_come_in_as_the_nearest_that_all_can() {
    let t = TestRuntime::new();
    let (first, last) = ("-0001-11-30T00:00:00Z", "+262142-12-31T23:59:59Z");
    let line = format!(
        r#"{{"id":"dddddddddddddddd","kind":"folder","name":"old","modified":"{last}","created":"{first}","trash":"dddddddddddddddd","trashed_at":"{last}","revision":1}}"#
    );
    let entries = BTreeMap::from([(META.to_owned(), t.runtime.blobs().put(line.as_bytes()).unwrap())]);
    assert_eq!(take(entries, Vec::new(), &t.runtime).await.imported, 1);
    crate::status::write(&t.runtime).await.unwrap();
    let sql = "select substr(modified_at, 1, 4) || substr(created_at, 1, 4) || substr(trashed_at, 1, 4)
        from files_nodes where name = 'old'";
    let years: String = t.runtime.store().read(|db| Ok(db.query_row(sql, [], |row| row.get(0))?)).await.unwrap();
    assert_eq!(years, "999900009999");
}

#[tokio::test]
async fn a_tree_without_lines_comes_in_too_and_bad_lines_are_refused() {
    let t = TestRuntime::new();
    let put = |text: &str| t.runtime.blobs().put(text.as_bytes()).unwrap();
    let line = |id: &str, name: &str, path: &str| {
        format!(
            r#"{{"id":"{id}","kind":"file","name":"{name}","path":"{path}","modified":"2026-01-01T00:00:00Z","created":"2026-01-01T00:00:00Z","revision":1}}"#
        )
    };
    let lines = [
        line("aaaaaaaaaaaaaaaa", "a/b", "files/tree/a"),
        line("bbbbbbbbbbbbbbbb", "missing", "files/tree/missing"),
        line("cccccccccccccccc", "elsewhere", "posts/x"),
        line("dddddddddddddddd", "good", "files/tree/good"),
    ];
    let entries = BTreeMap::from([
        (META.to_owned(), put(&lines.join("\n"))),
        ("files/tree/a".to_owned(), put("a")),
        ("files/tree/good".to_owned(), put("good")),
        ("files/tree/Folder/by hand.txt".to_owned(), put("hand")),
        ("posts/x".to_owned(), put("x")),
    ]);
    let counts = take(entries.clone(), Vec::new(), &t.runtime).await;
    assert_eq!((counts.counted, counts.imported, counts.refused.len()), (5, 2, 3));
    let counts = take(entries, Vec::new(), &t.runtime).await;
    assert_eq!((counts.preserved, counts.refused.len()), (2, 3));
}
