//! Today: the first page after signing in; what is new, and the things one does most.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use serde::Serialize;

use crate::{
    auth,
    runtime::Runtime,
    services::{self, Recent},
    settings,
    web::{Request, Result, page},
};

/// How many things of each service are shown.
const OF_EACH: u32 = 5;

/// What is new, and the things one does most.
#[derive(Clone, Debug, Serialize)]
pub struct Today {
    /// The owner's name, if it was given.
    pub name: Option<String>,
    /// The percloud's address.
    pub origin: String,
    /// Recently changed things, by service.
    pub recent: Vec<Section>,
    /// There is nothing yet.
    pub first_visit: bool,
    /// When it is deleted, if the owner asked for that.
    pub delete_after: Option<chrono::DateTime<chrono::Utc>>,
}

/// One service's recent things.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// The service's name: its address, and part of its messages.
    pub service: &'static str,
    /// The things, the newest first.
    pub items: Vec<Recent>,
}

impl ui::Page for Today {
    const TEMPLATE: &'static str = "core/today.html";
    fn samples() -> Vec<Self> {
        let at = chrono::DateTime::UNIX_EPOCH;
        let item = |title: &str| Recent { title: title.into(), href: "/app".into(), icon: "file-text".into(), at };
        let section = |service| Section { service, items: vec![item("One"), item("Two <b>")] };
        let origin = "https://ada.percloud.localhost:8443".to_owned();
        let empty = Self { name: None, origin, recent: vec![], first_visit: true, delete_after: None };
        let recent = ["files", "posts", "bookmarks"].map(section).into();
        let full = Self { name: Some("Ada".into()), recent, first_visit: false, ..empty.clone() };
        vec![Self { delete_after: Some(at), ..full.clone() }, full, empty]
    }
}

/// GET `/app`.
pub async fn show(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    let origin = rt.spec().origin();
    let today = rt.store().read(move |db| {
        let mut recent = Vec::new();
        for service in services::ALL {
            let items = service.recent(db, OF_EACH)?;
            if !items.is_empty() {
                recent.push(Section { service: service.name(), items });
            }
        }
        let name = Some(settings::get(db)?.name).filter(|name| !name.is_empty());
        let delete_after = auth::owner(db)?.and_then(|owner| owner.delete_after);
        Ok(Today { name, origin, first_visit: recent.is_empty(), recent, delete_after })
    });
    page(&rt, &req, &today.await?)
}

/// GET `/manifest.webmanifest`: lets the percloud stand on a phone's home screen.
pub async fn manifest(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    let name = rt.store().read(settings::get).await?.title(rt.spec());
    let icon = |path| rt.pages().asset(path).unwrap_or_default();
    let manifest = serde_json::json!({
        "name": name,
        "short_name": name,
        "id": "/app",
        "start_url": "/app",
        "scope": "/",
        "display": "standalone",
        "lang": req.lang.code(),
        "background_color": "#fbf8f4",
        "theme_color": "#fbf8f4",
        // A page shared on a phone becomes a bookmark.
        "share_target": {
            "action": "/app/bookmarks/add",
            "method": "GET",
            "params": { "title": "title", "text": "text", "url": "url" },
        },
        "icons": [
            { "src": icon("icon.svg"), "sizes": "any", "type": "image/svg+xml", "purpose": "any" },
            { "src": icon("icon-512.png"), "sizes": "512x512", "type": "image/png", "purpose": "any maskable" },
            { "src": icon("icon-180.png"), "sizes": "180x180", "type": "image/png", "purpose": "any" },
        ],
    });
    let headers = [(header::CONTENT_TYPE, "application/manifest+json"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, manifest.to_string()).into_response())
}
