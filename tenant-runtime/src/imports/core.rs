//! The sections that belong to no service.

use anyhow::Context;
use bundle::sign::Key;
use chrono::{DateTime, Utc};
use rusqlite::Transaction;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Digest;

use super::{
    Counts, Report, kept,
    work::{Job, Step},
};
use crate::{
    auth, exports,
    settings::{self, HomeSections, Picture},
};

/// Before the services: keys.
pub(super) fn before_services() -> &'static [Step] {
    &[Step { section: "archive", take: archive }]
}

/// After the services: what looks at all of them, and what changes how the percloud shows itself. The owner's own
/// secrets come last, so that the old password is valid only once everything else is in.
pub(super) fn after_services() -> &'static [Step] {
    &[
        Step { section: "urls", take: urls },
        Step { section: "kept", take: kept::take },
        Step { section: "provenance", take: provenance },
        Step { section: "settings", take: settings },
        Step { section: "secrets", take: secrets },
    ]
}

/// Says what the archive is; ours says the same in its own words.
fn archive(_tx: &Transaction<'_>, job: &Job) -> anyhow::Result<Option<Counts>> {
    let here = job.entries.contains_key("archive.json");
    Ok(here.then(|| Counts { counted: 1, transformed: 1, ..Counts::default() }))
}

fn text(job: &Job, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(blob) = job.entries.get(path) else { return Ok(None) };
    anyhow::ensure!(blob.size <= 64 << 20, "{path} is larger than 64 MiB");
    Ok(Some(std::fs::read(job.place.store.blobs().path(&blob.sha256))?))
}

/// Every address that answered there must answer here; those that would not are said.
fn urls(tx: &Transaction<'_>, job: &Job) -> anyhow::Result<Option<Counts>> {
    #[derive(Deserialize)]
    struct Line {
        path: String,
        status: u16,
    }
    let Some(text) = text(job, "urls/urls.jsonl")? else { return Ok(None) };
    let here = exports::Folder::of_services(tx, job.place.origin.clone())?.urls;
    let here: std::collections::BTreeSet<_> = here.into_iter().map(|(path, status, _)| (path, status)).collect();
    let mut counts = Counts::default();
    for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        counts.counted += 1;
        match serde_json::from_slice::<Line>(line) {
            Ok(line) if here.contains(&(line.path.clone(), line.status)) => counts.imported += 1,
            Ok(line) => counts.refused.push((line.path, "import.reason.address".to_owned())),
            Err(_) => counts.refused.push((format!("line {}", counts.counted), "import.reason.no-address".to_owned())),
        }
    }
    Ok(Some(counts))
}

fn provenance(tx: &Transaction<'_>, job: &Job) -> anyhow::Result<Option<Counts>> {
    let Some(text) = text(job, "provenance.jsonl")? else { return Ok(None) };
    let mut counts = Counts::default();
    for line in String::from_utf8_lossy(&text).lines() {
        counts.counted += 1;
        match exports::keep_line(tx, "provenance", line)? {
            true => counts.imported += 1,
            false => counts.preserved += 1,
        }
    }
    Ok(Some(counts))
}

/// Writes down where this percloud came from, once.
pub(super) fn note_origin(tx: &Transaction<'_>, report: &Report, text: &str) -> anyhow::Result<()> {
    let line = json!({
        "bundle": report.bundle,
        "from": report.from,
        "to": report.to,
        "tool": report.tool,
        "time": report.finished,
        "tagmanifestSha256": report.tagmanifest_sha256,
        "reportSha256": hex::encode(sha2::Sha256::digest(text)),
    });
    exports::keep_line(tx, "provenance", &line.to_string())?;
    Ok(())
}

