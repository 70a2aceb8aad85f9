//! Writes a bundle: payload in, the layout of a finished ZIP out.

mod readme;
mod texts;

pub(crate) use texts::BAGIT;

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::{
    manifest::{self, Exporter, Kind, Percloud, Section, Subject},
    paths,
    refusal::Why,
    zip::layout::OpenBlob,
};

pub use crate::zip::{Entry, Layout};

/// What is known before the payload.
#[derive(Clone, Debug)]
pub struct Head {
    /// The bundle's id, a UUID.
    pub id: String,
    /// When it is made; the same head and payload give the same bundle.
    pub created: DateTime<Utc>,
    /// What writes it, and with which key it signs.
    pub exporter: Exporter,
    /// Whose it is.
    pub subject: Subject,
    /// Who runs the percloud: the provider's name, or the owner's at home.
    pub organization: String,
    /// Members of a newer `percloud.json` that came in with an import.
    pub other: Map<String, Value>,
}

impl Head {
    /// The name of the ZIP's base folder; with `.zip`, of the ZIP.
    #[must_use]
    pub fn name(&self) -> String {
        let domain = self.subject.domains.first().map_or("percloud", String::as_str);
        let domain: String = domain.chars().take(80).collect();
        paths::safe_name(&format!("percloud-{domain}-{}-full", self.created.format("%Y%m%dT%H%M%SZ")))
    }

    /// What the signature's trusted comment says.
    #[must_use]
    pub fn comment(&self) -> String {
        comment(&self.id, Kind::Full)
    }
}

/// The trusted comment that belongs to a bundle.
#[must_use]
pub fn comment(id: &str, kind: Kind) -> String {
    let kind = if kind == Kind::Full { "full" } else { "delta" };
    format!("urn:uuid:{id} {kind}")
}

/// Signs the tag manifest; gives the `.minisig` file, or nothing to leave the bundle unsigned.
pub type Sign<'a> = dyn FnMut(&[u8]) -> anyhow::Result<Option<String>> + 'a;

/// A bundle in the making.
pub struct Draft {
    head: Head,
    payload: Vec<Entry>,
    kept: BTreeMap<String, Section>,
}

impl Draft {
    /// An empty bundle.
    #[must_use]
    pub fn new(head: Head) -> Self {
        Self { head, payload: Vec::new(), kept: BTreeMap::new() }
    }

    /// Adds a file; its path begins with `data/`.
    pub fn add(&mut self, entry: Entry) {
        self.payload.push(entry);
    }

    /// Says what a section is that this version does not know: what came in with an import goes out the same.
    pub fn keep(&mut self, section: Section) {
        self.kept.insert(section.id.clone(), section);
    }

    /// Lays the bundle out.
    ///
    /// # Errors
    /// When a path may not stand in a bundle, two clash, one belongs to no section, or signing fails.
    pub fn finish(mut self, open_blob: Arc<OpenBlob>, sign: &mut Sign<'_>) -> anyhow::Result<Layout> {
        let sections = self.sections()?;
        let place = |path: &str| sections.iter().position(|s| s.holds(path)).unwrap_or(usize::MAX);
        self.payload.sort_by_cached_key(|e| (place(e.path()), e.path().to_owned()));
        let percloud = self.percloud(sections);

        let mut entries = vec![
            Entry::text("bagit.txt", texts::BAGIT.as_bytes()),
            Entry::text("README.html", readme::html(&percloud).as_bytes()),
            Entry::text("percloud.json", &pretty(&percloud)?),
            Entry::text("manifest.yml", texts::manifest_yml(&percloud)?.as_bytes()),
        ];
        let manifest = Entry::text("manifest-sha256.txt", texts::sums(&self.payload).as_bytes());
        let info = Entry::text("bag-info.txt", texts::bag_info(&self.head, &self.payload).as_bytes());
        let mut tags: Vec<Entry> = entries.iter().cloned().chain([manifest.clone(), info.clone()]).collect();
        tags.sort_by(|a, b| a.path().cmp(b.path()));
        let tagmanifest = texts::sums(&tags);
        let signature = sign(tagmanifest.as_bytes())?;

        entries.append(&mut self.payload);
        entries.extend([manifest, info, Entry::text("tagmanifest-sha256.txt", tagmanifest.as_bytes())]);
        entries.extend(signature.map(|s| Entry::text("tagmanifest-sha256.txt.minisig", s.as_bytes())));
        Ok(Layout::new(&self.head.name(), entries, open_blob)?)
    }

    /// The sections in their order: those of this version, then what is kept.
    fn sections(&self) -> anyhow::Result<Vec<Section>> {
        let known = manifest::KNOWN.iter().map(|(id, path)| Section {
            id: (*id).to_owned(),
            spec: format!("{}/{id}", manifest::SPEC_URL),
            version: manifest::VERSION.to_owned(),
            path: format!("data/{path}"),
            ..Section::default()
        });
        let mut sections: Vec<Section> = known.chain(self.kept.values().cloned()).collect();
        for section in &mut sections {
            (section.count, section.bytes) = (0, 0);
        }
        for entry in &self.payload {
            let section = sections.iter_mut().find(|s| s.holds(entry.path()));
            let section = section.ok_or_else(|| Why::Stray.at(entry.path()))?;
            section.count += 1;
            section.bytes += entry.sum().size;
        }
        sections.retain(|s| s.count > 0);
        Ok(sections)
    }

    fn percloud(&self, sections: Vec<Section>) -> Percloud {
        Percloud {
            format: manifest::FORMAT.to_owned(),
            version: manifest::VERSION.to_owned(),
            id: self.head.id.clone(),
            kind: Kind::Full,
            base: None,
            sequence: 0,
            last: true,
            created: self.head.created,
            exporter: self.head.exporter.clone(),
            subject: self.head.subject.clone(),
            sections,
            limits: json!({"pathBytes": paths::MAX_PATH, "segmentBytes": paths::MAX_SEGMENT, "depth": paths::MAX_DEPTH}),
            other: self.head.other.clone(),
        }
    }
}

fn pretty(value: &impl serde::Serialize) -> anyhow::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_whose_when_and_what() {
        let head = Head {
            id: manifest::uuid(),
            created: "2026-03-01T10:20:30.5Z".parse().unwrap(),
            exporter: Exporter::default(),
            subject: Subject { domains: vec!["ada.example".to_owned()], ..Subject::default() },
            organization: String::new(),
            other: Map::new(),
        };
        assert_eq!(head.name(), "percloud-ada.example-20260301T102030Z-full");
    }
}
