//! The worker: one import, step by step. Every step may be the last one before a kill, and doing it twice is doing it once.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use bundle::{
    Error, TenantSpec, Why,
    read::{Checked, Item, Package},
    zip::Limits,
};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    Counts, Section, core,
    progress::Turn,
    report::{Report, Summary},
    rows::{self, Import, Refusal, Source, State},
};
use crate::{
    activity,
    blobs::{Blob, Hash},
    pulse::Busy,
    quota,
    runtime::Runtime,
    services, status,
    store::Store,
};

/// Entries that a bundle may have here; each takes some 300 bytes of memory while it is read.
pub(super) const ENTRIES: u64 = 1_000_000;

/// How often a bundle may be begun with, if it does not come to an end.
const TRIES: u32 = 3;
/// The message for one that was not even looked through in as many tries.
pub(super) const GIVEN_UP: &str = "import.refused.given-up";

/// What the disk must keep free for the database to go on working.
const RESERVE: u64 = 32 << 20;

/// Called before every step; an error stops the worker there, as a kill would. For tests.
pub(super) type Before = dyn Fn(&str) -> anyhow::Result<()> + Send + Sync;

/// Makes sure that somebody works on an import that is not over.
pub(super) fn ensure(rt: &Runtime, id: &str) {
    if let Some(turn) = Turn::take(id) {
        let busy = rt.busy();
        tokio::spawn(work(rt.clone(), id.to_owned(), turn, busy));
    }
}

/// The same for one that has just been asked for. The host is told first: were we killed now, nobody else would wake us to go on.
pub(super) async fn begin(rt: &Runtime, id: &str) -> anyhow::Result<()> {
    status::write(rt).await?;
    ensure(rt, id);
    Ok(())
}

async fn work(rt: Runtime, id: String, turn: Turn, _busy: Busy) {
    if let Err(error) = turn_of(&rt, &id, Arc::new(turn), Arc::new(|_: &str| Ok(()))).await {
        tracing::error!(error = format!("{error:#}"), import = id, "an import stopped");
        // What reads it may be the trouble, and whoever looks at the page begins the next try.
        if let Err(error) = rt.store().write(move |tx| rows::take_try_back(tx, &id)).await {
            tracing::error!(error = format!("{error:#}"), "the try of an import cannot be taken back");
        }
        return;
    }
    // The owner may have begun it while this turn was not quite over: then nobody else took it.
    let key = id.clone();
    let row = rt.store().read(move |db| rows::find(db, &key)).await;
    if matches!(row, Ok(Some(row)) if matches!(row.state, State::Checking | State::Importing)) {
        ensure(&rt, &id);
    }
}

/// One worker's turn: does what the row asks for.
pub(super) async fn turn_of(rt: &Runtime, id: &str, turn: Arc<Turn>, before: Arc<Before>) -> anyhow::Result<()> {
    let key = id.to_owned();
    let Some(row) = rt.store().read(move |db| rows::find(db, &key)).await? else { return Ok(()) };
    let Source::Blob(blob) = row.source else { return Ok(()) };
    if is_given_up(rt, &row).await? {
        return Ok(());
    }
    let path = rt.blobs().path(&blob.sha256);
    match row.state {
        State::Checking => {
            let limits = limits(rt.spec());
            let checked = tokio::task::spawn_blocking(move || check(&path, &limits, &turn)).await?;
            let id = row.id.clone();
            match checked {
                Ok(checked) => {
                    let summary = Summary::of(&checked);
                    rt.store().write(move |tx| rows::set_ready(tx, &id, &summary)).await
                }
                Err(Error::Refused(refusal)) => {
                    let refusal = Refusal { key: format!("refused.{}", refusal.why.key()), at: refusal.at };
                    rt.store().write(move |tx| rows::set_refused(tx, &id, &refusal)).await
                }
                Err(Error::Io(error)) => Err(error).context("the uploaded bundle cannot be read"),
            }
        }
        State::Importing => {
            let limits = limits(rt.spec());
            let package = tokio::task::spawn_blocking(move || open(&path, &limits)).await??;
            let place = Place::of(rt);
            let done = import(&place, &row, Arc::new(package), turn, before).await;
            if let Err(error) = done {
                let (id, now) = (row.id.clone(), rt.clock().now());
                rt.store().write(move |tx| rows::set_end(tx, &id, State::Failed, None, now)).await?;
                return Err(error);
            }
            forget(rt, &blob.sha256).await
        }
        State::Ready | State::Refused | State::Done | State::Failed => Ok(()),
    }
}

/// Counts this try, and ends the import instead when there were enough: a bundle that ends the process whenever it is looked at would
/// do so at each start, and nobody could come in to discard it.
async fn is_given_up(rt: &Runtime, row: &Import) -> anyhow::Result<bool> {
    if !matches!(row.state, State::Checking | State::Importing) {
        return Ok(false);
    }
    let (id, state, now) = (row.id.clone(), row.state, rt.clock().now());
    let given_up = rt.store().write(move |tx| {
        if rows::count_try(tx, &id)? <= TRIES {
            return Ok(false);
        }
        match state {
            State::Checking => rows::set_refused(tx, &id, &Refusal { key: GIVEN_UP.to_owned(), at: None })?,
            _ => rows::set_end(tx, &id, State::Failed, None, now)?,
        }
        Ok(true)
    });
    given_up.await
}

