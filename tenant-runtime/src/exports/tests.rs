use std::sync::Arc;

use axum::body::Body;
use bundle::{
    read::{Checked, Package, Signature},
    zip::Limits,
};
use chrono::TimeDelta;
use http::{Method, StatusCode};

use crate::{
    blobs::Blob,
    settings::{self, Picture, Settings},
    testing::{Answer, TestRuntime},
};

pub(crate) const PASSPHRASE: &str = "my grandmother kept seven grumpy geese";

/// The smallest PNG there is.
pub(crate) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82";

/// A percloud with something in it: choices, a picture, and a section of a program that we do not know.
pub(crate) async fn lived_in() -> TestRuntime {
    let this = TestRuntime::signed_in().await;
    let avatar = this.runtime.blobs().put(PNG).unwrap();
    let strange: Vec<(String, Blob)> = (0..3)
        .map(|n| {
            let content = vec![u8::try_from(n).unwrap(); 100_000];
            (format!("data/x/com.example.game/level {n}.bin"), this.runtime.blobs().put(&content).unwrap())
        })
        .collect();
    this.runtime
        .store()
        .write(move |tx| {
            let chosen = Settings {
                name: "Ada Lovelace".into(),
                about: "Numbers & <notes>".into(),
                avatar: Some(Picture { blob: avatar, media_type: "image/png".into() }),
                accent: Some(ui::ACCENTS[1].name.to_owned()),
                language: Some(ui::Lang::It),
                theme: ui::Theme::Dark,
                home: settings::HomeSections { posts: true, files: false, bookmarks: true },
            };
            settings::put(tx, &chosen)?;
            let section = serde_json::json!({"id": "x/com.example.game", "spec": "https://game.example", "version": "3",
                "path": "data/x/com.example.game", "count": 3, "bytes": 300_000, "highWater": 7});
            super::keep_section(tx, &serde_json::from_value(section)?)?;
            for (path, blob) in &strange {
                super::keep_file(tx, path, blob)?;
            }
            super::keep_line(tx, "members", "{\"newer\":[1,2]}")?;
            Ok(())
        })
        .await
        .unwrap();
    daily_use(&this).await;
    this
}

/// Files with odd names, a post, bookmarks.
async fn daily_use(this: &TestRuntime) {
    for (name, content) in [("CON.txt", "a device"), ("Übung: 100% <fertig>?.md", "# Übung\n"), ("empty", "")] {
        let parts = [("folder", "", b"top".as_slice()), ("file", name, content.as_bytes())];
        let added = this.post_multipart("/app/files/upload", &parts).await;
        assert!(added.status.is_redirection(), "{}", added.text());
    }
    let field = |name, value: &'static str| (name, "", value.as_bytes());
    let post = [
        field("revision", "0"),
        field("title", "Hello, world"),
        field("body", "Some *words* & a [link](https://example.org/)."),
        field("tags", "one, two"),
        field("visibility", "public"),
        field("action", "publish"),
    ];
    let published = this.post_multipart(&format!("/app/posts/{}", crate::text::new_id()), &post).await;
    assert!(published.status.is_redirection(), "{}", published.text());
    for (url, visibility) in [("https://example.org/", "public"), ("https://example.net/?q=1", "private")] {
        let fields = [("url", url), ("title", "A page"), ("tags", "one, two"), ("visibility", visibility)];
        assert!(this.post("/app/bookmarks/add", &fields).await.status.is_redirection());
    }
}

/// Clicks the button; gives the whole download.
pub(crate) async fn take_everything(this: &TestRuntime, passphrase: &str) -> Answer {
    let clicked = this.post("/control/export", &[("passphrase", passphrase)]).await;
    assert_eq!(clicked.status, StatusCode::SEE_OTHER, "{}", clicked.text());
    let answer = this.get(clicked.location()).await;
    assert_eq!(answer.status, StatusCode::OK);
    answer
}

pub(crate) fn checked(zip: &[u8]) -> Checked {
    Package::zip(Arc::new(zip.to_vec()), &Limits::default()).unwrap().check(&mut |_| true).unwrap()
}

