use serde::Serialize;
use ui::Page;

/// `GET /`: what this is, in one glance, and the way in.
#[derive(Clone, Debug, Serialize)]
pub struct Start {
    /// What follows a name in an address: `.percloud.localhost`.
    pub suffix: String,
    /// True in development, where mails are shown instead of sent: adds a link to them.
    pub dev_mails: bool,
}

impl Page for Start {
    const TEMPLATE: &'static str = "pages/start.html";
    fn samples() -> Vec<Self> {
        vec![
            Self { suffix: ".percloud.localhost".into(), dev_mails: true },
            Self { suffix: ".cloud.a-very-long-library-name.example".into(), dev_mails: false },
        ]
    }
}
