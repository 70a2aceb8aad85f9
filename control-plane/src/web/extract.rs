//! Who asks, and how: read once, at the door.

use std::{convert::Infallible, net::IpAddr};

use axum::{
    extract::FromRequestParts,
    response::{Html, IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use portal::pages::manage::Whose;
use ui::{Lang, Page, View};

use super::{Error, Result};
use crate::{
    api_tokens::{self, ApiToken, Scope},
    app::App,
    audit::Actor,
    owners::{Secret, session},
    tenants::Tenant,
};

/// Who asks: the language, the look of pages, and where from. The headers are the edge's own; nobody else reaches our socket.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    /// Who is counted by limits.
    pub(super) client: IpAddr,
    /// The language to speak.
    pub(super) lang: Lang,
    view: View,
}

impl Asker {
    /// How pages look for somebody.
    pub(super) fn view(app: &App, headers: &HeaderMap, path: &str) -> View {
        View {
            lang: ui::http::language(headers),
            theme: ui::http::theme(headers),
            path: path.to_owned(),
            site: app.settings.provider_name.clone(),
            now: Some(app.clock.now()),
            ..View::default()
        }
    }

    /// A page for whoever asks. Pages here are about to change (a name is taken, a link used), so that none is kept.
    pub(super) fn page<P: Page>(&self, page: &P) -> Result<Response> {
        let html = portal::pages().render(page, &self.view)?;
        let headers = [(header::CACHE_CONTROL, "no-store"), (header::VARY, "Cookie, Accept-Language")];
        Ok((headers, Html(html)).into_response())
    }
}

impl FromRequestParts<App> for Asker {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> std::result::Result<Self, Infallible> {
        let view = Self::view(app, &parts.headers, parts.uri.path());
        Ok(Self { client: client(&parts.headers), lang: view.lang, view })
    }
}

/// The address that the edge saw; whoever comes without one is counted as one.
fn client(headers: &HeaderMap) -> IpAddr {
    let said = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    said.and_then(|text| text.rsplit(',').next()?.trim().parse().ok()).unwrap_or(IpAddr::from([0, 0, 0, 0]))
}

/// The edge's id of the request; a made-up one where there is none.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    let said = headers.get("x-request-id").and_then(|value| value.to_str().ok());
    match said {
        Some(id) if id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => id.to_owned(),
        _ => hex::encode(rand::random::<[u8; 8]>()),
    }
}

/// Whether a program asks: below `/api/` unless a page is asked for, elsewhere only when JSON is asked for and no page.
pub(super) fn wants_json(path: &str, headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).map_or(Ok(""), HeaderValue::to_str).unwrap_or_default();
    let (html, json) = (accept.contains("text/html"), accept.contains("json"));
    !html && (json || path.starts_with("/api/"))
}

/// The live token that somebody shows.
async fn token(parts: &Parts, app: &App) -> Result<ApiToken> {
    let said = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = said.and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let Some(token) = token else { return Err(Error::SignedOut) };
    match api_tokens::find(&app.db.get().await?, token, app.clock.now()).await? {
        Some(found) => Ok(found),
        None => {
            // Guessing 256 bits is hopeless; the limit keeps those who try from keeping us busy.
            app.limits.wrong_token(client(&parts.headers))?;
            Err(Error::SignedOut)
        }
    }
}

/// An owner who is signed in at the portal: for one percloud, and for its address only.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    /// The percloud.
    pub(super) tenant: Tenant,
}

impl Owner {
    /// The cookie that says so. Only for this very host; `Lax`, since owners come here from their perclouds.
    pub(super) const COOKIE: &str = "__Host-owner";

    /// For the page to say.
    pub(super) fn whose(&self, app: &App) -> Whose {
        Whose {
            id: self.tenant.id.to_string(),
            domain: self.tenant.domain.to_string(),
            address: control_panel(app, &self.tenant),
        }
    }

    /// Whether a form was opened for this percloud: somebody may have come in for another one in between.
    pub(super) fn is(&self, percloud: &str) -> bool {
        self.tenant.id.as_str() == percloud
    }

    /// The cookie's value, if it looks like one.
    pub(super) fn secret(headers: &HeaderMap) -> Option<Secret> {
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';'));
        pairs.find_map(|pair| pair.trim().strip_prefix(Self::COOKIE)?.strip_prefix('='))?.parse().ok()
    }
}

/// The page of a percloud that leads its owner here.
pub(super) fn control_panel(app: &App, tenant: &Tenant) -> String {
    format!("{}/control/address", app.settings.origin_of(&tenant.domain))
}

impl FromRequestParts<App> for Owner {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let outside = |kind, address| Err(Error::Outside { kind, address });
        let Some(secret) = Self::secret(&parts.headers) else { return outside("out", None) };
        match session::find(&app.db.get().await?, &secret, app.clock.now()).await? {
            None => outside("out", None),
            Some(session) if session.is_live() => Ok(Self { tenant: session.tenant }),
            Some(session) => {
                let kind = if session.left { "left" } else { "over" };
                outside(kind, Some(control_panel(app, &session.tenant)))
            }
        }
    }
}

/// Whoever has a token with this scope; refused before the body is even read. Holds in whose name things are done.
macro_rules! scoped {
    ($($name:ident)+) => {$(
        #[derive(Clone, Debug)]
        pub(super) struct $name(Actor);

        impl From<$name> for Actor {
            fn from(token: $name) -> Self {
                token.0
            }
        }

        impl FromRequestParts<App> for $name {
            type Rejection = Error;
            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
                let token = token(parts, app).await?;
                if token.scopes.contains(&Scope::$name) { Ok(Self(Actor::Token(token.id))) } else { Err(Error::Forbidden) }
            }
        }
    )+};
}
scoped! { TenantsRead TenantsWrite MailsRead DomainsRead DomainsWrite CertificatesRead CertificatesWrite UsageRead }
