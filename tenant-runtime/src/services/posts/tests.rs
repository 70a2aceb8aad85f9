//! Posts as their owner and their readers meet them, without the pages.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::Transaction;

use super::{
    images::{self, Kind},
    pictures::{self, Picture},
    store::{self, Error, Found, Which},
    *,
};
use crate::{services::Service, testing::TestRuntime, text};

fn draft(title: &str, body: &str) -> Draft {
    Draft { title: title.into(), body: body.into(), ..Draft::default() }
}

fn time(days: i64) -> DateTime<Utc> {
    crate::testing::start() + TimeDelta::days(days)
}

/// Runs `work` in one transaction of a percloud.
async fn on<T: Send + 'static>(
    rt: &TestRuntime,
    work: impl FnOnce(&Transaction<'_>) -> anyhow::Result<T> + Send + 'static,
) -> T {
    rt.runtime.store().write(work).await.unwrap()
}

#[tokio::test]
async fn an_address_stays_whatever_the_title_becomes_and_old_ones_lead_on() {
    let rt = TestRuntime::new();
    on(&rt, |tx| {
        let id = text::new_id();
        let post = store::publish(tx, &id, 0, &draft("Hello, World", "Hi"), None, time(0))?;
        assert_eq!(post.path().unwrap(), "/posts/2026/hello-world");
        let post = store::publish(tx, &id, post.revision, &draft("Another title", "Hi"), None, time(400))?;
        assert_eq!(post.path().unwrap(), "/posts/2026/hello-world", "neither title nor year change it");

        let moved = store::publish(tx, &id, post.revision, &post.text, Some("New Name"), time(1))?;
        assert_eq!(moved.path().unwrap(), "/posts/2026/new-name");
        let old = post.address.clone().unwrap();
        assert!(matches!(store::at(tx, &old)?, Some(Found::Moved(post)) if post.id == id));
        assert_eq!(store::old_addresses(tx, &moved)?, [old]);

        let other = text::new_id();
        let taken = store::publish(tx, &other, 0, &draft("x", "y"), Some("hello-world"), time(2));
        assert!(matches!(taken, Err(Error::AddressTaken)), "an old address is not given away");
        let second = store::publish(tx, &other, 0, &draft("Hello World!", "y"), None, time(2))?;
        assert_eq!(second.path().unwrap(), "/posts/2026/hello-world-2");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn saving_a_draft_shows_nothing_and_loses_nothing() {
    let rt = TestRuntime::new();
    on(&rt, |tx| {
        let id = text::new_id();
        let saved = store::save_draft(tx, &id, 0, &draft("", "first words"), time(0))?;
        assert_eq!((saved.revision, saved.status), (1, Status::Draft));
        let stale = store::save_draft(tx, &id, 0, &draft("", "other window"), time(0));
        assert!(matches!(stale, Err(Error::Stale(1))));
        let post = store::publish(tx, &id, 1, &draft("Title", "published"), None, time(0))?;

        let later = store::save_draft(tx, &id, post.revision, &draft("Title", "not yet"), time(1))?;
        assert_eq!(store::find(tx, &id)?.unwrap().text.body, "published");
        assert_eq!(store::pending(tx, &id)?.unwrap().0.body, "not yet");
        assert_eq!(later.updated_at, post.updated_at, "readers saw no change");
        store::discard_pending(tx, &id)?;
        assert_eq!(store::pending(tx, &id)?, None);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn deleting_can_be_undone_for_thirty_days_and_then_the_address_is_gone() {
    let rt = TestRuntime::new();
    on(&rt, |tx| {
        let (open, hidden) = (text::new_id(), text::new_id());
        let post = store::publish(tx, &open, 0, &draft("Open", "x"), None, time(0))?;
        let private = Draft { visibility: Visibility::Private, ..draft("Hidden", "x") };
        let secret = store::publish(tx, &hidden, 0, &private, None, time(0))?;
        for id in [&open, &hidden] {
            store::set_deleted(tx, id, Some(time(1)))?;
        }
        assert_eq!(store::list(tx, &Which::Listed, "", 0, 10)?.1, 0);
        store::set_deleted(tx, &open, None)?;
        assert_eq!(store::list(tx, &Which::Listed, "", 0, 10)?.1, 1);
        store::set_deleted(tx, &open, Some(time(1)))?;

        store::tidy(tx, time(30))?;
        assert!(store::find(tx, &open)?.is_some());
        store::tidy(tx, time(32))?;
        assert!(store::find(tx, &open)?.is_none());
        assert_eq!(store::at(tx, &post.address.unwrap())?, Some(Found::Gone));
        assert_eq!(store::at(tx, &secret.address.unwrap())?, None, "nobody learns that it existed");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn lists_show_what_their_readers_may_see() {
    let rt = TestRuntime::new();
    on(&rt, |tx| {
        for (day, visibility, tags) in [
            (0, Visibility::Public, vec!["Rust", "open web"]),
            (400, Visibility::Public, vec!["rust"]),
            (1, Visibility::Unlisted, vec!["secret"]),
            (2, Visibility::Private, vec!["secret"]),
        ] {
            let draft =
                Draft { visibility, tags: tags.into_iter().map(String::from).collect(), ..draft("A post", "words") };
            store::publish(tx, &text::new_id(), 0, &draft, None, time(day))?;
        }
        store::save_draft(tx, &text::new_id(), 0, &draft("Draft", "needle"), time(3))?;
        let count = |which: Which, words: &str| store::list(tx, &which, words, 0, 10).unwrap().1;
        let counts = [
            Which::All,
            Which::Drafts,
            Which::Published,
            Which::Listed,
            Which::Year(2026),
            Which::Tag("rust".into()),
            Which::Trash,
        ];
        assert_eq!(counts.map(|which| count(which, "")), [5, 1, 4, 2, 1, 2, 0]);
        assert_eq!((count(Which::All, "NEEDLE"), count(Which::All, "absent")), (1, 0));
        assert_eq!(store::years(tx)?, [(2027, 1), (2026, 1)]);
        let tags: Vec<_> = store::tags(tx, false)?.into_iter().map(|tag| (tag.slug, tag.label, tag.count)).collect();
        assert_eq!(tags, [("rust".into(), "rust".into(), 2), ("open-web".into(), "open web".into(), 1)]);
        assert_eq!(store::tags(tx, true)?.len(), 3);
        Ok(())
    })
    .await;
}

/// Stores a picture as an upload does.
fn picture(rt: &TestRuntime, content: &[u8]) -> Picture {
    let kind = Kind::of(content).unwrap();
    Picture { blob: rt.runtime.blobs().put(content).unwrap(), kind, size: images::size(kind, content) }
}

#[tokio::test]
async fn a_picture_is_seen_by_whoever_may_read_a_text_that_shows_it() {
    let rt = TestRuntime::new();
    let png = picture(&rt, &images::tests::tiny_png());
    on(&rt, move |tx| {
        let hash = png.blob.sha256;
        pictures::put(tx, &png, time(0))?;
        let with = draft("With", &format!("![a]({})", png.path()));
        let id = text::new_id();
        let saved = store::save_draft(tx, &id, 0, &with, time(0))?;
        assert!(!pictures::is_public(tx, &hash)?, "a draft shows it to nobody");
        let post = store::publish(tx, &id, saved.revision, &with, None, time(0))?;
        assert!(pictures::is_public(tx, &hash)?);
        let hidden = Draft { visibility: Visibility::Private, ..with.clone() };
        let post = store::publish(tx, &id, post.revision, &hidden, None, time(0))?;
        assert!(!pictures::is_public(tx, &hash)?);
        let without = store::publish(tx, &id, post.revision, &draft("With", "gone"), None, time(0))?;
        store::save_draft(tx, &id, without.revision, &with, time(0))?;
        assert!(!pictures::is_public(tx, &hash)?, "only changes that are not published show it");
        pictures::tidy(tx, time(100))?;
        assert_eq!(pictures::used(tx)?.len(), 1, "those keep it");
        store::discard_pending(tx, &id)?;
        pictures::tidy(tx, time(100))?;
        assert!(pictures::all(tx)?.is_empty());
        Ok(())
    })
    .await;
}

/// What a percloud exports of posts: texts by path, blobs by path, addresses.
async fn exported(rt: &TestRuntime) -> Folder {
    rt.runtime
        .store()
        .read(|db| {
            let mut out = Folder { origin: "https://ada.example".into(), ..Folder::default() };
            Posts.export(db, &mut out)?;
            Ok(out)
        })
        .await
        .unwrap()
}

/// Takes an export in, as an import does: all content is in the blob store first.
async fn imported(rt: &TestRuntime, from: &TestRuntime, export: &Folder) -> Counts {
    let mut entries = BTreeMap::new();
    for (path, text) in &export.texts {
        entries.insert(path.clone(), rt.runtime.blobs().put(text).unwrap());
    }
    for (path, blob) in &export.blobs {
        let mut content = from.runtime.blobs().read(&blob.sha256).unwrap();
        entries.insert(path.clone(), rt.runtime.blobs().put_reader(&mut content).unwrap());
    }
    let blobs = rt.runtime.blobs().clone();
    let work = move |tx: &Transaction<'_>| {
        Posts.import(tx, &Section { entries: &entries, blobs: &blobs, secrets: &[], now: time(500) })
    };
    rt.runtime.store().write(work).await.unwrap()
}

async fn filled() -> TestRuntime {
    let rt = TestRuntime::new();
    let png = picture(&rt, &images::tests::tiny_png());
    on(&rt, move |tx| {
        pictures::put(tx, &png, time(0))?;
        let id = text::new_id();
        let body = format!("# Ciao\n\n![un gatto]({})\n\n| a |\n|---|\n| è |", png.path());
        let first = Draft { tags: vec!["Gatti".into(), "open web".into()], ..draft("Perché \"no\"?", &body) };
        let post = store::publish(tx, &id, 0, &first, None, time(0))?;
        let post = store::publish(tx, &id, post.revision, &first, Some("gatti"), time(1))?;
        store::save_draft(tx, &id, post.revision, &draft("Pending", "changes"), time(2))?;
        store::publish(
            tx,
            &text::new_id(),
            0,
            &Draft { visibility: Visibility::Unlisted, ..draft("U", "u") },
            None,
            time(3),
        )?;
        store::publish(
            tx,
            &text::new_id(),
            0,
            &Draft { visibility: Visibility::Private, ..draft("P", "p") },
            None,
            time(4),
        )?;
        store::save_draft(tx, &text::new_id(), 0, &draft("", "just begun"), time(5))?;
        let gone = text::new_id();
        store::publish(tx, &gone, 0, &draft("Gone", "x"), None, time(5))?;
        store::set_deleted(tx, &gone, Some(time(6)))?;
        store::purge(tx, &gone)?;
        let trashed = text::new_id();
        store::publish(tx, &trashed, 0, &draft("Trashed", "x"), None, time(5))?;
        Ok(store::set_deleted(tx, &trashed, Some(time(6)))?)
    })
    .await;
    rt
}

#[tokio::test]
async fn export_import_export_gives_the_same_bytes() {
    let (here, there) = (filled().await, TestRuntime::new());
    let first = exported(&here).await;
    let counts = imported(&there, &here, &first).await;
    assert_eq!((counts.counted, counts.imported, counts.refused.len()), (7, 7, 0), "{counts:?}");
    let second = exported(&there).await;
    assert_eq!(sorted(&first), sorted(&second));
    assert_eq!(first.blobs, second.blobs);

    let again = imported(&there, &here, &first).await;
    assert_eq!((again.counted, again.preserved), (7, 7), "{again:?}");
    assert_eq!(sorted(&exported(&there).await), sorted(&first));
}

type Sorted<'a> = (BTreeMap<&'a String, String>, Vec<&'a (String, u16, String)>);

fn sorted(folder: &Folder) -> Sorted<'_> {
    let texts = folder.texts.iter().map(|(path, text)| (path, String::from_utf8_lossy(text).into_owned())).collect();
    let mut urls: Vec<_> = folder.urls.iter().collect();
    urls.sort();
    (texts, urls)
}

#[tokio::test]
async fn every_public_address_is_in_the_export_and_no_other() {
    let rt = filled().await;
    let out = exported(&rt).await;
    let status = |path: &str| out.urls.iter().find(|url| url.0 == path).map(|url| url.1);
    assert_eq!(status("/posts/2026/gatti"), Some(200));
    assert_eq!(status("/posts/2026/perch%C3%A9-no"), Some(301));
    assert_eq!(status("/posts/2026/gone"), Some(410));
    assert_eq!(status("/posts/2026/u"), Some(200));
    assert_eq!(status("/posts/2026/p"), None);
    assert_eq!(status("/posts/2026/trashed"), None);
    assert_eq!(status("/tags/open-web"), Some(200));
    let feed = out.texts.iter().find(|text| text.0 == "blog/feed.json").unwrap();
    let feed: serde_json::Value = serde_json::from_slice(&feed.1).unwrap();
    assert_eq!(feed["items"].as_array().unwrap().len(), 1, "public posts only");
}

#[tokio::test]
async fn an_older_copy_never_takes_the_place_of_a_newer_post() {
    let rt = filled().await;
    let before = exported(&rt).await;
    let changed = on(&rt, |tx| {
        let (posts, _) = store::list(tx, &Which::Listed, "", 0, 1)?;
        Ok(store::publish(tx, &posts[0].id, posts[0].revision, &draft("Newer", "newer"), None, time(9))?)
    })
    .await;
    imported(&rt, &rt, &before).await;
    let id = changed.id.clone();
    assert_eq!(on(&rt, move |tx| store::find(tx, &id)).await.unwrap(), changed);
}

#[tokio::test]
async fn a_post_from_before_the_first_year_stops_no_export() {
    let rt = TestRuntime::new();
    on(&rt, |tx| {
        let post = store::publish(tx, &text::new_id(), 0, &draft("Old", "x"), None, time(0))?;
        let at = "-0001-11-30T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
        Ok(store::put(tx, &Post { published_at: Some(at), ..post })?)
    })
    .await;
    let export = exported(&rt).await;
    let (_, wxr) = export.texts.iter().find(|(path, _)| path == "blog/site.wxr.xml").unwrap();
    assert!(String::from_utf8_lossy(wxr).contains("<pubDate>Tue, 30 Nov -0001 00:00:00 +0000</pubDate>"));
}

#[tokio::test]
async fn what_is_no_picture_or_no_post_is_refused_with_a_reason() {
    let rt = TestRuntime::new();
    let mut hostile = Folder::default();
    hostile.text("blog/uploads/evil.svg", "<svg onload='alert(1)'/>");
    hostile.text(format!("blog/uploads/{}.png", "00".repeat(32)), "not a picture, and not of this hash");
    hostile.text("blog/posts/x.md", "---\ntitle: [\n---\n");
    hostile.text("blog/posts/script.md", "---\ntitle: Hi\ndate: 2020-01-01\n---\n<script>alert(1)</script>ok");
    let counts = imported(&rt, &rt, &hostile).await;
    assert_eq!((counts.counted, counts.imported, counts.refused.len()), (4, 1, 3), "{counts:?}");
}
