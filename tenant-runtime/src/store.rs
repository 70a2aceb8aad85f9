//! The percloud's SQLite file: one writer, many readers, WAL.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use anyhow::Context;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, functions::FunctionFlags};
use tokio::sync::{Mutex, Semaphore};

use crate::{blobs::Blobs, home::keepsake, services};

/// The database's name in the data folder.
pub(crate) const FILE: &str = "percloud.db";

/// Where what was written last stands until the database is closed.
pub(crate) fn log_of(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    path.into()
}

/// How many readers may be open at once.
const READERS: usize = 4;

/// A handle to the database; clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    path: PathBuf,
    blobs: Blobs,
    writer: Mutex<Writer>,
    touched: AtomicBool,
    written: AtomicBool,
    readers: std::sync::Mutex<Vec<Connection>>,
    room: Arc<Semaphore>,
}

/// The one connection that may change something. Opened when something is to be changed: most visits change nothing.
enum Writer {
    NotYet,
    Open(Connection),
    Closed,
}

impl Store {
    /// Opens the database in `folder`, makes it when there is none, and brings every service's tables up to date.
    ///
    /// # Errors
    /// When the folder cannot be written, or the file is not ours or of a newer version.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let store = Self::open_later(folder)?;
        let inner = &store.0;
        let reader = inner.path.exists().then(|| inner.reader()).transpose()?;
        if reader.as_ref().map(missing_steps).transpose()?.is_none_or(|missing| !missing.is_empty()) {
            // A connection keeps what it knows of the tables: this one would know the old ones.
            drop(reader);
            migrate(inner.open_writer(&mut *inner.writer.try_lock()?)?)?;
        } else {
            inner.readers().extend(reader);
        }
        Ok(store)
    }

    /// The database in `folder`, which this same program left up to date; it is opened when somebody asks for something.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn open_later(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(Inner {
            folder: folder.to_owned(),
            path: folder.join(FILE),
            blobs: Blobs::open(folder)?,
            writer: Mutex::new(Writer::NotYet),
            touched: AtomicBool::new(false),
            written: AtomicBool::new(false),
            readers: std::sync::Mutex::default(),
            room: Arc::new(Semaphore::new(READERS)),
        })))
    }

    /// The content beside the database.
    #[must_use]
    pub fn blobs(&self) -> &Blobs {
        &self.0.blobs
    }

    /// Nobody has asked for anything yet: the database is not open.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        !self.0.touched.load(Relaxed)
    }

    /// Something may have been changed since this process began.
    #[must_use]
    pub fn was_written(&self) -> bool {
        self.0.written.load(Relaxed)
    }

    /// Closes what nobody uses right now, which gives back what it keeps in memory; whoever asks next opens it again.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub async fn rest(&self) -> anyhow::Result<()> {
        let inner = self.0.clone();
        let close = move || {
            inner.readers().clear();
            if let Ok(mut writer) = inner.writer.try_lock()
                && matches!(*writer, Writer::Open(_))
            {
                *writer = Writer::NotYet;
            }
        };
        Ok(tokio::task::spawn_blocking(close).await?)
    }

    /// Closes all connections, the log folded into the database file. Whoever writes later gets an error.
    pub async fn close(&self) {
        let mut writer = self.0.writer.lock().await;
        self.0.readers().clear();
        *writer = Writer::Closed;
    }

    /// Runs `work` on a reader here and now, while nobody else is served. For what is found by its key, which takes less time than
    /// to wake another thread for it; and for what is looked up before anybody is served.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_now<T>(&self, work: impl FnOnce(&Connection) -> anyhow::Result<T>) -> anyhow::Result<T> {
        self.0.read(work)
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
        let room = self.0.room.clone().acquire_owned().await?;
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || {
            // Here, not outside: the work goes on though whoever asked for it hangs up.
            let _room = room;
            inner.read(work)
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
            let mut writer = inner.writer.blocking_lock();
            let writer = inner.open_writer(&mut writer)?;
            let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = work(&tx)?;
            tx.commit()?;
            Ok(result)
        })
        .await?
    }
}

impl Inner {
    fn readers(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.readers.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let pooled = self.readers().pop();
        let reader = match pooled {
            Some(reader) => reader,
            None => self.reader()?,
        };
        let result = work(&reader);
        self.readers().push(reader);
        result
    }

    fn reader(&self) -> anyhow::Result<Connection> {
        self.touched.store(true, Relaxed);
        open_reader(&self.path, &self.blobs)
    }

    fn open_writer<'a>(&self, writer: &'a mut Writer) -> anyhow::Result<&'a mut Connection> {
        if matches!(writer, Writer::NotYet) {
            self.touched.store(true, Relaxed);
            self.written.store(true, Relaxed);
            keepsake::remove(&self.folder)?;
            *writer = Writer::Open(open_writer(&self.path, &self.blobs)?);
        }
        match writer {
            Writer::Open(writer) => Ok(writer),
            Writer::NotYet | Writer::Closed => anyhow::bail!("the store is closed"),
        }
    }
}

fn open_writer(path: &Path, blobs: &Blobs) -> anyhow::Result<Connection> {
    let db = Connection::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    db.busy_timeout(std::time::Duration::from_secs(5))?;
    db.execute_batch(
        "pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on; pragma cache_size = -1024;",
    )?;
    count_blobs(&db, blobs)?;
    Ok(db)
}

/// Lets SQL ask for the bytes of all blobs, so that whoever holds a connection can tell what room is left.
fn count_blobs(db: &Connection, blobs: &Blobs) -> anyhow::Result<()> {
    let blobs = blobs.clone();
    let flags = FunctionFlags::SQLITE_UTF8;
    db.create_scalar_function("blob_bytes", 0, flags, move |_| Ok(i64::try_from(blobs.used()).unwrap_or(i64::MAX)))?;
    Ok(())
}

/// A connection that changes nothing. The file is opened for writing all the same: whoever closes it last, of readers and the
/// writer, folds the log into it.
fn open_reader(path: &Path, blobs: &Blobs) -> anyhow::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(path, flags).with_context(|| format!("cannot open {}", path.display()))?;
    reader.busy_timeout(std::time::Duration::from_secs(5))?;
    reader.execute_batch("pragma query_only = on; pragma cache_size = -512;")?;
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
    let mut done: HashMap<String, usize> = HashMap::new();
    if db.table_exists(None, "schema_steps")? {
        let mut counts = db.prepare("select part, count(*) from schema_steps group by part")?;
        let counts = counts.query_map([], |row| Ok((row.get(0)?, row.get::<_, Count>(1)?)))?;
        for counted in counts {
            let (part, Count(steps)) = counted?;
            done.insert(part, usize::try_from(steps)?);
        }
    }
    let mut missing = Vec::new();
    for (part, steps) in shared.into_iter().chain(services::ALL.iter().map(|s| (s.name(), s.schema()))) {
        let done = done.get(part).copied().unwrap_or(0);
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
