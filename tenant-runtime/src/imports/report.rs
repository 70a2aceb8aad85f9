//! What is in a bundle, and what became of it.

use bundle::{
    manifest,
    read::{Checked, Signature},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Counts;

/// What a checked bundle holds, for its owner to read before anything is taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The bundle's id.
    pub bundle: String,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// What its owner is called.
    pub handle: String,
    /// Where it comes from; a claim.
    pub domain: String,
    /// What made it.
    pub exporter: String,
    /// The key that signed it; none: unsigned.
    pub key: Option<String>,
    /// Whether a passphrase opens more.
    pub secrets: bool,
    /// Its sections.
    pub sections: Vec<Amount>,
    /// Files in all.
    pub files: u64,
    /// Bytes in all.
    pub bytes: u64,
    /// One hash for all of it.
    pub tagmanifest_sha256: String,
}

/// One section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Its id.
    pub section: String,
    /// Whether this version knows it.
    pub known: bool,
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Summary {
    /// Of a checked bundle.
    #[must_use]
    pub fn of(checked: &Checked) -> Self {
        let percloud = checked.percloud();
        let sections = percloud.sections.iter().filter(|s| s.count > 0);
        let sections: Vec<_> = sections
            .map(|s| Amount { section: s.id.clone(), known: manifest::is_known(&s.id), files: s.count, bytes: s.bytes })
            .collect();
        Self {
            bundle: percloud.id.clone(),
            created: percloud.created,
            handle: percloud.subject.handle.chars().take(100).collect(),
            domain: percloud.subject.domains.first().cloned().unwrap_or_default().chars().take(253).collect(),
            exporter: format!("{} {}", percloud.exporter.name, percloud.exporter.version).chars().take(100).collect(),
            key: match checked.signature() {
                Signature::Good(key) => Some(key.clone()),
                Signature::None => None,
            },
            secrets: checked.has_secrets(),
            files: sections.iter().map(|s| s.files).sum(),
            bytes: sections.iter().map(|s| s.bytes).sum(),
            sections,
            tagmanifest_sha256: checked.tagmanifest_sha256(),
        }
    }
}

/// `import-report.json`: the receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The bundle's id.
    pub bundle: String,
    /// Where it came from.
    pub from: String,
    /// Where it went.
    pub to: String,
    /// What took it in.
    pub tool: String,
    /// When it was done.
    pub finished: DateTime<Utc>,
    /// One hash for everything that was read.
    pub tagmanifest_sha256: String,
    /// The key that signed it; none: unsigned.
    pub key: Option<String>,
    /// Whether the secrets were opened.
    pub secrets: bool,
    /// What became of each section.
    pub sections: Vec<Row>,
    /// Whether every item is accounted for.
    pub balanced: bool,
}

/// What became of one section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Its id.
    pub section: String,
    /// How many items, and what became of them.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Report {
    /// Puts the counts together, in the order of a bundle.
    #[must_use]
    pub fn new(
        summary: &Summary,
        to: String,
        secrets: bool,
        finished: DateTime<Utc>,
        counts: Vec<(String, Counts)>,
    ) -> Self {
        let place = |section: &str| manifest::KNOWN.iter().position(|(id, _)| *id == section).unwrap_or(usize::MAX);
        let mut sections: Vec<_> = counts.into_iter().map(|(section, counts)| Row { section, counts }).collect();
        sections.sort_by_key(|row| (place(&row.section), row.section.clone()));
        Self {
            bundle: summary.bundle.clone(),
            from: summary.domain.clone(),
            to,
            tool: concat!("percloud-runtime ", env!("CARGO_PKG_VERSION")).to_owned(),
            finished,
            tagmanifest_sha256: summary.tagmanifest_sha256.clone(),
            key: summary.key.clone(),
            secrets,
            balanced: sections.iter().all(|row| row.counts.balances()),
            sections,
        }
    }
}
