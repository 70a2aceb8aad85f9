//! Sections and members that this version does not know: they go out again as they came in.

use bundle::{
    manifest::{self, Section},
    paths::Clashes,
    read::MAX_SECTIONS,
};
use rusqlite::Transaction;

use super::{Counts, work::Job};
use crate::exports;

/// Bytes that are kept of what bundles say of their sections: `percloud.json` has room for the rest beside them.
const DESCRIBED: usize = 768 * 1024;

/// Keeps them. A section that was kept before is replaced as a whole; what would clash with something else in the next export is
/// refused, since no bundle could be made of both.
pub(super) fn take(tx: &Transaction<'_>, job: &Job) -> anyhow::Result<Option<Counts>> {
    let percloud = job.checked.percloud();
    let mut counts = Counts::default();
    let mut here = exports::kept_sections(tx)?;
    let unknown = percloud.sections.iter().filter(|s| !manifest::is_known(&s.id));
    let (mut apart, mut astray) = (Vec::<&Section>::new(), Vec::<&Section>::new());
    let members = serde_json::to_string(&percloud.other)?.len();
    for section in unknown {
        let mut then: Vec<Section> = here.iter().filter(|other| other.id != section.id).cloned().collect();
        then.push(section.clone());
        if is_apart(section, &here) && is_readable(&then, members)? {
            apart.push(section);
            here = then;
        } else {
            astray.push(section);
        }
    }
    for section in &apart {
        exports::forget_section(tx, &section.id)?;
        exports::keep_section(tx, section)?;
    }
    let mut clashes = clashes(tx)?;
    for (path, blob) in job.entries.iter().map(|(path, blob)| (format!("data/{path}"), blob)) {
        let is_apart = apart.iter().any(|section| section.holds(&path));
        if !is_apart && !astray.iter().any(|section| section.holds(&path)) {
            continue;
        }
        counts.counted += 1;
        if is_apart && clashes.file(&path).is_ok() {
            exports::keep_file(tx, &path, blob)?;
            counts.preserved += 1;
        } else {
            counts.refused.push((path, "import.reason.clash".to_owned()));
        }
    }
    if !percloud.other.is_empty() {
        exports::keep_line(tx, "members", &serde_json::to_string(&percloud.other)?)?;
    }
    Ok((counts.counted > 0).then_some(counts))
}

fn known() -> impl Iterator<Item = String> {
    manifest::KNOWN.iter().map(|(_, place)| format!("data/{place}"))
}

/// Whether a bundle with all these would be read: its list of sections and what it says of itself are short.
fn is_readable(sections: &[Section], members: usize) -> anyhow::Result<bool> {
    let described = serde_json::to_string(sections)?.len() + members;
    Ok(sections.len() + manifest::KNOWN.len() <= MAX_SECTIONS && described < DESCRIBED)
}

/// Whether a section lies in none of the others, and none of them in it: a file would belong to two.
fn is_apart(section: &Section, here: &[Section]) -> bool {
    let others = here.iter().filter(|other| other.id != section.id).map(|other| other.path.clone());
    others.chain(known()).all(|path| {
        let other = Section { path, ..Section::default() };
        !other.holds(&section.path) && !section.holds(&other.path)
    })
}

/// The names that the next export has in any case.
fn clashes(tx: &Transaction<'_>) -> anyhow::Result<Clashes> {
    let mut clashes = Clashes::default();
    for place in known() {
        // A folder is spelt so, whatever will be in it.
        let name = if place.contains('.') { place } else { format!("{place}/\0") };
        clashes.file(&name)?;
    }
    for (path, _) in exports::kept_files(tx)? {
        // What clashes here came in before this was looked at.
        let _clash = clashes.file(&path);
    }
    Ok(clashes)
}
