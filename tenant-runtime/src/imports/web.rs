//! The pages: give a bundle, see what is in it, begin, watch, read what became of it.

use std::collections::BTreeMap;

use axum::{
    Form, Json,
    extract::{Multipart, Path, State},
    response::{IntoResponse, Response},
};
use bundle::secrets::OpenError;
use chrono::{DateTime, Utc};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};

use super::{
    progress, report,
    rows::{self, Import, Source, State as Stage},
    work,
};
use crate::{
    exports::Part,
    quota,
    runtime::Runtime,
    uploads,
    web::{self, Error, Request, Result},
};

/// Where an import is looked at.
pub(super) fn address(id: &str) -> String {
    format!("/control/import/{id}")
}

/// Give a bundle.
#[derive(Clone, Debug, Serialize)]
pub struct Choose {
    /// Bundles that were given before.
    pub past: Vec<Past>,
    /// What was wrong with the last one.
    pub error: Option<&'static str>,
    /// Bytes that there is room for.
    pub room: u64,
}

/// A bundle that was given before.
#[derive(Clone, Debug, Serialize)]
pub struct Past {
    /// Where to look at it.
    pub href: String,
    /// What its file was called.
    pub name: String,
    /// The message that says how far it came.
    pub state: &'static str,
    /// The badge's kind.
    pub kind: &'static str,
    /// When it was given.
    pub at: DateTime<Utc>,
}

/// What is in a bundle, and what will happen.
#[derive(Clone, Debug, Serialize)]
pub struct Ready {
    /// Where its forms go.
    pub href: String,
    /// What is in it.
    pub summary: report::Summary,
    /// Its sections, as the page shows them.
    pub parts: Vec<Part>,
    /// Whether there is room for it.
    pub fits: bool,
    /// Bytes in use and bytes that may be used.
    pub used: u64,
    /// See `used`.
    pub quota: u64,
    /// It was tried before and stopped.
    pub again: bool,
    /// Whether the passphrase was given already.
    pub opened: bool,
    /// What is wrong with the passphrase.
    pub error: Option<&'static str>,
    /// The last characters of the signing key, to compare.
    pub key: Option<String>,
}

/// A bundle that is not taken in.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// Where its form goes.
    pub href: String,
    /// The message that says why.
    pub key: String,
    /// The entry it is about.
    pub at: Option<String>,
    /// What the file was called.
    pub name: String,
}

/// A worker is at it.
#[derive(Clone, Debug, Serialize)]
pub struct Running {
    /// The message that says what is done now.
    pub step: &'static str,
    /// Bytes done, and of how many; 0 when there is nothing to count.
    pub done: u64,
    /// See `done`.
    pub total: u64,
    /// Of a thousand.
    pub share: u64,
    /// Whether the bundle is only looked at.
    pub checking: bool,
    /// What the file was called.
    pub name: String,
}

/// What became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    /// Where the receipt is.
    pub receipt: String,
    /// Where it came from.
    pub from: String,
    /// Whether secrets were opened.
    pub secrets: bool,
    /// Whether every item is accounted for.
    pub balanced: bool,
    /// What became of each section.
    pub rows: Vec<Counted>,
}

/// What became of one section.
#[derive(Clone, Debug, Serialize)]
pub struct Counted {
    /// Its id.
    pub section: String,
    /// Whether there is a message for it.
    pub known: bool,
    /// Items found.
    pub counted: u64,
    /// Taken in, as they were or changed.
    pub imported: u64,
    /// Already here, or kept aside.
    pub preserved: u64,
    /// Not taken in.
    pub refused: Vec<(String, String)>,
}

impl ui::Page for Choose {
    const TEMPLATE: &'static str = "imports/choose.html";
    fn samples() -> Vec<Self> {
        let at = DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_500);
        let past = STATES.iter().map(|(_, state, kind)| Past {
            href: address("abc"),
            name: "percloud-ada.example-20260301T102030Z-full.zip".into(),
            state,
            kind,
            at,
        });
        let past: Vec<_> = past.collect();
        let unnamed = Past { name: String::new(), ..past[0].clone() };
        vec![
            Self { past: vec![], error: None, room: 5_000_000_000 },
            Self { past, error: Some("import.no-file"), room: 1_000 },
            Self { past: vec![unnamed], error: None, room: 0 },
        ]
    }
}

