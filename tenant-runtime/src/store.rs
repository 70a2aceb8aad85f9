//! The percloud's SQLite file: one writer, many readers, WAL.

use std::{path::Path, sync::Arc};

use anyhow::Context;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, functions::FunctionFlags};
use tokio::sync::{Mutex, Semaphore};

use crate::{blobs::Blobs, services};

/// How many readers may be open at once.
const READERS: usize = 4;

/// A handle to the database; clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    path: std::path::PathBuf,
    blobs: Blobs,
    writer: Mutex<Option<Connection>>,
    readers: std::sync::Mutex<Vec<Connection>>,
    room: Semaphore,
}

impl Store {
    /// Opens the database in `folder`, makes it when there is none, and brings every service's tables up to date.
    ///
    /// # Errors
    /// When the folder cannot be written, or the file is not ours or of a newer version.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("percloud.db");
        let blobs = Blobs::open(folder)?;
        let mut writer = Connection::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        prepare(&writer, &blobs)?;
        migrate(&mut writer)?;
        Ok(Self(Arc::new(Inner {
            path,
            blobs,
            writer: Mutex::new(Some(writer)),
            readers: std::sync::Mutex::new(Vec::new()),
            room: Semaphore::new(READERS),
        })))
    }

    /// The content beside the database.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        &self.0.blobs
    }

    /// Closes all connections, the log folded into the database file. Whoever writes later gets an error.
    pub async fn close(&self) {
        let mut slot = self.0.writer.lock().await;
        self.0.readers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
        *slot = None;
    }

    /// Runs `work` on a reader, off the async threads.
    ///
    /// # Errors
    /// Those of `work`, and when the database cannot be opened.
    pub async fn read<T, F>(&self, work: F) -> anyhow::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> anyhow::Result<T> + Send + 'static,
    {
        let _room = self.0.room.acquire().await?;
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || {
            let pooled = inner.readers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
            let reader = match pooled {
                Some(reader) => reader,
                None => open_reader(&inner.path, &inner.blobs)?,
            };
            let result = work(&reader);
            inner.readers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(reader);
            result
        })
        .await?
    }

    /// Runs `work` in one immediate transaction; commits when it returns Ok, else rolls back.
    ///
    /// # Errors
    /// Those of `work`, and of the commit (a full disk among them).
    pub async fn write<T, F>(&self, work: F) -> anyhow::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> anyhow::Result<T> + Send + 'static,
    {
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || {
            let mut slot = inner.writer.blocking_lock();
            let writer = slot.as_mut().context("the store is closed")?;
            let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&tx)?;
            tx.commit()?;
            Ok(result)
        })
        .await?
    }
}

fn prepare(db: &Connection, blobs: &Blobs) -> anyhow::Result<()> {
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.execute_batch(
        "pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on; pragma cache_size = -1024;",
    )?;
    count_blobs(db, blobs)
}

/// Lets SQL ask for the bytes of all blobs, so that whoever holds a connection can tell what room is left.
fn count_blobs(db: &Connection, blobs: &Blobs) -> anyhow::Result<()> {
    let blobs = blobs.clone();
    let flags = FunctionFlags::SQLITE_UTF8;
    db.create_scalar_function("blob_bytes", 0, flags, move |_| Ok(i64::try_from(blobs.used()).unwrap_or(i64::MAX)))?;
    Ok(())
}

fn open_reader(path: &Path, blobs: &Blobs) -> anyhow::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(path, flags)?;
    reader.busy_timeout(std::time::Duration::from_secs(5))?;
    reader.execute_batch("pragma cache_size = -512;")?;
    count_blobs(&reader, blobs)?;
    Ok(reader)
}

/// Applies every missing step in one transaction: a new version takes the database over whole or leaves it as it was.
fn migrate(db: &mut Connection) -> anyhow::Result<()> {
    let missing = missing_steps(db)?;
    if missing.is_empty() {
        return Ok(());
    }
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(STEPS)?;
    for (part, number, step) in missing {
        tx.execute_batch(step).with_context(|| format!("step {number} of {part}"))?;
        tx.execute("insert into schema_steps (part, step) values (?1, ?2)", (part, i64::try_from(number)?))?;
    }
    Ok(tx.commit()?)
}

const STEPS: &str = "create table if not exists schema_steps
    (part text not null, step integer not null, primary key (part, step)) strict";

/// The steps that this database lacks: part, number, SQL.
fn missing_steps(db: &Connection) -> anyhow::Result<Vec<(&'static str, usize, &'static str)>> {
    let shared: [(&str, &[&str]); 4] = [
        ("core", crate::runtime::SCHEMA),
        ("uploads", crate::uploads::SCHEMA),
        ("exports", crate::exports::SCHEMA),
        ("imports", crate::imports::SCHEMA),
    ];
    let is_new = !db.table_exists(None, "schema_steps")?;
    let mut missing = Vec::new();
    for (part, steps) in shared.into_iter().chain(services::ALL.iter().map(|s| (s.name(), s.schema()))) {
        let count = || db.query_row("select count(*) from schema_steps where part = ?1", [part], |row| row.get(0));
        let done: i64 = if is_new { 0 } else { count()? };
        let done = usize::try_from(done)?;
        anyhow::ensure!(done <= steps.len(), "{part} was written by a newer percloud-runtime; run that version");
        missing.extend(steps.iter().enumerate().skip(done).map(|(number, step)| (part, number, *step)));
    }
    Ok(missing)
}

/// A number of bytes or things, as SQLite keeps it (up to 2^63 - 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u64);

impl rusqlite::types::FromSql for Count {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        let number = value.as_i64()?;
        u64::try_from(number).map(Self).map_err(|_| rusqlite::types::FromSqlError::OutOfRange(number))
    }
}

impl rusqlite::ToSql for Count {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        let number = i64::try_from(self.0).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
        Ok(number.into())
    }
}
