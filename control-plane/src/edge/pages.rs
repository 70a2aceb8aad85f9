//! The pages behind [`super::answers`]: the portal's, in the visitor's language, and what they need to look right.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::BodyExt;
use portal::pages::{CannotStart, Detour, NoSuchPercloud, Preparing, Suspended};
use tower::ServiceExt;
use ui::{Lang, Page, View};

use super::answers::Own;
use super::body::ResponseBody;

/// What these pages may load.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Renders them.
pub(super) struct Pages {
    site: String,
    portal: String,
    assets: Router,
}

/// One, rendered.
pub(super) struct Shown {
    pub(super) title: String,
    pub(super) html: String,
}

impl Pages {
    /// For the provider `site`, whose portal is at the origin `portal`.
    pub(super) fn new(site: &str, portal: &str) -> Self {
        Self { site: site.to_owned(), portal: portal.to_owned(), assets: ui::http::assets(portal::pages()) }
    }

    /// A style sheet or picture of these pages, when that is what is asked for: at a name without a running percloud nobody else has it.
    pub(super) async fn asset(&self, method: &Method, path: &str) -> Option<Response<ResponseBody>> {
        if !path.starts_with("/assets/") || !matches!(*method, Method::GET | Method::HEAD) {
            return None;
        }
        let request = Request::builder().method(method.clone()).uri(path).body(Body::empty()).ok()?;
        let Ok(found) = self.assets.clone().oneshot(request).await;
        if !found.status().is_success() {
            return None;
        }
        let (mut parts, body) = found.into_parts();
        let bytes = body.collect().await.ok()?.to_bytes();
        parts.headers.insert(header::X_CONTENT_TYPE_OPTIONS, http::HeaderValue::from_static("nosniff"));
        Some(Response::from_parts(parts, ResponseBody::own(bytes)))
    }

    pub(super) fn show(&self, own: &Own, headers: &HeaderMap, host: &str, request_id: &str) -> Shown {
        let lang = ui::http::language(headers);
        let view = View { lang, site: self.site.clone(), theme: ui::http::theme(headers), ..View::default() };
        let (domain, portal, id) = (host.to_owned(), self.portal.clone(), request_id.to_owned());
        match own {
            Own::NoSuchPercloud => self.page(&NoSuchPercloud { domain, portal }, "no-such.title", &view),
            Own::Preparing => self.page(&Preparing { domain, portal, next: None }, "preparing.title", &view),
            Own::Suspended => self.page(&Suspended { domain, portal }, "suspended.title", &view),
            Own::CannotStart | Own::Slow => self.page(&CannotStart { domain, portal, id }, "cannot-start.title", &view),
            Own::PlainHttp(link) => self.detour("plain-http", Some(link.clone().unwrap_or(portal)), id, &view),
            Own::Moved(to) => self.detour("plain-http", Some(to.clone()), id, &view),
            Own::Misdirected => self.detour("misdirected", Some(portal), id, &view),
            Own::Crowded => self.detour("busy", None, id, &view),
            Own::TooLarge => self.detour("too-large", None, id, &view),
            Own::PortalAway => self.detour("away", None, id, &view),
            Own::Malformed => self.detour("wrong", None, id, &view),
            Own::Method => self.detour("method", None, id, &view),
        }
    }

    fn detour(&self, kind: &'static str, link: Option<String>, id: String, view: &View) -> Shown {
        let page = Detour { kind, link, portal: self.portal.clone(), id };
        self.page(&page, &format!("detour.{kind}"), view)
    }

    fn page<P: Page>(&self, page: &P, title: &str, view: &View) -> Shown {
        let title = say(view.lang, title);
        let html = portal::pages().render(page, view).unwrap_or_else(|error| {
            tracing::error!(error = format!("{error:#}"), "a page cannot be rendered");
            String::new()
        });
        Shown { title, html }
    }
}

fn say(lang: Lang, key: &str) -> String {
    portal::pages().message(lang, key, &BTreeMap::new())
}
