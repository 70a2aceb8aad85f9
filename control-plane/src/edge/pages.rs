//! The pages behind [`super::answers`].

use http::HeaderMap;

use super::answers::Own;

/// What these pages may load.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Renders them.
pub(super) struct Pages;

/// One, rendered.
pub(super) struct Shown {
    pub(super) title: String,
    pub(super) html: String,
}

impl Pages {
    pub(super) fn new() -> Self {
        Self
    }
    /// A style sheet or picture of these pages, when that is what is asked for.
    pub(super) fn asset(&self, method: &http::Method, path: &str) -> Option<http::Response<super::body::ResponseBody>> {
        let _ = (method, path);
        None
    }
    pub(super) fn show(&self, own: &Own, headers: &HeaderMap, host: &str, request_id: &str) -> Shown {
        let _ = (headers, host);
        let title = format!("{own:?}");
        Shown { html: format!("<!doctype html><title>{title}</title><p>{request_id}"), title }
    }
}
