//! What a host found at its last start: for whoever asks when no host answers, above all when one refuses to start for it.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{layers::judge, state::write_whole};
use crate::{config::Paths, hosts::Layer};

const NAME: &str = "layers.json";
/// It has some five kilobytes.
const LONGEST: u64 = 256 << 10;

/// The sandbox's layers, and when they were tried on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// When.
    pub at: DateTime<Utc>,
    /// As [`crate::hosts::Host::layers`] tells them.
    pub layers: Vec<Layer>,
}

/// Writes it into the host's own folder.
pub(super) fn note(folder: &Path, layers: &[Layer], at: DateTime<Utc>) -> anyhow::Result<()> {
    write_whole(&folder.join(NAME), &serde_json::to_vec(&Found { at, layers: layers.to_vec() })?)
}

/// What the last host found; none when there was none.
///
/// # Errors
/// When it may not be read, or is none of ours.
pub fn last_found(paths: &Paths) -> io::Result<Option<Found>> {
    let file = match File::open(paths.host_state().join(NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut json = Vec::new();
    file.take(LONGEST).read_to_end(&mut json)?;
    Ok(Some(serde_json::from_slice(&json)?))
}

/// An error that says what to do, when the last host refused to start for a layer.
///
/// # Errors
/// Then.
pub fn refused(paths: &Paths) -> anyhow::Result<()> {
    match last_found(paths) {
        Ok(Some(found)) => judge(&found.layers),
        Ok(None) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::hosts::local::layers::{Here, table};

    #[test]
    fn what_a_host_found_is_read_when_it_has_gone_and_by_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths(folder.path().into());
        assert!(last_found(&paths).unwrap().is_none() && refused(&paths).is_ok());
        fs::create_dir(paths.host_state()).unwrap();
        for hours in [1, 2] {
            let (at, layers) = (DateTime::from_timestamp(hours * 3600, 0).unwrap(), layers());
            note(&paths.host_state(), &layers, at).unwrap();
            assert_eq!(last_found(&paths).unwrap(), Some(Found { at, layers }));
            assert!(refused(&paths).unwrap_err().to_string().contains("--allow-missing own-user,"));
        }
        let file = paths.host_state().join(NAME);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(file, "half a").unwrap();
        assert!(last_found(&paths).is_err());
    }

    fn layers() -> Vec<Layer> {
        table(&[], true, &BTreeSet::new(), &Here::default())
    }
}
