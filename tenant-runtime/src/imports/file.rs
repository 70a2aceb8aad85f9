//! Import from the command line: into a folder that nobody serves yet, or an unzipped bundle.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use bundle::{Clock, zip::Limits};

use super::{
    progress::Turn,
    report::{Report, Summary},
    rows::{self, Source},
    work::{self, Place},
};
use crate::{auth, store::Store};

/// What an import from the command line did.
#[derive(Debug)]
pub struct Imported {
    /// The receipt; also written to `import-report.json` in the folder.
    pub report: Report,
    /// Whether the percloud has its owner's old password. If not, it has to be set up.
    pub has_owner: bool,
}

/// Checks a bundle (a ZIP file or an unzipped folder) whole; says what is in it.
///
/// # Errors
/// With the reason, in words for a person.
pub fn check_file(file: &Path) -> Result<Summary, bundle::Error> {
    let turn = turn()?;
    work::check(file, &limits(), &turn).map(|checked| Summary::of(&checked))
}

fn limits() -> Limits {
    Limits { entries: work::ENTRIES, ..Limits::default() }
}

/// A worker's turn of its own; nobody asks how far it is.
fn turn() -> std::io::Result<Turn> {
    Turn::take(&bundle::manifest::uuid()).ok_or_else(|| std::io::ErrorKind::ResourceBusy.into())
}

/// Takes a bundle (a ZIP file or an unzipped folder) into the data folder `data`, which is made when it is missing.
/// Everything is checked before the first write; after a kill the same call goes on where it was.
///
/// # Errors
/// With the reason, in words for a person.
pub async fn from_file(file: &Path, data: &Path, passphrase: Option<String>, clock: Clock) -> anyhow::Result<Imported> {
    let path = file.to_owned();
    let checked = tokio::task::spawn_blocking(move || {
        let turn = turn()?;
        work::check(&path, &limits(), &turn)
    });
    let checked = Arc::new(checked.await?.with_context(|| format!("{} cannot be imported", file.display()))?);
    let secrets = match passphrase {
        None => Vec::new(),
        Some(passphrase) => {
            ensure!(checked.has_secrets(), "the bundle holds no secrets, so it needs no passphrase");
            let checked = checked.clone();
            tokio::task::spawn_blocking(move || work::secrets(&checked, &passphrase)).await??
        }
    };
    std::fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
    let _lock = crate::serve::lock::take(data, Duration::ZERO)?;
    let store = Store::open(data)?;
    let place = Place { store: store.clone(), clock, name: "home".to_owned(), origin: String::new() };
    let done = into(&place, &checked, file, secrets).await;
    let has_owner = done.is_ok() && store.read(auth::owner).await?.is_some();
    store.close().await;
    let report = done?;
    let mut text = serde_json::to_string_pretty(&report)?;
    text.push('\n');
    std::fs::write(data.join("import-report.json"), text)?;
    Ok(Imported { report, has_owner })
}

async fn into(
    place: &Place,
    checked: &Arc<bundle::read::Checked>,
    file: &Path,
    secrets: Vec<(String, serde_json::Value)>,
) -> anyhow::Result<Report> {
    let summary = Summary::of(checked);
    let name = file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let now = place.clock.now();
    let row = place.store.write(move |tx| {
        let id = match rows::of_disk(tx, &summary.tagmanifest_sha256)? {
            Some(row) => row.id,
            None => {
                let id = rows::insert(tx, &name, &Source::Disk(summary.bytes), now)?;
                rows::set_ready(tx, &id, &summary)?;
                rows::set_importing(tx, &id, &secrets, true)?;
                id
            }
        };
        rows::find(tx, &id)?.context("the import that was just written is not there")
    });
    let row = row.await?;
    let turn = Turn::take(&row.id).context("this import is being worked on")?;
    work::import(place, &row, checked.clone(), Arc::new(turn), Arc::new(|_: &str| Ok(()))).await
}
