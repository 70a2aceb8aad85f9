//! Grants: who else may do something here. Nobody can be let in yet, and the page says so.

use axum::{extract::State, response::Response};
use serde::Serialize;

use crate::{
    runtime::Runtime,
    web::{Request, Result, page},
};

/// Who else may do something here.
#[derive(Clone, Debug, Serialize)]
pub struct Grants {
    /// The provider's name; none at home.
    pub provider: Option<String>,
}

impl ui::Page for Grants {
    const TEMPLATE: &'static str = "core/grants.html";
    fn samples() -> Vec<Self> {
        vec![Self { provider: None }, Self { provider: Some("Example Cloud".into()) }]
    }
}

/// GET `/control/grants`.
pub(super) async fn show(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    let provider = rt.spec().provider.as_ref().map(|provider| provider.name.clone());
    page(&rt, &req, &Grants { provider })
}