fn limits(spec: &TenantSpec) -> Limits {
    Limits { entries: ENTRIES, bytes: spec.quota_bytes }
}

/// Everything is read and checked; nothing is written.
pub(super) fn check(path: &std::path::Path, limits: &Limits, turn: &Turn) -> Result<Checked, Error> {
    let package = Package::open(path, limits)?;
    turn.step("reading", package.bytes());
    package.check(&mut |bytes| {
        turn.more(bytes);
        true
    })
}

/// A bundle that was checked before: its lists are believed, its contents are held against them while they are stored.
fn open(path: &std::path::Path, limits: &Limits) -> Result<Checked, Error> {
    Package::open(path, limits)?.listed()
}

/// Where an import goes: a running percloud, or a folder that the command line fills.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) store: Store,
    pub(super) clock: bundle::Clock,
    /// What it is called: its domain, or nothing yet.
    pub(super) name: String,
    /// Its address, for links; empty as long as there is none.
    pub(super) origin: String,
}

impl Place {
    fn of(rt: &Runtime) -> Self {
        Self {
            store: rt.store().clone(),
            clock: rt.clock().clone(),
            name: rt.spec().domain.to_string(),
            origin: rt.spec().origin(),
        }
    }
}

/// What every step needs.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) place: Place,
    pub(super) row: Import,
    pub(super) checked: Arc<Checked>,
    pub(super) entries: Arc<BTreeMap<String, Blob>>,
    pub(super) now: DateTime<Utc>,
}

/// Stores all contents, then takes in one section after the other, each in one transaction.
pub(super) async fn import(
    place: &Place,
    row: &Import,
    checked: Arc<Checked>,
    turn: Arc<Turn>,
    before: Arc<Before>,
) -> anyhow::Result<Report> {
    let entries = {
        let (checked, store, turn, before) = (checked.clone(), place.store.clone(), turn.clone(), before.clone());
        tokio::task::spawn_blocking(move || store_contents(&checked, &store, &turn, &*before)).await??
    };
    let now = place.clock.now();
    let job = Job { place: place.clone(), row: row.clone(), checked, entries: Arc::new(entries), now };
    let id = row.id.clone();
    let done = place.store.read(move |db| rows::sections(db, &id)).await?;
    let steps = core::before_services().iter().copied().chain(services()).chain(core::after_services().iter().copied());
    for step in steps {
        if done.iter().any(|(section, _)| section == step.section) {
            continue;
        }
        before(step.section)?;
        turn.step(step.section, 0);
        let job = job.clone();
        place
            .store
            .write(move |tx| {
                if let Some(counts) = (step.take)(tx, &job)? {
                    rows::set_section(tx, &job.row.id, step.section, &counts)?;
                }
                Ok(())
            })
            .await
            .with_context(|| format!("the section {} cannot be taken in", step.section))?;
    }
    before("end")?;
    end(&job).await
}

/// A section and how it is taken in; none: it is not in the bundle.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) section: &'static str,
    pub(super) take: fn(&rusqlite::Transaction<'_>, &Job) -> anyhow::Result<Option<Counts>>,
}

/// The bundle's section that a service takes in.
fn section_of(service: &str) -> &'static str {
    match service {
        "files" => "files",
        "posts" => "blog",
        "bookmarks" => "bookmarks",
        _ => "",
    }
}

fn services() -> impl Iterator<Item = Step> {
    const STEPS: &[Step] = &[
        Step { section: "files", take: |tx, job| service(tx, job, "files") },
        Step { section: "blog", take: |tx, job| service(tx, job, "blog") },
        Step { section: "bookmarks", take: |tx, job| service(tx, job, "bookmarks") },
    ];
    STEPS.iter().copied()
}

fn service(tx: &rusqlite::Transaction<'_>, job: &Job, section: &str) -> anyhow::Result<Option<Counts>> {
    let Some(service) = services::ALL.iter().find(|s| section_of(s.name()) == section) else { return Ok(None) };
    let prefix = format!("{section}/");
    if !job.entries.keys().any(|path| path.starts_with(&prefix)) {
        return Ok(None);
    }
    let blobs = job.place.store.blobs();
    let from = Section { entries: &job.entries, blobs, secrets: &job.row.secrets, now: job.now };
    service.import(tx, &from).map(Some)
}

