use serde::Serialize;
use ui::Page;

/// The edge's answer when a percloud does not start (502 or 504).
#[derive(Clone, Debug, Serialize)]
pub struct CannotStart {
    /// The host name that was asked for.
    pub domain: String,
    /// The portal's address.
    pub portal: String,
    /// The request's id, for whoever asks the provider for help.
    pub id: String,
}

impl Page for CannotStart {
    const TEMPLATE: &'static str = "pages/cannot_start.html";
    fn samples() -> Vec<Self> {
        vec![Self {
            domain: "ada.percloud.localhost".into(),
            portal: "https://percloud.localhost:8443".into(),
            id: "01jd-k3fq-81za".into(),
        }]
    }
}
