//! From rows to a layout.

use std::sync::Arc;

use bundle::{
    Sum, TenantSpec,
    manifest::{Exporter, Subject},
    write::{Draft, Entry, Head, Layout},
    zip::layout::{Content, OpenBlob},
};
use rusqlite::Connection;
use sha2::Digest;

use super::{Folder, core, rows, rows::Wanted};
use crate::{
    blobs::{Blob, Blobs, Hash},
    runtime::Runtime,
    settings, web,
};

/// Files and bytes of one section, for people.
#[derive(Clone, Debug)]
pub(super) struct Amount {
    pub(super) section: String,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// What a bundle made now would hold, without the bag's own files.
pub(super) fn contents(db: &Connection, spec: &TenantSpec) -> anyhow::Result<Vec<Amount>> {
    let entries = payload(db, spec, None)?;
    let mut amounts: Vec<Amount> = Vec::new();
    for entry in entries {
        let path = entry.path().strip_prefix("data/").unwrap_or(entry.path());
        let section = match path.split('/').collect::<Vec<_>>()[..] {
            ["x", vendor, ..] => format!("x/{vendor}"),
            [first, ..] => first.split('.').next().unwrap_or(first).to_owned(),
            [] => continue,
        };
        let bytes = entry.sum().size;
        match amounts.iter_mut().find(|a| a.section == section) {
            Some(amount) => {
                amount.files += 1;
                amount.bytes += bytes;
            }
            None => amounts.push(Amount { section, files: 1, bytes }),
        }
    }
    Ok(amounts)
}

/// All files below `data/`; with an export's id and creation, those that name it too.
fn payload(db: &Connection, spec: &TenantSpec, wanted: Option<&Wanted>) -> anyhow::Result<Vec<Entry>> {
    let mut folder = Folder::of_services(db, spec.origin())?;
    core::settings(db, &mut folder)?;
    let urls = core::urls(spec, std::mem::take(&mut folder.urls))?;
    folder.text("urls/urls.jsonl", urls);
    if let Some(text) = core::provenance(db)? {
        folder.text("provenance.jsonl", text);
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(folder.texts.len() + folder.blobs.len() + 8);
    if let Some(wanted) = wanted {
        let archive = core::archive(spec, &wanted.bundle, wanted.created_at)?;
        entries.push(Entry::text("data/archive.json", &archive));
        for (path, sealed) in rows::secrets(db, &wanted.id)? {
            entries.push(Entry::text(path, &sealed));
        }
    }
    entries.extend(folder.texts.into_iter().map(|(path, text)| Entry::text(format!("data/{path}"), &text)));
    entries.extend(folder.blobs.into_iter().map(|(path, blob)| Entry::blob(format!("data/{path}"), sum(&blob))));
    entries.extend(rows::kept_files(db)?.into_iter().map(|(path, sum)| Entry::blob(path, sum)));
    Ok(entries)
}

fn sum(blob: &Blob) -> Sum {
    Sum { size: blob.size, crc32: blob.crc32, sha256: blob.sha256.0 }
}

fn opener(blobs: &Blobs) -> Arc<OpenBlob> {
    let blobs = blobs.clone();
    Arc::new(move |hash| Ok(Box::new(blobs.read(&Hash(*hash))?) as Box<dyn Content>))
}

/// Lays the bundle out from one moment's view of the database. A new signature is put into `wanted`.
fn lay_out(db: &Connection, spec: &TenantSpec, blobs: &Blobs, wanted: &mut Wanted) -> anyhow::Result<Layout> {
    let moment = db.unchecked_transaction()?;
    let key = rows::key(&moment)?.ok_or_else(|| anyhow::anyhow!("there is no signing key"))?;
    let head = head(&moment, spec, wanted, key.public()?)?;
    let comment = head.comment();
    let mut draft = Draft::new(head);
    for entry in payload(&moment, spec, Some(wanted))? {
        draft.add(entry);
    }
    for section in rows::kept_sections(&moment)? {
        draft.keep(section);
    }
    // A signature differs each time it is made; the one of the same list is used again, so that the bytes stay the same.
    let mut sign = |list: &[u8]| {
        let hash = sha2::Sha256::digest(list).to_vec();
        match &wanted.signature {
            Some(signature) if wanted.signed.as_ref() == Some(&hash) => Ok(Some(signature.clone())),
            _ => {
                let signature = key.sign(list, &comment)?;
                wanted.signed = Some(hash);
                wanted.signature = Some(signature.clone());
                Ok(Some(signature))
            }
        }
    };
    draft.finish(opener(blobs), &mut sign)
}

fn head(db: &Connection, spec: &TenantSpec, wanted: &Wanted, public: String) -> anyhow::Result<Head> {
    let handle = settings::get(db)?.title(spec);
    let other = match rows::kept_lines(db, "members")?.last() {
        Some(line) => serde_json::from_str(line)?,
        None => serde_json::Map::new(),
    };
    Ok(Head {
        id: wanted.bundle.clone(),
        created: wanted.created_at,
        exporter: Exporter {
            name: "percloud-runtime".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            url: bundle::manifest::SPEC_URL.to_owned(),
            key: Some(public),
            other: serde_json::Map::new(),
        },
        organization: spec.provider.as_ref().map_or_else(|| handle.clone(), |provider| provider.name.clone()),
        subject: Subject { handle, domains: vec![spec.domain.to_string()], other: serde_json::Map::new() },
        other,
    })
}

/// The layout of an export, the same as last time unless something was changed since; then it is a new bundle, of now.
pub(super) async fn layout(rt: &Runtime, mut wanted: Wanted) -> web::Result<(Arc<Layout>, Wanted)> {
    let (spec, blobs, now) = (rt.spec().clone(), rt.blobs().clone(), rt.clock().now());
    let before = wanted.etag.clone();
    let (layout, wanted) = rt
        .store()
        .read(move |db| {
            let mut layout = lay_out(db, &spec, &blobs, &mut wanted)?;
            if wanted.etag.as_ref().is_some_and(|etag| etag != layout.etag()) {
                wanted.bundle = bundle::manifest::uuid();
                wanted.created_at = now;
                layout = lay_out(db, &spec, &blobs, &mut wanted)?;
            }
            wanted.etag = Some(layout.etag().to_owned());
            wanted.size = Some(layout.size());
            Ok((Arc::new(layout), wanted))
        })
        .await?;
    if wanted.etag != before {
        let row = wanted.clone();
        rt.store().write(move |tx| rows::set_layout(tx, &row)).await?;
    }
    Ok((layout, wanted))
}

/// Writes down that the owner wants everything; with a passphrase, the secrets too.
pub(super) async fn want(rt: &Runtime, passphrase: Option<String>) -> web::Result<Wanted> {
    rt.store().write(rows::ensure_key).await?;
    let sealed = match passphrase {
        None => Vec::new(),
        Some(passphrase) => {
            let origin = rt.spec().origin();
            let files = rt.store().read(move |db| {
                let mut folder = Folder::of_services(db, origin)?;
                core::secrets(db, rows::key(db)?.as_ref(), &mut folder)?;
                core::files(&folder.secrets)
            });
            let files = files.await?;
            tokio::task::spawn_blocking(move || bundle::secrets::seal(&passphrase, &files)).await??
        }
    };
    let now = rt.clock().now();
    let wanted = rt.store().write(move |tx| {
        crate::activity::note(tx, now, "activity.export", &[])?;
        rows::insert(tx, now, &sealed)
    });
    Ok(wanted.await?)
}
