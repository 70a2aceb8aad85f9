//! `status.json`: what this runtime says of itself to the host, which reads it as it would read a stranger's word.

use std::{io::Write, path::Path};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    auth::{self, owner_key},
    due, quota,
    runtime::{Place, Runtime},
};

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
    /// The public half of the key that vouches for the owner at the provider's portal (base64url); none at home.
    pub owner_key: Option<String>,
    /// When it next wants to run, if nobody comes before.
    pub wake_at: Option<DateTime<Utc>>,
}

/// Looks at the store and writes the file, all or nothing; left alone when it says so already, and as long as nobody has looked at
/// the store or changed it.
///
/// # Errors
/// When the store does not answer or the folder cannot be written.
pub async fn write(runtime: &Runtime) -> anyhow::Result<()> {
    if runtime.store().is_untouched() {
        return Ok(());
    }
    let owner_key = if runtime.place() == Place::Hosted { Some(public_key(runtime).await?) } else { None };
    let now = runtime.clock().now();
    let look = move |db: &rusqlite::Connection| {
        let owner = auth::owner(db)?;
        Ok(Status {
            set_up: owner.is_some(),
            used_bytes: quota::used(db)?,
            delete_after: owner.and_then(|owner| owner.delete_after),
            owner_key,
            wake_at: due::next(db, now)?,
        })
    };
    let status = runtime.store().read(look).await?;
    store(runtime.folder(), &status)
}

/// The key is made before the first look of a host; from then on it is read.
async fn public_key(runtime: &Runtime) -> anyhow::Result<String> {
    let key = match runtime.store().read(owner_key::find).await? {
        Some(key) => key,
        None => {
            let now = runtime.clock().now();
            runtime.store().write(move |tx| owner_key::ensure(tx, now)).await?
        }
    };
    Ok(key.public())
}

/// What the file says; nothing when there is none that can be read.
pub(crate) fn read(folder: &Path) -> Option<Status> {
    serde_json::from_slice(&std::fs::read(folder.join(FILE)).ok()?).ok()
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
