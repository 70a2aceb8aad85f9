//! What the pages of an import show, and samples of them.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{report, rows::State as Stage, web::address};
use crate::exports::Part;

/// Give a bundle.
#[derive(Clone, Debug, Serialize)]
pub struct Choose {
    /// Bundles that were given before.
    pub past: Vec<Past>,
    /// What was wrong with the last one.
    pub error: Option<&'static str>,
    /// Bytes that there is room for.
    pub room: u64,
}

/// A bundle that was given before.
#[derive(Clone, Debug, Serialize)]
pub struct Past {
    /// Where to look at it.
    pub href: String,
    /// What its file was called.
    pub name: String,
    /// The message that says how far it came.
    pub state: &'static str,
    /// The badge's kind.
    pub kind: &'static str,
    /// When it was given.
    pub at: DateTime<Utc>,
}

/// What is in a bundle, and what will happen.
#[derive(Clone, Debug, Serialize)]
pub struct Ready {
    /// Where its forms go.
    pub href: String,
    /// What is in it.
    pub summary: report::Summary,
    /// Its sections, as the page shows them.
    pub parts: Vec<Part>,
    /// Whether there is room for it.
    pub fits: bool,
    /// Bytes in use and bytes that may be used.
    pub used: u64,
    /// See `used`.
    pub quota: u64,
    /// It was tried before and stopped.
    pub again: bool,
    /// Whether the passphrase was given already.
    pub opened: bool,
    /// What is wrong with the passphrase.
    pub error: Option<&'static str>,
    /// The last characters of the signing key, to compare.
    pub key: Option<String>,
}

/// A bundle that is not taken in.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// Where its form goes.
    pub href: String,
    /// The message that says why.
    pub key: String,
    /// The entry it is about.
    pub at: Option<String>,
    /// What the file was called.
    pub name: String,
}

/// A worker is at it.
#[derive(Clone, Debug, Serialize)]
pub struct Running {
    /// The message that says what is done now.
    pub step: &'static str,
    /// Bytes done, and of how many; 0 when there is nothing to count.
    pub done: u64,
    /// See `done`.
    pub total: u64,
    /// Of a thousand.
    pub share: u64,
    /// Whether the bundle is only looked at.
    pub checking: bool,
    /// What the file was called.
    pub name: String,
}

/// What became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
    /// Where the receipt is.
    pub receipt: String,
    /// Where it came from.
    pub from: String,
    /// Whether secrets were opened.
    pub secrets: bool,
    /// Whether every item is accounted for.
    pub balanced: bool,
    /// What became of each section.
    pub rows: Vec<Counted>,
}

/// What became of one section.
#[derive(Clone, Debug, Serialize)]
pub struct Counted {
    /// Its id.
    pub section: String,
    /// Whether there is a message for it.
    pub known: bool,
    /// Items found.
    pub counted: u64,
    /// Taken in, as they were or changed.
    pub imported: u64,
    /// Already here, or kept aside.
    pub preserved: u64,
    /// Not taken in.
    pub refused: Vec<(String, String)>,
}

impl ui::Page for Choose {
    const TEMPLATE: &'static str = "imports/choose.html";
    fn samples() -> Vec<Self> {
        let at = DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_500);
        let past = STATES.iter().map(|(_, state, kind)| Past {
            href: address("abc"),
            name: "percloud-ada.example-20260301T102030Z-full.zip".into(),
            state,
            kind,
            at,
        });
        let past: Vec<_> = past.collect();
        let unnamed = Past { name: String::new(), ..past[0].clone() };
        vec![
            Self { past: vec![], error: None, room: 5_000_000_000 },
            Self { past, error: Some("import.no-file"), room: 1_000 },
            Self { past: vec![unnamed], error: None, room: 0 },
        ]
    }
}

fn sample_summary() -> report::Summary {
    report::Summary {
        bundle: "0b0c1d2e-3f40-4152-8364-758697a8b9ca".into(),
        created: DateTime::UNIX_EPOCH + chrono::TimeDelta::days(20_500),
        handle: "Ada".into(),
        domain: "ada.example".into(),
        exporter: "percloud-runtime 0.1.0".into(),
        key: Some("RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3".into()),
        secrets: true,
        sections: vec![],
        files: 1234,
        bytes: 5_678_901_234,
        tagmanifest_sha256: "00".repeat(32),
    }
}