/// Stores every content below `data/`. Each is held against its SHA-256 from the list on the way in; what is there already
/// is not read again.
fn store_contents(
    checked: &Checked,
    store: &Store,
    turn: &Turn,
    before: &Before,
) -> anyhow::Result<BTreeMap<String, Blob>> {
    let blobs = store.blobs();
    let items = || checked.items().iter().filter_map(|(path, item)| Some((path.strip_prefix("data/")?, item)));
    turn.step("storing", items().map(|(_, item)| item.sum.size).sum());
    let mut entries = BTreeMap::new();
    for (path, item) in items() {
        before("storing")?;
        let blob = match there_already(blobs, item)? {
            Some(blob) => blob,
            None => blobs.put_reader(&mut checked.content(item)?).context("a content cannot be stored")?,
        };
        if blob.sha256.0 != item.sum.sha256 {
            return Err(Error::from(Why::Hash).into());
        }
        turn.more(item.sum.size);
        entries.insert(path.to_owned(), blob);
    }
    Ok(entries)
}

/// A content that was stored before. Its CRC is the ZIP's, or read from the disk when there is none.
fn there_already(blobs: &crate::blobs::Blobs, item: &Item) -> anyhow::Result<Option<Blob>> {
    let hash = Hash(item.sum.sha256);
    let path = blobs.path(&hash);
    if !std::fs::metadata(&path).is_ok_and(|meta| meta.len() == item.sum.size) {
        return Ok(None);
    }
    let mut crc = crc32fast::Hasher::new();
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match std::io::Read::read(&mut file, &mut buffer)? {
            0 => break,
            n => crc.update(&buffer[..n]),
        }
    }
    blobs.touch(&hash)?;
    Ok(Some(Blob { sha256: hash, crc32: crc.finalize(), size: item.sum.size }))
}

/// Writes the report and where this percloud came from.
async fn end(job: &Job) -> anyhow::Result<Report> {
    let job = job.clone();
    let store = job.place.store.clone();
    store
        .write(move |tx| {
            let summary = job.row.summary.as_ref().context("the bundle was not checked")?;
            let counts = rows::sections(tx, &job.row.id)?;
            let report = Report::new(summary, job.place.name.clone(), !job.row.secrets.is_empty(), job.now, counts);
            let mut text = serde_json::to_string_pretty(&report)?;
            text.push('\n');
            core::note_origin(tx, &report, &text)?;
            rows::set_end(tx, &job.row.id, State::Done, Some(&text), job.now)?;
            activity::note(tx, job.now, "activity.import", &[("from", &report.from)])?;
            Ok(report)
        })
        .await
}

/// Frees the room that the uploaded bundle took, unless something else (a file of the same content) names it.
pub(super) async fn forget(rt: &Runtime, bundle: &Hash) -> anyhow::Result<()> {
    let (blobs, bundle) = (rt.blobs().clone(), *bundle);
    rt.store()
        .write(move |tx| {
            if quota::named(tx)?.binary_search(&bundle).is_err() {
                blobs.remove(&bundle);
            }
            Ok(())
        })
        .await
}

/// What is new in a bundle must fit; the uploaded file itself goes away when it is in.
pub(super) fn ensure_room(db: &rusqlite::Connection, spec: &TenantSpec, row: &Import) -> crate::web::Result<()> {
    let bytes = row.summary.as_ref().map_or(0, |summary| summary.bytes);
    let file = match row.source {
        Source::Blob(blob) => blob.size,
        Source::Disk(_) => 0,
    };
    quota::ensure_room(db, spec, bytes.saturating_sub(file))?;
    let disk = db.path().and_then(|path| rustix::fs::statvfs(path).ok());
    match disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)) {
        Some(free) if free < bytes.saturating_add(RESERVE) => Err(crate::web::Error::NoRoom),
        _ => Ok(()),
    }
}

/// Opens the secrets of a bundle.
pub(super) fn secrets(checked: &Checked, passphrase: &str) -> Result<Vec<(String, Value)>, bundle::secrets::OpenError> {
    use bundle::secrets::{FOLDER, IDENTITY, OpenError};
    let read = |path: &str| -> Result<Vec<u8>, OpenError> {
        let found = checked.text(path).map_err(|e| OpenError::Damaged(e.into()))?;
        found.ok_or_else(|| OpenError::Damaged(anyhow::anyhow!("there are no secrets")))
    };
    let opened = bundle::secrets::open(passphrase, &read(IDENTITY)?)?;
    let mut secrets = Vec::new();
    for path in checked.items().keys().filter(|p| p.starts_with(FOLDER) && *p != IDENTITY) {
        let name = path.trim_start_matches(FOLDER).trim_matches('/').trim_end_matches(".age");
        let text = opened.read(&read(path)?)?;
        for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let value = serde_json::from_slice(line).map_err(|e| OpenError::Damaged(e.into()))?;
            secrets.push((name.to_owned(), value));
        }
    }
    Ok(secrets)
}

/// The secrets of an import's bundle, opened.
pub(super) fn secrets_of_file(
    path: &std::path::Path,
    passphrase: &str,
) -> Result<Vec<(String, Value)>, bundle::secrets::OpenError> {
    let limits = Limits { entries: ENTRIES, bytes: u64::MAX };
    let checked = open(path, &limits).map_err(|e| bundle::secrets::OpenError::Damaged(e.into()))?;
    secrets(&checked, passphrase)
}
