//! The page "Take everything with me".

use axum::{
    Extension, Form,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{download, passphrase, plan, rows};
use crate::{
    runtime::Runtime,
    web::{self, Request, Result},
};

/// The page.
#[derive(Clone, Debug, Serialize)]
pub struct Export {
    /// What will be in the bundle.
    pub parts: Vec<Part>,
    /// Bytes of all.
    pub bytes: u64,
    /// A good passphrase to copy.
    pub suggestion: String,
    /// What is wrong with the one that was given.
    pub error: Option<&'static str>,
    /// What was made before.
    pub past: Vec<Past>,
    /// The percloud is suspended or closing: this is why somebody comes here.
    pub urgent: bool,
}

/// One section of the bundle.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// Its id.
    pub section: String,
    /// Whether there is a message for it.
    pub known: bool,
    /// Its icon.
    pub icon: &'static str,
    /// How many files it has.
    pub files: u64,
    /// How many bytes.
    pub bytes: u64,
}

impl Part {
    /// A section, as the pages of export and import show it.
    #[must_use]
    pub fn new(section: &str, files: u64, bytes: u64) -> Self {
        let icon = match section {
            "files" => "folder",
            "blog" => "feather",
            "bookmarks" => "bookmark",
            "settings" => "sliders-horizontal",
            "urls" => "link",
            "secrets" => "key-round",
            "provenance" => "history",
            _ => "package",
        };
        let known = bundle::manifest::is_known(section);
        Self { section: section.to_owned(), known, icon, files, bytes }
    }
}

/// An export that was made before.
#[derive(Clone, Debug, Serialize)]
pub struct Past {
    /// Where it is downloaded; none when its time is over.
    pub href: Option<String>,
    /// When it was asked for.
    pub at: chrono::DateTime<chrono::Utc>,
    /// Its size, once known.
    pub bytes: Option<u64>,
    /// Whether it holds secrets.
    pub secrets: bool,
    /// Whether its last byte was sent.
    pub whole: bool,
}

impl ui::Page for Export {
    const TEMPLATE: &'static str = "exports/export.html";
    fn samples() -> Vec<Self> {
        let at = chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_500);
        let parts = ["files", "blog", "bookmarks", "settings", "urls", "provenance", "x/com.example.game"];
        let parts: Vec<_> = parts.iter().zip(1..).map(|(s, n)| Part::new(s, n, n * 1_234_567)).collect();
        let past = |whole: bool, secrets| Past {
            href: whole.then(|| "/control/export/abc/percloud.zip".to_owned()),
            at,
            bytes: whole.then_some(34_567_890),
            secrets,
            whole,
        };
        let suggestion = "kobu safe nirati molu reva tido paju".to_owned();
        let empty = Self { parts: vec![], bytes: 0, suggestion, error: None, past: vec![], urgent: false };
        let full = Self { parts, bytes: 34_567_890, past: vec![past(true, true), past(false, false)], ..empty.clone() };
        vec![Self { error: Some("export.passphrase.weak"), urgent: true, ..full.clone() }, full, empty]
    }
}

/// GET `/control/export`.
pub(super) async fn show(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    web::page(&rt, &req, &look(&rt, None).await?)
}

async fn look(rt: &Runtime, error: Option<&'static str>) -> Result<Export> {
    let (spec, now) = (rt.spec().clone(), rt.clock().now());
    let (amounts, past, closing) = rt
        .store()
        .read(move |db| {
            let closing = crate::auth::owner(db)?.is_some_and(|owner| owner.delete_after.is_some());
            Ok((plan::contents(db, &spec)?, rows::list(db)?, closing))
        })
        .await?;
    let parts: Vec<_> = amounts.iter().map(|a| Part::new(&a.section, a.files, a.bytes)).collect();
    let past = past.into_iter().map(|wanted| Past {
        href: wanted.is_open(now).then(|| address(&wanted.id, "percloud")),
        at: wanted.created_at,
        bytes: wanted.size,
        secrets: wanted.has_secrets,
        whole: wanted.downloaded_at.is_some(),
    });
    Ok(Export {
        bytes: parts.iter().map(|p| p.bytes).sum(),
        parts,
        suggestion: passphrase::suggest(),
        error,
        past: past.collect(),
        urgent: closing || rt.spec().suspended.is_some(),
    })
}

fn address(id: &str, name: &str) -> String {
    format!("/control/export/{id}/{name}.zip")
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Given {
    #[serde(default)]
    passphrase: String,
}

/// POST `/control/export`: one click, and the download begins.
pub(super) async fn start(
    State(rt): State<Runtime>,
    Extension(latest): Extension<download::Latest>,
    req: Request,
    Form(given): Form<Given>,
) -> Result<Response> {
    let passphrase = Some(given.passphrase).filter(|p| !p.trim().is_empty());
    if passphrase.as_deref().is_some_and(|p| !passphrase::is_strong(p)) {
        let page = look(&rt, Some("export.passphrase.weak")).await?;
        return web::page_with_status(&rt, &req, &page, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let wanted = plan::want(&rt, passphrase).await?;
    let id = wanted.id.clone();
    let layout = download::laid_out(&rt, &latest, wanted).await?;
    let to = address(&id, layout.base());
    if req.wants_json {
        let body = serde_json::json!({"url": to, "size": layout.size(), "etag": layout.etag()});
        return Ok((StatusCode::CREATED, axum::Json(body)).into_response());
    }
    Ok(web::redirect(&to))
}