fn sample_summary() -> report::Summary {
    report::Summary {
        bundle: "0b0c1d2e-3f40-4152-8364-758697a8b9ca".into(),
        created: DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_500),
        handle: "Ada".into(),
        domain: "ada.example".into(),
        exporter: "percloud-runtime 0.1.0".into(),
        key: Some("RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3".into()),
        secrets: true,
        sections: vec![],
        files: 1234,
        bytes: 5_678_901_234,
        tagmanifest_sha256: "00".repeat(32),
    }
}

impl ui::Page for Ready {
    const TEMPLATE: &'static str = "imports/ready.html";
    fn samples() -> Vec<Self> {
        let all = ["files", "blog", "bookmarks", "settings", "urls", "secrets", "provenance", "x/com.example.game"];
        let parts: Vec<_> = all.iter().zip(1..).map(|(s, n)| Part::new(s, n, n * 1_234_567)).collect();
        let full = Self {
            href: address("abc"),
            summary: sample_summary(),
            parts,
            fits: true,
            used: 1_000_000,
            quota: 10_000_000_000,
            again: false,
            opened: false,
            error: None,
            key: Some("GPpvWucNSCh1CBM0QTaLn73Y7GFO3".into()),
        };
        let mut bare = Self { key: None, fits: false, parts: vec![], ..full.clone() };
        bare.summary.key = None;
        bare.summary.secrets = false;
        vec![
            Self { error: Some("import.passphrase.wrong"), ..full.clone() },
            Self { error: Some("import.passphrase.damaged"), ..full.clone() },
            Self { again: true, opened: true, ..full.clone() },
            full,
            bare,
        ]
    }
}

impl ui::Page for Refused {
    const TEMPLATE: &'static str = "imports/refused.html";
    fn samples() -> Vec<Self> {
        let one = |why: &bundle::Why| Self {
            href: address("abc"),
            key: format!("refused.{}", why.key()),
            at: (*why != bundle::Why::NotZip).then(|| "data/files/tree/a.txt".to_owned()),
            name: "holiday.zip".into(),
        };
        bundle::Why::ALL.iter().map(one).collect()
    }
}

impl ui::Page for Running {
    const TEMPLATE: &'static str = "imports/running.html";
    fn samples() -> Vec<Self> {
        let steps = STEPS.iter().map(|(name, step)| Self {
            step,
            done: 500,
            total: if *name == "storing" { 1000 } else { 0 },
            share: 500,
            checking: *name == "reading",
            name: "percloud.zip".into(),
        });
        steps.collect()
    }
}

impl ui::Page for Done {
    const TEMPLATE: &'static str = "imports/done.html";
    fn samples() -> Vec<Self> {
        let row = |section: &str, refused: u64| Counted {
            section: section.to_owned(),
            known: bundle::manifest::is_known(section),
            counted: 12 + refused,
            imported: 10,
            preserved: 2,
            refused: (0..refused).map(|n| (format!("file {n}"), "why".to_owned())).collect(),
        };
        let rows = bundle::manifest::KNOWN.iter().map(|(id, _)| row(id, 0)).chain([row("kept", 0), row("x/a.b", 2)]);
        let good = Self {
            receipt: "/control/import/abc/import-report.json".into(),
            from: "ada.example".into(),
            secrets: true,
            balanced: true,
            rows: rows.collect(),
        };
        vec![Self { secrets: false, balanced: false, ..good.clone() }, good]
    }
}

const STATES: [(Stage, &str, &str); 6] = [
    (Stage::Checking, "import.state.checking", "accent"),
    (Stage::Ready, "import.state.ready", "accent"),
    (Stage::Refused, "import.state.refused", "danger"),
    (Stage::Importing, "import.state.importing", "accent"),
    (Stage::Done, "import.state.done", "ok"),
    (Stage::Failed, "import.state.failed", "warning"),
];

const STEPS: [(&str, &str); 8] = [
    ("reading", "import.step.reading"),
    ("storing", "import.step.storing"),
    ("files", "import.step.files"),
    ("blog", "import.step.blog"),
    ("bookmarks", "import.step.bookmarks"),
    ("settings", "import.step.settings"),
    ("secrets", "import.step.secrets"),
    ("", "import.step.other"),
];

/// GET `/control/import`.
pub(super) async fn choose(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    web::page(&rt, &req, &look(&rt, None).await?).await
}

