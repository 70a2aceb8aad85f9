//! The pages behind [`super::answers`]: the portal's, in the visitor's language, and what they need to look right.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::BodyExt;
use portal::pages::{CannotStart, Detour, NoSuchPercloud, Preparing, Suspended};
use tower::ServiceExt;
use ui::{Lang, Page, Theme, View};

use super::answers::Own;
use super::body::ResponseBody;

/// What these pages may load.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What stands in a kept page for the host that was asked for, and for the request's number.
const HOST: &str = "the-host-that-was-asked-for.invalid";
const ID: &str = "the-number-of-the-request";

/// Pages by kind, language and theme.
type Kept = HashMap<(&'static str, Lang, Theme), Arc<Shown>>;

/// Renders them.
pub(super) struct Pages {
    site: String,
    portal: String,
    assets: Router,
    /// Each kind once for each language and theme: to render costs as much as a handshake, and crowds are told why they wait.
    kept: RwLock<Kept>,
}

/// One, rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) title: String,
    pub(super) html: String,
}

impl Pages {
    /// For the provider `site`, whose portal is at the origin `portal`.
    pub(super) fn new(site: &str, portal: &str) -> Self {
        let assets = ui::http::assets(portal::pages());
        Self { site: site.to_owned(), portal: portal.to_owned(), assets, kept: RwLock::default() }
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
        let theme = ui::http::theme(headers);
        let elsewhere = matches!(own, Own::PlainHttp(Some(_)) | Own::Moved(_));
        // What would be written otherwise in a page.
        let odd = |b: u8| !b.is_ascii_alphanumeric() && !matches!(b, b'.' | b'-' | b'_');
        if elsewhere || host.bytes().any(odd) {
            return self.render(own, lang, theme, host, request_id);
        }
        let key = (own.name(), lang, theme);
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let kept = kept.unwrap_or_else(|| {
            let shown = Arc::new(self.render(own, lang, theme, HOST, ID));
            self.kept.write().unwrap_or_else(PoisonError::into_inner).insert(key, shown.clone());
            shown
        });
        Shown { title: kept.title.clone(), html: kept.html.replace(HOST, host).replace(ID, request_id) }
    }

    fn render(&self, own: &Own, lang: Lang, theme: Theme, host: &str, request_id: &str) -> Shown {
        let view = View { lang, site: self.site.clone(), theme, ..View::default() };
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
            Own::PortalAway | Own::Unready => self.detour("away", None, id, &view),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_kept_is_the_one_that_would_be_made() {
        let pages = Pages::new("A provider", "https://cloud.example");
        let kinds = [
            Own::Malformed,
            Own::Method,
            Own::Misdirected,
            Own::NoSuchPercloud,
            Own::Preparing,
            Own::Suspended,
            Own::CannotStart,
            Own::Crowded,
            Own::TooLarge,
            Own::Slow,
            Own::PortalAway,
            Own::Unready,
            Own::PlainHttp(None),
            Own::PlainHttp(Some("https://ada.example/".into())),
            Own::Moved("https://bob.example/".into()),
        ];
        for (own, language) in kinds.iter().flat_map(|own| [(own, "en"), (own, "it")]) {
            let headers = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, http::HeaderValue::from_static(language))]);
            for host in ["ada.example", "bob.example", "[::1]", ""] {
                let made = pages.render(own, ui::http::language(&headers), Theme::Auto, host, "r-1");
                assert_eq!(pages.show(own, &headers, host, "r-1"), made, "{own:?} {host}");
                assert!(!made.html.is_empty());
            }
        }
    }
}
