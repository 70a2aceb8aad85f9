//! Bookmarks as their owner meets them, without the pages.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{
    store::{self, Added, Edited, Filter},
    *,
};
use crate::{services::Service, testing::TestRuntime};

fn entry(url: &str, title: &str, tags: &[&str]) -> Entry {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    Entry { url: urls::link(url).unwrap(), title: title.into(), tags, ..Entry::default() }
}

fn time(days: i64) -> DateTime<Utc> {
    crate::testing::start() + TimeDelta::days(days)
}

async fn on<T: Send + 'static>(
    rt: &TestRuntime,
    work: impl FnOnce(&Transaction<'_>) -> anyhow::Result<T> + Send + 'static,
) -> T {
    rt.runtime.store().write(work).await.unwrap()
}

#[tokio::test]
async fn the_same_page_is_bookmarked_once() {
    let rt = TestRuntime::new();
    on(&rt, |tx| {
        let (first, added) = store::add(tx, entry("https://example.org/a", "", &["One"]), time(0), time(0))?;
        assert_eq!(added, Added::New);
        let again = Entry {
            note: "why".into(),
            visibility: Visibility::Public,
            ..entry("http://www.example.org/a/#x", "Title", &["one", "two"])
        };
        let (merged, added) = store::add(tx, again.clone(), time(1), time(1))?;
        assert_eq!((added, &merged.id), (Added::Merged, &first.id));
        assert_eq!(merged.entry.tags, ["One", "two"]);
        assert_eq!((merged.entry.title.as_str(), merged.entry.note.as_str()), ("Title", "why"));
        assert_eq!(merged.entry.visibility, Visibility::Private, "adding never shows what was hidden");
        assert_eq!(store::add(tx, again, time(2), time(2))?.1, Added::Known);

        let (other, _) = store::add(tx, entry("https://example.org/b", "", &[]), time(3), time(3))?;
        assert_eq!(
            store::edit(tx, &other.id, entry("https://example.org/a", "", &[]), time(3))?,
            Edited::Duplicate(first.id)
        );
        assert_eq!(store::edit(tx, &other.id, entry("https://example.org/c", "C", &[]), time(3))?, Edited::Done);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn search_forgives_case_and_accents_and_wants_every_word() {
    let rt = TestRuntime::new();
    on(&rt, |tx| {
        let perche = Entry {
            note: "Una nota SUL gatto".into(),
            ..entry("https://a.example/", "Perché 100% no_t", &["Città"])
        };
        store::add(tx, perche, time(0), time(0))?;
        store::add(tx, entry("https://b.example/", "Other", &[]), time(1), time(1))?;
        for (words, count) in [
            ("", 2),
            ("PERCHE", 1),
            ("gatto sul", 1),
            ("gatto cane", 0),
            ("citta", 1),
            ("b.example", 1),
            ("100%", 1),
            ("%", 1),
            ("_", 1),
            ("'; --", 0),
        ] {
            let filter = Filter { words: words.into(), ..Filter::default() };
            assert_eq!(store::list(tx, &filter, 0, 10)?.1, count, "{words}");
        }
        let tagged = Filter { tag: Some("città".into()), ..Filter::default() };
        assert_eq!(store::list(tx, &tagged, 0, 10)?.1, 1);
        assert_eq!(store::list(tx, &Filter { public_only: true, ..Filter::default() }, 0, 10)?.1, 0);
        assert_eq!(store::tags(tx, false)?.len(), 1);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn deleting_can_be_undone_even_when_the_page_came_back() {
    let rt = TestRuntime::new();
    on(&rt, |tx| {
        let (first, _) = store::add(tx, entry("https://example.org/", "Old", &["old"]), time(0), time(0))?;
        assert!(store::delete(tx, &first.id, time(1))? && !store::delete(tx, &first.id, time(1))?);
        let (second, added) = store::add(tx, entry("https://example.org/", "New", &[]), time(2), time(2))?;
        assert_eq!(added, Added::New);
        assert!(store::restore(tx, &first.id, time(3))?);
        assert_eq!(store::find(tx, &second.id)?.unwrap().entry.tags, ["old"]);
        assert!(store::find(tx, &first.id)?.is_none());

        store::delete(tx, &second.id, time(4))?;
        store::tidy(tx, time(30))?;
        assert!(store::restore(tx, &second.id, time(31))?);
        store::delete(tx, &second.id, time(32))?;
        store::tidy(tx, time(63))?;
        assert!(store::find(tx, &second.id)?.is_none());
        Ok(())
    })
    .await;
}

async fn exported(rt: &TestRuntime) -> Folder {
    rt.runtime
        .store()
        .read(|db| {
            let mut out = Folder::default();
            Bookmarks.export(db, &mut out)?;
            Ok(out)
        })
        .await
        .unwrap()
}

async fn imported(rt: &TestRuntime, texts: &[(String, Vec<u8>)]) -> Counts {
    let put = |(path, text): &(String, Vec<u8>)| (path.clone(), rt.runtime.blobs().put(text).unwrap());
    let entries: BTreeMap<_, _> = texts.iter().map(put).collect();
    let blobs = rt.runtime.blobs().clone();
    on(rt, move |tx| Bookmarks.import(tx, &Section { entries: &entries, blobs: &blobs, secrets: &[], now: time(100) }))
        .await
}

#[tokio::test]
async fn export_import_export_gives_the_same_bytes() {
    let (here, there) = (TestRuntime::new(), TestRuntime::new());
    on(&here, |tx| {
        let public = Entry {
            note: "two\nlines <b>".into(),
            visibility: Visibility::Public,
            ..entry("https://a.example/", "A & B", &["x", "y z"])
        };
        store::add(tx, public, time(0), time(0))?;
        store::add(tx, entry("mailto:ada@example.org", "", &[]), time(1), time(1))?;
        let (gone, _) = store::add(tx, entry("https://c.example/", "C", &[]), time(1), time(1))?;
        store::delete(tx, &gone.id, time(2))?;
        Ok(())
    })
    .await;
    let first = exported(&here).await;
    assert_eq!(first.urls, [("/bookmarks".into(), 200, "bookmarks/bookmarks.html".into())]);
    let counts = imported(&there, &first.texts).await;
    assert_eq!((counts.counted, counts.imported), (3, 3), "{counts:?}");
    assert_eq!(exported(&there).await.texts, first.texts);
    let again = imported(&there, &first.texts).await;
    assert_eq!((again.counted, again.preserved), (3, 3));

    let html_only: Vec<_> = first.texts.iter().filter(|text| text.0.ends_with(".html")).cloned().collect();
    let counts = imported(&TestRuntime::new(), &html_only).await;
    assert_eq!((counts.counted, counts.imported), (2, 2), "what is in the trash is not in the file for browsers");
}

#[tokio::test]
async fn what_runs_is_no_bookmark_not_even_in_a_bundle() {
    let rt = TestRuntime::new();
    let json = r#"{"version":1,"bookmarks":[
        {"id":"0d1e2f30-0000-4000-8000-000000000000","revision":1,"url":"javascript:alert(1)","created":"2020-01-01T00:00:00Z","updated":"2020-01-01T00:00:00Z"},
        {"id":"../../x","revision":1,"url":"https://a.example/","created":"2020-01-01T00:00:00Z","updated":"2020-01-01T00:00:00Z"}]}"#;
    let counts = imported(&rt, &[("bookmarks/bookmarks.json".into(), json.into())]).await;
    assert_eq!((counts.counted, counts.refused.len()), (2, 2));
    let counts = imported(&rt, &[("bookmarks/bookmarks.json".into(), b"{".to_vec())]).await;
    assert_eq!((counts.counted, counts.refused.len()), (1, 1));
}