async fn look(rt: &Runtime, error: Option<&'static str>) -> Result<Choose> {
    let quota = rt.spec().quota_bytes;
    let (past, used) = rt.store().read(|db| Ok((rows::list(db)?, quota::used(db)?))).await?;
    let past = past.into_iter().map(|row| {
        let (_, state, kind) = STATES.iter().find(|(stage, ..)| *stage == row.state).copied().unwrap_or(STATES[5]);
        Past { href: address(&row.id), name: row.file_name, state, kind, at: row.created_at }
    });
    Ok(Choose { past: past.collect(), error, room: quota.saturating_sub(used) })
}

/// POST `/control/import`: the whole file in one request, for browsers without JavaScript.
pub(super) async fn upload(State(rt): State<Runtime>, req: Request, mut form: Multipart) -> Result<Response> {
    let bad = |_| Error::Invalid("uploads.cut-off");
    while let Some(field) = form.next_field().await.map_err(bad)? {
        let name = field.file_name().unwrap_or_default().to_owned();
        if field.name() != Some("file") || name.is_empty() {
            continue;
        }
        let quota = rt.spec().quota_bytes;
        let room = quota.saturating_sub(rt.store().read(quota::used).await?);
        let blob = uploads::multipart::store(rt.blobs(), field, room).await?;
        let now = rt.clock().now();
        let id = rt.store().write(move |tx| rows::insert(tx, &name, &Source::Blob(blob), now)).await?;
        work::ensure(&rt, &id);
        return Ok(web::redirect(&address(&id)));
    }
    let page = look(&rt, Some("import.no-file")).await?;
    web::page_with_status(&rt, &req, &page, StatusCode::UNPROCESSABLE_ENTITY).await
}

async fn find(rt: &Runtime, id: String) -> Result<Import> {
    rt.store().read(move |db| rows::find(db, &id)).await?.ok_or(Error::NotFound)
}

/// GET `/control/import/{id}`: whatever there is to see of it now.
pub(super) async fn show(State(rt): State<Runtime>, req: Request, Path(id): Path<String>) -> Result<Response> {
    let row = find(&rt, id).await?;
    if matches!(row.state, Stage::Checking | Stage::Importing) {
        work::ensure(&rt, &row.id);
    }
    if req.wants_json {
        return Ok(Json(status(&row)).into_response());
    }
    match row.state {
        Stage::Checking | Stage::Importing => web::page(&rt, &req, &running(&row)).await,
        Stage::Ready | Stage::Failed => web::page(&rt, &req, &ready(&rt, row, None).await?).await,
        Stage::Refused => {
            let refusal = row.refusal.clone().unwrap_or_default();
            let page = Refused { href: address(&row.id), key: refusal.key, at: refusal.at, name: row.file_name };
            web::page(&rt, &req, &page).await
        }
        Stage::Done => web::page(&rt, &req, &done(&rt, &req, &row)?).await,
    }
}

fn status(row: &Import) -> serde_json::Value {
    let progress = progress::of(&row.id).unwrap_or_default();
    let state = STATES.iter().find(|(stage, ..)| *stage == row.state).map_or("", |(_, state, _)| state);
    serde_json::json!({
        "state": state.trim_start_matches("import.state."),
        "step": progress.step,
        "done": progress.done,
        "total": progress.total,
        "summary": row.summary,
        "refusal": row.refusal,
    })
}

fn running(row: &Import) -> Running {
    let checking = row.state == Stage::Checking;
    let mut progress = progress::of(&row.id).unwrap_or_default();
    if progress.step.is_empty() {
        (progress.step, progress.total) = (if checking { "reading" } else { "storing" }.to_owned(), row.size());
    }
    let step = STEPS.iter().find(|(name, _)| *name == progress.step).unwrap_or(&STEPS[7]).1;
    let share = u128::from(progress.done) * 1000 / u128::from(progress.total.max(1));
    Running {
        step,
        done: progress.done,
        total: progress.total,
        share: u64::try_from(share).unwrap_or(0).min(1000),
        checking,
        name: row.file_name.clone(),
    }
}

