use serde::Serialize;
use ui::Page;

/// The edge's answer when the way itself is the trouble: no TLS, a name on the wrong connection, too many at once.
#[derive(Clone, Debug, Serialize)]
pub struct Detour {
    /// What it is about: one of [`Detour::KINDS`].
    pub kind: &'static str,
    /// Where to go instead, or none to try the same again.
    pub link: Option<String>,
    /// The portal's address.
    pub portal: String,
    /// The request's id, for whoever asks the provider for help.
    pub id: String,
}

impl Detour {
    /// `plain-http` (TLS is spoken here), `misdirected` (this connection is for other names), `busy` (too many requests at once or in a while),
    /// `too-large` (a body that the percloud cannot hold), `away` (the portal restarts), `wrong` (a request that contradicts itself), `method` (not passed on).
    pub const KINDS: [&'static str; 7] = ["plain-http", "misdirected", "busy", "too-large", "away", "wrong", "method"];
}

impl Page for Detour {
    const TEMPLATE: &'static str = "pages/detour.html";
    fn samples() -> Vec<Self> {
        let portal = "https://percloud.localhost:8443".to_owned();
        let sample = |kind| Self {
            kind,
            link: (kind == "plain-http").then(|| "https://ada.percloud.localhost:8443/posts".to_owned()),
            portal: portal.clone(),
            id: "01jd-k3fq-81za".into(),
        };
        Self::KINDS.map(sample).into()
    }
}
