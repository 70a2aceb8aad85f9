//! `status.json`: what this runtime says of itself to the host, which reads it as it would read a stranger's word.

use std::{io::Write, path::Path};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{auth, quota, runtime::Runtime};

/// The file's name in the data folder.
pub const FILE: &str = "status.json";

/// The file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The owner has used the set-up link.
    pub set_up: bool,
    /// Bytes in use.
    pub used_bytes: u64,
    /// The owner asked for deletion; after this moment it may be done.
    pub delete_after: Option<DateTime<Utc>>,
}

/// Looks at the store and writes the file, all or nothing; left alone when it says so already.
///
/// # Errors
/// When the store does not answer or the folder cannot be written.
pub async fn write(runtime: &Runtime) -> anyhow::Result<()> {
    let look = |db: &rusqlite::Connection| {
        let owner = auth::owner(db)?;
        Ok(Status {
            set_up: owner.is_some(),
            used_bytes: quota::used(db)?,
            delete_after: owner.and_then(|owner| owner.delete_after),
        })
    };
    let status = runtime.store().read(look).await?;
    store(runtime.folder(), &status)
}

fn store(folder: &Path, status: &Status) -> anyhow::Result<()> {
    let json = serde_json::to_vec(status)?;
    let path = folder.join(FILE);
    if std::fs::read(&path).is_ok_and(|old| old == json) {
        return Ok(());
    }
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&json)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