async fn ready(rt: &Runtime, row: Import, error: Option<&'static str>) -> Result<Ready> {
    let (spec, quota) = (rt.spec().clone(), rt.spec().quota_bytes);
    let asked = row.clone();
    let (used, fits) =
        rt.store().read(move |db| Ok((quota::used(db)?, work::ensure_room(db, &spec, &asked).is_ok()))).await?;
    let summary = row.summary.clone().ok_or(Error::NotFound)?;
    let shown = summary.sections.iter().filter(|s| s.section != "archive");
    Ok(Ready {
        href: address(&row.id),
        parts: shown.map(|s| Part::new(&s.section, s.files, s.bytes)).collect(),
        fits,
        used: used.saturating_sub(row.size()),
        quota,
        again: row.state == Stage::Failed,
        opened: !row.secrets.is_empty(),
        error,
        key: summary.key.clone(),
        summary,
    })
}

fn done(rt: &Runtime, req: &Request, row: &Import) -> Result<Done> {
    // Reasons are the keys of messages.
    let say = |(item, key): (String, String)| (item, rt.pages().message(req.lang, &key, &BTreeMap::new()));
    let report: report::Report = serde_json::from_str(row.report.as_deref().unwrap_or_default())?;
    let rows = report.sections.into_iter().map(|row| Counted {
        known: bundle::manifest::is_known(&row.section),
        section: row.section,
        counted: row.counts.counted,
        imported: row.counts.imported + row.counts.transformed,
        preserved: row.counts.preserved,
        refused: row.counts.refused.into_iter().map(say).collect(),
    });
    Ok(Done {
        receipt: format!("{}/import-report.json", address(&row.id)),
        from: report.from,
        secrets: report.secrets,
        balanced: report.balanced,
        rows: rows.collect(),
    })
}

/// What the form "begin" sends.
#[derive(Deserialize)]
pub(super) struct Begin {
    #[serde(default)]
    passphrase: String,
    take_password: Option<String>,
}

/// POST `/control/import/{id}/start`.
pub(super) async fn start(
    State(rt): State<Runtime>,
    req: Request,
    Path(id): Path<String>,
    Form(given): Form<Begin>,
) -> Result<Response> {
    let row = find(&rt, id).await?;
    let to = address(&row.id);
    let (Stage::Ready | Stage::Failed, Source::Blob(blob)) = (row.state, row.source) else {
        return Ok(web::redirect(&to));
    };
    let mut secrets = row.secrets.clone();
    if !given.passphrase.trim().is_empty() {
        let path = rt.blobs().path(&blob.sha256);
        let opened = tokio::task::spawn_blocking(move || work::secrets_of_file(&path, &given.passphrase)).await?;
        match opened {
            Ok(opened) => secrets = opened,
            Err(error) => {
                let key = match error {
                    OpenError::Passphrase => "import.passphrase.wrong",
                    OpenError::Damaged(_) => "import.passphrase.damaged",
                };
                let page = ready(&rt, row, Some(key)).await?;
                return web::page_with_status(&rt, &req, &page, StatusCode::UNPROCESSABLE_ENTITY).await;
            }
        }
    }
    let spec = rt.spec().clone();
    let (id, take) = (row.id.clone(), given.take_password.is_some());
    rt.store()
        .write(move |tx| {
            work::ensure_room(tx, &spec, &row)?;
            rows::set_importing(tx, &row.id, &secrets, take)
        })
        .await?;
    work::ensure(&rt, &id);
    Ok(web::redirect(&to))
}

/// POST `/control/import/{id}/discard`: the bundle is not wanted.
pub(super) async fn discard(State(rt): State<Runtime>, Path(id): Path<String>) -> Result<Response> {
    let row = find(&rt, id).await?;
    let (key, source) = (row.id, row.source);
    if !rt.store().write(move |tx| rows::delete(tx, &key)).await? {
        return Err(Error::Conflict("import.running"));
    }
    if let Source::Blob(blob) = source {
        work::forget(&rt, &blob.sha256).await?;
    }
    Ok(web::redirect_with_toast("/control/import", "toast.import.discarded", &[], None))
}

/// GET `/control/import/{id}/import-report.json`.
pub(super) async fn report(State(rt): State<Runtime>, Path(id): Path<String>) -> Result<Response> {
    let row = find(&rt, id).await?;
    let text = row.report.ok_or(Error::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"import-report.json\""),
        (header::CACHE_CONTROL, "private, no-store"),
    ];
    Ok((headers, text).into_response())
}
