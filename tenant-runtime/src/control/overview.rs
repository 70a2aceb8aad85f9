//! The Control panel's first page: everything at a glance, what needs care on top.

use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    auth,
    auth::{codes, sessions},
    quota,
    runtime::Runtime,
    settings,
    web::{Request, Result, page},
};

/// Everything at a glance.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    /// The percloud's address.
    pub domain: String,
    /// The name on Home.
    pub name: String,
    /// Bytes in use.
    pub used: u64,
    /// Bytes that may be used.
    pub quota: u64,
    /// Devices that are signed in.
    pub devices: usize,
    /// Recovery codes that are left.
    pub codes: u32,
    /// When the password was last changed.
    pub password_at: DateTime<Utc>,
    /// When it is deleted, if the owner asked for that.
    pub delete_after: Option<DateTime<Utc>>,
    /// The provider's name and address; none at home.
    pub provider: Option<bundle::spec::Provider>,
}

impl ui::Page for Overview {
    const TEMPLATE: &'static str = "core/control.html";
    fn samples() -> Vec<Self> {
        let at = DateTime::UNIX_EPOCH;
        let plain = Self {
            domain: "ada.percloud.localhost".into(),
            name: "Ada".into(),
            used: 1_234_567,
            quota: 10_000_000_000,
            devices: 2,
            codes: 10,
            password_at: at,
            delete_after: None,
            provider: Some(bundle::spec::Provider {
                name: "Example Cloud".into(),
                url: "https://cloud.example".into(),
            }),
        };
        let worse =
            Self { codes: 2, used: 9_900_000_000, delete_after: Some(at), devices: 1, provider: None, ..plain.clone() };
        vec![Self { codes: 0, ..plain.clone() }, plain, worse]
    }
}

/// GET `/control`.
pub(super) async fn show(State(rt): State<Runtime>, req: Request) -> Result<Response> {
    let (now, spec) = (rt.clock().now(), rt.spec().clone());
    let overview = rt.store().read(move |db| {
        let owner = auth::owner(db)?;
        Ok(Overview {
            domain: spec.domain.to_string(),
            name: settings::get(db)?.title(&spec),
            used: quota::used(db)?,
            quota: spec.quota_bytes,
            devices: sessions::list(db, now)?.len(),
            codes: codes::left(db)?,
            password_at: owner.as_ref().map_or(now, |owner| owner.password_at),
            delete_after: owner.and_then(|owner| owner.delete_after),
            provider: spec.provider,
        })
    });
    page(&rt, &req, &overview.await?)
}