#[derive(Deserialize)]
struct Profile {
    #[serde(default)]
    name: String,
    #[serde(default)]
    about: String,
    #[serde(default)]
    avatar: Option<Avatar>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Avatar {
    file: String,
    media_type: String,
}

#[derive(Deserialize)]
struct Appearance {
    #[serde(default)]
    accent: Option<String>,
    #[serde(default)]
    theme: String,
    #[serde(default)]
    language: Option<String>,
    #[serde(default)]
    home: Option<HomeSections>,
}

/// Name, picture, colours: as they were there.
fn settings(tx: &Transaction<'_>, job: &Job) -> anyhow::Result<Option<Counts>> {
    let mut counts = Counts::default();
    let mut chosen = settings::get(tx)?;
    if let Some(text) = text(job, "settings/profile.json")? {
        counts.counted += 1;
        match serde_json::from_slice::<Profile>(&text) {
            Ok(profile) => {
                chosen.name = profile.name.trim().chars().filter(|c| !c.is_control()).take(60).collect();
                chosen.about = profile.about.chars().take(2000).collect();
                chosen.avatar = None;
                counts.imported += 1;
                if let Some(avatar) = profile.avatar {
                    counts.counted += 1;
                    match picture(job, &avatar) {
                        Some(picture) => {
                            chosen.avatar = Some(picture);
                            counts.imported += 1;
                        }
                        None => counts.refused.push((avatar.file, "import.reason.no-picture".to_owned())),
                    }
                }
            }
            Err(_) => counts.refused.push(("profile.json".to_owned(), "import.reason.not-understood".to_owned())),
        }
    }
    if let Some(text) = text(job, "settings/appearance.json")? {
        counts.counted += 1;
        match serde_json::from_slice::<Appearance>(&text) {
            Ok(look) => {
                let ours = |name: &String| ui::ACCENTS.iter().any(|accent| accent.name == name);
                chosen.accent = look.accent.filter(ours);
                chosen.theme = ui::Theme::from_code(&look.theme).unwrap_or_default();
                chosen.language = look.language.as_deref().and_then(ui::Lang::from_code);
                chosen.home = look.home.unwrap_or_default();
                counts.imported += 1;
            }
            Err(_) => counts.refused.push(("appearance.json".to_owned(), "import.reason.not-understood".to_owned())),
        }
    }
    if counts.counted == 0 {
        return Ok(None);
    }
    settings::put(tx, &chosen)?;
    Ok(Some(counts))
}

/// The avatar, when its content is a picture of the kind that it says.
fn picture(job: &Job, avatar: &Avatar) -> Option<Picture> {
    let blob = *job.entries.get(&format!("settings/{}", avatar.file))?;
    let kind = infer::get_from_path(job.place.store.blobs().path(&blob.sha256)).ok()??.mime_type();
    let known = ["image/jpeg", "image/png", "image/webp", "image/gif", "image/avif"].contains(&kind);
    (known && kind == avatar.media_type && blob.size <= 20 << 20).then(|| Picture { blob, media_type: kind.to_owned() })
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Account {
    Password {
        phc: String,
        #[serde(rename = "changedAt")]
        changed_at: DateTime<Utc>,
    },
    RecoveryCode {
        sha256: String,
        #[serde(rename = "usedAt")]
        used_at: Option<String>,
    },
}

/// The owner's password and codes, when wished, and the key that signs.
fn secrets(tx: &Transaction<'_>, job: &Job) -> anyhow::Result<Option<Counts>> {
    let mut counts = Counts::default();
    let own = job.row.secrets.iter().filter(|(file, _)| file == "account" || file == "keys");
    let account: Vec<&(String, Value)> = own.collect();
    if job.row.secrets.is_empty() && job.checked.has_secrets() {
        counts.counted = 1;
        counts.refused.push(("secrets".to_owned(), "import.reason.no-passphrase".to_owned()));
        return Ok(Some(counts));
    }
    let takes = job.row.take_password && account.iter().any(|(_, line)| line["kind"] == "password");
    if takes {
        tx.execute("delete from recovery_codes", [])?;
    }
    for (file, line) in account {
        counts.counted += 1;
        let done = match file.as_str() {
            "keys" => signing_key(tx, line)?,
            _ if takes => one_account(tx, line, job.now)?,
            _ => Done::Left,
        };
        match done {
            Done::Taken => counts.imported += 1,
            Done::Left => counts.preserved += 1,
            Done::Refused(why) => counts.refused.push((file.clone(), why.to_owned())),
        }
    }
    Ok((counts.counted > 0).then_some(counts))
}

/// A hash that we can check without being made to work for minutes: argon2id of at most 64 MiB.
fn is_bearable(phc: &str) -> bool {
    use argon2::password_hash::phc::PasswordHash;
    let Ok(hash) = PasswordHash::new(phc) else { return false };
    let at_most = |name: &str, most: u32| hash.params.get_decimal(name).is_some_and(|value| value <= most);
    hash.algorithm.as_str() == "argon2id" && at_most("m", 64 * 1024) && at_most("t", 10) && at_most("p", 4)
}

enum Done {
    Taken,
    Left,
    Refused(&'static str),
}

fn signing_key(tx: &Transaction<'_>, line: &Value) -> anyhow::Result<Done> {
    if line["kind"] != "minisign" {
        return Ok(Done::Refused("import.reason.key-kind"));
    }
    let Some(key) = line["secret"].as_str().and_then(|text| Key::from_text(text).ok()) else {
        return Ok(Done::Refused("import.reason.no-key"));
    };
    let used: bool = tx.query_row("select exists (select 1 from exports)", [], |row| row.get(0))?;
    if used {
        return Ok(Done::Left); // bundles of ours are signed with our own key already
    }
    exports::set_key(tx, &key)?;
    Ok(Done::Taken)
}

fn one_account(tx: &Transaction<'_>, line: &Value, now: DateTime<Utc>) -> anyhow::Result<Done> {
    match serde_json::from_value::<Account>(line.clone()) {
        Ok(Account::Password { phc, changed_at }) => {
            if !is_bearable(&phc) {
                return Ok(Done::Refused("import.reason.hash"));
            }
            auth::set_up(tx, &phc, now)?;
            auth::change_password(tx, &phc, changed_at)?;
            Ok(Done::Taken)
        }
        Ok(Account::RecoveryCode { sha256, used_at }) => {
            let hash = hex::decode(&sha256).context("not a hash")?;
            tx.execute(
                "insert into recovery_codes (sha256, used_at) values (?1, ?2) on conflict do nothing",
                (hash, used_at),
            )?;
            Ok(Done::Taken)
        }
        Err(_) => Ok(Done::Refused("import.reason.not-understood")),
    }
}
