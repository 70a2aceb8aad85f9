use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use ui::Page;

use super::{Checked, Looked, Trouble, Whose};

/// The same name with or without `www.`.
#[derive(Clone, Debug, Serialize)]
pub struct Twin {
    /// Which is the main one: `apex`, `www`, or `none` for the main name alone.
    pub choice: &'static str,
    /// Without `www.`, as people read it.
    pub apex: String,
    /// With it.
    pub www: String,
    /// The one that leads to the main one; none when not wanted.
    pub other: Option<String>,
    /// Whether it leads here already.
    pub ready: bool,
}

/// The certificate of a name in use.
#[derive(Clone, Debug, Serialize)]
pub struct Certificate {
    /// Until when it is good.
    pub until: Option<DateTime<Utc>>,
    /// What keeps its renewal.
    pub trouble: Option<Trouble>,
}

/// `GET /manage/domain` when the percloud answers at its own name.
#[derive(Clone, Debug, Serialize)]
pub struct Active {
    /// Whose.
    pub whose: Whose,
    /// The name, as people read it.
    pub name: String,
    /// Its address, as people read it.
    pub address: String,
    /// The same as browsers and DNS have it.
    pub origin: String,
    /// With or without `www.`; none for a name that has no such brother.
    pub twin: Option<Twin>,
    /// What keeps it safe.
    pub certificate: Certificate,
    /// What was found by the last look, when something is not right.
    pub looked: Option<Looked>,
    /// When that was.
    pub checked: Option<Checked>,
    /// Something was changed just now.
    pub saved: bool,
    /// Something was wished for another percloud than the one signed in for; nothing was done.
    pub other: bool,
}

impl Page for Active {
    const TEMPLATE: &'static str = "manage/active.html";
    fn samples() -> Vec<Self> {
        let twin = |choice, ready| Twin {
            choice,
            apex: "bücher.example".into(),
            www: "www.bücher.example".into(),
            other: match choice {
                "apex" => Some("www.bücher.example".into()),
                "www" => Some("bücher.example".into()),
                _ => None,
            },
            ready,
        };
        let at = DateTime::UNIX_EPOCH;
        let plain = Self {
            whose: Whose::sample(),
            name: "bücher.example".into(),
            address: "https://bücher.example:8443".into(),
            origin: "https://xn--bcher-kva.example:8443".into(),
            twin: Some(twin("apex", true)),
            certificate: Certificate { until: Some(at + TimeDelta::days(60)), trouble: None },
            looked: None,
            checked: Some(Checked::new(at, at + TimeDelta::hours(7))),
            saved: false,
            other: false,
        };
        let [_, half, bad] = Looked::samples();
        let long = "me.a-very-long-name-that-somebody-really-owns.example";
        let mut samples = vec![
            plain.clone(),
            Self { twin: Some(twin("www", false)), saved: true, ..plain.clone() },
            Self { twin: Some(twin("none", false)), looked: Some(half), ..plain.clone() },
            Self { certificate: Certificate { until: None, trouble: None }, checked: None, ..plain.clone() },
            Self { checked: Some(Checked::new(at, at)), ..plain.clone() },
            Self {
                twin: None,
                looked: Some(bad),
                name: long.into(),
                address: format!("https://{long}"),
                origin: format!("https://{long}"),
                whose: Whose::long(),
                ..plain.clone()
            },
        ];
        samples.extend(Trouble::samples().map(|trouble| Self {
            certificate: Certificate { until: Some(at), trouble },
            other: true,
            ..plain.clone()
        }));
        samples
    }
}
