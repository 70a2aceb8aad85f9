//! The pages: give a bundle, see what is in it, begin, watch, read what became of it.

use std::collections::BTreeMap;

use axum::{
    Form, Json,
    extract::{Multipart, Path, State},
    response::{IntoResponse, Response},
};
use bundle::secrets::OpenError;
use http::{StatusCode, header};
use serde::Deserialize;

use super::{
    pages::{Choose, Counted, Done, Past, Ready, Refused, Running, STATES, STEPS},
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

/// GET `/control/import`.
pub(super) async fn choose(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    web::page(&rt, &req, &look(&rt, None).await?)
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
        work::begin(&rt, &id).await?;
        return Ok(web::redirect(&address(&id)));
    }
    let page = look(&rt, Some("import.no-file")).await?;
    web::page_with_status(&rt, &req, &page, StatusCode::UNPROCESSABLE_ENTITY)
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
        Stage::Checking | Stage::Importing => web::page(&rt, &req, &running(&row)),
        Stage::Ready | Stage::Failed => web::page(&rt, &req, &ready(&rt, row, None).await?),
        Stage::Refused => {
            let refusal = row.refusal.clone().unwrap_or_default();
            let page = Refused { href: address(&row.id), key: refusal.key, at: refusal.at, name: row.file_name };
            web::page(&rt, &req, &page)
        }
        Stage::Done => web::page(&rt, &req, &done(&rt, &req, &row)?),
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
                return web::page_with_status(&rt, &req, &page, StatusCode::UNPROCESSABLE_ENTITY);
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
    work::begin(&rt, &id).await?;
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
