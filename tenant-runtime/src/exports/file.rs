//! The bundle as a file, for the command line.

use std::{io::Write, path::Path};

use anyhow::Context;

use super::plan;
use crate::runtime::Runtime;

/// Writes everything into `out` (which must not be there yet), whole or not at all. Answers how many bytes it has.
///
/// # Errors
/// When the percloud cannot be read or the file not written.
pub async fn to_file(rt: &Runtime, out: &Path, passphrase: Option<String>) -> anyhow::Result<u64> {
    anyhow::ensure!(!out.exists(), "{} is there already", out.display());
    let wanted = plan::want(rt, passphrase).await?;
    let (layout, _) = plan::layout(rt, wanted).await?;
    let folder = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let (out, size) = (out.to_owned(), layout.size());
    tokio::task::spawn_blocking(move || {
        let file = tempfile::NamedTempFile::new_in(&folder)
            .with_context(|| format!("cannot write into {}", folder.display()))?;
        let mut file = file;
        for piece in layout.read(0..u64::MAX) {
            file.write_all(&piece?)?;
        }
        file.as_file().sync_all()?;
        file.persist_noclobber(&out).with_context(|| format!("cannot write {}", out.display()))?;
        Ok(size)
    })
    .await?
}
