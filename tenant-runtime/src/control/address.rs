//! The percloud's address, in plain words.

use axum::{extract::State, response::Response};
use serde::Serialize;

use crate::{
    runtime::Runtime,
    web::{Request, Result, page},
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
}

impl ui::Page for Address {
    const TEMPLATE: &'static str = "core/address.html";
    fn samples() -> Vec<Self> {
        let domain = "ada-with-a-very-long-name.percloud.localhost".to_owned();
        let hosted = Self { origin: format!("https://{domain}:8443"), domain, provider: Some("Example Cloud".into()) };
        vec![Self { provider: None, ..hosted.clone() }, hosted]
    }
}

/// GET `/control/address`.
pub(super) async fn show(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    let spec = rt.spec();
    let address = Address {
        origin: spec.origin(),
        domain: spec.domain.to_string(),
        provider: spec.provider.as_ref().map(|provider| provider.name.clone()),
    };
    page(&rt, &req, &address).await
}