async fn get_with(this: &TestRuntime, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = this.request(Method::GET, target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    this.fetch(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn one_click_gives_a_signed_bundle_of_known_length() {
    let this = lived_in().await;
    let answer = take_everything(&this, "").await;
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert!(answer.header("content-disposition").contains("percloud-ada.percloud.localhost-20260314T092653Z-full.zip"));
    let bundle = checked(&answer.body);
    assert!(matches!(bundle.signature(), Signature::Good(_)));
    assert!(!bundle.has_secrets());
    let sections: Vec<_> = bundle.percloud().sections.iter().map(|s| s.id.as_str()).collect();
    assert!(sections.contains(&"settings") && sections.contains(&"x/com.example.game"), "{sections:?}");
    let avatar = &bundle.items()["data/settings/avatar.png"];
    assert_eq!(avatar.sum.sha256, bundle::Sum::of(PNG).sha256);
    assert_eq!(bundle.percloud().other["newer"][1], 2);
}

#[tokio::test]
async fn a_download_that_broke_off_goes_on_even_after_a_restart() {
    let mut this = lived_in().await;
    let clicked = this.post("/control/export", &[]).await;
    let target = clicked.location().to_owned();
    let whole = this.get(&target).await;
    let etag = whole.header("etag").to_owned();
    this.restart();
    let rest = get_with(&this, &target, &[("range", "bytes=150000-"), ("if-range", &etag)]).await;
    assert_eq!(rest.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(rest.header("etag"), etag);
    let all = whole.body.len();
    assert_eq!(rest.header("content-range"), format!("bytes 150000-{}/{all}", all - 1));
    assert_eq!(rest.body, whole.body[150_000..]);
    let beyond = get_with(&this, &target, &[("range", &format!("bytes={all}-"))]).await;
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (StatusCode::RANGE_NOT_SATISFIABLE, &*format!("bytes */{all}"))
    );
}

#[tokio::test]
async fn what_was_changed_meanwhile_makes_a_new_bundle_not_a_mixed_one() {
    let mut this = lived_in().await;
    let clicked = this.post("/control/export", &[]).await;
    let target = clicked.location().to_owned();
    let whole = this.get(&target).await;
    let rename = |tx: &rusqlite::Transaction<'_>| {
        let chosen = Settings { name: "Countess".into(), ..settings::get(tx)? };
        settings::put(tx, &chosen)
    };
    this.runtime.store().write(rename).await.unwrap();
    // As long as the process lives, a download sees one moment.
    assert_eq!(this.get(&target).await.body, whole.body);
    this.restart();
    let (etag, range) = (whole.header("etag"), ("range", "bytes=1000-"));
    let fresh = get_with(&this, &target, &[range, ("if-range", etag)]).await;
    assert_eq!(fresh.status, StatusCode::OK);
    assert_ne!(fresh.header("etag"), etag);
    let (before, after) = (checked(&whole.body), checked(&fresh.body));
    assert_ne!(before.percloud().id, after.percloud().id);
}

#[tokio::test]
async fn secrets_leave_only_under_a_strong_passphrase() {
    let this = lived_in().await;
    let weak = this.post("/control/export", &[("passphrase", "password")]).await;
    assert_eq!(weak.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(weak.text().contains("f-passphrase-error"), "the page says what is wrong with it");
    let answer = take_everything(&this, PASSPHRASE).await;
    let bundle = checked(&answer.body);
    let text = |path: &str| bundle.text(path).unwrap().unwrap();
    let opened = bundle::secrets::open(PASSPHRASE, &text(bundle::secrets::IDENTITY)).unwrap();
    let account = String::from_utf8(opened.read(&text("data/secrets/account.age")).unwrap()).unwrap();
    assert!(account.contains("$argon2id$"), "{account}");
    assert!(!String::from_utf8_lossy(&answer.body).contains("$argon2id$"));
}

#[tokio::test]
async fn an_export_can_be_downloaded_for_a_week_by_its_owner_only() {
    let mut this = lived_in().await;
    let target = this.post("/control/export", &[]).await.location().to_owned();
    let cookie = this.cookie.take();
    assert_eq!(this.get(&target).await.status, StatusCode::SEE_OTHER, "sign in first");
    this.cookie = cookie;
    assert_eq!(this.get("/control/export/nothing/a.zip").await.status, StatusCode::NOT_FOUND);
    this.clock.advance(TimeDelta::days(8));
    assert_eq!(this.get(&target).await.status, StatusCode::GONE);
}

#[tokio::test]
async fn a_suspended_percloud_can_still_be_taken_along() {
    let mut this = TestRuntime::with(|spec| spec.suspended = Some("unpaid".into()));
    this.sign_in().await;
    assert_eq!(this.get("/control/export").await.status, StatusCode::OK);
    checked(&take_everything(&this, "").await.body);
}

#[tokio::test]
async fn the_page_says_what_will_be_in_it_and_what_was_made_before() {
    let this = lived_in().await;
    take_everything(&this, "").await;
    let page = this.get("/control/export").await;
    assert_eq!(page.status, StatusCode::OK);
    for part in ["x/com.example.game", "/control/export/", "download"] {
        assert!(page.text().contains(part), "{part}");
    }
}

#[tokio::test]
async fn the_command_line_writes_the_same_bundle_into_a_file() {
    let this = lived_in().await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("ada.zip");
    let size = super::to_file(&this.runtime, &out, Some(PASSPHRASE.into())).await.unwrap();
    let zip = std::fs::read(&out).unwrap();
    assert_eq!(zip.len() as u64, size);
    assert!(checked(&zip).has_secrets());
    assert!(super::to_file(&this.runtime, &out, None).await.is_err(), "it never overwrites");
}

#[test]
fn every_page_of_export_and_import_renders_in_every_language() {
    fn render<P: ui::Page>() {
        for lang in [ui::Lang::En, ui::Lang::It] {
            for page in P::samples() {
                let view = ui::View { lang, path: "/control/export".into(), site: "Ada".into(), ..ui::View::default() };
                if let Err(error) = crate::pages::pages().render(&page, &view) {
                    panic!("{}: {error:#}", P::TEMPLATE);
                }
            }
        }
    }
    use crate::imports::{Choose, Done, Ready, Refused, Running};
    render::<super::Export>();
    render::<Choose>();
    render::<Ready>();
    render::<Refused>();
    render::<Running>();
    render::<Done>();
}

/// Holds what is really exported against the schemas of `docs/schemas/`, with a validator that is not ours.
#[tokio::test]
async fn a_real_export_is_as_the_schemas_say() {
    let this = lived_in().await;
    let bundle = checked(&take_everything(&this, "").await.body);
    let folder = tempfile::tempdir().unwrap();
    let schemas = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas");
    let parts = [
        ("percloud.json", "percloud.schema.json"),
        ("data/urls/urls.jsonl", "urls.schema.json"),
        ("data/bookmarks/bookmarks.json", "bookmarks.schema.json"),
        ("data/files/meta.jsonl", "files-meta.schema.json"),
    ];
    let mut args = Vec::new();
    for (number, (path, schema)) in parts.iter().enumerate() {
        let Some(text) = bundle.text(path).unwrap() else { continue };
        let name = if path.ends_with("jsonl") { format!("{number}.jsonl") } else { format!("{number}.json") };
        std::fs::write(folder.path().join(&name), text).unwrap();
        args.extend([folder.path().join(name).into_os_string(), schemas.join(schema).into_os_string()]);
    }
    assert!(args.len() == 8, "there is something to check");
    let script = "import json, sys\ntry:\n    import jsonschema\nexcept ImportError:\n    sys.exit('this Python has no jsonschema: set BAGIT_PYTHON to one that has (infra/test does)')\n\
                  for file, schema in zip(sys.argv[1::2], sys.argv[2::2]):\n    text = open(file, encoding='utf-8').read()\n    \
                  check = jsonschema.Draft202012Validator(json.load(open(schema))); jsonschema.Draft202012Validator.check_schema(check.schema)\n    \
                  for one in (text.splitlines() if file.endswith('l') else [text]):\n        check.validate(json.loads(one))\n    print('fits', schema)\n";
    let python = std::env::var("BAGIT_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let output = std::process::Command::new(&python).arg("-c").arg(script).args(&args).output();
    let output = output.unwrap_or_else(|e| panic!("{python} is needed for this test (infra/test installs it): {e}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
