//! The bag's own files: what BagIt (RFC 8493) and FEP-6fcd ask for.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::Head;
use crate::{
    manifest::{self, Percloud},
    zip::Entry,
};

/// `bagit.txt`, the same in every bag.
pub(crate) const BAGIT: &str = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n";

/// A manifest: one line for each file.
pub(super) fn sums(entries: &[Entry]) -> String {
    let mut text = String::with_capacity(entries.iter().map(|e| e.path().len() + 67).sum());
    for entry in entries {
        let _ = writeln!(text, "{}  {}", entry.sum().hex(), entry.path());
    }
    text
}

/// `bag-info.txt`.
pub(super) fn bag_info(head: &Head, payload: &[Entry]) -> String {
    let bytes: u64 = payload.iter().map(|e| e.sum().size).sum();
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _ = writeln!(text, "{key}: {value}");
    };
    line(
        "Source-Organization",
        if head.organization.trim().is_empty() { "percloud" } else { head.organization.trim() },
    );
    line("External-Identifier", &format!("urn:uuid:{}", head.id));
    line("External-Description", "One person's own cloud, whole, in open formats. README.html explains it.");
    line("Bagging-Date", &head.created.format("%Y-%m-%d").to_string());
    line("Payload-Oxum", &format!("{bytes}.{}", payload.len()));
    line(
        "Bag-Software-Agent",
        format!("{} {} <{}>", head.exporter.name, head.exporter.version, head.exporter.url).trim(),
    );
    line("BagIt-Profile-Identifier", &format!("{}/bagit-profile.json", manifest::SPEC_URL));
    text
}

/// `manifest.yml`, the dialect of FEP-6fcd, two levels deep.
pub(super) fn manifest_yml(percloud: &Percloud) -> anyhow::Result<String> {
    let controller = percloud.subject.domains.first().map(|d| format!("https://{d}/"));
    let mut data = Map::new();
    for section in &percloud.sections {
        let name = section.path.strip_prefix("data/").unwrap_or(&section.path);
        data.insert(name.to_owned(), json!({"url": section.spec, "version": section.version}));
    }
    let tag = |file: &str| json!({"url": format!("{}#{file}", manifest::SPEC_URL)});
    let value: Value = json!({
        "ubc-version": "0.1",
        "spec": {"id": manifest::FORMAT, "version": percloud.version, "url": manifest::SPEC_URL},
        "meta": {
            "created": percloud.created,
            "createdBy": {
                "client": {"name": percloud.exporter.name, "url": percloud.exporter.url},
                "controller": controller,
            },
        },
        "contents": {
            "README.html": tag("readme"),
            "percloud.json": tag("percloud-json"),
            "data": {"url": manifest::SPEC_URL, "contents": data},
        },
    });
    Ok(serde_norway::to_string(&value)?)
}
