use chrono::{DateTime, Utc};
use serde::Serialize;
use ui::Page;

use super::{Beside, Looked, Whose, Words};

/// `GET /manage/domain` while entries are missing: what to set, and how it is, live.
#[derive(Clone, Debug, Serialize)]
pub struct Records {
    /// Whose.
    pub whose: Whose,
    /// The name, as people read it.
    pub name: String,
    /// What was found.
    pub looked: Looked,
    /// It worked once and does so no more.
    pub lost: bool,
    /// What keeps the provider from going on: `paused` (by an operator), or `nobody` makes certificates for own domains
    /// here; or what to know, that a `private` authority makes them.
    pub hold: Option<&'static str>,
    /// Back from where all is set with one click: `yes`, or `no` when it was not set there.
    pub connected: Option<&'static str>,
    /// What else the percloud has.
    pub beside: Beside,
    /// Something was wished for another percloud than the one signed in for; nothing was done.
    pub other: bool,
}

impl Page for Records {
    const TEMPLATE: &'static str = "manage/records.html";
    fn samples() -> Vec<Self> {
        let [none, half, bad] = Looked::samples();
        let [.., both] = Beside::samples();
        let plain = Self {
            whose: Whose::sample(),
            name: "bücher.example".into(),
            looked: half,
            lost: false,
            hold: None,
            connected: None,
            beside: Beside::default(),
            other: false,
        };
        let name = "me.a-very-long-name-that-somebody-really-owns.example".to_owned();
        vec![
            Self { looked: none.clone(), ..plain.clone() },
            Self { looked: none, hold: Some("paused"), ..plain.clone() },
            Self { hold: Some("paused"), ..plain.clone() },
            Self { hold: Some("nobody"), ..plain.clone() },
            Self { hold: Some("private"), ..plain.clone() },
            Self { connected: Some("yes"), ..plain.clone() },
            Self { connected: Some("no"), ..plain.clone() },
            Self { lost: true, looked: bad.clone(), other: true, ..plain.clone() },
            Self { lost: true, beside: both.clone(), ..plain.clone() },
            Self { looked: bad, name, whose: Whose::long(), ..plain.clone() },
            plain,
        ]
    }
}

/// `GET /manage/domain` while the certificate is made: nothing is left to do.
#[derive(Clone, Debug, Serialize)]
pub struct Making {
    /// Whose.
    pub whose: Whose,
    /// The name, as people read it.
    pub name: String,
    /// What keeps it, if it takes longer.
    pub trouble: Option<Trouble>,
    /// The provider has paused it.
    pub paused: bool,
    /// What else there is to say.
    pub notices: Vec<Words>,
    /// What else the percloud has.
    pub beside: Beside,
}

/// Why a certificate is not there yet, or not renewed.
#[derive(Clone, Debug, Serialize)]
pub struct Trouble {
    /// `waiting` (it comes by itself), `failing` (the last try failed), `paused` (by the provider), `suspended` (the percloud is) or `nobody`
    /// (makes any here).
    pub kind: &'static str,
    /// When it is tried again.
    pub next: Option<DateTime<Utc>>,
}

impl Trouble {
    pub(super) fn samples() -> [Option<Self>; 6] {
        let trouble = |kind, next| Some(Self { kind, next });
        let at = Some(DateTime::UNIX_EPOCH);
        let plain = ["paused", "suspended", "nobody"].map(|kind| trouble(kind, None));
        let [paused, suspended, nobody] = plain;
        [None, trouble("waiting", None), trouble("failing", at), paused, suspended, nobody]
    }
}

impl Page for Making {
    const TEMPLATE: &'static str = "manage/making.html";
    fn samples() -> Vec<Self> {
        let sample = |trouble: Option<Trouble>| Self {
            whose: Whose::sample(),
            name: "bücher.example".into(),
            notices: match &trouble {
                Some(trouble) if trouble.kind == "failing" => {
                    vec![Words::sample(
                        "domain.notice.caa",
                        &[("at", "bücher.example"), ("issuers", "ca.example"), ("ours", "letsencrypt.org")],
                    )]
                }
                _ => Vec::new(),
            },
            trouble,
            paused: false,
            beside: Beside::default(),
        };
        let paused = Self { paused: true, ..sample(None) };
        let [.., beside] = Beside::samples();
        Trouble::samples().map(sample).into_iter().chain([paused, Self { beside, ..sample(None) }]).collect()
    }
}
