//! What belongs to no service: the owner's choices, addresses, origins, and the owner's own secrets.

use bundle::{TenantSpec, sign::Key};
use chrono::{DateTime, Utc};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Folder, rows};
use crate::{
    auth,
    settings::{self, Picture},
};

/// The root of the payload, as PDPArchive wants it.
pub(super) fn archive(spec: &TenantSpec, bundle: &str, created: DateTime<Utc>) -> anyhow::Result<Vec<u8>> {
    pretty(&json!({
        "archive": {
            "id": format!("urn:uuid:{bundle}"),
            "name": format!("percloud of {}", spec.domain),
            "timestamp": created,
            "version": "1.0",
            "generator": concat!("percloud-runtime ", env!("CARGO_PKG_VERSION")),
        },
        "dataset": {"extent": "full", "languagetag": spec.language, "timezone": "UTC", "datatypes": [], "selector": null},
        "datasource": {"account": spec.domain, "service": spec.origin()},
    }))
}

/// `data/settings/`.
pub(super) fn settings(db: &Connection, out: &mut Folder) -> anyhow::Result<()> {
    let chosen = settings::get(db)?;
    let avatar = chosen.avatar.as_ref().map(|picture| (avatar_name(picture), picture));
    let profile = json!({
        "name": chosen.name,
        "about": chosen.about,
        "avatar": avatar.as_ref().map(|(file, picture)| json!({"file": file, "mediaType": picture.media_type})),
    });
    out.text("settings/profile.json", pretty(&profile)?);
    let appearance = json!({
        "accent": chosen.accent,
        "theme": chosen.theme.code(),
        "language": chosen.language.map(ui::Lang::code),
        "home": chosen.home,
    });
    out.text("settings/appearance.json", pretty(&appearance)?);
    if let Some((file, picture)) = avatar {
        out.blob(format!("settings/{file}"), picture.blob);
    }
    Ok(())
}

fn avatar_name(picture: &Picture) -> String {
    let extension = match picture.media_type.as_str() {
        "image/jpeg" => "jpg",
        "image/png" => "png",
        "image/webp" => "webp",
        "image/gif" => "gif",
        "image/avif" => "avif",
        _ => "bin",
    };
    format!("avatar.{extension}")
}

/// `data/urls/urls.jsonl`: every public address, in order.
pub(super) fn urls(spec: &TenantSpec, mut urls: Vec<(String, u16, String)>) -> anyhow::Result<Vec<u8>> {
    urls.sort();
    urls.dedup();
    let mut text = Vec::new();
    for (path, status, resource) in urls {
        let line =
            json!({"url": format!("{}{path}", spec.origin()), "path": path, "status": status, "resource": resource});
        serde_json::to_writer(&mut text, &line)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// `data/provenance.jsonl`, if this percloud came from somewhere.
pub(super) fn provenance(db: &Connection) -> anyhow::Result<Option<Vec<u8>>> {
    let lines = rows::kept_lines(db, "provenance")?;
    Ok((!lines.is_empty()).then(|| (lines.join("\n") + "\n").into_bytes()))
}

/// The owner's password, recovery codes and keys.
pub(super) fn secrets(db: &Connection, key: Option<&Key>, out: &mut Folder) -> anyhow::Result<()> {
    if let Some(owner) = auth::owner(db)? {
        let line = json!({"kind": "password", "phc": owner.password, "changedAt": owner.password_at});
        out.secrets.push(("account".to_owned(), line));
    }
    let mut codes = db.prepare("select sha256, used_at from recovery_codes order by sha256")?;
    let codes = codes.query_map([], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<String>>(1)?)))?;
    for code in codes {
        let (sha256, used_at) = code?;
        let line = json!({"kind": "recovery-code", "sha256": hex::encode(sha256), "usedAt": used_at});
        out.secrets.push(("account".to_owned(), line));
    }
    if let Some(key) = key {
        out.secrets.push(("keys".to_owned(), json!({"kind": "minisign", "secret": key.to_text()})));
    }
    Ok(())
}

/// Secrets as files of JSON lines, by name.
pub(super) fn files(secrets: &[(String, Value)]) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut files = std::collections::BTreeMap::<String, Vec<u8>>::new();
    for (name, line) in secrets {
        let file = files.entry(name.clone()).or_default();
        serde_json::to_writer(&mut *file, line)?;
        file.push(b'\n');
    }
    Ok(files.into_iter().collect())
}

fn pretty(value: &Value) -> anyhow::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text)
}
