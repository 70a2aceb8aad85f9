use serde::Serialize;
use ui::Page;

/// The edge's answer at a name that nobody has (404). It says nothing about whether somebody ever had it.
#[derive(Clone, Debug, Serialize)]
pub struct NoSuchPercloud {
    /// The host name that was asked for.
    pub domain: String,
    /// The portal's address.
    pub portal: String,
}

impl Page for NoSuchPercloud {
    const TEMPLATE: &'static str = "pages/no_such_percloud.html";
    fn samples() -> Vec<Self> {
        vec![Self { domain: "adda.percloud.localhost".into(), portal: "https://percloud.localhost:8443".into() }]
    }
}
