use serde::Serialize;
use ui::Page;

/// `GET /confirm/<token>`: one button. Mail scanners follow links, so that looking must not use the link up; the button
/// posts to the same address.
#[derive(Clone, Debug, Serialize)]
pub struct Confirm {
    /// The token in the address.
    pub token: String,
    /// The address that waits.
    pub domain: String,
    /// True for somebody who brings a percloud along.
    pub moving: bool,
}

impl Page for Confirm {
    const TEMPLATE: &'static str = "pages/confirm.html";
    fn samples() -> Vec<Self> {
        vec![
            Self { token: "k3fq".into(), domain: "ada.percloud.localhost".into(), moving: false },
            Self {
                token: "k3fq".into(),
                domain: "a-name-as-long-as-it-may-be-yes.cloud.library.example".into(),
                moving: true,
            },
        ]
    }
}

/// The link was used up, ran out, or never was.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ConfirmGone {
    /// Where the percloud answers, when the link was used already.
    pub percloud: Option<String>,
}

impl Page for ConfirmGone {
    const TEMPLATE: &'static str = "pages/confirm_gone.html";
    fn samples() -> Vec<Self> {
        vec![Self::default(), Self { percloud: Some("https://ada.percloud.localhost:8443/".into()) }]
    }
}
