//! The percloud's address, in plain words, and the way to one of the owner's own: at the provider's portal, or, at home, a command.

use axum::{extract::State, response::Response};
use bundle::{TenantSpec, spec::Provider, ticket::Ticket};
use http::{HeaderValue, header};
use serde::Serialize;
use ui::http::Csp;

use crate::{
    auth::owner_key,
    runtime::Runtime,
    web::{Error, Request, Result, page, redirect},
};

/// The address and what protects it.
#[derive(Clone, Debug, Serialize)]
pub struct Address {
    /// The whole address.
    pub origin: String,
    /// The name.
    pub domain: String,
    /// The provider's name; none at home.
    pub provider: Option<String>,
    /// Whether the name is one that the owner brought along.
    pub own: bool,
}

impl ui::Page for Address {
    const TEMPLATE: &'static str = "core/address.html";
    fn samples() -> Vec<Self> {
        let domain = "ada-with-a-very-long-name.percloud.localhost".to_owned();
        let hosted = Self {
            origin: format!("https://{domain}:8443"),
            domain,
            provider: Some("Example Cloud".into()),
            own: false,
        };
        let own = Self {
            origin: "https://ada-lovelace-of-the-analytical-engine.example".into(),
            domain: "ada-lovelace-of-the-analytical-engine.example".into(),
            own: true,
            ..hosted.clone()
        };
        vec![Self { provider: None, ..hosted.clone() }, own, hosted]
    }
}

/// GET `/control/address`.
pub(super) async fn show(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    let spec = rt.spec();
    let address = Address {
        origin: spec.origin(),
        domain: spec.domain.to_string(),
        provider: spec.provider.as_ref().map(|provider| provider.name.clone()),
        own: is_own(spec),
    };
    let mut response = page(&rt, &req, &address)?;
    if let Some(portal) = spec.provider.as_ref().and_then(portal) {
        // The button's answer leads to the portal, which browsers count as part of the form.
        response.extensions_mut().insert(Csp { form_action: vec![portal], ..Csp::default() });
    }
    Ok(response)
}

/// POST `/control/address/own`: to the portal, with a ticket that says whose owner comes.
///
/// The ticket is in the address and not in a form or a fragment, since this way needs no script; so it is good once and for two minutes, the
/// portal leads on at once to an address without it, and nothing on the way may tell it to a third.
pub(super) async fn own(State(rt): State<Runtime>) -> Result<Response> {
    let portal = rt.spec().provider.as_ref().and_then(portal).ok_or(Error::NotFound)?;
    let now = rt.clock().now();
    let key = rt.store().write(move |tx| owner_key::ensure(tx, now)).await?;
    let ticket = key.sign(&Ticket::new(&rt.spec().id, &portal, now))?;
    let mut response = redirect(&format!("{portal}/manage/enter?ticket={ticket}"));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

/// The origin of the provider's portal.
fn portal(provider: &Provider) -> Option<String> {
    let url = url::Url::parse(&provider.url).ok()?;
    (url.scheme() == "https").then(|| url.origin().ascii_serialization())
}

/// Whether the name is the owner's: at a provider, every name that does not end in the provider's.
fn is_own(spec: &TenantSpec) -> bool {
    let Some(portal) = spec.provider.as_ref().and_then(|provider| url::Url::parse(&provider.url).ok()) else {
        return true;
    };
    let above = portal.host_str().and_then(|host| spec.domain.as_str().strip_suffix(host));
    !above.is_some_and(|above| above.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use bundle::ticket::Shown;

    use crate::{status, testing::TestRuntime};

    const PORTAL: &str = "https://percloud.localhost:8443";

    #[tokio::test]
    async fn the_owner_goes_to_the_portal_with_a_ticket_signed_by_the_key_that_the_host_was_told() {
        let ada = TestRuntime::signed_in().await;
        let page = ada.get("/control/address").await;
        assert!(page.header("content-security-policy").contains(&format!("form-action 'self' {PORTAL};")));
        assert!(page.text().contains("action=\"/control/address/own\""));
        status::write(&ada.runtime).await.unwrap();
        let said: status::Status =
            serde_json::from_slice(&std::fs::read(ada.folder().join(status::FILE)).unwrap()).unwrap();
        let public = said.owner_key.unwrap();
        let (first, second) =
            (ada.post("/control/address/own", &[]).await, ada.post("/control/address/own", &[]).await);
        assert_eq!((first.status.as_u16(), first.header("referrer-policy")), (303, "no-referrer"));
        assert_ne!(first.location(), second.location(), "no ticket is there twice");
        let ticket = first.location().strip_prefix(&format!("{PORTAL}/manage/enter?ticket=")).unwrap();
        let shown: Shown = ticket.parse().unwrap();
        assert_eq!(shown.percloud().as_str(), "t-aaaaaaaaaaaaaaaa");
        assert!(shown.check(&public, PORTAL, ada.clock.now()).is_ok());
    }

    #[tokio::test]
    async fn nobody_else_gets_a_ticket() {
        let mut ada = TestRuntime::signed_in().await;
        let cookie = ada.cookie.take();
        let stranger = ada.post("/control/address/own", &[]).await;
        assert!(!stranger.location().contains("ticket"), "{}", stranger.location());
        ada.cookie = cookie;
        let request = ada.request(http::Method::POST, "/control/address/own");
        let mut forged = request.body(axum::body::Body::empty()).unwrap();
        forged.headers_mut().insert("sec-fetch-site", "same-site".parse().unwrap());
        let forged = ada.fetch(forged).await;
        assert_eq!(forged.status.as_u16(), 403, "a neighbour's page cannot send the owner there");
    }

    #[tokio::test]
    async fn at_home_the_page_says_the_command_and_there_is_no_ticket() {
        let mut ada = TestRuntime::with(|spec| spec.provider = None);
        ada.sign_in().await;
        let page = ada.get("/control/address").await.text();
        assert!(page.contains("--acme") && !page.contains("/control/address/own"), "{page}");
        assert_eq!(ada.post("/control/address/own", &[]).await.status.as_u16(), 404);
    }

    #[tokio::test]
    async fn a_name_that_the_owner_brought_is_known_by_its_end() {
        for (domain, own) in [
            ("ada.percloud.localhost", false),
            ("ada.example", true),
            ("notpercloud.localhost", true),
            ("percloud.localhost.example", true),
        ] {
            let ada = TestRuntime::with(|spec| spec.domain = domain.parse().unwrap());
            assert_eq!(super::is_own(ada.runtime.spec()), own, "{domain}");
        }
    }
}