impl ui::Page for Ready {
    const TEMPLATE: &'static str = "imports/ready.html";
    fn samples() -> Vec<Self> {
        let all = ["files", "blog", "bookmarks", "settings", "urls", "secrets", "provenance", "x/com.example.game"];
        let parts: Vec<_> = all.iter().zip(1..).map(|(s, n)| Part::new(s, n, n * 1_234_567)).collect();
        let full = Self {
            href: address("abc"),
            summary: sample_summary(),
            parts,
            fits: true,
            used: 1_000_000,
            quota: 10_000_000_000,
            again: false,
            opened: false,
            error: None,
            key: Some("GPpvWucNSCh1CBM0QTaLn73Y7GFO3".into()),
        };
        let mut bare = Self { key: None, fits: false, parts: vec![], ..full.clone() };
        bare.summary.key = None;
        bare.summary.secrets = false;
        vec![
            Self { error: Some("import.passphrase.wrong"), ..full.clone() },
            Self { error: Some("import.passphrase.damaged"), ..full.clone() },
            Self { again: true, opened: true, ..full.clone() },
            full,
            bare,
        ]
    }
}

impl ui::Page for Refused {
    const TEMPLATE: &'static str = "imports/refused.html";
    fn samples() -> Vec<Self> {
        let one = |why: &bundle::Why| Self {
            href: address("abc"),
            key: format!("refused.{}", why.key()),
            at: (*why != bundle::Why::NotZip).then(|| "data/files/tree/a.txt".to_owned()),
            name: "holiday.zip".into(),
        };
        let given_up = Self { key: super::work::GIVEN_UP.to_owned(), at: None, ..one(&bundle::Why::NotZip) };
        bundle::Why::ALL.iter().map(one).chain([given_up]).collect()
    }
}

impl ui::Page for Running {
    const TEMPLATE: &'static str = "imports/running.html";
    fn samples() -> Vec<Self> {
        let steps = STEPS.iter().map(|(name, step)| Self {
            step,
            done: 500,
            total: if *name == "storing" { 1000 } else { 0 },
            share: 500,
            checking: *name == "reading",
            name: "percloud.zip".into(),
        });
        steps.collect()
    }
}

impl ui::Page for Done {
    const TEMPLATE: &'static str = "imports/done.html";
    fn samples() -> Vec<Self> {
        let row = |section: &str, refused: u64| Counted {
            section: section.to_owned(),
            known: bundle::manifest::is_known(section),
            counted: 12 + refused,
            imported: 10,
            preserved: 2,
            refused: (0..refused).map(|n| (format!("file {n}"), "why".to_owned())).collect(),
        };
        let rows = bundle::manifest::KNOWN.iter().map(|(id, _)| row(id, 0)).chain([row("kept", 0), row("x/a.b", 2)]);
        let good = Self {
            receipt: "/control/import/abc/import-report.json".into(),
            from: "ada.example".into(),
            secrets: true,
            balanced: true,
            rows: rows.collect(),
        };
        vec![Self { secrets: false, balanced: false, ..good.clone() }, good]
    }
}

/// How far an import came: the message that says so, and the badge's kind.
pub(super) const STATES: [(Stage, &str, &str); 6] = [
    (Stage::Checking, "import.state.checking", "accent"),
    (Stage::Ready, "import.state.ready", "accent"),
    (Stage::Refused, "import.state.refused", "danger"),
    (Stage::Importing, "import.state.importing", "accent"),
    (Stage::Done, "import.state.done", "ok"),
    (Stage::Failed, "import.state.failed", "warning"),
];

/// What a worker does: the message that says so.
pub(super) const STEPS: [(&str, &str); 8] = [
    ("reading", "import.step.reading"),
    ("storing", "import.step.storing"),
    ("files", "import.step.files"),
    ("blog", "import.step.blog"),
    ("bookmarks", "import.step.bookmarks"),
    ("settings", "import.step.settings"),
    ("secrets", "import.step.secrets"),
    ("", "import.step.other"),
];
