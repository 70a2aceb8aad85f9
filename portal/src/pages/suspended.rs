use serde::Serialize;
use ui::Page;

/// The edge's answer for a suspended percloud (503). Visitors learn that it is closed, never why; the owner's way in
/// stays open.
#[derive(Clone, Debug, Serialize)]
pub struct Suspended {
    /// The host name that was asked for.
    pub domain: String,
    /// The portal's address.
    pub portal: String,
}

impl Page for Suspended {
    const TEMPLATE: &'static str = "pages/suspended.html";
    fn samples() -> Vec<Self> {
        vec![Self { domain: "ada.percloud.localhost".into(), portal: "https://percloud.localhost:8443".into() }]
    }
}
