use serde::Serialize;
use ui::Page;

/// `GET /about`: the questions that people ask before they trust somebody with their files.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    /// What follows a name in an address.
    pub suffix: String,
}

impl Page for About {
    const TEMPLATE: &'static str = "pages/about.html";
    fn samples() -> Vec<Self> {
        vec![Self { suffix: ".percloud.localhost".into() }]
    }
}
