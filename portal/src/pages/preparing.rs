use serde::Serialize;
use ui::Page;

/// The answer while a percloud is being made (503, `Retry-After`): looks again by itself.
#[derive(Clone, Debug, Serialize)]
pub struct Preparing {
    /// The host name that was asked for.
    pub domain: String,
    /// The portal's address.
    pub portal: String,
    /// Where to go on; none looks at the same address again. Only a path or an address of ours.
    pub next: Option<String>,
}

impl Page for Preparing {
    const TEMPLATE: &'static str = "pages/preparing.html";
    fn samples() -> Vec<Self> {
        let portal = "https://percloud.localhost:8443".to_owned();
        let domain = "ada.percloud.localhost".to_owned();
        vec![
            Self { domain: domain.clone(), portal: portal.clone(), next: None },
            Self { domain, portal, next: Some("/setup/k3fq".into()) },
        ]
    }
}
