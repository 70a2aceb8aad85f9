use serde::Serialize;
use ui::Page;

use super::Whose;

/// `GET /manage`: the way in for owners whose percloud cannot vouch for them; and the answer to a refused `POST /manage`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WayIn {
    /// The name as typed.
    pub name: String,
    /// What is wrong with it.
    pub error: Option<&'static str>,
    /// Too many tries from here.
    pub too_many: bool,
    /// What follows a name in an address.
    pub suffix: String,
}

impl Page for WayIn {
    const TEMPLATE: &'static str = "manage/way_in.html";
    fn samples() -> Vec<Self> {
        let empty = Self { suffix: ".percloud.localhost".into(), ..Self::default() };
        vec![
            empty.clone(),
            Self { error: Some("way-in.name.empty"), ..empty.clone() },
            Self {
                name: "a-name-as-long-as-it-may-be-yes".into(),
                too_many: true,
                suffix: ".cloud.a-very-long-library-name.example".into(),
                ..empty
            },
        ]
    }
}

/// `GET /manage/sent`: look into your mail. It says the same whether there is such a percloud or not.
#[derive(Clone, Debug, Serialize)]
pub struct WayInSent {
    /// Where the mail can be read in development, where none is sent.
    pub spool_link: Option<String>,
}

impl Page for WayInSent {
    const TEMPLATE: &'static str = "manage/way_in_sent.html";
    fn samples() -> Vec<Self> {
        vec![Self { spool_link: None }, Self { spool_link: Some("/dev/mails".into()) }]
    }
}

/// `GET /manage/link/<token>`: one button, since mail scanners follow links.
#[derive(Clone, Debug, Serialize)]
pub struct WayInLink {
    /// The token in the address.
    pub token: String,
    /// The percloud's name at the provider.
    pub domain: String,
}

impl Page for WayInLink {
    const TEMPLATE: &'static str = "manage/way_in_link.html";
    fn samples() -> Vec<Self> {
        [Whose::sample(), Whose::long()].map(|whose| Self { token: "k3fq".into(), domain: whose.domain }).into()
    }
}

/// Nobody is signed in any more, or was, or a ticket or link opens nothing: how to come in again.
#[derive(Clone, Debug, Serialize)]
pub struct WayInGone {
    /// Why: one of [`WayInGone::KINDS`].
    pub kind: &'static str,
    /// The page in the Control panel that leads here, where the percloud is known.
    pub address: Option<String>,
}

impl WayInGone {
    /// `out` (not signed in), `over` (an hour is over), `left` (signed out), `ticket` (used or too old), `link` (the same, mailed).
    pub const KINDS: [&'static str; 5] = ["out", "over", "left", "ticket", "link"];
}

impl Page for WayInGone {
    const TEMPLATE: &'static str = "manage/way_in_gone.html";
    fn samples() -> Vec<Self> {
        let mut samples: Vec<Self> =
            Self::KINDS.map(|kind| Self { kind, address: Some(Whose::sample().address) }).into();
        samples.push(Self { kind: "out", address: None });
        samples.push(Self { kind: "link", address: None });
        samples
    }
}

/// `GET /manage/enter` while the percloud's key is fetched: looks again by itself.
#[derive(Clone, Debug, Serialize)]
pub struct Entering {
    /// The percloud's name.
    pub domain: String,
}

impl Page for Entering {
    const TEMPLATE: &'static str = "manage/entering.html";
    fn samples() -> Vec<Self> {
        [Whose::sample(), Whose::long()].map(|whose| Self { domain: whose.domain }).into()
    }
}
