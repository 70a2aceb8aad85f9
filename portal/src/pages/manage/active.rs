use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use ui::Page;

use super::{Beside, Checked, DnsHost, Looked, Record, Trouble, Whose, Words};

/// The same name with or without `www.`.
#[derive(Clone, Debug, Serialize)]
pub struct Twin {
    /// Which claim they are.
    pub id: String,
    /// Which is the main one: `apex`, `www`, or `none` for the main name alone.
    pub choice: &'static str,
    /// The one that was chosen, whether it is in use yet or not.
    pub main: String,
    /// Without `www.`, as people read it.
    pub apex: String,
    /// With it.
    pub www: String,
    /// The one that leads to the main one; none when not wanted, or when it is the one in use until the chosen one is ready.
    pub other: Option<String>,
    /// Whether it leads here already.
    pub ready: bool,
    /// What it needs while it does not; nothing before the first look.
    pub records: Vec<Record>,
}

/// What is not as it should be at a name in use.
#[derive(Clone, Debug, Serialize)]
pub struct Changed {
    /// It counts: after three days the name is lost, or no longer renewed.
    pub missed: bool,
    /// Its certificate is not renewed any more, and serves until then.
    pub ends: Option<DateTime<Utc>>,
    /// Its entries; none where they are right.
    pub records: Vec<Record>,
    /// What else there is to say.
    pub notices: Vec<Words>,
}

/// The name that its owner chose, while the other one is still in use.
#[derive(Clone, Debug, Serialize)]
pub struct Chosen {
    /// The name, as people read it.
    pub name: String,
    /// Why it is not in use: `looking`, `entries`, `certificate`, or `soon` when nothing is missing any more.
    pub why: &'static str,
    /// What it needs.
    pub records: Vec<Record>,
    /// What keeps its certificate.
    pub trouble: Option<Trouble>,
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
    /// What is not as it should be.
    pub changed: Option<Changed>,
    /// What was chosen and is not in use yet.
    pub chosen: Option<Chosen>,
    /// Who keeps the entries, where we know.
    pub host: Option<DnsHost>,
    /// When they were last looked at.
    pub checked: Option<Checked>,
    /// The provider has paused it.
    pub paused: bool,
    /// What else it has.
    pub beside: Beside,
    /// What to know of certificates before the work on another one, as for the first name.
    pub hold: Option<&'static str>,
    /// Something was changed just now.
    pub saved: bool,
    /// Something was wished for another percloud than the one signed in for; nothing was done.
    pub other: bool,
}

impl Twin {
    fn sample(choice: &'static str, ready: bool, records: &[Record]) -> Self {
        let (apex, www) = ("bücher.example".to_owned(), "www.bücher.example".to_owned());
        let (main, other) = match choice {
            "apex" => (&apex, Some(&www)),
            "www" => (&www, Some(&apex)),
            _ => (&apex, None),
        };
        let id = "d-aaaaaaaaaaaaaaac".to_owned();
        Self { id, choice, main: main.clone(), other: other.cloned(), ready, records: records.to_vec(), apex, www }
    }
}

impl Active {
    fn sample() -> Self {
        let at = DateTime::UNIX_EPOCH;
        Self {
            whose: Whose::sample(),
            name: "bücher.example".into(),
            address: "https://bücher.example:8443".into(),
            origin: "https://xn--bcher-kva.example:8443".into(),
            twin: Some(Twin::sample("apex", true, &[])),
            certificate: Certificate { until: Some(at + TimeDelta::days(60)), trouble: None },
            changed: None,
            chosen: None,
            host: None,
            checked: Some(Checked::new(at, at + TimeDelta::hours(7))),
            paused: false,
            beside: Beside::default(),
            hold: None,
            saved: false,
            other: false,
        }
    }

    /// With the address that has no end.
    fn long() -> Self {
        let name = "me.a-very-long-name-that-somebody-really-owns.example";
        let address = format!("https://{name}");
        let whose = Whose::long();
        Self { twin: None, name: name.into(), origin: address.clone(), address, whose, ..Self::sample() }
    }

    /// Waits for the name with `www.`.
    fn waits(why: &'static str, records: &[Record], trouble: Option<Trouble>) -> Self {
        let name = "www.bücher.example".to_owned();
        let twin = Twin { other: None, ..Twin::sample("www", false, &[]) };
        let chosen = Chosen { name, why, records: records.to_vec(), trouble };
        Self { twin: Some(twin), chosen: Some(chosen), saved: why != "looking", ..Self::sample() }
    }
}

impl Page for Active {
    const TEMPLATE: &'static str = "manage/active.html";
    fn samples() -> Vec<Self> {
        let at = DateTime::UNIX_EPOCH;
        let [_, half, bad] = Looked::samples();
        let apex = &half.records[..3];
        let www = &[Record { optional: false, ..half.records[3].clone() }];
        let twin = |choice, ready, records| Some(Twin::sample(choice, ready, records));
        let changed = |missed, records: &[Record], notices: &[Words]| {
            Some(Changed { missed, ends: None, records: records.to_vec(), notices: notices.to_vec() })
        };
        let plain = Self { host: half.host.clone(), ..Self::sample() };
        let mut samples = vec![
            plain.clone(),
            Self { twin: twin("www", true, &[]), saved: true, ..plain.clone() },
            Self { twin: twin("apex", false, www), ..plain.clone() },
            Self { twin: twin("apex", false, &[]), saved: true, ..plain.clone() },
            Self { twin: twin("none", false, &[]), changed: changed(true, apex, &[]), ..plain.clone() },
            Self { twin: twin("apex", false, www), changed: changed(false, apex, &[]), ..plain.clone() },
            Self { changed: changed(false, &[], &bad.notices[1..]), ..plain.clone() },
            Self { changed: changed(true, apex, &[]).map(|c| Changed { ends: Some(at), ..c }), ..plain.clone() },
            Self { certificate: Certificate { until: None, trouble: None }, checked: None, ..plain.clone() },
            Self { checked: Some(Checked::new(at, at)), ..plain.clone() },
            Self { paused: true, ..plain.clone() },
            Self { paused: true, certificate: Certificate { until: None, trouble: None }, ..Self::long() },
            Self { changed: changed(true, &bad.records, &bad.notices[1..]), host: bad.host, ..Self::long() },
            Self { host: plain.host.clone(), ..Self::waits("entries", www, None) },
            Self { changed: changed(true, &[], &[]), ..Self::waits("entries", www, None) },
            Self::waits("looking", &[], None),
            Self::waits("soon", &[], None),
        ];
        samples.extend(Beside::samples().map(|beside| Self { beside, ..Self::sample() }));
        let [_, beside, ..] = Beside::samples();
        samples.push(Self { beside, hold: Some("nobody"), changed: changed(true, apex, &[]), ..plain.clone() });
        samples.extend(Trouble::samples().map(|trouble| Self::waits("certificate", &[], trouble)));
        samples.extend(Trouble::samples().map(|trouble| Self {
            certificate: Certificate { until: Some(at), trouble },
            other: true,
            ..plain.clone()
        }));
        samples
    }
}
